//! The log of all groups in RocksDB: what a second implementation of [`LogStore`] comes to, and what
//! the segmented log is measured against.
//!
//! It is a database of its own, with a write-ahead log that is synced once per write. What a write is
//! made of goes into one batch. Everything but the payloads is kept in memory too, in a
//! [`MemoryLog`]: so recovery and reading are decided there, in the plainest terms, and RocksDB holds
//! bytes under keys.
//!
//! ```text
//! group u32 · 0               the group has written
//! group u32 · 1               hard state
//! group u32 · 2               purged: index u64 · round u64 · node u64
//! group u32 · 3 · index u64   record: round u64 · node u64 · kind u8 · payload
//! ```
//!
//! Numbers are big-endian. What RocksDB leaves open: a record that rots in the write-ahead log fails
//! the whole opening, where the segmented log names the records that are lost; and its tail may not
//! be told from damage at all times.

use std::fmt;
use std::io;
use std::path::Path;

use bytes::Bytes;
use rocksdb::{DB, DBRecoveryMode, ErrorKind, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::log::{
    Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryLog, Record, RecoveredLog,
};

/// The longest payload of a record, as in the segmented log.
const PAYLOAD_MAX: usize = 1 << 30;
/// How many records one read looks at, at most.
const READ_RECORDS: u64 = 4096;

const EXISTS: u8 = 0;
const HARD_STATE: u8 = 1;
const PURGED: u8 = 2;
const RECORD: u8 = 3;

/// A [`LogStore`] on RocksDB.
pub struct RocksLog {
    db: DB,
    write: WriteOptions,
    /// Everything but the payloads.
    model: MemoryLog,
    fsyncs: u64,
    poisoned: Option<String>,
}

fn tagged(group: GroupId, tag: u8) -> [u8; 5] {
    let [a, b, c, d] = group.0.to_be_bytes();
    [a, b, c, d, tag]
}

fn record_key(group: GroupId, index: u64) -> Vec<u8> {
    [&tagged(group, RECORD)[..], &index.to_be_bytes()].concat()
}

fn epoch_bytes(epoch: Epoch) -> [u8; 16] {
    (u128::from(epoch.round) << 64 | u128::from(epoch.node)).to_be_bytes()
}

fn epoch_of(bytes: [u8; 16]) -> Epoch {
    let both = u128::from_be_bytes(bytes);
    Epoch {
        round: (both >> 64) as u64,
        node: both as u64,
    }
}

fn error(action: &'static str, error: &rocksdb::Error) -> LogError {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::IOError if text.contains("lock") => LogError::Locked {
            file: "LOCK".to_owned(),
        },
        ErrorKind::Corruption => LogError::Corrupt {
            file: text,
            offset: 0,
            what: "RocksDB reports corruption",
        },
        _ => LogError::Io {
            action,
            file: String::new(),
            source: io::Error::other(text),
        },
    }
}

fn strange(key: &[u8]) -> LogError {
    LogError::Corrupt {
        file: format!("{key:02x?}"),
        offset: 0,
        what: "a key or value that this log does not write",
    }
}

