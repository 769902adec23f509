//! The one thread that writes the log of every group, and reads back from it.
//!
//! While an fsync runs, requests gather; the next write takes them all, so that however many groups
//! and turns are waiting there is one fsync for them. Requests keep their order: a fetch sees what
//! was written before it and in its own turn, and nothing that was written after.

use std::sync::mpsc::{Receiver, Sender, channel};

use consensus::{FetchId, Fetched, WriteSeq};
use replication::{RecordError, to_fetched};
use storage::{GroupId, GroupWrite, LogError, LogStore};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Groups' writes that one write to the disk gathers at most.
const WRITES_MAX: usize = 1 << 14;

/// What the event loop asks for at the end of a turn, for all groups.
#[derive(Debug, Default)]
pub(super) struct LogRequest {
    /// To be written, in order.
    pub(super) writes: Vec<GroupWrite>,
    /// Which writes of which groups these are: reported once they are durable.
    pub(super) seqs: Vec<(GroupId, WriteSeq)>,
    /// To be read once they are written.
    pub(super) fetches: Vec<Fetch>,
}

impl LogRequest {
    /// Whether it asks for nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.fetches.is_empty()
    }

    fn absorb(&mut self, later: LogRequest) {
        self.writes.extend(later.writes);
        self.seqs.extend(later.seqs);
        self.fetches.extend(later.fetches);
    }
}

/// Entries to read back.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) group: GroupId,
    pub(super) id: FetchId,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) max_bytes: usize,
}

/// What the log thread reports.
#[derive(Debug)]
pub(super) enum LogEvent {
    /// These writes, and all before them, are durable. Fsyncs so far.
    Durable(Vec<(GroupId, WriteSeq)>, u64),
    /// The answer to a fetch.
    Fetched(GroupId, FetchId, Fetched),
    /// The log cannot go on, and neither can the node.
    Failed(LogFailure),
}

/// Why the log cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LogFailure {
    /// The disk failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log holds what this build cannot read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Starts the thread on an open log. It ends once the requests' end is dropped and all are done.
///
/// # Errors
/// When the operating system has no thread to give.
pub(super) fn start(log: impl LogStore + 'static) -> std::io::Result<(LogRequests, LogEvents)> {
    let (requests, incoming) = channel();
    let (outgoing, events) = unbounded_channel();
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || work(log, &incoming, &outgoing))?;
    Ok((LogRequests(requests), LogEvents(events)))
}

/// Where requests go in.
#[derive(Debug)]
pub(super) struct LogRequests(Sender<LogRequest>);

impl LogRequests {
    /// Queues a request. Never blocks.
    pub(super) fn send(&self, request: LogRequest) {
        // If the thread has ended, it has reported why, and the node is on its way down.
        let _ = self.0.send(request);
    }
}

/// Where reports come out.
#[derive(Debug)]
pub(super) struct LogEvents(UnboundedReceiver<LogEvent>);

impl LogEvents {
    /// Waits for at least one report, then takes all there are. Cancel safe.
    pub(super) async fn receive(&mut self, into: &mut Vec<LogEvent>) {
        if self.0.recv_many(into, usize::MAX).await == 0 {
            // The thread has ended; what it had to say was received before.
            std::future::pending::<()>().await;
        }
    }

    /// Takes what there is now.
    pub(super) fn take(&mut self, into: &mut Vec<LogEvent>) {
        while let Ok(event) = self.0.try_recv() {
            into.push(event);
        }
    }
}

fn work(
    mut log: impl LogStore,
    requests: &Receiver<LogRequest>,
    events: &UnboundedSender<LogEvent>,
) {
    while let Ok(mut gathered) = requests.recv() {
        while gathered.fetches.is_empty() && gathered.writes.len() < WRITES_MAX {
            match requests.try_recv() {
                Ok(later) => gathered.absorb(later),
                Err(_) => break,
            }
        }
        if let Err(failure) = serve(&mut log, gathered, events) {
            let _ = events.send(LogEvent::Failed(failure));
            return;
        }
    }
}

fn serve(
    log: &mut impl LogStore,
    request: LogRequest,
    events: &UnboundedSender<LogEvent>,
) -> Result<(), LogFailure> {
    if !request.writes.is_empty() {
        log.write(&request.writes)?;
        let _ = events.send(LogEvent::Durable(request.seqs, log.fsyncs()));
    }
    for fetch in request.fetches {
        let read = log.read(fetch.group, fetch.from, fetch.to, fetch.max_bytes)?;
        let fetched = to_fetched(read)?;
        let _ = events.send(LogEvent::Fetched(fetch.group, fetch.id, fetched));
    }
    Ok(())
}
