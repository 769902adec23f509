//! How long keys live.

use replication::Millis;
use resp::encode;
use storage::Engine;

use super::edit::Edit;
use super::options::{Condition, signed};
use super::read::Look;
use super::strings::next;
use super::{Now, Stop};
use crate::command::Args;
use crate::number;
use crate::refusal::Refusal;
use crate::table::{Command, Id};
use crate::value::Header;

/// By how much a remaining time may be too long before a tick is needed to tell it: on a busy
/// group every batch moves group time, on an idle one this saves nothing.
const SLACK_MS: u64 = 10;

/// EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT. A time that has passed removes the key.
pub(super) fn expire<E: Engine>(
    edit: &mut Edit<'_, E>,
    command: &'static Command,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, amount) = (next(&mut args)?, next(&mut args)?);
    let condition = Condition::parse(args)?;
    let amount = number::parse(amount).ok_or(Refusal::NotInteger)?;
    let millis = match command.id {
        Id::Expire | Id::ExpireAt => amount.checked_mul(1_000),
        _ => Some(amount),
    };
    let base = match command.id {
        Id::Expire | Id::PExpire => signed(edit.now),
        _ => 0,
    };
    let at = millis
        .and_then(|millis| millis.checked_add(base))
        .ok_or(Refusal::ExpireTime(command.name))?;
    let mut value = std::mem::take(edit.value);
    let now = edit.now;
    let allowed = match edit.find(key)? {
        None => false,
        Some(found) => {
            let allowed = condition.allows(found.header.expires.map(signed), at);
            if allowed && at > signed(now) {
                Header {
                    expires: Some(millis_of(at)),
                    ..found.header
                }
                .write(&mut value, found.content());
            }
            allowed
        }
    };
    *edit.value = value;
    if allowed {
        if at > signed(now) {
            edit.store(Some(millis_of(at)))?;
        } else {
            edit.remove()?;
        }
    }
    encode::integer(reply, i64::from(allowed));
    Ok(())
}

fn millis_of(at: i64) -> Millis {
    Millis(u64::try_from(at).unwrap_or(0))
}

/// PERSIST.
pub(super) fn persist<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let key = next(&mut args)?;
    let mut value = std::mem::take(edit.value);
    let persisted = match edit.find(key)? {
        Some(found) if found.header.expires.is_some() => {
            Header {
                expires: None,
                ..found.header
            }
            .write(&mut value, found.content());
            true
        }
        _ => false,
    };
    *edit.value = value;
    if persisted {
        edit.store(None)?;
    }
    encode::integer(reply, i64::from(persisted));
    Ok(())
}

/// TTL, PTTL, EXPIRETIME and PEXPIRETIME: -2 without a key, -1 without an expiry.
pub(super) fn ttl<E: Engine>(
    look: &mut Look<'_, E>,
    id: Id,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let now = look.now;
    let answer = match look.find(next(&mut args)?)? {
        None => -2,
        Some(found) => match found.header.expires {
            None => -1,
            Some(at) => remaining(at, id, now)?,
        },
    };
    encode::integer(reply, answer);
    Ok(())
}

fn remaining(at: Millis, id: Id, now: Now) -> Result<i64, Stop> {
    let millis = match id {
        Id::ExpireTime | Id::PExpireTime => at.0,
        _ => {
            if now.clock.0 > now.group.0.saturating_add(SLACK_MS) {
                return Err(Stop::NeedsTick);
            }
            at.0 - now.group.0
        }
    };
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Ok(match id {
        Id::Ttl | Id::ExpireTime => millis.saturating_add(500) / 1_000,
        _ => millis,
    })
}
