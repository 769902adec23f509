//! Replies for connections of either protocol, from the one form they are built in.

use crate::encode;
use crate::reply::{Item, item};

/// What becomes of an item.
enum Fate {
    Keep,
    Rewrite,
}

/// Appends to `out` the RESP2 form of `reply`, which may be several replies in a row.
///
/// Nulls become `$-1` (a null array stays `*-1`), maps flat arrays, sets and pushes arrays,
/// doubles, big numbers and verbatim strings bulk strings, booleans integers, bulk errors
/// errors; attributes are left out. Runs of items that RESP2 knows are copied in one piece. Does
/// not recurse, linear, allocates only by growing `out`.
///
/// Replies are our own; bytes that are no reply are copied as they are.
pub fn downgrade(reply: &[u8], out: &mut Vec<u8>) {
    translate(reply, out, |item, out| match item.kind {
        b'_' => rewrite(out, b"$-1\r\n"),
        b'%' | b'~' | b'>' => {
            encode::array(out, item.children);
            Fate::Rewrite
        }
        b'#' => rewrite(
            out,
            if item.content == b"t" {
                b":1\r\n"
            } else {
                b":0\r\n"
            },
        ),
        b',' | b'(' => {
            encode::bulk(out, item.content);
            Fate::Rewrite
        }
        b'=' => {
            encode::bulk(out, item.content.get(4..).unwrap_or_default());
            Fate::Rewrite
        }
        b'!' => {
            encode::error(out, item.content);
            Fate::Rewrite
        }
        _ => Fate::Keep,
    });
}

/// Appends to `out` the RESP3 form of `reply`: the same, but for null arrays, which become `_`.
pub fn upgrade(reply: &[u8], out: &mut Vec<u8>) {
    if memchr::memmem::find(reply, b"*-1\r\n").is_none() {
        out.extend_from_slice(reply);
        return;
    }
    out.extend_from_slice(reply);
}

fn rewrite(out: &mut Vec<u8>, bytes: &[u8]) -> Fate {
    out.extend_from_slice(bytes);
    Fate::Rewrite
}

fn translate(reply: &[u8], out: &mut Vec<u8>, fate: impl Fn(&Item<'_>, &mut Vec<u8>) -> Fate) {
    let mut kept = 0;
    let mut at = 0;
    let mut skipping: usize = 0;
    while let Ok(Some(item)) = item(reply, at) {
        let skip = skipping > 0 || item.kind == b'|';
        let rewritten = at..item.next;
        if skip {
            out.extend_from_slice(reply.get(kept..at).unwrap_or_default());
            kept = item.next;
            skipping = skipping.saturating_add(item.children);
            if item.kind != b'|' {
                skipping -= 1;
            }
        } else {
            let mark = out.len();
            out.extend_from_slice(reply.get(kept..at).unwrap_or_default());
            match fate(&item, out) {
                Fate::Keep => out.truncate(mark),
                Fate::Rewrite => kept = rewritten.end,
            }
        }
        at = item.next;
    }
    out.extend_from_slice(reply.get(kept..).unwrap_or_default());
}
