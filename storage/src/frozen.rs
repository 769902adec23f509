//! Views of an engine as it was at one commit, and the streams of rows that go into one.
//!
//! Whoever writes a snapshot or answers KEYS reads for a long time, and applying must go on
//! meanwhile. There are two ways, and an engine chooses: [`Frozen::Within`] is read from the engine
//! itself, a slice at a time, by the thread that also writes to it; [`Frozen::Apart`] is read on any
//! thread, beside the engine.

use std::ops::{Bound, ControlFlow};
use std::vec;

use crate::engine::{Engine, EngineError};

/// Names a view that is frozen within an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub u64);

/// An engine's committed rows, held still.
pub enum Frozen {
    /// Read it through [`Engine::read_frozen`] and end it with [`Engine::thaw`]. It is exactly what
    /// was committed when it was frozen.
    Within(ViewId),
    /// Read it on any thread; dropping it ends it. It is exactly what one commit left: the last one
    /// before it was frozen or, if the engine takes its time to make the view, one after that. Its
    /// own rows tell which. See [`Rows::ready`].
    Apart(Box<dyn FrozenRows>),
}

/// Rows in ascending order of their keys, a slice at a time.
pub trait Rows: Send {
    /// Whether [`read`](Rows::read) would not have to wait for the view to be made. It is no reason
    /// to ask for those who may wait.
    ///
    /// # Errors
    /// Those of [`read`](Rows::read).
    fn ready(&mut self) -> Result<bool, EngineError> {
        Ok(true)
    }

    /// Visits the next rows, about `max_bytes` of keys and values, at least one. False when these
    /// were the last, or when there were none.
    ///
    /// # Errors
    /// The environment failed, or the rows are not what was once written; there is nothing more to
    /// be had from them.
    fn read(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError>;
}

/// A view that is read apart: its rows in order, and any of them by its key.
pub trait FrozenRows: Rows {
    /// The value of `key` in this view.
    ///
    /// # Errors
    /// Those of [`read`](Rows::read).
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;
}

/// What became of a request to make durable what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// It is under way; [`Engine::get_durable`] tells how far it is.
    Started,
    /// The engine forgets everything at the end of the process: only a snapshot would last.
    KeepsNothing,
}

/// Rows in memory: what an engine without views of its own freezes, and what tests load.
#[derive(Debug)]
pub struct CopiedRows {
    rows: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
}

impl CopiedRows {
    /// These rows, which must ascend.
    #[must_use]
    pub fn new(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        CopiedRows {
            rows: rows.into_iter(),
        }
    }

    /// A copy of all that `engine` holds.
    ///
    /// # Errors
    /// Those of the engine's scan.
    pub fn of<E: Engine + ?Sized>(engine: &E) -> Result<Self, EngineError> {
        let mut rows = Vec::new();
        engine.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(CopiedRows::new(rows))
    }
}

impl Rows for CopiedRows {
    fn read(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        let mut bytes = 0;
        for (key, value) in self.rows.by_ref() {
            visit(&key, &value);
            bytes += key.len() + value.len();
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(self.rows.len() > 0)
    }
}

impl FrozenRows for CopiedRows {
    /// Only what was not read yet is still there.
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let rows = self.rows.as_slice();
        let found = rows.binary_search_by(|(at, _)| at.as_slice().cmp(key));
        Ok(found
            .ok()
            .and_then(|at| rows.get(at))
            .map(|(_, value)| value.clone()))
    }
}
