//! A view: the rows of the tree as they were at one moment, read while the tree changes.
//!
//! It goes through the tree in order and remembers how far it is. A key it has passed may change as
//! it likes. One that lies ahead has its old value kept here before it changes for the first time,
//! or that there was none; when the view comes to it, what is kept counts and not the tree. So a view
//! holds at most one old value per key changed meanwhile, fewer the further it is.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::Tree;
use crate::frozen::ViewId;

/// Rows held still.
#[derive(Debug)]
pub(super) struct View {
    id: ViewId,
    progress: Progress,
    /// What stood under keys that lie ahead and have changed since; `None` where nothing did.
    old: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The keys and values in `old`.
    bytes: usize,
}

#[derive(Debug)]
enum Progress {
    Begin,
    After(Vec<u8>),
    End,
}

impl Progress {
    fn has_passed(&self, key: &[u8]) -> bool {
        match self {
            Progress::Begin => false,
            Progress::After(last) => key <= last.as_slice(),
            Progress::End => true,
        }
    }
}

fn size(key: &[u8], old: Option<&[u8]>) -> usize {
    key.len() + old.map_or(0, <[u8]>::len)
}

impl View {
    pub(super) fn new(id: ViewId) -> Self {
        View {
            id,
            progress: Progress::Begin,
            old: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn id(&self) -> ViewId {
        self.id
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps what `get` finds under `key`, which is about to change, if the view still needs it.
    pub(super) fn keep<'a>(&mut self, key: &[u8], get: impl FnOnce(&[u8]) -> Option<&'a [u8]>) {
        if self.progress.has_passed(key) || self.old.contains_key(key) {
            return;
        }
        let old = get(key);
        self.bytes += size(key, old);
        self.old.insert(key.to_vec(), old.map(<[u8]>::to_vec));
    }

    /// Visits the next rows. What is passed over, because it is newer than the view, counts for
    /// `max_bytes` too: a slice takes as long as it says.
    pub(super) fn read(
        &mut self,
        tree: &Tree,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> bool {
        let from = match &self.progress {
            Progress::Begin => Bound::Unbounded,
            Progress::After(last) => Bound::Excluded(last.as_slice()),
            Progress::End => return false,
        };
        let mut slice = Slice {
            left: max_bytes.max(1),
            last: Vec::new(),
            visit,
        };
        // Whatever is kept lies ahead of `from`.
        let mut kept = self.old.iter().peekable();
        let scanned = tree
            .rows((from, Bound::Unbounded))
            .try_for_each(|(key, value)| {
                while let Some((old_key, old)) =
                    kept.next_if(|(old_key, _)| old_key.as_slice() < key)
                {
                    slice.take(old_key, old.as_deref())?;
                }
                match kept.next_if(|(old_key, _)| old_key.as_slice() == key) {
                    Some((_, old)) => slice.take(key, old.as_deref()),
                    None => slice.take(key, Some(value)),
                }
            });
        let ended = scanned.is_continue()
            && kept
                .try_for_each(|(key, old)| slice.take(key, old.as_deref()))
                .is_continue();
        if ended {
            self.progress = Progress::End;
        } else {
            self.progress = Progress::After(slice.last);
        }
        self.let_go();
        !ended
    }

    /// Drops what has been passed.
    fn let_go(&mut self) {
        while let Some(first) = self.old.first_entry()
            && self.progress.has_passed(first.key())
        {
            let (key, old) = first.remove_entry();
            self.bytes -= size(&key, old.as_deref());
        }
    }
}

/// A part of a view, as it is read.
struct Slice<'a> {
    left: usize,
    last: Vec<u8>,
    visit: &'a mut dyn FnMut(&[u8], &[u8]),
}

impl Slice<'_> {
    /// Breaks after the row that fills the slice.
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> ControlFlow<()> {
        if let Some(value) = value {
            (self.visit)(key, value);
        }
        self.left = self.left.saturating_sub(size(key, value).max(1));
        if self.left > 0 {
            return ControlFlow::Continue(());
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        ControlFlow::Break(())
    }
}
