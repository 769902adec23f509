//! Why a handshake did not come about.

use std::io;

use crate::Refusal;
use crate::frame::{FrameError, Kind};

/// Why a handshake did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("it refuses this node: {reason:?}")]
    RefusedByPeer { code: &'static str, reason: String },
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it sent a {0:?} frame in the middle of the handshake")]
    Unexpected(Kind),
    #[error("it closed the connection in the middle of a frame")]
    Truncated,
    #[error("it closed the connection before the handshake was done")]
    Closed,
    #[error("the connection broke before the handshake was done: {0}")]
    Io(#[from] io::Error),
    #[error("the handshake took too long")]
    TimedOut,
    #[error("too many connections are waiting for their handshake, and this is the oldest")]
    Flood,
}

impl HandshakeError {
    /// A short stable word for counters.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            HandshakeError::Refused(refusal) => refusal.code(),
            HandshakeError::RefusedByPeer { code, .. } => code,
            HandshakeError::Frame(error) => error.label(),
            HandshakeError::Unexpected(_) => "unexpected_kind",
            HandshakeError::Truncated => "truncated",
            HandshakeError::Closed => "closed_early",
            HandshakeError::Io(_) => "broken_early",
            HandshakeError::TimedOut => "handshake_timeout",
            HandshakeError::Flood => "flood",
        }
    }
}
