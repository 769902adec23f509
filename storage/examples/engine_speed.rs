//! How fast the memory engine is, beside the standard map in two forms.
//!
//! The load: 256-byte values under keys as this project makes them, in random order. Figures are the
//! median and the first percentile of slices of 1,000 operations: too short to be interrupted often,
//! so that a busy machine shows in the caches more than in the clock.
//!
//! ```text
//! cargo run --release -p storage --example engine_speed [KEYS]...
//! ```

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::{Bound, ControlFlow};
use std::time::Instant;

use storage::{Engine, EngineError, MemoryEngine};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let sizes: Vec<u64> = std::env::args()
        .skip(1)
        .map(|size| size.parse())
        .collect::<std::result::Result<_, _>>()?;
    let sizes = if sizes.is_empty() {
        vec![100_000, 1_000_000]
    } else {
        sizes
    };
    println!("ns per operation, median (first percentile)");
    let columns = ["insert", "overwrite", "get", "delete", "scan"];
    println!(
        "{:31} {:>8} {}",
        "",
        "keys",
        columns.map(|name| format!("{name:>12}")).concat()
    );
    for size in sizes {
        run::<StdMap>("BTreeMap<Vec<u8>, Vec<u8>>", size)?;
        run::<PrefixMap>("BTreeMap, first 8 bytes inline", size)?;
        run::<MemoryEngine>("MemoryEngine", size)?;
    }
    Ok(())
}

fn run<E: Engine + Default>(name: &str, size: u64) -> Result<()> {
    let mut engine = E::default();
    let value = [7; 256];
    let mut random = 1_u64;
    let mut any = |_| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % size
    };
    let mut columns = vec![
        measure(size, |n| n, |key| Ok(engine.put(key, &value)?))?,
        measure(1_000_000, &mut any, |key| Ok(engine.put(key, &value)?))?,
        measure(1_000_000, &mut any, |key| {
            let found = engine.get(key)?.ok_or("a key is gone")?;
            black_box(found.iter().step_by(64).fold(0, |sum, byte| sum ^ byte));
            Ok(())
        })?,
    ];
    let mut scanned = Vec::new();
    for _ in 0..20 {
        let mut sum = 0;
        let before = Instant::now();
        engine.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            sum += key
                .iter()
                .chain(value)
                .step_by(64)
                .fold(0, |sum, byte| sum ^ u64::from(*byte));
            ControlFlow::Continue(())
        })?;
        black_box(sum);
        scanned.push(before.elapsed().as_nanos() as u64 / size);
    }
    columns.push(measure(size, |n| n, |key| Ok(engine.delete(key)?))?);
    columns.push(scanned);
    let columns = columns.into_iter().map(|mut figures| {
        figures.sort_unstable();
        let median = figures.get(figures.len() / 2).copied().unwrap_or(0);
        let best = figures.get(figures.len() / 100).copied().unwrap_or(0);
        format!("{:>12}", format!("{median} ({best})"))
    });
    println!("{name:31} {size:8} {}", columns.collect::<String>());
    Ok(())
}

