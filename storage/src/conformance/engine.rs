//! What every [`Engine`] must do.
//!
//! A case takes a function that makes a new, empty engine. What survives a crash is not checked
//! here: an engine that forgets everything conforms, as long as it says so.

mod durable;
mod frozen;
mod load;

pub use durable::*;
pub use frozen::*;
pub use load::*;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::{Failure, Outcome, ensure, ensure_eq};
use crate::engine::{Engine, EngineError};
use crate::random::Random;

/// Expands to one `#[test]` per case, for the engines that an expression makes.
///
/// ```text
/// mod my_engine {
///     storage::engine_suite!(MyEngine::default());
/// }
/// ```
#[macro_export]
macro_rules! engine_suite {
    ($new:expr) => {
        $crate::__engine_cases!(__tests, engine, $new);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __engine_cases {
    ($then:ident, $($arguments:tt)+) => {
        $crate::$then! {
            ($($arguments)+)
            a_new_engine_is_empty
            get_finds_what_put_left
            put_replaces_with_shorter_and_longer
            empty_keys_and_values_are_ordinary
            delete_removes_one_key
            keys_that_begin_alike_are_different
            scan_ascends_in_byte_order
            scan_keeps_to_its_bounds
            scan_of_nothing_visits_nothing
            scan_stops_when_told
            writes_are_seen_before_the_commit
            commit_changes_nothing_that_is_seen
            delete_range_takes_from_and_leaves_to
            delete_range_upside_down_removes_nothing
            delete_range_of_many_is_quick
            engines_are_apart
            random_operations_match_a_map
            a_frozen_view_of_nothing_is_empty
            a_frozen_view_holds_all_that_was_committed
            a_frozen_view_is_read_in_slices
            a_frozen_view_sees_no_later_overwrite
            a_frozen_view_sees_no_later_delete
            a_frozen_view_sees_no_later_insert
            a_frozen_view_sees_no_later_delete_range
            frozen_views_are_apart
            thawing_one_view_leaves_the_others
            views_of_random_histories_are_of_one_commit
            load_fills_an_empty_engine
            load_of_nothing_leaves_it_empty
            a_loaded_engine_takes_writes
            load_reports_rows_that_fail
            what_is_staged_is_not_durable
            flush_makes_durable_or_says_it_cannot
            what_is_durable_was_committed_in_order
        }
    };
}

/// Runs every case on engines made by `new`.
///
/// # Errors
/// The first case that fails.
pub fn run_all<E: Engine>(mut new: impl FnMut() -> E) -> Result<(), Failure> {
    crate::__engine_cases!(__run, &mut new)
}

/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

fn failed(error: EngineError) -> String {
    error.to_string()
}

fn get<E: Engine>(engine: &E, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let value = engine.get(key).map_err(failed)?;
    Ok(value.map(|value| value.to_vec()))
}

fn scan<E: Engine>(engine: &E, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Vec<Pair>, String> {
    let mut pairs = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    engine.scan(from, to, &mut visit).map_err(failed)?;
    Ok(pairs)
}

pub(super) fn scan_all<E: Engine>(engine: &E) -> Result<Vec<Pair>, String> {
    scan(engine, Bound::Unbounded, Bound::Unbounded)
}

fn keys<E: Engine>(
    engine: &E,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Result<Vec<Vec<u8>>, String> {
    let pairs = scan(engine, from, to)?;
    Ok(pairs.into_iter().map(|(key, _)| key).collect())
}

fn fill<E: Engine>(engine: &mut E, keys: &[&[u8]]) -> Outcome {
    keys.iter()
        .try_for_each(|key| engine.put(key, key))
        .map_err(failed)
}

/// Nothing is found in it.
pub fn a_new_engine_is_empty<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let engine = new();
    ensure_eq!(get(&engine, b"key")?, None, "get from a new engine");
    let found = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(found, vec![], "scan of a new engine");
    Ok(())
}

/// The value under a key is the one put there, and only there.
pub fn get_finds_what_put_left<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    engine.put(b"a", b"1").map_err(failed)?;
    engine.put(b"b", b"2").map_err(failed)?;
    ensure_eq!(get(&engine, b"a")?, Some(b"1".to_vec()), "a");
    ensure_eq!(get(&engine, b"b")?, Some(b"2".to_vec()), "b");
    ensure_eq!(get(&engine, b"c")?, None, "c, which was never put");
    Ok(())
}

/// The last value counts, whatever its length.
pub fn put_replaces_with_shorter_and_longer<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    engine.put(b"neighbour", b"stays").map_err(failed)?;
    for length in [10, 10, 3, 4_000, 0, 17, 70_000, 1] {
        let value = vec![length as u8; length];
        engine.put(b"key", &value).map_err(failed)?;
        ensure!(
            get(&engine, b"key")?.as_ref() == Some(&value),
            "a value of {length} bytes put over another does not come back"
        );
    }
    let pairs = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(pairs.len(), 2, "keys after overwriting one");
    ensure_eq!(
        get(&engine, b"neighbour")?,
        Some(b"stays".to_vec()),
        "neighbour"
    );
    Ok(())
}

/// An empty key is a key, and an empty value is not an absent one.
pub fn empty_keys_and_values_are_ordinary<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    engine.put(b"", b"of nothing").map_err(failed)?;
    engine.put(b"nothing", b"").map_err(failed)?;
    ensure_eq!(
        get(&engine, b"")?,
        Some(b"of nothing".to_vec()),
        "the empty key"
    );
    ensure_eq!(get(&engine, b"nothing")?, Some(vec![]), "the empty value");
    let found = keys(&engine, Bound::Included(b""), Bound::Unbounded)?;
    ensure_eq!(found, [b"".to_vec(), b"nothing".to_vec()], "all keys");
    Ok(())
}

