//! Replies as owned values: for tools and tests, not for a server's hot path.

use std::fmt;

use crate::{encode, number};

/// A reply, RESP2 or RESP3. Prints as RESP-like notation on one line: `["a", :1, _]`.
///
/// Text is bytes, since nothing on the wire promises UTF-8.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `+`
    Simple(Vec<u8>),
    /// `-`: a code, a blank, a text.
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `_`, or `$-1` in RESP2.
    Null,
    /// `*-1`
    NullArray,
    /// `#`
    Boolean(bool),
    /// `,`
    Double(f64),
    /// `(`: decimal digits, with a minus or not.
    BigNumber(Vec<u8>),
    /// `=`: a format and a text.
    Verbatim([u8; 3], Vec<u8>),
    /// `!`
    BulkError(Vec<u8>),
    /// `*`
    Array(Vec<Value>),
    /// `~`, in the order sent.
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `%`, in the order sent.
    Map(Vec<(Value, Value)>),
    /// `|`: attributes, and the value that they belong to.
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

    /// Appends the value in RESP3 (a null array as [`encode::null_array`] has it). Recurses as
    /// deep as the value is nested.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Simple(text) => encode::simple(out, text),
            Value::Error(text) => encode::error(out, text),
            Value::Integer(value) => encode::integer(out, *value),
            Value::Bulk(bytes) => encode::bulk(out, bytes),
            Value::Null => encode::null(out),
            Value::NullArray => encode::null_array(out),
            Value::Boolean(value) => encode::boolean(out, *value),
            Value::Double(value) => encode::double(out, *value),
            Value::BigNumber(digits) => encode::big_number(out, digits),
            Value::Verbatim(format, text) => encode::verbatim(out, *format, text),
            Value::BulkError(text) => encode::bulk_error(out, text),
            Value::Array(values) => encode_all(out, encode::array, values),
            Value::Set(values) => encode_all(out, encode::set, values),
            Value::Push(values) => encode_all(out, encode::push, values),
            Value::Map(pairs) => encode_pairs(out, encode::map, pairs),
            Value::Attributed(pairs, value) => {
                encode_pairs(out, encode::attribute, pairs);
                value.encode(out);
            }
        }
    }

    /// The bytes of a text of whatever type, an error's too.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(bytes)
            | Value::Error(bytes)
            | Value::Bulk(bytes)
            | Value::BigNumber(bytes)
            | Value::Verbatim(_, bytes)
            | Value::BulkError(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// An integer, or a text that is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Integer(value) => Some(*value),
            Value::Error(_) | Value::BulkError(_) => None,
            other => number::parse(other.as_bytes()?),
        }
    }

    /// The values of an array, a set or a push.
    #[must_use]
    pub fn as_values(&self) -> Option<&[Value]> {
        match self {
            Value::Array(values) | Value::Set(values) | Value::Push(values) => Some(values),
            _ => None,
        }
    }

    /// Whether it is an error, short or bulk.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_) | Value::BulkError(_))
    }

    /// Whether it is a null of either form.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::NullArray)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(text) => write!(f, "+{}", text.escape_ascii()),
            Value::Error(text) => write!(f, "-{}", text.escape_ascii()),
            Value::Integer(value) => write!(f, ":{value}"),
            Value::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Value::Null => f.write_str("_"),
            Value::NullArray => f.write_str("*-1"),
            Value::Boolean(value) => f.write_str(if *value { "#t" } else { "#f" }),
            Value::Double(value) => write!(f, ",{value:?}"),
            Value::BigNumber(digits) => write!(f, "({}", digits.escape_ascii()),
            Value::Verbatim(format, text) => {
                write!(f, "={}:{}", format.escape_ascii(), text.escape_ascii())
            }
            Value::BulkError(text) => write!(f, "!\"{}\"", text.escape_ascii()),
            Value::Array(values) => values.fmt(f),
            Value::Set(values) => {
                f.write_str("~")?;
                values.fmt(f)
            }
            Value::Push(values) => {
                f.write_str(">")?;
                values.fmt(f)
            }
            Value::Map(pairs) => fmt_pairs(f, pairs),
            Value::Attributed(pairs, value) => {
                f.write_str("|")?;
                fmt_pairs(f, pairs)?;
                f.write_str(" ")?;
                value.fmt(f)
            }
        }
    }
}

fn fmt_pairs(f: &mut fmt::Formatter<'_>, pairs: &[(Value, Value)]) -> fmt::Result {
    f.debug_map()
        .entries(pairs.iter().map(|(key, value)| (key, value)))
        .finish()
}

fn encode_all(out: &mut Vec<u8>, header: fn(&mut Vec<u8>, usize), values: &[Value]) {
    header(out, values.len());
    values.iter().for_each(|value| value.encode(out));
}

fn encode_pairs(out: &mut Vec<u8>, header: fn(&mut Vec<u8>, usize), pairs: &[(Value, Value)]) {
    header(out, pairs.len());
    for (key, value) in pairs {
        key.encode(out);
        value.encode(out);
    }
}
