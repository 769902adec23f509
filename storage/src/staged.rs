//! What an engine's user has staged and not committed, for engines that write a unit as a batch.
//!
//! The usual unit is a few hundred puts that nobody reads before the commit. So staging appends to
//! one buffer and indexes nothing; the first read that comes in between indexes what there is, and
//! pays for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, Range};

use crate::engine::{EngineError, Visit};

/// The operations since the last commit, in order.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    ops: Vec<Place>,
    index: RefCell<Index>,
}

/// Where an operation stands in the bytes: its key and its value, which end where the next begin.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    middle: usize,
    end: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
}

/// An operation, to be written into a batch.
#[cfg(feature = "rocksdb")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum StagedOp<'a> {
    Put(&'a [u8], &'a [u8]),
    Delete(&'a [u8]),
    DeleteRange(&'a [u8], &'a [u8]),
}

/// What is staged under a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found<'a> {
    Value(&'a [u8]),
    Deleted,
    /// Nothing: what is committed counts.
    Nothing,
}

/// What the operations come to.
#[derive(Debug, Default)]
struct Index {
    /// How many operations are in it.
    count: usize,
    /// The last operation on each key: its value, or that it is deleted.
    keys: BTreeMap<Vec<u8>, Option<Range<usize>>>,
    /// Ranges in which nothing counts that is committed: disjoint, ascending.
    gone: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Staged {
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(key, value, Kind::Put);
    }

    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.push(key, &[], Kind::Delete);
    }

    /// A range that is empty or upside down is no operation.
    pub(crate) fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        if from < to {
            self.push(from, to, Kind::DeleteRange);
        }
    }

    fn push(&mut self, key: &[u8], value: &[u8], kind: Kind) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ops.push(Place {
            start,
            middle,
            end: self.bytes.len(),
            kind,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many bytes of keys and values it holds.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything, and keeps the room unless it has become very large.
    pub(crate) fn clear(&mut self) {
        const ROOM_MAX: usize = 16 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(ROOM_MAX);
        self.ops.clear();
        self.ops.shrink_to(ROOM_MAX / size_of::<Place>());
        let index = self.index.get_mut();
        if index.count > 0 {
            *index = Index::default();
        }
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// What the operations come to: ranges that are emptied first, disjoint, and then the value that
    /// each key has in the end, or that it has none. For batches that do not keep an order.
    #[cfg(feature = "fjall")]
    pub(crate) fn settle(
        &self,
        mut empty: impl FnMut(&[u8], &[u8]) -> Result<(), EngineError>,
        mut set: impl FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), EngineError> {
        self.catch_up();
        let index = self.index.borrow();
        index
            .gone
            .iter()
            .try_for_each(|(from, to)| empty(from, to))?;
        for (key, place) in &index.keys {
            set(key, place.clone().map(|at| self.slice(at)));
        }
        Ok(())
    }

    /// The operations, in order.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn ops(&self) -> impl Iterator<Item = StagedOp<'_>> {
        self.ops.iter().map(|place| {
            let key = self.slice(place.start..place.middle);
            let value = self.slice(place.middle..place.end);
            match place.kind {
                Kind::Put => StagedOp::Put(key, value),
                Kind::Delete => StagedOp::Delete(key),
                Kind::DeleteRange => StagedOp::DeleteRange(key, value),
            }
        })
    }

    /// Indexes what is not indexed yet. While something is borrowed from the index there is nothing
    /// to do: staging needs the whole.
    fn catch_up(&self) {
        if self.index.borrow().count == self.ops.len() {
            return;
        }
        let mut index = self.index.borrow_mut();
        for place in self.ops.get(index.count..).unwrap_or_default() {
            let key = self.slice(place.start..place.middle);
            match place.kind {
                Kind::Put => index
                    .keys
                    .insert(key.to_vec(), Some(place.middle..place.end)),
                Kind::Delete => index.keys.insert(key.to_vec(), None),
                Kind::DeleteRange => {
                    index.remove(key, self.slice(place.middle..place.end));
                    None
                }
            };
        }
        index.count = self.ops.len();
    }

    pub(crate) fn get(&self, key: &[u8]) -> Found<'_> {
        if self.ops.is_empty() {
            return Found::Nothing;
        }
        self.catch_up();
        let index = self.index.borrow();
        match index.keys.get(key) {
            Some(Some(value)) => Found::Value(self.slice(value.clone())),
            Some(None) => Found::Deleted,
            None if index.is_gone(key) => Found::Deleted,
            None => Found::Nothing,
        }
    }

    /// Visits what is seen between two bounds: what is staged, and of what `committed` visits that
    /// which still counts. `committed` visits the same range, in order, until it is told to break.
    pub(crate) fn scan(
        &self,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        visit: Visit<'_>,
        committed: impl FnOnce(Visit<'_>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        if is_empty(from, to) {
            return Ok(());
        }
        if self.ops.is_empty() {
            return committed(visit);
        }
        self.catch_up();
        let index = self.index.borrow();
        let mut staged = index.keys.range::<[u8], _>((from, to)).peekable();
        let value_at = |place: &Option<Range<usize>>| place.clone().map(|at| self.slice(at));
        let mut broke = false;
        committed(&mut |key, value| {
            let flow = (|| {
                while let Some((before, place)) = staged.next_if(|(at, _)| at.as_slice() < key) {
                    value_at(place)
                        .map_or(ControlFlow::Continue(()), |value| visit(before, value))?;
                }
                let seen = match staged.next_if(|(at, _)| at.as_slice() == key) {
                    Some((_, place)) => value_at(place),
                    None => (!index.is_gone(key)).then_some(value),
                };
                seen.map_or(ControlFlow::Continue(()), |value| visit(key, value))
            })();
            broke = flow.is_break();
            flow
        })?;
        let mut rest = staged.filter_map(|(key, place)| Some((key, value_at(place)?)));
        if !broke {
            // A break says that the visitor had enough: no news to the caller.
            let _ = rest.try_for_each(|(key, value)| visit(key, value));
        }
        Ok(())
    }
}

impl Index {
    fn remove(&mut self, from: &[u8], to: &[u8]) {
        let range = from.to_vec()..to.to_vec();
        self.keys.extract_if(range, |_, _| true).for_each(drop);
        let (mut low, mut high) = (from.to_vec(), to.to_vec());
        // Merged with the one that begins before it and reaches into it, and with those within.
        if let Some((before, end)) = self
            .gone
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(from)))
            .next_back()
            && end.as_slice() >= from
        {
            low.clone_from(before);
        }
        let within: Vec<_> = self
            .gone
            .range::<[u8], _>((Bound::Included(low.as_slice()), Bound::Included(to)))
            .map(|(key, _)| key.clone())
            .collect();
        for key in within {
            if let Some(end) = self.gone.remove(&key) {
                high = high.max(end);
            }
        }
        self.gone.insert(low, high);
    }

    fn is_gone(&self, key: &[u8]) -> bool {
        let before = (Bound::Unbounded, Bound::Included(key));
        let range = self.gone.range::<[u8], _>(before).next_back();
        range.is_some_and(|(_, end)| key < end.as_slice())
    }
}

/// Whether nothing can lie between two bounds; the standard map panics when asked for some of these.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
        _ => false,
    }
}
