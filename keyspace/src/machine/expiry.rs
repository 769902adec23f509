//! The index of expiries, and the sweep that it drives.
//!
//! ```text
//! FF FF 01 · space u16 · expiry u64 · the rest of the key's row      big-endian        →  nothing
//! ```
//!
//! A row says that the key *may* be due then; only the key's own row says whether it is. So the
//! index may hold rows that mean nothing any more, which is what lets a plain SET be blind. The
//! space stands first, so that the index goes with its database.

use std::ops::{Bound, ControlFlow};

use replication::Millis;
use storage::{Engine, EngineError};

use super::spaces::Spaces;
use super::{Keyspace, KeyspaceError, Stop, read};
use crate::key::SPACE_MAX;

const PREFIX: [u8; 3] = [0xFF, 0xFF, 1];

/// How many rows a single entry sweeps: a bound on how long any entry takes. The leader commits
/// ticks as long as something is due, so that what is left over does not wait for the next write.
pub(super) const SWEPT_MAX: usize = 32;

/// Writes the index row of the key in `row` over what stood in `out`.
pub(super) fn write_row(out: &mut Vec<u8>, at: Millis, row: &[u8]) {
    let (space, rest) = row.split_at_checked(2).unwrap_or_default();
    out.clear();
    out.extend_from_slice(&PREFIX);
    out.extend_from_slice(space);
    out.extend_from_slice(&at.0.to_be_bytes());
    out.extend_from_slice(rest);
}

/// An index row: when the key in a space is due, and the rest of its row.
fn parse_row(index_row: &[u8]) -> Option<(u16, Millis, &[u8])> {
    let rest = index_row.strip_prefix(&PREFIX)?;
    let (space, rest) = rest.split_first_chunk::<2>()?;
    let (at, row) = rest.split_first_chunk::<8>()?;
    let at = Millis(u64::from_be_bytes(*at));
    Some((u16::from_be_bytes(*space), at, row))
}

/// The index rows of a space.
pub(super) fn range(space: u16) -> (Vec<u8>, Vec<u8>) {
    let row = |space: u16| [&PREFIX[..], &space.to_be_bytes()].concat();
    (row(space), row(space + 1))
}

/// The earliest expiry in the index of any database. A look-up for each that has one.
pub(super) fn first_due(
    engine: &impl Engine,
    spaces: &Spaces,
) -> Result<Option<Millis>, EngineError> {
    let mut first = None;
    each_space(engine, spaces, &mut |_, at, _| {
        first = Some(first.map_or(at, |first: Millis| first.min(at)));
        ControlFlow::Break(())
    })?;
    Ok(first)
}

/// Takes a key's space, its expiry, and the rest of its row.
type Visit<'a> = dyn FnMut(u16, Millis, &[u8]) -> ControlFlow<()> + 'a;

/// Visits the index of each database in its order, until `visit` breaks and the next is visited.
fn each_space(
    engine: &impl Engine,
    spaces: &Spaces,
    visit: &mut Visit<'_>,
) -> Result<(), EngineError> {
    let (_, end) = range(SPACE_MAX);
    let mut from = PREFIX.to_vec();
    loop {
        let mut reached = None;
        engine.scan(
            Bound::Included(&from),
            Bound::Excluded(&end),
            &mut |index_row, _| {
                let Some((space, at, row)) = parse_row(index_row) else {
                    return ControlFlow::Continue(());
                };
                if *reached.get_or_insert(space) != space || spaces.database_in(space).is_none() {
                    return ControlFlow::Break(());
                }
                visit(space, at, row)
            },
        )?;
        match reached {
            Some(space) => (_, from) = range(space),
            None => return Ok(()),
        }
    }
}

impl<E: Engine> Keyspace<E> {
    /// Removes keys whose time has come, at most [`SWEPT_MAX`]. Costs a comparison when there are
    /// none.
    pub(super) fn sweep(&mut self) -> Result<(), KeyspaceError> {
        if self.next_due.is_none_or(|due| due > self.group_time) {
            return Ok(());
        }
        let now = self.group_time;
        // Allocated per sweep, not per command: the scan lends its rows only while it runs.
        let mut due: Vec<(Millis, Vec<u8>)> = Vec::new();
        let mut of_space = 0;
        let mut current = None;
        each_space(&self.engine, &self.spaces, &mut |space, at, rest| {
            if current.replace(space) != Some(space) {
                of_space = 0;
            }
            if at > now || of_space == SWEPT_MAX {
                return ControlFlow::Break(());
            }
            of_space += 1;
            due.push((at, [&space.to_be_bytes(), rest].concat()));
            ControlFlow::Continue(())
        })?;
        // Whichever database they are of, the earliest go first.
        due.sort_unstable();
        due.truncate(SWEPT_MAX);
        for (at, row) in due {
            self.sweep_one(at, &row)?;
        }
        self.next_due = first_due(&self.engine, &self.spaces)?;
        Ok(())
    }

    fn sweep_one(&mut self, at: Millis, row: &[u8]) -> Result<(), KeyspaceError> {
        let stands = match read::fetch(&self.engine, row) {
            Ok(found) => found.and_then(|found| found.header.expires),
            Err(Stop::Failed(error)) => return Err(error),
            Err(stop) => unreachable!("fetching a row only ever fails: {stop:?}"),
        };
        if stands == Some(at) {
            self.engine.delete(row)?;
            self.expired_keys += 1;
        }
        write_row(&mut self.index_row, at, row);
        self.engine.delete(&self.index_row)?;
        Ok(())
    }
}
