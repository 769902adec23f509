//! A connection after its handshake: one task that reads and decides when it is over, and
//! one that writes.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::reader::Reader;
use super::shared::{Shared, Task, Who};
use super::writer::Writer;
use crate::frame::{FrameError, Kind};
use crate::handshake::Agreed;
use crate::links::{Backlog, ConnectionId, Incoming, Link};
use crate::{Channel, NodeId};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("this node closed the connection")]
    Dropped,
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it sent a {0:?} frame after the handshake")]
    Unexpected(Kind),
    #[error("it closed the connection in the middle of a frame")]
    Truncated,
}

impl End {
    /// A short stable word for counters, if no honest peer ends a connection so.
    fn misbehaviour(&self) -> Option<&'static str> {
        match self {
            End::Closed | End::Broken(_) | End::Dropped => None,
            End::Frame(error) => Some(error.label()),
            End::Unexpected(_) => Some("unexpected_kind"),
            End::Truncated => Some("truncated"),
        }
    }
}

/// Runs a connection to its end, reporting to the transport.
pub(crate) async fn run<R, W>(
    shared: Arc<Shared>,
    agreed: Agreed,
    who: Who,
    admission: OwnedSemaphorePermit,
    reader: R,
    writer: W,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (queue, queued) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let backlog = Backlog::default();
    let (peer, channel) = (agreed.peer, agreed.channel);
    let report = Report {
        shared: shared.clone(),
        peer: peer.node,
        channel,
        connection: shared.next_connection(),
    };
    let link = Link {
        connection: report.connection,
        frame_limit: agreed.frame_limit as usize,
        queue,
        backlog: backlog.clone(),
        _stop: stop,
    };
    shared.report(
        channel,
        Incoming::Established {
            peer,
            channel,
            link,
            admission,
        },
    );
    tracing::info!("connected with {who}, boot {}", peer.boot);
    let writer = Writer::new(writer, queued, backlog, shared.clone());
    let mut writer = Task::new(tokio::spawn(writer.run()));
    let mut reader = Reader::new(&report, agreed, reader);
    let end = tokio::select! {
        biased;
        _ = stopped => End::Dropped,
        written = writer.outcome() => match written {
            Ok(Ok(())) | Err(_) => End::Dropped,
            Ok(Err(error)) => End::Broken(error),
        },
        end = reader.run() => end,
    };
    match end.misbehaviour() {
        Some(label) => shared.rejections.reject(&who, label, &end),
        None => tracing::info!("disconnected from {who}: {end}"),
    }
}

/// Reports for one connection. Its drop reports the end, so that none is missing even when
/// the task is aborted.
pub(crate) struct Report {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: NodeId,
    pub(crate) channel: Channel,
    pub(crate) connection: ConnectionId,
}

impl Drop for Report {
    fn drop(&mut self) {
        self.shared.report(
            self.channel,
            Incoming::Closed {
                peer: self.peer,
                channel: self.channel,
                connection: self.connection,
            },
        );
    }
}
