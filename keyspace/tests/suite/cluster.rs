//! The cluster as clients are told of it, and where they are sent.

use keyspace::{Access, Leadership, Settings};

use crate::harness::{Asked, Client};

fn in_cluster_mode() -> Client {
    Client::with(Settings {
        cluster_enabled: true,
        ..Settings::default()
    })
}

const NAMES: [&str; 3] = [
    "0000000000000000000000000000000000000001",
    "0000000000000000000000000000000000000002",
    "0000000000000000000000000000000000000003",
];

#[test]
fn one_shard_holds_every_slot_and_its_leader_comes_first() {
    let mut client = Client::default();
    client.node.overview.leader = Some(2);
    let node = |i: usize| format!("*4 $8 10.0.0.{} :640{} $40 {} *0", i, i, NAMES[i - 1]);
    assert_eq!(
        client.say("CLUSTER SLOTS"),
        format!("*1 *5 :0 :16383 {} {} {}", node(2), node(1), node(3))
    );
    let shards = client.say("CLUSTER SHARDS");
    assert!(
        shards.starts_with("*1 *4 $5 slots *2 :0 :16383 $5 nodes *3 *14"),
        "{shards}"
    );
    assert!(
        shards.contains("$4 role $6 master $6 health $6 online $4 port :6402"),
        "{shards}"
    );
    let nodes = client.say("CLUSTER NODES");
    for line in [
        format!(
            "{} 10.0.0.2:6402@7402 master - 0 1700000000000 3 connected 0-16383\n",
            NAMES[1]
        ),
        format!(
            "{} 10.0.0.1:6401@7401 myself,slave {} 0 0 3 connected\n",
            NAMES[0], NAMES[1]
        ),
    ] {
        assert!(nodes.contains(&line), "{line} in {nodes}");
    }
    assert_eq!(client.say("CLUSTER MYID"), format!("$40 {}", NAMES[0]));
    assert_eq!(client.say("CLUSTER MYSHARDID").len(), "$40 ".len() + 40);
    let info = client.say("CLUSTER INFO");
    for field in [
        "cluster_state:ok ",
        "cluster_slots_ok:16384 ",
        "cluster_known_nodes:3 ",
    ] {
        assert!(info.contains(field), "{field} in {info}");
    }
    let replicas = client.say(&format!("CLUSTER REPLICAS {}", NAMES[1]));
    assert!(replicas.starts_with("*2 $"), "{replicas}");
    assert_eq!(
        client.say(&format!("CLUSTER REPLICAS {}", NAMES[0])),
        "-ERR The specified node is not a master"
    );
    assert_eq!(client.say("CLUSTER REPLICAS x"), "-ERR Unknown node x");
}

#[test]
fn without_a_leader_the_state_is_fail_and_there_is_still_an_address_to_try() {
    let mut client = Client::default();
    client.node.overview.leader = None;
    client.node.overview.members[1].online = false;
    assert!(client.say("CLUSTER INFO").contains("cluster_state:fail "));
    let slots = client.say("CLUSTER SLOTS");
    assert!(
        slots.starts_with("*1 *4 :0 :16383 *4 $8 10.0.0.1 :6401"),
        "{slots}"
    );
    assert!(!slots.contains("10.0.0.2"), "{slots}");
    assert!(
        client
            .say("CLUSTER NODES")
            .contains("10.0.0.2:6402@7402 slave,fail")
    );
}

#[test]
fn a_follower_sends_clients_to_the_leader_always_with_the_slot() {
    let mut client = in_cluster_mode();
    client.node.leader = Leadership::Other(2);
    for (line, expected) in [
        ("GET foo", "-MOVED 12182 10.0.0.2:6402"),
        ("SET foo v", "-MOVED 12182 10.0.0.2:6402"),
        ("MSET {foo}1 v bar w", "-MOVED 12182 10.0.0.2:6402"),
        ("DEL bar", "-MOVED 5061 10.0.0.2:6402"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("PING", "+PONG"),
        ("DBSIZE", ":0"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}

#[test]
fn readonly_lets_a_follower_answer_reads_itself() {
    let mut client = in_cluster_mode();
    client.node.leader = Leadership::Other(2);
    assert_eq!(client.say("READONLY"), "+OK");
    client.feed(b"GET foo\r\n");
    assert!(matches!(
        client.node.asked[0],
        Asked::Command(_, Access::Read, _)
    ));
    client.settle();
    client.output();
    assert_eq!(client.say("SET foo v"), "-MOVED 12182 10.0.0.2:6402");
    assert_eq!(client.say("READWRITE"), "+OK");
    assert_eq!(client.say("GET foo"), "-MOVED 12182 10.0.0.2:6402");
}

#[test]
fn nobody_is_sent_anywhere_when_there_is_nowhere_to_go_or_no_cluster_mode() {
    let mut client = in_cluster_mode();
    for leader in [Leadership::Me, Leadership::None, Leadership::Other(77)] {
        client.node.leader = leader;
        assert_eq!(client.say("GET foo"), "$-1", "{leader:?}");
    }
    let mut client = Client::default();
    client.node.leader = Leadership::Other(2);
    assert_eq!(client.say("SET foo v"), "+OK");
}
