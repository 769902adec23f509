//! Random histories of an engine that keeps something: units, flushes, views, and openings anew.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use storage::{Backend, CopiedRows, Engine, Frozen, FrozenRows};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Names the unit that an engine or a view is of. Small, so that it stands before all others.
const UNIT: &[u8] = b"";
/// So many keys there are.
const KEYS: u64 = 700;

/// Chance from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// A key of one of several lengths: some are the beginnings of others.
    fn key(&mut self) -> Vec<u8> {
        let n = self.below(KEYS);
        let mut key = (n as u16).to_be_bytes().to_vec();
        key.extend(std::iter::repeat_n(0, (n % 9) as usize));
        key
    }

    fn value(&mut self, unit: usize) -> Vec<u8> {
        let length = match self.below(20) {
            0 => 0,
            1 => 5_000,
            _ => self.below(200) as usize,
        };
        vec![unit as u8; length]
    }

    fn bound(&mut self) -> Bound<Vec<u8>> {
        match self.below(8) {
            0 => Bound::Unbounded,
            1..4 => Bound::Excluded(self.key()),
            _ => Bound::Included(self.key()),
        }
    }
}

fn number(value: Option<&[u8]>) -> usize {
    value.map_or(0, |value| usize::from_be_bytes(value.try_into().unwrap()))
}

/// An engine, and what it held after every unit.
struct History<'a, B: Backend> {
    backend: &'a B,
    path: &'a Path,
    chance: Chance,
    engine: B::Engine,
    now: Map,
    units: Vec<Map>,
    durable: usize,
    views: Vec<(usize, Box<dyn FrozenRows>)>,
}

