//! The writing half of a connection: what was queued since the last write goes out in one.
//!
//! A batch is everything that waits, up to [`BATCH_BYTES`]: headers and small payloads are
//! copied together, because an `iovec` costs the kernel more than copying a kilobyte; large
//! payloads are handed over where they lie. Past that bound the task yields, so that on a
//! runtime of one thread a long transfer is cut into pieces of a fraction of a millisecond,
//! and control frames get in between.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::yield_now;

use super::shared::{Shared, count};
use crate::frame::{self, HEADER, Kind};
use crate::links::{Backlog, weight};

/// Bytes after which a batch is full, and the most that one system call is given.
const BATCH_BYTES: usize = 1 << 20;

/// Frames after which a batch is full. Bounds the copy buffer to about a MiB.
const BATCH_FRAMES: usize = 1024;

/// Longest payload that is copied next to its header, in bytes.
const COPY_MAX: usize = 1024;

/// Longest slice given to the kernel, in bytes, so that [`BATCH_BYTES`] can be kept to.
const SLICE_MAX: usize = 256 << 10;

/// `UIO_MAXIOV`: the most slices one call takes.
const SLICES_MAX: usize = 1024;

pub(crate) struct Writer<W> {
    io: W,
    queue: mpsc::UnboundedReceiver<Bytes>,
    backlog: Backlog,
    shared: Arc<Shared>,
    batch: Batch,
}

/// What one turn writes. Its buffers are kept from turn to turn.
#[derive(Default)]
struct Batch {
    frames: Vec<Bytes>,
    bytes: usize,
    /// Headers and small payloads, in order.
    copied: Vec<u8>,
    parts: Vec<Part>,
}

/// Pieces of a batch in the order of the wire.
enum Part {
    /// The copied bytes from where the last such part ended up to here.
    CopiedTo(usize),
    /// The payload of this frame.
    Payload(usize),
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) fn new(
        io: W,
        queue: mpsc::UnboundedReceiver<Bytes>,
        backlog: Backlog,
        shared: Arc<Shared>,
    ) -> Self {
        Writer {
            io,
            queue,
            backlog,
            shared,
            batch: Batch::default(),
        }
    }

    /// Writes until the connection breaks (an error) or its link is dropped.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        while let Some(first) = self.queue.recv().await {
            self.batch.push(first);
            while !self.batch.is_full()
                && let Ok(next) = self.queue.try_recv()
            {
                self.batch.push(next);
            }
            self.batch.encode().await;
            self.write().await?;
            self.backlog
                .remove(self.batch.frames.iter().map(weight).sum());
            count(&self.shared.counters.frames_sent, self.batch.frames.len());
            let full = self.batch.is_full();
            // Now, not at the next turn: an idle connection must not hold on to a payload.
            self.batch.clear();
            if full {
                yield_now().await;
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        let counters = &self.shared.counters;
        // Allocated per batch: the slices borrow from the batch, so they cannot be kept.
        let mut slices = self.batch.slices();
        let mut rest = slices.as_mut_slice();
        let mut unyielded = 0;
        while !rest.is_empty() {
            let (turn, _) = rest.split_at(turn(rest));
            let n = self.io.write_vectored(turn).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            count(&counters.writes, 1);
            count(&counters.bytes_sent, n);
            IoSlice::advance_slices(&mut rest, n);
            unyielded += n;
            if unyielded >= BATCH_BYTES && !rest.is_empty() {
                unyielded = 0;
                yield_now().await;
            }
        }
        Ok(())
    }
}

/// How many of the slices go into one call: at least one.
fn turn(slices: &[IoSlice<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = slices.iter().take(SLICES_MAX).take_while(|slice| {
        bytes += slice.len();
        // A batch without large frames may exceed its bound by one small frame: no reason
        // for a second call.
        bytes <= BATCH_BYTES + SLICE_MAX
    });
    fitting.count().max(1)
}

impl Batch {
    fn clear(&mut self) {
        self.frames.clear();
        self.copied.clear();
        self.parts.clear();
        self.bytes = 0;
    }

    fn push(&mut self, frame: Bytes) {
        self.bytes += HEADER + frame.len();
        self.frames.push(frame);
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.frames.len() == BATCH_FRAMES
    }

    /// Lays out headers and copies. Yields only for frames larger than a whole batch.
    async fn encode(&mut self) {
        for (index, frame) in self.frames.iter().enumerate() {
            let header = frame::header(Kind::Data, frame.len(), checksum(frame).await);
            self.copied.extend_from_slice(&header);
            if frame.len() <= COPY_MAX {
                self.copied.extend_from_slice(frame);
            } else {
                self.parts.push(Part::CopiedTo(self.copied.len()));
                self.parts.push(Part::Payload(index));
            }
        }
        self.parts.push(Part::CopiedTo(self.copied.len()));
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.parts.len() + self.bytes / SLICE_MAX);
        let mut start = 0;
        for part in &self.parts {
            let bytes = match part {
                Part::CopiedTo(end) => self.copied.get(start..*end),
                Part::Payload(index) => self.frames.get(*index).map(|frame| &frame[..]),
            };
            if let Part::CopiedTo(end) = part {
                start = *end;
            }
            let bytes = bytes.unwrap_or(&[]);
            slices.extend(bytes.chunks(SLICE_MAX).map(IoSlice::new));
        }
        slices
    }
}

/// The checksum of a payload, yielding after each [`BATCH_BYTES`] of it.
async fn checksum(payload: &Bytes) -> u32 {
    let mut chunks = payload.chunks(BATCH_BYTES);
    let mut crc = crc32c::crc32c(chunks.next().unwrap_or(&[]));
    for chunk in chunks {
        yield_now().await;
        crc = crc32c::crc32c_append(crc, chunk);
    }
    crc
}
