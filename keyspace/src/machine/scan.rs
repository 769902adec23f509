//! SCAN and RANDOMKEY: keys in the order of their rows, from any place on.
//!
//! A cursor is the place to go on from: slot and hash as one number of 46 bits, so that it means the
//! same on every node and for ever, and stays below 2^53. A key has one place as long as it exists,
//! so one that is there throughout an iteration is seen, exactly once. Keys that share a place (a
//! hash of 32 bits within a slot) are returned by one call, whatever COUNT says. 0 begins, and ends.

use std::ops::{Bound, ControlFlow};

use resp::encode;
use storage::Engine;

use super::read::{Look, unreadable};
use super::strings::next;
use super::{MALFORMED, Stop};
use crate::command::Args;
use crate::glob;
use crate::key::{self, Place, SLOTS};
use crate::number;
use crate::refusal::Refusal;
use crate::value::Header;

/// How many rows a call visits at most, whatever COUNT says: some milliseconds.
const VISITED_MAX: usize = 5_000;

/// How many bytes of keys a call gathers at most before it stops at the next place.
const GATHERED_MAX: usize = 1 << 20;

/// How many keys whose time has come RANDOMKEY passes over before it gives up.
const PASSED_MAX: usize = 10_000;

/// Where a cursor that has come to its end would be.
const END: u64 = (SLOTS as u64) << 32;

struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    /// Whether keys of that type can be there at all.
    any: bool,
}

impl<'a> Options<'a> {
    fn parse(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Self, Refusal> {
        let mut options = Options {
            pattern: None,
            count: 10,
            any: true,
        };
        while let Some(option) = args.next() {
            let value = args.next().ok_or(Refusal::Syntax)?;
            if option.eq_ignore_ascii_case(b"COUNT") {
                let count = number::parse(value).ok_or(Refusal::NotInteger)?;
                options.count = usize::try_from(count)
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or(Refusal::Syntax)?;
            } else if option.eq_ignore_ascii_case(b"MATCH") {
                options.pattern = (value != b"*").then_some(value);
            } else if option.eq_ignore_ascii_case(b"TYPE") {
                options.any = value.eq_ignore_ascii_case(b"string");
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }
}

/// A cursor, as `strtoull` reads it.
fn parse_cursor(text: &[u8]) -> Result<u64, Refusal> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    std::str::from_utf8(digits)
        .ok()
        .filter(|digits| !digits.starts_with('+'))
        .and_then(|digits| digits.parse().ok())
        .ok_or(Refusal::Text("ERR invalid cursor"))
}

/// SCAN.
pub(super) fn scan<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let cursor = parse_cursor(next(&mut args)?)?;
    let options = Options::parse(args)?;
    let visited_max = options.count.min(VISITED_MAX);
    let (mut visited, mut gathered) = (0, 0);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut last = None;
    let mut go_on = END;
    visit(look, cursor, &mut |place, key, live| {
        let here = position(place);
        if last != Some(here) && (visited >= visited_max || gathered >= GATHERED_MAX) {
            go_on = here;
            return ControlFlow::Break(());
        }
        last = Some(here);
        visited += 1;
        let wanted = |pattern| glob::matches(pattern, key, false);
        if live && options.any && options.pattern.is_none_or(wanted) {
            gathered += key.len();
            keys.push(key.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    let cursor = if go_on >= END { 0 } else { go_on };
    encode::array(reply, 2);
    encode::bulk(reply, number::Decimal::new(cursor.cast_signed()).as_ref());
    encode::array(reply, keys.len());
    keys.iter().for_each(|key| encode::bulk(reply, key));
    Ok(())
}

/// RANDOMKEY. Its argument is the session's: eight bytes of chance. First a slot is sought and then
/// a place in it, so that keys which share a slot have their chance too.
pub(super) fn random_key<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let chance = next(&mut args)?.first_chunk().ok_or(MALFORMED)?;
    let chance = u64::from_be_bytes(*chance);
    let (slot, hash) = ((chance >> 32) % u64::from(SLOTS), chance & 0xFFFF_FFFF);
    let mut filled = None;
    for from in [slot << 32, 0] {
        if filled.is_none() {
            visit_rows(look, from, &mut |place, _, _| {
                filled = Some(u64::from(place.slot) << 32);
                ControlFlow::Break(())
            })?;
        }
    }
    let mut found = None;
    if let Some(slot) = filled {
        for from in [slot | hash, slot, 0] {
            let mut passed = 0;
            if found.is_none() {
                visit(look, from, &mut |_, key, live| {
                    passed += 1;
                    if live {
                        found = Some(key.to_vec());
                    }
                    if live || passed == PASSED_MAX {
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                })?;
            }
        }
    }
    match found {
        Some(key) => encode::bulk(reply, key),
        None => encode::null(reply),
    }
    Ok(())
}

fn position(place: Place) -> u64 {
    (u64::from(place.slot) << 32) | u64::from(place.hash)
}

/// Takes a key's place, the key, and whether it is alive.
type Seen<'a> = dyn FnMut(Place, &[u8], bool) -> ControlFlow<()> + 'a;

/// Visits the keys of the database from a position on.
fn visit<E: Engine>(look: &Look<'_, E>, from: u64, seen: &mut Seen<'_>) -> Result<(), Stop> {
    let mut stop = None;
    visit_rows(look, from, &mut |place, key, value| {
        let Some((header, _)) = Header::split(value) else {
            stop = Some(unreadable());
            return ControlFlow::Break(());
        };
        match look.now.has_come(header.expires) {
            Ok(gone) => seen(place, key, !gone),
            Err(needs_tick) => {
                stop = Some(needs_tick);
                ControlFlow::Break(())
            }
        }
    })?;
    stop.map_or(Ok(()), Err)
}

/// Takes a row's place, its key, and its value.
type SeenRow<'a> = dyn FnMut(Place, &[u8], &[u8]) -> ControlFlow<()> + 'a;

fn visit_rows<E: Engine>(
    look: &Look<'_, E>,
    from: u64,
    seen: &mut SeenRow<'_>,
) -> Result<(), Stop> {
    if from >= END {
        return Ok(());
    }
    let from = Place {
        space: look.space,
        slot: u16::try_from(from >> 32).unwrap_or(u16::MAX),
        hash: from as u32,
    };
    let (from, to) = (from.to_bytes(), (look.space + 1).to_be_bytes());
    let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
    look.engine.scan(
        range.0,
        range.1,
        &mut |row, value| match key::parse_row(row) {
            Some((place, key)) => seen(place, key, value),
            None => ControlFlow::Continue(()),
        },
    )?;
    Ok(())
}