impl RocksLog {
    /// Opens the log in `directory`, a new one if there is none, and reads all of it.
    ///
    /// # Errors
    /// Another process has it open, it is damaged, or the disk failed.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        // Point in time, the default, would drop what was acknowledged behind a damaged record.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        // Nearly everything is purged before it would be flushed: the fewer flushes the better.
        options.set_write_buffer_size(64 << 20);
        options.set_max_write_buffer_number(4);
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_keep_log_file_num(4);
        let db = DB::open(&options, directory).map_err(|found| error("open", &found))?;
        let mut write = WriteOptions::default();
        write.set_sync(true);
        Ok(RocksLog {
            model: recover(&db)?,
            db,
            write,
            fsyncs: 0,
            poisoned: None,
        })
    }

    fn alive(&self) -> Result<(), LogError> {
        match &self.poisoned {
            Some(reason) => Err(LogError::Poisoned {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The payload of a record that is known of, if it is still what was written.
    fn payload(&self, group: GroupId, record: &Record) -> Option<Bytes> {
        let found = self.db.get(record_key(group, record.index)).ok()??;
        let (epoch, kind, payload) = decode_record(&found)?;
        let same = (epoch, kind) == (record.epoch, record.kind);
        same.then(|| Bytes::copy_from_slice(payload))
    }
}

fn decode_record(value: &[u8]) -> Option<(Epoch, u8, &[u8])> {
    let (epoch, rest) = value.split_first_chunk::<16>()?;
    let (kind, payload) = rest.split_first()?;
    Some((epoch_of(*epoch), *kind, payload))
}

/// Everything but the payloads.
fn recover(db: &DB) -> Result<MemoryLog, LogError> {
    let mut model = MemoryLog::new();
    for row in db.iterator(IteratorMode::Start) {
        let (key, value) = row.map_err(|found| error("read", &found))?;
        let (group, op) = decode(&key, &value).ok_or_else(|| strange(&key))?;
        model.apply(group, &op);
    }
    Ok(model)
}

/// What a row says, as an operation. Rows of a group come in the order of their tags: purged before
/// its records.
fn decode(key: &[u8], value: &[u8]) -> Option<(GroupId, LogOp)> {
    let (group, rest) = key.split_first_chunk::<4>()?;
    let group = GroupId(u32::from_be_bytes(*group));
    let (tag, rest) = rest.split_first()?;
    let op = match *tag {
        EXISTS => LogOp::TruncateFrom(u64::MAX),
        HARD_STATE => LogOp::HardState(Bytes::copy_from_slice(value)),
        PURGED => {
            let (index, epoch) = value.split_first_chunk::<8>()?;
            LogOp::PurgeTo {
                index: u64::from_be_bytes(*index),
                epoch: epoch_of(epoch.try_into().ok()?),
            }
        }
        RECORD => {
            let (epoch, kind, _) = decode_record(value)?;
            LogOp::Put(Record {
                index: u64::from_be_bytes(rest.try_into().ok()?),
                epoch,
                kind,
                payload: Bytes::new(),
            })
        }
        _ => return None,
    };
    Some((group, op))
}

/// Puts an operation into a batch, and into the model what the batch does.
fn stage(batch: &mut WriteBatch, model: &mut MemoryLog, group: GroupId, op: &LogOp) {
    let purged = model.purged(group).0;
    match op {
        LogOp::HardState(state) => batch.put(tagged(group, HARD_STATE), state),
        LogOp::Put(record) if record.index <= purged => {}
        LogOp::Put(record) => {
            let head = [&epoch_bytes(record.epoch)[..], &[record.kind]].concat();
            let value = [&head[..], &record.payload].concat();
            batch.put(record_key(group, record.index), value);
        }
        LogOp::TruncateFrom(from) => {
            batch.delete_range(
                &record_key(group, *from)[..],
                &tagged(group, RECORD + 1)[..],
            );
        }
        LogOp::PurgeTo { index, epoch } if *index >= purged => {
            let value = [&index.to_be_bytes()[..], &epoch_bytes(*epoch)].concat();
            batch.put(tagged(group, PURGED), value);
            // The first key behind it is the same with a zero.
            let end = [&record_key(group, *index)[..], &[0]].concat();
            batch.delete_range(record_key(group, 0), end);
        }
        LogOp::PurgeTo { .. } => {}
    }
    match op {
        LogOp::Put(record) => model.apply(
            group,
            &LogOp::Put(Record {
                payload: Bytes::new(),
                ..*record
            }),
        ),
        other => model.apply(group, other),
    }
}

impl LogStore for RocksLog {
    fn groups(&self) -> Vec<GroupId> {
        self.model.groups()
    }

    fn recovered(&self, group: GroupId) -> RecoveredLog {
        self.model.recovered(group)
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), LogError> {
        self.alive()?;
        if writes.iter().all(|write| write.ops.is_empty()) {
            return Ok(());
        }
        let puts = writes.iter().flat_map(|write| {
            let puts = write.ops.iter().filter_map(|op| match op {
                LogOp::Put(record) => Some(record.payload.len()),
                _ => None,
            });
            puts.map(|bytes| (write.group, bytes))
        });
        for (group, bytes) in puts {
            if bytes > PAYLOAD_MAX {
                return Err(LogError::TooLarge {
                    group,
                    bytes,
                    limit: PAYLOAD_MAX,
                });
            }
        }
        let mut batch = WriteBatch::default();
        for write in writes.iter().filter(|write| !write.ops.is_empty()) {
            if !self.model.has(write.group) {
                batch.put(tagged(write.group, EXISTS), []);
            }
            for op in &write.ops {
                stage(&mut batch, &mut self.model, write.group, op);
            }
        }
        if let Err(found) = self.db.write_opt(batch, &self.write) {
            // The model is ahead of what is durable, and nobody may look at it any more.
            self.poisoned = Some(found.to_string());
            return Err(error("write", &found));
        }
        self.fsyncs += 1;
        Ok(())
    }

    fn read(
        &mut self,
        group: GroupId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<LogRead, LogError> {
        self.alive()?;
        let last = to.min(from.saturating_add(READ_RECORDS));
        let mut records = match self.model.read(group, from, last, usize::MAX)? {
            LogRead::Records(records) => records,
            nothing => return Ok(nothing),
        };
        let (mut bytes, mut whole) = (0, 0);
        for record in &mut records {
            if whole > 0 && bytes >= max_bytes {
                break;
            }
            let Some(payload) = self.payload(group, record) else {
                break;
            };
            bytes += payload.len();
            record.payload = payload;
            whole += 1;
        }
        records.truncate(whole);
        Ok(match records.is_empty() {
            true => LogRead::Corrupt,
            false => LogRead::Records(records),
        })
    }

    fn fsyncs(&self) -> u64 {
        self.fsyncs
    }
}

impl fmt::Debug for RocksLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksLog")
            .field("groups", &self.model.groups())
            .field("fsyncs", &self.fsyncs)
            .finish_non_exhaustive()
    }
}
