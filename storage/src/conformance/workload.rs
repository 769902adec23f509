//! What the log suites share: random writes, and the comparison of a store with a model.

use bytes::Bytes;

use super::{Outcome, ensure, ensure_eq};
use crate::log::{
    Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryLog, Record,
};
use crate::random::Random;

/// The groups that random histories are about. Two of them are equal modulo 64.
pub(super) const GROUPS: [GroupId; 4] = [GroupId(0), GroupId(3), GroupId(7), GroupId(67)];

pub(super) fn failed(error: LogError) -> String {
    error.to_string()
}

pub(super) fn epoch(round: u64) -> Epoch {
    Epoch { round, node: 1 }
}

/// A record whose payload tells where it belongs.
pub(super) fn record(index: u64, round: u64, payload: impl Into<Bytes>) -> Record {
    Record {
        index,
        epoch: epoch(round),
        kind: (index % 5) as u8,
        payload: payload.into(),
    }
}

pub(super) fn put(index: u64, round: u64) -> LogOp {
    LogOp::Put(record(index, round, format!("{index}@{round}")))
}

pub(super) fn purge(index: u64, round: u64) -> LogOp {
    LogOp::PurgeTo {
        index,
        epoch: epoch(round),
    }
}

pub(super) fn hard_state(text: &'static str) -> LogOp {
    LogOp::HardState(Bytes::from_static(text.as_bytes()))
}

pub(super) fn write<S: LogStore>(
    store: &mut S,
    group: GroupId,
    ops: impl Into<Vec<LogOp>>,
) -> Outcome {
    let ops = ops.into();
    store.write(&[GroupWrite { group, ops }]).map_err(failed)
}

/// Every record of `group`, read one stretch after the other; corruption is an error.
pub(super) fn read_all<S: LogStore>(store: &mut S, group: GroupId) -> Result<Vec<Record>, String> {
    let mut found: Vec<Record> = Vec::new();
    for (index, _, _) in store.recovered(group).records {
        if found.last().is_some_and(|last| last.index >= index) {
            continue;
        }
        match store.read(group, index, u64::MAX, 10_000).map_err(failed)? {
            LogRead::Records(records) => found.extend(records),
            other => return Err(format!("{group} at {index}: {other:?} instead of records")),
        }
    }
    Ok(found)
}

/// Whether `store` holds for `group` exactly what `model` does, payloads included.
pub(super) fn same<S: LogStore>(store: &mut S, model: &MemoryLog, group: GroupId) -> Outcome {
    ensure_eq!(store.recovered(group), model.recovered(group), "{group}");
    let found = read_all(store, group)?;
    let expected = read_all(&mut model.clone(), group)?;
    for (found, expected) in found.iter().zip(&expected) {
        ensure!(
            found == expected,
            "{group} at {}: the record read is not the one written",
            expected.index
        );
    }
    ensure_eq!(
        found.len(),
        expected.len(),
        "{group}: records that can be read"
    );
    Ok(())
}

/// Writes that nobody thought up.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) random: Random,
    count: u64,
    payload_max: u64,
}

impl Writer {
    pub(super) fn new(seed: u64, payload_max: u64) -> Self {
        Writer {
            random: Random::new(seed),
            count: 0,
            payload_max,
        }
    }

    /// A write of up to three groups, which makes sense given what `model` holds.
    pub(super) fn next(&mut self, model: &MemoryLog) -> Vec<GroupWrite> {
        let mut after = model.clone();
        let groups = 1 + self.random.below(3);
        (0..groups)
            .map(|_| {
                let at = self.random.below(GROUPS.len() as u64) as usize;
                let group = GROUPS.get(at).copied().unwrap_or_default();
                let ops = (0..1 + self.random.below(4))
                    .map(|_| {
                        let op = self.op(&after, group);
                        after.apply(group, &op);
                        op
                    })
                    .collect();
                GroupWrite { group, ops }
            })
            .collect()
    }

    fn op(&mut self, model: &MemoryLog, group: GroupId) -> LogOp {
        let log = model.recovered(group);
        let last = log.records.last().map_or(log.purged.0, |last| last.0);
        let span = last - log.purged.0;
        self.count += 1;
        let round = self.count;
        match self.random.below(100) {
            0..15 => LogOp::HardState(self.payload(40)),
            15..70 => LogOp::Put(record(last + 1, round, self.any_payload())),
            70..76 => {
                let index = log.purged.0 + 1 + self.random.below(span + 4);
                LogOp::Put(record(index, round, self.any_payload()))
            }
            76..78 => {
                let index = last + 2 + self.random.below(1_000);
                LogOp::Put(record(index, round, self.any_payload()))
            }
            78..86 => LogOp::TruncateFrom(last.saturating_sub(self.random.below(6))),
            86..88 => LogOp::TruncateFrom(log.purged.0 + self.random.below(span + 2)),
            88..97 => purge(log.purged.0 + self.random.below(span + 1), round),
            97..99 => purge(last, round),
            _ => purge(last + self.random.below(5), round),
        }
    }

    fn any_payload(&mut self) -> Bytes {
        let max = if self.random.below(12) == 0 {
            self.payload_max
        } else {
            300
        };
        self.payload(max)
    }

    /// Bytes that no other payload has.
    fn payload(&mut self, max: u64) -> Bytes {
        let length = self.random.below(max + 1) as usize;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.random.next().to_le_bytes());
        }
        bytes.truncate(length);
        Bytes::from(bytes)
    }
}

/// What `write` may have left of each group when it was interrupted: every prefix of its operations.
pub(super) fn prefixes(before: &MemoryLog, writes: &[GroupWrite]) -> Vec<MemoryLog> {
    let mut states = vec![before.clone()];
    let mut now = before.clone();
    for write in writes {
        for op in &write.ops {
            now.apply(write.group, op);
            states.push(now.clone());
        }
    }
    states
}
