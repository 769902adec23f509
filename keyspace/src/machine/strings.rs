//! Strings and counters, as Redis 7.2 has them.

use replication::Millis;
use resp::encode;
use storage::Engine;

use super::edit::Edit;
use super::options::{Expiry, Of, Options, Unit};
use super::read::Look;
use super::{MALFORMED, Stop};
use crate::command::Args;
use crate::number;
use crate::refusal::Refusal;
use crate::value::{Form, Header};

/// The longest string, in bytes. Part of the commands' meaning: `proto-max-bulk-len` is a setting
/// and must not reach here.
const STRING_BYTES_MAX: usize = 512 << 20;

/// An argument that the command's arity promises.
#[inline]
pub(super) fn next<'a>(args: &mut Args<'a>) -> Result<&'a [u8], Stop> {
    args.next().ok_or(Stop::Refused(MALFORMED))
}

/// SET. Without options that look at the key it does not read it, except that one with an expiry
/// looks for an older expiry: a key that is refreshed over and over must not leave a row in the
/// index for each time.
pub(super) fn set<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, content) = (next(&mut args)?, next(&mut args)?);
    if args.left() == 0 {
        edit.select(key);
        edit.put(None, content)?;
        encode::simple(reply, "OK");
        return Ok(());
    }
    let options = Options::parse(Of::Set, args)?;
    let expires = resolve(options.expiry, edit.now, "set")?;
    let get = options.get;
    let found = edit.find(key)?;
    if get {
        bulk_or_null(reply, found.as_ref().map(|found| found.content()));
    }
    let current = found.map(|found| found.header);
    let refused =
        (options.if_absent && current.is_some()) || (options.if_present && current.is_none());
    if refused {
        if !get {
            encode::null(reply);
        }
        return Ok(());
    }
    let kept = current.filter(|_| options.keep_ttl);
    let expires = expires.or(kept.and_then(|header| header.expires));
    put_or_remove(edit, expires, content)?;
    if !get {
        encode::simple(reply, "OK");
    }
    Ok(())
}

fn resolve(
    expiry: Option<Expiry<'_>>,
    now: Millis,
    command: &'static str,
) -> Result<Option<Millis>, Refusal> {
    expiry
        .map(|expiry| expiry.resolve(now, command))
        .transpose()
}

/// What would be gone at once is not written at all.
fn put_or_remove<E: Engine>(
    edit: &mut Edit<'_, E>,
    expires: Option<Millis>,
    content: &[u8],
) -> Result<(), Stop> {
    if expires.is_some_and(|at| at <= edit.now) {
        edit.remove()
    } else {
        edit.put(expires, content)
    }
}

pub(super) fn bulk_or_null(reply: &mut Vec<u8>, content: Option<&[u8]>) {
    match content {
        Some(content) => encode::bulk(reply, content),
        None => encode::null(reply),
    }
}

/// SETEX and PSETEX.
pub(super) fn setex<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    unit: Unit,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, amount, content) = (next(&mut args)?, next(&mut args)?, next(&mut args)?);
    let expiry = Expiry {
        amount,
        unit,
        absolute: false,
    };
    let command = match unit {
        Unit::Seconds => "setex",
        Unit::Millis => "psetex",
    };
    let expires = expiry.resolve(edit.now, command)?;
    edit.find(key)?;
    edit.put(Some(expires), content)?;
    encode::simple(reply, "OK");
    Ok(())
}

/// SETNX.
pub(super) fn setnx<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, content) = (next(&mut args)?, next(&mut args)?);
    let absent = edit.find(key)?.is_none();
    if absent {
        edit.put(None, content)?;
    }
    encode::integer(reply, i64::from(absent));
    Ok(())
}

/// GET.
#[inline]
pub(super) fn get<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let found = look.find(next(&mut args)?)?;
    bulk_or_null(reply, found.as_ref().map(|found| found.content()));
    Ok(())
}

/// STRLEN.
pub(super) fn strlen<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let found = look.find(next(&mut args)?)?;
    let length = found.map_or(0, |found| found.content().len());
    encode::integer(reply, i64::try_from(length).unwrap_or(i64::MAX));
    Ok(())
}

/// GETRANGE: both ends inclusive, counted from the end when negative.
pub(super) fn getrange<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let key = next(&mut args)?;
    let start = number::parse(next(&mut args)?).ok_or(Refusal::NotInteger)?;
    let end = number::parse(next(&mut args)?).ok_or(Refusal::NotInteger)?;
    let found = look.find(key)?;
    let content = found.as_ref().map_or(&[][..], |found| found.content());
    encode::bulk(reply, range(content, start, end));
    Ok(())
}

