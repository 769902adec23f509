//! A run: some dozens of neighbouring keys with their values, sorted.
//!
//! What a lookup costs is cache misses, one behind the other, so a run is laid out for few of them.
//! The first eight bytes of each key stand beside the pointer to its row; where to look among them
//! is guessed from how they are spread, which for keys that begin with a hash is off by a few places;
//! and key and value share one allocation.

use std::cmp::Ordering;
use std::ops::Bound;

use super::row::{Key, Node};

/// How many keys a run holds at most. See [`MemoryEngine`](crate::MemoryEngine) for the figures.
const RUN_MAX: usize = 64;

/// What stands in front of a key in its row: its length.
const HEAD_BYTES: usize = 4;

/// Neighbouring keys, in order.
#[derive(Debug, Default)]
pub(super) struct Run {
    items: Vec<Item>,
    /// The least and the greatest prefix there have been: only a guess is built on them.
    low: u64,
    high: u64,
}

/// A key and its value.
#[derive(Debug)]
struct Item {
    /// [`Key::prefix`].
    prefix: u64,
    /// The key's length, the key, the value.
    row: Box<[u8]>,
}

impl Item {
    fn new(key: Key<'_>, value: &[u8]) -> Self {
        let Ok(key_length) = u32::try_from(key.bytes.len()) else {
            panic!("a key of 4 GiB");
        };
        let mut row = Vec::with_capacity(HEAD_BYTES + key.bytes.len() + value.len());
        row.extend_from_slice(&key_length.to_ne_bytes());
        row.extend_from_slice(key.bytes);
        row.extend_from_slice(value);
        Item {
            prefix: key.prefix,
            row: row.into_boxed_slice(),
        }
    }

    /// About how many bytes of memory it takes: its place, its row, and what the allocator and the
    /// empty places of a run keep.
    fn size(&self) -> usize {
        const ALLOCATION: usize = 32;
        size_of::<Item>() + self.row.len() + ALLOCATION
    }

    fn key(&self) -> Key<'_> {
        Key {
            prefix: self.prefix,
            bytes: self.pair().0,
        }
    }

    fn pair(&self) -> (&[u8], &[u8]) {
        match self.row.split_first_chunk::<HEAD_BYTES>() {
            Some((length, rest)) => rest.split_at(u32::from_ne_bytes(*length) as usize),
            None => (&[], &[]),
        }
    }

    /// Replaces the value: in its place if it is as long as the old one.
    fn set(&mut self, value: &[u8]) {
        let from = HEAD_BYTES + self.pair().0.len();
        if self.row.len() == from + value.len() {
            let old = self.row.get_mut(from..).unwrap_or_default();
            old.copy_from_slice(value);
        } else {
            let mut row = Vec::with_capacity(from + value.len());
            row.extend_from_slice(self.row.get(..from).unwrap_or_default());
            row.extend_from_slice(value);
            self.row = row.into_boxed_slice();
        }
    }
}

impl Run {
    fn of(items: Vec<Item>) -> Self {
        let prefix = |item: Option<&Item>| item.map_or(0, |item| item.prefix);
        Run {
            low: prefix(items.first()),
            high: prefix(items.last()),
            items,
        }
    }

    /// Where `prefix` stands if prefixes are spread evenly.
    fn guess(&self, prefix: u64) -> usize {
        let last = self.items.len().saturating_sub(1);
        let share = prefix.saturating_sub(self.low) as f64 / (self.high - self.low) as f64;
        // Rounds towards zero, and takes what is not a number for zero.
        ((share * last as f64) as usize).min(last)
    }

    /// Where prefixes stop to be less than `prefix`.
    fn behind(&self, prefix: u64) -> usize {
        let guess = self.guess(prefix);
        let (below, above) = self.items.split_at(guess);
        let less = |item: &&Item| item.prefix < prefix;
        match above.iter().take_while(less).count() {
            0 => guess - below.iter().rev().take_while(|item| !less(item)).count(),
            more => guess + more,
        }
    }

