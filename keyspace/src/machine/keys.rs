//! Keys, whatever their type.

use resp::encode;
use storage::Engine;

use super::edit::Edit;
use super::expiry;
use super::read::Look;
use super::strings::next;
use super::{MALFORMED, Stop};
use crate::command::Args;
use crate::number;
use crate::refusal::Refusal;
use crate::table::Id;
use crate::value::Form;

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

/// OBJECT ENCODING, REFCOUNT, IDLETIME and FREQ: what Redis would have to say of such a key. When
/// a key was last used is not kept.
pub(super) fn object<E: Engine>(
    look: &mut Look<'_, E>,
    id: Id,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let Some(found) = look.find(next(&mut args)?)? else {
        encode::null(reply);
        return Ok(());
    };
    let encoding = Encoding::of(found.header.form, found.content());
    match id {
        Id::ObjectEncoding => encode::bulk(reply, encoding.name()),
        Id::ObjectRefCount => encode::integer(reply, encoding.references()),
        Id::ObjectIdleTime => encode::integer(reply, 0),
        _ => {
            return Err(Refusal::Text(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
                 Please note that when switching between policies at runtime LRU and LFU data \
                 will take some time to adjust.",
            )
            .into());
        }
    }
    Ok(())
}

/// How Redis would hold a string.
enum Encoding {
    Integer(i64),
    Embedded,
    Raw,
}

impl Encoding {
    fn of(form: Form, content: &[u8]) -> Encoding {
        const EMBEDDED_BYTES_MAX: usize = 44;
        match (form, number::parse(content)) {
            (Form::Edited, _) => Encoding::Raw,
            (Form::Whole, Some(integer)) => Encoding::Integer(integer),
            _ if content.len() <= EMBEDDED_BYTES_MAX => Encoding::Embedded,
            _ => Encoding::Raw,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Encoding::Integer(_) => "int",
            Encoding::Embedded => "embstr",
            Encoding::Raw => "raw",
        }
    }

    /// Small integers are shared by everybody, and Redis says so.
    fn references(&self) -> i64 {
        match self {
            Encoding::Integer(0..10_000) => i64::from(i32::MAX),
            _ => 1,
        }
    }
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
