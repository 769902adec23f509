//! A cluster of one protocol in one thread: time is a number, every latency follows from a seed.
//!
//! The agenda is a queue of what will happen (a message arrives, a write is durable, a commit is
//! applied, entries come back from the log) next to the protocols' own deadlines. One turn takes
//! the earliest, steps one node with it, and drains and checks everything that node answers. So
//! whatever goes wrong goes wrong within one event, and that event is the last line of the trace.

pub(super) mod clients;
mod faults;
mod looks;
mod outputs;
mod snapshots;

use std::collections::BTreeMap;
use std::fmt;

use self::snapshots::Transfer;
use super::ledger::{Checked, Ledger};
use super::network::Network;
use super::node::Node;
use super::random::Random;
use super::trace::Trace;
use crate::{Consensus, FetchId, Fetched, Input, LogOp, Membership, Micros, NodeId, WriteSeq};

/// How often a node may ask to be woken at one instant before that is a busy loop.
const TICKS_AT_ONCE: u32 = 100;

/// Makes a node's configuration.
pub type Configure<'a, C> = &'a dyn Fn(NodeId) -> <C as Consensus>::Config;

/// Something that will happen.
enum Event {
    Arrive {
        from: NodeId,
        to: NodeId,
        bytes: Vec<u8>,
    },
    DiskTurn(NodeId, u32),
    Apply(NodeId, u32),
    Fetched {
        to: NodeId,
        life: u32,
        id: FetchId,
        result: Fetched,
    },
    SnapshotOffered(Transfer),
    SnapshotInstalled(Transfer, u32),
    SnapshotLost(Transfer),
}

/// A message that is kept back.
struct Held {
    from: NodeId,
    to: NodeId,
    bytes: Vec<u8>,
}

/// Nodes, their disks and the network between them.
pub struct Cluster<'a, C: Consensus> {
    configure: Configure<'a, C>,
    membership: Membership,
    nodes: BTreeMap<NodeId, Node<C>>,
    agenda: BTreeMap<(Micros, u64), Event>,
    scheduled: u64,
    held: Vec<Held>,
    snapshots: u64,
    transfers: BTreeMap<u64, Transfer>,
    offers: BTreeMap<NodeId, Transfer>,
    now: Micros,
    ticked: (Micros, NodeId, u32),
    random: Random,
    ledger: Ledger,
    trace: Trace,
    persisted_writes: u64,
    crash_all_at: Option<u64>,
    crash_writer_at: Option<u64>,
    issued_writes: u64,
    /// Who hears whom.
    pub net: Network,
    /// Whether a crash of everybody keeps, by chance, some of what was not reported as durable.
    pub crashes_keep_some: bool,
    /// How long a write takes to become durable: least and most, in microseconds.
    pub disk_us: (u64, u64),
    /// How many entries the log store hands back at once.
    pub fetch_most: usize,
    /// Whether every answer to a fetch comes twice, and after one that nobody asked for.
    pub fetch_noise: bool,
    /// The node whose log store says that it cannot read its entries.
    pub fetch_corrupt: Option<NodeId>,
    /// How many snapshots that are wanted cannot be installed.
    pub refused_installs: u32,
    /// Whether every message is compared, field by field, with what its peer decodes.
    pub compare_messages: bool,
    /// Keeps every message sent, for cases that send them again.
    pub record: Option<Vec<(NodeId, NodeId, Vec<u8>)>>,
    /// Whether what the nodes say is checked. Forged messages void every promise but one: that
    /// nothing panics.
    pub judged: bool,
}

impl<'a, C: Consensus> Cluster<'a, C> {
    /// A cluster of nodes 1 to `size`, all started.
    pub fn new(configure: Configure<'a, C>, size: u64, seed: u64) -> Self {
        let mut cluster = Cluster::down(configure, size, seed);
        cluster.ids().into_iter().for_each(|id| cluster.start(id));
        cluster
    }

