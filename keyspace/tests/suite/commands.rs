//! Every command of the state machine: what is said, and what is answered.
//!
//! The expected replies were compared with those of a Redis server when they were written. A line
//! is sent as an inline request; line ends in a reply are shown as blanks.

use crate::harness::Client;

/// Runs a conversation with a fresh server.
fn talk(conversation: &[(&str, &str)]) {
    let mut client = Client::default();
    for (line, expected) in conversation {
        assert_eq!(client.say(line), *expected, "{line}");
    }
}

const WRONG_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";
const OVERFLOW: &str = "-ERR increment or decrement would overflow";

#[test]
fn get_and_set() {
    talk(&[
        ("GET k", "$-1"),
        ("SET k v", "+OK"),
        ("GET k", "$1 v"),
        ("set k \"\"", "+OK"),
        ("gEt k", "$0"),
        ("SET k \"\\x00\\r\\n\\xff\"", "+OK"),
        ("STRLEN k", ":4"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        (
            "GET a b",
            "-ERR wrong number of arguments for 'get' command",
        ),
        ("SET k", "-ERR wrong number of arguments for 'set' command"),
    ]);
}

#[test]
fn set_with_conditions() {
    talk(&[
        ("SET k 1 XX", "$-1"),
        ("GET k", "$-1"),
        ("SET k 1 NX", "+OK"),
        ("SET k 2 NX", "$-1"),
        ("SET k 2 xx", "+OK"),
        ("GET k", "$1 2"),
        ("SET k 3 GET", "$1 2"),
        ("SET k 4 NX GET", "$1 3"),
        ("GET k", "$1 3"),
        ("SET new 1 NX GET", "$-1"),
        ("GET new", "$1 1"),
        ("SET none 1 XX GET", "$-1"),
        ("GET none", "$-1"),
        ("SET k 5 XX GET", "$1 3"),
        ("GET k", "$1 5"),
    ]);
}

#[test]
fn set_with_expiry() {
    talk(&[
        ("SET k v EX 100", "+OK"),
        ("TTL k", ":100"),
        ("SET k v PX 1500", "+OK"),
        ("PTTL k", ":1500"),
        ("TTL k", ":2"),
        ("SET k w KEEPTTL", "+OK"),
        ("PTTL k", ":1500"),
        ("SET k w", "+OK"),
        ("TTL k", ":-1"),
        ("SET k v EXAT 1700000100", "+OK"),
        ("TTL k", ":100"),
        ("SET k v PXAT 1700000000250", "+OK"),
        ("PTTL k", ":250"),
        ("SET k v EXAT 1", "+OK"),
        ("EXISTS k", ":0"),
        ("SET k v EX 10 EX 20", "+OK"),
        ("TTL k", ":20"),
        ("SET k v GET EX 5 XX", "$1 v"),
        ("TTL k", ":5"),
    ]);
}

#[test]
fn set_refuses_options_that_make_no_sense() {
    let invalid = "-ERR invalid expire time in 'set' command";
    talk(&[
        ("SET k v EX 0", invalid),
        ("SET k v EX -1", invalid),
        ("SET k v PX 0", invalid),
        ("SET k v EXAT 0", invalid),
        ("SET k v EX 9223372036854775807", invalid),
        ("SET k v EX 9223372036854775", invalid),
        ("SET k v PX 9223372036854775807", invalid),
        ("SET k v PXAT 9223372036854775807", "+OK"),
        ("SET k v EX x", WRONG_INTEGER),
        ("SET k v EX 1.5", WRONG_INTEGER),
        ("SET k v EX", SYNTAX),
        ("SET k v EX 1 PX 1", SYNTAX),
        ("SET k v EX 1 KEEPTTL", SYNTAX),
        ("SET k v KEEPTTL EX 1", SYNTAX),
        ("SET k v NX XX", SYNTAX),
        ("SET k v XX NX", SYNTAX),
        ("SET k v PERSIST", SYNTAX),
        ("SET k v FOO", SYNTAX),
        ("SET k v EX 0 FOO", SYNTAX),
        ("PTTL k", ":9223370336854775807"),
    ]);
}

#[test]
fn setnx_setex_psetex_getset() {
    talk(&[
        ("SETNX k v", ":1"),
        ("SETNX k w", ":0"),
        ("SETEX k 10 x", "+OK"),
        ("TTL k", ":10"),
        ("PSETEX k 10 y", "+OK"),
        ("PTTL k", ":10"),
        ("SETEX k 0 x", "-ERR invalid expire time in 'setex' command"),
        (
            "PSETEX k -1 x",
            "-ERR invalid expire time in 'psetex' command",
        ),
        ("SETEX k x x", WRONG_INTEGER),
        ("GETSET k z", "$1 y"),
        ("TTL k", ":-1"),
        ("GETSET none z", "$-1"),
        ("GET none", "$1 z"),
    ]);
}

#[test]
fn getdel_and_getex() {
    talk(&[
        ("SET k v EX 10", "+OK"),
        ("GETEX k", "$1 v"),
        ("TTL k", ":10"),
        ("GETEX k PERSIST", "$1 v"),
        ("TTL k", ":-1"),
        ("GETEX k PX 500", "$1 v"),
        ("PTTL k", ":500"),
        ("GETEX k EX 1 PERSIST", SYNTAX),
        ("GETEX k NX", SYNTAX),
        (
            "GETEX k EX 0",
            "-ERR invalid expire time in 'getex' command",
        ),
        ("GETEX none EX 0", "$-1"),
        ("GETEX k EXAT 1", "$1 v"),
        ("GET k", "$-1"),
        ("SET k v", "+OK"),
        ("GETDEL k", "$1 v"),
        ("GETDEL k", "$-1"),
    ]);
}

#[test]
fn append_strlen_getrange() {
    talk(&[
        ("APPEND k Hello", ":5"),
        ("EXPIRE k 10", ":1"),
        ("APPEND k \" World\"", ":11"),
        ("GET k", "$11 Hello World"),
        ("TTL k", ":10"),
        ("STRLEN k", ":11"),
        ("STRLEN none", ":0"),
        ("GETRANGE k 0 4", "$5 Hello"),
        ("GETRANGE k -5 -1", "$5 World"),
        ("GETRANGE k 3 1", "$0"),
        ("GETRANGE k -1 -5", "$0"),
        ("GETRANGE k 0 -1", "$11 Hello World"),
        ("GETRANGE k -100 100", "$11 Hello World"),
        ("GETRANGE k 11 20", "$0"),
        (
            "GETRANGE k -9223372036854775808 9223372036854775807",
            "$11 Hello World",
        ),
        ("GETRANGE none 0 -1", "$0"),
        ("GETRANGE k x 1", WRONG_INTEGER),
    ]);
}

#[test]
fn counters() {
    talk(&[
        ("INCR k", ":1"),
        ("INCRBY k 41", ":42"),
        ("DECR k", ":41"),
        ("DECRBY k 41", ":0"),
        ("DECRBY k 1", ":-1"),
        ("INCRBY k -9", ":-10"),
        ("GET k", "$3 -10"),
        ("EXPIRE k 10", ":1"),
        ("INCR k", ":-9"),
        ("TTL k", ":10"),
        ("INCRBY k x", WRONG_INTEGER),
        ("INCRBY k 01", WRONG_INTEGER),
        ("INCRBY k 9223372036854775808", WRONG_INTEGER),
        ("SET k 9223372036854775807", "+OK"),
        ("INCR k", OVERFLOW),
        ("DECRBY k -1", OVERFLOW),
        ("SET k -9223372036854775808", "+OK"),
        ("DECR k", OVERFLOW),
        ("INCRBY k -1", OVERFLOW),
        (
            "DECRBY k -9223372036854775808",
            "-ERR decrement would overflow",
        ),
        ("GET k", "$20 -9223372036854775808"),
        ("SET k \" 1\"", "+OK"),
        ("INCR k", WRONG_INTEGER),
        ("SET k 1.0", "+OK"),
        ("INCR k", WRONG_INTEGER),
        ("SET k \"\"", "+OK"),
        ("INCR k", WRONG_INTEGER),
    ]);
}

#[test]
fn many_keys_at_once() {
    talk(&[
        ("MSET a 1 b 2 a 3", "+OK"),
        ("MGET a b none a", "*4 $1 3 $1 2 $-1 $1 3"),
        (
            "MSET a 1 b",
            "-ERR wrong number of arguments for 'mset' command",
        ),
        ("MSETNX c 1 a 9", ":0"),
        ("GET c", "$-1"),
        ("MSETNX c 1 d 2 c 3", ":1"),
        ("GET c", "$1 3"),
        (
            "MSETNX c",
            "-ERR wrong number of arguments for 'msetnx' command",
        ),
        (
            "MSETNX c 1 d",
            "-ERR wrong number of arguments for 'msetnx' command",
        ),
        ("EXISTS a b a none", ":3"),
        ("TOUCH a none", ":1"),
        ("DEL a a none b", ":2"),
        ("UNLINK c d", ":2"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn types_and_sizes() {
    talk(&[
        ("TYPE k", "+none"),
        ("SET k v", "+OK"),
        ("TYPE k", "+string"),
        ("DBSIZE", ":1"),
        ("SET k w", "+OK"),
        ("MSET a 1 b 2", "+OK"),
        ("DBSIZE", ":3"),
        ("FLUSHALL FOO", SYNTAX),
        ("FLUSHALL ASYNC SYNC", SYNTAX),
        ("DBSIZE", ":3"),
        ("FLUSHALL ASYNC", "+OK"),
        ("DBSIZE", ":0"),
        ("SET k v EX 10", "+OK"),
        ("flushall sync", "+OK"),
        ("TTL k", ":-2"),
        ("SET k v", "+OK"),
        ("FLUSHDB", "+OK"),
        ("DBSIZE", ":0"),
        (
            "DBSIZE x",
            "-ERR wrong number of arguments for 'dbsize' command",
        ),
    ]);
}

#[test]
fn expire_and_its_conditions() {
    let invalid = "-ERR invalid expire time in 'expire' command";
    let mixed = "-ERR NX and XX, GT or LT options at the same time are not compatible";
    talk(&[
        ("EXPIRE none 10", ":0"),
        ("SET k v", "+OK"),
        ("EXPIRE k 10 XX", ":0"),
        ("EXPIRE k 10 GT", ":0"),
        ("EXPIRE k 10 LT", ":1"),
        ("EXPIRE k 20 LT", ":0"),
        ("EXPIRE k 20 gt", ":1"),
        ("EXPIRE k 20 GT", ":0"),
        ("EXPIRE k 20 NX", ":0"),
        ("EXPIRE k 30 XX GT", ":1"),
        ("TTL k", ":30"),
        ("EXPIRE k 10 NX XX", mixed),
        ("EXPIRE k 10 NX LT", mixed),
        (
            "EXPIRE k 10 GT LT",
            "-ERR GT and LT options at the same time are not compatible",
        ),
        ("EXPIRE k 10 FOO", "-ERR Unsupported option FOO"),
        ("EXPIRE k x", WRONG_INTEGER),
        ("EXPIRE k x FOO", "-ERR Unsupported option FOO"),
        ("EXPIRE k 9223372036854775807", invalid),
        ("EXPIRE k 9223372036854775", invalid),
        ("EXPIRE k -9223372036854775808", invalid),
        ("EXPIRE k -1", ":1"),
        ("EXISTS k", ":0"),
        ("SET k v", "+OK"),
        ("EXPIRE k 0", ":1"),
        ("EXISTS k", ":0"),
        ("SET k v", "+OK"),
        ("PEXPIRE k 1499", ":1"),
        ("TTL k", ":1"),
        ("PEXPIRE k 1500", ":1"),
        ("TTL k", ":2"),
        (
            "PEXPIRE k 9223372036854775807",
            "-ERR invalid expire time in 'pexpire' command",
        ),
        ("PERSIST k", ":1"),
        ("PERSIST k", ":0"),
        ("PERSIST none", ":0"),
        ("TTL k", ":-1"),
        ("PTTL none", ":-2"),
    ]);
}

#[test]
fn absolute_expiries() {
    talk(&[
        ("SET k v", "+OK"),
        ("EXPIRETIME k", ":-1"),
        ("PEXPIRETIME none", ":-2"),
        ("EXPIREAT k 1700000010", ":1"),
        ("TTL k", ":10"),
        ("EXPIRETIME k", ":1700000010"),
        ("PEXPIREAT k 1700000010600", ":1"),
        ("EXPIRETIME k", ":1700000011"),
        ("PEXPIRETIME k", ":1700000010600"),
        ("PEXPIREAT k 9223372036854775807", ":1"),
        ("EXPIREAT k 1", ":1"),
        ("EXISTS k", ":0"),
    ]);
}

#[test]
fn keys_of_a_slot() {
    talk(&[
        ("CLUSTER KEYSLOT foo", ":12182"),
        ("MSET foo 1 {foo}a 2 bar 3", "+OK"),
        ("CLUSTER COUNTKEYSINSLOT 12182", ":2"),
        ("CLUSTER COUNTKEYSINSLOT 0", ":0"),
        ("CLUSTER GETKEYSINSLOT 12182 1", "*1 $6 {foo}a"),
        ("CLUSTER GETKEYSINSLOT 5061 10", "*1 $3 bar"),
        ("CLUSTER GETKEYSINSLOT 5061 0", "*0"),
        ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"),
        ("CLUSTER COUNTKEYSINSLOT x", WRONG_INTEGER),
        (
            "CLUSTER GETKEYSINSLOT 1 -1",
            "-ERR Invalid slot or number of keys",
        ),
    ]);
}

#[test]
fn the_same_in_resp3() {
    let mut client = Client::default();
    client.say("HELLO 3");
    for (line, expected) in [
        ("GET k", "_"),
        ("SET k v NX GET", "_"),
        ("SET k v NX", "_"),
        ("MGET k none", "*2 $1 v _"),
        ("TTL k", ":-1"),
        ("GETDEL none", "_"),
        ("CONFIG GET appendonly", "%1 $10 appendonly $3 yes"),
        ("CLIENT GETNAME", "_"),
        ("CLUSTER KEYSLOT foo", ":12182"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}
