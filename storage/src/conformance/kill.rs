//! What an engine on real files must leave when its process is killed at any moment: exactly what
//! some commit left, and none older than what it called durable.
//!
//! A suite cannot kill the process it runs in. So these are two halves: a child runs
//! [`write_units`] and tells its parent what is durable; the parent kills it, opens the engine again
//! and calls [`check_units`].

use std::collections::BTreeMap;
use std::ops::Bound;

use super::engine::scan_all;
use super::{Outcome, ensure};
use crate::engine::Engine;
use crate::random::Random;

const APPLIED: &[u8] = b"\0applied";

/// What a unit does.
enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

fn key(n: u64) -> Vec<u8> {
    [&b"key "[..], &n.to_be_bytes()].concat()
}

/// The changes of a unit, which follow from its number.
fn changes(unit: u64) -> Vec<Change> {
    let mut random = Random::new(unit);
    let mut changes: Vec<Change> = (0..20)
        .map(|_| {
            let key = key(random.below(2_000));
            match random.below(10) {
                0 => Change::Delete(key),
                _ => Change::Put(key, vec![unit as u8; random.below(400) as usize]),
            }
        })
        .collect();
    if unit.is_multiple_of(17) {
        let from = random.below(2_000);
        changes.push(Change::DeleteRange(key(from), key(from + 50)));
    }
    changes.push(Change::Put(APPLIED.to_vec(), unit.to_be_bytes().to_vec()));
    changes
}

fn number(value: Option<Vec<u8>>) -> Result<u64, String> {
    let Some(value) = value else { return Ok(0) };
    let number = value.as_slice().try_into().map(u64::from_be_bytes);
    number.map_err(|_| "the number of the last unit is not one".to_owned())
}

/// Commits unit after unit behind those that are there, flushes now and then, and reports the last
/// unit committed and the last durable one after each, until `report` says that it is enough.
///
/// # Errors
/// The engine failed.
pub fn write_units<E: Engine>(engine: &mut E, mut report: impl FnMut(u64, u64) -> bool) -> Outcome {
    let failed = |error: crate::EngineError| error.to_string();
    let last = engine.get(APPLIED).map_err(failed)?;
    let mut unit = number(last.map(|value| value.to_vec()))?;
    loop {
        unit += 1;
        for change in changes(unit) {
            match change {
                Change::Put(key, value) => engine.put(&key, &value),
                Change::Delete(key) => engine.delete(&key),
                Change::DeleteRange(from, to) => engine.delete_range(&from, &to),
            }
            .map_err(failed)?;
        }
        engine.commit().map_err(failed)?;
        if unit.is_multiple_of(100) {
            engine.flush().map_err(failed)?;
        }
        let durable = number(engine.get_durable(APPLIED).map_err(failed)?)?;
        if !report(unit, durable) {
            return Ok(());
        }
    }
}

/// The number of the unit whose state the engine is exactly in.
///
/// # Errors
/// It is in the state of none.
pub fn check_units<E: Engine>(engine: &E) -> Result<u64, String> {
    let found = scan_all(engine)?;
    let applied = found.iter().find(|(key, _)| key == APPLIED);
    let unit = number(applied.map(|(_, value)| value.clone()))?;
    let mut map = BTreeMap::new();
    for change in (1..=unit).flat_map(changes) {
        match change {
            Change::Put(key, value) => {
                map.insert(key, value);
            }
            Change::Delete(key) => {
                map.remove(&key);
            }
            Change::DeleteRange(from, to) => {
                let range = (Bound::Included(from), Bound::Excluded(to));
                map.extract_if(range, |_, _| true).for_each(drop);
            }
        }
    }
    let expected: Vec<_> = map.into_iter().collect();
    ensure!(
        found == expected,
        "the engine says it is at unit {unit}, and holds something else"
    );
    Ok(unit)
}
