//! Queries that take longer than a turn should: answered in slices, and other work goes in between.

use consensus::{
    Consensus, FetchId, Index, LogOp, Membership, Micros, NodeId, Position, Recovered, WriteSeq,
};
use consensus_raft::Raft;
use replication::{
    Config, EntryInfo, Failure, Group, Held, Io, LongId, Message, Millis, Query, Replica,
    StateMachine,
};

const ME: NodeId = NodeId(1);
const SLICES: u32 = 3;

/// Counts commands. `long` is answered after [`SLICES`] slices, with the count at its beginning.
#[derive(Default)]
struct Slow {
    applied: Position,
    count: u32,
    running: Vec<(LongId, u32, u32)>,
    cancelled: Vec<LongId>,
    busy: bool,
    waiting: bool,
}

impl StateMachine for Slow {
    type Error = std::convert::Infallible;

    fn applied(&self) -> Position {
        self.applied
    }
    fn begin(&mut self, entry: EntryInfo<'_>) -> Result<(), Self::Error> {
        self.applied = entry.position;
        Ok(())
    }
    fn apply(&mut self, _: &[u8], reply: Option<&mut Vec<u8>>) -> Result<(), Self::Error> {
        self.count += 1;
        reply.into_iter().for_each(|reply| reply.push(b'+'));
        Ok(())
    }
    fn commit(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
    fn query(&self, query: &[u8], _: Millis, reply: &mut Vec<u8>) -> Result<Query, Self::Error> {
        if query == b"long" {
            return Ok(Query::Long);
        }
        reply.extend_from_slice(self.count.to_string().as_bytes());
        Ok(Query::Answered)
    }
    fn begin_long(&mut self, id: LongId, _: &[u8]) -> Result<(), Self::Error> {
        self.running.push((id, self.count, SLICES));
        Ok(())
    }
    fn work(&mut self, answer: &mut dyn FnMut(LongId, &[u8])) -> Result<(), Self::Error> {
        let Some((id, count, left)) = self.running.first_mut().filter(|_| !self.waiting) else {
            return Ok(());
        };
        *left -= 1;
        if *left == 0 {
            answer(*id, count.to_string().as_bytes());
            self.running.remove(0);
        }
        Ok(())
    }
    fn has_work(&self) -> bool {
        !self.running.is_empty()
    }
    fn is_waiting(&self) -> bool {
        self.waiting
    }
    fn is_busy(&self) -> bool {
        self.busy
    }
    fn cancel_long(&mut self, id: LongId) {
        self.cancelled.push(id);
        self.running.retain(|(running, ..)| *running != id);
    }
}

/// A disk that is done at once, nobody to send to, and a list of answers.
#[derive(Default)]
struct World {
    written: Option<WriteSeq>,
    answers: Vec<(u32, String)>,
}

impl<M> Io<M, u32> for World {
    fn send(&mut self, _: NodeId, _: Message<M>) {}
    fn write(&mut self, seq: WriteSeq, _: Vec<LogOp>) {
        self.written = Some(seq);
    }
    fn fetch(&mut self, _: FetchId, _: Index, _: Index, _: usize) {}
    fn reply(&mut self, token: u32, _: Option<Index>, reply: &[u8]) {
        let reply = String::from_utf8_lossy(reply).into_owned();
        self.answers.push((token, reply));
    }
    fn fail(&mut self, token: u32, failure: Failure) {
        self.answers.push((token, format!("{failure:?}")));
    }
    fn held(&mut self, _: u32, _: Held) {}
}

struct Node {
    group: Group<Raft, Slow, u32>,
    world: World,
    now: Micros,
}

impl Node {
    /// One that leads, being alone, or one of three whose others are silent.
    fn new(leads: bool) -> Self {
        let members = Membership::of_voters((1..=if leads { 1 } else { 3 }).map(NodeId));
        let recovered = Recovered::fresh(members.clone());
        let core = Raft::new(consensus_raft::Config::new(ME), 1, recovered);
        let replica = Replica::new(core, Config::new(ME, 1), members, Index::ZERO);
        let mut node = Node {
            group: Group::new(replica, Slow::default()),
            world: World::default(),
            now: Micros(0),
        };
        while leads && !node.group.view().leads() {
            node.turn();
        }
        node
    }

