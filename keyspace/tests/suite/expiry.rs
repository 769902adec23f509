//! Keys that go by time alone.

use keyspace::Keyspace;
use replication::{Millis, StateMachine};
use storage::Engine;

use crate::harness::{Client, dump};

#[test]
fn a_key_goes_though_nothing_is_written() {
    let mut client = Client::default();
    client.say("SET k v PX 100");
    assert_eq!(client.say("GET k"), "$1 v");
    let ticks = client.node.ticks;
    client.node.now_ms += 99;
    assert_eq!(client.say("GET k"), "$1 v");
    assert_eq!(client.node.ticks, ticks, "nothing was due");
    client.node.now_ms += 1;
    for (line, expected) in [
        ("GET k", "$-1"),
        ("EXISTS k", ":0"),
        ("DBSIZE", ":0"),
        ("TTL k", ":-2"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    assert_eq!(client.node.ticks, ticks + 1, "one tick told all of them");
}

#[test]
fn what_needs_a_tick_says_so_and_writes_nothing() {
    for line in [
        "GET k",
        "MGET a k",
        "EXISTS k",
        "TYPE k",
        "TTL k",
        "DBSIZE",
        "STRLEN k",
        "CLUSTER COUNTKEYSINSLOT 7629",
        "CLUSTER GETKEYSINSLOT 7629 9",
    ] {
        let mut client = Client::default();
        client.say("MSET a 1 k 2");
        client.say("PEXPIRE k 50");
        client.node.now_ms += 60;
        // The harness asserts that a query which needs a tick leaves its reply alone.
        client.say(line);
        assert_eq!(client.node.ticks, 1, "{line}");
    }
}

#[test]
fn a_remaining_time_shrinks_though_nothing_is_written() {
    let mut client = Client::default();
    client.say("SET k v EX 100");
    client.node.now_ms += 40_000;
    assert_eq!(client.say("TTL k"), ":60");
    client.node.now_ms += 5;
    assert_eq!(client.say("PTTL k"), ":60000", "within the slack");
    client.node.now_ms += 6;
    assert_eq!(client.say("PTTL k"), ":59989");
}

#[test]
fn group_time_never_steps_back() {
    let mut client = Client::default();
    client.say("SET k v PX 100");
    let start = client.node.now_ms;
    client.node.now_ms = start + 1_000;
    client.say("SET other v");
    client.node.now_ms = start;
    assert_eq!(client.say("GET k"), "$-1");
    client.say("SET k v PX 100");
    assert_eq!(client.node.keyspace.next_due(), Some(Millis(start + 1_100)));
}

#[test]
fn the_sweep_removes_a_bounded_number_per_entry() {
    let mut client = Client::default();
    for i in 0..100 {
        client.say(&format!("SET key{i} v PX 100"));
    }
    let full = dump(client.node.keyspace.engine()).len();
    client.node.now_ms += 100;
    client.node.apply(&[]);
    assert_eq!(client.node.keyspace.expired_keys(), 32);
    assert_eq!(client.say("DBSIZE"), ":0", "expired, swept or not");
    for _ in 0..2 {
        assert!(client.node.keyspace.next_due() <= Some(Millis(client.node.now_ms)));
        client.node.apply(&[]);
    }
    client.node.apply(&[]);
    assert_eq!(client.node.keyspace.expired_keys(), 100);
    assert_eq!(client.node.keyspace.next_due(), None);
    let left = dump(client.node.keyspace.engine());
    assert_eq!(
        (full, left.len()),
        (201, 1),
        "only the machine's own row is left: {left:?}"
    );
}

#[test]
fn a_key_overwritten_blindly_outlives_the_expiry_it_had() {
    let mut client = Client::default();
    client.say("SET k v PX 100");
    client.say("SET k w");
    client.node.now_ms += 1_000;
    client.node.apply(&[]);
    assert_eq!(client.say("GET k"), "$1 w");
    assert_eq!(client.node.keyspace.expired_keys(), 0);
    assert_eq!(
        client.node.keyspace.next_due(),
        None,
        "the stale row is gone"
    );
}

#[test]
fn a_key_refreshed_over_and_over_has_one_row_in_the_index() {
    let mut client = Client::default();
    for i in 0..50 {
        client.node.now_ms += 1;
        client.say(&format!("SET k v{i} EX 1000"));
        client.say("SETEX other 1000 v");
        client.say("EXPIRE k 2000");
        client.say("GETEX k EX 3000");
        client.say("APPEND k x");
    }
    assert_eq!(dump(client.node.keyspace.engine()).len(), 2 + 2 + 1);
    client.say("PERSIST k");
    client.say("DEL other");
    assert_eq!(dump(client.node.keyspace.engine()).len(), 2);
}

#[test]
fn an_expired_key_that_still_stands_is_not_there_for_any_command() {
    // More than the sweep takes at once, so that the last one still stands when it is written to.
    for (line, expected, after) in [
        ("INCR z", ":1", "$1 1"),
        ("APPEND z x", ":1", "$1 x"),
        ("SET z x KEEPTTL", "+OK", "$1 x"),
        ("SET z x XX", "$-1", "$-1"),
        ("SET z x NX", "+OK", "$1 x"),
        ("SET z x GET", "$-1", "$1 x"),
        ("SETNX z x", ":1", "$1 x"),
        ("GETSET z x", "$-1", "$1 x"),
        ("GETDEL z", "$-1", "$-1"),
        ("GETEX z PERSIST", "$-1", "$-1"),
        ("DEL z", ":0", "$-1"),
        ("EXPIRE z 10", ":0", "$-1"),
        ("PERSIST z", ":0", "$-1"),
        ("MSETNX z x", ":1", "$1 x"),
    ] {
        let mut client = Client::default();
        for i in 0..40 {
            client.say(&format!("SET key{i} v PX 50"));
        }
        client.say("SET z 5 PX 60");
        client.node.now_ms += 60;
        assert_eq!(client.say(line), expected, "{line}");
        assert_eq!(client.say("GET z"), after, "{line}");
        if after != "$-1" {
            assert_eq!(client.say("TTL z"), ":-1", "{line}");
        }
        for _ in 0..3 {
            client.node.apply(&[]);
        }
        assert_eq!(client.say("GET z"), after, "{line}, swept");
    }
}

#[test]
fn everything_comes_back_from_the_engine() {
    let mut client = Client::default();
    client.say("SET k v PX 100");
    client.say("SET stays v");
    let (applied, time, due) = {
        let keyspace = &client.node.keyspace;
        (
            keyspace.applied(),
            keyspace.group_time(),
            keyspace.next_due(),
        )
    };
    let mut engine = storage::MemoryEngine::default();
    for (key, value) in dump(client.node.keyspace.engine()) {
        engine.put(&key, &value).unwrap();
    }
    client.node.keyspace = Keyspace::open(engine).unwrap();
    let keyspace = &client.node.keyspace;
    assert_eq!(keyspace.applied(), applied);
    assert_eq!((keyspace.group_time(), keyspace.next_due()), (time, due));
    client.node.now_ms += 100;
    assert_eq!(client.say("MGET k stays"), "*2 $-1 $1 v");
}

#[test]
#[should_panic(expected = "an entry is applied once, in order")]
fn an_entry_is_never_applied_twice() {
    let mut client = Client::default();
    client.say("SET k v");
    client.node.index -= 1;
    client.say("SET k v");
}
