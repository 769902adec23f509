//! The driver's rules, one test each, against a protocol that does what the test says.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::{
    Channel, Consensus, Done, Entry, Epoch, Index, Input, LogOp, Membership, Micros, NodeId,
    Output, Payload, Position, Recovered, Refusal, Role, Status, WriteSeq,
};
use replication::{
    Action, Batch, BatchBuilder, Config, Failure, ForwardId, Held, Message, Millis, Replica,
    SnapshotTask, Wait,
};
use serde::{Deserialize, Serialize};

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
const OTHER: NodeId = NodeId(3);

/// What the test tells the protocol to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Script {
    /// Say who leads.
    Lead(u64, Option<NodeId>),
    /// Commit own proposals up to here.
    CommitTo(u64),
    /// Commit somebody else's entry here.
    CommitOther(u64, u64),
    /// Confirm the oldest read at this index.
    Confirm(u64),
    /// Refuse the oldest read.
    RefuseRead,
}

impl consensus::Message for Script {
    fn channel(&self) -> Channel {
        Channel::Control
    }
}

/// A protocol that accepts what a leader proposes, and otherwise does what it is told.
struct Scripted {
    epoch: u64,
    leads: bool,
    log: Vec<Entry>,
    writes: u64,
    reads: VecDeque<consensus::RequestId>,
    out: VecDeque<Output<Script>>,
}

impl Consensus for Scripted {
    type Config = ();
    type Message = Script;

