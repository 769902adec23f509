//! A log store that forgets: the contract in its plainest form.
//!
//! It is what tests of other layers run on, and the model that the suites compare a real store with.
//! So it is written to be obviously right: a map per group, one line per operation, no accounting.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, Record, RecoveredLog};

/// Keeps every group's log in memory. Cloning copies the maps and shares the payloads.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    groups: BTreeMap<GroupId, Group>,
    writes: u64,
}

#[derive(Clone, Debug, Default)]
struct Group {
    hard_state: Option<Bytes>,
    purged: (u64, Epoch),
    records: BTreeMap<u64, Record>,
}

impl MemoryLog {
    /// A store without any group.
    #[must_use]
    pub fn new() -> Self {
        MemoryLog::default()
    }

    /// Carries out one operation; the suites use it to build every prefix of a write.
    pub fn apply(&mut self, group: GroupId, op: &LogOp) {
        let log = self.groups.entry(group).or_default();
        match op {
            LogOp::HardState(state) => log.hard_state = Some(state.clone()),
            LogOp::Put(record) if record.index <= log.purged.0 => {}
            LogOp::Put(record) => {
                log.records.insert(record.index, record.clone());
            }
            LogOp::TruncateFrom(from) => log.records.retain(|index, _| index < from),
            LogOp::PurgeTo { index, epoch } if *index >= log.purged.0 => {
                log.purged = (*index, *epoch);
                log.records.retain(|at, _| at > index);
            }
            LogOp::PurgeTo { .. } => {}
        }
    }
}

#[cfg(feature = "rocksdb")]
impl MemoryLog {
    /// Whether the group has ever written.
    pub(crate) fn has(&self, group: GroupId) -> bool {
        self.groups.contains_key(&group)
    }

    /// The last index purged, with its epoch.
    pub(crate) fn purged(&self, group: GroupId) -> (u64, Epoch) {
        self.groups
            .get(&group)
            .map_or_else(Default::default, |log| log.purged)
    }
}

#[cfg(feature = "conformance")]
impl MemoryLog {
    /// Takes over one group from another store.
    pub(crate) fn adopt(&mut self, group: GroupId, from: &MemoryLog) {
        if let Some(log) = from.groups.get(&group) {
            self.groups.insert(group, log.clone());
        }
    }
}

impl LogStore for MemoryLog {
    fn groups(&self) -> Vec<GroupId> {
        self.groups.keys().copied().collect()
    }

    fn recovered(&self, group: GroupId) -> RecoveredLog {
        self.groups
            .get(&group)
            .map_or_else(RecoveredLog::default, |log| RecoveredLog {
                hard_state: log.hard_state.clone(),
                purged: log.purged,
                records: log
                    .records
                    .values()
                    .map(|record| (record.index, record.epoch, record.kind))
                    .collect(),
                damaged: false,
            })
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), LogError> {
        for write in writes {
            write.ops.iter().for_each(|op| self.apply(write.group, op));
        }
        self.writes += u64::from(writes.iter().any(|write| !write.ops.is_empty()));
        Ok(())
    }

    fn read(
        &mut self,
        group: GroupId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<LogRead, LogError> {
        let Some(log) = self.groups.get(&group) else {
            return Ok(if from == 0 {
                LogRead::Purged
            } else {
                LogRead::Missing
            });
        };
        if from <= log.purged.0 {
            return Ok(LogRead::Purged);
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        for record in log
            .records
            .range(from..=to.max(from))
            .map(|(_, record)| record)
        {
            let expected = from + records.len() as u64;
            if record.index != expected || (!records.is_empty() && bytes >= max_bytes) {
                break;
            }
            bytes += record.payload.len();
            records.push(record.clone());
        }
        Ok(if records.is_empty() {
            LogRead::Missing
        } else {
            LogRead::Records(records)
        })
    }

    /// One per write: as many as a store that lasts would need.
    fn fsyncs(&self) -> u64 {
        self.writes
    }
}
