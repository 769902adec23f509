//! The state machine: Redis' strings, keys and expiry over any [`Engine`].
//!
//! # What it keeps
//!
//! * **Determinism.** The same entries give the same rows and the same replies everywhere. Neither
//!   a clock nor a setting nor chance reaches [`apply`](StateMachine::apply). Which command numbers
//!   exist, and what they mean, belongs to the entry's semantics version.
//! * **Atomicity.** Data, applied position, membership and group time go into the engine in one
//!   unit per committed range.
//! * **Group time** is the largest stamp so far and never steps back. A key is gone once its expiry
//!   is at or below group time, whether or not its row still stands; relative expiries count from
//!   the group time of their own entry.
//! * **A plain SET never reads.** It may therefore leave a row in the index of expiries that its
//!   key no longer means. Such a row is tolerated, and dropped when its time comes.
//!
//! # What it leaves out
//!
//! Snapshots, data types besides strings, and undoing: a committed command is never undone, so
//! whatever can be refused is refused before the first write.

mod counters;
mod counting;
mod dispatch;
mod edit;
mod expiry;
mod float;
mod keys;
mod lcs;
mod long;
mod moving;
mod options;
mod persisted;
mod read;
mod scan;
mod several;
mod spaces;
mod strings;
mod ttl;

use std::cell::RefCell;

use replication::{
    EntryInfo, LongId, Membership, Millis, Position, Query, SEMANTICS, StateMachine,
};
use storage::{Engine, EngineError, Flush, Frozen, ViewId};

pub use self::persisted::frozen_at;

use self::dispatch::{MALFORMED, decode};
use self::long::Long;
use self::persisted::State;
use self::spaces::Spaces;
use crate::command;
use crate::key::Place;
use crate::overview::DatabaseStatistics;
use crate::refusal::Refusal;
use crate::table::flags;

/// How many commands are looked at ahead.
const EXPECTED: usize = 32;

/// A scratch buffer that has grown beyond this is given back after use.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

/// Why a keyspace cannot go on. Its node stops: a machine that skipped a command would silently
/// differ from its copies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyspaceError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine holds a row that no release has written.
    #[error(
        "the {what} in the storage engine cannot be read: the data are damaged, or a newer release \
         wrote them; restore this node from its peers, or upgrade it"
    )]
    Unreadable {
        /// What was to be read.
        what: &'static str,
    },
    /// An entry was written by a newer release.
    #[error(
        "an entry has semantics version {found}, this build knows up to {SEMANTICS}: upgrade this node"
    )]
    Newer {
        /// The entry's version.
        found: u8,
    },
}

/// Why a command ends early.
#[derive(Debug)]
enum Stop {
    /// Its answer depends on time that group time has not reached.
    NeedsTick,
    /// It is refused; nothing was changed.
    Refused(Refusal),
    /// The machine cannot go on.
    Failed(KeyspaceError),
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Stop::Failed(error.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

/// What the keys' own time says: group time, and the clock that may be ahead of it.
#[derive(Clone, Copy, Debug)]
struct Now {
    group: Millis,
    /// Zero while applying: there only group time counts.
    clock: Millis,
}

/// A keyspace: every database of one group.
#[derive(Debug)]
pub struct Keyspace<E> {
    engine: E,
    /// What the engine has committed.
    applied: Position,
    /// The entry begun last.
    entry: Position,
    group_time: Millis,
    membership: Membership,
    membership_changed: bool,
    spaces: Spaces,
    /// No row of the expiry index is earlier; it may be later than this.
    next_due: Option<Millis>,
    expired_keys: u64,
    /// A row's key, reused; in a cell because queries need it too.
    row: RefCell<Vec<u8>>,
    /// A row's value, reused.
    value: Vec<u8>,
    /// A row of the expiry index, reused.
    index_row: Vec<u8>,
    /// Where replies go that nobody wants.
    unwanted: Vec<u8>,
    /// How full the databases are, until the next change, if somebody has asked.
    statistics: RefCell<Option<Vec<DatabaseStatistics>>>,
    /// Queries that take long.
    long: Long,
}

impl<E: Engine> Keyspace<E> {
    /// Opens what `engine` holds; an empty engine is an empty keyspace.
    ///
    /// # Errors
    /// When the engine fails, or holds what no release has written.
    pub fn open(engine: E) -> Result<Self, KeyspaceError> {
        let State {
            applied,
            group_time,
        } = persisted::read_state(&engine)?;
        let membership = persisted::read_membership(&engine)?;
        let spaces = Spaces::read(&engine)?;
        let mut keyspace = Keyspace {
            engine,
            applied,
            entry: applied,
            group_time,
            membership,
            membership_changed: false,
            spaces,
            next_due: None,
            expired_keys: 0,
            row: RefCell::default(),
            value: Vec::new(),
            index_row: Vec::new(),
            unwanted: Vec::new(),
            statistics: RefCell::default(),
            long: Long::default(),
        };
        keyspace.next_due = expiry::first_due(&keyspace.engine, &keyspace.spaces)?;
        Ok(keyspace)
    }

    /// The members as of the last applied entry; empty before the first that names any.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Group time: the largest stamp applied so far.
    #[must_use]
    pub fn group_time(&self) -> Millis {
        self.group_time
    }

    /// How many keys this instance has removed because their time had come, since it was opened.
    #[must_use]
    pub fn expired_keys(&self) -> u64 {
        self.expired_keys
    }

    /// The engine, to look at.
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.engine
    }
}

impl<E: Engine> StateMachine for Keyspace<E> {
    type Error = KeyspaceError;

