//! Engines whose views, loading or answers about durability are broken in one way each: the suite must
//! reject every one of them, and by the case that is about it.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use storage::conformance::engine::run_all;
use storage::{Engine, EngineError, Flush, Frozen, Rows, ViewId};

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    OverwritesShow,
    DeletesShow,
    InsertsShow,
    RangesShow,
    KeepsTheNewestOld,
    KeepsForOneViewOnly,
    ThawsAllViews,
    LosesTheLastRow,
    ReadsEverythingAtOnce,
    LoadIgnoresErrors,
    LoadTakesOneSlice,
    StagedIsDurable,
    DurableThoughItKeepsNothing,
    DurableGoesBack,
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A map with views: a cursor, and the old values of what has changed since.
struct Viewed {
    map: Map,
    committed: Map,
    durable: Map,
    views: Vec<View>,
    flushes: u64,
    fault: Fault,
}

struct View {
    id: ViewId,
    passed: Option<Vec<u8>>,
    ended: bool,
    old: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl View {
    fn rows(&self, map: &Map) -> Map {
        let mut rows = map.clone();
        for (key, old) in &self.old {
            match old {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows
    }
}

impl Viewed {
    fn new(fault: Fault) -> Self {
        Viewed {
            map: Map::new(),
            committed: Map::new(),
            durable: Map::new(),
            views: Vec::new(),
            flushes: 0,
            fault,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn keep(&mut self, key: &[u8], shows: Fault) {
        let old = self.map.get(key).cloned();
        let shows = if old.is_none() {
            Fault::InsertsShow
        } else {
            shows
        };
        if self.is(shows) {
            return;
        }
        let views = if self.is(Fault::KeepsForOneViewOnly) {
            1
        } else {
            usize::MAX
        };
        let newest = self.is(Fault::KeepsTheNewestOld);
        for view in self.views.iter_mut().take(views) {
            if newest || !view.old.contains_key(key) {
                view.old.insert(key.to_vec(), old.clone());
            }
        }
    }
}

impl Engine for Viewed {
    type Value<'a> = &'a [u8];

    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, EngineError> {
        Ok(self.map.get(key).map(Vec::as_slice))
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let within = |key: &[u8]| match to {
            Bound::Included(to) => key <= to,
            Bound::Excluded(to) => key < to,
            Bound::Unbounded => true,
        };
        for (key, value) in self.map.range::<[u8], _>((from, Bound::Unbounded)) {
            if !within(key) || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.keep(key, Fault::OverwritesShow);
        self.map.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.keep(key, Fault::DeletesShow);
        self.map.remove(key);
        Ok(())
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        if from < to {
            let keys: Vec<_> = self.map.range(from.to_vec()..to.to_vec()).collect();
            for key in keys
                .into_iter()
                .map(|(key, _)| key.clone())
                .collect::<Vec<_>>()
            {
                if !self.views.is_empty() {
                    self.keep(&key, Fault::RangesShow);
                }
                self.map.remove(&key);
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        self.committed = self.map.clone();
        Ok(())
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let map = match self.fault {
            Fault::StagedIsDurable => &self.map,
            _ => &self.durable,
        };
        Ok(map.get(key).cloned())
    }

    fn flush(&mut self) -> Result<Flush, EngineError> {
        self.flushes += 1;
        let back = self.is(Fault::DurableGoesBack) && self.flushes == 5;
        if !back {
            self.durable = self.committed.clone();
        } else if let Some(applied) = self.durable.get_mut(&b"applied"[..]) {
            applied.fill(0);
        }
        Ok(match self.fault {
            Fault::DurableThoughItKeepsNothing => Flush::KeepsNothing,
            _ => Flush::Started,
        })
    }

    fn freeze(&mut self) -> Result<Frozen, EngineError> {
        let id = ViewId(self.views.len() as u64 + 100 * self.flushes);
        let id = self.views.last().map_or(id, |last| ViewId(last.id.0 + 1));
        self.views.push(View {
            id,
            passed: None,
            ended: false,
            old: BTreeMap::new(),
        });
        Ok(Frozen::Within(id))
    }

    fn read_frozen(
        &mut self,
        view: ViewId,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        let all = self.is(Fault::ReadsEverythingAtOnce);
        let losing = self.is(Fault::LosesTheLastRow);
        let Some(view) = self.views.iter_mut().find(|known| known.id == view) else {
            return Err(EngineError::new("read a view", "there is none"));
        };
        if view.ended {
            return Ok(false);
        }
        let mut rows = view.rows(&self.map);
        if losing {
            rows.pop_last();
        }
        let from = view.passed.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes = 0;
        for (key, value) in rows.range((from, Bound::Unbounded)) {
            visit(key, value);
            bytes += key.len() + value.len();
            if bytes >= max_bytes && !all {
                view.passed = Some(key.clone());
                return Ok(true);
            }
        }
        view.ended = true;
        Ok(false)
    }

    fn thaw(&mut self, view: ViewId) {
        let all = self.is(Fault::ThawsAllViews);
        self.views.retain(|known| known.id != view && !all);
    }

    fn load(&mut self, rows: &mut dyn Rows) -> Result<(), EngineError> {
        loop {
            let map = &mut self.map;
            let more = rows.read(10_000, &mut |key, value| {
                map.insert(key.to_vec(), value.to_vec());
            });
            match more {
                Err(_) if self.is(Fault::LoadIgnoresErrors) => return Ok(()),
                Ok(true) if !self.is(Fault::LoadTakesOneSlice) => {}
                more => return more.map(|_| self.durable = self.map.clone()),
            }
        }
    }
}

#[test]
fn a_map_with_views_conforms() {
    run_all(|| Viewed::new(Fault::None)).unwrap();
}

#[test]
fn broken_views_are_rejected() {
    for (fault, case) in [
        (
            Fault::OverwritesShow,
            "a_frozen_view_sees_no_later_overwrite",
        ),
        (Fault::DeletesShow, "a_frozen_view_sees_no_later_delete"),
        (Fault::InsertsShow, "a_frozen_view_sees_no_later_insert"),
        (
            Fault::RangesShow,
            "a_frozen_view_sees_no_later_delete_range",
        ),
        (
            Fault::KeepsTheNewestOld,
            "a_frozen_view_sees_no_later_overwrite",
        ),
        (Fault::KeepsForOneViewOnly, "frozen_views_are_apart"),
        (Fault::ThawsAllViews, "frozen_views_are_apart"),
        (
            Fault::LosesTheLastRow,
            "a_frozen_view_holds_all_that_was_committed",
        ),
        (
            Fault::ReadsEverythingAtOnce,
            "a_frozen_view_is_read_in_slices",
        ),
        (Fault::LoadIgnoresErrors, "load_reports_rows_that_fail"),
        (Fault::LoadTakesOneSlice, "load_fills_an_empty_engine"),
        (Fault::StagedIsDurable, "what_is_staged_is_not_durable"),
        (
            Fault::DurableThoughItKeepsNothing,
            "flush_makes_durable_or_says_it_cannot",
        ),
        (
            Fault::DurableGoesBack,
            "what_is_durable_was_committed_in_order",
        ),
    ] {
        let failure = run_all(|| Viewed::new(fault)).expect_err(&format!("{fault:?}"));
        assert_eq!(failure.case(), case, "{fault:?}: {failure}");
    }
}
