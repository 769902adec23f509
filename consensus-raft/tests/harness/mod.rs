//! A cluster in one thread in which nothing happens unless it is told to: every message waits in
//! the network until it is delivered or dropped, every write until it is persisted, every clock
//! until it is moved. Whatever a node answers is checked at once (`checks.rs`).
#![expect(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "it is a test, though not marked as one")]

mod checks;
pub(crate) mod disk;
mod render;

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus::{
    Consensus, Done, FetchId, Fetched, Index, Input, Membership, Micros, NodeId, Output, Payload,
    Position, ReadMode, RequestId, Role, WriteSeq,
};
use consensus_raft::{Config, Message, Raft};

pub(crate) use checks::{Truth, end};
pub(crate) use disk::Disk;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A message under way.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Message,
}

/// One node: its core while it runs, and what outlives a crash.
pub(crate) struct Node {
    pub(crate) core: Option<Raft>,
    pub(crate) life: u32,
    pub(crate) disk: Disk,
    pub(crate) next_commit: u64,
    /// The last committed entry that the state machine has not reported yet.
    pub(crate) to_report: Option<Position>,
    pub(crate) applied: Position,
    pub(crate) applied_durably: Position,
    pub(crate) fetches: Vec<(FetchId, Fetched)>,
    /// The snapshot it wants to install.
    pub(crate) installing: Option<Position>,
    pub(crate) leadership: (u64, Option<NodeId>),
    last_seq: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done(Done),
    Ready(Index),
}

/// A request: who was asked in which life, what was committed then, how it ended.
pub(crate) struct Asked {
    pub(crate) node: NodeId,
    pub(crate) life: u32,
    pub(crate) read: bool,
    floor: u64,
    pub(crate) answer: Option<Answer>,
}

/// The cluster.
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) net: Vec<Packet>,
    pub(crate) now: Micros,
    pub(crate) members: Membership,
    pub(crate) seed: u64,
    pub(crate) truth: Truth,
    pub(crate) asked: BTreeMap<RequestId, Asked>,
    pub(crate) trace: Vec<String>,
    /// Whether messages are traced when they are sent, instead of when they arrive.
    pub(crate) trace_sends: bool,
    /// How many lines of trace to keep; the rest is dropped now and then.
    pub(crate) keep_trace: usize,
    /// The snapshots that leaders want sent, and to whom.
    pub(crate) snapshots: Vec<(NodeId, NodeId)>,
    configure: fn(NodeId) -> Config,
}

pub(crate) fn n(id: u64) -> NodeId {
    NodeId(id)
}

impl World {
    /// Nodes 1 to `size`, all voters, all started.
    pub(crate) fn new(size: u64, seed: u64, configure: fn(NodeId) -> Config) -> Self {
        let members = Membership::of_voters((1..=size).map(NodeId));
        World::of(members, seed, configure)
    }

    pub(crate) fn of(members: Membership, seed: u64, configure: fn(NodeId) -> Config) -> Self {
        let mut world = World {
            nodes: BTreeMap::new(),
            net: Vec::new(),
            now: Micros(1_000_000),
            members,
            seed,
            truth: Truth::default(),
            asked: BTreeMap::new(),
            trace: Vec::new(),
            trace_sends: false,
            keep_trace: 400,
            snapshots: Vec::new(),
            configure,
        };
        let ids: Vec<NodeId> = world.members.members.keys().copied().collect();
        for id in ids {
            world.nodes.insert(id, Node::new());
            world.start(id);
        }
        world
    }

    /// Voters whose disks hold logs of these terms, as in the paper's figures; each one's hard
    /// state is at the term of its last entry, or at `term` if that is higher.
    pub(crate) fn with_logs(logs: &[&[u64]], term: u64) -> Self {
        let mut world = World::new(logs.len() as u64, 0, Config::new);
        for (id, terms) in (1..).map(NodeId).zip(logs) {
            world.crash(id, 0);
            let log = &mut world.node(id).disk.durable;
            log.hard_state = Some(disk::hard_state(term.max(*terms.last().unwrap_or(&0))));
            for (index, term) in (1..).zip(terms.iter()) {
                log.entries.insert(index, disk::entry(index, *term));
            }
            world.node(id).disk.crash(0);
            world.start(id);
        }
        world.net.clear();
        world.advance(Micros(1));
        world
    }

    /// The terms of a node's log.
    pub(crate) fn terms(&self, id: NodeId) -> Vec<u64> {
        let entries = self.nodes[&id].disk.view.entries.values();
        entries.map(|entry| entry.epoch.round).collect()
    }

