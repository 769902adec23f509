//! The frame: sixteen bytes of header, then the payload as given.
//!
//! ```text
//!  0        2         3      4          8               12             16
//!  | "Lk"   | version | kind | length   | payload CRC   | header CRC   | payload …
//! ```
//!
//! Numbers are little-endian, checksums are CRC32C. The header has a checksum of its own,
//! over everything before it, the payload's checksum included: so a frame is covered whole,
//! and a damaged length is noticed at once instead of being waited for.
//!
//! Decoding trusts nothing. What cannot be a frame is refused on its first bytes, a length is
//! checked against the limit before anything is reserved for it, and nothing here panics on
//! any input.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a header.
pub(crate) const HEADER: usize = 16;

/// Version of this layout. It changes only if the header does; what frames mean is agreed on
/// in the handshake.
const VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"Lk";

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The embedding program's payload.
    Data = 0,
    /// The dialer introduces itself.
    Hello = 1,
    /// The listener accepts and introduces itself.
    Welcome = 2,
    /// The dialer accepts; data may follow.
    Ready = 3,
    /// Either side refuses and says why.
    Refused = 4,
}

impl Kind {
    fn decode(byte: u8) -> Option<Kind> {
        [
            Kind::Data,
            Kind::Hello,
            Kind::Welcome,
            Kind::Ready,
            Kind::Refused,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A frame taken out of the stream.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) payload: Bytes,
}

/// What stands at the front of a buffer.
#[derive(Debug)]
pub(crate) enum Decoded {
    Frame(Frame),
    /// More bytes are needed. The frame is known to take `total` bytes, header included; at
    /// least a header's worth.
    Incomplete {
        total: usize,
    },
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("it does not speak this protocol{}", Guess(*.0))]
    Magic([u8; 2]),
    #[error("it uses frame version {0}, this node only {VERSION}: upgrade the older node")]
    Version(u8),
    #[error("a frame header has a wrong checksum: the stream is damaged or made up")]
    HeaderChecksum,
    #[error("a frame has a wrong checksum: the stream is damaged or made up")]
    PayloadChecksum,
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    Oversized { length: u32, limit: u32 },
    #[error("a frame has the unknown kind {0}: upgrade the older node")]
    UnknownKind(u8),
}

impl FrameError {
    /// A short stable word for counters.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            FrameError::Magic(_) => "magic",
            FrameError::Version(_) => "frame_version",
            FrameError::HeaderChecksum => "header_checksum",
            FrameError::PayloadChecksum => "checksum",
            FrameError::Oversized { .. } => "oversized",
            FrameError::UnknownKind(_) => "unknown_kind",
        }
    }
}

/// What the first two bytes of a stranger look like.
struct Guess([u8; 2]);

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            [0x16, 0x03] => " but TLS: this port has no TLS, connect without it",
            b"GE" | b"PO" | b"HE" | b"PU" | b"DE" | b"OP" | b"CO" | b"PA" | b"PR" => {
                " but HTTP: metrics and status are on the admin port"
            }
            [b'*', b'0'..=b'9'] | b"PI" => " but Redis: clients belong on the client port",
            _ => ": only nodes of the cluster belong on this port",
        })
    }
}

/// The header of a frame. `payload_crc` is [`crc32c`](crc32c::crc32c) of its payload.
///
/// # Panics
/// If `length` does not fit 32 bits, which the frame limit rules out.
pub(crate) fn header(kind: Kind, length: usize, payload_crc: u32) -> [u8; HEADER] {
    assert!(
        u32::try_from(length).is_ok(),
        "the frame limit is below 4 GiB"
    );
    let [l0, l1, l2, l3] = (length as u32).to_le_bytes();
    let [c0, c1, c2, c3] = payload_crc.to_le_bytes();
    let covered = [
        MAGIC[0], MAGIC[1], VERSION, kind as u8, l0, l1, l2, l3, c0, c1, c2, c3,
    ];
    let mut header = [0; HEADER];
    header[..12].copy_from_slice(&covered);
    header[12..].copy_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
    header
}

/// A whole frame in one buffer, for the handshake's few.
pub(crate) fn encode(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let header = header(kind, payload.len(), crc32c::crc32c(payload));
    [&header[..], payload].concat()
}

/// Takes the frame at the front of `buffer`, without copying its payload.
///
/// `summed` says how much of the payload's checksum is already known: for a large frame that
/// arrives in many reads, each byte is summed once, when it comes, and not all in one go.
pub(crate) fn decode(
    buffer: &mut BytesMut,
    limit: u32,
    summed: &mut Summed,
) -> Result<Decoded, FrameError> {
    let Some(head) = Head::parse(buffer, limit)? else {
        return Ok(Decoded::Incomplete { total: HEADER });
    };
    let total = HEADER + head.length;
    let arrived = buffer.len().min(total);
    let unsummed = buffer.get(HEADER + summed.bytes..arrived).unwrap_or(&[]);
    let crc = crc32c::crc32c_append(summed.crc, unsummed);
    if arrived < total {
        *summed = Summed {
            bytes: arrived - HEADER,
            crc,
        };
        return Ok(Decoded::Incomplete { total });
    }
    *summed = Summed::default();
    if crc != head.payload_crc {
        return Err(FrameError::PayloadChecksum);
    }
    let mut payload = buffer.split_to(total);
    payload.advance(HEADER);
    Ok(Decoded::Frame(Frame {
        kind: head.kind,
        payload: payload.freeze(),
    }))
}

