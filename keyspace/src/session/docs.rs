//! A command as COMMAND INFO and COMMAND DOCS show it.

use resp::encode;

use crate::table::{Command, arguments, flags};

/// The ten fields of COMMAND INFO.
pub(super) fn info(command: &Command, out: &mut Vec<u8>) {
    let keys = &command.keys;
    encode::array(out, 10);
    encode::bulk(out, command.name);
    encode::integer(out, i64::from(command.arity));
    let names: Vec<&str> = flags::NAMES
        .into_iter()
        .enumerate()
        .filter_map(|(bit, name)| command.is(1 << bit).then_some(name))
        .collect();
    words(&names, out);
    encode::integer(out, i64::from(keys.first));
    encode::integer(out, i64::from(keys.last));
    encode::integer(out, i64::from(keys.step));
    words(&command.all_categories().collect::<Vec<_>>(), out);
    encode::set(out, command.tips.len());
    command.tips.iter().for_each(|tip| encode::bulk(out, tip));
    key_specification(command, out);
    encode::set(out, command.subcommands.len());
    for subcommand in command.subcommands {
        info(subcommand, out);
    }
}

fn words(words: &[&str], out: &mut Vec<u8>) {
    encode::set(out, words.len());
    words.iter().for_each(|word| encode::simple(out, word));
}

fn key_specification(command: &Command, out: &mut Vec<u8>) {
    let keys = &command.keys;
    if keys.first == 0 {
        encode::set(out, 0);
        return;
    }
    // The last key counts from the first one here, unless it counts from the end.
    let last = if keys.last < 0 {
        i64::from(keys.last)
    } else {
        i64::from(keys.last) - i64::from(keys.first)
    };
    encode::set(out, 1);
    encode::map(out, 3);
    encode::bulk(out, "flags");
    words(keys.flags, out);
    encode::bulk(out, "begin_search");
    encode::map(out, 2);
    encode::bulk(out, "type");
    encode::bulk(out, "index");
    encode::bulk(out, "spec");
    encode::map(out, 1);
    encode::bulk(out, "index");
    encode::integer(out, i64::from(keys.first));
    encode::bulk(out, "find_keys");
    encode::map(out, 2);
    encode::bulk(out, "type");
    encode::bulk(out, "range");
    encode::bulk(out, "spec");
    encode::map(out, 3);
    for (field, value) in [
        ("lastkey", last),
        ("keystep", i64::from(keys.step)),
        ("limit", 0),
    ] {
        encode::bulk(out, field);
        encode::integer(out, value);
    }
}

/// The value of COMMAND DOCS for one command.
pub(super) fn docs(command: &Command, out: &mut Vec<u8>) {
    let fields = 4
        + usize::from(!command.arguments.is_empty())
        + usize::from(!command.subcommands.is_empty());
    encode::map(out, fields);
    for (field, value) in [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
        ("complexity", command.complexity),
    ] {
        encode::bulk(out, field);
        encode::bulk(out, value);
    }
    if !command.arguments.is_empty() {
        encode::bulk(out, "arguments");
        arguments::describe(command.arguments, out);
    }
    if !command.subcommands.is_empty() {
        encode::bulk(out, "subcommands");
        encode::map(out, command.subcommands.len());
        for subcommand in command.subcommands {
            encode::bulk(out, subcommand.name);
            docs(subcommand, out);
        }
    }
}
