//! A protocol that does what a test says, and a driver over it.
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use consensus::{
    Channel, Consensus, Done, Entry, Epoch, Index, Input, LogOp, Membership, Micros, NodeId,
    Output, Payload, Position, Recovered, Refusal, Role, Status, WriteSeq,
};
use replication::{
    Action, Batch, BatchBuilder, Config, Failure, ForwardId, Held, Message, Millis, Replica,
    SnapshotEnd, SnapshotId, SnapshotTask,
};
use serde::{Deserialize, Serialize};

pub(crate) const ME: NodeId = NodeId(1);
pub(crate) const PEER: NodeId = NodeId(2);
pub(crate) const OTHER: NodeId = NodeId(3);

/// What the test tells the protocol to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Script {
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
    /// Ask for a snapshot for a peer.
    SendSnapshot(NodeId),
    /// Want the snapshot that is offered next, or not.
    Want(bool),
}

impl consensus::Message for Script {
    fn channel(&self) -> Channel {
        Channel::Control
    }
}

/// A protocol that accepts what a leader proposes, and otherwise does what it is told.
pub(crate) struct Scripted {
    /// What it was told of snapshots and of the log.
    heard: Rc<RefCell<Vec<String>>>,
    wants: bool,
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
            heard: Rc::default(),
            wants: true,
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
            Input::SnapshotOffered { from, at, .. } => {
                self.heard(format!("offered {at} by {from}"));
                if self.wants {
                    self.out.push_back(Output::InstallSnapshot { from, at });
                }
            }
            Input::SnapshotInstalled { at, .. } => self.heard(format!("installed {at}")),
            Input::SnapshotAbandoned { at } => self.heard(format!("abandoned {at}")),
            Input::SnapshotSent { to, index, outcome } => {
                self.heard(format!("sent {index} to {to}: {outcome:?}"));
            }
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
            last: Position {
                index: Index(1_000),
                epoch: Epoch::term(self.epoch),
            },
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
    fn heard(&self, what: String) {
        self.heard.borrow_mut().push(what);
    }

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
            Script::SendSnapshot(to) => self.out.push_back(Output::SendSnapshot { to }),
            Script::Want(wants) => self.wants = wants,
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
pub(crate) struct Bench {
    pub(crate) replica: Replica<Scripted, u32>,
    pub(crate) now: Micros,
    pub(crate) due: Option<Millis>,
    pub(crate) persist: bool,
    heard: Rc<RefCell<Vec<String>>>,
}

/// What came out, shortened to what the tests ask about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
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
    Offer(NodeId, SnapshotId),
    Want(NodeId, u64, u64),
    Chunk(NodeId, u64, usize),
    Gone(NodeId, SnapshotId),
    Done(NodeId, SnapshotEnd),
    Receiving(NodeId, Index),
}

impl Bench {
    pub(crate) fn new() -> Self {
        let members = Membership::of_voters([ME, PEER, OTHER]);
        let core = Scripted::new((), 0, Recovered::fresh(members.clone()));
        let heard = core.heard.clone();
        let mut replica = Replica::new(core, Config::new(ME, 1), members, Index(0));
        for peer in [PEER, OTHER] {
            replica.link_up(peer);
            let said = replica.poll();
            assert!(
                matches!(said, Some(Action::Send(to, Message::Understands { semantics: 1 })) if to == peer),
                "{said:?}"
            );
        }
        Bench {
            replica,
            now: Micros::from_millis(1_000),
            due: None,
            persist: true,
            heard,
        }
    }

    /// What the protocol was told of snapshots since the last time.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.heard.take()
    }

    pub(crate) fn leading() -> Self {
        let mut bench = Bench::new();
        bench.tell(Script::Lead(1, Some(ME)));
        bench.turn();
        bench
    }

    pub(crate) fn following() -> Self {
        let mut bench = Bench::new();
        bench.tell(Script::Lead(1, Some(PEER)));
        bench.turn();
        bench
    }

    pub(crate) fn tell(&mut self, script: Script) {
        self.replica
            .receive(self.now, OTHER, Message::Consensus(script));
    }

    pub(crate) fn submit(&mut self, token: u32) {
        self.replica
            .submit(self.now, token, token.to_string().as_bytes());
    }

    pub(crate) fn hear(&mut self, from: NodeId, message: Message<Script>) {
        self.replica.receive(self.now, from, message);
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now + Micros::from_millis(ms);
    }

    pub(crate) fn turn(&mut self) -> Vec<Seen> {
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
                // What is said now and then, whatever happens.
                Action::Send(_, Message::Keep { .. } | Message::Understands { .. }) => {}
                Action::Send(to, message) => seen.push(match message {
                    Message::Forward { epoch, id, batch } => {
                        Seen::Forward(epoch.round, id, commands(&batch))
                    }
                    Message::Refused { id } => Seen::Refused(to, id),
                    Message::Failed { id, failure } => Seen::FailedRemote(to, id, failure),
                    Message::Wait { id, .. } => Seen::Wait(to, id),
                    Message::Waited { id, replicas, .. } => Seen::Waited(to, id, replicas),
                    Message::SnapshotOffer { meta } => Seen::Offer(to, meta.id),
                    Message::SnapshotWant { offset, upto, .. } => Seen::Want(to, offset, upto),
                    Message::SnapshotChunk { offset, bytes, .. } => {
                        Seen::Chunk(to, offset, bytes.len())
                    }
                    Message::SnapshotGone { id } => Seen::Gone(to, id),
                    Message::SnapshotDone { end, .. } => Seen::Done(to, end),
                    Message::Receiving { index } => Seen::Receiving(to, index),
                    other => panic!("{other:?}"),
                }),
            }
        }
        seen
    }

    pub(crate) fn replica_apply(&mut self, committed: &[replication::Committed<u32>]) -> u64 {
        let last = committed.last().map_or(0, |last| last.index().0);
        self.replica.applied(self.now, Index(last));
        last
    }
}

pub(crate) fn commands(batch: &Bytes) -> Vec<String> {
    let batch = Batch::decode(batch.clone()).expect("the driver sends whole batches");
    let text = |command: &[u8]| String::from_utf8_lossy(command).into_owned();
    batch.commands().map(text).collect()
}

pub(crate) fn batch(names: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::default();
    names.iter().for_each(|name| builder.push(name.as_bytes()));
    builder.finish(Millis(0)).bytes().clone()
}

pub(crate) fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) const fn id(n: u64) -> ForwardId {
    ForwardId((1 << 40) + n)
}

pub(crate) fn forward(term: u64, n: u64, names: &[&str]) -> Message<Script> {
    Message::Forward {
        epoch: Epoch::term(term),
        id: id(n),
        batch: batch(names),
    }
}