/// Acts on `operations` keys, and says what each slice took per operation, making the key excepted.
fn measure(
    operations: u64,
    mut choose: impl FnMut(u64) -> u64,
    mut act: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Vec<u64>> {
    const SLICE: u64 = 1_000;
    let mut figures = Vec::new();
    let mut keys = vec![Vec::new(); SLICE as usize];
    for slice in 0..operations / SLICE {
        for (n, key) in (slice * SLICE..).zip(&mut keys) {
            make_key(choose(n), key);
        }
        let before = Instant::now();
        keys.iter().try_for_each(|key| act(key))?;
        figures.push(before.elapsed().as_nanos() as u64 / SLICE);
    }
    Ok(figures)
}

/// `[database u16][slot u16][hash u32][key]`, the slot and hash being those of some hash function.
fn make_key(n: u64, key: &mut Vec<u8>) {
    let hash = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key.clear();
    key.extend_from_slice(&0_u16.to_be_bytes());
    key.extend_from_slice(&((hash >> 50) as u16).to_be_bytes());
    key.extend_from_slice(&((hash >> 11) as u32).to_be_bytes());
    key.extend_from_slice(b"key:00000000");
    key.extend_from_slice(&n.to_be_bytes());
}

/// The standard map.
#[derive(Default)]
struct StdMap(BTreeMap<Vec<u8>, Vec<u8>>);

impl Engine for StdMap {
    type Value<'a> = &'a [u8];

    fn get(&self, key: &[u8]) -> std::result::Result<Option<&[u8]>, EngineError> {
        Ok(self.0.get(key).map(Vec::as_slice))
    }

    fn scan(
        &self,
        _: Bound<&[u8]>,
        _: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> std::result::Result<(), EngineError> {
        let _ = self.0.iter().try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> std::result::Result<(), EngineError> {
        match self.0.get_mut(key) {
            Some(old) => {
                old.clear();
                old.extend_from_slice(value);
            }
            None => {
                self.0.insert(key.to_vec(), value.to_vec());
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> std::result::Result<(), EngineError> {
        self.0.remove(key);
        Ok(())
    }

    fn delete_range(&mut self, _: &[u8], _: &[u8]) -> std::result::Result<(), EngineError> {
        Err(EngineError::new("delete a range", "not measured"))
    }

    fn commit(&mut self) -> std::result::Result<(), EngineError> {
        Ok(())
    }
}

/// The standard map, its keys with their first eight bytes inline.
#[derive(Default)]
struct PrefixMap(BTreeMap<(u64, Vec<u8>), Vec<u8>>);

fn split(key: &[u8]) -> (u64, Vec<u8>) {
    let (first, rest) = key.split_first_chunk().unwrap_or((&[0; 8], key));
    // Empty in nearly all comparisons; a lookup that must not allocate would need a key type with a
    // borrowed form, so the allocation is part of what is measured.
    (u64::from_be_bytes(*first), rest.to_vec())
}

impl Engine for PrefixMap {
    type Value<'a> = &'a [u8];

    fn get(&self, key: &[u8]) -> std::result::Result<Option<&[u8]>, EngineError> {
        let (first, _) = key.split_first_chunk().unwrap_or((&[0; 8], key));
        let from = (u64::from_be_bytes(*first), Vec::new());
        let rest = key.get(8..).unwrap_or_default();
        let mut alike = self
            .0
            .range(from..)
            .take_while(|((at, _), _)| *at == u64::from_be_bytes(*first));
        Ok(alike
            .find(|((_, found), _)| found == rest)
            .map(|(_, value)| value.as_slice()))
    }

    fn scan(
        &self,
        _: Bound<&[u8]>,
        _: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> std::result::Result<(), EngineError> {
        let _ = self
            .0
            .iter()
            .try_for_each(|((_, key), value)| visit(key, value));
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> std::result::Result<(), EngineError> {
        let (first, _) = key.split_first_chunk().unwrap_or((&[0; 8], key));
        let from = (u64::from_be_bytes(*first), Vec::new());
        let rest = key.get(8..).unwrap_or_default();
        let old = self.0.range_mut(from..).next();
        match old.filter(|((at, found), _)| *at == u64::from_be_bytes(*first) && found == rest) {
            Some((_, old)) => {
                old.clear();
                old.extend_from_slice(value);
            }
            None => {
                self.0.insert(split(key), value.to_vec());
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> std::result::Result<(), EngineError> {
        self.0.remove(&split(key));
        Ok(())
    }

    fn delete_range(&mut self, _: &[u8], _: &[u8]) -> std::result::Result<(), EngineError> {
        Err(EngineError::new("delete a range", "not measured"))
    }

    fn commit(&mut self) -> std::result::Result<(), EngineError> {
        Ok(())
    }
}
