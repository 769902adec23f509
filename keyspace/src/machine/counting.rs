//! Counting and listing the keys of a slot, by visiting them.

use std::ops::{Bound, ControlFlow};

use replication::Millis;
use resp::encode;
use storage::{Engine, EngineError};

use super::read::Look;
use super::strings::next;
use super::{Now, Stop};
use crate::command::Args;
use crate::key::{self, SLOTS};
use crate::number;
use crate::refusal::Refusal;
use crate::value::Header;

/// A count depends on the time of every key: it needs a tick when any of them may be due.
pub(super) fn needs_tick(next_due: Option<Millis>, now: Now) -> Result<(), Stop> {
    match next_due {
        Some(due) if due > now.group && due <= now.clock => Err(Stop::NeedsTick),
        _ => Ok(()),
    }
}

/// CLUSTER COUNTKEYSINSLOT. Visits the slot's keys.
pub(super) fn count_keys_in_slot<E: Engine>(
    look: &Look<'_, E>,
    next_due: Option<Millis>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    needs_tick(next_due, look.now)?;
    let slot = slot(next(&mut args)?)?;
    let mut count = 0;
    visit_slot(look, slot, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    encode::integer(reply, count);
    Ok(())
}

/// CLUSTER GETKEYSINSLOT. Visits as many keys of the slot as are asked for.
pub(super) fn keys_in_slot<E: Engine>(
    look: &Look<'_, E>,
    next_due: Option<Millis>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    needs_tick(next_due, look.now)?;
    let slot = slot(next(&mut args)?)?;
    let most = number::parse(next(&mut args)?).ok_or(Refusal::NotInteger)?;
    let most =
        usize::try_from(most).map_err(|_| Refusal::Text("ERR Invalid slot or number of keys"))?;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    if most > 0 {
        visit_slot(look, slot, &mut |key| {
            keys.push(key.to_vec());
            if keys.len() < most {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
    }
    encode::array(reply, keys.len());
    keys.iter().for_each(|key| encode::bulk(reply, key));
    Ok(())
}

fn slot(arg: &[u8]) -> Result<u16, Refusal> {
    number::parse(arg)
        .ok_or(Refusal::NotInteger)
        .and_then(|slot| {
            u16::try_from(slot)
                .ok()
                .filter(|slot| *slot < SLOTS)
                .ok_or(Refusal::Text("ERR Invalid slot"))
        })
}

fn visit_slot<E: Engine>(
    look: &Look<'_, E>,
    slot: u16,
    seen: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), EngineError> {
    let row = |slot: u16| {
        let ([d0, d1], [s0, s1]) = (look.space.to_be_bytes(), slot.to_be_bytes());
        [d0, d1, s0, s1]
    };
    visit(
        look.engine,
        &row(slot),
        &row(slot + 1),
        look.now.group,
        &mut *seen,
    )
}

/// Visits the keys from one row to before another that have not expired.
fn visit(
    engine: &impl Engine,
    from: &[u8],
    to: &[u8],
    now: Millis,
    seen: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), EngineError> {
    engine.scan(
        Bound::Included(from),
        Bound::Excluded(to),
        &mut |row, value| {
            let found = key::parse_row(row).zip(Header::split(value));
            match found {
                Some(((_, key), (header, _))) if header.expires.is_none_or(|at| at > now) => {
                    seen(key)
                }
                _ => ControlFlow::Continue(()),
            }
        },
    )
}