    /// A cluster of nodes 1 to `size`, none started yet.
    pub fn down(configure: Configure<'a, C>, size: u64, seed: u64) -> Self {
        let membership = Membership::of_voters((1..=size).map(NodeId));
        let node = |id| (id, Node::new(id, membership.clone()));
        Cluster {
            configure,
            nodes: (1..=size).map(NodeId).map(node).collect(),
            membership,
            agenda: BTreeMap::new(),
            scheduled: 0,
            held: Vec::new(),
            snapshots: 0,
            transfers: BTreeMap::new(),
            offers: BTreeMap::new(),
            now: Micros(1_000_000),
            ticked: (Micros(0), NodeId(0), 0),
            random: Random::new(seed),
            ledger: Ledger::default(),
            trace: Trace::new(seed),
            persisted_writes: 0,
            crash_all_at: None,
            crash_writer_at: None,
            issued_writes: 0,
            net: Network::new(),
            crashes_keep_some: false,
            disk_us: (300, 1_500),
            fetch_most: usize::MAX,
            fetch_noise: false,
            fetch_corrupt: None,
            refused_installs: 0,
            compare_messages: false,
            record: None,
            judged: true,
        }
    }

    /// Every node's id, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// The nodes that run.
    #[must_use]
    pub fn up(&self) -> Vec<NodeId> {
        let up = self.nodes.values().filter(|node| node.is_up());
        up.map(|node| node.id).collect()
    }

    /// A node.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node<C> {
        match self.nodes.get(&id) {
            Some(node) => node,
            None => panic!("the cluster has no {id}"),
        }
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<C> {
        match self.nodes.get_mut(&id) {
            Some(node) => node,
            None => panic!("the cluster has no {id}"),
        }
    }

    /// The time by the cluster's clock.
    #[must_use]
    pub const fn now(&self) -> Micros {
        self.now
    }

    /// The cluster's chance, for cases that need some of their own.
    pub const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The hash of everything that happened.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Ends the case as failed, with the last events.
    #[track_caller]
    pub fn fail(&self, why: impl fmt::Display) -> ! {
        panic!("{why}\n\n{}\n", self.trace);
    }

    /// Fails the case unless `holds`.
    #[track_caller]
    pub fn check(&self, holds: bool, otherwise: impl fmt::Display) {
        if !holds {
            self.fail(otherwise);
        }
    }

    /// Runs for `span`.
    pub fn run_for(&mut self, span: Micros) {
        let until = self.now + span;
        while self.turn(until) {}
    }

    /// Runs for at most `limit`, until `done` holds. Says whether it does.
    pub fn run_until(&mut self, limit: Micros, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + limit;
        while !done(self) {
            if !self.turn(until) {
                return done(self);
            }
        }
        true
    }

    /// Lets the next thing happen, if that is no later than `until`; otherwise it becomes `until`
    /// and nothing happens.
    pub fn turn(&mut self, until: Micros) -> bool {
        let event = self.agenda.keys().next().map(|(at, _)| *at);
        let alarm = self.alarms().min();
        let at = match (event, alarm) {
            (Some(event), Some((alarm, _))) => event.min(alarm),
            (Some(at), None) | (None, Some((at, _))) => at,
            (None, None) => until,
        };
        if at > until || (event.is_none() && alarm.is_none()) {
            self.now = until;
            return false;
        }
        self.now = self.now.max(at);
        match alarm {
            Some((alarm, node)) if event.is_none_or(|event| alarm < event) => self.tick(node),
            _ => {
                if let Some((_, event)) = self.agenda.pop_first() {
                    self.happen(event);
                }
            }
        }
        true
    }

    /// When each node whose clock runs wants to be woken.
    fn alarms(&self) -> impl Iterator<Item = (Micros, NodeId)> {
        let running = self.nodes.values().filter(|n| n.stopped_clock.is_none());
        running.filter_map(|node| Some((node.core.as_ref()?.deadline()?, node.id)))
    }