impl<B: Backend> History<'_, B> {
    fn unit(&mut self) {
        let unit = self.units.len();
        for _ in 0..self.chance.below(25) {
            let key = self.chance.key();
            match self.chance.below(100) {
                0..55 => {
                    let value = self.chance.value(unit);
                    self.engine.put(&key, &value).unwrap();
                    self.now.insert(key, value);
                }
                55..92 => {
                    self.engine.delete(&key).unwrap();
                    self.now.remove(&key);
                }
                92..99 => {
                    let to = self.chance.key();
                    self.delete_range(&key, &to);
                }
                // Everything but the number of the unit.
                _ => self.delete_range(&[0], &[255]),
            }
            if self.chance.below(8) == 0 {
                self.scan();
            }
        }
        let number = unit.to_be_bytes();
        self.engine.put(UNIT, &number).unwrap();
        self.now.insert(UNIT.to_vec(), number.to_vec());
        self.engine.commit().unwrap();
        self.units.push(self.now.clone());
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.engine.delete_range(from, to).unwrap();
        let gone = |key: &[u8]| from <= key && key < to;
        self.now.retain(|key, _| !gone(key));
    }

    /// Compares a scan that stops somewhere, and a few gets.
    fn scan(&mut self) {
        let (from, to) = (self.chance.bound(), self.chance.bound());
        let most = match self.chance.below(3) {
            0 => 1 + self.chance.below(40) as usize,
            _ => usize::MAX,
        };
        let mut found = Vec::new();
        let range = (
            from.as_ref().map(Vec::as_slice),
            to.as_ref().map(Vec::as_slice),
        );
        let scanned = self.engine.scan(range.0, range.1, &mut |key, value| {
            assert!(found.len() < most, "visited behind the break");
            found.push((key.to_vec(), value.to_vec()));
            match found.len() == most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        scanned.unwrap();
        let within = |key: &Vec<u8>| {
            (match &from {
                Bound::Included(from) => key >= from,
                Bound::Excluded(from) => key > from,
                Bound::Unbounded => true,
            }) && match &to {
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
                Bound::Unbounded => true,
            }
        };
        let expected = self.now.iter().filter(|(key, _)| within(key)).take(most);
        let expected: Vec<_> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(found, expected, "{from:?} to {to:?}, at most {most}");
        for _ in 0..10 {
            let key = self.chance.key();
            let found = self.engine.get(&key).unwrap().map(|value| value.to_vec());
            assert_eq!(found.as_ref(), self.now.get(&key), "{key:?}");
        }
    }

    /// What is durable is of a unit, as a whole, and none that is older than before.
    fn look_at_durable(&mut self) {
        let durable = number(self.engine.get_durable(UNIT).unwrap().as_deref());
        assert!((self.durable..self.units.len()).contains(&durable));
        self.durable = durable;
    }

    fn freeze(&mut self) {
        let Frozen::Apart(view) = self.engine.freeze().unwrap() else {
            panic!("a view within an engine that lasts")
        };
        self.views.push((self.units.len() - 1, view));
    }

    fn finish_view(&mut self) {
        let at = self.chance.below(self.views.len() as u64) as usize;
        let (unit, mut view) = self.views.remove(at);
        let key = self.chance.key();
        let expected = &self.units[unit];
        assert_eq!(number(view.get(UNIT).unwrap().as_deref()), unit);
        assert_eq!(view.get(&key).unwrap().as_ref(), expected.get(&key));
        let (mut found, slice) = (Map::new(), self.chance.below(20_000) as usize);
        while view
            .read(slice, &mut |key, value| {
                let before = found.insert(key.to_vec(), value.to_vec());
                assert_eq!(before, None, "{key:?} twice");
            })
            .unwrap()
        {}
        assert!(
            found == *expected,
            "the view of unit {unit} is not what it left"
        );
    }

    /// Opens it anew: what is there is what some unit has left, and none before the durable one.
    fn open_again(mut self) -> Self {
        self.look_at_durable();
        let (durable, last) = (self.durable, self.units.len() - 1);
        // They share files with the engine, or all of it.
        self.views.clear();
        drop(self.engine);
        self.engine = self.backend.open(self.path).unwrap();
        let unit = number(self.engine.get(UNIT).unwrap().as_deref());
        assert!((durable..=last).contains(&unit), "{durable} {unit} {last}");
        self.units.truncate(unit + 1);
        self.now.clone_from(&self.units[unit]);
        let all = rows_of(&self.engine);
        assert!(all == self.now, "unit {unit} is not what it was");
        self.look_at_durable();
        assert_eq!(self.durable, unit);
        self
    }
}

fn rows_of(engine: &impl Engine) -> Map {
    let mut rows = Map::new();
    let scanned = engine.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
        rows.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    rows
}

/// Histories as a map goes through them.
pub(crate) fn random_histories_match_a_map(backend: &impl Backend) {
    let seeds = std::env::var("STORAGE_SEEDS").map_or(5, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let matches = AssertUnwindSafe(|| matches_a_map(backend, seed));
        if let Err(panic) = catch_unwind(matches) {
            eprintln!("seed {seed}");
            resume_unwind(panic);
        }
    }
}

/// One in three begins with rows that are loaded.
fn matches_a_map<B: Backend>(backend: &B, seed: u64) {
    let place = tempfile::tempdir().unwrap();
    let path = &place.path().join("engine-1");
    let mut history = History {
        backend,
        path,
        chance: Chance(seed),
        engine: backend.open(path).unwrap(),
        now: Map::new(),
        units: vec![Map::new()],
        durable: 0,
        views: Vec::new(),
    };
    if seed.is_multiple_of(3) {
        let chance = &mut history.chance;
        let rows: Map = (0..2_000)
            .map(|_| (chance.key(), chance.value(0)))
            .collect();
        let copied = rows.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        history.engine.load(&mut CopiedRows::new(copied)).unwrap();
        history.now.clone_from(&rows);
        history.units = vec![rows];
    }
    for _ in 0..300 {
        match history.chance.below(100) {
            0..70 => history.unit(),
            70..80 => history.scan(),
            80..85 => drop(history.engine.flush().unwrap()),
            85..90 => history.freeze(),
            90..95 if !history.views.is_empty() => history.finish_view(),
            95..97 => history = history.open_again(),
            _ => history.look_at_durable(),
        }
    }
    while !history.views.is_empty() {
        history.finish_view();
    }
}
