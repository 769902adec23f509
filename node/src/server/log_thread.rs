//! The one thread that writes the log of every group, and reads back from it.
//!
//! While an fsync runs, requests gather; the next write takes them all, so that however many groups
//! and turns are waiting there is one fsync for them. Requests keep their order: a fetch sees what
//! was written before it and in its own turn, and nothing that was written after.
//!
//! While nobody asks for anything the log is tidied, a little at a time.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use consensus::{FetchId, Fetched, WriteSeq};
use replication::{RecordError, to_fetched};
use storage::{GroupId, GroupWrite, LogError, LogStore};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Groups' writes that one write to the disk gathers at most.
const WRITES_MAX: usize = 1 << 14;
/// How long nobody asks for anything before the log is tidied: who asks meanwhile waits.
const TIDY_AFTER: Duration = Duration::from_millis(20);

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
    /// These writes, and all before them, are durable.
    Durable {
        seqs: Vec<(GroupId, WriteSeq)>,
        /// So far.
        fsyncs: u64,
        /// How long writing and syncing them took.
        took: Duration,
    },
    /// The answer to a fetch.
    Fetched {
        group: GroupId,
        id: FetchId,
        fetched: Fetched,
        /// How long reading took.
        took: Duration,
    },
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
    let mut untidy = true;
    loop {
        let received = match untidy {
            true => requests.recv_timeout(TIDY_AFTER),
            false => requests.recv().map_err(RecvTimeoutError::from),
        };
        let done = match received {
            Ok(first) => {
                untidy = true;
                serve(&mut log, gather(first, requests), events)
            }
            Err(RecvTimeoutError::Timeout) => log
                .tidy()
                .map(|more| untidy = more)
                .map_err(LogFailure::from),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Err(failure) = done {
            let _ = events.send(LogEvent::Failed(failure));
            return;
        }
    }
}

/// What has gathered behind `first`, as far as it can be done together.
fn gather(first: LogRequest, requests: &Receiver<LogRequest>) -> LogRequest {
    let mut gathered = first;
    while gathered.fetches.is_empty() && gathered.writes.len() < WRITES_MAX {
        match requests.try_recv() {
            Ok(later) => gathered.absorb(later),
            Err(_) => break,
        }
    }
    gathered
}

fn serve(
    log: &mut impl LogStore,
    request: LogRequest,
    events: &UnboundedSender<LogEvent>,
) -> Result<(), LogFailure> {
    if !request.writes.is_empty() {
        let begun = Instant::now();
        log.write(&request.writes)?;
        let _ = events.send(LogEvent::Durable {
            seqs: request.seqs,
            fsyncs: log.fsyncs(),
            took: begun.elapsed(),
        });
    }
    for fetch in request.fetches {
        let begun = Instant::now();
        let read = log.read(fetch.group, fetch.from, fetch.to, fetch.max_bytes)?;
        let _ = events.send(LogEvent::Fetched {
            group: fetch.group,
            id: fetch.id,
            fetched: to_fetched(read)?,
            took: begun.elapsed(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use storage::{Epoch, LogOp, LogOptions, MemoryDisk, Record, SegmentedLog};

    use super::*;

    #[test]
    fn what_a_purge_frees_goes_while_nobody_asks_for_anything() {
        let disk = MemoryDisk::new(1);
        let options = LogOptions::default().segment_bytes(16 << 10);
        let log = SegmentedLog::open(disk.clone(), options).unwrap();
        let (requests, events) = start(log).unwrap();
        let ask = |op| {
            let (group, ops) = (GroupId(0), vec![op]);
            requests.send(LogRequest {
                writes: vec![GroupWrite { group, ops }],
                ..LogRequest::default()
            });
        };
        let epoch = Epoch { round: 1, node: 0 };
        for index in 1..=200 {
            ask(LogOp::Put(Record {
                index,
                epoch,
                kind: 0,
                payload: vec![0; 1_000].into(),
            }));
        }
        ask(LogOp::PurgeTo { index: 200, epoch });
        let files = || disk.names().len();
        let begun = Instant::now();
        while files() > 4 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{} stay",
                files()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        drop((requests, events));
    }
}
