//! Changing keys: rows and the index of their expiries together.

use replication::Millis;
use storage::Engine;

use super::Stop;
use super::expiry;
use super::read::{Found, fetch};
use super::spaces::Spaces;
use crate::key;
use crate::value::Header;

/// Where a writing command works: one database as of its entry's moment, one key at a time.
pub(super) struct Edit<'a, E> {
    pub(super) engine: &'a mut E,
    pub(super) spaces: &'a mut Spaces,
    pub(super) database: u16,
    /// Where that database stands.
    pub(super) space: u16,
    pub(super) now: Millis,
    /// The row of the selected key.
    pub(super) row: &'a mut Vec<u8>,
    pub(super) value: &'a mut Vec<u8>,
    pub(super) index_row: &'a mut Vec<u8>,
    pub(super) next_due: &'a mut Option<Millis>,
    /// The expiry that stands in the selected row, if the row was read and has one. A write that
    /// has not read the row leaves the index of expiries as it is.
    pub(super) known: Option<Millis>,
}

impl<E: Engine> Edit<'_, E> {
    /// Turns to `key`.
    #[inline]
    pub(super) fn select(&mut self, key: &[u8]) {
        key::write_row(self.row, self.space, key);
        self.known = None;
    }

    /// Turns to `key` and reads it; `None` if there is none, or its time has come.
    pub(super) fn find(&mut self, key: &[u8]) -> Result<Option<Found<E::Value<'_>>>, Stop> {
        self.select(key);
        let Some(found) = fetch(&*self.engine, self.row)? else {
            return Ok(None);
        };
        self.known = found.header.expires;
        let gone = self.known.is_some_and(|at| at <= self.now);
        Ok((!gone).then_some(found))
    }

    /// Turns to `key`, and finds out when what stands there expires.
    pub(super) fn look_up(&mut self, key: &[u8]) -> Result<(), Stop> {
        self.find(key).map(drop)
    }

    /// Gives the selected key this content.
    #[inline]
    pub(super) fn put(&mut self, expires: Option<Millis>, content: &[u8]) -> Result<(), Stop> {
        Header::string(expires).write(self.value, content);
        self.store(expires)
    }

    /// Gives the selected key what was written to `value`, a whole value that expires then.
    #[inline]
    pub(super) fn store(&mut self, expires: Option<Millis>) -> Result<(), Stop> {
        self.engine.put(self.row, self.value)?;
        if self.known != expires {
            self.unschedule()?;
            if let Some(at) = expires {
                expiry::write_row(self.index_row, at, self.row);
                self.engine.put(self.index_row, &[])?;
                *self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
                self.known = expires;
            }
        }
        Ok(())
    }

    /// Removes the selected key.
    pub(super) fn remove(&mut self) -> Result<(), Stop> {
        self.engine.delete(self.row)?;
        self.unschedule()
    }

    fn unschedule(&mut self) -> Result<(), Stop> {
        if let Some(at) = self.known.take() {
            expiry::write_row(self.index_row, at, self.row);
            self.engine.delete(self.index_row)?;
        }
        Ok(())
    }
}
