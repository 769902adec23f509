//! Where engines come from: what a node names in its configuration.

use std::fs;
use std::io;
use std::path::Path;

use crate::engine::{Engine, EngineError};
use crate::memory::MemoryEngine;

/// Opens engines of one kind.
pub trait Backend: Send + 'static {
    /// The kind.
    type Engine: Engine;

    /// Its name, in a word. A directory that one backend made is never given to another.
    fn name(&self) -> &'static str;

    /// The format of what it keeps in its directories; a higher one cannot be read.
    fn format(&self) -> u32 {
        1
    }

    /// Whether its engines outlive the process. Those that do not are filled from a snapshot.
    fn keeps(&self) -> bool;

    /// Opens the engine that lives in `directory`, or a new, empty one if there is none.
    ///
    /// # Errors
    /// The environment failed, or what is there is not what the engine left.
    fn open(&self, directory: &Path) -> Result<Self::Engine, EngineError>;

    /// Removes an engine that is not open, and its directory; none is fine.
    ///
    /// # Errors
    /// The environment failed.
    fn remove(&self, directory: &Path) -> Result<(), EngineError> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(EngineError::new("remove what it no longer needs", error))
            }
            _ => Ok(()),
        }
    }
}

/// Opens [`MemoryEngine`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryBackend;

impl Backend for MemoryBackend {
    type Engine = MemoryEngine;

    fn name(&self) -> &'static str {
        "memory"
    }

    fn keeps(&self) -> bool {
        false
    }

    fn open(&self, _: &Path) -> Result<MemoryEngine, EngineError> {
        Ok(MemoryEngine::new())
    }

    fn remove(&self, _: &Path) -> Result<(), EngineError> {
        Ok(())
    }
}
