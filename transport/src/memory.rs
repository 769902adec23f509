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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::links::weight;
use crate::{Channel, Event, Identity, NodeId, SendError, Stats, Transport};

/// Events after which a channel gives no more to one `receive`.
const EVENTS_MAX: usize = 1024;

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

#[derive(Debug)]
struct World {
    frame_limit: usize,
    queue_limit: usize,
    incarnations: u64,
    nodes: BTreeMap<NodeId, Node>,
    /// Pairs that cannot reach each other, the smaller id first.
    apart: BTreeSet<(NodeId, NodeId)>,
}

#[derive(Debug)]
struct Node {
    identity: Identity,
    incarnation: u64,
    peers: BTreeSet<NodeId>,
    /// Live connections, with the weight of what each still holds to be received.
    links: BTreeMap<(NodeId, Channel), usize>,
    /// By channel: control is received first.
    inbox: [VecDeque<Event>; 2],
    wake: Arc<Notify>,
    stats: Stats,
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

impl World {
    fn remove(&mut self, id: NodeId) {
        let others: Vec<NodeId> = self.nodes.keys().copied().collect();
        for other in others {
            self.cut(id, other);
        }
        self.nodes.remove(&id);
    }

    /// Connects whoever should be connected and is not.
    fn connect_all(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for a in &ids {
            for b in ids.iter().filter(|b| *b < a) {
                self.connect(*a, *b);
            }
        }
    }

    /// Connects two nodes if they are of one cluster, not kept apart, and the one with the
    /// greater id knows the other: the rule of the TCP transport.
    fn connect(&mut self, a: NodeId, b: NodeId) {
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

    fn cut(&mut self, a: NodeId, b: NodeId) {
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

    fn send(
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

    fn take(&mut self, events: &mut Vec<Event>) {
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

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    // A test that panics elsewhere while holding the lock must not hide its own message.
    world.lock().unwrap_or_else(|e| e.into_inner())
}
