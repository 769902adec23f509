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
//! A stranger costs at most 4 KiB here. Time limits are the caller's.

mod check;
mod error;
mod message;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::frame::{Frame, FrameError, Kind};
use crate::{Channel, Config, Identity, NodeId, Refusal};
use check::{VERSIONS, check_welcome, read_hello};
pub(crate) use error::HandshakeError;
use message::{Hello, REASON_MAX, Refused, Welcome, decode, read, write};

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
