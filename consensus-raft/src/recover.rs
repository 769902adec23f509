//! Starting from what the disk holds (§5.1: what is persistent, and what is not).
//!
//! A restarted node follows; of what is committed it knows no more than what its state machine
//! holds. Where the log and the state machine disagree the state machine is right, because it
//! holds only what was committed: the log goes on after it (DESIGN 2.4). A state machine that ends
//! below where the log begins has lost something: its node asks its leader for a snapshot.
//!
//! A log that has lost entries is made good by a leader, but not by any: what this node had
//! acknowledged in its term may still be counted although it is gone. So it moves to a later term,
//! where nobody counts that, and it neither votes nor campaigns before a leader of a later term has
//! given it everything that is committed there (see `produce_follower`). The leader of its old
//! term steps down over this; an election is what a lost disk block costs.
//!
//! Nor does such a log keep what logs promise each other (§5.3): where the write is lost that had
//! truncated an entry, that entry stands there again, between others that agree with the leader's.
//! So of a damaged log only what is applied counts, and what a leader has sent since entry by entry.
//! The rest stays until then: it may be all that is left. All this holds over restarts: where the log
//! begins anew behind what is applied the disk is sound again, and only the hard state still says that
//! something was there.
//!
//! A hard state that cannot be read, or lies behind the log that was written after it, is lost:
//! whom this node voted for is unknown, so it does not vote again. That is written down, or a
//! later restart would read the next hard state and believe it.

use alloc::collections::VecDeque;

use bytes::Bytes;
use consensus::{EpochRuns, Index, LogOp, Membership, Micros, Position, Recovered};

use crate::config::Config;
use crate::durability::Durability;
use crate::follow::Following;
use crate::hard_state::HardState;
use crate::log::Log;
use crate::raft::{Raft, State};
use crate::random::Random;

/// The node as it comes back.
pub(crate) fn recover(config: Config, random: Random, mut recovered: Recovered) -> Raft {
    let hole = hole(recovered.purged, &recovered.log);
    if let Some(hole) = hole {
        recovered.log.truncate_from(hole);
    }
    let log = Log::new(recovered.purged, recovered.log);
    let applied = recovered.applied;
    let (mut hard, mut rewrite) = hard_state(recovered.hard_state.as_ref(), log.last(), applied);
    let damaged = recovered.damaged || hole.is_some() || hard.damaged;
    if damaged {
        hard.damaged = true;
        hard.term += 1;
        hard.voted_for = None;
        rewrite = true;
    }
    let commit_blocked = applied.index < log.purged().index;
    let membership = recovered.memberships.pop();
    let commit_index = applied.index.max(log.purged().index);
    let mut raft = Raft {
        config,
        random,
        now: Micros(0),
        started: false,
        out: VecDeque::new(),
        dirty: false,
        dropped: 0,
        vouched: damaged.then_some(commit_index),
        announced: (hard.term, None),
        hard,
        membership: membership.map_or_else(Membership::default, |(_, members)| members),
        leader: None,
        state: State::Follower(Following::default()),
        commit_index,
        delivered: applied.index,
        applied: applied.index,
        held_at_start: log.last().index,
        log,
        durability: Durability::new(),
        commit_fetch: None,
        fetch_after: Index::ZERO,
        fetched_upto: Index::ZERO,
        commit_blocked,
        unreadable: None,
        retry_at: None,
        corrupt: None,
        installing: None,
        fetches: 0,
        election_at: Micros(0),
        held_back: false,
        heard_leader_at: None,
        read_number: 0,
    };
    if rewrite {
        raft.stage_hard_state();
    }
    if let Some(hole) = hole {
        raft.stage(LogOp::TruncateFrom(hole));
    }
    if !commit_blocked && !raft.log.holds(applied) {
        raft.restart_log_at(applied);
    }
    raft
}

/// The hard state to go on with, and whether it differs from what was read.
fn hard_state(read: Option<&Bytes>, last: Position, applied: Position) -> (HardState, bool) {
    let decoded = read.map_or(Some(HardState::default()), |bytes| HardState::decode(bytes));
    let mut hard = decoded.unwrap_or_default();
    // A term's hard state is written before the term's first entry.
    let lost = decoded.is_none() || hard.term < last.epoch.round;
    hard.lost |= lost;
    // An entry may be committed by others and applied here before this node's own write of its
    // term is durable. Then no vote in that term has left this node.
    let term = last.epoch.round.max(applied.epoch.round);
    let behind = hard.term < term;
    if behind {
        hard.term = term;
        hard.voted_for = None;
    }
    (hard, lost || behind)
}

/// The first index that is missing below the last, which in Raft is damage. Looks at every index
/// only if one is.
fn hole(purged: Position, log: &EpochRuns) -> Option<Index> {
    let mut at = log.last()?.index;
    while at > purged.index && log.get(at).is_some() {
        at = log.run_start(at).unwrap_or(at).prev();
    }
    if at == purged.index {
        return None;
    }
    let mut first = purged.index.next();
    while log.get(first).is_some() {
        first = first.next();
    }
    Some(first)
}
