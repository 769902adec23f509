//! Keys, whatever their type.

use resp::encode;
use storage::Engine;

use super::edit::Edit;
use super::expiry;
use super::read::Look;
use super::strings::next;
use super::{MALFORMED, Stop};
use crate::command::Args;
use crate::refusal::Refusal;

/// DEL and UNLINK: how many there were.
pub(super) fn del<E: Engine>(
    edit: &mut Edit<'_, E>,
    args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    if args.clone().count() != args.left() {
        return Err(MALFORMED.into());
    }
    let mut deleted = 0;
    for key in args {
        if edit.find(key)?.is_some() {
            edit.remove()?;
            deleted += 1;
        }
    }
    encode::integer(reply, deleted);
    Ok(())
}

/// EXISTS and TOUCH: a key named twice counts twice.
pub(super) fn exists<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let mut count = 0;
    while args.left() > 0 {
        count += i64::from(look.find(next(&mut args)?)?.is_some());
    }
    encode::integer(reply, count);
    Ok(())
}

/// TYPE.
pub(super) fn type_of<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let found = look.find(next(&mut args)?)?;
    encode::simple(
        reply,
        found.map_or("none", |found| found.header.kind.name()),
    );
    Ok(())
}

/// FLUSHALL and FLUSHDB: every database, or one.
pub(super) fn flush<E: Engine>(
    edit: &mut Edit<'_, E>,
    all: bool,
    args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    flush_options(args)?;
    if all {
        edit.spaces.flush_all(edit.engine)?;
    } else {
        edit.spaces.flush(edit.engine, edit.database)?;
    }
    *edit.next_due = expiry::first_due(edit.engine, edit.spaces)?;
    encode::simple(reply, "OK");
    Ok(())
}

/// ASYNC and SYNC are understood and make no difference: both are done when they are applied.
fn flush_options(mut args: Args<'_>) -> Result<(), Stop> {
    let known = |option: &[u8]| {
        option.eq_ignore_ascii_case(b"ASYNC") || option.eq_ignore_ascii_case(b"SYNC")
    };
    if args.left() > 1 || args.next().is_some_and(|option| !known(option)) {
        return Err(Refusal::Syntax.into());
    }
    Ok(())
}
