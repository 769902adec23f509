//! COMMAND: the table, for clients that route and retry by it.

use resp::{Request, encode};

use super::docs;
use super::texts::help;
use crate::glob;
use crate::refusal::Refusal;
use crate::table::{self, Command, Id};

pub(super) fn command(id: Id, request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
    match id {
        Id::Command => {
            encode::array(reply, table::all().count());
            table::all().for_each(|command| docs::info(command, reply));
        }
        Id::CommandCount => {
            let count = table::all().count();
            encode::integer(reply, i64::try_from(count).unwrap_or(i64::MAX));
        }
        Id::CommandInfo if request.len() == 2 => {
            encode::array(reply, table::all().count());
            table::all().for_each(|command| docs::info(command, reply));
        }
        Id::CommandInfo => {
            encode::array(reply, request.len() - 2);
            for name in request.args().skip(2) {
                match find(name) {
                    Some(command) => docs::info(command, reply),
                    None => encode::null(reply),
                }
            }
        }
        Id::CommandDocs => {
            let commands: Vec<&Command> = if request.len() == 2 {
                table::all().collect()
            } else {
                request.args().skip(2).filter_map(find).collect()
            };
            encode::map(reply, commands.len());
            for command in commands {
                encode::bulk(reply, command.name);
                docs::docs(command, reply);
            }
        }
        Id::CommandList => list(request, reply)?,
        Id::CommandGetKeys | Id::CommandGetKeysAndFlags => keys(id, request, reply)?,
        _ => help("command", reply),
    }
    Ok(())
}

/// A command by its name, or a subcommand by `container|name`.
fn find(name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let command = table::lookup(parts.next()?)?;
    match parts.next() {
        None => Some(command),
        Some(subcommand) => table::lookup_subcommand(command, subcommand),
    }
}

/// COMMAND LIST, which counts subcommands too.
fn list(request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
    let is = |at: usize, word: &str| {
        request
            .arg(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let wanted = request.arg(4).unwrap_or_default();
    let shown: &dyn Fn(&Command) -> bool = match request.len() {
        2 => &|_| true,
        5 if is(2, "FILTERBY") && is(3, "MODULE") => &|_| false,
        5 if is(2, "FILTERBY") && is(3, "ACLCAT") => &|command| {
            command
                .all_categories()
                .any(|category| category.as_bytes().get(1..) == Some(wanted))
        },
        5 if is(2, "FILTERBY") && is(3, "PATTERN") => {
            &|command| glob::matches(wanted, command.name.as_bytes(), true)
        }
        _ => return Err(Refusal::Syntax),
    };
    let names: Vec<&str> = table::all()
        .flat_map(|command| std::iter::once(command).chain(command.subcommands))
        .filter(|command| shown(command))
        .map(|command| command.name)
        .collect();
    encode::array(reply, names.len());
    names.iter().for_each(|name| encode::bulk(reply, name));
    Ok(())
}

/// COMMAND GETKEYS and GETKEYSANDFLAGS.
fn keys(id: Id, request: &Request<'_>, reply: &mut Vec<u8>) -> Result<(), Refusal> {
    let invalid = Refusal::Text("ERR Invalid command specified");
    let name = request.arg(2).unwrap_or_default();
    let mut command = table::lookup(name).ok_or(invalid.clone())?;
    if !command.subcommands.is_empty()
        && let Some(subcommand) = request.arg(3)
    {
        command = table::lookup_subcommand(command, subcommand).ok_or(invalid)?;
    }
    if command.keys.first == 0 {
        return Err(Refusal::Text("ERR The command has no key arguments"));
    }
    let len = request.len() - 2;
    if !command.takes(len) {
        return Err(Refusal::Text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let keys: Vec<&[u8]> = command
        .keys
        .positions(len)
        .filter_map(|at| request.arg(at + 2))
        .collect();
    encode::array(reply, keys.len());
    for key in keys {
        if id == Id::CommandGetKeys {
            encode::bulk(reply, key);
            continue;
        }
        encode::array(reply, 2);
        encode::bulk(reply, key);
        let flags = key_flags(command, request);
        encode::set(reply, flags.len());
        flags.iter().for_each(|flag| encode::simple(reply, flag));
    }
    Ok(())
}

/// What is done to a command's keys. SET is the one whose options decide.
fn key_flags(command: &Command, request: &Request<'_>) -> &'static [&'static str] {
    if command.id != Id::Set {
        return command.keys.flags;
    }
    let get = |arg: &[u8]| arg.eq_ignore_ascii_case(b"GET");
    if request.args().skip(5).any(get) {
        &["RW", "access", "update"]
    } else {
        &["OW", "update"]
    }
}
