//! What views of an engine must show, while it goes on changing.
//!
//! Every unit that a case commits writes its number under the first key and under the last. A view
//! is compared with the whole state that the unit it names has left: so one that shows parts of two
//! commits is found out, whichever way the engine freezes.

use std::collections::BTreeMap;

use super::{Outcome, Pair, failed};
use crate::conformance::{ensure, ensure_eq};
use crate::engine::Engine;
use crate::frozen::Frozen;
use crate::random::Random;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const FIRST_KEY: &[u8] = b"";
const LAST_KEY: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff";

/// An engine and everything it ever was.
struct Timeline<E> {
    engine: E,
    now: Map,
    /// What each commit left.
    units: Vec<Map>,
}

/// A view being read.
struct View {
    frozen: Frozen,
    unit: usize,
    rows: Vec<Pair>,
}

fn key(n: u32) -> Vec<u8> {
    [&b"key "[..], &n.to_be_bytes()].concat()
}

impl<E: Engine> Timeline<E> {
    fn new(engine: E) -> Self {
        Timeline {
            engine,
            now: Map::new(),
            units: vec![Map::new()],
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome {
        self.now.insert(key.to_vec(), value.to_vec());
        self.engine.put(key, value).map_err(failed)
    }

    fn delete(&mut self, key: &[u8]) -> Outcome {
        self.now.remove(key);
        self.engine.delete(key).map_err(failed)
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Outcome {
        self.now
            .retain(|key, _| key.as_slice() < from || key.as_slice() >= to);
        self.engine.delete_range(from, to).map_err(failed)
    }

    fn commit(&mut self) -> Outcome {
        let unit = self.units.len().to_be_bytes();
        self.put(FIRST_KEY, &unit)?;
        self.put(LAST_KEY, &unit)?;
        self.units.push(self.now.clone());
        self.engine.commit().map_err(failed)
    }

    /// Keys 0, 2, 4 and so on, `count` of them, as one unit.
    fn fill(&mut self, count: u32, value: &[u8]) -> Outcome {
        for n in 0..count {
            self.put(&key(2 * n), value)?;
        }
        self.commit()
    }

    fn freeze(&mut self) -> Result<View, String> {
        Ok(View {
            frozen: self.engine.freeze().map_err(failed)?,
            unit: self.units.len() - 1,
            rows: Vec::new(),
        })
    }

    /// Reads a slice of a view.
    fn read(&mut self, view: &mut View, max_bytes: usize) -> Result<bool, String> {
        let rows = &mut view.rows;
        let mut visit = |key: &[u8], value: &[u8]| rows.push((key.to_vec(), value.to_vec()));
        match &mut view.frozen {
            Frozen::Within(id) => self.engine.read_frozen(*id, max_bytes, &mut visit),
            Frozen::Apart(rows) => rows.read(max_bytes, &mut visit),
        }
        .map_err(failed)
    }

    fn thaw(&mut self, view: &View) {
        if let Frozen::Within(id) = view.frozen {
            self.engine.thaw(id);
        }
    }

    /// Reads a view to its end, ends it, and compares it with the unit it is of.
    fn finish(&mut self, mut view: View) -> Outcome {
        while self.read(&mut view, 10_000)? {}
        ensure!(
            !self.read(&mut view, 10_000)?,
            "a view that has ended begins again"
        );
        self.thaw(&view);
        let frozen_at = view.unit;
        let exact = matches!(view.frozen, Frozen::Within(_));
        let named = view.rows.first().filter(|(key, _)| key == FIRST_KEY);
        let unit = match named.map(|(_, value)| value.as_slice().try_into()) {
            None => 0,
            Some(Ok(unit)) => usize::from_be_bytes(unit),
            Some(Err(_)) => return Err("the view's first row is not the one written".to_owned()),
        };
        ensure!(
            unit == frozen_at || (unit > frozen_at && !exact),
            "frozen after unit {frozen_at}, the view is of unit {unit}"
        );
        let Some(expected) = self.units.get(unit) else {
            return Err(format!(
                "the view is of unit {unit}, which is not committed"
            ));
        };
        let expected: Vec<Pair> = expected.clone().into_iter().collect();
        for (found, expected) in view.rows.iter().zip(&expected) {
            ensure_eq!(found, expected, "a row of the view of unit {unit}");
        }
        ensure_eq!(
            view.rows.len(),
            expected.len(),
            "rows of the view of unit {unit}"
        );
        Ok(())
    }

    /// Freezes, reads a part, lets `change` do its work as one unit, and so on to the end.
    fn read_while(&mut self, mut change: impl FnMut(&mut Self, u32) -> Outcome) -> Outcome {
        let mut view = self.freeze()?;
        change(self, 0)?;
        self.commit()?;
        let mut step = 1;
        while self.read(&mut view, 2_000)? {
            change(self, step)?;
            self.commit()?;
            step += 1;
        }
        self.finish(view)
    }
}

/// An engine in which nothing was ever put.
pub fn a_frozen_view_of_nothing_is_empty<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut line = Timeline::new(new());
    let mut view = line.freeze()?;
    while line.read(&mut view, 1_000)? {}
    ensure_eq!(view.rows, vec![], "rows of a new engine");
    line.finish(view)
}

/// Every row, in order, large and small, whatever was deleted before.
pub fn a_frozen_view_holds_all_that_was_committed<E: Engine>(
    new: &mut dyn FnMut() -> E,
) -> Outcome {
    let mut line = Timeline::new(new());
    line.fill(2_000, b"value")?;
    line.put(&key(7), &vec![7; 100_000])?;
    line.put(&key(9), b"")?;
    line.delete(&key(8))?;
    line.delete_range(&key(100), &key(200))?;
    line.commit()?;
    let view = line.freeze()?;
    line.finish(view)
}

/// Slices are about as large as asked for, and at least as large as a row.
pub fn a_frozen_view_is_read_in_slices<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut line = Timeline::new(new());
    line.fill(1_000, &[1; 92])?;
    for (max_bytes, rows_max) in [(0, 1), (1, 1), (1_000, 11), (10_000, 101)] {
        let mut view = line.freeze()?;
        for _ in 0..20 {
            let seen = view.rows.len();
            let more = line.read(&mut view, max_bytes)?;
            let rows = view.rows.len() - seen;
            ensure!(
                rows <= rows_max,
                "a slice of {rows} rows of 100 bytes where {max_bytes} bytes were asked for"
            );
            if !more {
                break;
            }
        }
        line.finish(view)?;
    }
    Ok(())
}

/// New values, in front of what has been read and behind it.
pub fn a_frozen_view_sees_no_later_overwrite<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut line = Timeline::new(new());
    line.fill(1_000, b"old")?;
    line.read_while(|line, step| {
        (0..1_000)
            .step_by(7)
            .try_for_each(|n| line.put(&key(2 * n), format!("new {step}").as_bytes()))
    })
}

