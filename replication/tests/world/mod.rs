//! Real groups in one thread: logs and snapshot files in memory, links that can be cut, a clock
//! that moves by the millisecond. What a node has written is durable; its state machine is not,
//! until it is persisted as a snapshot.
#![expect(clippy::unwrap_used, reason = "it is a test, though not marked as one")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use consensus::{
    Consensus, Epoch, FetchId, Fetched, Index, LogOp, Membership, Micros, NodeId, Position,
    Recovered, WriteSeq,
};
use consensus_raft::Raft;
use replication::{
    Config, EntryInfo, Failure, Group, Held, InstallFailure, Io, Message, Millis, Query, Replica,
    SEMANTICS, SnapshotId, SnapshotMeta, SnapshotTask, StateMachine, to_fetched, to_log,
    to_recovered,
};
use storage::{GroupId, GroupWrite, LogStore, MemoryLog};

type Wire = Message<<Raft as Consensus>::Message>;

pub(crate) const GROUP: GroupId = GroupId(0);
pub(crate) const CHUNK: usize = 1 << 10;
pub(crate) const WINDOW: usize = 4 << 10;

/// Keeps every command under its first byte's number: `[key, value…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) applied: Position,
    pub(crate) rows: BTreeMap<u8, Vec<u8>>,
    /// The newest version of the commands' meaning that it understands.
    knows: u8,
}

/// The row that holds under which version the last entry was applied.
pub(crate) const VERSION: u8 = 255;

impl Machine {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.applied.index.0.to_le_bytes().to_vec();
        bytes.extend(self.applied.epoch.round.to_le_bytes());
        for (key, value) in &self.rows {
            bytes.push(*key);
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(value);
        }
        bytes
    }

    fn of_bytes(bytes: &[u8], knows: u8) -> Machine {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let applied = Position {
            index: Index(number(0)),
            epoch: Epoch::term(number(8)),
        };
        let (mut rows, mut rest) = (BTreeMap::new(), &bytes[16..]);
        while let [key, tail @ ..] = rest {
            let (len, tail) = tail.split_first_chunk::<4>().unwrap();
            let (value, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
            rows.insert(*key, value.to_vec());
            rest = tail;
        }
        Machine {
            applied,
            rows,
            knows,
        }
    }
}

impl StateMachine for Machine {
    type Error = std::convert::Infallible;

    fn applied(&self) -> Position {
        self.applied
    }
    fn semantics(&self) -> u8 {
        self.knows
    }
    fn begin(&mut self, entry: EntryInfo<'_>) -> Result<(), Self::Error> {
        self.rows.insert(VERSION, vec![entry.semantics]);
        assert!(
            entry.position.index > self.applied.index,
            "applied twice: {}",
            entry.position
        );
        self.applied = entry.position;
        Ok(())
    }
    fn apply(&mut self, command: &[u8], reply: Option<&mut Vec<u8>>) -> Result<(), Self::Error> {
        if let [key, value @ ..] = command {
            self.rows.insert(*key, value.to_vec());
        }
        reply.into_iter().for_each(|reply| reply.push(b'+'));
        Ok(())
    }
    fn commit(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
    fn query(&self, query: &[u8], _: Millis, reply: &mut Vec<u8>) -> Result<Query, Self::Error> {
        let value = query.first().and_then(|key| self.rows.get(key));
        reply.extend_from_slice(value.map_or(b"", |value| value.as_slice()));
        Ok(Query::Answered)
    }
}

/// What outlives a restart, besides the log.
#[derive(Default)]
pub(crate) struct Disk {
    /// Complete snapshots, the newest of which is what the state machine starts from.
    pub(crate) files: BTreeMap<SnapshotId, Vec<u8>>,
    pub(crate) part: Option<(SnapshotMeta, Vec<u8>)>,
    /// How many installations are still to fail.
    pub(crate) refuses_installs: u32,
    /// How many snapshots were read into a state machine.
    pub(crate) installed: u32,
    /// How many were refused because they were corrupt.
    pub(crate) corrupt: u32,
    /// Reading a file from here on fails.
    pub(crate) unreadable_from: Option<usize>,
}

pub(crate) struct Node {
    /// `None` while it is down.
    pub(crate) group: Option<Group<Raft, Machine, u64>>,
    pub(crate) log: MemoryLog,
    pub(crate) disk: Disk,
    /// The newest version of the commands' meaning that its build understands.
    pub(crate) knows: u8,
    boots: u64,
}

pub(crate) struct World {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    net: VecDeque<(NodeId, NodeId, Wire)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) now: Micros,
    members: Membership,
    configure: fn(&mut Config),
    tokens: u64,
    pub(crate) answers: BTreeMap<u64, Result<Vec<u8>, Failure>>,
    /// Bytes of pieces that were sent, by file.
    pub(crate) sent: BTreeMap<SnapshotId, u64>,
    /// How many pieces are still to be damaged on their way.
    pub(crate) damages: u32,
    /// This node hears one message with entries in so many milliseconds.
    pub(crate) slow: Option<(NodeId, u64)>,
    /// Nothing of the protocol's reaches this node or leaves it, though its links stand: it hangs.
    pub(crate) hung: Option<NodeId>,
    /// This node is not told what to keep of its log.
    pub(crate) deaf_to_keep: Option<NodeId>,
    /// Snapshots as they were written.
    originals: BTreeMap<SnapshotId, Vec<u8>>,
    /// Whether each piece is compared with them before it is stored.
    pub(crate) checks_pieces: bool,
}

