//! The log that lasts: every group's records in one sequence of segment files.
//!
//! ```text
//! write(…) ─▶ one batch ─▶ one pwritev ─▶ one fdatasync ─▶ Ok
//!
//! 0000000007.log │ batch 41 │ batch 42 │ …            its last batch is 57
//! 0000000008.log │ batch 58 │ batch 59 │ zeros ahead  "all up to 57 was there"
//! ```
//!
//! One call of [`write`](LogStore::write) is one batch, whatever the number of groups; it lies in one
//! segment and carries a number. Its successor is written only after its sync returned. From that
//! [`recovery`] tells a write that a crash has torn, which is cut, from the loss of something
//! acknowledged, which is reported and never guessed away. Everything else follows: [`mod@format`] says
//! what the bytes are, [`index`] what is remembered, [`cleaner`] how old segments go.
//!
//! Invariants:
//! * Nothing is written over: a batch only ever goes where zeros were, in sectors of its own.
//! * A segment is not removed before everything live in it stands, synced, in a later one, together
//!   with the record that it may be missing.
//! * After any failure of a write or sync the store does nothing any more.
//!
//! Left out on purpose: a cache of records (protocols keep their recent ones, the page cache the
//! others), compression, and recycling of files (pre-filled zeros are told from a torn write for
//! certain, old contents only by their checksums).

mod batch;
mod cleaner;
mod files;
mod format;
mod group;
mod index;
mod ledger;
mod newest;
mod recovery;
mod scan;

use std::fmt;
use std::io;

use bytes::Bytes;
use tracing::warn;

pub use recovery::{Damage, LogReport, Loss, SegmentReport};

use self::batch::{BatchBuilder, Payload};
use self::cleaner::{Cleaner, entry_payload};
use self::files::Files;
use self::format::{BATCH_HEADER, Op, PAYLOAD_MAX, RecordHeader, SegmentHeader, record_bytes};
use self::group::Location;
use self::index::Index;
use crate::disk::{Disk, DiskFile};
use crate::log::{
    Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, Record, RecoveredLog,
};

/// The file whose lock says that the log is open.
const LOCK: &str = "lock";

/// Records of one group that stand this close to each other are read in one go.
const READ_GAP_BYTES: u64 = 4096;

/// How a segmented log uses its disk.
#[derive(Clone, Debug)]
pub struct LogOptions {
    segment_bytes: u64,
    step_bytes: u64,
    salt: Option<u64>,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            segment_bytes: 64 << 20,
            step_bytes: 1 << 20,
            salt: None,
        }
    }
}

impl LogOptions {
    /// How large a segment is, 64 MiB by default. A write that does not fit into one gets a segment
    /// as large as it needs.
    #[must_use]
    pub fn segment_bytes(self, segment_bytes: u64) -> Self {
        LogOptions {
            segment_bytes,
            ..self
        }
    }

    /// How many zeros are written ahead of the records at a time.
    #[must_use]
    pub fn step_bytes(self, step_bytes: u64) -> Self {
        LogOptions { step_bytes, ..self }
    }

    /// Makes the checksums follow from `salt` instead of from the process' randomness, so that the
    /// same calls write the same bytes. For simulations.
    #[must_use]
    pub fn salt(self, salt: u64) -> Self {
        LogOptions {
            salt: Some(salt),
            ..self
        }
    }
}

/// A [`LogStore`] in segment files on a [`Disk`].
///
/// After a crash in the middle of a write all of it is there or nothing, for all its groups. Damage
/// found at opening stays on record, whatever becomes of the segment it was found in, until the group
/// has made up for it: a lost record until it is put again, truncated or purged; a lost hard state
/// until the next; anything that cannot be named until the group has written its hard state, a purge,
/// and a truncation right behind the purged index, as one does that installs a snapshot.
///
/// What it cannot tell: bits that rot in the highest batch of a log that was not closed look like a
/// torn write. The next write, the next opening and a proper close each put an end to that.
pub struct SegmentedLog<D: Disk> {
    options: LogOptions,
    files: Files<D>,
    index: Index,
    cleaner: Cleaner,
    batch: BatchBuilder,
    /// The number of the next batch.
    next: u64,
    /// The last batch on the disk says something: a seal behind it would protect it.
    unsealed: bool,
    damage: Vec<Damage>,
    /// Why nothing is done any more.
    poisoned: Option<String>,
    // Declared last, so dropped last: the files are closed before another process may open them.
    _lock: D::Lock,
}

