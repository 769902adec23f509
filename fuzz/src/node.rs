//! One node of three, whose peers are whatever a fuzzer makes of them: Raft, the driver and the keys,
//! with a log in memory.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;

use consensus::{
    Consensus as _, FetchId, Fetched, Index, LogOp, Membership, Micros, NodeId, Recovered, WriteSeq,
};
use consensus_raft::{Message as RaftMessage, Raft};
use keyspace::Keyspace;
use replication::{
    Config, Failure, Frame, Group, Held, InstallFailure, Io, Message, Millis, Replica,
    SnapshotTask, StateMachine as _, Wait, to_fetched, to_log,
};
use storage::{GroupId, GroupWrite, LogStore as _, MemoryEngine, MemoryLog};

use crate::script::Script;

/// Which of the three it is: the first, so that both others may dial it.
pub(crate) const ME: NodeId = NodeId(1);
const GROUP: GroupId = GroupId(0);
/// Turns without time passing, until it is taken to be busy with itself for ever.
const TURNS_MAX: usize = 1_000;

type Token = u64;

/// The node.
pub(crate) struct Node {
    group: Group<Raft, Keyspace<MemoryEngine>, Token>,
    world: World,
    now: Micros,
    applied: Index,
    term: u64,
    commit: Index,
    next_token: Token,
}

/// What is outside of the group.
#[derive(Default)]
pub(crate) struct World {
    log: MemoryLog,
    persisted: Option<WriteSeq>,
    fetched: Vec<(FetchId, Fetched)>,
    tasks: VecDeque<SnapshotTask>,
    answered: BTreeSet<Token>,
    /// What was sent since this was last taken.
    pub(crate) sent: Vec<(NodeId, Message<RaftMessage>)>,
}

impl Node {
    /// A node that never ran, one of three.
    pub(crate) fn new() -> Self {
        Self::numbered(ME)
    }

    pub(crate) fn numbered(me: NodeId) -> Self {
        let members = Membership::of_voters((1..=3).map(NodeId));
        let core = Raft::new(
            consensus_raft::Config::new(me),
            me.0,
            Recovered::fresh(members.clone()),
        );
        let keys = match Keyspace::open(MemoryEngine::new()) {
            Ok(keys) => keys,
            Err(error) => panic!("an empty engine: {error}"),
        };
        let mut replica = Replica::new(core, Config::new(me, 1), members.clone(), Index::ZERO);
        members.peers(me).for_each(|peer| replica.link_up(peer));
        Node {
            group: Group::new(replica, keys),
            world: World::default(),
            now: Micros(0),
            applied: Index::ZERO,
            term: 0,
            commit: Index::ZERO,
            next_token: 0,
        }
    }

    /// Takes a frame in after a pause of so many eighths of a heartbeat. A break means that the node
    /// has stopped with an error, as it must when what is committed cannot be applied.
    pub(crate) fn hear(
        &mut self,
        from: NodeId,
        frame: Frame<RaftMessage>,
        pause: u8,
    ) -> ControlFlow<()> {
        self.pass(pause)?;
        for (group, message) in frame.messages {
            if group == GROUP.0 {
                let replica = self.group.replica();
                replica.saw_clock(self.now, from, Millis(frame.clock));
                replica.receive(self.now, from, message);
            }
        }
        self.settle()
    }

    /// Lets so many eighths of a heartbeat pass, turn by turn.
    pub(crate) fn pass(&mut self, eighths: u8) -> ControlFlow<()> {
        let end = self.now + Micros(u64::from(eighths / 8) * 6_250);
        while let Some(due) = self.group.deadline().filter(|due| *due < end) {
            self.now = due.max(self.now + Micros(1));
            self.settle()?;
        }
        self.now = end.max(self.now);
        ControlFlow::Continue(())
    }

    /// A client's or the network's doing.
    pub(crate) fn act(&mut self, script: &mut Script<'_>) -> ControlFlow<()> {
        let (now, token) = (self.now, self.next_token);
        self.next_token += 1;
        let peer = NodeId(2 + u64::from(script.byte() & 1));
        let mut command = Vec::new();
        let args = [&b"k"[..], &b"v"[..]].into_iter();
        keyspace::command::encode(&mut command, 0, script.byte().into(), args);
        let replica = self.group.replica();
        match script.below(6) {
            0 => replica.link_down(peer),
            1 => replica.link_up(peer),
            2 => replica.read(now, token, &command),
            3 => replica.wait(
                now,
                token,
                Wait {
                    index: Index(script.number()),
                    replicas: script.number() as u32,
                    timeout: Some(Micros(1_000)),
                },
            ),
            4 => return self.pass(u8::MAX),
            _ => replica.submit(now, token, &command),
        }
        self.settle()
    }