/// The checksum of the part of an incomplete frame's payload that has arrived.
#[derive(Debug, Default)]
pub(crate) struct Summed {
    bytes: usize,
    crc: u32,
}

struct Head {
    kind: Kind,
    length: usize,
    payload_crc: u32,
}

impl Head {
    /// The header at the front of `bytes`, or `None` while it is incomplete and may yet become
    /// one.
    fn parse(bytes: &[u8], limit: u32) -> Result<Option<Head>, FrameError> {
        if let Some(magic) = bytes.first_chunk::<2>()
            && *magic != MAGIC
        {
            return Err(FrameError::Magic(*magic));
        }
        if let Some(version) = bytes.get(2)
            && *version != VERSION
        {
            return Err(FrameError::Version(*version));
        }
        let Some(
            header @ [
                _,
                _,
                _,
                kind,
                l0,
                l1,
                l2,
                l3,
                p0,
                p1,
                p2,
                p3,
                h0,
                h1,
                h2,
                h3,
            ],
        ) = bytes.first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        let (covered, _) = header.split_at(12);
        if crc32c::crc32c(covered) != u32::from_le_bytes([*h0, *h1, *h2, *h3]) {
            return Err(FrameError::HeaderChecksum);
        }
        let kind = Kind::decode(*kind).ok_or(FrameError::UnknownKind(*kind))?;
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
        if length > limit {
            return Err(FrameError::Oversized { length, limit });
        }
        Ok(Some(Head {
            kind,
            length: length as usize,
            payload_crc: u32::from_le_bytes([*p0, *p1, *p2, *p3]),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(bytes: &[u8], limit: u32) -> Result<Decoded, FrameError> {
        decode(&mut BytesMut::from(bytes), limit, &mut Summed::default())
    }

    #[test]
    fn a_frame_comes_back_however_it_is_cut() {
        let payload: Vec<u8> = (0..100).collect();
        let bytes = encode(Kind::Data, &payload);
        for cut in 0..bytes.len() {
            let (mut buffer, mut summed) = (BytesMut::from(&bytes[..cut]), Summed::default());
            let first = decode(&mut buffer, 100, &mut summed).unwrap();
            assert!(matches!(first, Decoded::Incomplete { .. }), "cut at {cut}");
            buffer.extend_from_slice(&bytes[cut..]);
            match decode(&mut buffer, 100, &mut summed).unwrap() {
                Decoded::Frame(frame) => assert_eq!(frame.payload, payload),
                other => panic!("cut at {cut}: {other:?}"),
            }
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encode(Kind::Data, b"payload");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let result = decode_all(&damaged, 100);
            assert!(result.is_err(), "bit {bit}: {result:?}");
        }
    }

    #[test]
    fn a_stranger_is_known_by_its_first_bytes() {
        for (bytes, hint) in [
            (&b"\x16\x03\x01"[..], "TLS"),
            (b"GET / HTTP/1.1\r\n\r\n", "HTTP"),
            (b"*1\r\n$4\r\nPING\r\n", "Redis"),
            (b"\0\0", "only nodes"),
        ] {
            let error = decode_all(bytes, 100).unwrap_err();
            assert_eq!(error.label(), "magic");
            assert!(error.to_string().contains(hint), "{error}");
        }
        assert_eq!(
            decode_all(b"Lk\x02", 100).unwrap_err().label(),
            "frame_version"
        );
    }

    #[test]
    fn a_length_is_refused_before_its_payload_comes() {
        let header = header(Kind::Data, 101, 0);
        assert_eq!(
            decode_all(&header, 100).unwrap_err(),
            FrameError::Oversized {
                length: 101,
                limit: 100
            }
        );
    }

    /// Honest frames with random bytes changed, cut and put in: no panic, and whatever comes
    /// out before the stream is found to be damaged is a frame that was put in.
    #[test]
    fn no_damage_passes_for_a_frame() {
        let mut state = 1u64;
        let mut random = move |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let payloads: Vec<Vec<u8>> = (0..3).map(|i| vec![i; random(40)]).collect();
            let mut stream: Vec<u8> = payloads
                .iter()
                .flat_map(|payload| encode(Kind::Data, payload))
                .collect();
            for _ in 0..=random(3) {
                let at = random(stream.len());
                match random(3) {
                    0 => stream[at] = random(256) as u8,
                    1 => stream.insert(at, random(256) as u8),
                    _ => drop(stream.drain(at..stream.len().min(at + 20))),
                }
            }
            let (mut buffer, mut summed) = (BytesMut::from(&stream[..]), Summed::default());
            while let Ok(Decoded::Frame(frame)) = decode(&mut buffer, 100, &mut summed) {
                assert!(payloads.iter().any(|payload| frame.payload == payload));
            }
        }
    }
}
