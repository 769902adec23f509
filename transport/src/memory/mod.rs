//! [`Transport`] within one process: for tests of what stands on it.
//!
//! All nodes' queues lie under one lock, taken per call. That would be wrong where speed
//! matters, and is right here: every change is seen by both sides at once, so a test needs no
//! patience, and the contract is kept by construction.
//!
//! A connection that ends takes with it what was not received yet, as a reset does. A cluster
//! that works on this network does not rely on a last word getting through.
//!
//! Left out: bytes, checksums, handshakes, delays. Nodes of different clusters do not see each
//! other; other checks of identity are TCP's.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::{Channel, Event, Identity, NodeId, SendError, Stats, Transport};
use world::{Node, World, lock};

/// A network of nodes in one process. Clones are the same network.
#[derive(Clone, Debug)]
pub struct MemoryNetwork {
    world: Arc<Mutex<World>>,
}

/// One node's transport on a [`MemoryNetwork`]. Its drop is the node's crash.
#[derive(Debug)]
pub struct MemoryTransport {
    world: Arc<Mutex<World>>,
    me: NodeId,
    incarnation: u64,
    wake: Arc<Notify>,
}

impl Default for MemoryNetwork {
    /// Limits as TCP's defaults: frames of 64 MiB, queues of 16 MiB.
    fn default() -> Self {
        MemoryNetwork::with_limits(64 << 20, 16 << 20)
    }
}

impl MemoryNetwork {
    /// A network with these limits on a frame's payload and on what may wait per connection,
    /// in bytes.
    #[must_use]
    pub fn with_limits(frame_limit: usize, queue_limit: usize) -> Self {
        let world = World {
            frame_limit,
            queue_limit,
            incarnations: 0,
            nodes: BTreeMap::new(),
            apart: BTreeSet::new(),
        };
        MemoryNetwork {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// A node's transport. One that had the same id before is cut off, as by a restart.
    #[must_use]
    pub fn transport(&self, identity: Identity) -> MemoryTransport {
        let mut world = lock(&self.world);
        world.remove(identity.node);
        world.incarnations += 1;
        let wake = Arc::new(Notify::new());
        let node = Node {
            identity,
            incarnation: world.incarnations,
            peers: BTreeSet::new(),
            links: BTreeMap::new(),
            inbox: Default::default(),
            wake: wake.clone(),
            stats: Stats::default(),
        };
        let incarnation = node.incarnation;
        world.nodes.insert(identity.node, node);
        world.connect_all();
        MemoryTransport {
            world: self.world.clone(),
            me: identity.node,
            incarnation,
            wake,
        }
    }

    /// Ends the connections of two nodes and keeps them apart.
    pub fn disconnect(&self, a: NodeId, b: NodeId) {
        let mut world = lock(&self.world);
        world.apart.insert((a.min(b), a.max(b)));
        world.cut(a, b);
    }

    /// Lets two nodes reach each other again.
    pub fn connect(&self, a: NodeId, b: NodeId) {
        let mut world = lock(&self.world);
        world.apart.remove(&(a.min(b), a.max(b)));
        world.connect(a, b);
    }

    /// Ends the connections of two nodes, which connect again at once.
    pub fn reset(&self, a: NodeId, b: NodeId) {
        self.disconnect(a, b);
        self.connect(a, b);
    }

    /// Splits the network: nodes reach each other exactly when one of `sides` holds both.
    /// Replaces any earlier partition or disconnection; nodes that are named in no side, and
    /// those not yet started, reach everybody. `partition(&[])` heals the network.
    pub fn partition(&self, sides: &[&[NodeId]]) {
        let mut world = lock(&self.world);
        let named: BTreeSet<NodeId> = sides.iter().copied().flatten().copied().collect();
        world.apart.clear();
        for a in &named {
            for b in named.range(..a) {
                if !sides
                    .iter()
                    .any(|side| side.contains(a) && side.contains(b))
                {
                    world.apart.insert((*b, *a));
                    world.cut(*a, *b);
                }
            }
        }
        world.connect_all();
    }
}

impl MemoryTransport {
    /// This node in the world, unless another has taken its id since.
    fn node<'a>(&self, world: &'a mut World) -> Option<&'a mut Node> {
        let node = world.nodes.get_mut(&self.me)?;
        (node.incarnation == self.incarnation).then_some(node)
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn send(&mut self, to: NodeId, channel: Channel, payload: Bytes) -> Result<(), SendError> {
        if to == self.me {
            return Err(SendError::ToSelf(to));
        }
        let mut world = lock(&self.world);
        if self.node(&mut world).is_none() {
            return Err(SendError::NotConnected { to, channel });
        }
        world.send(self.me, to, channel, payload)
    }

    async fn receive(&mut self, events: &mut Vec<Event>) {
        let before = events.len();
        loop {
            if let Some(node) = self.node(&mut lock(&self.world)) {
                node.take(events);
            }
            if events.len() > before {
                return;
            }
            // A wake between the look and the wait is kept by `Notify`.
            self.wake.notified().await;
        }
    }

    fn set_peers(&mut self, peers: BTreeMap<NodeId, String>) {
        let mut world = lock(&self.world);
        let Some(node) = self.node(&mut world) else {
            return;
        };
        let peers = peers.into_keys().collect();
        let before = std::mem::replace(&mut node.peers, peers);
        let gone: Vec<NodeId> = before.difference(&node.peers).copied().collect();
        for peer in gone {
            world.cut(self.me, peer);
        }
        world.connect_all();
    }

    fn stats(&self) -> Stats {
        let mut world = lock(&self.world);
        self.node(&mut world)
            .map_or(Stats::default(), |node| node.stats)
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        let mut world = lock(&self.world);
        if self.node(&mut world).is_some() {
            world.remove(self.me);
        }
    }
}
