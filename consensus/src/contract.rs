//! The trait itself, with every input and output.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{Entry, Epoch, Index, Membership, Micros, NodeId, Position, Recovered, Status};

/// A consensus protocol as a state machine without I/O.
///
/// After every [`step`](Consensus::step) the host drains [`poll`](Consensus::poll) and carries
/// out what comes: writes in the order they came, commits in the order they came, sends at once.
///
/// # What a protocol promises
///
/// * **Durable before asserted.** It withholds whatever asserts its own state (votes, its own
///   included, vote requests, prepares, promises, acknowledgements) until the host has reported
///   the write behind it with [`Input::Persisted`]; so [`Output::Send`] is always safe to send at
///   once. Withheld messages are frozen when they are made: they say what was true then.
/// * **Entries may leave early**, but only once the hard state of their epoch is durable: a leader
///   replicates in parallel with its own disk, and counts itself only afterwards.
/// * **[`Output::Commit`]** comes in index order without holes, above `Recovered::applied`, and
///   only with entries that this node has put into its log by [`LogOp::Put`] with that epoch, or
///   found there when it started.
/// * **A read is answered** only after an entry of the leader's own epoch is committed, and after
///   a quorum has confirmed the leader in a round begun after the read arrived. Round ids are
///   never used twice, not even across restarts.
/// * **Stepping down** answers every waiting read with [`Refusal::NotLeader`].
/// * **A disk that hangs** costs the leadership: a node resigns when its own writes stop being
///   persisted, and does not campaign until one is.
/// * **A damaged node** ([`Recovered::damaged`]) neither votes nor campaigns until repaired. What
///   it lacks it gets from its peers: entries again, or a snapshot.
/// * **A snapshot** is asked for only above what was handed out as committed, and from then on
///   nothing is committed before it is installed or abandoned.
/// * **Hostile input never panics**: a stale, malformed or impossible message is dropped.
///
/// # What the host promises
///
/// * Writes reach the disk in order. `Persisted(n)` says that every write up to and including `n`
///   is durable, and is given in ascending order.
/// * After a failed write it stops, and never reports that write or a later one.
/// * A snapshot is durable in the state machine before it is reported as installed.
/// * Commits are applied in order, and reported with [`Input::Applied`]. A protocol may wait for
///   that before it reads more of them back from the log.
/// * `now` never goes backwards.
pub trait Consensus: Sized {
    /// What the protocol can be tuned by.
    type Config: Clone;
    /// What its nodes say to each other.
    type Message: Message;

    /// Starts node `config`'s node from what its disk holds. `seed` feeds its timeouts.
    fn new(config: Self::Config, seed: u64, recovered: Recovered) -> Self;

    /// Takes one input. Whatever follows from it comes out of [`poll`](Consensus::poll).
    fn step(&mut self, now: Micros, input: Input<Self::Message>);

    /// The next output, in order; `None` when there is no more for now.
    fn poll(&mut self) -> Option<Output<Self::Message>>;

    /// When to step with [`Input::Tick`], if nothing else happens before.
    fn deadline(&self) -> Option<Micros>;

    /// Where it stands: for metrics and people, never for decisions. Allocates.
    fn status(&self) -> Status;
}

/// What nodes of a protocol say to each other.
pub trait Message:
    Clone + core::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned
{
    /// Which of a peer's connections carries it. The two are not ordered against each other.
    fn channel(&self) -> Channel;

    /// How many bytes of entries it carries: what decides how many messages share a frame.
    fn payload_bytes(&self) -> usize {
        0
    }
}

/// The two connections between a pair of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Heartbeats, votes, acknowledgements: small, and never behind anything large.
    Control,
    /// Entries and snapshots.
    Bulk,
}

/// Names a write to the log, in the order of issue from 1. Not (epoch, index): the same index may
/// be written, truncated and written again, and only the last write counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteSeq(pub u64);

/// Names a request of the host's; chosen by the host, given back with its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a request for entries from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// How sure a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Linearizable whatever the clocks do: a quorum confirms the leader (ReadIndex).
    #[default]
    Quorum,
    /// Linearizable while clocks drift less than configured: the leader's lease is enough.
    Lease,
}

