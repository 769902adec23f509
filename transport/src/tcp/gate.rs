//! Bounds the connections that have not yet said who they are.
//!
//! When one more comes than there is room for, the oldest goes: it has had the most time and
//! has not used it, while a peer shakes hands within a round trip. Refusing the newest
//! instead would let a few idle connections lock every peer out.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

#[derive(Debug)]
pub(crate) struct Gate {
    places: usize,
    /// Taken twice per accepted connection, never per frame.
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// By arrival. Dropping a sender evicts.
    evict: BTreeMap<u64, oneshot::Sender<Infallible>>,
}

/// A place within the gate, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    number: u64,
    /// Completes when this place has been given to a newcomer.
    pub(crate) evicted: oneshot::Receiver<Infallible>,
}

impl Gate {
    /// A gate with at least one place.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Gate {
            places: places.max(1),
            waiting: Mutex::default(),
        })
    }

    /// A place for a newcomer, at the cost of the oldest if need be.
    pub(crate) fn enter(self: &Arc<Self>) -> Place {
        let (evict, evicted) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        if waiting.evict.len() == self.places {
            waiting.evict.pop_first();
        }
        waiting.evict.insert(number, evict);
        Place {
            gate: self.clone(),
            number,
            evicted,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under this lock can panic half-way; a poisoned one is as good as before.
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.waiting().evict.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_a_place_left_is_free() {
        let gate = Gate::new(2);
        let mut first = gate.enter();
        let mut second = gate.enter();
        assert!(first.evicted.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        let mut third = gate.enter();
        assert!(first.evicted.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        assert!(second.evicted.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        drop(third.evicted.try_recv());
        drop(third);
        let _fourth = gate.enter();
        assert!(second.evicted.try_recv() == Err(oneshot::error::TryRecvError::Empty));
    }
}
