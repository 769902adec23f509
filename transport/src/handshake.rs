//! Three frames before any data: the dialer's `Hello`, the listener's `Welcome`, the dialer's
//! `Ready`; instead of either of the last two, `Refused` with the reason.
//!
//! Both sides check the other before either says that it is connected, and whoever refuses
//! says why before it closes, so that the reason stands in both logs. The third frame is what
//! lets the dialer refuse without the listener having believed in a connection meanwhile.
//!
//! The functions are generic over the byte stream. That is the seam for TLS: wrap the stream
//! before it comes here, and compare the certificate with the [`Identity`] after.
//!
//! A stranger costs at most [`PAYLOAD_MAX`] bytes here. Time limits are the caller's.

use std::io;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::frame::{self, Decoded, Frame, FrameError, HEADER, Kind, Summed};
use crate::{Channel, Config, Identity, NodeId, Refusal};

/// Oldest and newest protocol version that this build speaks.
pub(crate) const VERSIONS: (u16, u16) = (1, 1);

/// Longest payload of a handshake frame, in bytes.
pub(crate) const PAYLOAD_MAX: u32 = 4096;

/// Longest reason that is sent or believed, in bytes.
const REASON_MAX: usize = 512;

/// Every version's `Hello` starts with these two, so that versions can be compared before
/// anything else is understood.
#[derive(Serialize, Deserialize)]
struct Offer {
    oldest: u16,
    newest: u16,
}

#[derive(Serialize, Deserialize)]
struct Hello {
    oldest: u16,
    newest: u16,
    identity: Identity,
    channel: Channel,
    /// Whom the dialer believes it has reached.
    target: NodeId,
    frame_limit: u32,
}

#[derive(Serialize, Deserialize)]
struct Welcome {
    version: u16,
    identity: Identity,
    frame_limit: u32,
}

#[derive(Serialize, Deserialize)]
struct Refused {
    code: String,
    reason: String,
}

/// What a completed handshake leaves behind.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) peer: Identity,
    pub(crate) channel: Channel,
    /// The smaller of both sides' limits, in bytes of payload.
    pub(crate) frame_limit: u32,
    /// Bytes that came behind the handshake: the beginning of the data.
    pub(crate) rest: BytesMut,
}

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

/// The dialer's half: introduces this node to `target`.
pub(crate) async fn dial<R, W>(
    config: &Config,
    target: NodeId,
    channel: Channel,
    reader: &mut R,
    writer: &mut W,
) -> Result<Agreed, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let hello = Hello {
        oldest: VERSIONS.0,
        newest: VERSIONS.1,
        identity: config.identity,
        channel,
        target,
        frame_limit: config.frame_limit,
    };
    write(writer, Kind::Hello, &hello).await?;
    let mut rest = BytesMut::new();
    let welcome = match read(reader, &mut rest).await {
        Ok(frame) if frame.kind == Kind::Welcome => decode::<Welcome>(&frame),
        Ok(frame) => return Err(unexpected(frame)),
        Err(error) => return Err(refuse_unreadable(writer, error).await),
    };
    let checked = welcome.and_then(|welcome| {
        check_welcome(config, target, &welcome)?;
        Ok(welcome)
    });
    let welcome = match checked {
        Ok(welcome) => welcome,
        Err(refusal) => return Err(refuse(writer, refusal).await),
    };
    write(writer, Kind::Ready, &()).await?;
    Ok(Agreed {
        peer: welcome.identity,
        channel,
        frame_limit: config.frame_limit.min(welcome.frame_limit),
        rest,
    })
}

/// The listener's half.
pub(crate) async fn accept<R, W>(
    config: &Config,
    reader: &mut R,
    writer: &mut W,
) -> Result<Agreed, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut rest = BytesMut::new();
    let hello = match read(reader, &mut rest).await {
        Ok(frame) if frame.kind == Kind::Hello => read_hello(config, &frame),
        Ok(frame) => return Err(unexpected(frame)),
        Err(error) => return Err(refuse_unreadable(writer, error).await),
    };
    let (hello, version) = match hello {
        Ok(hello) => hello,
        Err(refusal) => return Err(refuse(writer, refusal).await),
    };
    let welcome = Welcome {
        version,
        identity: config.identity,
        frame_limit: config.frame_limit,
    };
    write(writer, Kind::Welcome, &welcome).await?;
    match read(reader, &mut rest).await {
        Ok(frame) if frame.kind == Kind::Ready => {}
        Ok(frame) => return Err(unexpected(frame)),
        Err(error) => return Err(refuse_unreadable(writer, error).await),
    }
    Ok(Agreed {
        peer: hello.identity,
        channel: hello.channel,
        frame_limit: config.frame_limit.min(hello.frame_limit),
        rest,
    })
}

