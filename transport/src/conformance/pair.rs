//! Two nodes under test, and a witness to every event of both.
//!
//! The witness knows the grammar of a connection, `Connected Frame* Disconnected`, and reports
//! whatever departs from it: a second `Connected`, a `Disconnected` that nothing preceded, a
//! frame of no connection. So these promises are checked in every case.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{Network, Violation};
use crate::{Channel, ClusterId, DiskId, Event, Identity, NodeId, SendError, Transport};

/// How long a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// One of the two nodes.
#[derive(Debug)]
pub struct Node<T> {
    /// Who it is; `boot` grows with every start.
    pub identity: Identity,
    /// `None` while it is stopped.
    transport: Option<T>,
    /// What it was told, since its start or since the case last took it.
    pub events: Vec<Event>,
    connected: BTreeMap<(NodeId, Channel), Identity>,
}

/// Nodes 1 and 2, who know each other's address.
#[derive(Debug)]
pub struct Pair<N: Network> {
    network: N,
    /// Node 1.
    pub lower: Node<N::Transport>,
    /// Node 2.
    pub greater: Node<N::Transport>,
}

impl<T: Transport> Node<T> {
    fn stopped(node: u64) -> Self {
        Node {
            identity: Identity {
                cluster: ClusterId(0x1005_7EB0),
                node: NodeId(node),
                disk: DiskId(0xD15C_0000 + u128::from(node)),
                boot: 0,
            },
            transport: None,
            events: Vec::new(),
            connected: BTreeMap::new(),
        }
    }

    /// The transport under test.
    ///
    /// # Errors
    /// While the node is stopped: the case is wrong, not the transport.
    pub fn transport(&mut self) -> Result<&mut T, Violation> {
        let node = self.identity.node;
        self.transport
            .as_mut()
            .ok_or_else(|| Violation::new(format!("{node} is stopped")))
    }

    /// Sends, where that must succeed.
    ///
    /// # Errors
    /// When the transport refuses.
    pub fn send(&mut self, to: NodeId, channel: Channel, payload: Bytes) -> Result<(), Violation> {
        self.try_send(to, channel, payload)?.map_err(|error| {
            Violation::new(format!("{}'s send failed: {error}", self.identity.node))
        })
    }

    /// Sends, and hands out what the transport says to it.
    ///
    /// # Errors
    /// While the node is stopped.
    pub fn try_send(
        &mut self,
        to: NodeId,
        channel: Channel,
        payload: Bytes,
    ) -> Result<Result<(), SendError>, Violation> {
        Ok(self.transport()?.send(to, channel, payload))
    }

    /// Whether a peer is connected on both channels, in its present boot.
    #[must_use]
    pub fn sees(&self, peer: &Identity) -> bool {
        Channel::ALL
            .iter()
            .all(|channel| self.connected.get(&(peer.node, *channel)) == Some(peer))
    }

    /// Whether a peer is connected on neither channel.
    #[must_use]
    pub fn misses(&self, peer: NodeId) -> bool {
        Channel::ALL
            .iter()
            .all(|channel| !self.connected.contains_key(&(peer, *channel)))
    }

    /// Takes down events in order, checking the grammar.
    ///
    /// # Errors
    /// When an event cannot stand where it stands.
    pub fn witness(&mut self, events: Vec<Event>) -> Result<(), Violation> {
        for event in events {
            let at = self.identity.node;
            match &event {
                Event::Connected { peer, channel } => {
                    if self
                        .connected
                        .insert((peer.node, *channel), *peer)
                        .is_some()
                    {
                        return Err(Violation::new(format!(
                            "{at} was told twice that {} connected on {channel}",
                            peer.node
                        )));
                    }
                }
                Event::Disconnected { peer, channel } => {
                    if self.connected.remove(&(*peer, *channel)).is_none() {
                        return Err(Violation::new(format!(
                            "{at} was told that {peer} disconnected on {channel}, but it was not connected"
                        )));
                    }
                }
                Event::Frame { from, channel, .. } => {
                    if !self.connected.contains_key(&(*from, *channel)) {
                        return Err(Violation::new(format!(
                            "{at} got a frame of {from} on {channel}, but it was not connected"
                        )));
                    }
                }
            }
            self.events.push(event);
        }
        Ok(())
    }

