//! How much a client may ask for before it is turned away.
//!
//! Every limit is checked against what the client *claims*, when it claims it: a request that
//! would become too large is refused at the first header that says so, before its bytes arrive.

/// Redis' bounds for a client that still has to authenticate (CVE-2021-32675).
pub(crate) const UNAUTHENTICATED_ARGS: usize = 10;
pub(crate) const UNAUTHENTICATED_BULK: usize = 16 * 1024;

/// What a request may weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments in one request, the command's name included. 1,048,576 by default. Inline
    /// requests are bounded by `max_inline` instead.
    pub max_args: usize,
    /// Bytes in one argument; Redis calls it `proto-max-bulk-len`. 512 MiB by default.
    pub max_bulk: usize,
    /// Bytes in an inline request or in a header line, the line feed not counted. 64 KiB by
    /// default.
    pub max_inline: usize,
    /// Bytes in one request, headers included (CVE-2025-46686). 1 GiB by default, like Redis'
    /// `client-query-buffer-limit`; never more than 4 GiB - 1.
    pub max_request: usize,
    /// The client has yet to authenticate: whatever the other fields say, it gets 10 arguments of
    /// 16 KiB each, and an error of its own when it asks for more.
    pub unauthenticated: bool,
}

impl Limits {
    /// The limits for a client that still has to authenticate: 10 arguments of 16 KiB each.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Limits {
            unauthenticated: true,
            ..Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_args: 1024 * 1024,
            max_bulk: 512 * 1024 * 1024,
            max_inline: 64 * 1024,
            max_request: 1024 * 1024 * 1024,
            unauthenticated: false,
        }
    }
}
