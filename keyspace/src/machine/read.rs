//! Looking keys up without changing anything.

use replication::Millis;
use storage::Engine;

use super::{KeyspaceError, Now, Stop};
use crate::key;
use crate::value::Header;

/// A value that was found: its header, and its content where the engine holds it.
pub(super) struct Found<V> {
    pub(super) header: Header,
    value: V,
    /// Where the content begins.
    at: usize,
}

impl<V: std::ops::Deref<Target = [u8]>> Found<V> {
    pub(super) fn content(&self) -> &[u8] {
        self.value.get(self.at..).unwrap_or_default()
    }
}

/// Where a reading command looks: one database as of one moment.
pub(super) struct Look<'a, E> {
    pub(super) engine: &'a E,
    /// Where its database stands.
    pub(super) space: u16,
    pub(super) now: Now,
    pub(super) row: &'a mut Vec<u8>,
}

impl<'a, E: Engine> Look<'a, E> {
    /// The value of `key`, unless its time has come.
    #[inline]
    pub(super) fn find(&mut self, key: &[u8]) -> Result<Option<Found<E::Value<'a>>>, Stop> {
        key::write_row(self.row, self.space, key);
        let Some(found) = fetch(self.engine, self.row)? else {
            return Ok(None);
        };
        match self.now.has_come(found.header.expires)? {
            true => Ok(None),
            false => Ok(Some(found)),
        }
    }
}

impl Now {
    /// Whether this expiry has come; whoever cannot know yet needs a tick.
    #[inline]
    pub(super) fn has_come(self, expires: Option<Millis>) -> Result<bool, Stop> {
        match expires {
            None => Ok(false),
            Some(at) if at <= self.group => Ok(true),
            Some(at) if at <= self.clock => Err(Stop::NeedsTick),
            Some(_) => Ok(false),
        }
    }
}

/// The value in a row, expired or not.
#[inline]
pub(super) fn fetch<'e, E: Engine>(
    engine: &'e E,
    row: &[u8],
) -> Result<Option<Found<E::Value<'e>>>, Stop> {
    let Some(value) = engine.get(row)? else {
        return Ok(None);
    };
    let Some((header, content)) = Header::split(&value) else {
        return Err(unreadable());
    };
    let at = value.len() - content.len();
    Ok(Some(Found { header, value, at }))
}

#[cold]
pub(super) fn unreadable() -> Stop {
    Stop::Failed(KeyspaceError::Unreadable {
        what: "value of a key",
    })
}