/// A deleted key is gone, its neighbours are not, and it can be put again.
pub fn delete_removes_one_key<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    fill(&mut engine, &[b"a", b"b", b"c"])?;
    engine.commit().map_err(failed)?;
    engine.delete(b"b").map_err(failed)?;
    engine.delete(b"never there").map_err(failed)?;
    ensure_eq!(get(&engine, b"b")?, None, "the deleted key");
    let left = keys(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(left, [b"a".to_vec(), b"c".to_vec()], "what is left");
    engine.put(b"b", b"again").map_err(failed)?;
    ensure_eq!(get(&engine, b"b")?, Some(b"again".to_vec()), "put again");
    Ok(())
}

/// Keys that share a prefix, or are one, or differ by a zero byte, do not get mixed up.
pub fn keys_that_begin_alike_are_different<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    let alike: Vec<Vec<u8>> = (0..20)
        .flat_map(|length| [vec![0; length], [vec![0; length], vec![1]].concat()])
        .chain(
            (0..300_u16).map(|n| [b"the same prefix ".to_vec(), n.to_be_bytes().to_vec()].concat()),
        )
        .collect();
    for (at, key) in alike.iter().enumerate() {
        engine.put(key, &at.to_be_bytes()).map_err(failed)?;
    }
    for (at, key) in alike.iter().enumerate() {
        ensure_eq!(
            get(&engine, key)?,
            Some(at.to_be_bytes().to_vec()),
            "{key:?}"
        );
    }
    for key in alike.iter().step_by(2) {
        engine.delete(key).map_err(failed)?;
    }
    let mut left: Vec<_> = alike.iter().skip(1).step_by(2).cloned().collect();
    left.sort();
    let found = keys(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(found, left, "after deleting every other");
    Ok(())
}

