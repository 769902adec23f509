//! SCAN, RANDOMKEY, KEYS and DBSIZE over many keys, and databases that are emptied meanwhile.

use std::collections::BTreeSet;

use keyspace::{Access, Outcome};
use replication::{LongId, Millis, Query, StateMachine};

use crate::determinism::encode;
use crate::harness::{Asked, Client, dump, request, shown};

/// More than is visited at once.
const MANY: usize = 5_000;

fn filled() -> Client {
    let mut client = Client::default();
    for chunk in 0..MANY / 500 {
        let mut args = vec![b"MSET".to_vec()];
        for i in 0..500 {
            args.push(format!("key:{}", chunk * 500 + i).into_bytes());
            args.push(vec![b'v'; 200]);
        }
        let args: Vec<&[u8]> = args.iter().map(|arg| &arg[..]).collect();
        client.feed(&request(&args));
        client.settle();
        assert_eq!(client.output(), b"+OK\r\n");
    }
    client
}

fn bulks(reply: &[u8]) -> Vec<String> {
    fn gather(value: resp::Value, found: &mut Vec<String>) {
        match value {
            resp::Value::Bulk(bytes) => found.push(String::from_utf8(bytes.to_vec()).unwrap()),
            resp::Value::Array(values) => values.into_iter().for_each(|v| gather(v, found)),
            other => panic!("{other:?}"),
        }
    }
    let mut found = Vec::new();
    gather(resp::decode_value(reply).unwrap().unwrap().0, &mut found);
    found
}

/// One call of SCAN: the next cursor, and the keys.
fn scan(client: &mut Client, cursor: &str, options: &str) -> (String, Vec<String>) {
    client.feed(format!("SCAN {cursor} {options}\r\n").as_bytes());
    client.settle();
    let mut found = bulks(&client.output());
    let cursor = found.remove(0);
    (cursor, found)
}

#[test]
fn an_iteration_sees_every_key_once_whatever_changes_meanwhile() {
    let mut client = filled();
    let (mut cursor, mut seen, mut calls) = ("0".to_string(), Vec::new(), 0);
    loop {
        let (next, keys) = scan(&mut client, &cursor, "COUNT 100");
        assert!(keys.len() <= 101, "{}", keys.len());
        seen.extend(keys);
        cursor = next;
        calls += 1;
        assert!(cursor.parse::<u64>().unwrap() < 1 << 53);
        if cursor == "0" {
            break;
        }
        // Others come and go; half of the keys are overwritten.
        client.say(&format!("SET other:{calls} v"));
        client.say(&format!("DEL other:{}", calls.max(3) - 3));
        client.say(&format!("SET key:{} again", calls * 17 % MANY));
    }
    let ours: Vec<String> = seen
        .into_iter()
        .filter(|key| key.starts_with("key:"))
        .collect();
    let distinct: BTreeSet<&String> = ours.iter().collect();
    assert_eq!((ours.len(), distinct.len()), (MANY, MANY));
    assert!((45..60).contains(&calls), "{calls}");
}

#[test]
fn a_cursor_means_the_same_on_another_node_and_after_a_restart() {
    let (mut one, mut other) = (filled(), filled());
    let (cursor, _) = scan(&mut one, "0", "COUNT 1000");
    assert_eq!(scan(&mut one, &cursor, ""), scan(&mut other, &cursor, ""));
}

#[test]
fn keys_that_share_a_place_are_returned_together() {
    // The same slot and the same hash, found by trying.
    let mut client = Client::default();
    let (a, b) = twins();
    client.say(&format!("MSET {a} 1 {b} 2"));
    let (cursor, keys) = scan(&mut client, "0", "COUNT 1");
    assert_eq!((cursor.as_str(), keys.len()), ("0", 2), "{keys:?}");
    client.say("SET {t}x 1");
    let mut seen = Vec::new();
    let mut cursor = "0".to_string();
    for _ in 0..2 {
        let (next, keys) = scan(&mut client, &cursor, "COUNT 1");
        assert!(keys.len() != 1 || keys == ["{t}x"], "{keys:?}");
        seen.extend(keys);
        cursor = next;
    }
    assert_eq!((cursor.as_str(), seen.len()), ("0", 3));
}

