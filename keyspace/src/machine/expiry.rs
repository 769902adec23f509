//! The index of expiries, and the sweep that it drives.
//!
//! ```text
//! FF FF 01 · expiry u64 big-endian · the key's row        →  nothing
//! ```
//!
//! A row says that the key *may* be due then; only the key's own row says whether it is. So the
//! index may hold rows that mean nothing any more, which is what lets a plain SET be blind.

use std::ops::{Bound, ControlFlow};

use replication::Millis;
use storage::{Engine, EngineError};

use super::{Keyspace, KeyspaceError, Stop, read};

const PREFIX: [u8; 3] = [0xFF, 0xFF, 1];
const AFTER: [u8; 3] = [0xFF, 0xFF, 2];

/// How many rows a single entry sweeps: a bound on how long any entry takes. The leader commits
/// ticks as long as something is due, so that what is left over does not wait for the next write.
pub(super) const SWEPT_MAX: usize = 32;

/// Writes the index row of the key in `row` over what stood in `out`.
pub(super) fn write_row(out: &mut Vec<u8>, at: Millis, row: &[u8]) {
    out.clear();
    out.extend_from_slice(&PREFIX);
    out.extend_from_slice(&at.0.to_be_bytes());
    out.extend_from_slice(row);
}

fn parse_row(index_row: &[u8]) -> Option<(Millis, &[u8])> {
    let rest = index_row.strip_prefix(&PREFIX)?;
    let (at, row) = rest.split_first_chunk::<8>()?;
    Some((Millis(u64::from_be_bytes(*at)), row))
}

/// The earliest expiry in the index.
pub(super) fn first_due(engine: &impl Engine) -> Result<Option<Millis>, EngineError> {
    let mut first = None;
    scan(engine, &mut |at, _| {
        first = Some(at);
        ControlFlow::Break(())
    })?;
    Ok(first)
}

/// Empties the index.
pub(super) fn clear(engine: &mut impl Engine) -> Result<(), EngineError> {
    engine.delete_range(&PREFIX, &AFTER)
}

fn scan(
    engine: &impl Engine,
    visit: &mut dyn FnMut(Millis, &[u8]) -> ControlFlow<()>,
) -> Result<(), EngineError> {
    engine.scan(
        Bound::Included(&PREFIX),
        Bound::Excluded(&AFTER),
        &mut |index_row, _| match parse_row(index_row) {
            Some((at, row)) => visit(at, row),
            None => ControlFlow::Continue(()),
        },
    )
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
        let mut next = None;
        scan(&self.engine, &mut |at, row| {
            if at > now || due.len() == SWEPT_MAX {
                next = Some(at);
                return ControlFlow::Break(());
            }
            due.push((at, row.to_vec()));
            ControlFlow::Continue(())
        })?;
        self.next_due = next;
        for (at, row) in due {
            self.sweep_one(at, &row)?;
        }
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
