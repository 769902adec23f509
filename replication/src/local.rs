//! A whole group in one process, for examples and tests: several replicas, logs in memory, and a
//! network that delivers at once. Deterministic: time moves only when told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use consensus::{
    Consensus, FetchId, Fetched, Index, LogOp, Membership, Micros, NodeId, Recovered, WriteSeq,
};
use storage::{GroupId, GroupWrite, LogStore, MemoryLog};

use crate::config::Config;
use crate::group::{Group, GroupError, Io};
use crate::machine::{Millis, StateMachine};
use crate::message::{Failure, Message};
use crate::records::{to_fetched, to_log, to_recovered};
use crate::replica::Replica;
use crate::waits::Held;

const GROUP: GroupId = GroupId(0);

/// Names a request to a [`LocalCluster`].
pub type Ticket = u64;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The state machine's reply.
    Reply(Vec<u8>),
    /// There is none.
    Failed(Failure),
    /// WAIT's answer.
    Held(Held),
}

/// A group of replicas in one process.
///
/// Every write to a log is durable when it returns. Nodes can be [cut off](LocalCluster::cut),
/// and time passes by [`advance`](LocalCluster::advance).
pub struct LocalCluster<C: Consensus, S> {
    nodes: BTreeMap<NodeId, Node<C, S>>,
    network: VecDeque<(NodeId, NodeId, Message<C::Message>)>,
    cut: BTreeSet<NodeId>,
    now: Micros,
    tickets: Ticket,
    answers: BTreeMap<Ticket, Answer>,
}

struct Node<C: Consensus, S> {
    group: Group<C, S, Ticket>,
    log: MemoryLog,
    /// How far this node's clock is ahead, in milliseconds.
    ahead_ms: u64,
}

impl<C: Consensus, S: StateMachine> LocalCluster<C, S> {
    /// Nodes 1 to `size`, each with its protocol made by `core` and its state by `machine`.
    pub fn new(
        size: u64,
        core: impl Fn(NodeId, Recovered) -> C,
        machine: impl Fn(NodeId) -> S,
    ) -> Self {
        let members = Membership::of_voters((1..=size).map(NodeId));
        let node = |id: NodeId| {
            let machine = machine(id);
            let recovered = Recovered::fresh(members.clone());
            let config = Config::new(id, 1);
            let core = core(id, recovered);
            let applied = machine.applied().index;
            let mut replica = Replica::new(core, config, members.clone(), applied);
            members.peers(id).for_each(|peer| replica.link_up(peer));
            Node {
                group: Group::new(replica, machine),
                log: MemoryLog::default(),
                ahead_ms: 0,
            }
        };
        LocalCluster {
            nodes: members.voters.iter().map(|id| (*id, node(*id))).collect(),
            network: VecDeque::new(),
            cut: BTreeSet::new(),
            now: Micros(0),
            tickets: 0,
            answers: BTreeMap::new(),
        }
    }

