//! The tree: keys and values in order, and about how many bytes they take.

use std::hint::black_box;
use std::ops::Bound;

use super::row::{Key, Node, Row};
use super::run::Run;

/// How many expected keys are fetched together: about as many reads as a processor has under way.
const EXPECTED: usize = 32;

/// An ordered map from byte strings to byte strings.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    top: Row<Row<Run>>,
    size: usize,
}

impl Tree {
    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.top.get(Key::new(key))
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        // The topmost row has no sibling to share with: it takes its own upper part back.
        if let Some(mut upper) = self.top.put(Key::new(key), value, &mut self.size) {
            self.top.take_back(&mut upper);
        }
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.top.delete(Key::new(key), &mut self.size);
    }

    /// Removes the keys from `from` to below `to`, which is not below `from`.
    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        let (from, to) = (Key::new(from), Key::new(to));
        self.top.delete_range(from, to, &mut self.size);
    }

    /// The rows between two bounds, in order.
    pub(crate) fn rows<'a>(
        &'a self,
        (from, to): (Bound<&'a [u8]>, Bound<&'a [u8]>),
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let to = to.map(Key::new);
        let within = move |key: &Key<'_>| match to {
            Bound::Unbounded => true,
            Bound::Included(to) => *key <= to,
            Bound::Excluded(to) => *key < to,
        };
        let rows = self.top.rows(from.map(Key::new));
        rows.take_while(move |(key, _)| within(key))
            .map(|(key, value)| (key.bytes, value))
    }

    /// See [`Engine::expect`](crate::Engine::expect).
    pub(crate) fn expect(&self, beginnings: &[[u8; 8]]) {
        for beginnings in beginnings.chunks(EXPECTED) {
            let mut runs = [None; EXPECTED];
            for (place, beginning) in runs.iter_mut().zip(beginnings) {
                let prefix = u64::from_be_bytes(*beginning);
                let run = self.top.node(prefix).and_then(|row| row.node(prefix));
                *place = run.map(|run| (run, prefix));
            }
            // Each pass asks for memory that the next one needs, for all keys before it waits for any.
            let touched = runs
                .iter()
                .flatten()
                .fold(0, |sum, (run, prefix)| sum ^ run.touch_items(*prefix));
            let touched = (runs.iter().flatten())
                .fold(touched, |sum, (run, prefix)| sum ^ run.touch_row(*prefix));
            black_box(touched);
        }
    }
}
