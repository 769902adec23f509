//! The state of a network in memory: who is there, who is connected, what waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::links::weight;
use crate::{Channel, Event, Identity, NodeId, SendError, Stats};

/// Events after which a channel gives no more to one `receive`.
const EVENTS_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct World {
    pub(super) frame_limit: usize,
    pub(super) queue_limit: usize,
    pub(super) incarnations: u64,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// Pairs that cannot reach each other, the smaller id first.
    pub(super) apart: BTreeSet<(NodeId, NodeId)>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) incarnation: u64,
    pub(super) peers: BTreeSet<NodeId>,
    /// Live connections, with the weight of what each still holds to be received.
    pub(super) links: BTreeMap<(NodeId, Channel), usize>,
    /// By channel: control is received first.
    pub(super) inbox: [VecDeque<Event>; 2],
    pub(super) wake: Arc<Notify>,
    pub(super) stats: Stats,
}

impl World {
    pub(super) fn remove(&mut self, id: NodeId) {
        let others: Vec<NodeId> = self.nodes.keys().copied().collect();
        for other in others {
            self.cut(id, other);
        }
        self.nodes.remove(&id);
    }

    /// Connects whoever should be connected and is not.
    pub(super) fn connect_all(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for a in &ids {
            for b in ids.iter().filter(|b| *b < a) {
                self.connect(*a, *b);
            }
        }
    }

    /// Connects two nodes if they are of one cluster, not kept apart, and the one with the
    /// greater id knows the other: the rule of the TCP transport.
    pub(super) fn connect(&mut self, a: NodeId, b: NodeId) {
        let (lower, greater) = (a.min(b), a.max(b));
        let (Some(low), Some(high)) = (self.nodes.get(&lower), self.nodes.get(&greater)) else {
            return;
        };
        let (low, high) = (low.identity, {
            if !high.peers.contains(&lower) {
                return;
            }
            high.identity
        });
        if low.cluster != high.cluster || self.apart.contains(&(lower, greater)) {
            return;
        }
        for channel in Channel::ALL {
            self.link(lower, high, channel);
            self.link(greater, low, channel);
        }
    }

    fn link(&mut self, at: NodeId, peer: Identity, channel: Channel) {
        if let Some(node) = self.nodes.get_mut(&at)
            && !node.links.contains_key(&(peer.node, channel))
        {
            node.links.insert((peer.node, channel), 0);
            node.push(channel, Event::Connected { peer, channel });
        }
    }

    pub(super) fn cut(&mut self, a: NodeId, b: NodeId) {
        for channel in Channel::ALL {
            self.cut_channel(a, b, channel);
        }
    }

    fn cut_channel(&mut self, a: NodeId, b: NodeId, channel: Channel) {
        for (at, peer) in [(a, b), (b, a)] {
            if let Some(node) = self.nodes.get_mut(&at)
                && node.links.remove(&(peer, channel)).is_some()
            {
                node.forget(peer, channel);
                node.push(channel, Event::Disconnected { peer, channel });
            }
        }
    }

    pub(super) fn send(
        &mut self,
        me: NodeId,
        to: NodeId,
        channel: Channel,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let not_connected = SendError::NotConnected { to, channel };
        let (frame_limit, limit) = (self.frame_limit, self.queue_limit);
        let target = self.nodes.get_mut(&to).ok_or(not_connected)?;
        let queued = target.links.get_mut(&(me, channel)).ok_or(not_connected)?;
        if payload.len() > frame_limit {
            return Err(SendError::TooLarge {
                to,
                length: payload.len(),
                limit: frame_limit,
            });
        }
        let (before, length) = (*queued, payload.len() as u64);
        if before > limit {
            self.cut_channel(me, to, channel);
            self.connect(me, to);
            return Err(SendError::QueueFull {
                to,
                channel,
                queued: before,
                limit,
            });
        }
        *queued += weight(&payload);
        target.stats.frames_received += 1;
        target.stats.bytes_received += length;
        let from = me;
        target.push(
            channel,
            Event::Frame {
                from,
                channel,
                payload,
            },
        );
        if let Some(sender) = self.nodes.get_mut(&me) {
            sender.stats.frames_sent += 1;
            sender.stats.bytes_sent += length;
        }
        Ok(())
    }
}

impl Node {
    fn push(&mut self, channel: Channel, event: Event) {
        if let Some(inbox) = self.inbox.get_mut(channel.index()) {
            inbox.push_back(event);
        }
        self.wake.notify_one();
    }

    /// Drops what a peer sent on a connection that has ended. Linear in what waits.
    fn forget(&mut self, peer: NodeId, channel: Channel) {
        if let Some(inbox) = self.inbox.get_mut(channel.index()) {
            inbox.retain(|event| !matches!(event, Event::Frame { from, .. } if *from == peer));
        }
    }

    pub(super) fn take(&mut self, events: &mut Vec<Event>) {
        for inbox in &mut self.inbox {
            let ready = inbox.len().min(EVENTS_MAX);
            for event in inbox.drain(..ready) {
                if let Event::Frame {
                    from,
                    channel,
                    payload,
                } = &event
                    && let Some(queued) = self.links.get_mut(&(*from, *channel))
                {
                    *queued -= weight(payload);
                }
                events.push(event);
            }
        }
    }
}

/// The world, for one call.
pub(super) fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    // A test that panics elsewhere while holding the lock must not hide its own message.
    world.lock().unwrap_or_else(|e| e.into_inner())
}
