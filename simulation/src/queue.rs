//! Time, and what is to happen when. Events of one moment happen in the order in which they were
//! planned, so a run is the same every time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;
use std::ops::Add;

/// True time: microseconds since the world began. No node sees it; they have clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// A span of so many milliseconds.
    #[must_use]
    pub const fn ms(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    /// The span from `earlier` to this; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Time {
    type Output = Time;
    fn add(self, micros: u64) -> Time {
        Time(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:3}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// What is to happen, earliest first.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    number: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue {
            heap: BinaryHeap::new(),
            number: 0,
        }
    }
}

impl<E> Queue<E> {
    pub(crate) fn plan(&mut self, at: Time, event: E) {
        self.number += 1;
        let number = self.number;
        self.heap.push(Reverse(Planned { at, number, event }));
    }

    pub(crate) fn next(&mut self) -> Option<(Time, E)> {
        self.heap
            .pop()
            .map(|Reverse(planned)| (planned.at, planned.event))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