/// Two keys of one slot with one hash.
fn twins() -> (String, String) {
    let mut seen = std::collections::HashMap::new();
    (0_u32..)
        .find_map(|i| {
            let key = format!("{{t}}{i}");
            let hash = keyspace::key::hash(key.as_bytes());
            seen.insert(hash, key.clone()).map(|twin| (twin, key))
        })
        .unwrap()
}

#[test]
fn a_scan_visits_no_more_than_it_may_whatever_count_says() {
    let mut client = filled();
    for i in 0..3 {
        let moved = format!(
            "MSET {}",
            (0..2_500)
                .map(|j| format!("more:{i}:{j} v "))
                .collect::<String>()
        );
        client.say(&moved);
    }
    let (cursor, keys) = scan(&mut client, "0", "COUNT 1000000");
    assert_eq!(keys.len(), 5_000);
    let (cursor, keys) = scan(&mut client, &cursor, "COUNT 1000000");
    assert_eq!(keys.len(), 5_000);
    let (cursor, keys) = scan(&mut client, &cursor, "COUNT 1000000");
    assert_eq!((cursor.as_str(), keys.len()), ("0", 2_500));
    let (_, keys) = scan(&mut client, "0", "COUNT 1000000 MATCH key:* TYPE list");
    assert_eq!(keys.len(), 0);
}

#[test]
fn random_keys_are_of_all_slots_and_all_within_one() {
    let mut client = Client::default();
    let keys: BTreeSet<String> = (0..20)
        .map(|i| {
            if i < 10 {
                format!("{{tag}}{i}")
            } else {
                format!("key:{i}")
            }
        })
        .collect();
    for key in &keys {
        client.say(&format!("SET {key} v"));
    }
    let mut seen = BTreeSet::new();
    for _ in 0..2_000 {
        client.node.now_ms += 1;
        client.feed(b"RANDOMKEY\r\n");
        client.settle();
        seen.extend(bulks(&client.output()));
    }
    assert_eq!(seen, keys);
}

#[test]
fn keys_are_those_of_one_moment_and_others_are_served_in_between() {
    let mut client = filled();
    let node = &mut client.node;
    let keys = encode(&["KEYS".into(), "key:*".into()], 0);
    let clock = Millis(node.now_ms);
    let asked = node.keyspace.query(&keys, clock, &mut Vec::new()).unwrap();
    assert_eq!(asked, Query::Long);
    node.keyspace.begin_long(LongId(1), &keys).unwrap();
    node.keyspace
        .work(&mut |_, _| panic!("too much for one slice"))
        .ok();
    // What is written now is not seen: neither what goes nor what comes.
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    node.apply(&[
        &encode(&words("SET key:new v"), 0),
        &encode(&words("FLUSHALL"), 0),
    ]);
    let (mut answer, mut slices) = (Vec::new(), 1);
    while node.keyspace.has_work() {
        node.keyspace
            .work(&mut |_, reply| answer = reply.to_vec())
            .unwrap();
        slices += 1;
    }
    assert_eq!(bulks(&answer).len(), MANY);
    assert!(slices > 1, "{slices}");
    assert_eq!(client.say("DBSIZE"), ":0");
}

#[test]
fn a_question_that_nobody_waits_for_is_dropped_and_its_view_ended() {
    let mut client = filled();
    let keyspace = &mut client.node.keyspace;
    let keys = encode(&["KEYS".into(), "*".into()], 0);
    let size = encode(&["DBSIZE".into()], 0);
    for (id, query) in [(1, &keys), (2, &size), (3, &size)] {
        keyspace.begin_long(LongId(id), query).unwrap();
    }
    keyspace.work(&mut |_, _| ()).unwrap();
    keyspace.cancel_long(LongId(1));
    keyspace.cancel_long(LongId(2));
    let mut answered = Vec::new();
    while keyspace.has_work() {
        keyspace
            .work(&mut |id, reply| answered.push((id, shown(reply))))
            .unwrap();
    }
    assert_eq!(answered, [(LongId(3), format!(":{MANY}"))]);
    assert_eq!(keyspace.engine().frozen_bytes(), 0);
}