fn range(content: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let length = i64::try_from(content.len()).unwrap_or(i64::MAX);
    let from_start = |at: i64| {
        let at = if at < 0 {
            at.saturating_add(length)
        } else {
            at
        };
        at.max(0)
    };
    let start = usize::try_from(from_start(start)).unwrap_or(usize::MAX);
    let end = usize::try_from(from_start(end).min(length - 1)).unwrap_or(0);
    content.get(start..=end).unwrap_or_default()
}

/// GETSET.
pub(super) fn getset<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, content) = (next(&mut args)?, next(&mut args)?);
    let found = edit.find(key)?;
    bulk_or_null(reply, found.as_ref().map(|found| found.content()));
    drop(found);
    edit.put(None, content)
}

/// GETDEL.
pub(super) fn getdel<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let found = edit.find(next(&mut args)?)?;
    bulk_or_null(reply, found.as_ref().map(|found| found.content()));
    if found.is_some() {
        drop(found);
        edit.remove()?;
    }
    Ok(())
}

/// GETEX: an expiry that makes no sense is refused only if the key exists, as in Redis.
pub(super) fn getex<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let key = next(&mut args)?;
    let options = Options::parse(Of::GetEx, args)?;
    let now = edit.now;
    let Some(found) = edit.find(key)? else {
        encode::null(reply);
        return Ok(());
    };
    let expires = resolve(options.expiry, now, "getex")?;
    let content = found.content();
    encode::bulk(reply, content);
    let (header, length) = (found.header, content.len());
    drop(found);
    if expires.is_none() && !options.persist {
        return Ok(());
    }
    // The content is at the end of the reply, before its line end.
    let end = reply.len() - 2;
    let content = reply.get(end - length..end).unwrap_or_default();
    if expires.is_some_and(|at| at <= now) {
        return edit.remove();
    }
    Header { expires, ..header }.write(edit.value, content);
    edit.store(expires)
}

/// APPEND.
pub(super) fn append<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, more) = (next(&mut args)?, next(&mut args)?);
    let Some(header) = take(edit, key)? else {
        edit.put(None, more)?;
        return length_reply(more.len(), reply);
    };
    let length = edit.value.len() - header.bytes() + more.len();
    if length > STRING_BYTES_MAX {
        return Err(Refusal::TooLong.into());
    }
    edit.value.extend_from_slice(more);
    edit.store(header.expires)?;
    length_reply(length, reply)
}

/// SETRANGE: what lies between the old end and the offset becomes zeros.
pub(super) fn setrange<E: Engine>(
    edit: &mut Edit<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (key, offset, part) = (next(&mut args)?, next(&mut args)?, next(&mut args)?);
    let offset = number::parse(offset).ok_or(Refusal::NotInteger)?;
    let offset =
        usize::try_from(offset).map_err(|_| Refusal::Text("ERR offset is out of range"))?;
    let (header, length) = match take(edit, key)? {
        Some(header) => (header, edit.value.len() - header.bytes()),
        None => {
            let header = Header {
                form: Form::Edited,
                ..Header::string(None)
            };
            header.write(edit.value, b"");
            (header, 0)
        }
    };
    if part.is_empty() {
        return length_reply(length, reply);
    }
    let end = offset
        .checked_add(part.len())
        .filter(|end| *end <= STRING_BYTES_MAX)
        .ok_or(Refusal::TooLong)?;
    let at = header.bytes() + offset;
    if edit.value.len() < at + part.len() {
        edit.value.resize(at + part.len(), 0);
    }
    for (to, from) in edit.value.iter_mut().skip(at).zip(part) {
        *to = *from;
    }
    edit.store(header.expires)?;
    length_reply(length.max(end), reply)
}

/// Turns to `key` and copies its whole value, as one that has been edited, to where a new one is
/// built; its header, if there is such a key.
fn take<E: Engine>(edit: &mut Edit<'_, E>, key: &[u8]) -> Result<Option<Header>, Stop> {
    let mut value = std::mem::take(edit.value);
    let found = edit.find(key).map(|found| {
        found.map(|found| {
            let header = Header {
                form: Form::Edited,
                ..found.header
            };
            header.write(&mut value, found.content());
            header
        })
    });
    *edit.value = value;
    found
}

fn length_reply(length: usize, reply: &mut Vec<u8>) -> Result<(), Stop> {
    encode::integer(reply, i64::try_from(length).unwrap_or(i64::MAX));
    Ok(())
}
