//! What the tasks of one transport share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::links::{ConnectionId, Incoming};
use crate::rejection::Rejections;
use crate::{Channel, Config, NodeId, Stats};

/// Connections that may have completed their handshake without having been taken by
/// `receive` yet. Bounds what a program that never receives has to hold.
const ADMISSIONS: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) rejections: Rejections,
    pub(crate) counters: Counters,
    pub(crate) admissions: Arc<Semaphore>,
    control: mpsc::UnboundedSender<Incoming>,
    bulk: mpsc::UnboundedSender<Incoming>,
    connections: AtomicU64,
}

/// The receiving ends, control first.
pub(crate) struct Inbox {
    pub(crate) control: mpsc::UnboundedReceiver<Incoming>,
    pub(crate) bulk: mpsc::UnboundedReceiver<Incoming>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> (Arc<Self>, Inbox) {
        // Unbounded, because what may wait is bounded by admissions and by each connection's
        // credit. One queue per channel, so that control does not wait behind bulk.
        let (control, control_inbox) = mpsc::unbounded_channel();
        let (bulk, bulk_inbox) = mpsc::unbounded_channel();
        let shared = Shared {
            config,
            rejections: Rejections::default(),
            counters: Counters::default(),
            admissions: Arc::new(Semaphore::new(ADMISSIONS)),
            control,
            bulk,
            connections: AtomicU64::new(0),
        };
        let inbox = Inbox {
            control: control_inbox,
            bulk: bulk_inbox,
        };
        (Arc::new(shared), inbox)
    }

    pub(crate) fn report(&self, channel: Channel, incoming: Incoming) {
        let queue = match channel {
            Channel::Control => &self.control,
            Channel::Bulk => &self.bulk,
        };
        // Fails only while the transport is being dropped, and then nobody wants to know.
        let _ = queue.send(incoming);
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }
}

/// The sums behind [`Stats`]. Touched once per system call, not per frame.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) frames_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) frames_received: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) reads: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            frames_sent: get(&self.frames_sent),
            bytes_sent: get(&self.bytes_sent),
            writes: get(&self.writes),
            frames_received: get(&self.frames_received),
            bytes_received: get(&self.bytes_received),
            reads: get(&self.reads),
        }
    }
}

/// Adds to a counter that nothing else is ordered by.
pub(crate) fn count(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

/// The other side of a connection, as the log names it: as much as is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) node: Option<NodeId>,
    pub(crate) channel: Option<Channel>,
    pub(crate) address: Option<SocketAddr>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{node}")?,
            None => f.write_str("a stranger")?,
        }
        if let Some(address) = self.address {
            write!(f, " at {address}")?;
        }
        if let Some(channel) = self.channel {
            write!(f, " on {channel}")?;
        }
        Ok(())
    }
}

/// A task that ends with its handle.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    pub(crate) fn new(handle: JoinHandle<T>) -> Self {
        Task(handle)
    }

    /// What the task came to. Cancel safe.
    pub(crate) async fn outcome(&mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }

    /// Ends the task and waits until all it held is dropped.
    pub(crate) async fn abort(&mut self) {
        self.0.abort();
        // Ended by itself, aborted or panicked: gone in any case.
        let _ = (&mut self.0).await;
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
