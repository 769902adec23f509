//! The contract of a storage engine: an ordered map of bytes with staged, atomic writes.
//!
//! An engine holds what a state machine has applied. The consensus log is the only write-ahead
//! log, so an engine owes its user no durability at [`commit`](Engine::commit), only atomicity:
//! the state machine writes its data *and* how far it has applied into one unit, and after a crash
//! replays from what it finds. One instance per group, used by one thread; hence `&mut self`, no
//! locks, no `async`.
//!
//! What an engine can say about durability is a question, not a promise: what of
//! [`get`](Engine::get) would outlive a crash at this moment ([`get_durable`](Engine::get_durable)).
//! The log is purged by that answer.
//!
//! Left out on purpose: transactions with rollback (a committed log entry is never undone) and merge
//! operators.

use std::error::Error;
use std::fmt;
use std::ops::{Bound, ControlFlow, Deref};
use std::thread;
use std::time::Duration;

use crate::frozen::{CopiedRows, Flush, Frozen, Rows, ViewId};

/// How much [`Engine::load`] writes as one unit.
const LOAD_BYTES: usize = 1 << 20;

/// An ordered map from byte strings to byte strings, in `memcmp` order of the keys.
///
/// Writes are staged: visible at once to this instance, durable no sooner than the
/// [`commit`](Engine::commit) after them, and then together. The conformance suite
/// (`conformance::engine`, feature `conformance`) says the same in tests.
///
/// An engine of your own may exploit what the keys of this project look like,
/// `[database u16][slot u16][hash u32][…]`, all big-endian: the first eight bytes tell most keys
/// apart.
pub trait Engine: Send + 'static {
    /// A value as it is lent out: a plain slice where the engine can lend its own memory, a guard
    /// where a page has to stay pinned. Reading never forces a copy.
    type Value<'a>: Deref<Target = [u8]>
    where
        Self: 'a;

    /// The value under `key`, staged writes included.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn get(&self, key: &[u8]) -> Result<Option<Self::Value<'_>>, EngineError>;

    /// Keys that begin so are about to be read or written, in this order: an engine may fetch for
    /// all of them at once what it would else wait for one by one. Changes nothing that can be seen.
    fn expect(&self, beginnings: &[[u8; 8]]) {
        let _ = beginnings;
    }

    /// Visits the keys between `from` and `to` in ascending order, staged writes included, until
    /// `visit` breaks. A range that is empty or upside down visits nothing. It keeps no cursor:
    /// whoever wants to go on later starts from the last key seen.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    #[expect(
        clippy::type_complexity,
        reason = "an alias cannot elide the closure's lifetime, and implementors would have to name it"
    )]
    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError>;

    /// Stages `value` under `key`, in place of what was there.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError>;

    /// Stages the removal of `key`; an absent key is fine.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError>;

    /// Stages the removal of every key from `from` (inclusive) to `to` (exclusive); a range that is
    /// empty or upside down removes nothing. The cost must not grow faster than the number of keys
    /// removed, whatever else the engine holds.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError>;

    /// Makes everything staged since the last commit one atomic unit: after a crash all of it is
    /// there or nothing. It need not be durable when this returns, but units become durable in
    /// order.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn commit(&mut self) -> Result<(), EngineError>;

    /// Whether the next commit may have to wait, for a disk that does not keep up. Whoever has
    /// other things to do does them first; committing is allowed all the same.
    fn is_busy(&self) -> bool {
        false
    }

    /// The value of `key` as a crash at this moment would leave it. Nothing, unless the engine
    /// says otherwise: an engine that forgets everything.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn get_durable(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let _ = key;
        Ok(None)
    }

    /// Begins to make durable what is committed, without waiting for it. To be called between units,
    /// with nothing staged.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn flush(&mut self) -> Result<Flush, EngineError> {
        Ok(Flush::KeepsNothing)
    }

    /// Holds still what is committed now, for a snapshot or a long read; several views may be
    /// frozen at a time. To be called between units, with nothing staged.
    ///
    /// By default a copy of everything, which is as slow as it sounds: for engines that hold little.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    fn freeze(&mut self) -> Result<Frozen, EngineError> {
        Ok(Frozen::Apart(Box::new(CopiedRows::of(self)?)))
    }

    /// Visits the next rows of a view frozen [`Within`](Frozen::Within), about `max_bytes` of them;
    /// false when that was the end. There may be none among what it had to look at. It is no reason
    /// to pause writing: what is staged and committed meanwhile is not seen.
    ///
    /// # Errors
    /// The environment failed; the engine may be used no further.
    ///
    /// # Panics
    /// When no such view is frozen.
    fn read_frozen(
        &mut self,
        view: ViewId,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        let _ = (max_bytes, visit);
        panic!("{view:?} is not frozen within this engine: it freezes nothing within itself");
    }

    /// Ends a view frozen [`Within`](Frozen::Within), read to its end or not. One that is not there
    /// is fine.
    fn thaw(&mut self, view: ViewId) {
        let _ = view;
    }

    /// Fills an engine that is empty with rows, and returns when they are durable, as far as the
    /// engine keeps anything. After a failure or a crash in between it holds any part of them: load
    /// into a place that does not count yet.
    ///
    /// # Errors
    /// Those of the rows, and those of the engine's own environment.
    fn load(&mut self, rows: &mut dyn Rows) -> Result<(), EngineError> {
        let (mut last_key, mut last_value) = (Vec::new(), Vec::new());
        let mut any = false;
        loop {
            let mut outcome = Ok(());
            let more = rows.read(LOAD_BYTES, &mut |key, value| {
                if outcome.is_ok() {
                    outcome = self.put(key, value);
                }
                any = true;
                last_key.clear();
                last_key.extend_from_slice(key);
                last_value.clear();
                last_value.extend_from_slice(value);
            })?;
            outcome?;
            self.commit()?;
            if !more {
                break;
            }
        }
        if !any || self.flush()? == Flush::KeepsNothing {
            return Ok(());
        }
        // Units become durable in order: when the last row is, all are.
        while self.get_durable(&last_key)?.as_ref() != Some(&last_value) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// An engine could not do its work because its environment failed it: a disk, a file, a limit.
#[derive(Debug)]
pub struct EngineError {
    action: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl EngineError {
    /// What the engine was about (`"write the batch"`), and what stopped it.
    pub fn new(action: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        EngineError {
            action,
            source: source.into(),
        }
    }

    /// What stopped the engine, if it was an error of that type.
    ///
    /// # Errors
    /// This error itself, if it was not.
    pub fn downcast<E: Error + 'static>(self) -> Result<E, EngineError> {
        let EngineError { action, source } = self;
        match source.downcast() {
            Ok(error) => Ok(*error),
            Err(source) => Err(EngineError { action, source }),
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the storage engine could not {}: {}; stop the node, look at its disk, and start it \
             again: it replays what is missing from the log",
            self.action, self.source
        )
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
