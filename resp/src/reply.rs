//! The structure of replies: one item at a time, without building anything.
//!
//! An item is a scalar with its content, or an aggregate's header. Translating, measuring and
//! decoding replies all walk items, so none of them recurses.
//!
//! Requests are read as leniently as Redis reads them; replies are read strictly, since a reply
//! that is slightly wrong is a bug that its reader wants to hear of. Streamed strings and
//! aggregates (`$?`, `*?`), which Redis does not send, are malformed here.

use crate::{ProtocolError, number};

/// An item of a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// The byte that names its type.
    pub(crate) kind: u8,
    /// A scalar's content; empty for an aggregate.
    pub(crate) content: &'a [u8],
    /// How many values belong to it and follow: two for each pair of a map. 0 for scalars.
    pub(crate) children: usize,
    /// `$-1` or `*-1`.
    pub(crate) null: bool,
    /// Where the next item begins.
    pub(crate) next: usize,
}

/// The item at `at`; `None` if it is not all there.
#[inline]
pub(crate) fn item(bytes: &[u8], at: usize) -> Result<Option<Item<'_>>, ProtocolError> {
    let Some(kind) = bytes.get(at).copied() else {
        return Ok(None);
    };
    match kind {
        b'$' | b'=' | b'!' => blob(bytes, at, kind),
        b'*' | b'~' | b'>' => aggregate(bytes, at, kind, 1),
        b'%' | b'|' => aggregate(bytes, at, kind, 2),
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {
            Ok(line(bytes, at)?.map(|(content, next)| Item {
                kind,
                content,
                children: 0,
                null: false,
                next,
            }))
        }
        _ => Err(ProtocolError::MalformedReply(at)),
    }
}

fn blob(bytes: &[u8], at: usize, kind: u8) -> Result<Option<Item<'_>>, ProtocolError> {
    let malformed = ProtocolError::MalformedReply(at);
    let Some((len, start)) = length(bytes, at)? else {
        return Ok(None);
    };
    let Some(len) = len else {
        // Only bulk strings have a null form.
        return if kind == b'$' {
            Ok(Some(null(kind, start)))
        } else {
            Err(malformed)
        };
    };
    let end = start.checked_add(len).ok_or(malformed)?;
    let Some(content) = bytes.get(start..end) else {
        return Ok(None);
    };
    match bytes.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(Some(Item {
            kind,
            content,
            children: 0,
            null: false,
            next: end + 2,
        })),
        [] | [b'\r'] => Ok(None),
        _ => Err(malformed),
    }
}

fn aggregate(
    bytes: &[u8],
    at: usize,
    kind: u8,
    values_each: usize,
) -> Result<Option<Item<'_>>, ProtocolError> {
    let malformed = ProtocolError::MalformedReply(at);
    let Some((len, next)) = length(bytes, at)? else {
        return Ok(None);
    };
    match len {
        Some(len) => Ok(Some(Item {
            kind,
            content: b"",
            // A count that no header could name, flattened, is none.
            children: len
                .checked_mul(values_each)
                .filter(|values| isize::try_from(*values).is_ok())
                .ok_or(malformed)?,
            null: false,
            next,
        })),
        None if kind == b'*' => Ok(Some(null(kind, next))),
        None => Err(malformed),
    }
}

fn null(kind: u8, next: usize) -> Item<'static> {
    Item {
        kind,
        content: b"",
        children: 0,
        null: true,
        next,
    }
}

/// The number in the header at `at`, `None` for -1, and where the next line begins.
#[inline]
fn length(bytes: &[u8], at: usize) -> Result<Option<(Option<usize>, usize)>, ProtocolError> {
    if let Some((len, next)) = number::parse_short(bytes, at + 1)
        && bytes.get(next - 1) == Some(&b'\n')
    {
        return Ok(Some((Some(len), next)));
    }
    let Some((digits, next)) = line(bytes, at)? else {
        return Ok(None);
    };
    let malformed = ProtocolError::MalformedReply(at);
    match number::parse(digits).ok_or(malformed)? {
        -1 => Ok(Some((None, next))),
        len => {
            let len = usize::try_from(len).map_err(|_| malformed)?;
            Ok(Some((Some(len), next)))
        }
    }
}

/// The rest of the line whose first byte is at `at`, and where the next begins.
#[inline]
fn line(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let rest = bytes.get(at + 1..).unwrap_or_default();
    let Some(cr) = memchr::memchr(b'\r', rest) else {
        return Ok(None);
    };
    match rest.get(cr + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(rest.get(..cr).map(|line| (line, at + 1 + cr + 2))),
        Some(_) => Err(ProtocolError::MalformedReply(at)),
    }
}

/// How long the first reply in `bytes` is, attributes included; `None` if it is not all there.
///
/// Checks the structure, not what stands in numbers and the like. Linear in the reply each time it
/// is called, nesting to any depth.
///
/// # Errors
///
/// [`ProtocolError::MalformedReply`].
pub fn reply_len(bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
    skip(bytes, 0, 1)
}

/// Where the `missing` values that begin at `at` end.
pub(crate) fn skip(
    bytes: &[u8],
    mut at: usize,
    mut missing: usize,
) -> Result<Option<usize>, ProtocolError> {
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
