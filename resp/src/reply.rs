//! The structure of replies: one item at a time, without building anything.
//!
//! An item is a scalar with its content, or an aggregate's header. Downgrading, measuring and
//! decoding replies all walk items, so none of them recurses.

use crate::{ProtocolError, number};

/// An item of a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// The byte that names its type.
    pub(crate) kind: u8,
    /// A scalar's content; for an aggregate, the digits of its size.
    pub(crate) content: &'a [u8],
    /// How many values belong to it and follow: two for each pair of a map. 0 for scalars.
    pub(crate) children: usize,
    /// `$-1` or `*-1`.
    pub(crate) null: bool,
    /// Where the next item begins.
    pub(crate) next: usize,
}

/// The item at `at`, if all its bytes are there.
#[inline]
pub(crate) fn item(bytes: &[u8], at: usize) -> Result<Option<Item<'_>>, ProtocolError> {
    let malformed = ProtocolError::MalformedReply(at);
    let Some(rest) = bytes.get(at..) else {
        return Ok(None);
    };
    let Some(kind) = rest.first().copied() else {
        return Ok(None);
    };
    if !b"+-:_#,($=!*%~>|".contains(&kind) {
        return Err(malformed);
    }
    let Some(cr) = memchr::memchr(b'\r', rest) else {
        return Ok(None);
    };
    let content = rest.get(1..cr).unwrap_or_default();
    match rest.get(cr + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(malformed),
    }
    let mut item = Item {
        kind,
        content,
        children: 0,
        null: false,
        next: at + cr + 2,
    };
    if b"+-:_#,(".contains(&kind) {
        return Ok(Some(item));
    }
    let len = number::parse(content).ok_or(malformed)?;
    if len == -1 && matches!(kind, b'$' | b'*') {
        item.null = true;
        return Ok(Some(item));
    }
    let len = usize::try_from(len).map_err(|_| malformed)?;
    match kind {
        b'$' | b'=' | b'!' => {
            let start = cr + 2;
            let end = start.checked_add(len).ok_or(malformed)?;
            let Some(content) = rest.get(start..end) else {
                return Ok(None);
            };
            match rest.get(end..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {}
                [] | [b'\r'] => return Ok(None),
                _ => return Err(malformed),
            }
            item.content = content;
            item.next = at + end + 2;
        }
        b'%' | b'|' => item.children = len.checked_mul(2).ok_or(malformed)?,
        _ => item.children = len,
    }
    Ok(Some(item))
}

/// How long the first reply in `bytes` is, attributes included; `None` if it is not all there.
/// Checks the structure, not what stands in numbers and the like. Linear in the reply, each time
/// it is called.
///
/// # Errors
///
/// [`ProtocolError::MalformedReply`].
pub fn reply_len(bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let mut at = 0;
    let mut missing: usize = 1;
    while missing > 0 {
        let Some(item) = item(bytes, at)? else {
            return Ok(None);
        };
        // Attributes come before a value and are none themselves.
        if item.kind != b'|' {
            missing -= 1;
        }
        missing = missing
            .checked_add(item.children)
            .ok_or(ProtocolError::MalformedReply(at))?;
        at = item.next;
    }
    Ok(Some(at))
}
