//! From a name or a number to a command, without allocating.
//!
//! A name of up to sixteen bytes fits into two words: its first eight bytes and its last eight,
//! which overlap in a shorter one. Together with the length these say the name exactly. Setting
//! bit 5 of every byte folds the case of letters and of nothing that stands in the table. The two
//! words are hashed into an index made at compile time; one comparison decides.

use super::{Command, FIRST_LOCAL, cluster, connection, generic, server, string};

const GROUPS: [&[Command]; 5] = [
    string::ROWS,
    generic::ROWS,
    server::ROWS,
    connection::ROWS,
    cluster::ROWS,
];

const COUNT: usize = {
    let mut count = 0;
    let mut group = 0;
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
};

/// The commands in one piece.
pub(super) static COMMANDS: [&Command; COUNT] = COMMANDS_CONST;

const COMMANDS_CONST: [&Command; COUNT] = {
    let mut all = [&string::ROWS[0]; COUNT];
    let mut count = 0;
    let mut group = 0;
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].len() {
            all[count] = &GROUPS[group][row];
            count += 1;
            row += 1;
        }
        group += 1;
    }
    all
};

/// Sparse enough that hardly any name has to look further than its first place.
const PLACES: usize = 512;

#[derive(Clone, Copy)]
struct Place {
    name: Packed,
    command: Option<&'static Command>,
}

#[derive(Clone, Copy)]
struct Packed {
    head: u64,
    tail: u64,
    len: usize,
}

static INDEX: [Place; PLACES] = {
    let mut index = [Place {
        name: Packed {
            head: 0,
            tail: 0,
            len: 0,
        },
        command: None,
    }; PLACES];
    let mut i = 0;
    while i < COUNT {
        let command = COMMANDS_CONST[i];
        let name = match pack(command.name.as_bytes()) {
            Some(name) => name,
            None => panic!("a command's name has at most sixteen bytes"),
        };
        let mut place = first_place(name);
        while index[place].command.is_some() {
            place = (place + 1) % PLACES;
        }
        index[place] = Place {
            name,
            command: Some(command),
        };
        i += 1;
    }
    index
};

#[inline]
const fn pack(name: &[u8]) -> Option<Packed> {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let len = name.len();
    let (head, tail) = if len > 16 || len == 0 {
        return None;
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (
            u32::from_le_bytes(*head) as u64,
            u32::from_le_bytes(*tail) as u64,
        )
    } else {
        // One to three bytes: the first, the middle and the last are all there is.
        (
            name[0] as u64,
            ((name[len / 2] as u64) << 8) | name[len - 1] as u64,
        )
    };
    Some(Packed {
        head: head | FOLD,
        tail: tail | FOLD,
        len,
    })
}

#[inline]
const fn first_place(name: Packed) -> usize {
    let mixed = name.head ^ name.tail.rotate_left(29) ^ ((name.len as u64) << 56);
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 55) as usize % PLACES
}

/// The command of this name, in any case. A few nanoseconds.
#[must_use]
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let name = pack(name)?;
    let mut place = first_place(name);
    loop {
        let Place {
            name: found,
            command,
        } = INDEX[place % PLACES];
        let command = command?;
        if found.head == name.head && found.tail == name.tail && found.len == name.len {
            return Some(command);
        }
        place += 1;
    }
}

/// The subcommand of this name, in any case, without its container's.
#[must_use]
pub fn lookup_subcommand(container: &Command, name: &[u8]) -> Option<&'static Command> {
    container
        .subcommands
        .iter()
        .find(|command| command.short_name().as_bytes().eq_ignore_ascii_case(name))
}

const NUMBERS: usize = 64;

static BY_NUMBER: [Option<&Command>; NUMBERS] = {
    let mut by_number = [None; NUMBERS];
    let mut i = 0;
    while i < COUNT {
        let command = COMMANDS_CONST[i];
        if (command.id as u16) < FIRST_LOCAL {
            by_number[command.id as usize] = Some(command);
        }
        let mut sub = 0;
        while sub < command.subcommands.len() {
            let subcommand = &command.subcommands[sub];
            if (subcommand.id as u16) < FIRST_LOCAL {
                by_number[subcommand.id as usize] = Some(subcommand);
            }
            sub += 1;
        }
        i += 1;
    }
    by_number
};

/// The command of this number in the log.
#[must_use]
#[inline]
pub fn by_number(number: u16) -> Option<&'static Command> {
    BY_NUMBER.get(usize::from(number)).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Id, all};

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for command in all() {
            let upper = command.name.to_ascii_uppercase();
            let found = lookup(upper.as_bytes()).unwrap();
            assert!(std::ptr::eq(found, command), "{upper}");
            assert!(std::ptr::eq(
                lookup(command.name.as_bytes()).unwrap(),
                command
            ));
            for wrong in [
                format!("{upper}x"),
                upper[1..].to_string(),
                format!("{}\0", &upper[1..]),
                upper.replace(['E', 'S'], "\u{5}"),
            ] {
                if let Some(other) = lookup(wrong.as_bytes()) {
                    assert_eq!(other.name, wrong.to_ascii_lowercase());
                }
            }
        }
        for name in ["", "foo", "getgetgetgetgetget", "client|id", "set "] {
            assert!(lookup(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn subcommands_are_found_within_their_container() {
        let client = lookup(b"CLIENT").unwrap();
        assert_eq!(
            lookup_subcommand(client, b"SetInfo").unwrap().id,
            Id::ClientSetInfo
        );
        assert!(lookup_subcommand(client, b"client|setinfo").is_none());
    }

    #[test]
    fn numbers_in_the_log_never_change() {
        let numbers: Vec<String> = (0..NUMBERS as u16)
            .filter_map(by_number)
            .map(|command| format!("{}={}", command.number().unwrap(), command.name))
            .collect();
        assert_eq!(
            numbers.join(" "),
            "1=get 2=set 3=del 4=exists 5=incr 6=decr 7=incrby 8=decrby 9=mget 10=mset 11=expire \
             12=pexpire 13=ttl 14=pttl 15=persist 16=type 17=dbsize 18=flushall 19=flushdb \
             20=expireat 21=pexpireat 22=expiretime 23=pexpiretime 24=setnx 25=getset 26=strlen \
             27=append 28=setex 29=psetex 30=getdel 31=unlink 32=touch 33=msetnx 34=getex \
             35=getrange 36=cluster|countkeysinslot 37=cluster|getkeysinslot 38=substr \
             39=setrange 40=incrbyfloat 41=lcs 42=rename 43=renamenx 44=copy 45=move 46=keys \
             47=scan 48=randomkey 49=swapdb 50=object|encoding 51=object|refcount \
             52=object|idletime 53=object|freq"
        );
    }
}
