//! Which space of rows each database stands in, and the emptying of databases.
//!
//! ```text
//! FF FF 00 03   version u8 · moved (count u32 · (database u16 · space u16)…) · dead (count u32 · space u16…)
//! ```
//!
//! A database stands in the space of its own number, unless this row says otherwise. To empty it is
//! to give it another space: that costs the same whatever it holds, and from then on nobody looks
//! at the old one. Its rows are removed a slice at a time, one with every entry, the same on every
//! node; while some are left the machine is due, so that an idle group goes on with it by ticks. A
//! database of a few rows is emptied at once.
//!
//! Invariants: no two databases share a space, and no database stands in a dead one. A space is
//! free again when its last row is gone.

use std::ops::{Bound, ControlFlow};

use storage::{Engine, EngineError};

use super::persisted::Fields;
use super::{KeyspaceError, expiry};
use crate::key::{DATABASE_MAX, SPACE_MAX};

const ROW: &[u8] = &[0xFF, 0xFF, 0, 3];
const VERSION: u8 = 1;

/// How many rows of dead spaces an entry removes: at 50 to 100 ns each what an fsync takes. An
/// idle group, with ten ticks a second, removes 20,000 a second.
pub(super) const SWEPT_MAX: usize = 2_048;

/// Up to so many rows are removed at once instead.
const FEW: usize = 64;

/// How many spaces may be dead at a time. With so many left to remove a database is emptied on the
/// spot, however long that takes.
const DEAD_MAX: usize = 4_096;

/// The spaces of all databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spaces {
    /// The databases that do not stand in the space of their own number, in order.
    moved: Vec<(u16, u16)>,
    /// The spaces that still hold rows which mean nothing.
    dead: Vec<u16>,
}

impl Spaces {
    pub(super) fn read(engine: &impl Engine) -> Result<Self, KeyspaceError> {
        let Some(row) = engine.get(ROW)? else {
            return Ok(Spaces::default());
        };
        let mut fields = Fields(&row);
        let spaces = (|| {
            (fields.take::<1>()? == [VERSION]).then_some(())?;
            let mut spaces = Spaces::default();
            for _ in 0..fields.count()? {
                spaces.moved.push((fields.short()?, fields.short()?));
            }
            for _ in 0..fields.count()? {
                spaces.dead.push(fields.short()?);
            }
            fields.0.is_empty().then_some(spaces)
        })();
        spaces.ok_or(KeyspaceError::Unreadable {
            what: "table of databases",
        })
    }

    fn write(&self, engine: &mut impl Engine) -> Result<(), EngineError> {
        if *self == Spaces::default() {
            return engine.delete(ROW);
        }
        let mut row = vec![VERSION];
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        row.extend_from_slice(&count(self.moved.len()));
        for (database, space) in &self.moved {
            row.extend_from_slice(&database.to_be_bytes());
            row.extend_from_slice(&space.to_be_bytes());
        }
        row.extend_from_slice(&count(self.dead.len()));
        for space in &self.dead {
            row.extend_from_slice(&space.to_be_bytes());
        }
        engine.put(ROW, &row)
    }

    /// Where `database` stands.
    #[inline]
    pub(super) fn of(&self, database: u16) -> u16 {
        if self.moved.is_empty() {
            return database;
        }
        match self
            .moved
            .binary_search_by_key(&database, |(moved, _)| *moved)
        {
            Ok(at) => self.moved.get(at).map_or(database, |(_, space)| *space),
            Err(_) => database,
        }
    }

    /// Which database stands in `space`, if it is alive.
    pub(super) fn database_in(&self, space: u16) -> Option<u16> {
        if let Some((database, _)) = self.moved.iter().find(|(_, moved)| *moved == space) {
            return Some(*database);
        }
        (space <= DATABASE_MAX && self.of(space) == space && !self.dead.contains(&space))
            .then_some(space)
    }

    /// Whether rows are left that mean nothing.
    pub(super) fn any_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Gives `database` a space.
    fn place(&mut self, database: u16, space: u16) {
        self.moved.retain(|(moved, _)| *moved != database);
        if database != space {
            self.moved.push((database, space));
            self.moved.sort_unstable();
        }
    }

