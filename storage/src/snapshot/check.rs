//! Whether bytes are a snapshot, told while they arrive, in pieces of any size.
//!
//! Nothing is buffered but headers: checksums are carried on. Whoever stops in between goes on from
//! [`Check::good`], the end of the last section that is known to be right. What stands within the
//! payloads is the reader's business; a payload that passes here is the one that was written.

use super::format::{
    FOOTER_BYTES, Footer, HEAD_BYTES, HEADER_BYTES, Header, MEMBERSHIP_MAX, VERSION, chunk_crc,
    decode_head, fold,
};

/// How far a file has been checked.
#[derive(Debug)]
pub(super) struct Check {
    /// Where the next byte stands.
    offset: u64,
    good: u64,
    state: State,
    header: Option<Header>,
    header_crc: u32,
    chunks: u64,
    bytes: u64,
    digest: u64,
    footer: Option<Footer>,
}

/// What is being read.
#[derive(Debug)]
enum State {
    /// Header, its membership included, once that is known to be so long.
    Header {
        buffer: Vec<u8>,
        length: usize,
    },
    Head {
        buffer: Vec<u8>,
    },
    Payload {
        length: u32,
        left: u32,
        crc: u32,
        expected: u32,
    },
    Footer {
        buffer: Vec<u8>,
        expected: u32,
    },
    End,
}

/// Where and why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    pub(super) offset: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Damage(&'static str),
    Version(u32),
}

impl Check {
    pub(super) fn new() -> Self {
        Check {
            offset: 0,
            good: 0,
            state: State::Header {
                buffer: Vec::new(),
                length: HEADER_BYTES,
            },
            header: None,
            header_crc: 0,
            chunks: 0,
            bytes: 0,
            digest: 0,
            footer: None,
        }
    }

    /// How many bytes have been fed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The end of the last section that is right.
    pub(super) fn good(&self) -> u64 {
        self.good
    }

    pub(super) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// There once everything has been fed and is right.
    pub(super) fn footer(&self) -> Option<Footer> {
        self.footer
    }

    /// Goes back to [`good`](Self::good), after a defect or in the middle of a section.
    pub(super) fn rewind(&mut self) {
        match self.state {
            State::Header { .. } => *self = Check::new(),
            State::End => {}
            // Nothing of a section counts before it is complete.
            State::Head { .. } | State::Payload { .. } | State::Footer { .. } => {
                self.state = State::Head { buffer: Vec::new() };
                self.offset = self.good;
            }
        }
    }

    /// Takes the bytes that follow those it has had. After a defect it must be
    /// [rewound](Self::rewind) before it is fed again.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Defect> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Header { buffer, length } => gather(buffer, *length, bytes),
                State::Head { buffer } => gather(buffer, HEAD_BYTES, bytes),
                State::Footer { buffer, .. } => gather(buffer, FOOTER_BYTES, bytes),
                State::Payload { left, crc, .. } => {
                    let taken = bytes.len().min(*left as usize);
                    *crc = crc32c::crc32c_append(*crc, bytes.get(..taken).unwrap_or_default());
                    *left -= taken as u32;
                    taken
                }
                State::End => return Err(self.damage("bytes behind the end")),
            };
            self.offset += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
            self.turn()?;
        }
        Ok(())
    }

    fn damage(&self, what: &'static str) -> Defect {
        Defect {
            offset: self.good,
            what: What::Damage(what),
        }
    }

    /// Goes on to the next section if this one is complete.
    fn turn(&mut self) -> Result<(), Defect> {
        let next = match &self.state {
            State::Header { buffer, length } if buffer.len() == *length => {
                match self.header_complete(buffer)? {
                    Ok((header, crc)) => {
                        self.digest = fold(self.digest, crc, header.membership.len() as u32);
                        self.header_crc = crc;
                        self.header = Some(header);
                        self.good = self.offset;
                        State::Head { buffer: Vec::new() }
                    }
                    Err(length) => State::Header {
                        buffer: buffer.clone(),
                        length,
                    },
                }
            }
            State::Head { buffer } if buffer.len() == HEAD_BYTES => {
                let (length, expected) = decode_head(buffer).unwrap_or_default();
                let crc = chunk_crc(self.header_crc, self.chunks, length);
                match length {
                    0 => State::Footer {
                        buffer: Vec::new(),
                        expected,
                    },
                    left => State::Payload {
                        length,
                        left,
                        crc,
                        expected,
                    },
                }
            }
            State::Payload {
                length,
                left: 0,
                crc,
                expected,
            } => {
                if crc != expected {
                    return Err(self.damage("a chunk whose checksum is wrong"));
                }
                self.digest = fold(self.digest, *crc, *length);
                self.chunks += 1;
                self.bytes += u64::from(*length);
                self.good = self.offset;
                State::Head { buffer: Vec::new() }
            }
            State::Footer { buffer, expected } if buffer.len() == FOOTER_BYTES => {
                let footer = self.footer_complete(buffer, *expected)?;
                self.footer = Some(footer);
                self.good = self.offset;
                State::End
            }
            _ => return Ok(()),
        };
        self.state = next;
        Ok(())
    }

    /// The header, or how long it is.
    fn header_complete(&self, buffer: &[u8]) -> Result<Result<(Header, u32), usize>, Defect> {
        let Some((version, membership)) = Header::begin(buffer) else {
            return Err(self.damage("no snapshot begins like this"));
        };
        if version != VERSION {
            return Err(Defect {
                offset: 0,
                what: What::Version(version),
            });
        }
        if membership > MEMBERSHIP_MAX {
            return Err(self.damage("a header that cannot be"));
        }
        if buffer.len() < HEADER_BYTES + membership {
            return Ok(Err(HEADER_BYTES + membership));
        }
        match Header::decode(buffer) {
            Some(found) => Ok(Ok(found)),
            None => Err(self.damage("a header whose checksum is wrong")),
        }
    }

    fn footer_complete(&self, buffer: &[u8], expected: u32) -> Result<Footer, Defect> {
        let crc = crc32c::crc32c_append(chunk_crc(self.header_crc, self.chunks, 0), buffer);
        let Some(footer) = Footer::decode(buffer).filter(|_| crc == expected) else {
            return Err(self.damage("an end whose checksum is wrong"));
        };
        let counted = (self.bytes, self.chunks, self.digest);
        if (footer.bytes, footer.chunks, footer.digest) != counted {
            return Err(self.damage("an end that does not fit what is before it"));
        }
        Ok(footer)
    }
}

/// Fills a buffer up to a length, and says how much that took.
fn gather(buffer: &mut Vec<u8>, length: usize, bytes: &[u8]) -> usize {
    let taken = bytes.len().min(length - buffer.len());
    buffer.extend_from_slice(bytes.get(..taken).unwrap_or_default());
    taken
}
