//! An engine together with the directory it lives in, which goes when it does.

pub(crate) mod histories;
pub(crate) mod lasting;

use std::ops::{Bound, ControlFlow};

use storage::{Backend, Engine, EngineError, Flush, Frozen, Rows, ViewId};
use tempfile::TempDir;

pub(crate) struct Kept<E> {
    // Dropped first: it may still write.
    engine: E,
    _place: TempDir,
}

impl<E: Engine> Kept<E> {
    pub(crate) fn new(backend: &impl Backend<Engine = E>) -> Self {
        let place = tempfile::tempdir().unwrap();
        Kept {
            engine: backend.open(&place.path().join("engine-1")).unwrap(),
            _place: place,
        }
    }
}

impl<E: Engine> Engine for Kept<E> {
    type Value<'a> = E::Value<'a>;

    fn get(&self, key: &[u8]) -> Result<Option<E::Value<'_>>, EngineError> {
        self.engine.get(key)
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.engine.scan(from, to, visit)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.engine.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.engine.delete(key)
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        self.engine.delete_range(from, to)
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        self.engine.commit()
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.engine.get_durable(key)
    }

    fn flush(&mut self) -> Result<Flush, EngineError> {
        self.engine.flush()
    }

    fn freeze(&mut self) -> Result<Frozen, EngineError> {
        self.engine.freeze()
    }

    fn read_frozen(
        &mut self,
        view: ViewId,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        self.engine.read_frozen(view, max_bytes, visit)
    }

    fn thaw(&mut self, view: ViewId) {
        self.engine.thaw(view);
    }

    fn load(&mut self, rows: &mut dyn Rows) -> Result<(), EngineError> {
        self.engine.load(rows)
    }
}