/// What happens to a protocol.
#[derive(Clone, Debug)]
pub enum Input<M> {
    /// Time has passed.
    Tick,
    /// A peer said something.
    Message {
        /// Who; authenticated by the transport.
        from: NodeId,
        /// What.
        message: M,
    },
    /// A batch to append. Answered by one [`Output::Done`]; its fate then follows from
    /// [`Output::Commit`].
    Propose {
        /// The host's name for it.
        request: RequestId,
        /// The commands, opaque.
        batch: Bytes,
    },
    /// Asks for an index that a read must wait for. Works on every node: a follower asks its
    /// leader. Answered by one [`Output::ReadReady`], or by [`Output::Done`] with a refusal.
    Read {
        /// The host's name for it.
        request: RequestId,
        /// How sure it must be.
        mode: ReadMode,
    },
    /// Asks for a change of membership.
    Reconfigure {
        /// The host's name for it.
        request: RequestId,
        /// What to change.
        change: Change,
    },
    /// Asks the leader to hand over.
    Transfer {
        /// To whom; `None` lets the leader choose.
        to: Option<NodeId>,
    },
    /// Every write up to this one is durable.
    Persisted(WriteSeq),
    /// The state machine has applied everything up to here.
    Applied(Index),
    /// The answer to [`Output::Fetch`].
    Fetched {
        /// Which fetch.
        id: FetchId,
        /// What was found.
        result: Fetched,
    },
    /// A peer has a snapshot for this node.
    SnapshotOffered {
        /// Who.
        from: NodeId,
        /// What it covers.
        at: Position,
        /// The members as of then.
        membership: Membership,
    },
    /// The state machine has been replaced by a snapshot, durably; the log may follow.
    SnapshotInstalled {
        /// What it covers.
        at: Position,
        /// The members as of then.
        membership: Membership,
    },
    /// What [`Output::InstallSnapshot`] asked for cannot be had, and the state machine is what it
    /// was. Without this or [`Input::SnapshotInstalled`] nothing more is committed.
    SnapshotAbandoned {
        /// What it covered.
        at: Position,
    },
    /// A snapshot was sent, or was not. Answers every [`Output::SendSnapshot`] in the end.
    SnapshotSent {
        /// To whom.
        to: NodeId,
        /// What it covered.
        index: Index,
        /// How it went.
        outcome: SnapshotOutcome,
    },
    /// Entries up to here may leave the log: the state machine holds them durably, and no snapshot
    /// that is being sent ends below.
    Compact {
        /// The last that may go.
        upto: Index,
    },
}

/// What a protocol wants done.
#[derive(Clone, Debug)]
pub enum Output<M> {
    /// Tell a peer. Always safe to send now; may be lost, repeated or reordered.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: M,
    },
    /// Make durable, after all earlier writes; then report [`Input::Persisted`].
    Write {
        /// The write's name.
        seq: WriteSeq,
        /// What to write, in order.
        ops: Vec<LogOp>,
    },
    /// These are decided: apply them in order.
    Commit(Vec<Entry>),
    /// Read entries `from..=to` back from the log, as queued writes leave it, about `max_bytes` of
    /// them but at least one.
    Fetch {
        /// The fetch's name. An answer under a name the protocol no longer waits for is dropped.
        id: FetchId,
        /// The first index.
        from: Index,
        /// The last index.
        to: Index,
        /// Where to stop, in payload bytes.
        max_bytes: usize,
    },
    /// A read may be served once everything up to `index` is applied.
    ReadReady {
        /// Which read.
        request: RequestId,
        /// What it must see.
        index: Index,
    },
    /// A request was taken in or refused.
    Done {
        /// Which.
        request: RequestId,
        /// How.
        done: Done,
    },
    /// A peer needs what is no longer in the log, or cannot be read there. Repeated while one is
    /// under way, it changes nothing.
    SendSnapshot {
        /// Who.
        to: NodeId,
    },
    /// Fetch and install the snapshot that was offered.
    InstallSnapshot {
        /// By whom.
        from: NodeId,
        /// What it covers.
        at: Position,
    },
    /// These are the members now.
    Membership(Membership),
    /// A reign began, ended, or its leader became known.
    Leadership {
        /// The reign.
        epoch: Epoch,
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
}

/// What became of a request when it was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// In the leader's log, at this position. If an entry with another epoch is committed at that
    /// index, this one never will be; if one with this epoch is, it took effect.
    Accepted(Position),
    /// Not taken in: nothing happened.
    Refused(Refusal),
}

/// Why a request was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node does not lead, or no longer does. The only refusal after which the request may be
    /// sent elsewhere.
    NotLeader,
    /// Too much is under way; later is better.
    Busy,
    /// The change cannot be made: another is under way, or it makes no sense.
    Invalid,
}

/// One operation on the log. A write's operations become durable together or as a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOp {
    /// Replace the protocol's own state.
    HardState(Bytes),
    /// Put an entry, replacing one that stands there.
    Put(Entry),
    /// Drop every entry at this index and above.
    TruncateFrom(Index),
    /// Drop every entry at this index and below; the state machine holds them.
    PurgeTo(Position),
}

/// What was found in the log.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The entries, in order from the first asked for; fewer than asked for is fine.
    Entries(Vec<Entry>),
    /// The first asked for is gone.
    Purged,
    /// The first asked for cannot be read.
    Corrupt,
}

/// How sending a snapshot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// The peer has installed it.
    Installed,
    /// It did not arrive, or was not wanted.
    Failed,
}

/// A change of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These are to be the members; the protocol goes there by joint consensus.
    Members(Membership),
}
