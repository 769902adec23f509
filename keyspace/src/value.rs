//! How a value stands in the engine.
//!
//! ```text
//! type u8 · flags u8 · [expiry u64 (ms since 1970), if flagged] · content      big-endian
//! ```
//!
//! The flags leave room for the version that collections will carry, so that a later SET over a
//! collection need not read it.

use replication::Millis;

/// Which data type a key holds. The numbers stand in rows on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    String,
}

impl Type {
    /// What TYPE says.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::String => "string",
        }
    }
}

const TYPE_STRING: u8 = 0;
const FLAG_EXPIRES: u8 = 1;

/// What stands before a value's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Type,
    /// When the key ceases to be, by group time.
    pub(crate) expires: Option<Millis>,
}

impl Header {
    pub(crate) fn string(expires: Option<Millis>) -> Self {
        Header {
            kind: Type::String,
            expires,
        }
    }

    /// Writes a whole value over what stood in `out`.
    pub(crate) fn write(self, out: &mut Vec<u8>, content: &[u8]) {
        out.clear();
        let Type::String = self.kind;
        match self.expires {
            None => out.extend_from_slice(&[TYPE_STRING, 0]),
            Some(at) => {
                out.extend_from_slice(&[TYPE_STRING, FLAG_EXPIRES]);
                out.extend_from_slice(&at.0.to_be_bytes());
            }
        }
        out.extend_from_slice(content);
    }

    /// Splits a value into header and content; `None` if it is not a value of ours.
    #[inline]
    pub(crate) fn split(value: &[u8]) -> Option<(Header, &[u8])> {
        let ([kind, flags], rest) = value.split_first_chunk::<2>()?;
        if *kind != TYPE_STRING {
            return None;
        }
        match *flags {
            0 => Some((Header::string(None), rest)),
            FLAG_EXPIRES => {
                let (at, content) = rest.split_first_chunk::<8>()?;
                let at = Millis(u64::from_be_bytes(*at));
                Some((Header::string(Some(at)), content))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = vec![9; 40];
        for expires in [None, Some(Millis(0)), Some(Millis(u64::MAX))] {
            let header = Header::string(expires);
            header.write(&mut out, b"content");
            assert_eq!(Header::split(&out), Some((header, &b"content"[..])));
        }
    }

    #[test]
    fn what_nobody_wrote_is_not_read() {
        for value in [&b""[..], b"\0", b"\0\x01\0\0", b"\x07\0x", b"\0\x80x"] {
            assert_eq!(Header::split(value), None, "{value:?}");
        }
    }
}
