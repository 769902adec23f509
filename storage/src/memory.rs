//! The memory engine. (First form: a plain map; the fast one follows.)

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use crate::engine::{Engine, EngineError};

/// An engine that forgets everything at the end of the process.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        MemoryEngine::default()
    }
}

impl Engine for MemoryEngine {
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
        let within = self.map.range::<[u8], _>((from, Bound::Unbounded));
        for (key, value) in within {
            let past = match to {
                Bound::Included(to) => key.as_slice() > to,
                Bound::Excluded(to) => key.as_slice() >= to,
                Bound::Unbounded => false,
            };
            if past || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.map.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.map.remove(key);
        Ok(())
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        if from < to {
            let mut tail = self.map.split_off(from);
            self.map.append(&mut tail.split_off(to));
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}
