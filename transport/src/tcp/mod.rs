//! [`Transport`] over TCP.
//!
//! Each connection has a task that reads and a task that writes; each peer with a smaller id
//! has two tasks that dial (a connection's reader runs on its dialer); one task listens. All
//! of them talk to [`TcpTransport`] by message, so there is no lock on a frame's way. They
//! run on the runtime that [`TcpTransport::bind`] was called on, of one thread or of many,
//! and end when the transport is dropped.
//!
//! Left out: encryption. `handshake` and `connection` are generic over the stream's halves;
//! only `accept` and `dial` name TCP, and a TLS stream belongs between their socket options
//! and their handshake.

mod accept;
mod connection;
mod dial;
mod gate;
mod reader;
mod shared;
mod socket;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::links::{Incoming, Links};
use crate::{Channel, Config, Event, NodeId, SendError, Stats, Transport};
use shared::{Inbox, Shared, Task};

/// Events after which [`receive`](Transport::receive) takes no more from a channel. One read
/// may bring more; they stay together.
const EVENTS_MAX: usize = 1024;

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for peers on {address}: {source}; choose a free address of this machine")]
#[non_exhaustive]
pub struct BindError {
    /// The address asked for.
    pub address: String,
    /// What the operating system said.
    pub source: io::Error,
}

/// Frames between peers over TCP. See the [module](self).
pub struct TcpTransport {
    shared: Arc<Shared>,
    runtime: Handle,
    inbox: Inbox,
    links: Links,
    peers: BTreeMap<NodeId, Peer>,
    address: SocketAddr,
    listener: Task<()>,
}

/// A peer as it was named, and the tasks that dial it if that is this node's part.
struct Peer {
    address: String,
    dialers: Vec<Task<()>>,
}

impl TcpTransport {
    /// Listens on `address` (`host:port`; port 0 takes any free one). Peers are dialed once
    /// [`set_peers`](Transport::set_peers) has named them.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind(address: &str, config: Config) -> Result<Self, BindError> {
        let failed = |source| BindError {
            address: address.to_owned(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let links = Links::new(config.identity.node, config.queue_limit);
        let (shared, inbox) = Shared::new(config);
        Ok(TcpTransport {
            runtime: Handle::current(),
            inbox,
            links,
            peers: BTreeMap::new(),
            address: local,
            listener: Task::new(tokio::spawn(accept::run(listener, shared.clone()))),
            shared,
        })
    }

    /// Where this node listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection and returns once the port is free again. What is still queued is
    /// lost, as at a crash. Dropping does the same without the wait.
    pub async fn close(self) {
        let TcpTransport {
            mut listener,
            peers,
            links,
            ..
        } = self;
        drop((peers, links));
        listener.abort().await;
    }

    /// Takes what is ready, without waiting.
    fn take_ready(&mut self, events: &mut Vec<Event>) {
        self.links.take_pending(events);
        for inbox in [&mut self.inbox.control, &mut self.inbox.bulk] {
            let full = events.len() + EVENTS_MAX;
            while events.len() < full
                && let Ok(incoming) = inbox.try_recv()
            {
                self.links.handle(incoming, events);
            }
        }
    }

    fn dial(&self, peer: NodeId, address: &str) -> Peer {
        let dials = self.shared.config.identity.node > peer;
        let channels = Channel::ALL.into_iter().filter(|_| dials);
        let dialers = channels.map(|channel| {
            let run = dial::run(self.shared.clone(), peer, channel, address.to_owned());
            Task::new(self.runtime.spawn(run))
        });
        Peer {
            address: address.to_owned(),
            dialers: dialers.collect(),
        }
    }
}

#[async_trait]
impl Transport for TcpTransport {
    fn send(&mut self, to: NodeId, channel: Channel, payload: Bytes) -> Result<(), SendError> {
        let sent = self.links.send(to, channel, payload);
        if let Err(error @ SendError::QueueFull { .. }) = &sent {
            self.shared.rejections.reject(&to, "queue_full", error);
        }
        sent
    }

    async fn receive(&mut self, events: &mut Vec<Event>) {
        let before = events.len();
        loop {
            self.take_ready(events);
            if events.len() > before {
                return;
            }
            // Both futures are cancel safe, and between a message and its events nothing is
            // awaited: so this future may be dropped at any time.
            let incoming: Option<Incoming> = tokio::select! {
                biased;
                incoming = self.inbox.control.recv() => incoming,
                incoming = self.inbox.bulk.recv() => incoming,
            };
            if let Some(incoming) = incoming {
                self.links.handle(incoming, events);
            }
        }
    }

    fn set_peers(&mut self, peers: BTreeMap<NodeId, String>) {
        let before = std::mem::take(&mut self.peers);
        for (id, known) in before {
            match peers.get(&id) {
                Some(address) if *address == known.address => {
                    self.peers.insert(id, known);
                }
                // Accepted connections do not depend on where the peer listens.
                Some(_) if known.dialers.is_empty() => {}
                _ => self.links.close_peer(id),
            }
        }
        for (id, address) in peers {
            if id != self.shared.config.identity.node && !self.peers.contains_key(&id) {
                let peer = self.dial(id, &address);
                self.peers.insert(id, peer);
            }
        }
    }

    fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }
}

impl std::fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpTransport")
            .field("identity", &self.shared.config.identity)
            .field("address", &self.address)
            .field("peers", &self.peers.keys())
            .finish_non_exhaustive()
    }
}