/// Scans see keys in the order of their bytes, unsigned, a prefix before what it begins.
pub fn scan_ascends_in_byte_order<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    let order: [&[u8]; 8] = [
        b"",
        b"\0",
        b"\0\0",
        b"\x01",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    let mixed: Vec<&[u8]> = [3, 7, 0, 5, 1, 6, 2, 4]
        .iter()
        .filter_map(|at| order.get(*at).copied())
        .collect();
    fill(&mut engine, &mixed)?;
    let found = keys(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(found, order.map(<[u8]>::to_vec), "the order");
    Ok(())
}

/// Included and excluded bounds, on keys that exist and between them.
pub fn scan_keeps_to_its_bounds<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    let numbers: Vec<Vec<u8>> = (0..=255_u8).step_by(2).map(|n| vec![1, n]).collect();
    let all: Vec<&[u8]> = numbers.iter().map(Vec::as_slice).collect();
    fill(&mut engine, &all)?;
    let bounds = |key: u8| [Bound::Included(vec![1, key]), Bound::Excluded(vec![1, key])];
    for low in [0, 1, 2, 100, 101, 253, 254, 255] {
        for high in [0, 1, 3, 100, 102, 103, 254, 255] {
            for from in bounds(low).into_iter().chain([Bound::Unbounded]) {
                for to in bounds(high).into_iter().chain([Bound::Unbounded]) {
                    let within = |key: &&Vec<u8>| {
                        let above = match &from {
                            Bound::Included(from) => *key >= from,
                            Bound::Excluded(from) => *key > from,
                            Bound::Unbounded => true,
                        };
                        let below = match &to {
                            Bound::Included(to) => *key <= to,
                            Bound::Excluded(to) => *key < to,
                            Bound::Unbounded => true,
                        };
                        above && below
                    };
                    let expected: Vec<_> = numbers.iter().filter(within).cloned().collect();
                    let (from, to) = (borrow(&from), borrow(&to));
                    ensure_eq!(keys(&engine, from, to)?, expected, "{from:?} to {to:?}");
                }
            }
        }
    }
    Ok(())
}

fn borrow(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// Ranges that are empty or upside down are no error.
pub fn scan_of_nothing_visits_nothing<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    fill(&mut engine, &[b"a", b"b", b"c"])?;
    let ranges = [
        (Bound::Included(&b"c"[..]), Bound::Included(&b"a"[..])),
        (Bound::Excluded(b"c"), Bound::Excluded(b"a")),
        (Bound::Excluded(b"b"), Bound::Excluded(b"b")),
        (Bound::Included(b"b"), Bound::Excluded(b"b")),
        (Bound::Excluded(b"c"), Bound::Unbounded),
    ];
    for (from, to) in ranges {
        ensure_eq!(scan(&engine, from, to)?, vec![], "{from:?} to {to:?}");
    }
    Ok(())
}

/// A visitor that breaks is not called again, and a scan from the last key seen goes on there.
pub fn scan_stops_when_told<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    let numbers: Vec<_> = (0..1_000_u32).map(u32::to_be_bytes).collect();
    let all: Vec<&[u8]> = numbers.iter().map(<[u8; 4]>::as_slice).collect();
    fill(&mut engine, &all)?;
    let mut seen: Vec<Vec<u8>> = Vec::new();
    loop {
        let last = seen.last().cloned();
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            page.push(key.to_vec());
            if page.len() == 7 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        engine
            .scan(from, Bound::Unbounded, &mut visit)
            .map_err(failed)?;
        ensure!(page.len() <= 7, "the visitor was called after it broke");
        if page.is_empty() {
            break;
        }
        ensure!(
            seen.len() < 1_000,
            "a scan from the last key seen sees it again"
        );
        seen.append(&mut page);
    }
    ensure!(seen == all, "pages of a scan do not add up to the whole");
    Ok(())
}

/// Staged writes are visible at once.
pub fn writes_are_seen_before_the_commit<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    fill(&mut engine, &[b"a", b"b", b"c", b"d"])?;
    engine.commit().map_err(failed)?;
    engine.put(b"a", b"new").map_err(failed)?;
    engine.delete(b"b").map_err(failed)?;
    engine.delete_range(b"c", b"d").map_err(failed)?;
    engine.put(b"e", b"e").map_err(failed)?;
    ensure_eq!(get(&engine, b"a")?, Some(b"new".to_vec()), "a staged put");
    ensure_eq!(get(&engine, b"b")?, None, "a staged delete");
    let found = keys(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(
        found,
        [b"a".to_vec(), b"d".to_vec(), b"e".to_vec()],
        "a scan of staged writes"
    );
    Ok(())
}

/// Committing is not seen, neither with something staged nor without.
pub fn commit_changes_nothing_that_is_seen<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    engine.commit().map_err(failed)?;
    fill(&mut engine, &[b"a", b"b", b"c"])?;
    engine.delete(b"b").map_err(failed)?;
    let before = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
    engine.commit().map_err(failed)?;
    engine.commit().map_err(failed)?;
    let after = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(after, before, "what is seen after the commit");
    Ok(())
}

