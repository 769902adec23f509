//! The contract of a storage engine: an ordered map of bytes with staged, atomic writes.
//!
//! An engine holds what a state machine has applied. The consensus log is the only write-ahead
//! log, so an engine owes its user no durability at [`commit`](Engine::commit), only atomicity:
//! the state machine writes its data *and* how far it has applied into one unit, and after a crash
//! replays from what it finds. One instance per group, used by one thread; hence `&mut self`, no
//! locks, no `async`.
//!
//! Left out on purpose: transactions with rollback (a committed log entry is never undone),
//! snapshots of a past state (they come with the first engine that has them), and merge operators.

use std::error::Error;
use std::fmt;
use std::ops::{Bound, ControlFlow, Deref};

/// An ordered map from byte strings to byte strings, in `memcmp` order of the keys.
///
/// Writes are staged: visible at once to this instance, durable no sooner than the
/// [`commit`](Engine::commit) after them, and then together. The conformance suite
/// (`conformance::engine`, feature `conformance`) says the same in tests.
///
/// An engine of your own may exploit what the keys of this project look like,
/// `[database u16][slot u16][hash u32][…]`, all big-endian: the first eight bytes tell most keys
/// apart.
pub trait Engine: 'static {
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