    /// Who leads, as far as those that are not cut off know.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        let connected = self.nodes.iter().filter(|(id, _)| !self.cut.contains(id));
        connected
            .filter(|(_, node)| node.group.view().leads())
            .map(|(id, _)| *id)
            .next()
    }

    /// Gives `node` a command. It takes effect as the cluster [runs](LocalCluster::run).
    pub fn submit(&mut self, node: NodeId, command: &[u8]) -> Ticket {
        let now = self.now;
        self.ticket(node, |group, ticket| {
            group.replica().submit(now, ticket, command)
        })
    }

    /// Asks `node` a question.
    pub fn read(&mut self, node: NodeId, query: &[u8]) -> Ticket {
        let now = self.now;
        self.ticket(node, |group, ticket| {
            group.replica().read(now, ticket, query)
        })
    }

    /// Asks `node` how many replicas hold an index.
    pub fn wait(&mut self, node: NodeId, wait: crate::Wait) -> Ticket {
        let now = self.now;
        self.ticket(node, |group, ticket| {
            group.replica().wait(now, ticket, wait)
        })
    }

    /// What became of a request, if it has been answered.
    pub fn answer(&mut self, ticket: Ticket) -> Option<Answer> {
        self.answers.remove(&ticket)
    }

    /// A node's state machine.
    #[must_use]
    pub fn machine(&self, node: NodeId) -> Option<&S> {
        self.nodes.get(&node).map(|node| node.group.machine())
    }

    /// A node's driver.
    #[must_use]
    pub fn replica(&self, node: NodeId) -> Option<&Replica<C, Ticket>> {
        self.nodes.get(&node).map(|node| node.group.view())
    }

    /// Cuts `node` off: its connections break, and nothing reaches it or leaves it.
    pub fn cut(&mut self, node: NodeId) {
        self.cut.insert(node);
        self.relink(node, |replica, peer| replica.link_down(peer));
    }

    /// Ends what [`cut`](LocalCluster::cut) began.
    pub fn heal(&mut self, node: NodeId) {
        self.cut.remove(&node);
        self.relink(node, |replica, peer| replica.link_up(peer));
    }

    /// Puts `node`'s clock so far ahead of the others', in milliseconds.
    pub fn set_clock_ahead(&mut self, node: NodeId, ahead_ms: u64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.ahead_ms = ahead_ms;
        }
    }

    /// Lets everything happen that needs no time.
    ///
    /// # Errors
    /// When a state machine stops.
    pub fn run(&mut self) -> Result<(), GroupError<S::Error>> {
        loop {
            let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
            let mut quiet = true;
            for id in ids {
                quiet &= self.turn(id)?;
            }
            if quiet && self.network.is_empty() {
                return Ok(());
            }
            self.deliver();
        }
    }

    /// Lets time pass, a millisecond at a step.
    ///
    /// # Errors
    /// When a state machine stops.
    pub fn advance(&mut self, span: Micros) -> Result<(), GroupError<S::Error>> {
        let end = self.now + span;
        while self.now < end {
            self.now = (self.now + Micros(1_000)).min(end);
            self.run()?;
        }
        Ok(())
    }

    /// Lets time pass until somebody leads and everybody knows, for ten seconds at most.
    ///
    /// # Errors
    /// When a state machine stops.
    pub fn elect(&mut self) -> Result<Option<NodeId>, GroupError<S::Error>> {
        for _ in 0..10_000 {
            self.advance(Micros(1_000))?;
            if let Some(leader) = self.leader()
                && self.all_follow(leader)
            {
                return Ok(Some(leader));
            }
        }
        Ok(None)
    }

    fn all_follow(&self, leader: NodeId) -> bool {
        let connected = self.nodes.iter().filter(|(id, _)| !self.cut.contains(id));
        let mut known = connected.map(|(_, node)| node.group.view().leadership().1);
        known.all(|known| known == Some(leader))
    }

    fn ticket(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Group<C, S, Ticket>, Ticket),
    ) -> Ticket {
        self.tickets += 1;
        if let Some(node) = self.nodes.get_mut(&node) {
            act(&mut node.group, self.tickets);
        }
        self.tickets
    }

    fn relink(&mut self, node: NodeId, act: impl Fn(&mut Replica<C, Ticket>, NodeId)) {
        for (id, other) in &mut self.nodes {
            if *id != node && !self.cut.contains(id) {
                act(other.group.replica(), node);
            }
        }
        let peers: Vec<NodeId> = self
            .nodes
            .keys()
            .copied()
            .filter(|id| *id != node)
            .collect();
        if let Some(own) = self.nodes.get_mut(&node) {
            for peer in peers.into_iter().filter(|peer| !self.cut.contains(peer)) {
                act(own.group.replica(), peer);
            }
        }
    }

    /// Returns whether there was nothing to write.
    fn turn(&mut self, id: NodeId) -> Result<bool, GroupError<S::Error>> {
        let Some(node) = self.nodes.get_mut(&id) else {
            return Ok(true);
        };
        let wall = Millis(1_000_000 + self.now.0 / 1_000 + node.ahead_ms);
        let mut io = LocalIo {
            me: id,
            log: &mut node.log,
            persisted: None,
            fetched: Vec::new(),
            network: &mut self.network,
            answers: &mut self.answers,
        };
        node.group.turn(self.now, wall, &mut io)?;
        let (persisted, fetched) = (io.persisted, io.fetched);
        let quiet = persisted.is_none() && fetched.is_empty() && !node.group.has_work();
        if let Some(seq) = persisted {
            node.group.replica().persisted(self.now, seq);
        }
        for (fetch, result) in fetched {
            node.group.replica().fetched(self.now, fetch, result);
        }
        Ok(quiet)
    }

    fn deliver(&mut self) {
        for (from, to, message) in std::mem::take(&mut self.network) {
            if self.cut.contains(&from) || self.cut.contains(&to) {
                continue;
            }
            let ahead_ms = self.nodes.get(&from).map_or(0, |node| node.ahead_ms);
            if let Some(node) = self.nodes.get_mut(&to) {
                let clock = Millis(1_000_000 + self.now.0 / 1_000 + ahead_ms);
                let replica = node.group.replica();
                replica.saw_clock(self.now, from, clock);
                replica.receive(self.now, from, message);
            }
        }
    }
}