impl<D: Disk> SegmentedLog<D> {
    /// Opens the log in `disk`, a new one if there is none, and recovers what is durable. Reads
    /// every segment from end to end. What had to be cut or was found damaged is traced, and told by
    /// [`damage`](Self::damage).
    ///
    /// # Errors
    /// Another process has it open; the disk fails; a segment is missing or its header unreadable;
    /// another version wrote it.
    pub fn open(disk: D, options: LogOptions) -> Result<Self, LogError> {
        let lock = disk.lock(LOCK).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => LogError::Locked {
                file: LOCK.to_owned(),
            },
            _ => io_error("lock", LOCK, error),
        })?;
        let recovered = recovery::recover(disk, options.clone())?;
        Ok(SegmentedLog {
            options,
            unsealed: recovered.files.position() > format::DATA_START,
            files: recovered.files,
            index: recovered.index,
            cleaner: Cleaner::default(),
            batch: recovered.batch,
            next: recovered.next,
            damage: recovered.damage,
            poisoned: None,
            _lock: lock,
        })
    }

    /// What the log in `disk` holds, without opening it: nothing is locked, and nothing changed. For
    /// a node that is not running. Reads every segment from end to end.
    ///
    /// # Errors
    /// The disk fails; a segment is missing or its header unreadable; another version wrote it.
    pub fn inspect(disk: &D) -> Result<LogReport, LogError> {
        recovery::inspect(disk)
    }

    /// What was cut or found damaged when the log was opened.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How much of the disk the log takes, in bytes.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.files.bytes()
    }

    fn alive(&self) -> Result<(), LogError> {
        match &self.poisoned {
            Some(reason) => Err(LogError::Poisoned {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    fn write_batch(&mut self, writes: &[GroupWrite]) -> Result<(), LogError> {
        let own = checked_bytes(writes)?;
        let (index, files) = (&mut self.index, &self.files);
        let (copies, carried) = self.cleaner.carry(index, files, &self.options, own);
        let room = BATCH_HEADER + carried + own + record_bytes(0);
        if !self.files.fits(room) {
            self.rotate(room)?;
        }
        let segment = self.files.active();
        let (id, salt) = (segment.id, segment.salt);
        self.batch.begin(self.next, salt, self.files.position());
        for (header, payload) in &copies {
            self.add(id, *header, &Payload::Shared(payload));
        }
        for write in writes {
            for op in &write.ops {
                let (header, payload) = encode(write.group, op);
                self.add(id, header, &payload);
            }
        }
        self.release(id);
        self.batch.finish();
        self.files.append(&self.batch)?;
        self.next += 1;
        self.unsealed = true;
        self.batch.clear();
        self.index.ledger.release_below(self.index.floor);
        if self.files.may_remove() {
            self.files.remove_one_below(self.index.floor)?;
        }
        Ok(())
    }

    /// Puts a record into the batch, and into the index at once: if the batch fails, nobody looks
    /// there any more.
    fn add(&mut self, segment: u32, header: RecordHeader, payload: &Payload<'_>) {
        let record = self.batch.add(header, payload);
        self.index.apply(segment, &record, Some(payload.as_slice()));
    }

    /// Records that the oldest segments may go, if nothing in them is needed once this batch is
    /// durable.
    fn release(&mut self, active: u32) {
        let Some(oldest) = self.files.oldest_closed() else {
            return;
        };
        // Those below are on record already, and go one by one.
        let oldest = oldest.max(self.index.floor);
        let needed = |id: &u32| self.index.ledger.live(*id) > 0;
        let floor = (oldest..active).find(needed).unwrap_or(active);
        if floor > oldest {
            let header = RecordHeader {
                op: Op::Release,
                index: floor.into(),
                ..RecordHeader::default()
            };
            self.add(active, header, &Payload::Borrowed(&[]));
        }
    }

    fn rotate(&mut self, room: u64) -> Result<(), LogError> {
        let header = SegmentHeader {
            id: self.files.active().id + 1,
            salt: self.files.salt(self.files.active().id + 1),
            required: self.next - 1,
            first: self.next,
            floor: self.index.floor,
        };
        self.files.make(header, None, room)
    }

    /// Reads the records at `run`, which stand in one segment and close to each other, in one go.
    /// False if one could not be read, and with it none behind it.
    fn read_run(&self, group: u32, run: &[Location], records: &mut Vec<Record>) -> bool {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return true;
        };
        let Some(segment) = self.files.get(first.segment) else {
            return false;
        };
        let mut bytes = vec![0; (end(last) - first.at()) as usize];
        match segment.file.read_at(&mut bytes, first.at()) {
            Ok(read) => bytes.truncate(read),
            Err(error) => {
                let file = format::file_name(first.segment);
                warn!(file, offset = first.at(), %error, "cannot read the log");
                return false;
            }
        }
        let bytes = Bytes::from(bytes);
        for location in run {
            let from = ((location.at() - first.at()) as usize).min(bytes.len());
            let here = bytes.slice(from..);
            let payload = entry_payload(&here, segment.salt, group, location);
            let Some(payload) = payload.filter(|_| !location.lost) else {
                let file = format::file_name(location.segment);
                let (offset, index) = (location.at(), location.index);
                warn!(
                    file,
                    offset, group, index, "a record does not read as it was written"
                );
                return false;
            };
            records.push(Record {
                index: location.index,
                epoch: location.epoch,
                kind: location.kind,
                payload,
            });
        }
        true
    }
}

impl<D: Disk> LogStore for SegmentedLog<D> {
    fn groups(&self) -> Vec<GroupId> {
        self.index.ids()
    }

    fn recovered(&self, group: GroupId) -> RecoveredLog {
        self.index.recovered(group.0)
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), LogError> {
        self.alive()?;
        if writes.iter().all(|write| write.ops.is_empty()) {
            return Ok(());
        }
        let result = self.write_batch(writes);
        if let Err(error) = &result {
            self.poisoned = Some(error.to_string());
        }
        result
    }

    fn read(
        &mut self,
        group: GroupId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<LogRead, LogError> {
        self.alive()?;
        let log = self.index.groups.get(&group.0);
        if from <= log.map_or(0, |log| log.purged_index()) {
            return Ok(LogRead::Purged);
        }
        let mut run: Vec<Location> = Vec::new();
        let mut records = Vec::new();
        let (mut bytes, mut readable, mut found) = (0, true, false);
        let locations = log.into_iter().flat_map(|log| log.run(from, to.max(from)));
        for location in locations {
            if found && bytes >= max_bytes {
                break;
            }
            found = true;
            bytes += location.length as usize;
            if run.last().is_some_and(|last| !is_near(last, location)) {
                readable = self.read_run(group.0, &run, &mut records);
                run.clear();
                if !readable {
                    break;
                }
            }
            run.push(*location);
        }
        if readable {
            self.read_run(group.0, &run, &mut records);
        }
        Ok(match (found, records.is_empty()) {
            (false, _) => LogRead::Missing,
            (true, true) => LogRead::Corrupt,
            (true, false) => LogRead::Records(records),
        })
    }

    fn tidy(&mut self) -> Result<bool, LogError> {
        self.alive()?;
        let floor = self.index.floor;
        if let Err(error) = self.files.remove_one_below(floor) {
            self.poisoned = Some(error.to_string());
            return Err(error);
        }
        Ok(self.files.any_below(floor))
    }

    fn fsyncs(&self) -> u64 {
        self.files.fsyncs
    }
}

impl<D: Disk> fmt::Debug for SegmentedLog<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentedLog")
            .field("groups", &self.index.ids())
            .field("next_batch", &self.next)
            .field("disk_bytes", &self.files.bytes())
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

/// Seals the log: an empty batch behind the last, so that damage to the last is known for what it is
/// and not taken for a torn write.
impl<D: Disk> Drop for SegmentedLog<D> {
    fn drop(&mut self) {
        if self.poisoned.is_some() || !self.unsealed || !self.files.fits(BATCH_HEADER) {
            return;
        }
        let salt = self.files.active().salt;
        self.batch.begin(self.next, salt, self.files.position());
        self.batch.finish();
        if let Err(error) = self.files.append(&self.batch) {
            warn!(%error, "cannot seal the log; nothing acknowledged is lost");
        }
    }
}

/// What the operations take up in a batch.
fn checked_bytes(writes: &[GroupWrite]) -> Result<u64, LogError> {
    let mut total = 0;
    for write in writes {
        for op in &write.ops {
            let (_, payload) = encode(write.group, op);
            let bytes = payload.as_slice().len();
            if bytes > PAYLOAD_MAX {
                return Err(LogError::TooLarge {
                    group: write.group,
                    bytes,
                    limit: PAYLOAD_MAX,
                });
            }
            total += record_bytes(bytes);
        }
    }
    Ok(total)
}

/// An operation as a record.
fn encode(group: GroupId, op: &LogOp) -> (RecordHeader, Payload<'_>) {
    let none = Payload::Borrowed(&[]);
    let header = |op, kind, index, epoch: Epoch| RecordHeader {
        group: group.0,
        op,
        lost: false,
        copy: false,
        kind,
        index,
        round: epoch.round,
        node: epoch.node,
    };
    match op {
        LogOp::HardState(state) => (
            header(Op::HardState, 0, 0, Epoch::default()),
            Payload::Shared(state),
        ),
        LogOp::Put(record) => (
            header(Op::Put, record.kind, record.index, record.epoch),
            Payload::Shared(&record.payload),
        ),
        LogOp::TruncateFrom(from) => (header(Op::Truncate, 0, *from, Epoch::default()), none),
        LogOp::PurgeTo { index, epoch } => (header(Op::Purge, 0, *index, *epoch), none),
    }
}

fn end(location: &Location) -> u64 {
    location.at() + format::RECORD_HEADER + u64::from(location.length)
}

/// Whether `next` stands so close behind `last` that reading what is between costs little.
fn is_near(last: &Location, next: &Location) -> bool {
    let gap = next.at().checked_sub(end(last));
    last.segment == next.segment && gap.is_some_and(|gap| gap <= READ_GAP_BYTES)
}

fn io_error(action: &'static str, file: &str, source: io::Error) -> LogError {
    LogError::Io {
        action,
        file: file.to_owned(),
        source,
    }
}