    fn new((): (), _: u64, _: Recovered) -> Self {
        Scripted {
            epoch: 0,
            leads: false,
            log: Vec::new(),
            writes: 0,
            reads: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    fn step(&mut self, _: Micros, input: Input<Script>) {
        match input {
            Input::Propose { request, .. } if !self.leads => self.out.push_back(Output::Done {
                request,
                done: Done::Refused(Refusal::NotLeader),
            }),
            Input::Propose { request, batch } => {
                let index = Index(self.log.len() as u64 + 1);
                let epoch = Epoch::term(self.epoch);
                let payload = Payload::Batch(batch);
                let entry = Entry {
                    index,
                    epoch,
                    payload,
                };
                self.log.push(entry.clone());
                self.writes += 1;
                let done = Done::Accepted(Position { index, epoch });
                self.out.push_back(Output::Done { request, done });
                self.out.push_back(Output::Write {
                    seq: WriteSeq(self.writes),
                    ops: vec![LogOp::Put(entry)],
                });
            }
            Input::Read { request, .. } => self.reads.push_back(request),
            Input::Message { message, .. } => self.obey(message),
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<Output<Script>> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<Micros> {
        None
    }

    fn status(&self) -> Status {
        Status {
            node: ME,
            role: Role::Follower,
            epoch: Epoch::term(self.epoch),
            leader: None,
            last: Position::ZERO,
            persisted: Index(5),
            committed: Index(0),
            applied: Index(0),
            purged: Index(0),
            membership: Membership::default(),
            peers: [(PEER, 5), (OTHER, 3)]
                .map(|(node, matched)| consensus::PeerStatus {
                    node,
                    matched: Index(matched),
                    active: true,
                    in_flight: 0,
                })
                .to_vec(),
        }
    }
}

impl Scripted {
    fn obey(&mut self, script: Script) {
        match script {
            Script::Lead(term, leader) => {
                self.epoch = term;
                self.leads = leader == Some(ME);
                let epoch = Epoch::term(term);
                self.out.push_back(Output::Leadership { epoch, leader });
            }
            Script::CommitTo(index) => {
                let upto = |entry: &&Entry| entry.index.0 <= index;
                let entries = self.log.iter().filter(upto).cloned().collect();
                self.out.push_back(Output::Commit(entries));
            }
            Script::CommitOther(index, term) => self.out.push_back(Output::Commit(vec![Entry {
                index: Index(index),
                epoch: Epoch::term(term),
                payload: Payload::Blank,
            }])),
            Script::Confirm(index) => {
                if let Some(request) = self.reads.pop_front() {
                    let index = Index(index);
                    self.out.push_back(Output::ReadReady { request, index });
                }
            }
            Script::RefuseRead => {
                if let Some(request) = self.reads.pop_front() {
                    let done = Done::Refused(Refusal::NotLeader);
                    self.out.push_back(Output::Done { request, done });
                }
            }
        }
    }
}

/// A driver under test, with a clock of its own.
struct Bench {
    replica: Replica<Scripted, u32>,
    now: Micros,
    due: Option<Millis>,
    persist: bool,
}

/// What came out, shortened to what the tests ask about.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Propose(Vec<String>),
    Forward(u64, ForwardId, Vec<String>),
    Refused(NodeId, ForwardId),
    Failed(Vec<u32>, Failure),
    FailedRemote(NodeId, ForwardId, Failure),
    Applied(u64),
    Asked(Vec<u32>),
    Answered(Vec<u32>),
    Held(u32, Held),
    Wait(NodeId, ForwardId),
    Waited(NodeId, ForwardId, u32),
    Task(SnapshotTask),
}

impl Bench {
    fn new() -> Self {
        let members = Membership::of_voters([ME, PEER, OTHER]);
        let core = Scripted::new((), 0, Recovered::fresh(members.clone()));
        let mut replica = Replica::new(core, Config::new(ME, 1), members, Index(0));
        replica.link_up(PEER);
        replica.link_up(OTHER);
        Bench {
            replica,
            now: Micros::from_millis(1_000),
            due: None,
            persist: true,
        }
    }

    fn leading() -> Self {
        let mut bench = Bench::new();
        bench.tell(Script::Lead(1, Some(ME)));
        bench.turn();
        bench
    }

    fn following() -> Self {
        let mut bench = Bench::new();
        bench.tell(Script::Lead(1, Some(PEER)));
        bench.turn();
        bench
    }

    fn tell(&mut self, script: Script) {
        self.replica
            .receive(self.now, OTHER, Message::Consensus(script));
    }

    fn submit(&mut self, token: u32) {
        self.replica
            .submit(self.now, token, token.to_string().as_bytes());
    }

    fn hear(&mut self, from: NodeId, message: Message<Script>) {
        self.replica.receive(self.now, from, message);
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Micros::from_millis(ms);
    }

    fn turn(&mut self) -> Vec<Seen> {
        let wall = Millis(1_000_000 + self.now.0 / 1_000);
        self.replica.saw_clock(self.now, PEER, wall);
        self.replica.turn(self.now, wall, self.due);
        let mut seen = Vec::new();
        while let Some(action) = self.replica.poll() {
            match action {
                Action::Write(seq, ops) => {
                    seen.extend(ops.iter().map(|op| match op {
                        LogOp::Put(Entry {
                            payload: Payload::Batch(batch),
                            ..
                        }) => Seen::Propose(commands(batch)),
                        other => panic!("{other:?}"),
                    }));
                    if self.persist {
                        self.replica.persisted(self.now, seq);
                    }
                }
                Action::Apply(committed) => {
                    let last = self.replica_apply(&committed);
                    seen.push(Seen::Applied(last));
                }
                Action::Query(batch) => {
                    seen.push(Seen::Asked(batch.iter().map(|(token, _)| token).collect()));
                }
                Action::Answer { tokens, .. } => seen.push(Seen::Answered(tokens)),
                Action::Fail(tokens, failure) => seen.push(Seen::Failed(tokens, failure)),
                Action::Held(token, held) => seen.push(Seen::Held(token, held)),
                Action::Fetch { .. } => panic!("nothing to fetch"),
                Action::Snapshot(task) => seen.push(Seen::Task(task)),
                Action::Send(to, message) => seen.push(match message {
                    Message::Forward { epoch, id, batch } => {
                        Seen::Forward(epoch.round, id, commands(&batch))
                    }
                    Message::Refused { id } => Seen::Refused(to, id),
                    Message::Failed { id, failure } => Seen::FailedRemote(to, id, failure),
                    Message::Wait { id, .. } => Seen::Wait(to, id),
                    Message::Waited { id, replicas, .. } => Seen::Waited(to, id, replicas),
                    other => panic!("{other:?}"),
                }),
            }
        }
        seen
    }

    fn replica_apply(&mut self, committed: &[replication::Committed<u32>]) -> u64 {
        let last = committed.last().map_or(0, |last| last.index().0);
        self.replica.applied(self.now, Index(last));
        last
    }
}

fn commands(batch: &Bytes) -> Vec<String> {
    let batch = Batch::decode(batch.clone()).expect("the driver sends whole batches");
    let text = |command: &[u8]| String::from_utf8_lossy(command).into_owned();
    batch.commands().map(text).collect()
}

fn batch(names: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::default();
    names.iter().for_each(|name| builder.push(name.as_bytes()));
    builder.finish(Millis(0)).bytes().clone()
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const fn id(n: u64) -> ForwardId {
    ForwardId((1 << 40) + n)
}

fn forward(term: u64, n: u64, names: &[&str]) -> Message<Script> {
    Message::Forward {
        epoch: Epoch::term(term),
        id: id(n),
        batch: batch(names),
    }
}

#[test]
fn commands_of_one_turn_share_an_entry() {
    let mut bench = Bench::leading();
    (1..=3).for_each(|token| bench.submit(token));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["1", "2", "3"]))]);
}