impl<C: Consensus, S: StateMachine> LocalCluster<C, S> {
    /// Starts `node` again from its log, with an empty state machine.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn restart(
        &mut self,
        node: NodeId,
        boot: u64,
        core: impl Fn(NodeId, Recovered) -> C,
        machine: S,
    ) -> Result<(), crate::RecordError> {
        let members = Membership::of_voters(self.nodes.keys().copied());
        self.cut(node);
        if let Some(own) = self.nodes.get_mut(&node) {
            let log = &mut own.log;
            let found = log.recovered(GROUP);
            let applied = machine.applied();
            let recovered = to_recovered(found, members.clone(), applied, |_| None)?;
            let core = core(node, recovered);
            let replica = Replica::new(core, Config::new(node, boot), members, applied.index);
            own.group = Group::new(replica, machine);
        }
        self.heal(node);
        Ok(())
    }
}

struct LocalIo<'a, M> {
    me: NodeId,
    log: &'a mut MemoryLog,
    persisted: Option<WriteSeq>,
    fetched: Vec<(FetchId, Fetched)>,
    network: &'a mut VecDeque<(NodeId, NodeId, Message<M>)>,
    answers: &'a mut BTreeMap<Ticket, Answer>,
}

impl<M: consensus::Message> Io<M, Ticket> for LocalIo<'_, M> {
    fn send(&mut self, to: NodeId, message: Message<M>) {
        self.network.push_back((self.me, to, message));
    }

    fn write(&mut self, seq: WriteSeq, ops: Vec<LogOp>) {
        let ops = ops.into_iter().map(to_log).collect();
        let write = GroupWrite { group: GROUP, ops };
        let written = self.log.write(&[write]);
        assert!(written.is_ok(), "a log in memory cannot fail");
        self.persisted = Some(seq);
    }

    fn fetch(&mut self, id: FetchId, from: Index, to: Index, max_bytes: usize) {
        let read = self.log.read(GROUP, from.0, to.0, max_bytes);
        let fetched = read.ok().and_then(|read| to_fetched(read).ok());
        self.fetched.push((id, fetched.unwrap_or(Fetched::Corrupt)));
    }

    fn reply(&mut self, ticket: Ticket, _: Option<Index>, reply: &[u8]) {
        self.answers.insert(ticket, Answer::Reply(reply.to_vec()));
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.answers.insert(ticket, Answer::Failed(failure));
    }

    fn held(&mut self, ticket: Ticket, held: Held) {
        self.answers.insert(ticket, Answer::Held(held));
    }
}