    /// What it has sent.
    pub(crate) fn take_sent(&mut self) -> Vec<(NodeId, Message<RaftMessage>)> {
        std::mem::take(&mut self.world.sent)
    }

    /// Whether it leads.
    pub(crate) fn leads(&self) -> bool {
        self.group.view().leads()
    }

    /// Its clock, in milliseconds.
    pub(crate) fn wall(&self) -> Millis {
        Millis(1_000_000 + self.now.0 / 1_000)
    }

    /// Gives it a command.
    pub(crate) fn submit(&mut self, command: &[u8]) {
        self.next_token += 1;
        self.group
            .replica()
            .submit(self.now, self.next_token, command);
    }

    /// Goes on until there is nothing to do but wait.
    pub(crate) fn settle(&mut self) -> ControlFlow<()> {
        for _ in 0..TURNS_MAX {
            let wall = self.wall();
            if self.group.turn(self.now, wall, &mut self.world).is_err() {
                return ControlFlow::Break(());
            }
            self.check();
            let mut quiet = !self.group.has_work();
            if let Some(seq) = self.world.persisted.take() {
                self.group.replica().persisted(self.now, seq);
                quiet = false;
            }
            for (id, result) in std::mem::take(&mut self.world.fetched) {
                self.group.replica().fetched(self.now, id, result);
                quiet = false;
            }
            while let Some(task) = self.world.tasks.pop_front() {
                self.carry_out(task);
                quiet = false;
            }
            if quiet {
                return ControlFlow::Continue(());
            }
        }
        panic!("{TURNS_MAX} turns in which no time passed, and still something to do");
    }

    /// Nothing that was decided is taken back.
    fn check(&mut self) {
        let applied = self.group.machine().applied().index;
        let status = self.group.view().status();
        assert!(applied >= self.applied, "what was applied is not any more");
        assert!(status.epoch.round >= self.term, "a term that has passed");
        assert!(
            status.committed >= self.commit,
            "committed, and not any more"
        );
        assert!(applied <= status.committed, "applied, and not committed");
        self.applied = applied;
        self.term = status.epoch.round;
        self.commit = status.committed;
    }

    /// A host that receives snapshots and can install none, and has none to send.
    fn carry_out(&mut self, task: SnapshotTask) {
        let now = self.now;
        let replica = self.group.replica();
        match task {
            SnapshotTask::Take { .. } => replica.snapshot_failed(now),
            SnapshotTask::Read { to, id, offset, .. } => {
                replica.snapshot_read(now, to, id, offset, None);
            }
            SnapshotTask::Open { meta } => replica.incoming_opened(now, meta.id, 0),
            SnapshotTask::Store { id, offset, bytes } => {
                replica.chunk_stored(now, id, offset + bytes.len() as u64);
            }
            SnapshotTask::Install { meta } => {
                replica.install_failed(now, meta.id, InstallFailure::Corrupt);
            }
            SnapshotTask::Suspect { .. } | SnapshotTask::Discard { .. } | SnapshotTask::Persist => {
            }
        }
    }
}

impl Io<RaftMessage, Token> for World {
    fn send(&mut self, to: NodeId, message: Message<RaftMessage>) {
        self.sent.push((to, message));
    }

    fn write(&mut self, seq: WriteSeq, ops: Vec<LogOp>) {
        let ops = ops.into_iter().map(to_log).collect();
        let written = self.log.write(&[GroupWrite { group: GROUP, ops }]);
        assert!(written.is_ok(), "a log in memory cannot fail");
        self.persisted = Some(seq);
    }

    fn fetch(&mut self, id: FetchId, from: Index, to: Index, max_bytes: usize) {
        let read = self.log.read(GROUP, from.0, to.0, max_bytes);
        let fetched = read.ok().and_then(|read| to_fetched(read).ok());
        self.fetched.push((id, fetched.unwrap_or(Fetched::Corrupt)));
    }

    fn reply(&mut self, token: Token, _: Option<Index>, _: &[u8]) {
        self.answer(token);
    }

    fn fail(&mut self, token: Token, _: Failure) {
        self.answer(token);
    }

    fn held(&mut self, token: Token, _: Held) {
        self.answer(token);
    }

    fn snapshot(&mut self, task: SnapshotTask) -> Result<(), SnapshotTask> {
        self.tasks.push_back(task);
        Ok(())
    }
}

impl World {
    fn answer(&mut self, token: Token) {
        assert!(self.answered.insert(token), "answered twice");
    }
}
