//! A run: some hundred neighbouring keys with their values, sorted.
//!
//! The first eight bytes of every key stand in one array of numbers, which a binary search goes
//! through without touching anything else; key and value share one allocation, which is touched
//! once, when the key is found.

use std::cmp::Ordering;
use std::ops::{Bound, ControlFlow};

use super::row::{Key, Node, Visit};

/// How many keys a run holds at most. See [`MemoryEngine`](crate::MemoryEngine) for the figures.
const RUN_MAX: usize = 128;

/// Neighbouring keys, in order.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// [`Key::prefix`] of each item.
    prefixes: Vec<u64>,
    items: Vec<Item>,
}

/// A key and its value.
#[derive(Debug)]
struct Item {
    /// The key, and behind it the value.
    bytes: Vec<u8>,
    key_length: u32,
}

impl Item {
    fn new(key: &[u8], value: &[u8]) -> Self {
        let Ok(key_length) = u32::try_from(key.len()) else {
            panic!("a key of 4 GiB");
        };
        let mut bytes = Vec::with_capacity(key.len() + value.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Item { bytes, key_length }
    }

    fn pair(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.key_length as usize)
    }

    /// Replaces the value. Where it fits, and does not leave most of the room unused, nothing is
    /// allocated.
    fn set(&mut self, value: &[u8]) {
        let length = self.key_length as usize + value.len();
        self.bytes.truncate(self.key_length as usize);
        self.bytes.reserve_exact(value.len());
        self.bytes.extend_from_slice(value);
        if self.bytes.capacity() > 2 * length + 64 {
            self.bytes.shrink_to_fit();
        }
    }
}

impl Run {
    /// Where `key` is, or else where it would be.
    fn find(&self, key: Key<'_>) -> Result<usize, usize> {
        let from = self.prefixes.partition_point(|prefix| *prefix < key.prefix);
        let rest = self.prefixes.get(from..).unwrap_or_default();
        match rest {
            [first, ..] if *first != key.prefix => Err(from),
            [] => Err(from),
            // Nearly always the only one: keys differ in their first eight bytes.
            [_, second, ..] if *second == key.prefix => {
                let alike = rest.partition_point(|prefix| *prefix == key.prefix);
                let items = self.items.get(from..from + alike).unwrap_or_default();
                let found = items.binary_search_by(|item| item.pair().0.cmp(key.bytes));
                found.map(|at| from + at).map_err(|at| from + at)
            }
            _ => match self
                .items
                .get(from)
                .map(|item| item.pair().0.cmp(key.bytes))
            {
                Some(Ordering::Equal) => Ok(from),
                Some(Ordering::Less) => Err(from + 1),
                _ => Err(from),
            },
        }
    }

    /// Where the keys from `bound` on begin.
    fn start(&self, bound: Bound<Key<'_>>) -> usize {
        match bound {
            Bound::Unbounded => 0,
            Bound::Included(key) => self.find(key).unwrap_or_else(|at| at),
            Bound::Excluded(key) => self.find(key).map_or_else(|at| at, |at| at + 1),
        }
    }
}

impl Node for Run {
    fn first(&self) -> Option<Key<'_>> {
        let bytes = self.items.first()?.pair().0;
        let prefix = *self.prefixes.first()?;
        Some(Key { prefix, bytes })
    }

    fn get(&self, key: Key<'_>) -> Option<&[u8]> {
        let at = self.find(key).ok()?;
        self.items.get(at).map(|item| item.pair().1)
    }

    fn put(&mut self, key: Key<'_>, value: &[u8]) -> Option<Self> {
        match self.find(key) {
            Ok(at) => {
                if let Some(item) = self.items.get_mut(at) {
                    item.set(value);
                }
                None
            }
            Err(at) => {
                self.prefixes.insert(at, key.prefix);
                self.items.insert(at, Item::new(key.bytes, value));
                (self.items.len() > RUN_MAX).then(|| {
                    // At the end, where ascending keys arrive, a split in the middle would leave
                    // every run half empty.
                    let keep = if at == RUN_MAX { RUN_MAX } else { RUN_MAX / 2 };
                    Run {
                        prefixes: self.prefixes.split_off(keep),
                        items: self.items.split_off(keep),
                    }
                })
            }
        }
    }

    fn delete(&mut self, key: Key<'_>) {
        if let Ok(at) = self.find(key) {
            self.prefixes.remove(at);
            self.items.remove(at);
        }
    }

    fn delete_range(&mut self, from: Key<'_>, to: Key<'_>) {
        let range = self.start(Bound::Included(from))..self.start(Bound::Included(to));
        self.prefixes.drain(range.clone());
        self.items.drain(range);
    }

    fn absorb(&mut self, next: &mut Self) -> bool {
        let fits = self.items.len() + next.items.len() <= RUN_MAX * 3 / 4;
        if fits {
            self.prefixes.append(&mut next.prefixes);
            self.items.append(&mut next.items);
        }
        fits
    }

    fn scan(&self, from: Bound<Key<'_>>, to: Bound<Key<'_>>, visit: Visit<'_>) -> ControlFlow<()> {
        let range = self.start(from)..match to {
            Bound::Unbounded => self.items.len(),
            Bound::Included(key) => self.start(Bound::Excluded(key)),
            Bound::Excluded(key) => self.start(Bound::Included(key)),
        };
        let (end, all) = (range.end, self.items.len());
        for item in self.items.get(range).unwrap_or_default() {
            let (key, value) = item.pair();
            visit(key, value)?;
        }
        if end < all {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
