//! A log store of a hundred lines, right or broken in one chosen way: what the crash suite is tested
//! with. Opening rewrites everything into a new file; a write appends one checksummed frame.

use std::io::IoSlice;

use bytes::Bytes;
use storage::{
    Disk, DiskFile, Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryDisk,
    MemoryFile, MemoryLock, MemoryLog, Record, RecoveredLog,
};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    ReportsBeforeDurable,
    ForgetsTheDirectory,
    TrustsTornFrames,
    GoesOnAfterFailure,
    TrustsThePageCache,
    NoLock,
    ReplayIgnoresTruncation,
}

pub(crate) struct NaiveLog {
    model: MemoryLog,
    file: MemoryFile,
    end: u64,
    fault: Fault,
    syncs: u64,
    failed: bool,
    _lock: Option<MemoryLock>,
}

const FILE: &str = "log";
const NEW: &str = "new";

fn io(source: std::io::Error) -> LogError {
    LogError::Io {
        action: "use",
        file: FILE.to_owned(),
        source,
    }
}

impl NaiveLog {
    pub(crate) fn open(disk: MemoryDisk, fault: Fault) -> Result<Self, LogError> {
        let lock = match disk.lock("lock") {
            Ok(lock) => Some(lock),
            Err(_) if fault == Fault::NoLock => None,
            Err(_) => {
                return Err(LogError::Locked {
                    file: "lock".to_owned(),
                });
            }
        };
        let found = disk.contents(FILE);
        let (model, good) = replay(&found, fault);
        let _ = disk.remove(NEW);
        let (file, end) = if fault == Fault::TrustsThePageCache && !found.is_empty() {
            (disk.open(FILE).map_err(io)?, good.len() as u64)
        } else {
            let file = disk.create(NEW).map_err(io)?;
            file.write_at(&mut [IoSlice::new(&good)], 0).map_err(io)?;
            file.sync_data().map_err(io)?;
            disk.rename(NEW, FILE).map_err(io)?;
            if fault != Fault::ForgetsTheDirectory {
                disk.sync_dir().map_err(io)?;
            }
            (file, good.len() as u64)
        };
        Ok(NaiveLog {
            model,
            file,
            end,
            fault,
            syncs: 0,
            failed: false,
            _lock: lock,
        })
    }

    fn append(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.file.write_at(&mut [IoSlice::new(frame)], self.end)?;
        if self.fault != Fault::ReportsBeforeDurable {
            self.file.sync_data()?;
        }
        self.end += frame.len() as u64;
        Ok(())
    }

    fn alive(&self) -> Result<(), LogError> {
        if self.failed && self.fault != Fault::GoesOnAfterFailure {
            return Err(LogError::Poisoned {
                reason: "an earlier failure".to_owned(),
            });
        }
        Ok(())
    }
}

impl LogStore for NaiveLog {
    fn groups(&self) -> Vec<GroupId> {
        self.model.groups()
    }

    fn recovered(&self, group: GroupId) -> RecoveredLog {
        self.model.recovered(group)
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), LogError> {
        self.alive()?;
        self.syncs += 1;
        if let Err(error) = self.append(&frame(writes)) {
            self.failed = true;
            return Err(io(error));
        }
        self.model.write(writes)
    }

    fn read(
        &mut self,
        group: GroupId,
        from: u64,
        to: u64,
        max: usize,
    ) -> Result<LogRead, LogError> {
        self.alive()?;
        self.model.read(group, from, to, max)
    }

    fn fsyncs(&self) -> u64 {
        self.syncs
    }
}

/// Length, checksum, operations.
fn frame(writes: &[GroupWrite]) -> Vec<u8> {
    let mut body = Vec::new();
    for write in writes {
        for op in &write.ops {
            let (code, numbers, bytes) = match op {
                LogOp::HardState(state) => (0, [0; 4], state.clone()),
                LogOp::Put(record) => {
                    let Epoch { round, node } = record.epoch;
                    let numbers = [record.index, round, node, record.kind.into()];
                    (1, numbers, record.payload.clone())
                }
                LogOp::TruncateFrom(from) => (2, [*from, 0, 0, 0], Bytes::new()),
                LogOp::PurgeTo { index, epoch } => {
                    (3, [*index, epoch.round, epoch.node, 0], Bytes::new())
                }
            };
            let head = [u64::from(write.group.0), code].into_iter().chain(numbers);
            for number in head.chain([bytes.len() as u64]) {
                body.extend_from_slice(&number.to_le_bytes());
            }
            body.extend_from_slice(&bytes);
        }
    }
    let mut frame = (body.len() as u64).to_le_bytes().to_vec();
    frame.extend_from_slice(&u64::from(crc32c::crc32c(&body)).to_le_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// What the frames say, and the bytes of those that count.
fn replay(mut bytes: &[u8], fault: Fault) -> (MemoryLog, Vec<u8>) {
    let mut model = MemoryLog::new();
    let mut good = Vec::new();
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at * 8..at * 8 + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().unwrap()))
    };
    while let (Some(length), Some(checksum)) = (number(bytes, 0), number(bytes, 1)) {
        let Some(mut body) = bytes.get(16..16 + length as usize) else {
            break;
        };
        let intact = checksum == crc32c::crc32c(body).into() && length > 0;
        if !intact && (fault != Fault::TrustsTornFrames || length == 0) {
            break;
        }
        while let Some(length) = number(body, 6) {
            let field = |at| number(body, at).unwrap_or(0);
            let payload = body.get(56..56 + length as usize).unwrap_or_default();
            let payload = Bytes::copy_from_slice(payload);
            let epoch = Epoch {
                round: field(3),
                node: field(4),
            };
            let index = field(2);
            let op = match field(1) {
                0 => LogOp::HardState(payload),
                1 => LogOp::Put(Record {
                    index,
                    epoch,
                    kind: field(5) as u8,
                    payload,
                }),
                2 if fault == Fault::ReplayIgnoresTruncation => LogOp::TruncateFrom(u64::MAX),
                2 => LogOp::TruncateFrom(index),
                _ => LogOp::PurgeTo { index, epoch },
            };
            model.apply(GroupId(field(0) as u32), &op);
            body = body.get(56 + length as usize..).unwrap_or_default();
        }
        let (frame, rest) = bytes.split_at(16 + length as usize);
        good.extend_from_slice(frame);
        bytes = rest;
    }
    (model, good)
}
