//! An engine that keeps everything in memory and forgets it at the end of the process.
//!
//! Apply is the bill of replication: every copy pays it for every write. So this is not the standard
//! map. Keys are compared by their first eight bytes, which stand side by side in arrays; the heap is
//! touched when the key is found. Figures are at [`MemoryEngine`].
//!
//! Left out on purpose: reference-counted values (a reader copies what it keeps; overwriting in place
//! is worth more), and giving memory back to the system.

mod row;
mod run;
mod tree;
mod view;

use std::ops::{Bound, ControlFlow};

pub(crate) use self::tree::Tree;
use self::view::View;
use crate::engine::{Engine, EngineError};
use crate::frozen::{Frozen, ViewId};

/// How many rows `delete_range` hands over to views before it removes them: so that rows which a view
/// keeps are never all there twice.
const HANDED_OVER: usize = 1024;

/// An [`Engine`] in memory, which never fails.
///
/// Nanoseconds per operation on two cores of an AMD EPYC with neighbours, keys of 28 bytes, values of
/// 256, in random order: the median of slices of 1,000 operations (`examples/engine_speed.rs`).
///
/// | 100,000 keys | insert | overwrite | get | delete |
/// |---|---|---|---|---|
/// | `BTreeMap<Vec<u8>, Vec<u8>>` | 1237 | 716 | 634 | 887 |
/// | `BTreeMap`, first eight bytes inline | 510 | 638 | 688 | 378 |
/// | this one | 169 | 347 | 238 | 213 |
///
/// | 1,000,000 keys | insert | overwrite | get | delete |
/// |---|---|---|---|---|
/// | `BTreeMap<Vec<u8>, Vec<u8>>` | 1641 | 1245 | 1360 | 1408 |
/// | `BTreeMap`, first eight bytes inline | 849 | 1011 | 982 | 822 |
/// | this one | 741 | 760 | 698 | 869 |
///
/// What is left is the cache misses of one key and its value. Runs of 32 to 128 keys differ by less
/// than the noise; 128 has the fewest nodes to keep.
///
/// A frozen view costs nothing but what is changed while it is read: for each changed key that it has
/// not come to yet, the old value. While nothing is frozen, that is one branch per write.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    tree: Tree,
    views: Vec<View>,
    next_view: u64,
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        MemoryEngine::default()
    }

    /// About how many bytes its rows take in memory, what the allocator keeps for itself included.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.tree.size()
    }

    /// How many bytes of old keys and values the frozen views hold.
    #[must_use]
    pub fn frozen_bytes(&self) -> usize {
        self.views.iter().map(View::bytes).sum()
    }

    /// Lets every view keep what is under `key` before that changes.
    #[cold]
    fn keep_old(&mut self, key: &[u8]) {
        for view in &mut self.views {
            view.keep(key, |key| self.tree.get(key));
        }
    }

    /// Removes a range a thousand rows at a time, each kept by the views before it goes.
    #[cold]
    fn delete_range_kept(&mut self, from: &[u8], to: &[u8]) {
        let mut from = from.to_vec();
        loop {
            let (mut count, mut next) = (0, None);
            let (tree, views) = (&self.tree, &mut self.views);
            let range = (Bound::Included(&from[..]), Bound::Excluded(to));
            for (key, value) in tree.rows(range) {
                if count == HANDED_OVER {
                    next = Some(key.to_vec());
                    break;
                }
                count += 1;
                views
                    .iter_mut()
                    .for_each(|view| view.keep(key, |_| Some(value)));
            }
            let upper = next.as_deref().unwrap_or(to);
            self.tree.delete_range(&from, upper);
            match next {
                Some(next) => from = next,
                None => return,
            }
        }
    }
}

impl Engine for MemoryEngine {
    type Value<'a> = &'a [u8];

    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, EngineError> {
        Ok(self.tree.get(key))
    }

    fn expect(&self, beginnings: &[[u8; 8]]) {
        self.tree.expect(beginnings);
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let mut rows = self.tree.rows((from, to));
        // A break says that the visitor had enough: no news to the caller.
        let _ = rows.try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        if !self.views.is_empty() {
            self.keep_old(key);
        }
        self.tree.put(key, value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        if !self.views.is_empty() {
            self.keep_old(key);
        }
        self.tree.delete(key);
        Ok(())
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        match from < to {
            true if self.views.is_empty() => self.tree.delete_range(from, to),
            true => self.delete_range_kept(from, to),
            false => {}
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn freeze(&mut self) -> Result<Frozen, EngineError> {
        let id = ViewId(self.next_view);
        self.next_view += 1;
        self.views.push(View::new(id));
        Ok(Frozen::Within(id))
    }

    fn read_frozen(
        &mut self,
        view: ViewId,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        let Some(view) = self.views.iter_mut().find(|known| known.id() == view) else {
            panic!("{view:?} is not frozen within this engine, or thawed already");
        };
        Ok(view.read(&self.tree, max_bytes, visit))
    }

    fn thaw(&mut self, view: ViewId) {
        self.views.retain(|known| known.id() != view);
    }
}
