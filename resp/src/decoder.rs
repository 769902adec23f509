//! Requests out of a stream of bytes, as a server reads them.
//!
//! The decoder owns no buffer. It is shown the same bytes again with more behind them, and
//! remembers how far it got: each byte of a request is looked at once, however many pieces it
//! arrives in. What it keeps between requests is the list of argument positions and the scratch
//! space for unquoted inline words, so that decoding allocates nothing once both have grown.
//!
//! Behaviour is that of Redis 7.2 (`processMultibulkBuffer`, `processInlineBuffer`), with its
//! laxness: the byte after a header's CR and the two bytes after an argument are skipped, not
//! checked. It differs where Redis' answer depends on how the bytes were cut into packets, since
//! here it never does: a line above `max_inline` is refused even when it arrives whole.

use crate::limits::{UNAUTHENTICATED_ARGS, UNAUTHENTICATED_BULK};
use crate::request::Span;
use crate::{Limits, ProtocolError, Request, inline, is_http, number};

/// Argument positions and scratch bytes kept between requests. More than that is given back, so
/// that one huge request does not cost memory for the rest of a connection's life.
const KEPT_SPANS: usize = 4 * 1024;
const KEPT_SCRATCH: usize = 64 * 1024;

/// Room that [`RequestDecoder::wanted`] asks for without having seen as much data.
const WANTED_MIN: usize = 16 * 1024;

/// Decodes requests incrementally. One per connection; some 150 bytes, and no heap until the first
/// request.
#[derive(Debug, Default)]
pub struct RequestDecoder {
    limits: Limits,
    /// The arguments found so far.
    spans: Vec<Span>,
    /// Inline words without their quotes.
    scratch: Vec<u8>,
    /// Input up to here is parsed. 0 until the request's first line is.
    at: usize,
    /// The line that begins at `at` does not end before here.
    scanned: usize,
    /// Arguments still to come.
    missing: usize,
    /// The length of the argument that begins at `at`, once its header is parsed.
    bulk: Option<usize>,
    /// The length of the input when it was last incomplete.
    received: usize,
}

