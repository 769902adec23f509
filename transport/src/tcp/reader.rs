//! The reading half of a connection.
//!
//! It reads into one large buffer and hands out slices of it. Memory grows only with bytes
//! that have arrived: a claimed length reserves nothing. And it stops reading while the
//! embedding program leaves more than `receive_limit` bytes untaken, so a slow program pushes
//! back on its peers rather than holding what they send.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::connection::{End, Report};
use super::shared::count;
use crate::frame::{self, Decoded, Kind, Summed};
use crate::handshake::Agreed;
use crate::links::{Incoming, weight};

/// Bytes of a read buffer.
const BUFFER: usize = 256 << 10;

/// Bytes left in the buffer below which it is replaced rather than filled up: a read into
/// less would be a system call for little.
const ROOM_MIN: usize = 32 << 10;

/// Bytes read after which the task yields, so that on a runtime of one thread a fast peer
/// does not hold up the others.
const TURN_BYTES: usize = 512 << 10;

/// See the module.
pub(crate) struct Reader<'a, R> {
    report: &'a Report,
    io: R,
    frame_limit: u32,
    buffer: BytesMut,
    summed: Summed,
    /// The buffer was grown for one large frame and goes with it: else the next small frame
    /// would keep all of it alive.
    grown: bool,
    /// What may yet wait to be taken, in bytes.
    credit: Arc<Semaphore>,
    /// Frames of the last batch: a good guess for the next.
    typical: usize,
}

impl<'a, R: AsyncRead + Unpin> Reader<'a, R> {
    /// A reader of what follows the handshake.
    pub(crate) fn new(report: &'a Report, agreed: Agreed, io: R) -> Self {
        let receive_limit = report.shared.config.receive_limit;
        Reader {
            report,
            io,
            frame_limit: report.shared.config.frame_limit,
            buffer: agreed.rest,
            summed: Summed::default(),
            grown: false,
            credit: Arc::new(Semaphore::new(receive_limit as usize)),
            typical: 0,
        }
    }

    /// Reads until the end, and says which.
    pub(crate) async fn run(&mut self) -> End {
        let mut unyielded = 0;
        loop {
            let mut frames = Vec::new();
            let decoded = self.decode(&mut frames);
            if !frames.is_empty() {
                self.deliver(frames).await;
            }
            let total = match decoded {
                Ok(total) => total,
                Err(end) => return end,
            };
            if unyielded >= TURN_BYTES {
                unyielded = 0;
                yield_now().await;
            }
            self.make_room(total);
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) if self.buffer.is_empty() => return End::Closed,
                Ok(0) => return End::Truncated,
                Ok(n) => {
                    unyielded += n;
                    count(&self.report.shared.counters.reads, 1);
                    count(&self.report.shared.counters.bytes_received, n);
                }
                Err(error) => return End::Broken(error),
            }
        }
    }

    /// Takes all whole frames out of the buffer; then says how many bytes the next will take.
    fn decode(&mut self, frames: &mut Vec<Bytes>) -> Result<usize, End> {
        loop {
            match frame::decode(&mut self.buffer, self.frame_limit, &mut self.summed)? {
                Decoded::Incomplete { total } => return Ok(total),
                Decoded::Frame(frame) if frame.kind == Kind::Data => {
                    if frames.is_empty() {
                        frames.reserve(self.typical);
                    }
                    frames.push(frame.payload);
                }
                Decoded::Frame(frame) => return Err(End::Unexpected(frame.kind)),
            }
            if self.grown {
                self.grown = false;
                self.buffer = BytesMut::from(&self.buffer[..]);
            }
        }
    }

    async fn deliver(&mut self, frames: Vec<Bytes>) {
        self.typical = frames.len();
        count(&self.report.shared.counters.frames_received, frames.len());
        let limit = self.report.shared.config.receive_limit;
        let bytes: usize = frames.iter().map(weight).sum();
        // What exceeds the whole credit waits for all of it: one large frame at a time.
        let bytes = u32::try_from(bytes).unwrap_or(limit).min(limit);
        let Ok(credit) = self.credit.clone().acquire_many_owned(bytes).await else {
            return; // Never: nobody closes this semaphore.
        };
        self.report.shared.report(
            self.report.channel,
            Incoming::Frames {
                from: self.report.peer,
                channel: self.report.channel,
                connection: self.report.connection,
                frames,
                credit,
            },
        );
    }

    /// Makes room for the next read, where the frame at the front takes `total` bytes. Doubles
    /// for a large frame, so that what is reserved is at most what has arrived, plus a buffer.
    fn make_room(&mut self, total: usize) {
        let held = self.buffer.len();
        let room = self.buffer.capacity() - held;
        if total <= BUFFER {
            if room < ROOM_MIN {
                self.buffer.reserve(BUFFER);
            }
        } else {
            self.grown = true;
            let missing = total - held;
            if room < missing.min(ROOM_MIN) {
                self.buffer.reserve(missing.min(held.max(BUFFER)));
            }
        }
    }
}
