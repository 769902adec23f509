//! CLIENT, CONFIG and INFO.

use keyspace::{ClientInfo, KillFilter};

use crate::harness::Client;

fn other(client: &Client, id: u64) -> ClientInfo {
    let mut info = client
        .session
        .info(std::time::Duration::from_millis(client.node.now_ms));
    info.id = id;
    info.peer = format!("127.0.0.1:{}", 50_000 + id).parse().unwrap();
    info
}

#[test]
fn a_connection_describes_itself() {
    let mut client = Client::default();
    for (line, expected) in [
        ("CLIENT ID", ":7"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETNAME me", "+OK"),
        ("CLIENT GETNAME", "$2 me"),
        ("CLIENT SETINFO lib-name redis-py", "+OK"),
        ("CLIENT SETINFO LIB-VER 8.1.0", "+OK"),
        (
            "CLIENT SETINFO lib-ver \"a b\"",
            "-ERR lib-ver cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'"),
        (
            "CLIENT SETNAME \"a b\"",
            "-ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT NO-EVICT on", "+OK"),
        ("CLIENT NO-TOUCH OFF", "+OK"),
        ("CLIENT NO-TOUCH x", "-ERR syntax error"),
        ("CLIENT REPLY x", "-ERR syntax error"),
        (
            "CLIENT MAINT_NOTIFICATIONS ON",
            "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
        ),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    client.node.now_ms += 5_000;
    let info = client.say("CLIENT INFO");
    for field in [
        "id=7 addr=127.0.0.1:50000 laddr=127.0.0.1:6401 ",
        " name=me age=5 idle=0 flags=N db=0 ",
        " cmd=client|info ",
        " resp=2 lib-name=redis-py lib-ver=8.1.0 ",
    ] {
        assert!(info.contains(field), "{field:?} in {info}");
    }
    client.say("CLIENT SETNAME \"\"");
    assert_eq!(client.say("CLIENT GETNAME"), "$-1");
}

#[test]
fn the_list_shows_everybody_once() {
    let mut client = Client::default();
    client.node.others = vec![other(&client, 9), other(&client, 7), other(&client, 3)];
    let ids = |list: String| -> Vec<String> {
        list.split("id=")
            .skip(1)
            .filter_map(|line| line.split_once(" addr=").map(|(id, _)| id.to_string()))
            .collect()
    };
    assert_eq!(ids(client.say("CLIENT LIST")), ["3", "7", "9"]);
    assert_eq!(ids(client.say("CLIENT LIST ID 9 7 100")), ["7", "9"]);
    assert_eq!(ids(client.say("CLIENT LIST TYPE normal")), ["3", "7", "9"]);
    assert_eq!(client.say("CLIENT LIST TYPE pubsub"), "$0");
    for (line, expected) in [
        ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID"),
        ("CLIENT LIST FOO", "-ERR syntax error"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}

#[test]
fn kill_names_its_victims_exactly() {
    let mut client = Client::default();
    client.node.others = vec![other(&client, 3), other(&client, 9)];
    for (line, expected) in [
        ("CLIENT KILL 127.0.0.1:50003", "+OK"),
        ("CLIENT KILL 1.1.1.1:1", "-ERR No such client"),
        ("CLIENT KILL ID 9", ":1"),
        ("CLIENT KILL ID 100", ":0"),
        (
            "CLIENT KILL ID x",
            "-ERR client-id should be greater than 0",
        ),
        (
            "CLIENT KILL ID 0",
            "-ERR client-id should be greater than 0",
        ),
        ("CLIENT KILL ADDR 127.0.0.1:50009 ID 9", ":1"),
        ("CLIENT KILL ADDR 127.0.0.1:50009 ID 3", ":0"),
        ("CLIENT KILL TYPE normal", ":2"),
        ("CLIENT KILL TYPE pubsub", ":0"),
        ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT KILL USER default", ":2"),
        ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'"),
        ("CLIENT KILL ID", "-ERR No such client"),
        ("CLIENT KILL ID 1 SKIPME", "-ERR syntax error"),
        ("CLIENT KILL ID 1 SKIPME x", "-ERR syntax error"),
        ("CLIENT KILL FOO x", "-ERR syntax error"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
        assert!(!client.session.closing(), "{line}");
    }
    assert_eq!(
        client.node.killed[2],
        KillFilter {
            ids: vec![9],
            ..KillFilter::default()
        }
    );
    assert_eq!(client.say("CLIENT KILL ID 7 SKIPME no"), ":1");
    assert!(client.session.closing());
}

#[test]
fn settings_are_found_by_pattern_and_changed_all_or_none() {
    let mut client = Client::default();
    for (line, expected) in [
        ("CONFIG GET save", "*2 $4 save $0"),
        ("CONFIG GET appendonly", "*2 $10 appendonly $3 yes"),
        ("CONFIG GET NOPE*", "*0"),
        (
            "CONFIG GET *-keepalive timeout",
            "*4 $7 timeout $1 0 $13 tcp-keepalive $3 300",
        ),
        ("CONFIG SET timeout 30 maxclients 5", "+OK"),
        ("CONFIG GET timeout", "*2 $7 timeout $2 30"),
        (
            "CONFIG SET timeout 60 maxclients x",
            "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument \
             couldn't be parsed into an integer",
        ),
        ("CONFIG GET timeout", "*2 $7 timeout $2 30"),
        (
            "CONFIG SET databases 3",
            "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set \
             immutable config",
        ),
        (
            "CONFIG SET nope 3",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'",
        ),
        (
            "CONFIG SET timeout 1 TIMEOUT 2",
            "-ERR CONFIG SET failed (possibly related to argument 'TIMEOUT') - duplicate parameter",
        ),
        ("CONFIG SET timeout 1 maxclients", "-ERR syntax error"),
        ("CONFIG SET save \"\"", "+OK"),
        (
            "CONFIG REWRITE",
            "-ERR The server is running without a config file",
        ),
        ("CONFIG RESETSTAT", "+OK"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    assert_eq!(client.node.resets, 1);
    assert_eq!(client.node.settings.maxclients, 5);
}

#[test]
fn info_has_the_fields_that_tools_read() {
    let mut client = Client::default();
    client.node.overview.uptime_s = 90_000;
    client.node.overview.used_memory = 1_572_864;
    client.say("SET k v");
    client.say("SET l v EX 100");
    let all = client.say("INFO");
    for field in [
        "# Server",
        "redis_version:7.2.4 ",
        "redis_mode:standalone ",
        "# CPU",
        "# Modules",
        "uptime_in_seconds:90000 uptime_in_days:1 ",
        "used_memory:1572864 used_memory_human:1.50M ",
        "loading:0 ",
        "role:master connected_slaves:2 ",
        "slave0:ip=10.0.0.2,port=6402,state=online,offset=7,lag=0 ",
        "master_repl_offset:9 ",
        "cluster_enabled:0 ",
        "db0:keys=2,expires=1,avg_ttl=100000",
        "connected_clients:0 ",
        "lockstep_version:",
    ] {
        assert!(all.contains(field), "{field:?} in {all}");
    }
    assert!(!all.contains("# Commandstats"));
    assert!(client.say("INFO everything").contains("# Commandstats"));
    let some = client.say("INFO Replication keyspace");
    assert!(
        some.contains("# Replication") && some.contains("# Keyspace"),
        "{some}"
    );
    assert!(!some.contains("# Server"), "{some}");
    assert_eq!(client.say("INFO nonesuch"), "$0");
}

#[test]
fn a_follower_says_whom_it_follows() {
    let mut client = Client::default();
    client.node.overview.node = 2;
    let info = client.say("INFO replication");
    for field in [
        "role:slave master_host:10.0.0.1 master_port:6401 master_link_status:up ",
        "slave_repl_offset:8 ",
    ] {
        assert!(info.contains(field), "{field:?} in {info}");
    }
    assert_eq!(
        client.say("ROLE"),
        "*5 $5 slave $8 10.0.0.1 :6401 $9 connected :8"
    );
    client.node.overview.leader = None;
    assert_eq!(client.say("ROLE"), "*5 $5 slave $0  :0 $7 connect :8");
    assert!(client.say("INFO").contains("master_link_status:down "));
}

#[test]
fn the_leader_says_who_follows() {
    let mut client = Client::default();
    client.node.overview.members[2].online = false;
    assert_eq!(
        client.say("ROLE"),
        "*3 $6 master :9 *1 *3 $8 10.0.0.2 $4 6402 $1 7"
    );
}

#[test]
fn everything_has_help() {
    let mut client = Client::default();
    for container in ["CLIENT", "COMMAND", "CONFIG", "CLUSTER"] {
        let help = client.say(&format!("{container} HELP"));
        let title =
            format!("+{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
        assert!(help.contains(&title), "{help}");
        assert!(
            help.ends_with("Show helpful text about the different subcommands."),
            "{help}"
        );
    }
}

#[test]
fn commands_and_errors_are_counted() {
    let mut client = Client::default();
    client.session.take_counters();
    for line in ["PING", "SET k v", "INCR k", "NOPE", "GET"] {
        client.say(line);
    }
    let counters = client.session.take_counters();
    assert_eq!((counters.commands, counters.errors), (5, 3));
    assert_eq!(client.session.take_counters().commands, 0);
}
