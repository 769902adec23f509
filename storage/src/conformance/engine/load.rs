//! Filling an engine from a stream of rows.

use std::ops::Bound;

use super::{Outcome, Pair, failed, get, scan};
use crate::conformance::{ensure, ensure_eq};
use crate::engine::{Engine, EngineError};
use crate::frozen::{CopiedRows, Rows};

/// Enough for more than one slice.
fn many() -> Vec<Pair> {
    let row = |n: u32| (n.to_be_bytes().to_vec(), vec![n as u8; (n % 300) as usize]);
    (0..20_000).map(row).collect()
}

/// All rows are there, and nothing else; a view of the engine shows them too.
pub fn load_fills_an_empty_engine<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    let rows = many();
    engine
        .load(&mut CopiedRows::new(rows.clone()))
        .map_err(failed)?;
    let found = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure!(found == rows, "the engine does not hold what was loaded");
    let (key, value) = (7_007_u32.to_be_bytes(), vec![7_007_u32 as u8; 107]);
    ensure_eq!(get(&engine, &key)?, Some(value), "a loaded row");
    Ok(())
}

/// No rows are fine.
pub fn load_of_nothing_leaves_it_empty<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    engine
        .load(&mut CopiedRows::new(Vec::new()))
        .map_err(failed)?;
    let found = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(found, vec![], "rows");
    Ok(())
}

/// Loaded rows are overwritten and deleted like any.
pub fn a_loaded_engine_takes_writes<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    engine.load(&mut CopiedRows::new(many())).map_err(failed)?;
    let at = |n: u32| n.to_be_bytes();
    engine.put(&at(5), b"new").map_err(failed)?;
    engine.delete(&at(6)).map_err(failed)?;
    engine.delete_range(&at(100), &at(19_000)).map_err(failed)?;
    engine.commit().map_err(failed)?;
    ensure_eq!(get(&engine, &at(5))?, Some(b"new".to_vec()), "overwritten");
    ensure_eq!(get(&engine, &at(6))?, None, "deleted");
    let left = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(left.len(), 99 + 1_000, "rows left");
    Ok(())
}

/// Rows that break off.
struct Torn(CopiedRows);

impl Rows for Torn {
    fn read(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        if self.0.read(max_bytes, visit)? {
            Ok(true)
        } else {
            Err(EngineError::new("read the rows", "they broke off"))
        }
    }
}

/// Half of a snapshot is not taken for a whole one.
pub fn load_reports_rows_that_fail<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    let outcome = engine.load(&mut Torn(CopiedRows::new(many())));
    ensure!(
        outcome.is_err(),
        "rows that broke off were loaded as if whole"
    );
    Ok(())
}