fn digest(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

impl World {
    pub(crate) fn new(size: u64, configure: fn(&mut Config)) -> Self {
        let mut world = World {
            nodes: BTreeMap::new(),
            net: VecDeque::new(),
            cut: BTreeSet::new(),
            now: Micros(0),
            members: Membership::of_voters((1..=size).map(NodeId)),
            configure,
            tokens: 0,
            answers: BTreeMap::new(),
            sent: BTreeMap::new(),
            damages: 0,
            slow: None,
            hung: None,
            deaf_to_keep: None,
            originals: BTreeMap::new(),
            checks_pieces: false,
        };
        for id in (1..=size).map(NodeId) {
            let node = Node {
                group: None,
                log: MemoryLog::default(),
                disk: Disk::default(),
                knows: SEMANTICS,
                boots: 0,
            };
            world.nodes.insert(id, node);
            world.start(id);
        }
        world
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub(crate) fn group(&mut self, id: NodeId) -> &mut Group<Raft, Machine, u64> {
        self.node(id).group.as_mut().expect("it is up")
    }

    pub(crate) fn machine(&self, id: NodeId) -> &Machine {
        self.nodes[&id].group.as_ref().expect("it is up").machine()
    }

    pub(crate) fn purged(&self, id: NodeId) -> u64 {
        let group = self.nodes[&id].group.as_ref().expect("it is up");
        group.view().status().purged.0
    }

    /// Starts a node from its disk.
    pub(crate) fn start(&mut self, id: NodeId) {
        let (members, configure) = (self.members.clone(), self.configure);
        let node = self.nodes.get_mut(&id).unwrap();
        node.boots += 1;
        let newest = node.disk.files.values().next_back();
        let empty = [0; 16];
        let newest = newest.map_or(&empty[..], Vec::as_slice);
        let machine = Machine::of_bytes(newest, node.knows);
        let applied = machine.applied;
        let recovered: Recovered =
            to_recovered(node.log.recovered(GROUP), members.clone(), applied, |_| {
                None
            })
            .unwrap();
        let mut raft = consensus_raft::Config::new(id);
        raft.max_append_bytes = 8 << 10;
        raft.cache_bytes = 16 << 10;
        let core = Raft::new(raft, id.0 * 1_000 + node.boots, recovered);
        let mut config = Config::new(id, node.boots);
        config.snapshots.chunk_bytes = CHUNK;
        config.snapshots.window_bytes = WINDOW;
        configure(&mut config);
        let replica = Replica::new(core, config, members, applied.index);
        node.group = Some(Group::new(replica, machine));
        for peer in self.ids() {
            self.link(id, peer, true);
        }
    }

    pub(crate) fn crash(&mut self, id: NodeId) {
        for peer in self.ids() {
            self.link(id, peer, false);
        }
        self.node(id).group = None;
    }

    /// Cuts the link between two nodes, or mends it.
    pub(crate) fn set_cut(&mut self, a: NodeId, b: NodeId, cut: bool) {
        let pair = (a.min(b), a.max(b));
        if cut {
            self.link(a, b, false);
            self.cut.insert(pair);
        } else {
            self.cut.remove(&pair);
            self.link(a, b, true);
        }
    }

    /// Cuts a node off from everybody, or ends that.
    pub(crate) fn isolate(&mut self, id: NodeId, cut: bool) {
        for peer in self.ids().into_iter().filter(|peer| *peer != id) {
            self.set_cut(id, peer, cut);
        }
    }

    fn link(&mut self, a: NodeId, b: NodeId, up: bool) {
        let pair = (a.min(b), a.max(b));
        let both = [a, b].map(|id| self.nodes[&id].group.is_some());
        if a == b || both != [true, true] || self.cut.contains(&pair) {
            return;
        }
        for (one, other) in [(a, b), (b, a)] {
            let replica = self.group(one).replica();
            match up {
                true => replica.link_up(other),
                false => replica.link_down(other),
            }
        }
        if !up {
            self.net
                .retain(|(from, to, _)| (*from.min(to), *from.max(to)) != pair);
        }
    }

    /// Lets so many milliseconds pass.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now + Micros(1_000);
            let mut heard = false;
            for (from, to, message) in std::mem::take(&mut self.net) {
                if let (Some((slow, every)), Message::Consensus(_)) = (self.slow, &message)
                    && slow == to
                    && message.payload_bytes() > 0
                {
                    if heard || !(self.now.0 / 1_000).is_multiple_of(every) {
                        self.net.push_back((from, to, message));
                        continue;
                    }
                    heard = true;
                }
                let wall = Millis(1_000_000 + self.now.0 / 1_000);
                let now = self.now;
                if self.cut.contains(&(from.min(to), from.max(to))) {
                    continue;
                }
                let hangs = self.hung.is_some_and(|hung| hung == from || hung == to);
                if hangs && matches!(message, Message::Consensus(_)) {
                    continue;
                }
                if self.deaf_to_keep == Some(to) && matches!(message, Message::Keep { .. }) {
                    continue;
                }
                if let Some(group) = &mut self.node(to).group {
                    group.replica().saw_clock(now, from, wall);
                    group.replica().receive(now, from, message);
                }
            }
            for id in self.ids() {
                self.turn(id);
            }
        }
    }

    /// Lets time pass until `done`, a minute at most.
    #[track_caller]
    pub(crate) fn run_until(&mut self, what: &str, done: impl Fn(&World) -> bool) {
        for _ in 0..60_000 {
            if done(self) {
                return;
            }
            self.run(1);
        }
        panic!("not within a minute: {what}");
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leads = |node: &Node| node.group.as_ref().is_some_and(|g| g.view().leads());
        let leaders = self.nodes.iter().filter(|(_, node)| leads(node));
        let newest =
            leaders.max_by_key(|(_, node)| node.group.as_ref().map(|g| g.view().leadership().0));
        newest.map(|(id, _)| *id)
    }

    /// Has somebody else lead, though the leader is there.
    #[track_caller]
    pub(crate) fn depose(&mut self) {
        let old = self.leader();
        self.hung = old;
        self.run_until("another leads", |world| {
            world.leader().is_some_and(|now| Some(now) != old)
        });
        self.hung = None;
    }

    #[track_caller]
    pub(crate) fn elect(&mut self) -> NodeId {
        self.run_until("somebody leads", |world| world.leader().is_some());
        self.run(100);
        self.leader().unwrap()
    }

    /// Writes `count` rows of `bytes` bytes through `id`, and waits until they are applied there.
    #[track_caller]
    pub(crate) fn fill(&mut self, id: NodeId, count: u64, bytes: usize) {
        let mut tokens = Vec::new();
        for i in 0..count {
            let mut command = vec![(i % 251) as u8];
            command.extend(i.to_le_bytes());
            command.resize(bytes, self.tokens as u8);
            tokens.push(self.submit(id, &command));
            if i % 8 == 7 {
                self.run(1);
            }
        }
        let last = *tokens.last().expect("something to write");
        self.run_until("written", |world| world.answers.contains_key(&last));
        for token in tokens {
            assert_eq!(self.answers.remove(&token), Some(Ok(b"+".to_vec())));
        }
    }

    pub(crate) fn submit(&mut self, id: NodeId, command: &[u8]) -> u64 {
        self.tokens += 1;
        let (now, token) = (self.now, self.tokens);
        self.group(id).replica().submit(now, token, command);
        token
    }

    /// Persists a node's state machine as a snapshot, and says so.
    pub(crate) fn persist(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let group = node.group.as_mut().expect("it is up");
        let bytes = group.machine().to_bytes();
        let at = group.machine().applied;
        let id = SnapshotId {
            at,
            digest: digest(&bytes),
        };
        let used: Vec<SnapshotId> = group.view().snapshots_in_use().collect();
        node.disk.files.retain(|id, _| used.contains(id));
        self.originals.insert(id, bytes.clone());
        node.disk.files.insert(id, bytes);
        group.replica().durable(now, at.index);
    }

    /// Whether all who are up hold the same rows.
    pub(crate) fn in_step(&self) -> bool {
        let up = self.nodes.values().filter_map(|node| node.group.as_ref());
        let mut machines = up.map(|group| group.machine());
        let first = machines.next();
        machines.all(|machine| Some(machine) == first)
    }

    fn turn(&mut self, id: NodeId) {
        let now = self.now;
        let wall = Millis(1_000_000 + now.0 / 1_000);
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(group) = &mut node.group else {
            return;
        };
        let durable = node.disk.files.keys().next_back();
        let mut host = Host {
            me: id,
            log: &mut node.log,
            durable: durable.map_or(0, |id| id.at.index.0),
            persisted: None,
            fetched: Vec::new(),
            tasks: Vec::new(),
            net: &mut self.net,
            answers: &mut self.answers,
            sent: &mut self.sent,
            damages: &mut self.damages,
        };
        let turned = group.turn(now, wall, &mut host);
        turned.unwrap_or_else(|error| panic!("{error}"));
        let (persisted, fetched, tasks) = (host.persisted, host.fetched, host.tasks);
        if let Some(seq) = persisted {
            group.replica().persisted(now, seq);
        }
        for (fetch, result) in fetched {
            group.replica().fetched(now, fetch, result);
        }
        for task in tasks {
            self.carry_out(id, task);
        }
    }

    fn carry_out(&mut self, id: NodeId, task: SnapshotTask) {
        let now = self.now;
        match task {
            SnapshotTask::Persist => return self.persist(id),
            SnapshotTask::Take { at_least } => {
                let newest = self.node(id).disk.files.keys().next_back();
                if newest.is_none_or(|newest| newest.at.index < at_least) {
                    self.persist(id);
                }
            }
            _ => {}
        }
        let members = self.members.clone();
        let node = self.nodes.get_mut(&id).unwrap();
        let knows = node.knows;
        let (disk, group) = (&mut node.disk, node.group.as_mut().expect("it is up"));
        let replica = group.replica();
        match task {
            SnapshotTask::Take { .. } => {
                let (id, bytes) = disk.files.last_key_value().expect("just persisted");
                let meta = SnapshotMeta {
                    id: *id,
                    membership: members,
                    bytes: bytes.len() as u64,
                };
                replica.snapshot_ready(now, &meta);
            }
            SnapshotTask::Read {
                to,
                id,
                offset,
                len,
            } => {
                let (file, end) = (disk.files.get(&id), offset as usize + len);
                let file = file.filter(|_| disk.unreadable_from.is_none_or(|from| end <= from));
                let piece = file.and_then(|file| file.get(offset as usize..end));
                replica.snapshot_read(now, to, id, offset, piece.map(Bytes::copy_from_slice));
            }
            SnapshotTask::Suspect { id } => {
                let unreadable = disk.unreadable_from.take().is_some();
                disk.files.retain(|file, bytes| {
                    *file != id || (digest(bytes) == id.digest && !unreadable)
                });
            }
            SnapshotTask::Open { meta } => {
                let id = meta.id;
                disk.part.take_if(|(part, _)| part.id != id);
                let (_, part) = disk.part.get_or_insert_with(|| (meta, Vec::new()));
                replica.incoming_opened(now, id, part.len() as u64);
            }
            SnapshotTask::Store { id, offset, bytes } => {
                let (_, part) = disk.part.as_mut().expect("opened before");
                assert_eq!(part.len() as u64, offset, "stored in order, each byte once");
                let original = &self.originals[&id][part.len()..part.len() + bytes.len()];
                if self.checks_pieces && original != &bytes[..] {
                    disk.corrupt += 1;
                    replica.incoming_corrupt(now, id, offset);
                } else {
                    part.extend_from_slice(&bytes);
                    replica.chunk_stored(now, id, part.len() as u64);
                }
            }
            SnapshotTask::Install { .. } if disk.refuses_installs > 0 => {
                disk.refuses_installs -= 1;
                let (meta, _) = disk.part.as_ref().expect("opened before");
                replica.install_failed(now, meta.id, InstallFailure::Environment);
            }
            SnapshotTask::Install { meta } => {
                let (_, part) = disk.part.as_ref().expect("opened before");
                if digest(part) == meta.id.digest {
                    let (_, part) = disk.part.take().expect("it is there");
                    let machine = Machine::of_bytes(&part, knows);
                    disk.files.insert(meta.id, part);
                    disk.installed += 1;
                    self.install(id, machine);
                } else {
                    disk.corrupt += 1;
                    replica.install_failed(now, meta.id, InstallFailure::Corrupt);
                }
            }
            SnapshotTask::Discard { id } => {
                disk.part.take_if(|(part, _)| part.id == id);
            }
            SnapshotTask::Persist => {}
        }
    }

    fn install(&mut self, id: NodeId, machine: Machine) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        let mut host = Host {
            me: id,
            log: &mut node.log,
            durable: 0,
            persisted: None,
            fetched: Vec::new(),
            tasks: Vec::new(),
            net: &mut self.net,
            answers: &mut self.answers,
            sent: &mut self.sent,
            damages: &mut self.damages,
        };
        let group = node.group.as_mut().expect("it is up");
        group.install(now, machine, &mut host);
    }
}