/// The lower bound goes, the upper one stays; keys put into the range afterwards are there.
pub fn delete_range_takes_from_and_leaves_to<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    fill(&mut engine, &[b"a", b"b", b"bb", b"c", b"d"])?;
    engine.delete_range(b"b", b"c").map_err(failed)?;
    let left = keys(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(
        left,
        [b"a".to_vec(), b"c".to_vec(), b"d".to_vec()],
        "what is left"
    );
    engine.put(b"bb", b"again").map_err(failed)?;
    ensure_eq!(get(&engine, b"bb")?, Some(b"again".to_vec()), "put again");
    ensure_eq!(get(&engine, b"b")?, None, "still deleted");
    Ok(())
}

/// Ranges that are empty or upside down remove nothing.
pub fn delete_range_upside_down_removes_nothing<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    fill(&mut engine, &[b"a", b"b", b"c"])?;
    engine.delete_range(b"c", b"a").map_err(failed)?;
    engine.delete_range(b"b", b"b").map_err(failed)?;
    let left = keys(&engine, Bound::Unbounded, Bound::Unbounded)?;
    ensure_eq!(left.len(), 3, "keys left");
    Ok(())
}

/// Deleting 50,000 keys as one range and as 500 does not take time that grows with the square.
pub fn delete_range_of_many_is_quick<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    for pieces in [1_u32, 500] {
        let mut engine = new();
        for n in 0..100_000_u32 {
            engine.put(&n.to_be_bytes(), b"value").map_err(failed)?;
        }
        let start = std::time::Instant::now();
        let step = 50_000 / pieces;
        for piece in 0..pieces {
            let (from, to) = (25_000 + piece * step, 25_000 + (piece + 1) * step);
            engine
                .delete_range(&from.to_be_bytes(), &to.to_be_bytes())
                .map_err(failed)?;
        }
        // Milliseconds are usual; quadratic cost would take minutes.
        ensure!(
            start.elapsed().as_secs() < 5,
            "removing 50,000 keys in {pieces} ranges took {:?}",
            start.elapsed()
        );
        let left = keys(&engine, Bound::Unbounded, Bound::Unbounded)?;
        ensure_eq!(left.len(), 50_000, "keys left");
        let at = |n: u32| n.to_be_bytes().to_vec();
        ensure!(
            left.contains(&at(24_999)) && !left.contains(&at(25_000)) && left.contains(&at(75_000)),
            "the range was not the one asked for"
        );
    }
    Ok(())
}

/// Two engines share nothing.
pub fn engines_are_apart<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let (mut one, other) = (new(), new());
    one.put(b"key", b"value").map_err(failed)?;
    one.commit().map_err(failed)?;
    ensure_eq!(get(&other, b"key")?, None, "a key put into another engine");
    Ok(())
}

/// Thousands of random operations leave the engine as they leave a map.
pub fn random_operations_match_a_map<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut engine = new();
        let mut map = BTreeMap::new();
        for step in 0..3_000 {
            let key = random_key(&mut random);
            match random.below(100) {
                0..60 => {
                    let value = vec![step as u8; random.below(300) as usize];
                    engine.put(&key, &value).map_err(failed)?;
                    map.insert(key, value);
                }
                60..85 => {
                    engine.delete(&key).map_err(failed)?;
                    map.remove(&key);
                }
                85..87 => {
                    let to = random_key(&mut random);
                    engine.delete_range(&key, &to).map_err(failed)?;
                    map.retain(|at, _| *at < key || *at >= to);
                }
                87..95 => engine.commit().map_err(failed)?,
                _ => {
                    let found = get(&engine, &key)?;
                    ensure_eq!(
                        found.as_ref(),
                        map.get(&key),
                        "seed {seed}, step {step}, {key:?}"
                    );
                }
            }
        }
        let expected: Vec<Pair> = map.into_iter().collect();
        let found = scan(&engine, Bound::Unbounded, Bound::Unbounded)?;
        ensure!(
            found == expected,
            "seed {seed}: the engine and the map differ"
        );
    }
    Ok(())
}

/// A key of a shape this project uses, or an odd one.
fn random_key(random: &mut Random) -> Vec<u8> {
    let mut key = vec![0, random.below(2) as u8, 0, random.below(4) as u8];
    key.extend_from_slice(&(random.below(60) as u32 * 0x0101_0101).to_be_bytes());
    key.extend((0..random.below(4)).map(|_| random.below(3) as u8));
    if random.below(20) == 0 {
        key.truncate(random.below(9) as usize);
    }
    key
}