    /// A space where nothing is and nobody stands: the database's own, if it can be.
    fn free_for(&self, database: u16) -> Option<u16> {
        let free = |space: &u16| !self.dead.contains(space) && self.database_in(*space).is_none();
        [database]
            .into_iter()
            .chain(DATABASE_MAX + 1..=SPACE_MAX)
            .find(free)
    }

    /// Empties `database`.
    pub(super) fn flush(
        &mut self,
        engine: &mut impl Engine,
        database: u16,
    ) -> Result<(), EngineError> {
        let space = self.of(database);
        let mut few = true;
        for range in ranges(space) {
            few &= head(engine, &range, FEW)?.stays.is_none();
        }
        let free = self
            .free_for(database)
            .filter(|_| !few && self.dead.len() < DEAD_MAX);
        let Some(free) = free else {
            for (from, to) in ranges(space) {
                engine.delete_range(&from, &to)?;
            }
            return Ok(());
        };
        self.place(database, free);
        self.dead.push(space);
        self.write(engine)
    }

    /// Empties every database.
    pub(super) fn flush_all(&mut self, engine: &mut impl Engine) -> Result<(), EngineError> {
        for database in self.filled(engine)? {
            self.flush(engine, database)?;
        }
        Ok(())
    }

    /// The databases that have rows, whatever those say: one look-up for each.
    fn filled(&self, engine: &impl Engine) -> Result<Vec<u16>, EngineError> {
        let mut filled = Vec::new();
        let mut from = 0;
        while let Some(space) = next_filled(engine, from)? {
            filled.extend(self.database_in(space));
            from = space + 1;
        }
        Ok(filled)
    }

    /// What stood in one database stands in the other.
    pub(super) fn swap(
        &mut self,
        engine: &mut impl Engine,
        one: u16,
        other: u16,
    ) -> Result<(), EngineError> {
        let (space, other_space) = (self.of(one), self.of(other));
        self.place(one, other_space);
        self.place(other, space);
        self.write(engine)
    }

    /// Removes a slice of the rows that mean nothing.
    pub(super) fn sweep(&mut self, engine: &mut impl Engine) -> Result<(), EngineError> {
        let mut left = SWEPT_MAX;
        while let Some(space) = self.dead.first().copied() {
            for range in ranges(space) {
                let head = head(engine, &range, left)?;
                let (from, to) = range;
                if let Some(stays) = head.stays {
                    return engine.delete_range(&from, &stays);
                }
                engine.delete_range(&from, &to)?;
                left -= head.rows;
            }
            self.dead.remove(0);
            self.write(engine)?;
        }
        Ok(())
    }
}

/// The first rows of a range.
struct Head {
    /// How many, at most as many as were asked for.
    rows: usize,
    /// The row behind them, if there is one.
    stays: Option<Vec<u8>>,
}

type Range = (Vec<u8>, Vec<u8>);

/// Everything that stands in a space: its keys, and their expiries.
fn ranges(space: u16) -> [Range; 2] {
    let keys = (space.to_be_bytes().into(), (space + 1).to_be_bytes().into());
    [keys, expiry::range(space)]
}

fn head(engine: &impl Engine, range: &Range, most: usize) -> Result<Head, EngineError> {
    let mut head = Head {
        rows: 0,
        stays: None,
    };
    let (from, to) = (Bound::Included(&*range.0), Bound::Excluded(&*range.1));
    engine.scan(from, to, &mut |row, _| {
        if head.rows == most {
            head.stays = Some(row.to_vec());
            return ControlFlow::Break(());
        }
        head.rows += 1;
        ControlFlow::Continue(())
    })?;
    Ok(head)
}