    fn tick(&mut self, id: NodeId) {
        let (at, node, times) = self.ticked;
        let again = (at, node) == (self.now, id);
        self.ticked = (self.now, id, if again { times + 1 } else { 1 });
        if times > TICKS_AT_ONCE && again {
            self.fail(format_args!("{id} asks for ticks without end: busy loop"));
        }
        self.node_mut(id).ticks += 1;
        self.step(id, Input::Tick);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { from, to, bytes } => self.arrive(from, to, &bytes),
            Event::DiskTurn(id, life) if self.lives(id, life) => self.disk_turn(id),
            Event::Apply(id, life) if self.lives(id, life) => self.apply_next(id),
            Event::Fetched {
                to,
                life,
                id,
                result,
            } if self.lives(to, life) => self.step(to, Input::Fetched { id, result }),
            Event::SnapshotOffered(transfer) => self.snapshot_offered(transfer),
            Event::SnapshotInstalled(transfer, life) => self.snapshot_installed(transfer, life),
            Event::SnapshotLost(transfer) => self.snapshot_lost(transfer),
            // Whom it was meant for has crashed since.
            Event::DiskTurn(..) | Event::Apply(..) | Event::Fetched { .. } => {}
        }
    }

    fn lives(&self, id: NodeId, life: u32) -> bool {
        let node = self.node(id);
        node.is_up() && node.life == life
    }

    fn arrive(&mut self, from: NodeId, to: NodeId, bytes: &[u8]) {
        if !self.node(to).is_up() {
            return;
        }
        match rmp_serde::from_slice::<C::Message>(bytes) {
            Ok(message) => {
                let now = self.now;
                self.trace
                    .line(now, format_args!("{from} → {to}  {message:?}"));
                self.step(to, Input::Message { from, message });
            }
            Err(error) => self.fail(format_args!("{from} → {to}: cannot be decoded: {error}")),
        }
    }

    /// Every write whose time has come is durable; one report covers them all.
    fn disk_turn(&mut self, id: NodeId) {
        let (now, mut last) = (self.now, None);
        while let Some((seq, ops)) = self.node_mut(id).disk.persist_due(now) {
            last = Some(seq);
            self.persisted(id, &ops);
            if self.crash_all_at == Some(self.persisted_writes) {
                self.crash_all();
                return;
            }
        }
        self.report(id, last);
    }

    fn persisted(&mut self, id: NodeId, ops: &[LogOp]) {
        self.persisted_writes += 1;
        let kept = self.still_durable(id, ops);
        self.judge(kept);
    }

    fn report(&mut self, id: NodeId, last: Option<WriteSeq>) {
        if let Some(seq) = last {
            self.say(format_args!("{id} has durably written #{}", seq.0));
            self.step(id, Input::Persisted(seq));
        }
    }

    fn apply_next(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        if node.apply_held {
            return;
        }
        let Some(last) = node.to_apply.pop_back() else {
            return;
        };
        node.to_apply.clear();
        node.applied = last;
        self.step(id, Input::Applied(last.index));
    }

    /// Gives `id` an input, if it runs, and carries out what follows.
    pub fn step(&mut self, id: NodeId, input: Input<C::Message>) {
        let now = self.node(id).stopped_clock.unwrap_or(self.now);
        let Some(core) = self.node_mut(id).core.as_mut() else {
            return;
        };
        core.step(now, input);
        self.drain(id);
        if self
            .crash_writer_at
            .is_some_and(|k| self.issued_writes >= k)
        {
            self.crash_writer_at = None;
            self.crash(id, 0);
        }
    }

    fn judge(&self, checked: Checked) {
        if let (true, Err(why)) = (self.judged, checked) {
            self.fail(why);
        }
    }

    fn at(&mut self, when: Micros, event: Event) {
        self.scheduled += 1;
        self.agenda.insert((when, self.scheduled), event);
    }
}
