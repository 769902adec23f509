//! From an encoded command to the code that executes it.

use replication::Millis;
use storage::Engine;

use super::edit::Edit;
use super::read::Look;
use super::{
    Keyspace, Now, Stop, counters, counting, keys, lcs, moving, options, scan, several, strings,
    ttl,
};
use crate::command::{self, ALL_DATABASES, ASK_AGAIN, Encoded, SETTLED};
use crate::key::DATABASE_MAX;
use crate::refusal::Refusal;
use crate::table::{self, Command, Id, flags};

impl<E: Engine> Keyspace<E> {
    /// Executes a command in the log.
    pub(super) fn execute(
        &mut self,
        bytes: &[u8],
        wanted: bool,
        reply: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let request = decode(bytes)?;
        if !request.command.is(flags::WRITE) {
            // A read that travelled in the log changes nothing: only who waits for it executes it.
            if !wanted {
                return Ok(());
            }
            let now = Now {
                group: self.group_time,
                clock: Millis(0),
            };
            if !self.read(&request, now, reply)? {
                reply.extend_from_slice(ASK_AGAIN);
            }
            return Ok(());
        }
        let Request {
            command, encoded, ..
        } = request;
        *self.statistics.get_mut() = None;
        let mut edit = Edit {
            engine: &mut self.engine,
            database: encoded.database,
            space: self.spaces.of(encoded.database),
            spaces: &mut self.spaces,
            now: self.group_time,
            row: self.row.get_mut(),
            value: &mut self.value,
            index_row: &mut self.index_row,
            next_due: &mut self.next_due,
            known: None,
        };
        let args = encoded.args;
        match command.id {
            Id::Set => strings::set(&mut edit, args, reply),
            Id::MSet => several::mset(&mut edit, args, reply),
            Id::MSetNx => several::msetnx(&mut edit, args, reply),
            Id::SetNx => strings::setnx(&mut edit, args, reply),
            Id::SetEx => strings::setex(&mut edit, args, options::Unit::Seconds, reply),
            Id::PSetEx => strings::setex(&mut edit, args, options::Unit::Millis, reply),
            Id::GetSet => strings::getset(&mut edit, args, reply),
            Id::GetDel => strings::getdel(&mut edit, args, reply),
            Id::GetEx => strings::getex(&mut edit, args, reply),
            Id::Append => strings::append(&mut edit, args, reply),
            Id::Incr => counters::increment(&mut edit, args, counters::Step::Up, reply),
            Id::Decr => counters::increment(&mut edit, args, counters::Step::Down, reply),
            Id::IncrBy => counters::increment(&mut edit, args, counters::Step::UpBy, reply),
            Id::DecrBy => counters::increment(&mut edit, args, counters::Step::DownBy, reply),
            Id::Del | Id::Unlink => keys::del(&mut edit, args, reply),
            Id::IncrByFloat => counters::increment_by_float(&mut edit, args, reply),
            Id::SetRange => strings::setrange(&mut edit, args, reply),
            Id::Rename => moving::rename(&mut edit, false, args, reply),
            Id::RenameNx => moving::rename(&mut edit, true, args, reply),
            Id::Copy => moving::copy(&mut edit, args, reply),
            Id::Move => moving::move_to(&mut edit, args, reply),
            Id::SwapDb => moving::swap(&mut edit, args, reply),
            Id::FlushAll => keys::flush(&mut edit, true, args, reply),
            Id::FlushDb => keys::flush(&mut edit, false, args, reply),
            Id::Expire | Id::PExpire | Id::ExpireAt | Id::PExpireAt => {
                ttl::expire(&mut edit, command, args, reply)
            }
            Id::Persist => ttl::persist(&mut edit, args, reply),
            other => unreachable!("{other:?} is a write in the table and nowhere else"),
        }
    }

    /// Executes a read, in the log or as a query; false if it takes too long for either.
    pub(super) fn read(
        &self,
        request: &Request<'_>,
        now: Now,
        reply: &mut Vec<u8>,
    ) -> Result<bool, Stop> {
        let Request {
            command, encoded, ..
        } = request;
        if command.is_long() {
            if !request.settled {
                counting::needs_tick(self.next_due, now)?;
            }
            return self.answer_if_short(request, reply);
        }
        let mut row = self.row.borrow_mut();
        let mut look = Look {
            engine: &self.engine,
            space: self.spaces.of(encoded.database),
            now,
            row: &mut row,
        };
        let args = encoded.args.clone();
        match command.id {
            Id::Get => strings::get(&mut look, args, reply),
            Id::MGet => several::mget(&mut look, args, reply),
            Id::StrLen => strings::strlen(&mut look, args, reply),
            Id::GetRange | Id::SubStr => strings::getrange(&mut look, args, reply),
            Id::Lcs => lcs::lcs(&mut look, args, reply),
            Id::Scan => scan::scan(&mut look, args, reply),
            Id::RandomKey => scan::random_key(&mut look, args, reply),
            Id::ObjectEncoding | Id::ObjectRefCount | Id::ObjectIdleTime | Id::ObjectFreq => {
                keys::object(&mut look, command.id, args, reply)
            }
            Id::Exists | Id::Touch => keys::exists(&mut look, args, reply),
            Id::Type => keys::type_of(&mut look, args, reply),
            Id::Ttl | Id::PTtl | Id::ExpireTime | Id::PExpireTime => {
                ttl::ttl(&mut look, command.id, args, reply)
            }
            Id::ClusterCountKeysInSlot => {
                counting::count_keys_in_slot(&look, self.next_due, args, reply)
            }
            Id::ClusterGetKeysInSlot => counting::keys_in_slot(&look, self.next_due, args, reply),
            other => unreachable!("{other:?} is a read in the table and nowhere else"),
        }?;
        Ok(true)
    }
}

/// A command that has been read back.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) command: &'static Command,
    pub(super) encoded: Encoded<'a>,
    /// Time has been moved for it already.
    pub(super) settled: bool,
    /// It is about every database.
    pub(super) all_databases: bool,
}

/// The command that `bytes` name, with the right number of arguments.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> Result<Request<'_>, Refusal> {
    let encoded = command::decode(bytes).ok_or(MALFORMED)?;
    let number = encoded.number & !(SETTLED | ALL_DATABASES);
    let command = table::by_number(number).ok_or(MALFORMED)?;
    let marked = number != encoded.number;
    if encoded.database > DATABASE_MAX || (marked && !command.is_long()) {
        return Err(MALFORMED);
    }
    // Arity counts the words of the name, which are not among the arguments, and does not count
    // what the session adds.
    let added = usize::from(command.id == Id::RandomKey);
    let given = encoded.args.left().saturating_add(command.words);
    if !given
        .checked_sub(added)
        .is_some_and(|given| command.takes(given))
    {
        return Err(Refusal::Arity(command.name));
    }
    Ok(Request {
        command,
        settled: encoded.number & SETTLED != 0,
        all_databases: encoded.number & ALL_DATABASES != 0,
        encoded,
    })
}

pub(super) const MALFORMED: Refusal =
    Refusal::Text("ERR a command arrived malformed and was not executed: report this as a bug");