    /// Reads what a search for `prefix` begins with, without deciding anything by it: a processor
    /// goes on to the next such read while the memory is still on its way.
    pub(super) fn touch_items(&self, prefix: u64) -> u64 {
        let item = self.items.get(self.guess(prefix));
        item.map_or(0, |item| item.prefix)
    }

    /// Reads the beginning of the row that a search for `prefix` ends at.
    pub(super) fn touch_row(&self, prefix: u64) -> u64 {
        let item = self.items.get(self.behind(prefix));
        item.and_then(|item| item.row.first())
            .map_or(0, |byte| u64::from(*byte))
    }

    /// Where `key` is, or else where it would be.
    fn find(&self, key: Key<'_>) -> Result<usize, usize> {
        let from = self.behind(key.prefix);
        let rest = self.items.get(from..).unwrap_or_default();
        let alike = rest
            .iter()
            .take_while(|item| item.prefix == key.prefix)
            .count();
        // Nearly always one at most: keys differ in their first eight bytes.
        let (mut low, mut high) = (0, alike);
        while low < high {
            let middle = usize::midpoint(low, high);
            match rest.get(middle).map(|item| item.pair().0.cmp(key.bytes)) {
                Some(Ordering::Less) => low = middle + 1,
                Some(Ordering::Equal) => return Ok(from + middle),
                _ => high = middle,
            }
        }
        Err(from + low)
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
        self.items.first().map(Item::key)
    }

    fn get(&self, key: Key<'_>) -> Option<&[u8]> {
        let at = self.find(key).ok()?;
        self.items.get(at).map(|item| item.pair().1)
    }

    fn put(&mut self, key: Key<'_>, value: &[u8], size: &mut usize) -> Option<Self> {
        match self.find(key) {
            Ok(at) => {
                if let Some(item) = self.items.get_mut(at) {
                    *size -= item.size();
                    item.set(value);
                    *size += item.size();
                }
                None
            }
            Err(at) => {
                let item = Item::new(key, value);
                *size += item.size();
                self.items.insert(at, item);
                if self.items.len() == 1 {
                    (self.low, self.high) = (key.prefix, key.prefix);
                }
                self.low = self.low.min(key.prefix);
                self.high = self.high.max(key.prefix);
                (self.items.len() > RUN_MAX).then(|| {
                    // At the end, where ascending keys arrive, a split in the middle would leave
                    // every run half empty.
                    let keep = if at == RUN_MAX { RUN_MAX } else { RUN_MAX / 2 };
                    let upper = self.items.split_off(keep);
                    *self = Run::of(std::mem::take(&mut self.items));
                    Run::of(upper)
                })
            }
        }
    }

    fn delete(&mut self, key: Key<'_>, size: &mut usize) {
        if let Ok(at) = self.find(key) {
            *size -= self.items.remove(at).size();
        }
    }

    fn delete_range(&mut self, from: Key<'_>, to: Key<'_>, size: &mut usize) {
        let range = self.start(Bound::Included(from))..self.start(Bound::Included(to));
        let removed = self.items.drain(range);
        *size -= removed.map(|item| item.size()).sum::<usize>();
    }

    fn absorb(&mut self, next: &mut Self) -> bool {
        let fits = self.items.len() + next.items.len() <= RUN_MAX * 3 / 4;
        if fits {
            let mut items = std::mem::take(&mut self.items);
            items.append(&mut next.items);
            *self = Run::of(items);
        }
        fits
    }

    fn size(&self) -> usize {
        self.items.iter().map(Item::size).sum()
    }

    fn rows<'a>(&'a self, from: Bound<Key<'a>>) -> impl Iterator<Item = (Key<'a>, &'a [u8])> {
        let items = self.items.get(self.start(from)..).unwrap_or_default();
        items.iter().map(|item| (item.key(), item.pair().1))
    }
}
