//! What nodes say to each other.
//!
//! | Message     | From → to           | Asks or says                                  | Answer                  |
//! |-------------|---------------------|-----------------------------------------------|-------------------------|
//! | PreVote     | pre-candidate → all | could I win an election for `term`? (§9.6)    | PreVoted, StaleTerm     |
//! | PreVoted    | voter → asker       | whether it would vote so                      |                         |
//! | Vote        | candidate → all     | vote for me in `term` (§5.2)                  | Voted, StaleTerm        |
//! | Voted       | voter → candidate   | whether it did; durable                       |                         |
//! | Append      | leader → peer       | entries after `prev` (§5.3)                   | Acked, Rejected         |
//! | Acked       | peer → leader       | holds the leader's log up to `matched`; durable |                       |
//! | Rejected    | peer → leader       | does not hold `prev`; where to look instead   |                         |
//! | Heartbeat   | leader → peer       | I lead; this is read round `round`            | HeartbeatAck, StaleTerm |
//! | HeartbeatAck| peer → leader       | you led when round `round` reached me         |                         |
//! | NeedsSnapshot | peer → leader     | my state machine lacks what my log has purged |                         |
//! | Commit      | leader → peer       | this much is committed                        |                         |
//! | ReadIndex   | follower → leader   | what must my reads see? (§6.4 of the thesis)  | ReadIndexed             |
//! | ReadIndexed | leader → follower   | this                                          |                         |
//! | StaleTerm   | any → any           | your term is over: mine is `term`             |                         |
//!
//! Section numbers with two digits are those of Ongaro's thesis. Every message names a term, and
//! leaves only once its sender's term and vote are durable. None is answered twice for one
//! arrival, all may be lost, repeated and reordered.

use alloc::vec::Vec;

use consensus::{Channel, Entry, Index, Position};
use serde::{Deserialize, Serialize};

/// Names a follower's request for a read index: never used twice, even across restarts, because
/// `life` is durable before the first request of that life is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadId {
    /// Which of the follower's lives asks.
    pub life: u64,
    /// Which of that life's requests.
    pub number: u64,
}

/// One message; see the module's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Could I win an election for `term`?
    PreVote {
        /// The term that the election would be for: one above the sender's.
        term: u64,
        /// The sender's last entry.
        last: Position,
    },
    /// Whether the sender would vote so.
    PreVoted {
        /// The term asked about.
        term: u64,
        /// Yes or no.
        granted: bool,
    },
    /// Vote for me.
    Vote {
        /// The candidate's term.
        term: u64,
        /// The candidate's last entry.
        last: Position,
    },
    /// Whether the sender votes for the candidate. Durable.
    Voted {
        /// The voter's term.
        term: u64,
        /// Yes or no.
        granted: bool,
    },
    /// Entries for the log.
    Append {
        /// The leader's term.
        term: u64,
        /// What stands right before the first entry.
        prev: Position,
        /// Consecutive, without holes; may be empty.
        entries: Vec<Entry>,
        /// What is committed, as far as the leader knows.
        commit: Index,
    },
    /// The sender durably holds the leader's log up to here.
    Acked {
        /// The sender's term.
        term: u64,
        /// The last index that is durable and the leader's.
        matched: Index,
    },
    /// The sender does not hold what stood before an append.
    Rejected {
        /// The sender's term.
        term: u64,
        /// The index right before the append's first entry.
        prev: Index,
        /// The epoch that stands at `prev` instead, and the first index of its run; or, with
        /// epoch zero, the index after the sender's last.
        conflict: Position,
    },
    /// The sender leads.
    Heartbeat {
        /// The leader's term.
        term: u64,
        /// The newest read round.
        round: u64,
        /// What the peer is known to hold; zero when that is nothing.
        prev: Position,
        /// What is committed, as far as the leader knows.
        commit: Index,
    },
    /// The answer to a heartbeat.
    HeartbeatAck {
        /// The sender's term.
        term: u64,
        /// The heartbeat's round.
        round: u64,
        /// The heartbeat's `prev.index`.
        prev: Index,
        /// Up to where the sender has received the leader's log, durable or not.
        received: Index,
    },
    /// The sender's log begins after what its state machine holds: only a snapshot helps.
    NeedsSnapshot {
        /// The sender's term.
        term: u64,
    },
    /// The commit index has moved.
    Commit {
        /// The leader's term.
        term: u64,
        /// What is committed.
        commit: Index,
    },
    /// What must a read that arrives now see?
    ReadIndex {
        /// The follower's term.
        term: u64,
        /// The request's name.
        id: ReadId,
    },
    /// Everything up to here.
    ReadIndexed {
        /// The leader's term.
        term: u64,
        /// The request's name.
        id: ReadId,
        /// What the reads must see.
        index: Index,
    },
    /// The receiver's term is over.
    StaleTerm {
        /// The sender's term.
        term: u64,
    },
}

impl Message {
    /// The term it names: the sender's, but for pre-votes the one it is about.
    #[must_use]
    pub const fn term(&self) -> u64 {
        match self {
            Message::PreVote { term, .. }
            | Message::PreVoted { term, .. }
            | Message::Vote { term, .. }
            | Message::Voted { term, .. }
            | Message::Append { term, .. }
            | Message::Acked { term, .. }
            | Message::Rejected { term, .. }
            | Message::Heartbeat { term, .. }
            | Message::HeartbeatAck { term, .. }
            | Message::NeedsSnapshot { term }
            | Message::Commit { term, .. }
            | Message::ReadIndex { term, .. }
            | Message::ReadIndexed { term, .. }
            | Message::StaleTerm { term } => *term,
        }
    }
}

impl consensus::Message for Message {
    fn channel(&self) -> Channel {
        match self {
            Message::Append { entries, .. } if !entries.is_empty() => Channel::Bulk,
            _ => Channel::Control,
        }
    }

    fn payload_bytes(&self) -> usize {
        match self {
            Message::Append { entries, .. } => entries.iter().map(Entry::size).sum(),
            _ => 0,
        }
    }
}