    /// A turn, and whatever the disk then has to say.
    fn turn(&mut self) {
        self.now = self.now + Micros::from_millis(1);
        let wall = Millis(1_000_000 + self.now.0 / 1_000);
        let turned = self.group.turn(self.now, wall, &mut self.world);
        turned.expect("nothing here can fail");
        if let Some(seq) = self.world.written.take() {
            self.group.replica().persisted(self.now, seq);
        }
    }

    fn answers(&mut self) -> Vec<(u32, String)> {
        std::mem::take(&mut self.world.answers)
    }
}

#[test]
fn a_long_query_takes_a_slice_a_turn_and_lets_others_pass() {
    let mut node = Node::new(true);
    node.group.replica().submit(node.now, 1, b"x");
    node.turn();
    node.turn();
    assert_eq!(node.answers(), [(1, "+".into())]);
    assert!(!node.group.has_work());

    node.group.replica().read(node.now, 2, b"long");
    let mut waited = 0;
    while !node.group.has_work() {
        node.turn();
        waited += 1;
        assert!(waited < 10);
    }
    // At once, whatever the clock says, for as long as there is work.
    assert_eq!(node.group.deadline(), Some(Micros(0)));
    // One slice is done; two are left, and a write and a read pass them.
    node.group.replica().submit(node.now, 3, b"x");
    node.group.replica().read(node.now, 4, b"count");
    node.turn();
    node.turn();
    let expected = [(4, "1"), (3, "+"), (2, "1")].map(|(token, reply)| (token, reply.to_string()));
    assert_eq!(node.answers(), expected);
    assert!(!node.group.has_work());
    assert_ne!(node.group.deadline(), Some(Micros(0)));
}

#[test]
fn who_is_gone_has_no_work_done() {
    let mut node = Node::new(true);
    node.group.replica().read(node.now, 1, b"long");
    node.group.replica().read(node.now, 2, b"long");
    while !node.group.has_work() {
        node.turn();
    }
    node.group.forget(|token| token == 1);
    assert_eq!(node.group.machine().cancelled, [LongId(0)]);
    (0..=SLICES).for_each(|_| node.turn());
    assert_eq!(node.answers(), [(2, "0".into())]);
}

#[test]
fn a_look_needs_nobody_who_leads() {
    let mut node = Node::new(false);
    node.group.look(1, b"count");
    node.group.look(2, b"long");
    assert!(node.group.has_work());
    (0..SLICES).for_each(|_| node.turn());
    assert_eq!(node.answers(), [(1, "0".into()), (2, "0".into())]);
    assert!(!node.group.view().leads());
}

/// And not in a circle, even if nothing else has happened meanwhile.
fn asserts_that_it_is_asked_again_soon(node: &Node) {
    assert!(!node.group.has_work());
    let soon = node.now + Micros::from_millis(1);
    assert_eq!(node.group.deadline(), Some(soon));
}

#[test]
fn a_long_query_that_waits_for_a_disk_is_asked_for_soon_and_not_at_once() {
    let mut node = Node::new(true);
    node.group.replica().read(node.now, 1, b"long");
    while !node.group.has_work() {
        node.turn();
    }
    node.group.machine_mut().waiting = true;
    (0..5).for_each(|_| node.turn());
    asserts_that_it_is_asked_again_soon(&node);
    assert_eq!(node.answers(), []);
    node.group.machine_mut().waiting = false;
    assert!(node.group.has_work());
    (0..SLICES).for_each(|_| node.turn());
    assert_eq!(node.answers(), [(1, "0".into())]);
    assert!(!node.group.has_work());
}

#[test]
fn nothing_is_applied_while_the_machine_is_busy() {
    let mut node = Node::new(true);
    node.group.machine_mut().busy = true;
    node.group.replica().submit(node.now, 1, b"x");
    (0..5).for_each(|_| node.turn());
    assert_eq!(node.answers(), []);
    assert_eq!(node.group.machine().count, 0);
    asserts_that_it_is_asked_again_soon(&node);
    node.group.machine_mut().busy = false;
    node.turn();
    assert_eq!(node.answers(), [(1, "+".into())]);
}

#[test]
fn what_waits_for_a_busy_machine_is_bounded() {
    let mut node = Node::new(true);
    node.group.machine_mut().busy = true;
    let command = vec![b'x'; 1 << 20];
    let bound = Config::new(ME, 1).max_waiting_bytes;
    for token in 0..=(bound >> 20) as u32 {
        node.group.replica().submit(node.now, token, &command);
        node.turn();
    }
    (0..5).for_each(|_| node.turn());
    assert!(node.group.machine().count > 0);
}
