//! What an engine holds back in memory before it hands it on to tables or to a database of its own.
//!
//! The newest operation on a key counts: a key that is written a hundred times costs what is below
//! one write. What is held back covers what is below, and a scan merges both.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use crate::engine::EngineError;
use crate::memory::Tree;

/// What sees the keys and values of a scan.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// The keys between two bounds.
pub(crate) type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// After so many rows that are gone a scan below begins anew behind their range: it costs about as
/// much as looking at them.
const GONE_MAX: usize = 32;

/// What a removed key, and a range of them, take in memory beside their bytes.
const ENTRY_BYTES: usize = 64;

/// Writes held back, in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    rows: Tree,
    /// Keys that have nothing any more, whatever is below.
    deleted: BTreeSet<Vec<u8>>,
    /// Ranges in which nothing counts that is below: disjoint, ascending.
    gone: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the two take in memory.
    removals_size: usize,
}

/// What is held back under a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found<'a> {
    Value(&'a [u8]),
    Deleted,
    /// Nothing: what is below counts.
    Nothing,
}

impl WriteBuffer {
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.rows.put(key, value);
        if !self.deleted.is_empty() && self.deleted.remove(key) {
            self.removals_size -= ENTRY_BYTES + key.len();
        }
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.rows.delete(key);
        if !self.is_gone(key) && self.deleted.insert(key.to_vec()) {
            self.removals_size += ENTRY_BYTES + key.len();
        }
    }

    /// A range that is empty or upside down is no operation.
    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        if from >= to {
            return;
        }
        self.rows.delete_range(from, to);
        let within = from.to_vec()..to.to_vec();
        for key in self.deleted.extract_if(within, |_| true) {
            self.removals_size -= ENTRY_BYTES + key.len();
        }
        self.remove_range(from, to);
    }

    /// Merges the range with the one that begins before it and reaches into it, and with those
    /// that begin within it.
    fn remove_range(&mut self, from: &[u8], to: &[u8]) {
        let (mut low, mut high) = (from.to_vec(), to.to_vec());
        if let Some((before, end)) = self
            .gone
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(from)))
            .next_back()
            && end.as_slice() >= from
        {
            low.clone_from(before);
        }
        let within = (Bound::Included(low.clone()), Bound::Included(high.clone()));
        for (key, end) in self.gone.extract_if(within, |_, _| true) {
            self.removals_size -= ENTRY_BYTES + key.len() + end.len();
            high = high.max(end);
        }
        self.removals_size += ENTRY_BYTES + low.len() + high.len();
        self.gone.insert(low, high);
    }

    fn is_gone(&self, key: &[u8]) -> bool {
        self.gone_to(key).is_some()
    }

    /// Where the range ends in which `key` is gone.
    fn gone_to(&self, key: &[u8]) -> Option<&[u8]> {
        let before = (Bound::Unbounded, Bound::Included(key));
        let (_, end) = self.gone.range::<[u8], _>(before).next_back()?;
        (key < end.as_slice()).then_some(end)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        self.rows.size() + self.removals_size
    }

    pub(crate) fn get(&self, key: &[u8]) -> Found<'_> {
        match self.rows.get(key) {
            Some(value) => Found::Value(value),
            None if self.deleted.contains(key) || self.is_gone(key) => Found::Deleted,
            None => Found::Nothing,
        }
    }

    /// See [`Engine::expect`](crate::Engine::expect).
    #[cfg(feature = "rocksdb")]
    pub(crate) fn expect(&self, beginnings: &[[u8; 8]]) {
        self.rows.expect(beginnings);
    }

    /// The ranges that are emptied below before the entries count: disjoint, in order.
    pub(crate) fn emptied(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.gone.iter().map(|(from, to)| (&from[..], &to[..]))
    }

    /// The keys in a range that are set, or deleted, in order.
    pub(crate) fn entries<'a>(
        &'a self,
        range: (Bound<&'a [u8]>, Bound<&'a [u8]>),
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let mut rows = self.rows.rows(range).peekable();
        let mut deleted = self.deleted.range::<[u8], _>(range).peekable();
        std::iter::from_fn(move || {
            let row = rows.peek().map(|(key, _)| *key);
            match deleted.next_if(|key| row.is_none_or(|row| key.as_slice() < row)) {
                Some(key) => Some((key.as_slice(), None)),
                None => rows.next().map(|(key, value)| (key, Some(value))),
            }
        })
    }

    /// Visits what is seen between two bounds: what is held back, and of what `below` visits that
    /// which still counts. `below` visits the range it is given, in order, until it is told to break.
    /// It is asked again behind a range in which much is gone: whoever empties a range slice by slice
    /// would else look at all that is gone for every slice.
    pub(crate) fn scan(
        &self,
        range: Range<'_>,
        visit: Visit<'_>,
        mut below: impl FnMut(Range<'_>, Visit<'_>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        if is_empty(range) {
            return Ok(());
        }
        if self.is_empty() {
            return below(range, visit);
        }
        let mut entries = self.entries(range).peekable();
        let mut broke = false;
        let mut rest = Some(range);
        while let Some(range) = rest.take().filter(|range| !is_empty(*range)) {
            let mut gone = 0;
            below(range, &mut |key, value| {
                let flow = (|| {
                    while let Some((before, value)) = entries.next_if(|(at, _)| *at < key) {
                        value.map_or(ControlFlow::Continue(()), |value| visit(before, value))?;
                    }
                    let seen = match entries.next_if(|(at, _)| *at == key) {
                        Some((_, value)) => value,
                        None => match self.gone_to(key) {
                            None => Some(value),
                            Some(end) => {
                                gone += 1;
                                rest =
                                    (gone == GONE_MAX).then_some((Bound::Included(end), range.1));
                                None
                            }
                        },
                    };
                    seen.map_or(ControlFlow::Continue(()), |value| visit(key, value))
                })();
                broke = flow.is_break();
                match rest {
                    Some(_) => ControlFlow::Break(()),
                    None => flow,
                }
            })?;
        }
        let mut rest = entries.filter_map(|(key, value)| Some((key, value?)));
        if !broke {
            // A break says that the visitor had enough: no news to the caller.
            let _ = rest.try_for_each(|(key, value)| visit(key, value));
        }
        Ok(())
    }
}

/// Whether nothing can lie between two bounds; the standard map panics when asked for some of these.
fn is_empty((from, to): (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
        _ => false,
    }
}
