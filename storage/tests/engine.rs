//! The memory engine passes the suite; engines that are broken in one way each do not.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use storage::conformance::engine::run_all;
use storage::{Engine, EngineError, MemoryEngine};

mod memory {
    use super::*;
    storage::engine_suite!(MemoryEngine::new());
}

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    LosesDelete,
    EmptyValueIsAbsent,
    LooksAtEightBytesOnly,
    RangeTakesItsEnd,
    RangeUpsideDownClears,
    HidesStagedWrites,
    VisitsAfterTheBreak,
    ScansBehindTheEnd,
    KeepsTheLongerValue,
}

struct Broken {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    committed: BTreeMap<Vec<u8>, Vec<u8>>,
    fault: Fault,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        Broken {
            map: BTreeMap::new(),
            committed: BTreeMap::new(),
            fault,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn seen(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        if self.is(Fault::HidesStagedWrites) && !self.committed.is_empty() {
            &self.committed
        } else {
            &self.map
        }
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        let length = if self.is(Fault::LooksAtEightBytesOnly) {
            8
        } else {
            usize::MAX
        };
        key.iter().copied().take(length).collect()
    }
}

impl Engine for Broken {
    type Value<'a> = &'a [u8];

    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, EngineError> {
        let value = self.seen().get(&self.key(key)).map(Vec::as_slice);
        Ok(value.filter(|value| !(self.is(Fault::EmptyValueIsAbsent) && value.is_empty())))
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        for (key, value) in self.seen().range::<[u8], _>((from, Bound::Unbounded)) {
            let past = match to {
                Bound::Included(to) => key.as_slice() > to,
                Bound::Excluded(to) if self.is(Fault::ScansBehindTheEnd) => key.as_slice() > to,
                Bound::Excluded(to) => key.as_slice() >= to,
                Bound::Unbounded => false,
            };
            if past {
                break;
            }
            if visit(key, value).is_break() && !self.is(Fault::VisitsAfterTheBreak) {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let key = self.key(key);
        let old = self.map.get(&key).map_or(0, Vec::len);
        if !self.is(Fault::KeepsTheLongerValue) || old <= value.len() {
            self.map.insert(key, value.to_vec());
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        if !self.is(Fault::LosesDelete) {
            self.map.remove(&self.key(key));
        }
        Ok(())
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        if from == to || (from > to && !self.is(Fault::RangeUpsideDownClears)) {
            return Ok(());
        }
        let (from, to) = if from < to { (from, to) } else { (to, from) };
        let to = match self.fault {
            Fault::RangeTakesItsEnd => Bound::Included(to.to_vec()),
            _ => Bound::Excluded(to.to_vec()),
        };
        let range = (Bound::Included(from.to_vec()), to);
        self.map.extract_if(range, |_, _| true).for_each(drop);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        self.committed = self.map.clone();
        Ok(())
    }
}

#[test]
fn a_plain_map_conforms() {
    run_all(|| Broken::new(Fault::None)).unwrap();
}

#[test]
fn broken_engines_are_rejected() {
    for (fault, case) in [
        (Fault::LosesDelete, "delete_removes_one_key"),
        (
            Fault::EmptyValueIsAbsent,
            "put_replaces_with_shorter_and_longer",
        ),
        (
            Fault::LooksAtEightBytesOnly,
            "keys_that_begin_alike_are_different",
        ),
        (Fault::RangeTakesItsEnd, "writes_are_seen_before_the_commit"),
        (
            Fault::RangeUpsideDownClears,
            "delete_range_upside_down_removes_nothing",
        ),
        (Fault::HidesStagedWrites, "delete_removes_one_key"),
        (Fault::VisitsAfterTheBreak, "scan_stops_when_told"),
        (Fault::ScansBehindTheEnd, "scan_keeps_to_its_bounds"),
        (
            Fault::KeepsTheLongerValue,
            "put_replaces_with_shorter_and_longer",
        ),
    ] {
        let failure = run_all(|| Broken::new(fault)).expect_err(&format!("{fault:?}"));
        assert_eq!(failure.case(), case, "{fault:?}: {failure}");
    }
}

/// Engines that share what they hold.
struct Shared;

thread_local! {
    static SHELF: std::cell::RefCell<BTreeMap<Vec<u8>, Vec<u8>>> = const { std::cell::RefCell::new(BTreeMap::new()) };
}

impl Engine for Shared {
    type Value<'a> = Vec<u8>;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(SHELF.with_borrow(|map| map.get(key).cloned()))
    }

    fn scan(
        &self,
        _: Bound<&[u8]>,
        _: Bound<&[u8]>,
        _: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        SHELF.with_borrow_mut(|map| map.insert(key.to_vec(), value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        SHELF.with_borrow_mut(|map| map.remove(key));
        Ok(())
    }

    fn delete_range(&mut self, _: &[u8], _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[test]
fn engines_that_share_are_rejected() {
    let outcome = storage::conformance::engine::engines_are_apart(&mut || Shared);
    assert!(outcome.unwrap_err().contains("another engine"));
}
