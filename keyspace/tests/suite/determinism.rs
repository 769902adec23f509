//! The same entries give the same state and the same replies, however they are cut.

use keyspace::Keyspace;
use proptest::prelude::*;
use replication::{EntryInfo, Epoch, Index, Millis, Position, StateMachine};
use storage::MemoryEngine;

use crate::harness::{Rows, START_MS, dump};

/// Arguments that often make sense somewhere.
const WORDS: &str = "a b v 7 -3 0 30 9223372036854775807 EX PX NX XX GET KEEPTTL PERSIST GT LT EXAT \
                     1700000001 PXAT 1700000000050 ";

const WRITES: &str = "SET SET SET DEL INCR DECR INCRBY DECRBY MSET EXPIRE PEXPIRE PEXPIRE PERSIST \
                      SETNX GETSET APPEND PSETEX GETDEL GETEX MSETNX FLUSHALL FLUSHDB EXPIREAT \
                      UNLINK SETRANGE INCRBYFLOAT RENAME RENAMENX COPY MOVE SWAPDB";

const READS: &str = "GET EXISTS MGET TTL PTTL TYPE DBSIZE STRLEN EXPIRETIME GETRANGE TOUCH SCAN KEYS \
                     LCS";

/// A command of the table with arguments that often make sense.
pub(crate) fn any_command() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![3 => command_of(WRITES), 2 => command_of(READS)]
}

fn one_of(words: &'static str) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words.split(' ').collect::<Vec<_>>())
}

fn command_of(names: &'static str) -> impl Strategy<Value = Vec<String>> {
    let (name, key, word) = (one_of(names), one_of("a b c {a}d e"), one_of(WORDS));
    (name, key, prop::collection::vec(word, 0..5)).prop_map(|(name, key, words)| {
        let command = keyspace::table::lookup(name.as_bytes()).unwrap();
        let mut args = vec![name.to_string()];
        // Empty databases show little: they are emptied rarely.
        if !name.starts_with("FLUSH") || words.len() > 3 {
            args.extend((command.arity != 1).then(|| key.to_string()));
            args.extend(words.into_iter().map(String::from));
        }
        // An arity that fits more often than chance would have it.
        let arity = usize::from(command.arity.unsigned_abs());
        while args.len() < arity {
            args.push("1".into());
        }
        if command.arity > 0 {
            args.truncate(arity);
        }
        args
    })
}

pub(crate) fn encode(args: &[String], database: u16) -> Vec<u8> {
    let command = keyspace::table::lookup(args[0].as_bytes()).unwrap();
    let mut out = Vec::new();
    let rest = args[1..].iter().map(|arg| arg.as_bytes());
    keyspace::command::encode(&mut out, database, command.number().unwrap(), rest);
    out
}

#[derive(Clone, Debug)]
struct Entry {
    stamp: u64,
    commands: Vec<Vec<u8>>,
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let command = (any_command(), 0_u16..2).prop_map(|(args, database)| encode(&args, database));
    // Stamps step back now and then, as those of another leader would.
    let entry = (0_u64..200, prop::collection::vec(command, 0..8));
    prop::collection::vec(entry, 1..40).prop_map(|entries| {
        let mut clock = START_MS;
        let mut step = |(step, commands): (u64, Vec<Vec<u8>>)| {
            clock = clock + step - 50;
            let stamp = if step == 50 { 0 } else { clock };
            Entry { stamp, commands }
        };
        entries.into_iter().map(&mut step).collect()
    })
}