/// Understands and checks a `Hello`, versions first; the newest common version is agreed on.
fn read_hello(config: &Config, frame: &Frame) -> Result<(Hello, u16), Refusal> {
    let offer: Offer = decode(frame)?;
    let (refusing, speaks) = (config.identity.node, VERSIONS);
    let version = offer.newest.min(speaks.1);
    if version < offer.oldest.max(speaks.0) {
        return Err(Refusal::IncompatibleVersion {
            refusing,
            speaks,
            offered: (offer.oldest, offer.newest),
        });
    }
    let hello: Hello = decode(frame)?;
    let (us, them) = (&config.identity, &hello.identity);
    check_cluster(us, them)?;
    if them.node == us.node {
        return Err(Refusal::SameNode(us.node));
    }
    if hello.target != us.node {
        return Err(Refusal::WrongTarget {
            dialed: hello.target,
            reached: us.node,
        });
    }
    if them.node < us.node {
        return Err(Refusal::WrongDialer {
            dialer: them.node,
            reached: us.node,
        });
    }
    (config.check)(them)?;
    Ok((hello, version))
}

fn check_welcome(config: &Config, target: NodeId, welcome: &Welcome) -> Result<(), Refusal> {
    let (us, them) = (&config.identity, &welcome.identity);
    if !(VERSIONS.0..=VERSIONS.1).contains(&welcome.version) {
        return Err(Refusal::IncompatibleVersion {
            refusing: us.node,
            speaks: VERSIONS,
            offered: (welcome.version, welcome.version),
        });
    }
    check_cluster(us, them)?;
    if them.node != target {
        return Err(Refusal::WrongTarget {
            dialed: target,
            reached: them.node,
        });
    }
    (config.check)(them)
}

fn check_cluster(us: &Identity, them: &Identity) -> Result<(), Refusal> {
    if us.cluster == them.cluster {
        return Ok(());
    }
    Err(Refusal::WrongCluster {
        refusing: us.node,
        refusing_cluster: us.cluster,
        refused: them.node,
        refused_cluster: them.cluster,
    })
}

/// Tells the other side why, as far as it still listens, and makes it this side's error.
async fn refuse<W: AsyncWrite + Unpin>(writer: &mut W, refusal: Refusal) -> HandshakeError {
    tell(writer, refusal.code(), refusal.to_string()).await;
    HandshakeError::Refused(refusal)
}

/// As [`refuse`], for what was not even a frame. A stranger that speaks another protocol gets
/// no answer: it could not read it.
async fn refuse_unreadable<W: AsyncWrite + Unpin>(
    writer: &mut W,
    error: HandshakeError,
) -> HandshakeError {
    if let HandshakeError::Frame(frame) = &error
        && !matches!(frame, FrameError::Magic(_))
    {
        tell(writer, frame.label(), frame.to_string()).await;
    }
    error
}

async fn tell<W: AsyncWrite + Unpin>(writer: &mut W, code: &str, reason: String) {
    let refused = Refused {
        code: code.to_owned(),
        reason: shorten(reason),
    };
    // The other side may be gone; the reason then stands in this side's log only.
    if write(writer, Kind::Refused, &refused).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

/// A frame that is not the one whose turn it is: a refusal, or a breach of protocol.
fn unexpected(frame: Frame) -> HandshakeError {
    if frame.kind != Kind::Refused {
        return HandshakeError::Unexpected(frame.kind);
    }
    match decode::<Refused>(&frame) {
        Ok(refused) => HandshakeError::RefusedByPeer {
            code: known_code(&refused.code),
            reason: shorten(refused.reason),
        },
        Err(refusal) => HandshakeError::Refused(refusal),
    }
}

/// The code as a label of ours: a stranger must not make up labels.
fn known_code(code: &str) -> &'static str {
    [
        "wrong_cluster",
        "unknown_node",
        "disk_changed",
        "incompatible_version",
        "wrong_target",
        "same_node",
        "wrong_dialer",
        "malformed",
        "frame_version",
    ]
    .into_iter()
    .find(|known| *known == code)
    .unwrap_or("other")
}

fn shorten(mut reason: String) -> String {
    if reason.len() > REASON_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_MAX));
    }
    reason
}

fn decode<'a, T: Deserialize<'a>>(frame: &'a Frame) -> Result<T, Refusal> {
    rmp_serde::from_slice(&frame.payload).map_err(|_| Refusal::Malformed)
}

async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    kind: Kind,
    message: &impl Serialize,
) -> io::Result<()> {
    let payload = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    writer.write_all(&frame::encode(kind, &payload)).await
}

/// The next frame. Never holds more than one handshake frame's worth of bytes.
async fn read<R: AsyncRead + Unpin>(
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