    /// Takes what `id` has sent out of the network.
    pub(crate) fn take_sent(&mut self, id: NodeId) -> Vec<(NodeId, Message)> {
        let sent = self.net.iter().filter(|packet| packet.from == id);
        let sent = sent.map(|p| (p.to, p.message.clone())).collect();
        self.net.retain(|packet| packet.from != id);
        sent
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub(crate) fn is_up(&self, id: NodeId) -> bool {
        self.nodes[&id].core.is_some()
    }

    pub(crate) fn core(&self, id: NodeId) -> &Raft {
        self.nodes[&id].core.as_ref().unwrap()
    }

    pub(crate) fn role(&self, id: NodeId) -> Role {
        self.core(id).status().role
    }

    /// Those who lead by their own account.
    pub(crate) fn leaders(&self) -> Vec<NodeId> {
        let leads = |(id, node): (&NodeId, &Node)| {
            (node.core.is_some() && node.leadership.1 == Some(*id)).then_some(*id)
        };
        self.nodes.iter().filter_map(leads).collect()
    }

    /// Starts a node from its disk.
    pub(crate) fn start(&mut self, id: NodeId) {
        self.start_damaged(id, false);
    }

    pub(crate) fn start_damaged(&mut self, id: NodeId, damaged: bool) {
        let (config, members) = ((self.configure)(id), self.members.clone());
        let cluster_seed = self.seed << 20;
        let node = self.node(id);
        assert!(node.core.is_none());
        node.life += 1;
        node.last_seq = 0;
        node.applied = node.applied_durably;
        node.next_commit = node.applied.index.0 + 1;
        node.leadership = (0, None);
        let mut recovered = node.disk.recovered(&members, node.applied);
        recovered.damaged = damaged;
        let seed = id.0 * 1_000 + u64::from(node.life);
        node.core = Some(Raft::new(config, seed ^ cluster_seed, recovered));
        self.say(format!("{id} starts"));
        self.drain(id);
    }

    /// Stops a node; of what its disk had queued, the first `keep` operations survive.
    pub(crate) fn crash(&mut self, id: NodeId, keep: usize) {
        let node = self.node(id);
        node.core = None;
        node.disk.crash(keep);
        node.to_report = None;
        node.installing = None;
        node.fetches.clear();
        self.say(format!("{id} crashes"));
    }

    pub(crate) fn step(&mut self, id: NodeId, input: Input<Message>) {
        let now = self.now;
        if let Some(core) = &mut self.node(id).core {
            core.step(now, input);
            self.drain(id);
        }
    }

    /// Delivers the `i`th packet under way.
    pub(crate) fn deliver(&mut self, i: usize) {
        let Packet { from, to, message } = self.net.remove(i);
        self.hand(from, to, message);
    }

    /// Hands a message over, whoever sent it.
    pub(crate) fn hand(&mut self, from: NodeId, to: NodeId, message: Message) {
        if self.is_up(to) {
            if !self.trace_sends {
                self.say(format!("{from} → {to} {}", render::message(&message)));
            }
            self.step(to, Input::Message { from, message });
        }
    }

    /// Makes up to `count` queued writes durable, and reports the last.
    pub(crate) fn persist(&mut self, id: NodeId, count: usize) {
        let disk = &mut self.node(id).disk;
        let last = (0..count).map_while(|_| disk.persist()).last();
        if let Some(seq) = last {
            self.say(format!("{id} persisted #{}", seq.0));
            self.step(id, Input::Persisted(seq));
        }
    }

    /// Reports what is committed as applied.
    pub(crate) fn report_applied(&mut self, id: NodeId) {
        let node = self.node(id);
        if let Some(at) = node.to_report.take() {
            node.applied = at;
            self.step(id, Input::Applied(at.index));
        }
    }

    /// Answers the oldest fetch.
    pub(crate) fn answer_fetch(&mut self, id: NodeId) {
        let node = self.node(id);
        if !node.fetches.is_empty() {
            let (fetch, result) = node.fetches.remove(0);
            self.step(id, Input::Fetched { id: fetch, result });
        }
    }

    /// Ticks those whose deadline has come.
    pub(crate) fn tick_due(&mut self) {
        for id in self.ids() {
            if self.is_up(id) && self.core(id).deadline().is_some_and(|at| at <= self.now) {
                self.step(id, Input::Tick);
                let again = self.core(id).deadline();
                self.check(again.is_none_or(|at| at > self.now), || {
                    format!("{id} wants another tick at once")
                });
            }
        }
    }

    /// Moves the clock, and ticks those whose deadline has come.
    pub(crate) fn advance(&mut self, span: Micros) {
        self.now = self.now + span;
        self.tick_due();
    }

    /// Moves the clock to `id`'s deadline and ticks it alone.
    pub(crate) fn expire(&mut self, id: NodeId) {
        if let Some(at) = self.core(id).deadline() {
            self.now = self.now.max(at);
            self.step(id, Input::Tick);
        }
    }

    pub(crate) fn propose(&mut self, id: NodeId, batch: impl Into<Bytes>) -> RequestId {
        let request = self.ask(id, false);
        let batch = batch.into();
        self.step(id, Input::Propose { request, batch });
        request
    }

    /// Proposes all `batches` before anything that follows is drained.
    pub(crate) fn burst(&mut self, id: NodeId, batches: &[String]) {
        let now = self.now;
        for batch in batches {
            let request = self.ask(id, false);
            let batch = Bytes::from(batch.clone());
            let core = self.node(id).core.as_mut().unwrap();
            core.step(now, Input::Propose { request, batch });
        }
        self.drain(id);
    }

    /// Offers `id` a snapshot.
    pub(crate) fn offer(&mut self, id: NodeId, from: NodeId, at: Position) {
        let membership = self.members.clone();
        self.say(format!("{id} is offered {at} by {from}"));
        self.step(
            id,
            Input::SnapshotOffered {
                from,
                at,
                membership,
            },
        );
    }

    /// Puts a state machine at `at` in the place of `id`'s.
    pub(crate) fn install(&mut self, id: NodeId, at: Position) {
        let membership = self.members.clone();
        let node = self.node(id);
        node.installing = None;
        node.to_report = None;
        node.next_commit = at.index.0 + 1;
        node.applied = at;
        node.applied_durably = at;
        self.say(format!("{id} has installed {at}"));
        self.step(id, Input::SnapshotInstalled { at, membership });
    }

    /// Says that what `id` wants to install cannot be had.
    pub(crate) fn abandon(&mut self, id: NodeId) {
        if let Some(at) = self.node(id).installing.take() {
            self.say(format!("{id} abandons {at}"));
            self.step(id, Input::SnapshotAbandoned { at });
        }
    }

    /// What the state machine of a stopped node has applied of what is committed is durable.
    pub(crate) fn flush(&mut self, id: NodeId) {
        let end = end(&self.truth.committed);
        let node = self.node(id);
        assert!(node.core.is_none());
        node.applied_durably = end;
    }

    pub(crate) fn read(&mut self, id: NodeId) -> RequestId {
        let request = self.ask(id, true);
        let mode = ReadMode::Quorum;
        self.step(id, Input::Read { request, mode });
        request
    }

    fn ask(&mut self, node: NodeId, read: bool) -> RequestId {
        let request = RequestId(self.asked.len() as u64 + 1);
        let asked = Asked {
            node,
            life: self.nodes[&node].life,
            read,
            floor: self.truth.committed.len() as u64,
            answer: None,
        };
        self.asked.insert(request, asked);
        let what = if read { "read" } else { "propose" };
        self.say(format!("{node} asked to {what}, request {}", request.0));
        request
    }

    pub(crate) fn answer(&self, request: RequestId) -> Option<Answer> {
        self.asked[&request].answer
    }

    /// Delivers everything, persists everything and applies everything, in order, until nothing
    /// is left to do at this moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let quiet = self.net.is_empty() && self.nodes.values().all(Node::is_idle);
            if quiet {
                return;
            }
            while !self.net.is_empty() {
                self.deliver(0);
            }
            for id in self.ids() {
                self.persist(id, usize::MAX);
                self.answer_fetch(id);
                self.report_applied(id);
            }
        }
        self.check(false, || "the cluster talks without end".into());
    }

    /// Lets `id` win an election, everything being delivered.
    pub(crate) fn elect(&mut self, id: NodeId) {
        for _ in 0..50 {
            self.now = self.now + Micros::from_millis(1_000);
            self.step(id, Input::Tick);
            self.settle();
            if self.leaders() == [id] {
                return;
            }
        }
        self.check(false, || format!("{id} is not elected"));
    }

    pub(crate) fn say(&mut self, line: String) {
        if self.trace.len() > 2 * self.keep_trace {
            self.trace.drain(..self.keep_trace);
        }
        self.trace.push(line);
    }

    fn drain(&mut self, id: NodeId) {
        while let Some(output) = self.node(id).core.as_mut().and_then(Raft::poll) {
            self.carry_out(id, output);
        }
    }

    fn carry_out(&mut self, id: NodeId, output: Output<Message>) {
        match output {
            Output::Send { to, message } => {
                self.check_send(id, to, &message);
                if self.trace_sends {
                    self.say(format!("{id} → {to} {}", render::message(&message)));
                }
                let from = id;
                self.net.push(Packet { from, to, message });
            }
            Output::Write {
                seq: WriteSeq(seq),
                ops,
            } => {
                self.say(format!("{id} write #{seq}{}", render::ops(&ops)));
                let last = self.nodes[&id].last_seq;
                self.check(seq == last + 1, || {
                    format!("{id} writes #{seq} after #{last}")
                });
                for op in &ops {
                    if let consensus::LogOp::Put(entry) = op {
                        self.check_put(id, entry);
                        self.node(id).disk.unreadable.remove(&entry.index.0);
                    }
                    self.node(id).disk.view.apply(op);
                }
                self.node(id).last_seq = seq;
                self.node(id).disk.queue.push_back((WriteSeq(seq), ops));
            }
            Output::Commit(entries) => {
                self.say(format!("{id} commit {}", render::range(&entries)));
                let installs = self.nodes[&id].installing;
                self.check(installs.is_none(), || {
                    format!("{id} commits while it installs {installs:?}")
                });
                for entry in &entries {
                    self.check_commit(id, entry);
                    self.node(id).next_commit += 1;
                    self.node(id).to_report = Some(entry.position());
                }
            }
            Output::Fetch {
                id: fetch,
                from,
                to,
                max_bytes,
            } => {
                self.say(format!("{id} fetch #{} {from}..{to}", fetch.0));
                let node = self.node(id);
                let result = node.disk.fetch(from, to, max_bytes);
                node.fetches.push((fetch, result));
            }
            Output::ReadReady { request, index } => {
                self.say(format!("{id} read {} ready at {index}", request.0));
                let floor = self.asked[&request].floor;
                self.check(index.0 >= floor, || {
                    format!("{request:?} is served at {index}, {floor} was committed before")
                });
                self.answered(id, request, Answer::Ready(index));
            }
            Output::Done { request, done } => {
                self.say(format!("{id} request {} {}", request.0, render::done(done)));
                self.answered(id, request, Answer::Done(done));
            }
            Output::SendSnapshot { to } => {
                self.say(format!("{id} snapshot for {to}"));
                self.snapshots.push((id, to));
            }
            Output::InstallSnapshot { from, at } => {
                self.say(format!("{id} install snapshot {at} of {from}"));
                let next = self.nodes[&id].next_commit;
                self.check(at.index.0 >= next, || {
                    format!("{id} installs {at}, {next} is next")
                });
                self.node(id).installing = Some(at);
            }
            Output::Membership(_) => {}
            Output::Leadership { epoch, leader } => {
                let who = leader.map_or("nobody".into(), |leader| leader.to_string());
                self.say(format!("{id} leader of {epoch} is {who}"));
                self.node(id).leadership = (epoch.round, leader);
                if leader == Some(id) {
                    self.check_leads(id, epoch.round);
                }
            }
        }
    }

    fn answered(&mut self, id: NodeId, request: RequestId, answer: Answer) {
        let life = self.nodes[&id].life;
        let asked = self.asked.get_mut(&request).unwrap();
        let fits = asked.node == id && asked.life == life && asked.answer.is_none();
        asked.answer = Some(answer);
        self.check(fits, || {
            format!("{id} answers {request:?} wrongly or twice")
        });
    }
}

impl Node {
    fn new() -> Self {
        Node {
            core: None,
            life: 0,
            disk: Disk::default(),
            next_commit: 1,
            to_report: None,
            applied: Position::ZERO,
            applied_durably: Position::ZERO,
            fetches: Vec::new(),
            installing: None,
            leadership: (0, None),
            last_seq: 0,
        }
    }

    fn is_idle(&self) -> bool {
        let stuck = self.disk.hung || self.disk.queue.is_empty();
        self.core.is_none() || stuck && self.fetches.is_empty() && self.to_report.is_none()
    }
}

/// The payload of a committed batch, as text.
pub(crate) fn text(payload: &Payload) -> String {
    match payload {
        Payload::Batch(batch) => String::from_utf8_lossy(batch).into_owned(),
        Payload::Blank | Payload::Membership(_) => "-".into(),
    }
}
