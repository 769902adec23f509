//! Replies for connections of either protocol, from the one form in which they are built.
//!
//! Both directions copy whole runs of items and stop only at those that the connection's
//! protocol does not know, so that a reply which needs no change costs one look at each item and
//! one copy. Neither recurses; a reply may be nested to any depth.
//!
//! What a command answers *differently* in the two protocols (ZRANGE WITHSCORES: pairs in one,
//! a flat list in the other) is the command's business, not this module's.

use crate::reply::{Item, item, skip};
use crate::{encode, number};

/// Appends to `out` the RESP2 form of `reply`, which may be several replies in a row.
///
/// Nulls become `$-1` (a [null array](encode::null_array) stays `*-1`); maps become flat arrays;
/// sets and pushes arrays; doubles, big numbers and verbatim strings bulk strings; booleans
/// integers; bulk errors errors. Attributes are left out. Linear; allocates only by growing
/// `out`.
///
/// Replies are our own, so there is no error to return: from the first byte that is no complete
/// item on, everything is copied as it is.
pub fn downgrade(reply: &[u8], out: &mut Vec<u8>) {
    let is_resp3 = |item: &Item<'_>| !matches!(item.kind, b'$' | b'+' | b':' | b'*' | b'-');
    translate(reply, out, is_resp3, to_resp2);
}

/// Appends to `out` the RESP3 form of `reply`: the same bytes, but for
/// [null arrays](encode::null_array), which become `_`.
///
/// One search and one copy for a reply without any. For a reply that was not built with
/// `null_array` nothing would change: it can go out as it is.
pub fn upgrade(reply: &[u8], out: &mut Vec<u8>) {
    // A search is faster than looking at many items, but slower than looking at one. What it
    // finds is a hint only: the same bytes may stand within a bulk string.
    let many = matches!(reply.first(), Some(b'*' | b'%' | b'~' | b'>' | b'|'));
    if many && memchr::memmem::find(reply, b"*-1\r\n").is_none() {
        out.extend_from_slice(reply);
        return;
    }
    let is_null_array = |item: &Item<'_>| item.null && item.kind == b'*';
    translate(reply, out, is_null_array, |_, out| encode::null(out));
}

/// Copies `reply`, but for attributes when they are `foreign`, which are dropped, and other
/// `foreign` items, which `rewrite` writes in its own way.
#[inline]
fn translate(
    reply: &[u8],
    out: &mut Vec<u8>,
    foreign: impl Fn(&Item<'_>) -> bool,
    rewrite: impl Fn(&Item<'_>, &mut Vec<u8>),
) {
    // What lies between `copied` and `at` is to be copied as it is.
    let (mut copied, mut at) = (0, 0);
    while let Ok(Some(item)) = item(reply, at) {
        if !foreign(&item) {
            at = item.next;
            continue;
        }
        let next = match item.kind {
            b'|' => skip(reply, item.next, item.children).ok().flatten(),
            _ => Some(item.next),
        };
        let Some(next) = next else { break };
        out.extend_from_slice(reply.get(copied..at).unwrap_or_default());
        if item.kind != b'|' {
            rewrite(&item, out);
        }
        (copied, at) = (next, next);
    }
    out.extend_from_slice(reply.get(copied..).unwrap_or_default());
}

fn to_resp2(item: &Item<'_>, out: &mut Vec<u8>) {
    match item.kind {
        b'_' => out.extend_from_slice(b"$-1\r\n"),
        b'#' => encode::integer(out, i64::from(item.content == b"t")),
        b'!' => encode::error(out, item.content),
        // A format of three letters and a colon come first.
        b'=' => encode::bulk(out, item.content.get(4..).unwrap_or_default()),
        b',' | b'(' => encode::bulk(out, item.content),
        // Maps, sets, pushes.
        _ => number::write_line(out, b'*', false, item.children as u64),
    }
}