/// Applies the entries in ranges of the given sizes; the replies, if they are wanted.
fn run(entries: &[Entry], ranges: &[usize], wanted: bool, reopen: bool) -> (Rows, Vec<u8>) {
    let mut keyspace = Keyspace::open(MemoryEngine::default()).unwrap();
    let mut replies = Vec::new();
    let mut left = ranges.iter().copied().cycle();
    let mut room = left.next().unwrap();
    for (i, entry) in entries.iter().enumerate() {
        let info = EntryInfo {
            position: Position {
                index: Index(i as u64 + 1),
                epoch: Epoch::term(1),
            },
            stamp: Millis(entry.stamp),
            semantics: replication::SEMANTICS,
            membership: None,
        };
        keyspace.begin(info).unwrap();
        for command in &entry.commands {
            keyspace
                .apply(command, wanted.then_some(&mut replies))
                .unwrap();
        }
        room -= 1;
        if room == 0 || i + 1 == entries.len() {
            keyspace.commit().unwrap();
            room = left.next().unwrap();
            if reopen {
                keyspace = reopened(&keyspace);
            }
        }
    }
    (dump(keyspace.engine()), replies)
}

/// What a restart would make of it.
fn reopened(keyspace: &Keyspace<MemoryEngine>) -> Keyspace<MemoryEngine> {
    use storage::Engine as _;
    let mut engine = MemoryEngine::default();
    for (key, value) in dump(keyspace.engine()) {
        engine.put(&key, &value).unwrap();
    }
    Keyspace::open(engine).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_same_entries_give_the_same_state_and_replies(
        entries in any_entries(),
        ranges in prop::collection::vec(1_usize..6, 1..5),
    ) {
        let (state, replies) = run(&entries, &[1], true, false);
        let (cut, cut_replies) = run(&entries, &ranges, true, false);
        prop_assert_eq!(&state, &cut);
        prop_assert_eq!(&replies, &cut_replies);
        let (silent, _) = run(&entries, &ranges, false, false);
        prop_assert_eq!(&state, &silent, "who wants replies must not matter");
        let (restarted, restarted_replies) = run(&entries, &ranges, true, true);
        prop_assert_eq!(&state, &restarted);
        prop_assert_eq!(&replies, &restarted_replies);
    }

    /// A query says what the same read says in the log, or asks for a tick.
    #[test]
    fn a_query_agrees_with_the_log(entries in any_entries(), probe in command_of(READS)) {
        let mut keyspace = Keyspace::open(MemoryEngine::default()).unwrap();
        for (i, entry) in entries.iter().enumerate() {
            keyspace.begin(EntryInfo {
                position: Position { index: Index(i as u64 + 1), epoch: Epoch::term(1) },
                stamp: Millis(entry.stamp),
                semantics: replication::SEMANTICS,
                membership: None,
            }).unwrap();
            for command in &entry.commands {
                keyspace.apply(command, None).unwrap();
            }
        }
        keyspace.commit().unwrap();
        let (mut asked, mut logged) = (Vec::new(), Vec::new());
        let probe = encode(&probe, 0);
        let now = keyspace.group_time();
        let query = keyspace.query(&probe, now, &mut asked).unwrap();
        prop_assert_eq!(query, replication::Query::Answered);
        keyspace.apply(&probe, Some(&mut logged)).unwrap();
        prop_assert_eq!(asked, logged);
    }
}

#[test]
fn members_are_kept_with_the_data() {
    let mut keyspace = Keyspace::open(MemoryEngine::default()).unwrap();
    let members = replication::Membership::of_voters([1, 2, 3].map(replication::NodeId));
    keyspace
        .begin(EntryInfo {
            position: Position {
                index: Index(1),
                epoch: Epoch::term(1),
            },
            stamp: Millis(0),
            semantics: 0,
            membership: Some(&members),
        })
        .unwrap();
    assert_eq!(keyspace.applied(), Position::ZERO, "not before the commit");
    keyspace.commit().unwrap();
    let keyspace = reopened(&keyspace);
    assert_eq!(*keyspace.membership(), members);
    assert_eq!(keyspace.applied().index, Index(1));
}

#[test]
fn a_newer_meaning_stops_the_machine() {
    let mut keyspace = Keyspace::open(MemoryEngine::default()).unwrap();
    let error = keyspace
        .begin(EntryInfo {
            position: Position {
                index: Index(1),
                epoch: Epoch::term(1),
            },
            stamp: Millis(0),
            semantics: replication::SEMANTICS + 1,
            membership: None,
        })
        .unwrap_err();
    assert!(error.to_string().contains("upgrade this node"), "{error}");
}
