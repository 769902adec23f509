//! The state machine that is kept in step: what the driver asks of it.

use consensus::{Membership, Position};
use storage::{Flush, Frozen, ViewId};

use crate::batch::SEMANTICS;

/// Milliseconds since 1970, as stamped by a leader or shown by a node's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// What the log says about an entry, besides its commands.
#[derive(Clone, Copy, Debug)]
pub struct EntryInfo<'a> {
    /// What names it.
    pub position: Position,
    /// The leader's clock when it proposed the entry; `Millis(0)` if the entry carries none.
    /// Stamps may repeat or step back across leaders: group time is the largest so far.
    pub stamp: Millis,
    /// Under which version of the commands' meaning it is to be applied.
    pub semantics: u8,
    /// The members from here on, if that is what the entry says.
    pub membership: Option<&'a Membership>,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// The reply is complete.
    Answered,
    /// The answer depends on whether time has passed which the log does not know of yet: commit
    /// a tick, then ask again. Nothing was written to the reply.
    NeedsTick,
    /// The answer takes longer than a turn should: [`begin_long`](StateMachine::begin_long) it.
    /// Nothing was written to the reply.
    Long,
}

/// Names a query that is answered in slices. Given out by the driver, never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LongId(pub u64);

/// A deterministic state machine: the same entries, in the same order, give the same state and
/// the same replies on every node. Neither the clock nor configuration nor chance may reach
/// [`apply`](StateMachine::apply); what must be the same everywhere comes in the log.
///
/// The driver calls, for every committed range: [`begin`](StateMachine::begin) for each entry,
/// `apply` for each of its commands, and once at the end [`commit`](StateMachine::commit).
pub trait StateMachine {
    /// Why the machine cannot go on. The node stops: a state machine that skipped a command would
    /// silently differ from its copies.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The last entry that has begun. A machine that has just been opened says what its storage
    /// holds: the log is replayed from the entry after it.
    fn applied(&self) -> Position;

    /// The newest version of the commands' meaning that this machine understands.
    fn semantics(&self) -> u8 {
        SEMANTICS
    }

    /// An entry begins. Its commands follow.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn begin(&mut self, entry: EntryInfo<'_>) -> Result<(), Self::Error>;

    /// These commands are applied next, in this order: a machine that waits for memory may fetch for
    /// all of them at once what it would else wait for one by one. Changes nothing that can be seen.
    fn expect(&self, commands: &mut dyn Iterator<Item = &[u8]>) {
        let _ = commands;
    }

    /// Applies one command; appends its reply where one is wanted. Only the node at which a
    /// command arrived wants it. A command that makes no sense gets an error as its reply, the
    /// same on every node.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn apply(&mut self, command: &[u8], reply: Option<&mut Vec<u8>>) -> Result<(), Self::Error>;

    /// The committed range ends: everything since the last call becomes one atomic unit, data and
    /// position together.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn commit(&mut self) -> Result<(), Self::Error>;

    /// Answers a query from the state as it is. `clock` is this node's clock: it decides only
    /// whether a tick is needed, never what the answer is.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn query(&self, query: &[u8], clock: Millis, reply: &mut Vec<u8>)
    -> Result<Query, Self::Error>;

    /// Takes a query that [`query`](StateMachine::query) called [`Long`](Query::Long), to be
    /// answered by [`work`](StateMachine::work) from one state at least as new as this one.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn begin_long(&mut self, id: LongId, query: &[u8]) -> Result<(), Self::Error> {
        unreachable!(
            "{id:?} of {} bytes: this machine calls no query long",
            query.len()
        )
    }

    /// Does a slice of what the long queries want, about a millisecond's worth; gives `answer` each
    /// one that is done, with its reply. The driver calls it once a turn.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn work(&mut self, answer: &mut dyn FnMut(LongId, &[u8])) -> Result<(), Self::Error> {
        let _ = answer;
        Ok(())
    }

    /// Whether a commit would have to wait for the disk: then nothing is applied for now, and the
    /// node goes on with all else. Applying what it is given nevertheless only takes longer.
    fn is_busy(&self) -> bool {
        false
    }

    /// Whether [`work`](StateMachine::work) has anything to do.
    fn has_work(&self) -> bool {
        false
    }

    /// Whether that waits for a disk: it is then asked again soon, and not at once, since the core
    /// may be what the disk's work waits for.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Nobody waits any more for the answer to a long query.
    fn cancel_long(&mut self, id: LongId) {
        let _ = id;
    }

    /// Begins to make durable what is applied, for machines over an engine: see
    /// [`Engine::flush`](storage::Engine::flush). By default a machine keeps nothing.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn flush(&mut self) -> Result<Flush, Self::Error> {
        Ok(Flush::KeepsNothing)
    }

    /// The last entry whose effects a crash at this moment would leave.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn durable(&self) -> Result<Position, Self::Error> {
        Ok(Position::ZERO)
    }

    /// Holds still the rows that make up the state, position and all, for a snapshot: see
    /// [`Engine::freeze`](storage::Engine::freeze). By default a machine cannot be frozen; then its
    /// node sends no snapshots and never purges its log.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn freeze(&mut self) -> Result<Option<Frozen>, Self::Error> {
        Ok(None)
    }

    /// Visits the next rows of a view frozen within the machine; false when that was the end.
    ///
    /// # Errors
    /// When the storage behind the machine fails.
    fn read_frozen(
        &mut self,
        view: ViewId,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, Self::Error> {
        let _ = (max_bytes, visit);
        unreachable!("{view:?} is not frozen within this machine: it freezes nothing")
    }

    /// Ends a view frozen within the machine.
    fn thaw(&mut self, view: ViewId) {
        let _ = view;
    }

    /// When the state next changes by the passing of time alone. The leader commits a tick then.
    fn next_due(&self) -> Option<Millis> {
        None
    }
}
