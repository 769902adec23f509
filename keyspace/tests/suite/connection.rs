//! Greeting, authentication, and what a connection remembers.

use keyspace::Settings;

use crate::harness::{Client, request, shown};

const NOAUTH: &str = "-NOAUTH Authentication required.";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

fn with_password() -> Client {
    Client::with(Settings {
        requirepass: "secret".into(),
        ..Settings::default()
    })
}

#[test]
fn ping_echo_time() {
    let mut client = Client::default();
    client.node.now_ms = 1_700_000_000_123;
    for (line, expected) in [
        ("PING", "+PONG"),
        ("PING hello", "$5 hello"),
        (
            "PING a b",
            "-ERR wrong number of arguments for 'ping' command",
        ),
        ("ECHO hello", "$5 hello"),
        ("ECHO", "-ERR wrong number of arguments for 'echo' command"),
        ("TIME", "*2 $10 1700000000 $6 123000"),
        ("", ""),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}

#[test]
fn hello_says_who_is_there() {
    let mut client = Client::default();
    assert_eq!(
        client.say("HELLO"),
        "*14 $6 server $5 redis $7 version $5 7.2.4 $5 proto :2 $2 id :7 $4 mode $10 standalone \
         $4 role $6 master $7 modules *0"
    );
    client.node.settings.cluster_enabled = true;
    client.node.overview.leader = Some(2);
    assert_eq!(
        client.say("HELLO 3 SETNAME me"),
        "%7 $6 server $5 redis $7 version $5 7.2.4 $5 proto :3 $2 id :7 $4 mode $7 cluster \
         $4 role $7 replica $7 modules *0"
    );
    assert_eq!(client.say("CLIENT GETNAME"), "$2 me");
    for (line, expected) in [
        (
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range",
        ),
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO 1", "-NOPROTO unsupported protocol version"),
        ("HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
        ("HELLO 2 AUTH x", "-ERR Syntax error in HELLO option 'AUTH'"),
        ("HELLO 2 AUTH nobody x", WRONGPASS),
        (
            "HELLO 2 SETNAME \"a b\"",
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT GETNAME", "$2 me"),
        ("GET k", "_"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}

#[test]
fn nothing_is_answered_before_authentication() {
    let mut client = with_password();
    for (line, expected) in [
        ("PING", NOAUTH),
        ("GET k", NOAUTH),
        ("CLIENT SETNAME x", NOAUTH),
        ("COMMAND", NOAUTH),
        (
            "NOPE",
            "-ERR unknown command 'NOPE', with args beginning with:",
        ),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        (
            "HELLO 3",
            "-NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ),
        ("AUTH wrong", WRONGPASS),
        ("AUTH secre", WRONGPASS),
        ("AUTH nobody secret", WRONGPASS),
        ("AUTH a b c", "-ERR syntax error"),
        ("AUTH secret", "+OK"),
        ("PING", "+PONG"),
        ("AUTH wrong", WRONGPASS),
        ("PING", "+PONG"),
        ("RESET", "+RESET"),
        ("PING", NOAUTH),
        ("AUTH default secret", "+OK"),
        ("PING", "+PONG"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}

#[test]
fn hello_can_authenticate() {
    let mut client = with_password();
    assert_eq!(client.say("HELLO 3 AUTH default wrong"), WRONGPASS);
    let reply = client.say("HELLO 3 AUTH default secret SETNAME me");
    assert!(reply.starts_with("%7 $6 server"), "{reply}");
    assert_eq!(client.say("CLIENT GETNAME"), "$2 me");
}

#[test]
fn quit_needs_no_password() {
    let mut client = with_password();
    assert_eq!(client.say("QUIT"), "+OK");
    assert!(client.session.closing());
}

#[test]
fn auth_without_a_password_is_an_error_but_any_password_will_do_for_default() {
    let mut client = Client::default();
    assert_eq!(
        client.say("AUTH x"),
        "-ERR AUTH <password> called without any password configured for the default user. Are \
         you sure your configuration is correct?"
    );
    assert_eq!(client.say("AUTH default x"), "+OK");
    assert_eq!(client.say("AUTH other x"), WRONGPASS);
}

#[test]
fn large_requests_are_for_those_who_have_authenticated() {
    let large = vec![b'x'; 20 << 10];
    let mut client = with_password();
    client.feed(&request(&[b"ECHO", &large]));
    assert_eq!(
        shown(&client.output()),
        "-ERR Protocol error: unauthenticated bulk length"
    );
    assert!(client.session.closing());

    let mut client = with_password();
    client.say("AUTH secret");
    client.feed(&request(&[b"ECHO", &large]));
    assert_eq!(client.output().len(), large.len() + 8 + 2);
    client.say("RESET");
    client.feed(&request(&[b"ECHO", &large]));
    assert!(client.session.closing(), "RESET takes it back");
}

#[test]
fn the_longest_bulk_string_is_a_setting() {
    let mut client = Client::default();
    let large = vec![b'x'; (1 << 20) + 1];
    client.feed(&request(&[b"ECHO", &large]));
    assert_eq!(client.output().len(), large.len() + 10 + 2);
    assert_eq!(client.say("CONFIG SET proto-max-bulk-len 1mb"), "+OK");
    client.feed(&request(&[b"ECHO", &large]));
    assert_eq!(
        shown(&client.output()),
        "-ERR Protocol error: invalid bulk length"
    );
}

#[test]
fn databases_are_those_of_the_configuration() {
    let range = "-ERR DB index is out of range";
    let mut client = Client::default();
    for (line, expected) in [
        ("SELECT 0", "+OK"),
        ("SELECT 1", range),
        ("SELECT -1", range),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        (
            "SELECT 99999999999",
            "-ERR value is out of range, value must between -2147483648 and 2147483647",
        ),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    client.node.settings.databases = 4;
    for (line, expected) in [
        ("SET k zero", "+OK"),
        ("SELECT 3", "+OK"),
        ("GET k", "$-1"),
        ("CLUSTER COUNTKEYSINSLOT 7629", ":1"),
        ("SET k three", "+OK"),
        ("SELECT 4", range),
        ("GET k", "$5 three"),
        ("DBSIZE", ":1"),
        ("RESET", "+RESET"),
        ("GET k", "$4 zero"),
        ("SELECT 3", "+OK"),
        ("FLUSHDB", "+OK"),
        ("DBSIZE", ":0"),
        ("SELECT 0", "+OK"),
        ("DBSIZE", ":1"),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    client.node.settings.cluster_enabled = true;
    assert_eq!(
        client.say("SELECT 1"),
        "-ERR SELECT is not allowed in cluster mode"
    );
    assert_eq!(client.say("SELECT 0"), "+OK");
}

#[test]
fn unknown_commands_are_named_with_their_arguments() {
    let mut client = Client::default();
    let long = "z".repeat(200);
    for (line, expected) in [
        (
            "nope",
            "-ERR unknown command 'nope', with args beginning with:".to_string(),
        ),
        (
            "nope a \"\" \"b\\r\\nc\"",
            "-ERR unknown command 'nope', with args beginning with: 'a' '' 'b  c'".to_string(),
        ),
        (
            &format!("nope {long} more"),
            format!(
                "-ERR unknown command 'nope', with args beginning with: '{}'",
                "z".repeat(128)
            ),
        ),
        (
            "client nope",
            "-ERR unknown subcommand 'nope'. Try CLIENT HELP.".to_string(),
        ),
        (
            "Cluster Failover",
            "-ERR unknown subcommand 'Failover'. Try CLUSTER HELP.".to_string(),
        ),
        (
            "client",
            "-ERR wrong number of arguments for 'client' command".to_string(),
        ),
        (
            "client setname",
            "-ERR wrong number of arguments for 'client|setname' command".to_string(),
        ),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
        assert!(!client.session.closing());
    }
}
