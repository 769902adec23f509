//! The decoders of what strangers send, for fuzzers: the same functions that connections use, over
//! bytes instead of sockets. No part of the interface; feature `fuzzing`.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::frame::{self, Decoded, Kind, Summed};
use crate::handshake::{self, HandshakeError};
use crate::{Channel, Config, Identity, NodeId};

/// What came out of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Kind and payload of each frame.
    pub frames: Vec<(u8, Bytes)>,
    /// What ended it, as counters and as people see it.
    pub error: Option<(&'static str, String)>,
    /// Bytes of a frame that is not complete.
    pub left: usize,
    /// The most bytes that a frame was said to take while it was incomplete.
    pub wanted: usize,
}

/// Takes frames out of pieces as they arrive.
pub fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: u32) -> Outcome {
    let (mut buffer, mut summed) = (BytesMut::new(), Summed::default());
    let mut outcome = Outcome::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match frame::decode(&mut buffer, limit, &mut summed) {
                Ok(Decoded::Frame(frame)) => {
                    outcome.frames.push((frame.kind as u8, frame.payload));
                }
                Ok(Decoded::Incomplete { total }) => {
                    outcome.wanted = outcome.wanted.max(total);
                    break;
                }
                Err(error) => {
                    outcome.error = Some((error.label(), error.to_string()));
                    return outcome;
                }
            }
        }
    }
    outcome.left = buffer.len();
    outcome
}

/// A frame of that kind; kinds beyond the last one count from the first again.
#[must_use]
pub fn encode(kind: u8, payload: &[u8]) -> Vec<u8> {
    let kinds = [
        Kind::Data,
        Kind::Hello,
        Kind::Welcome,
        Kind::Ready,
        Kind::Refused,
    ];
    let kind = kinds.into_iter().cycle().nth(kind.into());
    frame::encode(kind.unwrap_or(Kind::Data), payload)
}

/// A peer that was let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who it says it is.
    pub peer: Identity,
    /// What the connection is for.
    pub channel: Channel,
    /// How many bytes came behind the handshake.
    pub rest: usize,
}

/// The listener's half of a handshake with whoever sent `input`, and what it is answered.
///
/// # Errors
/// Why it was not let in, as counters and as people see it.
pub fn accept(
    config: &Config,
    mut input: &[u8],
) -> (Result<Admitted, (&'static str, String)>, Vec<u8>) {
    let mut answer = Vec::new();
    let agreed = at_once(handshake::accept(config, &mut input, &mut answer));
    (admitted(agreed, input), answer)
}

/// The dialer's half, with a listener that answers `input`; and what the dialer says.
///
/// # Errors
/// Why there is no connection, as counters and as people see it.
pub fn dial(
    config: &Config,
    target: NodeId,
    mut input: &[u8],
) -> (Result<Admitted, (&'static str, String)>, Vec<u8>) {
    let mut said = Vec::new();
    let channel = Channel::Control;
    let agreed = at_once(handshake::dial(
        config, target, channel, &mut input, &mut said,
    ));
    (admitted(agreed, input), said)
}

fn admitted(
    agreed: Result<handshake::Agreed, HandshakeError>,
    unread: &[u8],
) -> Result<Admitted, (&'static str, String)> {
    match agreed {
        Ok(agreed) => Ok(Admitted {
            peer: agreed.peer,
            channel: agreed.channel,
            rest: agreed.rest.len() + unread.len(),
        }),
        Err(error) => Err((error.label(), error.to_string())),
    }
}

/// Runs what never waits, since its streams are bytes in memory.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("bytes in memory are always there"),
    }
}