    /// The next events, or none ever while the node is stopped.
    async fn receive(&mut self, events: &mut Vec<Event>) {
        match &mut self.transport {
            Some(transport) => transport.receive(events).await,
            None => std::future::pending().await,
        }
    }
}

impl<N: Network> Pair<N> {
    /// Both nodes, connected on both channels; their events so far are taken.
    ///
    /// # Errors
    /// When they do not find each other.
    pub async fn connected(network: N) -> Result<Self, Violation> {
        let mut pair = Pair::started(network).await;
        pair.introduce();
        pair.meet().await?;
        pair.lower.events.clear();
        pair.greater.events.clear();
        Ok(pair)
    }

    /// Both nodes, not knowing of each other yet.
    pub async fn started(network: N) -> Self {
        let mut pair = Pair {
            network,
            lower: Node::stopped(1),
            greater: Node::stopped(2),
        };
        pair.start_lower().await;
        pair.start_greater().await;
        pair
    }

    /// Tells each node that is up where both are.
    pub fn introduce(&mut self) {
        let peers: BTreeMap<NodeId, String> = [self.lower.identity, self.greater.identity]
            .map(|identity| (identity.node, self.network.address(identity.node)))
            .into();
        for node in [&mut self.lower, &mut self.greater] {
            if let Some(transport) = &mut node.transport {
                transport.set_peers(peers.clone());
            }
        }
    }

    /// Waits until both nodes see each other, in their present boots, on both channels.
    ///
    /// # Errors
    /// When they do not.
    pub async fn meet(&mut self) -> Result<(), Violation> {
        self.until("both nodes to see each other", |pair| {
            pair.lower.sees(&pair.greater.identity) && pair.greater.sees(&pair.lower.identity)
        })
        .await
    }

    /// Starts the lower node, one boot later.
    pub async fn start_lower(&mut self) {
        start(&mut self.network, &mut self.lower).await;
    }

    /// Starts the greater node, one boot later.
    pub async fn start_greater(&mut self) {
        start(&mut self.network, &mut self.greater).await;
    }

    /// Stops the lower node.
    pub async fn stop_lower(&mut self) {
        stop(&mut self.network, &mut self.lower).await;
    }

    /// Stops the greater node.
    pub async fn stop_greater(&mut self) {
        stop(&mut self.network, &mut self.greater).await;
    }

    /// Lets both nodes receive until `done`.
    ///
    /// # Errors
    /// When an event cannot stand where it stands, or patience ends before `done`.
    pub async fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Violation> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            timeout_at(deadline, self.step()).await.map_err(|_| {
                Violation::new(format!("waited {} s for {what}", PATIENCE.as_secs()))
            })??;
        }
        Ok(())
    }

    /// Lets both nodes receive once, whichever has something.
    ///
    /// # Errors
    /// When an event cannot stand where it stands.
    pub async fn step(&mut self) -> Result<(), Violation> {
        let (mut at_lower, mut at_greater) = (Vec::new(), Vec::new());
        tokio::select! {
            () = self.lower.receive(&mut at_lower) => {}
            () = self.greater.receive(&mut at_greater) => {}
        }
        self.lower.witness(at_lower)?;
        self.greater.witness(at_greater)
    }
}

async fn start<N: Network>(network: &mut N, node: &mut Node<N::Transport>) {
    node.identity.boot += 1;
    node.transport = Some(network.start(node.identity).await);
    node.events.clear();
    node.connected.clear();
}

async fn stop<N: Network>(network: &mut N, node: &mut Node<N::Transport>) {
    if let Some(transport) = node.transport.take() {
        network.stop(transport).await;
    }
}
