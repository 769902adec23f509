//! How much of each segment is still needed: what decides which segments may go.

use std::collections::VecDeque;

/// Some live bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) bytes: u64,
}

/// How many bytes of each segment are still needed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: u32,
    live: VecDeque<u64>,
}

impl Ledger {
    /// The live bytes of `segment`, headers included.
    pub(super) fn live(&self, segment: u32) -> u64 {
        let at = segment.checked_sub(self.first).map(|at| at as usize);
        at.and_then(|at| self.live.get(at)).copied().unwrap_or(0)
    }

    /// The live bytes of all segments.
    pub(super) fn total(&self) -> u64 {
        self.live.iter().sum()
    }

    /// Forgets the segments below `floor`; nothing in them is live.
    pub(super) fn release_below(&mut self, floor: u32) {
        if self.live.is_empty() {
            self.first = self.first.max(floor);
        }
        while self.first < floor {
            let live = self.live.pop_front();
            assert!(
                live.unwrap_or(0) == 0,
                "a released segment holds what is needed"
            );
            self.first += 1;
        }
    }

    pub(super) fn add(&mut self, place: Place) {
        if self.live.is_empty() {
            self.first = place.segment;
        }
        while self.first > place.segment {
            self.live.push_front(0);
            self.first -= 1;
        }
        let at = (place.segment - self.first) as usize;
        if self.live.len() <= at {
            self.live.resize(at + 1, 0);
        }
        if let Some(live) = self.live.get_mut(at) {
            *live += place.bytes;
        }
    }

    pub(super) fn remove(&mut self, place: Place) {
        let at = (place.segment - self.first) as usize;
        if let Some(live) = self.live.get_mut(at) {
            // Overflow checks are on: more than was added cannot be taken away.
            *live -= place.bytes;
        }
    }

    /// A piece that stood at `from`, if anywhere, stands at `to` from now on.
    pub(super) fn move_to(&mut self, from: &mut Option<Place>, to: Place) {
        self.add(to);
        if let Some(from) = from.replace(to) {
            self.remove(from);
        }
    }
}