/// The first space from `from` on in which there is a row.
fn next_filled(engine: &impl Engine, from: u16) -> Result<Option<u16>, EngineError> {
    let mut found = None;
    let (from, to) = (from.to_be_bytes(), (SPACE_MAX + 1).to_be_bytes());
    engine.scan(
        Bound::Included(&from),
        Bound::Excluded(&to),
        &mut |row, _| {
            found = row.first_chunk().copied().map(u16::from_be_bytes);
            ControlFlow::Break(())
        },
    )?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::MemoryEngine;

    fn fill(engine: &mut MemoryEngine, space: u16, rows: usize) {
        for i in 0..rows {
            let mut row = Vec::new();
            crate::key::write_row(&mut row, space, format!("key{i}").as_bytes());
            engine.put(&row, b"value").unwrap();
        }
    }

    fn rows(engine: &MemoryEngine) -> usize {
        let range = (vec![0], vec![0xFF]);
        head(engine, &range, usize::MAX).unwrap().rows
    }

    #[test]
    fn a_database_of_many_rows_is_emptied_by_moving_it_elsewhere() {
        let mut engine = MemoryEngine::default();
        let mut spaces = Spaces::default();
        fill(&mut engine, 3, FEW + 1);
        spaces.flush(&mut engine, 3).unwrap();
        assert_eq!(rows(&engine), FEW + 1);
        assert_eq!((spaces.of(3), spaces.database_in(3)), (0x8000, None));
        assert_eq!(spaces.database_in(0x8000), Some(3));
        assert_eq!(Spaces::read(&engine).unwrap(), spaces);
        spaces.sweep(&mut engine).unwrap();
        assert_eq!(rows(&engine), 0);
        assert!(!spaces.any_dead());
        // The next time it comes back to where it belongs.
        fill(&mut engine, 0x8000, FEW + 1);
        spaces.flush(&mut engine, 3).unwrap();
        assert_eq!(spaces.of(3), 3);
        spaces.sweep(&mut engine).unwrap();
        assert_eq!(spaces, Spaces::default());
        assert!(engine.get(ROW).unwrap().is_none());
    }

    #[test]
    fn a_database_of_few_rows_is_emptied_at_once() {
        let mut engine = MemoryEngine::default();
        let mut spaces = Spaces::default();
        fill(&mut engine, 0, FEW);
        spaces.flush(&mut engine, 0).unwrap();
        assert_eq!((rows(&engine), spaces), (0, Spaces::default()));
    }

    #[test]
    fn a_sweep_is_bounded_and_goes_on_where_it_stopped() {
        let mut engine = MemoryEngine::default();
        let mut spaces = Spaces::default();
        for space in [0, 1] {
            fill(&mut engine, space, SWEPT_MAX + 100);
        }
        spaces.flush_all(&mut engine).unwrap();
        for left in [SWEPT_MAX + 200, 200, 0] {
            spaces.sweep(&mut engine).unwrap();
            assert_eq!(rows(&engine), left);
        }
        assert!(!spaces.any_dead());
    }

    #[test]
    fn databases_that_are_swapped_keep_apart() {
        let mut engine = MemoryEngine::default();
        let mut spaces = Spaces::default();
        spaces.swap(&mut engine, 1, 2).unwrap();
        assert_eq!((spaces.of(1), spaces.of(2)), (2, 1));
        // Database 1 moves out of space 2, and must not move into space 1, where database 2 is.
        fill(&mut engine, 2, FEW + 1);
        spaces.flush(&mut engine, 1).unwrap();
        assert_eq!((spaces.of(1), spaces.of(2)), (0x8000, 1));
        // Nor may database 2 move into its own space while that is dead.
        fill(&mut engine, 1, FEW + 1);
        spaces.flush(&mut engine, 2).unwrap();
        assert_eq!(spaces.of(2), 0x8001);
        spaces.swap(&mut engine, 1, 2).unwrap();
        assert_eq!((spaces.of(1), spaces.of(2)), (0x8001, 0x8000));
        assert_eq!(Spaces::read(&engine).unwrap(), spaces);
    }

    #[test]
    fn however_many_are_dead_a_database_can_be_emptied() {
        let mut engine = MemoryEngine::default();
        let mut spaces = Spaces::default();
        for _ in 0..DEAD_MAX + 10 {
            let space = spaces.of(0);
            fill(&mut engine, space, FEW + 1);
            spaces.flush(&mut engine, 0).unwrap();
        }
        assert_eq!(spaces.dead.len(), DEAD_MAX);
        assert_eq!(rows(&engine), DEAD_MAX * (FEW + 1));
    }
}
