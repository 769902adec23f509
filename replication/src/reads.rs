//! Reads on their way: all that wait at one moment share one question to the protocol, and are
//! answered from this node's state once that has caught up.

use std::collections::{BTreeMap, VecDeque};

use consensus::{Index, Micros, RequestId};

use crate::batch::{Batch, BatchBuilder};
use crate::machine::Millis;

/// Queries that may be answered now, each with who waits for it.
#[derive(Debug)]
pub struct ReadBatch<T> {
    pub(crate) queries: Batch,
    pub(crate) tokens: Vec<T>,
    pub(crate) since: Micros,
}

impl<T: Copy> ReadBatch<T> {
    /// Each query and its token, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (T, &[u8])> {
        self.tokens.iter().copied().zip(self.queries.commands())
    }
}

/// How long a read that has been asked for may wait for the protocol's answer, and then for this
/// node's state to catch up. Longer than any election; what takes longer needs somebody's help.
const PATIENCE: Micros = Micros::from_millis(5_000);

/// Every read that has not been answered.
#[derive(Debug)]
pub(crate) struct Reads<T> {
    builder: BatchBuilder,
    tokens: Vec<T>,
    since: Micros,
    /// Refused by a node that did not lead; asked again when somebody does.
    again: Vec<ReadBatch<T>>,
    asked: BTreeMap<RequestId, Vec<ReadBatch<T>>>,
    /// Confirmed, waiting for the state to reach the index.
    confirmed: VecDeque<(Index, Vec<ReadBatch<T>>)>,
}

impl<T> Default for Reads<T> {
    fn default() -> Self {
        Reads {
            builder: BatchBuilder::default(),
            tokens: Vec::new(),
            since: Micros(0),
            again: Vec::new(),
            asked: BTreeMap::new(),
            confirmed: VecDeque::new(),
        }
    }
}

impl<T> Reads<T> {
    pub(crate) fn push(&mut self, now: Micros, token: T, query: &[u8]) {
        if self.tokens.is_empty() {
            self.since = now;
        }
        self.builder.push(query);
        self.tokens.push(token);
    }

    /// Whether there are reads for which nobody has been asked.
    pub(crate) fn any_unasked(&self) -> bool {
        !self.tokens.is_empty() || !self.again.is_empty()
    }

    /// All of those become one question, of that name.
    pub(crate) fn ask(&mut self, request: RequestId) {
        self.seal();
        self.asked.insert(request, std::mem::take(&mut self.again));
    }

    /// The protocol confirmed: they wait for the state to reach `index`.
    pub(crate) fn confirm(&mut self, request: RequestId, index: Index) {
        if let Some(batches) = self.asked.remove(&request) {
            self.confirmed.push_back((index, batches));
        }
    }

    /// The protocol does not lead: they wait for somebody who does. A read may be repeated.
    pub(crate) fn refuse(&mut self, request: RequestId) {
        if let Some(batches) = self.asked.remove(&request) {
            self.again.extend(batches);
        }
    }

    /// What can be answered once everything up to `applied` is.
    pub(crate) fn take_ready(&mut self, applied: Index) -> Vec<ReadBatch<T>> {
        let mut ready = Vec::new();
        // A later question may have a smaller index, if the leader changed between: look at each.
        self.confirmed.retain_mut(|(index, batches)| {
            let now = *index <= applied;
            if now {
                ready.append(batches);
            }
            !now
        });
        ready
    }

    /// Takes the tokens of unasked reads that arrived before `before`.
    pub(crate) fn take_overdue(&mut self, before: Micros) -> Vec<T> {
        if !self.tokens.is_empty() && self.since <= before {
            self.seal();
        }
        let (late, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.again)
            .into_iter()
            .partition(|batch| batch.since <= before);
        self.again = kept;
        late.into_iter().flat_map(|batch| batch.tokens).collect()
    }

    /// Takes the tokens of reads that were asked for and have waited too long.
    pub(crate) fn take_stuck(&mut self, now: Micros) -> Vec<T> {
        let stuck = |batch: &ReadBatch<T>| now.since(batch.since) >= PATIENCE;
        let asked = self.asked.values_mut();
        let confirmed = self.confirmed.iter_mut().map(|(_, batches)| batches);
        let taken = asked
            .chain(confirmed)
            .flat_map(|batches| batches.extract_if(.., |b| stuck(b)));
        taken.flat_map(|batch| batch.tokens).collect()
    }

    /// When reads that were asked for begin to have waited too long.
    pub(crate) fn stuck_at(&self) -> Option<Micros> {
        let asked = self.asked.values();
        let confirmed = self.confirmed.iter().map(|(_, batches)| batches);
        let since = asked.chain(confirmed).flatten().map(|batch| batch.since);
        since.min().map(|since| since + PATIENCE)
    }

    /// When the oldest unasked read arrived.
    pub(crate) fn oldest_unasked(&self) -> Option<Micros> {
        let open = (!self.tokens.is_empty()).then_some(self.since);
        self.again.iter().map(|batch| batch.since).chain(open).min()
    }

    fn seal(&mut self) {
        if !self.tokens.is_empty() {
            self.again.push(ReadBatch {
                queries: self.builder.finish(Millis(0)),
                tokens: std::mem::take(&mut self.tokens),
                since: self.since,
            });
        }
    }
}