#[test]
fn what_arrives_while_the_disk_syncs_is_the_next_entry() {
    let mut bench = Bench::leading();
    bench.persist = false;
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    assert_eq!(bench.turn(), []);
    bench.submit(3);
    bench.replica.persisted(bench.now, WriteSeq(1));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["2", "3"]))]);
}

#[test]
fn a_follower_forwards_and_names_the_epoch() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.submit(2);
    assert_eq!(
        bench.turn(),
        [Seen::Forward(1, id(0), strings(&["1", "2"]))]
    );
    let replies = Bytes::from_static(b"\x02\0\0\0OK\x02\0\0\0OK");
    let (index, id) = (Index(7), id(0));
    bench.hear(PEER, Message::Outcome { id, index, replies });
    assert_eq!(bench.turn(), [Seen::Answered(vec![1, 2])]);
}

#[test]
fn only_the_leader_of_the_named_epoch_executes() {
    let mut bench = Bench::leading();
    bench.hear(PEER, forward(2, 0, &["x"]));
    assert_eq!(bench.turn(), [Seen::Refused(PEER, id(0))]);
    bench.hear(PEER, forward(1, 1, &["x"]));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["x"]))]);
    let mut follower = Bench::following();
    follower.hear(OTHER, forward(1, 0, &["x"]));
    assert_eq!(
        follower.turn(),
        [Seen::Refused(OTHER, id(0))],
        "and never passes it on"
    );
}

#[test]
fn a_forwarded_batch_that_comes_twice_is_executed_once() {
    let mut bench = Bench::leading();
    bench.hear(PEER, forward(1, 4, &["incr"]));
    bench.hear(PEER, forward(1, 4, &["incr"]));
    bench.hear(PEER, forward(1, 3, &["late"]));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["incr"]))]);
}

#[test]
fn what_was_refused_goes_to_the_next_leader_before_what_came_later() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.turn();
    bench.submit(3);
    bench.hear(PEER, Message::Refused { id: id(0) });
    assert_eq!(bench.turn(), [], "the same leader would only refuse again");
    bench.tell(Script::Lead(2, Some(OTHER)));
    assert_eq!(
        bench.turn(),
        [
            Seen::Forward(2, id(2), strings(&["1"])),
            Seen::Forward(2, id(3), strings(&["2"])),
        ]
    );
    let (index, id2, replies) = (Index(7), id(2), Bytes::from_static(b"\x02\0\0\0OK"));
    bench.hear(
        OTHER,
        Message::Outcome {
            id: id2,
            index,
            replies,
        },
    );
    assert_eq!(
        bench.turn(),
        [
            Seen::Answered(vec![1]),
            Seen::Forward(2, id(4), strings(&["3"])),
        ]
    );
}

