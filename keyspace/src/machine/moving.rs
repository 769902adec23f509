//! Keys that get another name, or another database.

use replication::Millis;
use resp::encode;
use storage::Engine;

use super::Stop;
use super::edit::Edit;
use super::strings::next;
use crate::command::Args;
use crate::key::DATABASE_MAX;
use crate::number;
use crate::refusal::Refusal;

const SAME: Refusal = Refusal::Text("ERR source and destination objects are the same");

const NOT_INT: Refusal =
    Refusal::Text("ERR value is out of range, value must between -2147483648 and 2147483647");

/// RENAME and RENAMENX.
pub(super) fn rename<E: Engine>(
    edit: &mut Edit<'_, E>,
    if_absent: bool,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (from, to) = (next(&mut args)?, next(&mut args)?);
    let expires = take(edit, from)?.ok_or(Refusal::Text("ERR no such key"))?;
    let same = from == to;
    if if_absent && (same || exists(edit, to)?) {
        encode::integer(reply, 0);
        return Ok(());
    }
    if !same {
        remove(edit, from)?;
        edit.look_up(to)?;
        edit.store(expires)?;
    }
    if if_absent {
        encode::integer(reply, 1);
    } else {
        encode::simple(reply, "OK");
    }
    Ok(())
}

/// COPY.
pub(super) fn copy<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (from, to) = (next(&mut args)?, next(&mut args)?);
    let (mut database, mut replace) = (edit.database, false);
    while let Some(option) = args.next() {
        if option.eq_ignore_ascii_case(b"REPLACE") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"DB") {
            database = parse_database(args.next().ok_or(Refusal::Syntax)?)?;
        } else {
            return Err(Refusal::Syntax.into());
        }
    }
    if database == edit.database && from == to {
        return Err(SAME.into());
    }
    let Some(expires) = take(edit, from)? else {
        encode::integer(reply, 0);
        return Ok(());
    };
    edit.space = edit.spaces.of(database);
    if !replace && exists(edit, to)? {
        encode::integer(reply, 0);
        return Ok(());
    }
    edit.look_up(to)?;
    edit.store(expires)?;
    encode::integer(reply, 1);
    Ok(())
}

/// MOVE.
pub(super) fn move_to<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, database) = (next(&mut args)?, parse_database(next(&mut args)?)?);
    if database == edit.database {
        return Err(SAME.into());
    }
    let (space, other) = (edit.space, edit.spaces.of(database));
    let Some(expires) = take(edit, key)? else {
        encode::integer(reply, 0);
        return Ok(());
    };
    edit.space = other;
    if exists(edit, key)? {
        encode::integer(reply, 0);
        return Ok(());
    }
    edit.space = space;
    remove(edit, key)?;
    edit.space = other;
    edit.look_up(key)?;
    edit.store(expires)?;
    encode::integer(reply, 1);
    Ok(())
}

/// SWAPDB.
pub(super) fn swap<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let mut index = |invalid: &'static str| -> Result<i32, Stop> {
        let index = number::parse(next(&mut args)?).and_then(|index| i32::try_from(index).ok());
        Ok(index.ok_or(Refusal::Text(invalid))?)
    };
    let one = index("ERR invalid first DB index")?;
    let other = index("ERR invalid second DB index")?;
    let (one, other) = (within(one)?, within(other)?);
    edit.spaces.swap(edit.engine, one, other)?;
    encode::simple(reply, "OK");
    Ok(())
}

/// A database's number. Whether there is such a database is a setting, which the session knows.
fn parse_database(arg: &[u8]) -> Result<u16, Refusal> {
    let number = number::parse(arg).ok_or(Refusal::NotInteger)?;
    within(i32::try_from(number).map_err(|_| NOT_INT)?)
}

fn within(number: i32) -> Result<u16, Refusal> {
    u16::try_from(number)
        .ok()
        .filter(|database| *database <= DATABASE_MAX)
        .ok_or(Refusal::Text("ERR DB index is out of range"))
}

/// Copies the whole value of `key` to where a new one is built; when it expires, if at all, if
/// there is such a key.
fn take<E: Engine>(edit: &mut Edit<'_, E>, key: &[u8]) -> Result<Option<Option<Millis>>, Stop> {
    let mut value = std::mem::take(edit.value);
    let found = edit.find(key).map(|found| {
        found.map(|found| {
            found.header.write(&mut value, found.content());
            found.header.expires
        })
    });
    *edit.value = value;
    found
}

fn exists<E: Engine>(edit: &mut Edit<'_, E>, key: &[u8]) -> Result<bool, Stop> {
    Ok(edit.find(key)?.is_some())
}

fn remove<E: Engine>(edit: &mut Edit<'_, E>, key: &[u8]) -> Result<(), Stop> {
    edit.look_up(key)?;
    edit.remove()
}
