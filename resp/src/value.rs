//! Replies as owned values: for tools and tests, not for a server's hot path.

use crate::reply::{Item, item};
use crate::{ProtocolError, encode, number};

/// How deep values may be nested. Bounds the stack that comparing and dropping a [`Value`] take.
pub const MAX_DEPTH: usize = 32;

/// A reply, RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`
    Simple(Vec<u8>),
    /// `-`: code, blank, text.
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `_`, `$-1`
    Null,
    /// `*-1`
    NullArray,
    /// `#`
    Boolean(bool),
    /// `,`
    Double(f64),
    /// `(`, in decimal digits.
    BigNumber(Vec<u8>),
    /// `=`
    Verbatim([u8; 3], Vec<u8>),
    /// `!`
    BulkError(Vec<u8>),
    /// `*`
    Array(Vec<Value>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `%`, in the order sent.
    Map(Vec<(Value, Value)>),
    /// `|`, and the value they belong to.
    Attributed(Vec<(Value, Value)>, Box<Value>),
}

impl Value {
    /// A request, as a client sends it.
    #[must_use]
    pub fn encode_request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
        let mut out = Vec::new();
        encode::request(&mut out, args);
        out
    }
}

/// An aggregate whose values are still being read.
struct Open {
    kind: u8,
    missing: usize,
    values: Vec<Value>,
}

/// Decodes the first reply in `input`, and says how many bytes it took; `None` if it is not all
/// there.
///
/// # Errors
///
/// [`ProtocolError::MalformedReply`], and [`ProtocolError::TooDeep`] above [`MAX_DEPTH`].
pub fn decode_value(input: &[u8]) -> Result<Option<(Value, usize)>, ProtocolError> {
    let mut at = 0;
    let mut open: Vec<Open> = Vec::new();
    loop {
        let start = at;
        let Some(item) = item(input, at)? else {
            return Ok(None);
        };
        at = item.next;
        let malformed = ProtocolError::MalformedReply(start);
        let missing = match item.kind {
            b'|' => item.children.checked_add(1).ok_or(malformed)?,
            _ => item.children,
        };
        let mut done = if !item.null && b"*%~>|".contains(&item.kind) {
            if open.len() == MAX_DEPTH {
                return Err(ProtocolError::TooDeep);
            }
            let aggregate = Open {
                kind: item.kind,
                missing,
                values: Vec::new(),
            };
            if missing > 0 {
                open.push(aggregate);
                continue;
            }
            close(aggregate)
        } else {
            scalar(&item).ok_or(malformed)?
        };
        loop {
            let Some(mut parent) = open.pop() else {
                return Ok(Some((done, at)));
            };
            parent.values.push(done);
            parent.missing -= 1;
            if parent.missing > 0 {
                open.push(parent);
                break;
            }
            done = close(parent);
        }
    }
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
            let value = values.pop().unwrap_or(Value::Null);
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

fn scalar(item: &Item<'_>) -> Option<Value> {
    let content = item.content;
    Some(match item.kind {
        b'*' => Value::NullArray,
        b'$' if item.null => Value::Null,
        b'$' => Value::Bulk(content.to_vec()),
        b'+' => Value::Simple(content.to_vec()),
        b'-' => Value::Error(content.to_vec()),
        b'!' => Value::BulkError(content.to_vec()),
        b':' => Value::Integer(number::parse(
            content.strip_prefix(b"+").unwrap_or(content),
        )?),
        b'_' if content.is_empty() => Value::Null,
        b'#' if content == b"t" => Value::Boolean(true),
        b'#' if content == b"f" => Value::Boolean(false),
        b',' => Value::Double(std::str::from_utf8(content).ok()?.parse().ok()?),
        b'(' => Value::BigNumber(content.to_vec()),
        b'=' => {
            let (format, text) = content.split_first_chunk::<3>()?;
            Value::Verbatim(*format, text.strip_prefix(b":")?.to_vec())
        }
        _ => return None,
    })
}
