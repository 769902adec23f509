//! The handshake's messages, as named MessagePack maps so that later versions can add to them,
//! and how they are read from a stream that nobody trusts yet.

use std::io;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::HandshakeError;
use crate::frame::{self, Decoded, Frame, HEADER, Kind, Summed};
use crate::{Channel, Identity, NodeId, Refusal};

/// Longest payload of a handshake frame, in bytes.
const PAYLOAD_MAX: u32 = 4096;

/// Longest reason that is sent or believed, in bytes.
pub(super) const REASON_MAX: usize = 512;

/// Every version's `Hello` starts with these two, so that versions can be compared before
/// anything else is understood.
#[derive(Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) oldest: u16,
    pub(super) newest: u16,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) oldest: u16,
    pub(super) newest: u16,
    pub(super) identity: Identity,
    pub(super) channel: Channel,
    /// Whom the dialer believes it has reached.
    pub(super) target: NodeId,
    pub(super) frame_limit: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) version: u16,
    pub(super) identity: Identity,
    pub(super) frame_limit: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) reason: String,
}

pub(super) fn decode<'a, T: Deserialize<'a>>(frame: &'a Frame) -> Result<T, Refusal> {
    rmp_serde::from_slice(&frame.payload).map_err(|_| Refusal::Malformed)
}

pub(super) async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    kind: Kind,
    message: &impl Serialize,
) -> io::Result<()> {
    let payload = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    writer.write_all(&frame::encode(kind, &payload)).await
}

/// The next frame. Never holds more than one handshake frame's worth of bytes.
pub(super) async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut BytesMut,
) -> Result<Frame, HandshakeError> {
    let mut summed = Summed::default();
    loop {
        match frame::decode(buffer, PAYLOAD_MAX, &mut summed)? {
            Decoded::Frame(frame) => return Ok(frame),
            Decoded::Incomplete { .. } => {}
        }
        let room = HEADER + PAYLOAD_MAX as usize - buffer.len();
        buffer.reserve(room);
        if reader.read_buf(&mut (&mut *buffer).limit(room)).await? == 0 {
            return Err(if buffer.is_empty() {
                HandshakeError::Closed
            } else {
                HandshakeError::Truncated
            });
        }
    }
}