/// Keys that go, and keys that go and come back.
pub fn a_frozen_view_sees_no_later_delete<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut line = Timeline::new(new());
    line.fill(1_000, b"old")?;
    line.read_while(|line, step| {
        for n in (0..1_000).skip(step as usize).step_by(11) {
            line.delete(&key(2 * n))?;
        }
        line.put(&key(2 * step), b"back again")
    })
}

/// Keys that were not there, in front of what has been read, behind it, and behind everything.
pub fn a_frozen_view_sees_no_later_insert<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut line = Timeline::new(new());
    line.fill(1_000, b"old")?;
    line.read_while(|line, step| {
        for n in (0..1_100).skip(step as usize).step_by(13) {
            line.put(&key(2 * n + 1), b"new")?;
            // One that goes again leaves nothing behind.
            line.put(&key(2 * n + 101), b"new")?;
            line.delete(&key(2 * n + 101))?;
        }
        Ok(())
    })
}

/// Ranges behind what has been read, around it, and all of it; then some of it comes back.
pub fn a_frozen_view_sees_no_later_delete_range<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    for ranges in [
        [(0, 100), (1_500, 1_600), (1_990, 5_000)],
        [(0, 5_000), (0, 5_000), (100, 101)],
        [(4_000, 8_000), (1, 7_999), (300, 200)],
    ] {
        let mut line = Timeline::new(new());
        line.fill(4_000, b"old")?;
        line.read_while(|line, step| {
            let Some((from, to)) = ranges.get(step as usize % 4).copied() else {
                return line.put(&key(600), b"back again");
            };
            line.put(&key(from), b"changed before it goes")?;
            line.delete_range(&key(from), &key(to))
        })?;
    }
    Ok(())
}

/// Views of different commits, read by turns.
pub fn frozen_views_are_apart<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut line = Timeline::new(new());
    let mut views = Vec::new();
    for unit in 0..4 {
        line.fill(500, format!("unit {unit}").as_bytes())?;
        line.delete(&key(2 * unit))?;
        line.delete_range(&key(100 * unit), &key(100 * unit + 50))?;
        line.commit()?;
        views.push(line.freeze()?);
    }
    line.delete_range(&key(0), &key(900))?;
    line.commit()?;
    for view in &mut views {
        line.read(view, 3_000)?;
    }
    line.fill(100, b"after")?;
    views
        .into_iter()
        .rev()
        .try_for_each(|view| line.finish(view))
}

/// A view that nobody reads to its end keeps nothing from the others, nor from the engine.
pub fn thawing_one_view_leaves_the_others<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut line = Timeline::new(new());
    line.fill(1_000, b"old")?;
    let (mut one, mut other) = (line.freeze()?, line.freeze()?);
    line.read(&mut one, 2_000)?;
    line.fill(300, b"new")?;
    line.thaw(&one);
    drop(one);
    line.read(&mut other, 1_000)?;
    line.fill(600, b"newer")?;
    let last = line.freeze()?;
    line.finish(other)?;
    line.finish(last)
}

/// Random writes and commits, with up to three views open that are read by random slices.
pub fn views_of_random_histories_are_of_one_commit<E: Engine>(
    new: &mut dyn FnMut() -> E,
) -> Outcome {
    for seed in 0..12 {
        random_history(new(), seed).map_err(|what| format!("seed {seed}: {what}"))?;
    }
    Ok(())
}

fn random_history<E: Engine>(engine: E, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let mut line = Timeline::new(engine);
    let mut views: Vec<View> = Vec::new();
    let mut staged = false;
    for step in 0..1_500_u32 {
        let mut any = |bound| key(random.below(bound) as u32);
        let (at, to) = (any(600), any(600));
        staged = true;
        match random.below(100) {
            0..55 => line.put(&at, &step.to_be_bytes())?,
            55..75 => line.delete(&at)?,
            75..77 => line.delete_range(&at, &to)?,
            77..90 => {
                line.commit()?;
                staged = false;
            }
            90..92 if views.len() < 3 => {
                line.commit()?;
                staged = false;
                views.push(line.freeze()?);
            }
            92..93 if !views.is_empty() => {
                let at = random.below(views.len() as u64) as usize;
                line.finish(views.remove(at))?;
            }
            _ => {
                let at = random.below(3) as usize;
                if let Some(view) = views.get_mut(at) {
                    line.read(view, random.below(900) as usize)?;
                }
            }
        }
    }
    if staged {
        line.commit()?;
    }
    views.into_iter().try_for_each(|view| line.finish(view))
}
