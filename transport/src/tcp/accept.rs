//! The listening half: takes connections, gives each a bounded time and place for its
//! handshake, and runs those that pass.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::gate::{Gate, Place};
use super::shared::{Shared, Who};
use super::{connection, socket};
use crate::handshake::{self, Agreed, HandshakeError};

/// Pause after a failed accept: out of file descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts until it is aborted, which ends every connection it has accepted.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let gate = Gate::new(shared.config.handshakes_max);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    connections.spawn(serve(stream, address, gate.enter(), shared.clone()));
                }
                Err(error) => {
                    metrics::counter!("lockstep_peer_accept_errors_total").increment(1);
                    tracing::warn!("accepting a peer's connection failed: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, mut place: Place, shared: Arc<Shared>) {
    let mut who = Who {
        node: None,
        channel: None,
        address: Some(address),
    };
    if let Err(error) = socket::configure(&stream, shared.config.dead_after) {
        return shared
            .rejections
            .reject(&who, "socket", &HandshakeError::Io(error));
    }
    let (mut reader, mut writer) = stream.into_split();
    let admitted = tokio::select! {
        biased;
        admitted = timeout(shared.config.handshake_timeout, admit(&shared, &mut reader, &mut writer)) => {
            admitted.unwrap_or(Err(HandshakeError::TimedOut))
        }
        _ = &mut place.evicted => Err(HandshakeError::Flood),
    };
    drop(place);
    match admitted {
        Ok((agreed, admission)) => {
            who.node = Some(agreed.peer.node);
            who.channel = Some(agreed.channel);
            connection::run(shared, agreed, who, admission, reader, writer).await;
        }
        Err(error) => shared.rejections.reject(&who, error.label(), &error),
    }
}

/// The handshake, and then a place among those that `receive` has yet to take.
async fn admit<R, W>(
    shared: &Shared,
    reader: &mut R,
    writer: &mut W,
) -> Result<(Agreed, OwnedSemaphorePermit), HandshakeError>
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    let agreed = handshake::accept(&shared.config, reader, writer).await?;
    let admission = shared.admissions.clone().acquire_owned().await;
    Ok((agreed, admission.map_err(|_| HandshakeError::Closed)?))
}
