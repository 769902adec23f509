//! The dialing half: keeps one connection to one peer on one channel, for ever.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout};

use super::shared::{Shared, Who};
use super::{connection, socket};
use crate::backoff::Waits;
use crate::handshake::{self, Agreed, HandshakeError};
use crate::{Channel, NodeId};

/// Why dialing came to nothing.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("it cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// Dials, runs the connection to its end, waits, dials again; until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>, peer: NodeId, channel: Channel, address: String) {
    // Streams differ by peer and channel, so that not even one node's dialers move in step.
    let stream = peer.0.wrapping_mul(2) + channel.index() as u64;
    let mut waits = Waits::new(shared.config.backoff, stream);
    let mut told = None;
    loop {
        match connect(&shared, peer, channel, &address).await {
            Ok((agreed, reader, writer)) => {
                told = None;
                let connected = Instant::now();
                let who = Who {
                    node: Some(peer),
                    channel: Some(channel),
                    address: reader.peer_addr().ok(),
                };
                // Own connections are as many as there are peers, so nothing has to be
                // bounded; the permit only has the same shape.
                if let Ok(admission) = shared.admissions.clone().acquire_owned().await {
                    connection::run(shared.clone(), agreed, who, admission, reader, writer).await;
                }
                waits.lived(connected.elapsed());
            }
            Err(error) => tell(&shared, peer, channel, &address, &error, &mut told),
        }
        sleep(waits.next()).await;
    }
}

async fn connect(
    shared: &Shared,
    peer: NodeId,
    channel: Channel,
    address: &str,
) -> Result<(Agreed, OwnedReadHalf, OwnedWriteHalf), DialError> {
    let attempt = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(DialError::Unreachable)?;
        socket::configure(&stream, shared.config.dead_after).map_err(DialError::Unreachable)?;
        let (mut reader, mut writer) = stream.into_split();
        let agreed =
            handshake::dial(&shared.config, peer, channel, &mut reader, &mut writer).await?;
        Ok((agreed, reader, writer))
    };
    timeout(shared.config.handshake_timeout, attempt)
        .await
        .unwrap_or(Err(HandshakeError::TimedOut.into()))
}

/// Counts a failure, and writes it out unless it is the same as the last: a peer that is down
/// for a night is one line, not thirty thousand.
fn tell(
    shared: &Shared,
    peer: NodeId,
    channel: Channel,
    address: &str,
    error: &DialError,
    told: &mut Option<String>,
) {
    let label = match error {
        DialError::Unreachable(_) => "unreachable",
        DialError::Handshake(error) => error.label(),
    };
    metrics::counter!("lockstep_peer_dial_failures_total", "reason" => label).increment(1);
    let sentence = format!("dialing {peer} at {address} on {channel}: {error}");
    if told.as_ref() == Some(&sentence) {
        tracing::debug!(reason = label, "{sentence}");
        return;
    }
    match error {
        DialError::Handshake(HandshakeError::Refused(_) | HandshakeError::Frame(_)) => {
            shared.rejections.reject(
                &format_args!("{peer} at {address} on {channel}"),
                label,
                error,
            );
        }
        _ => tracing::warn!(
            reason = label,
            "{sentence}; dialing again until it succeeds"
        ),
    }
    *told = Some(sentence);
}
