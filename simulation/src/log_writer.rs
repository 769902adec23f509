//! The log thread of a node, as something that takes time: requests go in, and some time later
//! they are carried out and reported. What gathers while the disk works is the next write, as in
//! the real thread, up to a bound, as there; a fetch sees what was written before it and in its own
//! turn.
//!
//! A request is carried out when its time is up, not when it begins. Until then it may be torn by
//! a power loss: the world sees to that with [`tear`](LogWriter::tear).

use std::collections::VecDeque;

use consensus::{FetchId, Fetched, Index, WriteSeq};
use replication::to_fetched;
use storage::{GroupId, GroupWrite, LogError, LogOp, LogStore, MemoryDisk, SegmentedLog};

use crate::random::Random;

pub(crate) const GROUP: GroupId = GroupId(0);

/// What a turn asks for.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) ops: Vec<LogOp>,
    /// The last write in it.
    pub(crate) seq: Option<WriteSeq>,
    pub(crate) fetches: Vec<Fetch>,
}

impl Request {
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.seq.is_none() && self.fetches.is_empty()
    }

    fn absorb(&mut self, later: Request) {
        self.ops.extend(later.ops);
        self.seq = later.seq.or(self.seq);
        self.fetches.extend(later.fetches);
    }
}

/// Entries to be read back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch {
    pub(crate) id: FetchId,
    pub(crate) from: Index,
    pub(crate) to: Index,
    pub(crate) max_bytes: usize,
}

/// What it reports.
#[derive(Debug)]
pub(crate) enum LogEvent {
    Durable(WriteSeq),
    Fetched(FetchId, Fetched),
    Failed(String),
}

/// The thread.
pub(crate) struct LogWriter {
    log: SegmentedLog<MemoryDisk>,
    waiting: VecDeque<Request>,
    busy: Option<Request>,
    /// How many requests it takes up at once at most.
    gathers: usize,
}

impl LogWriter {
    pub(crate) fn new(log: SegmentedLog<MemoryDisk>, gathers: usize) -> Self {
        LogWriter {
            log,
            waiting: VecDeque::new(),
            busy: None,
            gathers,
        }
    }

    /// Queues a request. True if the disk was idle, and begins with it.
    pub(crate) fn push(&mut self, request: Request) -> bool {
        self.waiting.push_back(request);
        self.busy.is_none() && self.begin()
    }

    /// Takes up what has gathered; false if nothing has.
    pub(crate) fn begin(&mut self) -> bool {
        let Some(mut gathered) = self.waiting.pop_front() else {
            return false;
        };
        let mut count = 1;
        while gathered.fetches.is_empty()
            && count < self.gathers
            && let Some(later) = self.waiting.pop_front()
        {
            gathered.absorb(later);
            count += 1;
        }
        self.busy = Some(gathered);
        true
    }

    /// Whether the disk has something to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Carries out what was begun. The write it made durable comes first.
    pub(crate) fn finish(&mut self, events: &mut Vec<LogEvent>) {
        let Some(request) = self.busy.take() else {
            return;
        };
        if let Err(error) = self.serve(request, events) {
            events.push(LogEvent::Failed(error.to_string()));
        }
    }

    fn serve(&mut self, request: Request, events: &mut Vec<LogEvent>) -> Result<(), LogError> {
        if let Some(seq) = request.seq {
            let ops = request.ops;
            self.log.write(&[GroupWrite { group: GROUP, ops }])?;
            events.push(LogEvent::Durable(seq));
        }
        for Fetch {
            id,
            from,
            to,
            max_bytes,
        } in request.fetches
        {
            let read = self.log.read(GROUP, from.0, to.0, max_bytes)?;
            let fetched = to_fetched(read).unwrap_or(Fetched::Corrupt);
            events.push(LogEvent::Fetched(id, fetched));
        }
        Ok(())
    }

    /// The process ends here and now: whatever was under way has got to some point or other.
    pub(crate) fn tear(&mut self, disk: &MemoryDisk, random: &mut Random) {
        match random.below(4) {
            // Nothing of it had reached the kernel.
            0 => return,
            1 => disk.fail_write(random.below(3)),
            2 => disk.fail_sync(random.below(3)),
            // All of it is durable, and nobody was told.
            _ => {}
        }
        self.finish(&mut Vec::new());
    }
}
