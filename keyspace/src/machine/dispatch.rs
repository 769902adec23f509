//! From an encoded command to the code that executes it.

use replication::Millis;
use storage::Engine;

use super::edit::Edit;
use super::read::Look;
use super::{Keyspace, Now, Stop, counters, counting, keys, options, several, strings, ttl};
use crate::command::{self, Encoded};
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
        let (command, encoded) = decode(bytes)?;
        if !command.is(flags::WRITE) {
            // A read that travelled in the log changes nothing: only who waits for it executes it.
            if !wanted {
                return Ok(());
            }
            let now = Now {
                group: self.group_time,
                clock: Millis(0),
            };
            return self.read(command, encoded, now, reply);
        }
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
            Id::FlushAll => keys::flush(&mut edit, true, args, reply),
            Id::FlushDb => keys::flush(&mut edit, false, args, reply),
            Id::Expire | Id::PExpire | Id::ExpireAt | Id::PExpireAt => {
                ttl::expire(&mut edit, command, args, reply)
            }
            Id::Persist => ttl::persist(&mut edit, args, reply),
            other => unreachable!("{other:?} is a write in the table and nowhere else"),
        }
    }

    /// Executes a read, in the log or as a query.
    pub(super) fn read(
        &self,
        command: &Command,
        encoded: Encoded<'_>,
        now: Now,
        reply: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let mut row = self.row.borrow_mut();
        let mut look = Look {
            engine: &self.engine,
            space: self.spaces.of(encoded.database),
            now,
            row: &mut row,
        };
        let args = encoded.args;
        match command.id {
            Id::Get => strings::get(&mut look, args, reply),
            Id::MGet => several::mget(&mut look, args, reply),
            Id::StrLen => strings::strlen(&mut look, args, reply),
            Id::GetRange => strings::getrange(&mut look, args, reply),
            Id::Exists | Id::Touch => keys::exists(&mut look, args, reply),
            Id::Type => keys::type_of(&mut look, args, reply),
            Id::Ttl | Id::PTtl | Id::ExpireTime | Id::PExpireTime => {
                ttl::ttl(&mut look, command.id, args, reply)
            }
            Id::DbSize => self.dbsize(encoded.database, now, reply),
            Id::ClusterCountKeysInSlot => {
                counting::count_keys_in_slot(&look, self.next_due, args, reply)
            }
            Id::ClusterGetKeysInSlot => counting::keys_in_slot(&look, self.next_due, args, reply),
            other => unreachable!("{other:?} is a read in the table and nowhere else"),
        }
    }

    fn dbsize(&self, database: u16, now: Now, reply: &mut Vec<u8>) -> Result<(), Stop> {
        counting::needs_tick(self.next_due, now)?;
        let statistics = self.statistics().map_err(Stop::Failed)?;
        let keys = statistics
            .iter()
            .find(|statistics| statistics.database == database)
            .map_or(0, |statistics| statistics.keys);
        resp::encode::integer(reply, i64::try_from(keys).unwrap_or(i64::MAX));
        Ok(())
    }
}

/// The command that `bytes` name, with the right number of arguments.
#[inline]
pub(super) fn decode(bytes: &[u8]) -> Result<(&'static Command, Encoded<'_>), Refusal> {
    let encoded = command::decode(bytes).ok_or(MALFORMED)?;
    let command = table::by_number(encoded.number).ok_or(MALFORMED)?;
    if encoded.database > DATABASE_MAX {
        return Err(MALFORMED);
    }
    // Arity counts the words of the name, which are not among the arguments.
    if !command.takes(encoded.args.left().saturating_add(command.words)) {
        return Err(Refusal::Arity(command.name));
    }
    Ok((command, encoded))
}

pub(super) const MALFORMED: Refusal =
    Refusal::Text("ERR a command arrived malformed and was not executed: report this as a bug");
