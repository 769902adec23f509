//! Why a command is refused, in Redis' words.

use resp::encode;

/// A command's error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The options make no sense.
    Syntax,
    /// An argument, or the value of the key, is not an integer.
    NotInteger,
    /// The result would not fit.
    Overflow,
    /// The negative of the argument would not fit.
    DecrementOverflow,
    /// An expiry that is zero, negative or too far away.
    ExpireTime(&'static str),
    /// The wrong number of arguments.
    Arity(&'static str),
    /// A string would become too long.
    TooLong,
    /// Another text, with its code.
    Text(&'static str),
    /// Another text, with its code.
    Owned(Vec<u8>),
}

impl Refusal {
    /// Appends the reply.
    #[cold]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Refusal::Syntax => encode::error(out, "ERR syntax error"),
            Refusal::NotInteger => {
                encode::error(out, "ERR value is not an integer or out of range");
            }
            Refusal::Overflow => {
                encode::error(out, "ERR increment or decrement would overflow");
            }
            Refusal::DecrementOverflow => encode::error(out, "ERR decrement would overflow"),
            Refusal::ExpireTime(name) => {
                encode::error(out, format!("ERR invalid expire time in '{name}' command"));
            }
            Refusal::Arity(name) => encode::error(
                out,
                format!("ERR wrong number of arguments for '{name}' command"),
            ),
            Refusal::TooLong => encode::error(
                out,
                "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            ),
            Refusal::Text(text) => encode::error(out, text),
            Refusal::Owned(text) => encode::error(out, text),
        }
    }
}
