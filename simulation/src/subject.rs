//! What is put into the world: a protocol, a state machine, and what clients ask of it. The world
//! itself knows none of them.

use std::fmt::Debug;
use std::hash::Hash;

use consensus::{Consensus, Index, NodeId, Recovered};
use replication::{Failure, Millis, StateMachine};

use storage::MemoryEngine;

use crate::random::Random;

/// A cluster's worth of code under test.
///
/// [`Lockstep`](crate::Lockstep) is the product. With a type of your own you bring your own
/// protocol, your own state machine, or both; what the world does to them stays the same.
pub trait Subject: Clone {
    /// The protocol.
    type Core: Consensus;
    /// What it keeps in step.
    type Machine: StateMachine;
    /// How clients use it, and what they may expect.
    type Service: Service;

    /// Whether equal positions mean equal logs up to there (Raft's log matching). A protocol
    /// that decides every slot on its own says no.
    const PREFIX_LOG: bool = true;

    /// Starts `node`'s protocol from what its disk holds.
    fn core(&self, node: NodeId, seed: u64, recovered: Recovered) -> Self::Core;

    /// An empty state machine.
    fn machine(&self) -> Self::Machine;

    /// A state machine over an engine that a snapshot has filled; nothing if yours takes none, as by
    /// default: then its log is kept for ever.
    fn restore(&self, engine: MemoryEngine) -> Option<Self::Machine> {
        drop(engine);
        None
    }

    /// The same state machine in a build that is one version behind; the same build by default.
    fn behind(&self, machine: Self::Machine) -> Self::Machine {
        machine
    }

    /// A number that differs when the states do.
    fn digest(&self, machine: &Self::Machine) -> u64;

    /// Its clients.
    fn service(&self) -> Self::Service;

    /// What a message asserts about its sender. The default asserts nothing: then durability is
    /// checked only where it costs something that was committed.
    fn claim(_message: &Message<Self>) -> Claim {
        Claim::default()
    }

    /// The reign and the vote in the protocol's own state.
    fn ballot(_hard_state: &[u8]) -> Option<Ballot> {
        None
    }

    /// A message on one line, for people.
    fn describe(message: &Message<Self>) -> String {
        let text = format!("{message:?}");
        text.chars().take(160).collect()
    }
}

/// A reign, and whom a node has voted for in it.
pub type Ballot = (u64, Option<NodeId>);

/// The messages of a subject's protocol.
pub type Message<S> = <<S as Subject>::Core as Consensus>::Message;

/// What a message says about its sender's disk: it must be true when the message leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The sender has durably entered this reign.
    pub epoch: Option<u64>,
    /// The sender has durably voted in this reign: for whom.
    pub vote: Option<(u64, Vote)>,
    /// The sender durably holds its log up to here.
    pub holds: Option<Index>,
}

/// Whom a message's sender has voted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// For itself: it stands for election.
    Sender,
    /// For whoever receives the message.
    Receiver,
}

/// A service as its clients see it: calls on keys, each key a thing of its own.
pub trait Service: Clone {
    /// What a client can ask.
    type Call: Clone + Debug;
    /// What it can be told.
    type Reply: Clone + Debug + PartialEq;
    /// A key's state, for the sequential specification.
    type State: Clone + Eq + Hash + Debug;
    /// The server's end of a connection.
    type Port: Port;

    /// How many calls a client sends in one go at most. One for services without pipelines.
    fn pipeline(&self) -> usize;

    /// A connection begins.
    fn port(&self, id: u64, now: Millis) -> Self::Port;

    /// The next call on `key`. `unique` is given to no other call of the run.
    fn call(&self, random: &mut Random, key: u64, unique: u64) -> Self::Call;

    /// A call that only looks at `key`.
    fn look(&self, key: u64) -> Self::Call;

    /// Whether a call changes nothing.
    fn is_read(&self, call: &Self::Call) -> bool;

    /// The bytes that a client sends for a call.
    fn encode(&self, key: u64, call: &Self::Call, out: &mut Vec<u8>);

    /// The first reply in `bytes`, if it is all there, with its length.
    fn decode(&self, call: &Self::Call, bytes: &[u8]) -> Option<(usize, Answer<Self::Reply>)>;

    /// A key's state before anything.
    fn initial(&self, key: u64) -> Self::State;

    /// The sequential specification: the state after `call` answered by `reply`; `None` if that
    /// cannot be the answer in `state`. A call whose answer nobody saw has `reply` `None`.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        reply: Option<&Self::Reply>,
    ) -> Option<Self::State>;
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<R> {
    /// It took effect, with this reply.
    Reply(R),
    /// Nobody knows.
    Unknown,
    /// It had no effect and never will.
    NotExecuted,
    /// Something that no correct server says.
    Nonsense(String),
}

/// The server's end of a client's connection: bytes in, bytes out.
pub trait Port {
    /// Takes what came in, and goes on with what it could not take before.
    fn receive(&mut self, bytes: &[u8], gate: &mut dyn Gate);

    /// What was asked under `slot` is done; `index` is where in the log, if it went there.
    fn complete(&mut self, slot: u64, index: Option<Index>, outcome: Outcome<'_>);

    /// Replies to be sent; drained by the caller.
    fn output(&mut self) -> &mut Vec<u8>;

    /// Whether it would take more of what it already has.
    fn can_continue(&self) -> bool;
}

/// What a port may ask of its node.
pub trait Gate {
    /// Through the log.
    fn submit(&mut self, slot: u64, command: &[u8]);
    /// From a state at least as new as now.
    fn read(&mut self, slot: u64, query: &[u8]);
    /// The node's wall clock.
    fn now(&self) -> Millis;
    /// Whether the node leads; `None` while nobody does, as far as it knows.
    fn leads(&self) -> Option<bool>;
}

/// What a port is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The state machine's reply.
    Reply(&'a [u8]),
    /// There is none.
    Failed(Failure),
}
