//! Counters: strings that are integers.

use resp::encode;
use storage::Engine;

use super::Stop;
use super::edit::Edit;
use super::float::Extended;
use super::strings::next;
use crate::command::Args;
use crate::number::{self, Decimal};
use crate::refusal::Refusal;
use crate::value::{Form, Header};

/// By how much a counter changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
    UpBy,
    DownBy,
}

/// INCR, DECR, INCRBY and DECRBY. The expiry stays.
pub(super) fn increment<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    step: Step,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let key = next(&mut args)?;
    let by = match step {
        Step::Up => 1,
        Step::Down => -1,
        Step::UpBy => number::parse(next(&mut args)?).ok_or(Refusal::NotInteger)?,
        Step::DownBy => number::parse(next(&mut args)?)
            .ok_or(Refusal::NotInteger)?
            .checked_neg()
            .ok_or(Refusal::DecrementOverflow)?,
    };
    let (expires, value) = match edit.find(key)? {
        Some(found) => {
            let value = number::parse(found.content()).ok_or(Refusal::NotInteger)?;
            (found.header.expires, value)
        }
        None => (None, 0),
    };
    let value = value.checked_add(by).ok_or(Refusal::Overflow)?;
    edit.put(expires, Decimal::new(value).as_ref())?;
    encode::integer(reply, value);
    Ok(())
}

/// INCRBYFLOAT. The expiry stays.
pub(super) fn increment_by_float<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    const NOT_FLOAT: Refusal = Refusal::Text("ERR value is not a valid float");
    let (key, by) = (next(&mut args)?, next(&mut args)?);
    let (expires, value) = match edit.find(key)? {
        Some(found) => {
            let value = Extended::parse(found.content()).ok_or(NOT_FLOAT)?;
            (found.header.expires, value)
        }
        None => (None, Extended::ZERO),
    };
    let sum = value
        .checked_add(Extended::parse(by).ok_or(NOT_FLOAT)?)
        .ok_or(Refusal::Text("ERR increment would produce NaN or Infinity"))?;
    let text = sum.to_text();
    Header {
        form: Form::Computed,
        ..Header::string(expires)
    }
    .write(edit.value, &text);
    edit.store(expires)?;
    encode::bulk(reply, &text);
    Ok(())
}
