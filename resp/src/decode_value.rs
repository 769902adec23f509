//! Bytes into [`Value`]s, with a stack of its own instead of the thread's.

use crate::reply::{Item, item};
use crate::{ProtocolError, Value, number};

/// How deep values may be nested, attributes included. It bounds the stack that comparing,
/// printing and dropping a [`Value`] take.
pub const MAX_DEPTH: usize = 32;

/// An aggregate whose values are still being read.
struct Open {
    kind: u8,
    missing: usize,
    values: Vec<Value>,
}

/// Decodes the first reply in `input`, RESP2 or RESP3, and says how many bytes it took; `None` if
/// it is not all there.
///
/// Begins anew each time it is called, so it suits replies that are mostly there. Memory follows
/// the bytes that arrived, never a length that somebody claims.
///
/// # Errors
///
/// [`ProtocolError::MalformedReply`], and [`ProtocolError::TooDeep`] above [`MAX_DEPTH`].
pub fn decode_value(input: &[u8]) -> Result<Option<(Value, usize)>, ProtocolError> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(item) = item(input, at)? {
        let malformed = ProtocolError::MalformedReply(at);
        at = item.next;
        let complete = match item.kind {
            b'*' | b'~' | b'>' | b'%' | b'|' if !item.null => {
                if open.len() == MAX_DEPTH {
                    return Err(ProtocolError::TooDeep);
                }
                // Attributes are collected together with the value that follows them.
                let value = usize::from(item.kind == b'|');
                let aggregate = Open {
                    kind: item.kind,
                    missing: item.children.checked_add(value).ok_or(malformed)?,
                    values: Vec::new(),
                };
                if aggregate.missing > 0 {
                    open.push(aggregate);
                    continue;
                }
                close(aggregate)
            }
            _ => scalar(&item).ok_or(malformed)?,
        };
        if let Some(reply) = hand_up(complete, &mut open) {
            return Ok(Some((reply, at)));
        }
    }
    Ok(None)
}

/// Adds a complete value to the aggregate it belongs to, and that one to its own if it is complete
/// now, and so on. Returns the outermost value once that is complete.
fn hand_up(mut complete: Value, open: &mut Vec<Open>) -> Option<Value> {
    while let Some(mut parent) = open.pop() {
        parent.values.push(complete);
        parent.missing -= 1;
        if parent.missing > 0 {
            open.push(parent);
            return None;
        }
        complete = close(parent);
    }
    Some(complete)
}

fn close(aggregate: Open) -> Value {
    let Open {
        kind, mut values, ..
    } = aggregate;
    match kind {
        b'*' => Value::Array(values),
        b'~' => Value::Set(values),
        b'>' => Value::Push(values),
        b'%' => Value::Map(pairs(values)),
        _ => {
            let value = values.pop();
            let value = value.unwrap_or_else(|| unreachable!("attributes wait for their value"));
            Value::Attributed(pairs(values), Box::new(value))
        }
    }
}

fn pairs(values: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(key), Some(value)) = (values.next(), values.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// `None` if the content is not what the type promises.
fn scalar(item: &Item<'_>) -> Option<Value> {
    let content = item.content;
    Some(match item.kind {
        b'*' => Value::NullArray,
        b'$' if item.null => Value::Null,
        b'$' => Value::Bulk(content.to_vec()),
        b'+' => Value::Simple(content.to_vec()),
        b'-' => Value::Error(content.to_vec()),
        b'!' => Value::BulkError(content.to_vec()),
        b':' => Value::Integer(number::parse(unsigned(content))?),
        b'_' if content.is_empty() => Value::Null,
        b'#' if content == b"t" => Value::Boolean(true),
        b'#' if content == b"f" => Value::Boolean(false),
        b',' => Value::Double(std::str::from_utf8(content).ok()?.parse().ok()?),
        b'(' if is_big_number(content) => Value::BigNumber(content.to_vec()),
        b'=' => {
            let (format, text) = content.split_first_chunk::<3>()?;
            Value::Verbatim(*format, text.strip_prefix(b":")?.to_vec())
        }
        _ => return None,
    })
}

/// The protocol allows a plus before numbers, though Redis never writes one.
fn unsigned(number: &[u8]) -> &[u8] {
    match number {
        [b'+', digits @ ..] if digits.first() != Some(&b'-') => digits,
        other => other,
    }
}

fn is_big_number(content: &[u8]) -> bool {
    let digits = match content {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