#[test]
fn everything_behind_a_long_question_waits_for_it() {
    let mut client = filled();
    client.feed(b"SET key:x v\r\nDBSIZE\r\nDEL key:x\r\nDBSIZE\r\n");
    // Behind the write it waits, and does not travel in the log.
    assert_eq!(client.node.asked.len(), 1);
    client.complete(0);
    client.go_on();
    assert!(matches!(
        client.node.asked[0],
        Asked::Command(_, Access::Read, _)
    ));
    assert_eq!(client.node.asked.len(), 1, "what follows waits");
    client.settle();
    let expected = format!("+OK :{} :1 :{MANY}", MANY + 1);
    assert_eq!(shown(&client.output()), expected);
}

#[test]
fn a_count_that_needs_a_tick_goes_through_the_log_and_is_then_asked_again() {
    let mut client = filled();
    client.say("PEXPIRE key:1 50");
    client.node.now_ms += 60;
    client.feed(b"DBSIZE\r\n");
    let Asked::Command(slot, Access::Read, query) = client.node.asked.pop_front().unwrap() else {
        panic!("a count is read");
    };
    let clock = Millis(client.node.now_ms);
    let asked = client
        .node
        .keyspace
        .query(&query, clock, &mut Vec::new())
        .unwrap();
    assert_eq!(asked, Query::NeedsTick);
    // In the log there is no time for it, but the log has moved time.
    let reply = client.node.apply(&[&query]).remove(0);
    client
        .session
        .complete(slot, Some(9), Outcome::Reply(&reply));
    assert_eq!(client.output(), b"");
    assert!(client.session.can_continue());
    client.go_on();
    let Asked::Command(again, Access::Read, query) = client.node.asked.pop_front().unwrap() else {
        panic!("it is asked again");
    };
    assert_eq!(again, slot);
    // However far the clock is ahead now: once is enough.
    client.node.now_ms += 1_000_000;
    let (reply, index) = client.node.execute(Access::Read, &query);
    assert_eq!(index, None);
    client.session.complete(slot, None, Outcome::Reply(&reply));
    assert_eq!(shown(&client.output()), format!(":{}", MANY - 1));
}

#[test]
fn what_was_flushed_is_gone_at_once_and_its_memory_soon() {
    let mut client = filled();
    for i in 0..100 {
        client.say(&format!("PEXPIRE key:{i} 1000000"));
    }
    client.say("SELECT 0");
    assert_eq!(client.say("FLUSHDB ASYNC"), "+OK");
    for (line, expected) in [
        ("DBSIZE", ":0"),
        ("GET key:1", "$-1"),
        ("KEYS *", "*0"),
        ("SCAN 0", "*2 $1 0 *0"),
        ("RANDOMKEY", "$-1"),
        ("CLUSTER COUNTKEYSINSLOT 9189", ":0"),
        ("SET key:1 new", "+OK"),
        ("TTL key:1", ":-1"),
        ("DBSIZE", ":1"),
        ("SCAN 0", "*2 $1 0 *1 $5 key:1"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    let info = client.say("INFO keyspace");
    assert!(info.ends_with("db0:keys=1,expires=0,avg_ttl=0"), "{info}");
    let mut entries = 0;
    while client.node.keyspace.next_due().is_some() {
        assert_eq!(
            client.node.keyspace.next_due(),
            Some(Millis(0)),
            "due at once"
        );
        client.node.apply(&[]);
        entries += 1;
    }
    assert!((1..5).contains(&entries), "{entries}");
    // The key, the position, and where the database stands now.
    assert_eq!(dump(client.node.keyspace.engine()).len(), 3);
    assert_eq!(client.say("GET key:1"), "$3 new");
}