#[test]
fn what_was_refused_is_not_sent_again_once_later_commands_were() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, Some(OTHER)));
    bench.submit(2);
    assert_eq!(bench.turn(), [], "the old leader may still answer");
    bench.pass(250);
    assert_eq!(bench.turn(), [Seen::Forward(2, id(1), strings(&["2"]))]);
    bench.hear(PEER, Message::Refused { id: id(0) });
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::NotExecuted)]);
}

#[test]
fn what_was_under_way_on_a_broken_connection_is_unknown_and_never_sent_again() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.replica.link_down(PEER);
    bench.submit(2);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::Unknown)]);
    bench.replica.link_up(PEER);
    assert_eq!(bench.turn(), [Seen::Forward(1, id(1), strings(&["2"]))]);
}

#[test]
fn an_answer_that_outlives_its_question_is_dropped() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    let late = |n| Message::Outcome {
        id: ForwardId(n),
        index: Index(1),
        replies: Bytes::from_static(b"\x02\0\0\0OK"),
    };
    bench.hear(PEER, late(7));
    bench.hear(OTHER, late(id(0).0));
    assert_eq!(bench.turn(), [], "another name, another sender");
}

#[test]
fn commands_are_held_while_nobody_leads_and_refused_when_their_time_is_up() {
    let mut bench = Bench::new();
    bench.submit(1);
    bench.pass(1_000);
    bench.submit(2);
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.replica.deadline(), Some(Micros::from_millis(3_000)));
    bench.pass(1_000);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::NoLeader)]);
    bench.tell(Script::Lead(1, Some(ME)));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["2"]))]);
}

#[test]
fn a_leader_that_is_deposed_refuses_what_was_forwarded_and_keeps_its_own() {
    let mut bench = Bench::leading();
    bench.persist = false;
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.hear(PEER, forward(1, 9, &["x"]));
    bench.submit(3);
    bench.turn();
    bench.tell(Script::Lead(2, None));
    assert_eq!(bench.turn(), [Seen::Refused(PEER, id(9))]);
    bench.tell(Script::Lead(2, Some(OTHER)));
    assert_eq!(
        bench.turn(),
        [Seen::Forward(2, id(0), strings(&["2", "3"]))]
    );
}

#[test]
fn a_proposal_that_is_committed_after_all_is_answered() {
    let mut bench = Bench::leading();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, Some(PEER)));
    bench.turn();
    bench.tell(Script::CommitTo(1));
    assert_eq!(bench.turn(), [Seen::Applied(1)]);
    bench.pass(5_000);
    assert_eq!(bench.turn(), [], "nobody is told that it is unknown");
}

#[test]
fn a_proposal_whose_place_is_taken_was_not_executed() {
    let mut bench = Bench::leading();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, Some(PEER)));
    bench.tell(Script::CommitOther(1, 2));
    assert_eq!(
        bench.turn(),
        [
            Seen::Failed(vec![1], Failure::NotExecuted),
            Seen::Applied(1)
        ]
    );
}

#[test]
fn a_proposal_that_nobody_decides_is_unknown_in_the_end() {
    let mut bench = Bench::leading();
    bench.hear(PEER, forward(1, 0, &["x"]));
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, None));
    bench.pass(1_999);
    assert_eq!(bench.turn(), []);
    bench.pass(1);
    assert_eq!(
        bench.turn(),
        [
            Seen::FailedRemote(PEER, id(0), Failure::Unknown),
            Seen::Failed(vec![1], Failure::Unknown),
        ]
    );
}

#[test]
fn two_reigns_can_have_proposed_at_one_index() {
    let mut bench = Bench::leading();
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.turn();
    bench.tell(Script::CommitOther(1, 3));
    bench.tell(Script::CommitOther(2, 3));
    assert_eq!(
        bench.turn(),
        [
            Seen::Failed(vec![1], Failure::NotExecuted),
            Seen::Failed(vec![2], Failure::NotExecuted),
            Seen::Applied(2),
        ]
    );
}