impl RequestDecoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let mut decoder = RequestDecoder::default();
        decoder.set_limits(limits);
        decoder
    }

    /// Replaces the limits for whatever headers are still to come; after AUTH, for example.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        // A span holds 32-bit positions.
        self.limits.max_request = limits.max_request.min(u32::MAX as usize);
        self.limits.max_inline = limits.max_inline.min(self.limits.max_request);
    }

    /// Decodes the first request in `input`. `Ok(None)` means that it is incomplete: call again
    /// with the same bytes and more behind them. After a request, drop
    /// [`consumed`](Request::consumed) bytes and call again.
    ///
    /// About 13 to 17 ns for a GET or a SET, whatever the length of a multibulk argument; the README
    /// has the figures and their conditions.
    ///
    /// # Errors
    ///
    /// A [`ProtocolError`] as Redis would raise it. The connection is beyond repair: send
    /// [`ProtocolError::reply`] and close it.
    ///
    /// # Panics
    ///
    /// If bytes of an incomplete request have been taken away.
    pub fn decode<'a>(&'a mut self, input: &'a [u8]) -> Result<Option<Request<'a>>, ProtocolError> {
        assert!(
            input.len() >= self.received,
            "an incomplete request's input only grows"
        );
        if self.at == 0 {
            self.forget_arguments();
        }
        let multibulk = input.first() == Some(&b'*');
        let consumed = if multibulk {
            self.multibulk(input)
        } else {
            self.inline(input)
        };
        if let Ok(None) = consumed {
            self.received = input.len();
            return Ok(None);
        }
        self.start_over();
        let Some(consumed) = consumed? else {
            return Ok(None);
        };
        let request = Request {
            bytes: if multibulk { input } else { &self.scratch },
            spans: &self.spans,
            consumed,
        };
        match request.arg(0) {
            Some(name) if is_http(name) => Err(ProtocolError::Http),
            _ => Ok(Some(request)),
        }
    }

    /// How many more bytes the caller should have room for: what is missing of the argument that
    /// is being received, but no more than has arrived already (or 16 KiB), so that a client's
    /// claim costs no memory until the client has sent half of it. 0 when nothing is known.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let Some(bulk) = self.bulk else {
            return 0;
        };
        (self.at + bulk + 2)
            .saturating_sub(self.received)
            .min(self.received.max(WANTED_MIN))
    }

    /// Begins a request's list of arguments.
    fn forget_arguments(&mut self) {
        if self.spans.capacity() > KEPT_SPANS {
            self.spans = Vec::new();
        }
        if self.scratch.capacity() > KEPT_SCRATCH {
            self.scratch = Vec::new();
        }
        self.spans.clear();
        self.scratch.clear();
    }

    /// Expects a new request; the last one's arguments stay readable.
    fn start_over(&mut self) {
        self.at = 0;
        self.scanned = 0;
        self.missing = 0;
        self.bulk = None;
        self.received = 0;
    }

    /// Where the request ends, if it is complete. Its arguments are then in `spans`.
    fn multibulk(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if self.at == 0 {
            let Some((count, next)) = self.count(input)? else {
                return Ok(None);
            };
            self.at = next;
            self.missing = count;
        }
        while self.missing > 0 {
            let bulk = match self.bulk {
                Some(bulk) => bulk,
                None => {
                    let Some((bulk, next)) = self.bulk_length(input)? else {
                        return Ok(None);
                    };
                    self.at = next;
                    bulk
                }
            };
            let end = self.at + bulk;
            if input.len() < end + 2 {
                self.bulk = Some(bulk);
                return Ok(None);
            }
            self.spans.push(Span {
                start: self.at as u32,
                end: end as u32,
            });
            self.bulk = None;
            self.at = end + 2;
            self.missing -= 1;
        }
        Ok(Some(self.at))
    }

    /// The number of arguments, and where the first begins.
    fn count(&mut self, input: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let (count, next) = match number::parse_short(input, 1) {
            Some(found) => found,
            None => {
                let Some((line, next)) = self.line(input, ProtocolError::TooBigMultibulkCount)?
                else {
                    return Ok(None);
                };
                let count = line.get(1..).and_then(number::parse);
                let count = count.ok_or(ProtocolError::InvalidMultibulkLength)?;
                // Too large for usize is too large for any limit; negative is none at all.
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                (count, next)
            }
        };
        if count > self.limits.max_args {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if self.limits.unauthenticated && count > UNAUTHENTICATED_ARGS {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(Some((count, next)))
    }

    /// The length of the argument whose header is at `self.at`, and where the argument begins.
    fn bulk_length(&mut self, input: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let short = match input.get(self.at) {
            Some(b'$') => number::parse_short(input, self.at + 1),
            _ => None,
        };
        let (bulk, next) = match short {
            Some(found) => found,
            None => {
                let Some((line, next)) = self.line(input, ProtocolError::TooBigBulkCount)? else {
                    return Ok(None);
                };
                match line.split_first() {
                    Some((b'$', digits)) => {
                        let bulk = number::parse(digits).and_then(|n| usize::try_from(n).ok());
                        (bulk.ok_or(ProtocolError::InvalidBulkLength)?, next)
                    }
                    // An empty line: the byte in place of the `$` is its CR.
                    other => {
                        let got = other.map_or(b'\r', |(byte, _)| *byte);
                        return Err(ProtocolError::ExpectedBulk(got));
                    }
                }
            }
        };
        if bulk > self.limits.max_bulk {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if self.limits.unauthenticated && bulk > UNAUTHENTICATED_BULK {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        if bulk.saturating_add(next).saturating_add(2) > self.limits.max_request {
            return Err(ProtocolError::TooBigRequest);
        }
        Ok(Some((bulk, next)))
    }

    /// The header line at `self.at` without its end, and where the next begins. Needs the CR and
    /// one byte behind it.
    fn line<'i>(
        &mut self,
        input: &'i [u8],
        too_long: ProtocolError,
    ) -> Result<Option<(&'i [u8], usize)>, ProtocolError> {
        let from = self.at.max(self.scanned);
        let found = memchr::memchr(b'\r', &input[from..]).map(|found| from + found);
        let end = found.unwrap_or(input.len());
        // What `parse_short` takes is never too long, or the outcome would depend on packets.
        if end - self.at > self.limits.max_inline.max(number::SHORT_MAX + 1) {
            return Err(too_long);
        }
        self.scanned = end;
        if found.is_none() || end + 1 >= input.len() {
            return Ok(None);
        }
        Ok(Some((&input[self.at..end], end + 2)))
    }

    /// Where the request ends, if it is complete. Its words are then in `scratch` and `spans`.
    fn inline(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        // A TLS record: handshake, version 3.x. No inline request begins so.
        if let [0x16, 0x03, ..] = input {
            return Err(ProtocolError::Tls);
        }
        let from = self.scanned;
        let found = memchr::memchr2(b'\n', 0, &input[from..]).map(|found| from + found);
        let end = found.unwrap_or(input.len());
        if end > self.limits.max_inline {
            return Err(ProtocolError::TooBigInline);
        }
        self.scanned = end;
        if found.is_none() {
            return Ok(None);
        }
        if input[end] == 0 {
            return Err(ProtocolError::NulInInline);
        }
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, &mut self.scratch, &mut self.spans)?;
        Ok(Some(end + 1))
    }
}