struct Host<'a> {
    me: NodeId,
    log: &'a mut MemoryLog,
    durable: u64,
    persisted: Option<WriteSeq>,
    fetched: Vec<(FetchId, Fetched)>,
    tasks: Vec<SnapshotTask>,
    net: &'a mut VecDeque<(NodeId, NodeId, Wire)>,
    answers: &'a mut BTreeMap<u64, Result<Vec<u8>, Failure>>,
    sent: &'a mut BTreeMap<SnapshotId, u64>,
    damages: &'a mut u32,
}

impl Io<<Raft as Consensus>::Message, u64> for Host<'_> {
    fn send(&mut self, to: NodeId, mut message: Wire) {
        if let Message::SnapshotChunk { id, bytes, .. } = &mut message {
            *self.sent.entry(*id).or_default() += bytes.len() as u64;
            if *self.damages > 0 {
                *self.damages -= 1;
                let mut damaged = bytes.to_vec();
                damaged[0] ^= 1;
                *bytes = damaged.into();
            }
        }
        self.net.push_back((self.me, to, message));
    }
    fn write(&mut self, seq: WriteSeq, ops: Vec<LogOp>) {
        for op in &ops {
            if let LogOp::PurgeTo(at) = op {
                assert!(
                    at.index.0 <= self.durable,
                    "{} purges {at}, {} is durable",
                    self.me,
                    self.durable
                );
            }
        }
        let ops = ops.into_iter().map(to_log).collect();
        let write = GroupWrite { group: GROUP, ops };
        self.log.write(&[write]).unwrap();
        self.persisted = Some(seq);
    }
    fn fetch(&mut self, id: FetchId, from: Index, to: Index, max_bytes: usize) {
        let read = self.log.read(GROUP, from.0, to.0, max_bytes).unwrap();
        self.fetched.push((id, to_fetched(read).unwrap()));
    }
    fn reply(&mut self, token: u64, _: Option<Index>, reply: &[u8]) {
        self.answers.insert(token, Ok(reply.to_vec()));
    }
    fn fail(&mut self, token: u64, failure: Failure) {
        self.answers.insert(token, Err(failure));
    }
    fn held(&mut self, _: u64, _: Held) {}
    fn snapshot(&mut self, task: SnapshotTask) -> Result<(), SnapshotTask> {
        self.tasks.push(task);
        Ok(())
    }
}
