//! What can be wrong with bytes that claim to be RESP, in Redis' words.

use crate::encode;

/// Why bytes are not RESP. The bytes that follow mean nothing any more: answer with
/// [`reply`](ProtocolError::reply) and close the connection.
///
/// The texts are Redis 7.2's where Redis has one, since clients and tests match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An inline request is longer than [`Limits::max_inline`](crate::Limits::max_inline).
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// An inline request has a quote that is not closed, or not followed by a blank.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// An inline request contains a NUL byte. Redis never finds the end of such a line and waits
    /// for ever; an answer is better.
    #[error("Protocol error: NUL byte in inline request")]
    NulInInline,
    /// The number of arguments is no number, or above [`Limits::max_args`](crate::Limits).
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// More than 10 arguments from a client that has not authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// The line with the number of arguments does not end.
    #[error("Protocol error: too big mbulk count string")]
    TooBigMultibulkCount,
    /// An argument does not begin with `$` but with this byte.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// An argument's length is no number, negative, or above
    /// [`Limits::max_bulk`](crate::Limits::max_bulk).
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// An argument above 16 KiB from a client that has not authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// The line with an argument's length does not end.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// The request as a whole is above [`Limits::max_request`](crate::Limits::max_request).
    #[error("Protocol error: too big request")]
    TooBigRequest,
    /// The client speaks TLS, this port does not.
    #[error("Protocol error: this port does not speak TLS")]
    Tls,
    /// `POST` or `Host:`: a browser was tricked into sending a request here. Like Redis, answer
    /// nothing and close.
    #[error("possible cross-protocol attack: an HTTP request, closed without an answer")]
    Http,
    /// A reply begins with a byte that names no type, or its type and content disagree.
    #[error("Protocol error: malformed reply at byte {0}")]
    MalformedReply(usize),
    /// A reply is nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("Protocol error: reply nested deeper than {}", crate::MAX_DEPTH)]
    TooDeep,
}

impl ProtocolError {
    /// Appends the error reply that Redis would send before it closes the connection; nothing
    /// for [`Http`](ProtocolError::Http).
    pub fn reply(&self, out: &mut Vec<u8>) {
        match self {
            ProtocolError::Http => {}
            // The byte goes out as it came, not as a character.
            ProtocolError::ExpectedBulk(got) => {
                let text = b"ERR Protocol error: expected '$', got '";
                encode::error(out, [&text[..], &[*got], b"'"].concat());
            }
            other => encode::error(out, format!("ERR {other}")),
        }
    }
}
