//! The live connections of one transport, and the one place where the order of events is
//! decided.
//!
//! Connections run on tasks of their own and report by message; this table is owned by the
//! transport and changes only under `&mut self`. So there is no lock, and three promises
//! follow from a few lines each: an old connection's `Disconnected` precedes the new one's
//! `Connected`; a message of a connection that is no longer in the table is dropped, so
//! nothing of the old is seen after the new; and `Disconnected` is said exactly when a link
//! leaves the table, hence once.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::{Channel, Event, Identity, NodeId, SendError};

/// Distinguishes connections of the same peer and channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What a connection's tasks report, in order per connection.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The first message: the handshake is done.
    Established {
        peer: Identity,
        channel: Channel,
        link: Link,
        /// Bounds how many of these may wait; released when this one is taken.
        admission: OwnedSemaphorePermit,
    },
    /// Frames, as many as one read brought: one message and one `Vec` for all of them.
    Frames {
        from: NodeId,
        channel: Channel,
        connection: ConnectionId,
        frames: Vec<Bytes>,
        /// Bounds the bytes that wait; released when they are taken.
        credit: OwnedSemaphorePermit,
    },
    /// The last message.
    Closed {
        peer: NodeId,
        channel: Channel,
        connection: ConnectionId,
    },
}

/// The sending end of a connection. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    pub(crate) frame_limit: usize,
    pub(crate) queue: mpsc::UnboundedSender<Bytes>,
    pub(crate) backlog: Backlog,
    /// Its drop is the signal.
    pub(crate) _stop: oneshot::Sender<Infallible>,
}

/// How much waits on a connection, shared by the one who queues and the one who writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Relaxed throughout: a bound, not a synchronisation.
    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What a payload weighs against a bound: its bytes and what it takes to hold them, so that
/// a flood of empty frames is bounded too.
pub(crate) const fn weight(payload: &Bytes) -> usize {
    payload.len() + 64
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Links {
    me: NodeId,
    queue_limit: usize,
    table: BTreeMap<NodeId, [Option<Link>; 2]>,
    /// Ends that this side decided, not yet told.
    pending: VecDeque<Event>,
}

impl Links {
    pub(crate) fn new(me: NodeId, queue_limit: usize) -> Self {
        Links {
            me,
            queue_limit,
            table: BTreeMap::new(),
            pending: VecDeque::new(),
        }
    }

    /// As [`Transport::send`](crate::Transport::send).
    pub(crate) fn send(
        &mut self,
        to: NodeId,
        channel: Channel,
        payload: Bytes,
    ) -> Result<(), SendError> {
        if to == self.me {
            return Err(SendError::ToSelf(to));
        }
        let limit = self.queue_limit;
        let link = self
            .slot(to, channel)
            .and_then(|slot| slot.as_ref())
            .ok_or(SendError::NotConnected { to, channel })?;
        if payload.len() > link.frame_limit {
            return Err(SendError::TooLarge {
                to,
                length: payload.len(),
                limit: link.frame_limit,
            });
        }
        // The frame itself does not count: any one that is allowed can be sent.
        let queued = link.backlog.bytes();
        if queued > limit {
            self.close(to, channel);
            return Err(SendError::QueueFull {
                to,
                channel,
                queued,
                limit,
            });
        }
        link.backlog.add(weight(&payload));
        // Fails once the connection has ended and its end is not yet taken from the queue.
        link.queue
            .send(payload)
            .map_err(|_| SendError::NotConnected { to, channel })
    }

    /// Ends both connections of a peer.
    pub(crate) fn close_peer(&mut self, peer: NodeId) {
        for channel in Channel::ALL {
            self.close(peer, channel);
        }
    }

    /// Appends what this side decided by itself.
    pub(crate) fn take_pending(&mut self, events: &mut Vec<Event>) {
        events.extend(self.pending.drain(..));
    }

    /// Turns a report into events, or into nothing if it is out of date.
    pub(crate) fn handle(&mut self, incoming: Incoming, events: &mut Vec<Event>) {
        match incoming {
            Incoming::Established {
                peer,
                channel,
                link,
                admission,
            } => {
                drop(admission);
                let [control, bulk] = self.table.entry(peer.node).or_default();
                let slot = match channel {
                    Channel::Control => control,
                    Channel::Bulk => bulk,
                };
                if slot.replace(link).is_some() {
                    events.push(Event::Disconnected {
                        peer: peer.node,
                        channel,
                    });
                }
                events.push(Event::Connected { peer, channel });
            }
            Incoming::Frames {
                from,
                channel,
                connection,
                frames,
                credit,
            } => {
                drop(credit);
                if self.is_current(from, channel, connection) {
                    events.extend(frames.into_iter().map(|payload| Event::Frame {
                        from,
                        channel,
                        payload,
                    }));
                }
            }
            Incoming::Closed {
                peer,
                channel,
                connection,
            } => {
                if self.is_current(peer, channel, connection) {
                    self.close(peer, channel);
                    self.take_pending(events);
                }
            }
        }
    }

    fn close(&mut self, peer: NodeId, channel: Channel) {
        if let Some(slot) = self.slot(peer, channel)
            && slot.take().is_some()
        {
            self.pending
                .push_back(Event::Disconnected { peer, channel });
        }
    }

    fn is_current(&mut self, peer: NodeId, channel: Channel, connection: ConnectionId) -> bool {
        self.slot(peer, channel)
            .and_then(|slot| slot.as_ref())
            .is_some_and(|link| link.connection == connection)
    }

    fn slot(&mut self, peer: NodeId, channel: Channel) -> Option<&mut Option<Link>> {
        self.table.get_mut(&peer)?.get_mut(channel.index())
    }
}
