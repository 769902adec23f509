//! Strings, several at once.

use resp::encode;
use storage::Engine;

use super::edit::Edit;
use super::read::Look;
use super::strings::{bulk_or_null, next};
use super::{MALFORMED, Stop};
use crate::command::Args;
use crate::refusal::Refusal;

/// MSET: every key, blindly.
pub(super) fn mset<E: Engine>(
    edit: &mut Edit<'_, E>,
    args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    put_pairs(edit, args, "mset")?;
    encode::simple(reply, "OK");
    Ok(())
}

/// MSETNX: every key, or none if one of them exists.
pub(super) fn msetnx<E: Engine>(
    edit: &mut Edit<'_, E>,
    args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    if !args.left().is_multiple_of(2) {
        return Err(Refusal::Arity("msetnx").into());
    }
    let mut pairs = args.clone();
    while let (Some(key), Some(_)) = (pairs.next(), pairs.next()) {
        if edit.find(key)?.is_some() {
            encode::integer(reply, 0);
            return Ok(());
        }
    }
    put_pairs(edit, args, "msetnx")?;
    encode::integer(reply, 1);
    Ok(())
}

fn put_pairs<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    command: &'static str,
) -> Result<(), Stop> {
    let count = args.left();
    if !count.is_multiple_of(2) {
        return Err(Refusal::Arity(command).into());
    }
    // All or nothing: a list that is cut short is found out before anything is written.
    if args.clone().count() != count {
        return Err(MALFORMED.into());
    }
    while let (Some(key), Some(content)) = (args.next(), args.next()) {
        edit.select(key);
        edit.put(None, content)?;
    }
    Ok(())
}

/// MGET.
pub(super) fn mget<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    encode::array(reply, args.left());
    while args.left() > 0 {
        let found = look.find(next(&mut args)?)?;
        bulk_or_null(reply, found.as_ref().map(|found| found.content()));
    }
    Ok(())
}
