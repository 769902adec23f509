//! What an engine says about its own durability.

use std::thread;
use std::time::{Duration, Instant};

use super::{Outcome, failed};
use crate::conformance::{ensure, ensure_eq};
use crate::engine::Engine;
use crate::frozen::Flush;

/// How long a flush of next to nothing may take on a bad day.
const PATIENCE: Duration = Duration::from_secs(60);

fn durable<E: Engine>(engine: &E, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
    engine.get_durable(key).map_err(failed)
}

/// Waits until what was committed under `key` is durable; fails if it never is.
fn wait<E: Engine>(engine: &E, key: &[u8], value: &[u8]) -> Outcome {
    let start = Instant::now();
    while durable(engine, key)?.as_deref() != Some(value) {
        ensure!(
            start.elapsed() < PATIENCE,
            "a flush was started and {PATIENCE:?} later its unit is not durable"
        );
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A unit that is not committed cannot survive.
pub fn what_is_staged_is_not_durable<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    engine.put(b"key", b"staged").map_err(failed)?;
    ensure_eq!(durable(&engine, b"key")?, None, "a value that is staged");
    engine.commit().map_err(failed)?;
    let flush = engine.flush().map_err(failed)?;
    engine.put(b"other", b"staged").map_err(failed)?;
    if flush == Flush::Started {
        wait(&engine, b"key", b"staged")?;
    }
    ensure_eq!(
        durable(&engine, b"other")?,
        None,
        "a value staged after the commit"
    );
    Ok(())
}

/// Either flushed units become durable, or there is never anything durable.
pub fn flush_makes_durable_or_says_it_cannot<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    for round in 0..3_u8 {
        engine.put(b"applied", &[round]).map_err(failed)?;
        engine.put(&[round], b"data").map_err(failed)?;
        engine.commit().map_err(failed)?;
        match engine.flush().map_err(failed)? {
            Flush::Started => {
                wait(&engine, b"applied", &[round])?;
                ensure_eq!(
                    durable(&engine, &[round])?,
                    Some(b"data".to_vec()),
                    "data of the unit that is durable"
                );
            }
            Flush::KeepsNothing => {
                ensure_eq!(
                    durable(&engine, b"applied")?,
                    None,
                    "durable in an engine that keeps nothing"
                );
            }
        }
    }
    Ok(())
}

/// Whatever is durable at any moment is what some commit left, and never an older one than before.
pub fn what_is_durable_was_committed_in_order<E: Engine>(new: &mut dyn FnMut() -> E) -> Outcome {
    let mut engine = new();
    let mut before = 0;
    for unit in 1..=300_u32 {
        engine
            .put(b"applied", &unit.to_be_bytes())
            .map_err(failed)?;
        engine.put(&unit.to_be_bytes(), &[0; 500]).map_err(failed)?;
        engine.commit().map_err(failed)?;
        if unit % 50 == 0 {
            engine.flush().map_err(failed)?;
        }
        let Some(found) = durable(&engine, b"applied")? else {
            ensure_eq!(before, 0, "durable once, and now nothing");
            continue;
        };
        let found = found.as_slice().try_into().map(u32::from_be_bytes);
        let Ok(found) = found else {
            return Err("what is durable was never committed".to_owned());
        };
        ensure!(
            (before..=unit).contains(&found),
            "unit {found} is durable after unit {before} was, and {unit} is the last"
        );
        ensure_eq!(
            durable(&engine, &found.to_be_bytes())?,
            Some(vec![0; 500]),
            "data of unit {found}, which is durable"
        );
        before = found;
    }
    Ok(())
}
