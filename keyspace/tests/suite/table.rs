//! COMMAND: the table as clients read it.

use keyspace::table;
use resp::Value;

use crate::harness::Client;

fn value(client: &mut Client, line: &str) -> Value {
    client.feed(line.as_bytes());
    client.feed(b"\r\n");
    let bytes = client.output();
    let (value, length) = resp::decode_value(&bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len(), "{line}");
    value
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        other => panic!("not an array: {other:?}"),
    }
}

#[test]
fn command_shows_one_command_as_redis_does() {
    let mut client = Client::default();
    assert_eq!(
        client.say("COMMAND INFO mset nope client|id"),
        "*3 *10 $4 mset :-3 *2 +write +denyoom :1 :-1 :2 *3 +@write +@string +@slow \
         *2 $26 request_policy:multi_shard $29 response_policy:all_succeeded \
         *1 *6 $5 flags *2 +OW +update $12 begin_search *4 $4 type $5 index $4 spec *2 $5 index :1 \
         $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :-1 $7 keystep :2 $5 limit :0 *0 \
         $-1 \
         *10 $9 client|id :2 *3 +noscript +loading +stale :0 :0 :0 *2 +@slow +@connection *0 *0 *0"
    );
}

#[test]
fn every_command_is_listed_in_every_form() {
    let mut client = Client::default();
    let count = table::all().count();
    assert_eq!(client.say("COMMAND COUNT"), format!(":{count}"));
    assert_eq!(array(value(&mut client, "COMMAND")).len(), count);
    assert_eq!(array(value(&mut client, "COMMAND INFO")).len(), count);
    assert_eq!(array(value(&mut client, "COMMAND DOCS")).len(), 2 * count);
    client.say("HELLO 3");
    let Value::Map(docs) = value(&mut client, "COMMAND DOCS") else {
        panic!("COMMAND DOCS is a map in RESP3");
    };
    assert_eq!(docs.len(), count);
    let subcommands: usize = table::all().map(|c| c.subcommands.len()).sum();
    let list = array(value(&mut client, "COMMAND LIST"));
    assert_eq!(list.len(), count + subcommands);
}

#[test]
fn every_command_in_the_table_is_answered() {
    let wrong = "wrong number of arguments";
    for command in table::all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
        let mut client = Client::default();
        let name = command.name.replace('|', " ");
        let names = name.split(' ').count();
        let arity = usize::from(command.arity.unsigned_abs());
        let refused = format!("-ERR {wrong} for '{}' command", command.name);
        if names < arity {
            assert_eq!(client.say(&name), refused);
        }
        // What a container does is what its subcommands do.
        if !command.subcommands.is_empty() && arity > names {
            continue;
        }
        let line = name + &" 1".repeat(arity.saturating_sub(names));
        let reply = client.say(&line);
        assert!(!reply.contains("unknown"), "{line}: {reply}");
        assert!(!reply.contains(wrong), "{line}: {reply}");
        assert!(!reply.is_empty(), "{line}");
        if command.arity > 0 && command.name != "quit" {
            assert_eq!(client.say(&format!("{line} more")), refused);
        }
    }
}

#[test]
fn keys_are_found_in_every_command_that_has_them() {
    let mut client = Client::default();
    for (line, expected) in [
        ("GET a", "*1 $1 a"),
        ("SET a b EX 10", "*1 $1 a"),
        ("MSET a 1 b 2 c 3", "*3 $1 a $1 b $1 c"),
        ("MSETNX a 1 b 2", "*2 $1 a $1 b"),
        ("MGET a b c", "*3 $1 a $1 b $1 c"),
        ("DEL a b", "*2 $1 a $1 b"),
        ("EXPIRE a 10 NX", "*1 $1 a"),
        ("GETRANGE a 0 1", "*1 $1 a"),
        ("PING x", "-ERR The command has no key arguments"),
        ("CLIENT SETNAME x", "-ERR The command has no key arguments"),
        ("NOPE x", "-ERR Invalid command specified"),
        (
            "GET a b",
            "-ERR Invalid number of arguments specified for command",
        ),
    ] {
        assert_eq!(
            client.say(&format!("COMMAND GETKEYS {line}")),
            expected,
            "{line}"
        );
    }
    let keyed: Vec<_> = table::all().filter(|c| c.keys.first > 0).collect();
    assert!(keyed.len() >= 29, "{}", keyed.len());
    for command in keyed {
        let arity = usize::from(command.arity.unsigned_abs());
        let args: Vec<String> = (1..arity).map(|i| format!("arg{i}")).collect();
        let reply = client.say(&format!(
            "COMMAND GETKEYS {} {}",
            command.name,
            args.join(" ")
        ));
        assert!(
            reply.starts_with("*1 $4 arg1") || reply.starts_with("*2 $4 arg1"),
            "{reply}"
        );
    }
}

#[test]
fn keys_come_with_what_is_done_to_them() {
    let mut client = Client::default();
    for (line, expected) in [
        ("SET x y", "*1 *2 $1 x *2 +OW +update"),
        ("SET x y GET", "*1 *2 $1 x *3 +RW +access +update"),
        ("GET x", "*1 *2 $1 x *2 +RO +access"),
    ] {
        assert_eq!(
            client.say(&format!("COMMAND GETKEYSANDFLAGS {line}")),
            expected
        );
    }
}

#[test]
fn the_list_can_be_filtered() {
    let mut client = Client::default();
    for (filter, expected) in [
        (
            "PATTERN pexpire*",
            "*3 $7 pexpire $9 pexpireat $11 pexpiretime",
        ),
        (
            "PATTERN client|no*",
            "*2 $15 client|no-evict $15 client|no-touch",
        ),
        ("ACLCAT nonesuch", "*0"),
        ("MODULE json", "*0"),
        ("FOO x", "-ERR syntax error"),
    ] {
        assert_eq!(
            client.say(&format!("COMMAND LIST FILTERBY {filter}")),
            expected
        );
    }
    let strings = client.say("COMMAND LIST FILTERBY ACLCAT string");
    assert!(
        strings.contains("$4 incr ") && !strings.contains("$3 del "),
        "{strings}"
    );
}

#[test]
fn docs_hold_arguments_and_subcommands() {
    let mut client = Client::default();
    client.say("HELLO 3");
    let docs = client.say("COMMAND DOCS getdel");
    assert_eq!(
        docs,
        "%1 $6 getdel %5 $7 summary $42 Get the value of a key and delete the key. $5 since \
         $5 6.2.0 $5 group $6 string $10 complexity $4 O(1) $9 arguments *1 %3 $4 name $3 key \
         $4 type $3 key $14 key_spec_index :0"
    );
    let docs = client.say("COMMAND DOCS config nope");
    assert!(docs.starts_with("%1 $6 config %5 $7 summary"), "{docs}");
    assert!(
        docs.contains("$11 subcommands %5 $10 config|get %5"),
        "{docs}"
    );
}
