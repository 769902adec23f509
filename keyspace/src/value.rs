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

/// How a string came about, as far as OBJECT ENCODING tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// It was given as a whole.
    #[default]
    Whole,
    /// It was changed in place: `raw`, whatever it holds.
    Edited,
    /// It was worked out as a fraction: a text, though it may look like an integer.
    Computed,
}

const TYPE_STRING: u8 = 0;
const FLAG_EXPIRES: u8 = 1;
const FLAG_EDITED: u8 = 2;
const FLAG_COMPUTED: u8 = 4;

/// What stands before a value's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Type,
    /// When the key ceases to be, by group time.
    pub(crate) expires: Option<Millis>,
    pub(crate) form: Form,
}

impl Header {
    pub(crate) fn string(expires: Option<Millis>) -> Self {
        Header {
            kind: Type::String,
            expires,
            form: Form::Whole,
        }
    }

    /// Writes a whole value over what stood in `out`.
    pub(crate) fn write(self, out: &mut Vec<u8>, content: &[u8]) {
        out.clear();
        let Type::String = self.kind;
        let form = match self.form {
            Form::Whole => 0,
            Form::Edited => FLAG_EDITED,
            Form::Computed => FLAG_COMPUTED,
        };
        match self.expires {
            None => out.extend_from_slice(&[TYPE_STRING, form]),
            Some(at) => {
                out.extend_from_slice(&[TYPE_STRING, form | FLAG_EXPIRES]);
                out.extend_from_slice(&at.0.to_be_bytes());
            }
        }
        out.extend_from_slice(content);
    }

    /// How many bytes it takes in front of the content.
    pub(crate) fn bytes(self) -> usize {
        if self.expires.is_some() { 10 } else { 2 }
    }

    /// Splits a value into header and content; `None` if it is not a value of ours.
    #[inline]
    pub(crate) fn split(value: &[u8]) -> Option<(Header, &[u8])> {
        let ([kind, flags], rest) = value.split_first_chunk::<2>()?;
        if *kind != TYPE_STRING {
            return None;
        }
        if *flags == 0 {
            return Some((Header::string(None), rest));
        }
        let form = match flags & !FLAG_EXPIRES {
            0 => Form::Whole,
            FLAG_EDITED => Form::Edited,
            FLAG_COMPUTED => Form::Computed,
            _ => return None,
        };
        let (expires, content) = match flags & FLAG_EXPIRES {
            0 => (None, rest),
            _ => {
                let (at, content) = rest.split_first_chunk::<8>()?;
                (Some(Millis(u64::from_be_bytes(*at))), content)
            }
        };
        let header = Header {
            form,
            ..Header::string(expires)
        };
        Some((header, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = vec![9; 40];
        for expires in [None, Some(Millis(0)), Some(Millis(u64::MAX))] {
            for form in [Form::Whole, Form::Edited, Form::Computed] {
                let header = Header {
                    form,
                    ..Header::string(expires)
                };
                header.write(&mut out, b"content");
                assert_eq!(Header::split(&out), Some((header, &b"content"[..])));
            }
        }
    }

    #[test]
    fn what_nobody_wrote_is_not_read() {
        for value in [
            &b""[..],
            b"\0",
            b"\0\x01\0\0",
            b"\x07\0x",
            b"\0\x80x",
            b"\0\x06x",
        ] {
            assert_eq!(Header::split(value), None, "{value:?}");
        }
    }
}