    fn applied(&self) -> Position {
        self.applied
    }

    fn begin(&mut self, entry: EntryInfo<'_>) -> Result<(), KeyspaceError> {
        assert!(
            entry.position.index > self.entry.index,
            "entry {} was to be applied after {}: an entry is applied once, in order",
            entry.position,
            self.entry,
        );
        if entry.semantics > SEMANTICS {
            return Err(KeyspaceError::Newer {
                found: entry.semantics,
            });
        }
        self.entry = entry.position;
        if entry.stamp > self.group_time {
            self.group_time = entry.stamp;
            *self.statistics.get_mut() = None;
        }
        if let Some(membership) = entry.membership {
            self.membership.clone_from(membership);
            self.membership_changed = true;
        }
        if self.spaces.any_dead() {
            self.spaces.sweep(&mut self.engine)?;
        }
        self.sweep()
    }

    /// Looks at first arguments alone: where that is not a key, or there are more, nothing is lost.
    fn expect(&self, commands: &mut dyn Iterator<Item = &[u8]>) {
        let mut beginnings = [[0; 8]; EXPECTED];
        let mut count = 0;
        for (place, command) in beginnings.iter_mut().zip(commands) {
            if let Some(mut encoded) = command::decode(command)
                && let Some(key) = encoded.args.next()
            {
                *place = Place::of(self.spaces.of(encoded.database), key).to_bytes();
            }
            count += 1;
        }
        self.engine
            .expect(beginnings.get(..count).unwrap_or_default());
    }

    fn apply(&mut self, command: &[u8], reply: Option<&mut Vec<u8>>) -> Result<(), KeyspaceError> {
        let wanted = reply.is_some();
        let mut unwanted = std::mem::take(&mut self.unwanted);
        let reply = reply.unwrap_or(&mut unwanted);
        let start = reply.len();
        let outcome = self.execute(command, wanted, reply);
        if let Err(stop) = outcome {
            reply.truncate(start);
            match stop {
                Stop::Refused(refusal) => refusal.write(reply),
                Stop::Failed(error) => return Err(error),
                Stop::NeedsTick => unreachable!("while applying, only group time counts"),
            }
        }
        unwanted.clear();
        self.unwanted = unwanted;
        for scratch in [&mut self.unwanted, &mut self.value, self.row.get_mut()] {
            if scratch.capacity() > SCRATCH_BYTES_MAX {
                *scratch = Vec::new();
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), KeyspaceError> {
        if self.membership_changed {
            persisted::write_membership(&mut self.engine, &self.membership)?;
            self.membership_changed = false;
        }
        let state = State {
            applied: self.entry,
            group_time: self.group_time,
        };
        persisted::write_state(&mut self.engine, state)?;
        self.engine.commit()?;
        self.applied = self.entry;
        Ok(())
    }

    fn query(
        &self,
        query: &[u8],
        clock: Millis,
        reply: &mut Vec<u8>,
    ) -> Result<Query, KeyspaceError> {
        let start = reply.len();
        let now = Now {
            group: self.group_time,
            clock,
        };
        let outcome = decode(query).map_err(Stop::from).and_then(|request| {
            if request.command.is(flags::WRITE) {
                return Err(MALFORMED.into());
            }
            self.read(&request, now, reply)
        });
        match outcome {
            Ok(true) => Ok(Query::Answered),
            Ok(false) => Ok(Query::Long),
            Err(Stop::Refused(refusal)) => {
                reply.truncate(start);
                refusal.write(reply);
                Ok(Query::Answered)
            }
            Err(Stop::NeedsTick) => {
                reply.truncate(start);
                Ok(Query::NeedsTick)
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn begin_long(&mut self, id: LongId, query: &[u8]) -> Result<(), KeyspaceError> {
        self.enqueue_long(id, query)
    }

    fn work(&mut self, answer: &mut dyn FnMut(LongId, &[u8])) -> Result<(), KeyspaceError> {
        self.work_long(answer)
    }

    fn is_busy(&self) -> bool {
        self.engine.is_busy()
    }

    fn has_work(&self) -> bool {
        !self.long.is_empty()
    }

    fn is_waiting(&self) -> bool {
        self.long.is_waiting()
    }

    fn cancel_long(&mut self, id: LongId) {
        self.cancel(id);
    }

    fn flush(&mut self) -> Result<Flush, KeyspaceError> {
        Ok(self.engine.flush()?)
    }

    fn durable(&self) -> Result<Position, KeyspaceError> {
        Ok(persisted::read_durable_state(&self.engine)?.applied)
    }

    fn freeze(&mut self) -> Result<Option<Frozen>, KeyspaceError> {
        Ok(Some(self.engine.freeze()?))
    }

    fn read_frozen(
        &mut self,
        view: ViewId,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, KeyspaceError> {
        Ok(self.engine.read_frozen(view, max_bytes, visit)?)
    }

    fn thaw(&mut self, view: ViewId) {
        self.engine.thaw(view);
    }

    fn next_due(&self) -> Option<Millis> {
        match self.spaces.any_dead() {
            // Rows that mean nothing are to go, whatever the time.
            true => Some(Millis(0)),
            false => self.next_due,
        }
    }
}