#[test]
fn reads_of_one_turn_share_a_question_and_wait_for_the_state() {
    let mut bench = Bench::leading();
    bench.submit(9);
    bench.turn();
    bench.replica.read(bench.now, 1, b"a");
    bench.replica.read(bench.now, 2, b"b");
    assert_eq!(bench.turn(), []);
    bench.replica.read(bench.now, 3, b"c");
    bench.tell(Script::Confirm(1));
    assert_eq!(bench.turn(), [], "index 1 is not applied yet");
    bench.tell(Script::CommitTo(1));
    assert_eq!(bench.turn(), [Seen::Applied(1), Seen::Asked(vec![1, 2])]);
    bench.tell(Script::Confirm(1));
    assert_eq!(bench.turn(), [Seen::Asked(vec![3])]);
}

#[test]
fn a_refused_read_is_asked_again_and_given_up_in_time() {
    let mut bench = Bench::following();
    bench.replica.read(bench.now, 1, b"a");
    bench.turn();
    bench.tell(Script::Lead(2, None));
    bench.tell(Script::RefuseRead);
    assert_eq!(bench.turn(), []);
    bench.tell(Script::Lead(3, Some(OTHER)));
    bench.turn();
    bench.tell(Script::Confirm(0));
    assert_eq!(bench.turn(), [Seen::Asked(vec![1])]);
    bench.tell(Script::Lead(4, None));
    bench.replica.read(bench.now, 2, b"a");
    bench.pass(2_001);
    assert_eq!(bench.turn(), [Seen::Failed(vec![2], Failure::NoLeader)]);
}

#[test]
fn time_passes_in_the_log_when_something_is_due_and_not_too_often() {
    let mut bench = Bench::leading();
    bench.due = Some(Millis(1_000_000 + 1_050));
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.replica.deadline(), Some(Micros::from_millis(1_050)));
    bench.pass(50);
    assert_eq!(bench.turn(), [Seen::Propose(vec![])]);
    bench.pass(50);
    assert_eq!(bench.turn(), []);
    bench.pass(50);
    assert_eq!(bench.turn(), [Seen::Propose(vec![])]);
}

#[test]
fn a_follower_lets_the_leader_answer_wait() {
    let wait = Wait {
        index: Index(4),
        replicas: 2,
        timeout: Some(Micros::from_millis(100)),
    };
    let mut bench = Bench::following();
    bench.replica.wait(bench.now, 1, wait);
    assert_eq!(bench.turn(), [Seen::Wait(PEER, id(0))]);
    let held = Held {
        replicas: 2,
        leader: true,
    };
    let (id, replicas, leader) = (id(0), 2, true);
    bench.hear(
        PEER,
        Message::Waited {
            id,
            replicas,
            leader,
        },
    );
    assert_eq!(bench.turn(), [Seen::Held(1, held)]);
}

#[test]
fn a_leader_answers_wait_when_enough_hold_the_index_or_time_is_up() {
    let wait = |index, replicas| Wait {
        index: Index(index),
        replicas,
        timeout: Some(Micros::from_millis(100)),
    };
    let mut bench = Bench::leading();
    bench.replica.wait(bench.now, 1, wait(3, 2));
    bench.replica.wait(bench.now, 2, wait(5, 2));
    bench.replica.wait(bench.now, 3, wait(5, 9));
    bench.replica.forget(|token| token == 3);
    let held = |replicas| Held {
        replicas,
        leader: true,
    };
    assert_eq!(bench.turn(), [Seen::Held(1, held(2))]);
    bench.pass(100);
    assert_eq!(bench.turn(), [Seen::Held(2, held(1))]);
    let (id, index, replicas, timeout_ms) = (id(5), Index(5), 1, 0);
    bench.hear(
        OTHER,
        Message::Wait {
            id,
            index,
            replicas,
            timeout_ms,
        },
    );
    assert_eq!(bench.turn(), [Seen::Waited(OTHER, id, 1)]);
}

#[test]
fn bytes_that_are_no_batch_are_not_executed() {
    let mut bench = Bench::leading();
    let batch = Bytes::from_static(b"garbage");
    let (epoch, id) = (Epoch::term(1), id(0));
    bench.hear(PEER, Message::Forward { epoch, id, batch });
    assert_eq!(
        bench.turn(),
        [Seen::FailedRemote(PEER, id, Failure::NotExecuted)]
    );
}

#[test]
fn a_long_replay_is_applied_in_slices_and_messages_are_answered_between_them() {
    let mut bench = Bench::new();
    for index in 1..=5_000 {
        bench.tell(Script::CommitOther(index, 1));
    }
    assert_eq!(bench.turn(), [Seen::Applied(2_048)]);
    assert_eq!(bench.replica.deadline(), Some(bench.now), "at once");
    bench.hear(OTHER, forward(1, 0, &["x"]));
    assert_eq!(
        bench.turn(),
        [Seen::Refused(OTHER, id(0)), Seen::Applied(4_096)]
    );
    assert_eq!(bench.turn(), [Seen::Applied(5_000)]);
    assert_ne!(bench.replica.deadline(), Some(bench.now));
}

#[test]
fn a_slice_is_bounded_in_commands_and_in_bytes_and_takes_one_entry_at_least() {
    let mut bench = Bench::leading();
    for _ in 0..2 {
        (0..2_000).for_each(|token| bench.submit(token));
        bench.turn();
    }
    for token in 0..3 {
        bench.replica.submit(bench.now, token, &vec![0; 3 << 20]);
        bench.turn();
    }
    bench.tell(Script::CommitTo(9));
    let applied: Vec<_> = (0..5).flat_map(|_| bench.turn()).collect();
    assert_eq!(applied, [2, 3, 4, 5].map(Seen::Applied));
}

#[test]
fn what_is_put_back_is_applied_in_the_next_turn() {
    let mut bench = Bench::new();
    (1..=3).for_each(|index| bench.tell(Script::CommitOther(index, 1)));
    bench.replica.turn(bench.now, Millis(0), None);
    let Some(Action::Apply(slice)) = bench.replica.poll() else {
        panic!("nothing to apply");
    };
    let mut slice = slice.into_iter();
    assert_eq!(slice.next().map(|first| first.index()), Some(Index(1)));
    bench.replica.apply_later(slice);
    assert!(bench.replica.poll().is_none(), "the turn is over");
    let Some(Action::Apply(slice)) = ({
        bench.replica.turn(bench.now, Millis(0), None);
        bench.replica.poll()
    }) else {
        panic!("nothing to apply");
    };
    assert_eq!(
        slice.iter().map(|c| c.index().0).collect::<Vec<_>>(),
        [2, 3]
    );
}

#[test]
fn times_that_cannot_be_reached_are_as_good_as_never() {
    let mut bench = Bench::leading();
    bench.due = Some(Millis(i64::MAX as u64));
    bench.replica.wait(
        bench.now,
        1,
        Wait {
            index: Index(9),
            replicas: 9,
            timeout: Some(Micros(u64::MAX)),
        },
    );
    assert_eq!(bench.turn(), []);
}

#[test]
fn what_went_to_a_leader_that_left_no_successor_is_unknown_in_the_end() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(1, None));
    bench.turn();
    bench.pass(2_000);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::Unknown)]);
}

#[test]
fn a_read_that_can_not_be_served_is_given_up() {
    let mut bench = Bench::following();
    bench.replica.read(bench.now, 1, b"a");
    bench.turn();
    bench.tell(Script::Confirm(7));
    assert_eq!(bench.turn(), [], "index 7 is never applied here");
    bench.pass(5_000);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::NoLeader)]);
}

#[test]
fn a_new_leader_is_not_kept_waiting_by_what_the_old_one_owes() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.turn();
    bench.tell(Script::Lead(2, Some(OTHER)));
    bench.submit(3);
    bench.turn();
    bench.pass(250);
    assert_eq!(bench.turn(), [Seen::Forward(2, id(2), strings(&["3"]))]);
}
