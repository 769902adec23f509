//! Keys expire when they should, on every node, though nobody writes and nodes die.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{Client, Cluster, NODES, Options, Reply};

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// One connection to each node.
fn connect_all(cluster: &Cluster) -> Vec<Client> {
    (0..NODES).map(|node| cluster.connect(node)).collect()
}

#[test]
fn a_key_is_gone_on_every_node_though_nobody_writes() {
    let cluster = Cluster::start(Options::plain());
    let mut clients = connect_all(&cluster);
    for first in 0..NODES {
        for writer in 0..NODES {
            let key = format!("silence:{first}:{writer}");
            assert_eq!(clients[writer].call(["SET", &key, "v", "PX", "100"]), "OK");
            let set = Instant::now();
            assert_eq!(clients[writer].call(["GET", &key]), "v");
            sleep_until(set + Duration::from_millis(200));
            // Whoever is asked first has nobody else's question to learn from.
            for nth in 0..NODES {
                let node = (first + nth) % NODES;
                let value = clients[node].call(["GET", &key]);
                assert_eq!(
                    value,
                    Reply::Nil,
                    "node {node}, written through node {writer}"
                );
                assert_eq!(clients[node].call(["EXISTS", &key]), 0, "node {node}");
            }
        }
    }
}

#[test]
fn a_key_that_nobody_asks_for_is_swept() {
    let cluster = Cluster::start(Options::plain());
    let mut clients = connect_all(&cluster);
    for n in 0..100 {
        assert_eq!(
            clients[0].call(["SET", &format!("swept:{n}"), "v", "PX", "100"]),
            "OK"
        );
    }
    assert_eq!(clients[0].call(["SET", "stays", "v"]), "OK");
    let deadline = Instant::now() + Duration::from_secs(10);
    for client in &mut clients {
        // The harness' own probe is a key, too.
        while client.call(["DBSIZE"]).integer().expect("a number") > 2 {
            assert!(Instant::now() < deadline, "expired keys are never swept");
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(client.call(["GET", "stays"]), "v");
    }
}

#[test]
fn every_node_tells_the_time_to_live() {
    let cluster = Cluster::start(Options::plain());
    let mut clients = connect_all(&cluster);
    for node in 0..NODES {
        let key = format!("ttl:{node}");
        let before = Instant::now();
        assert_eq!(clients[node].call(["SET", &key, "v", "PX", "60000"]), "OK");
        let after = Instant::now();
        for (other, client) in clients.iter_mut().enumerate() {
            // What has surely passed, and what may have; 50 ms for clocks that are read apart.
            let sure = after.elapsed().as_millis() as i64;
            let left = client.call(["PTTL", &key]).integer().expect("a number");
            let maybe = before.elapsed().as_millis() as i64;
            let fits = 60_000 - maybe - 50..=60_000 - sure + 50;
            assert!(
                fits.contains(&left),
                "node {other}: {left} ms left, not within {fits:?}"
            );
            let seconds = client.call(["TTL", &key]).integer().expect("a number");
            assert!(
                (55..=60).contains(&seconds),
                "node {other}: {seconds} s left"
            );
        }
        let (here, there) = (node, (node + 1) % NODES);
        assert_eq!(clients[there].call(["PERSIST", &key]), 1);
        assert_eq!(clients[here].call(["TTL", &key]), -1);
        assert_eq!(clients[here].call(["PEXPIRE", &key, "100"]), 1);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(clients[there].call(["PTTL", &key]), -2);
        assert_eq!(clients[there].call(["SET", &key, "v", "EX", "0"]), ERROR);
        assert_eq!(
            clients[here].call(["SET", &key, "v", "PX", "100", "NX"]),
            "OK"
        );
        assert_eq!(clients[here].call(["SET", &key, "w", "KEEPTTL"]), "OK");
        thread::sleep(Duration::from_millis(200));
        assert_eq!(clients[there].call(["GET", &key]), Reply::Nil);
    }
}

/// Any error.
struct AnyError;
const ERROR: AnyError = AnyError;

impl PartialEq<AnyError> for Reply {
    fn eq(&self, _: &AnyError) -> bool {
        matches!(self, Reply::Error(_))
    }
}

impl std::fmt::Debug for AnyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error")
    }
}

#[test]
fn a_time_to_live_survives_a_restart_of_all_nodes() {
    const LIFE: Duration = Duration::from_secs(6);
    let mut cluster = Cluster::start(Options::plain());
    let millis = LIFE.as_millis().to_string();
    let set = Instant::now();
    assert_eq!(
        cluster.connect(0).call(["SET", "k", "v", "PX", &millis]),
        "OK"
    );
    let acknowledged = Instant::now();
    cluster.kill_all();
    for node in 0..NODES {
        cluster.restart(node);
    }
    cluster.wait_until_ready();
    for mut client in connect_all(&cluster) {
        let left = client.call(["PTTL", "k"]).integer().expect("a number");
        let most = LIFE.saturating_sub(acknowledged.elapsed()).as_millis() as i64 + 100;
        let due = set.elapsed() >= LIFE;
        assert!(
            due || (1..=most).contains(&left),
            "{left} ms left, at most {most} should be"
        );
    }
    assert!(
        set.elapsed() < LIFE,
        "the restart took too long to see anything"
    );
    sleep_until(acknowledged + LIFE + Duration::from_millis(100));
    for mut client in connect_all(&cluster) {
        assert_eq!(client.call(["GET", "k"]), Reply::Nil);
    }
}

#[test]
fn a_key_expires_on_time_across_a_leader_change() {
    let mut cluster = Cluster::start(Options::plain());
    let leader = cluster.leader();
    let survivors = [(leader + 1) % NODES, (leader + 2) % NODES];
    assert_eq!(
        cluster
            .connect(leader)
            .call(["SET", "k", "v", "PX", "4000"]),
        "OK"
    );
    let set = Instant::now();
    cluster.kill(leader);
    for node in survivors {
        let value = cluster.connect(node).call(["GET", "k"]);
        assert!(
            value == "v" || set.elapsed() >= Duration::from_secs(4),
            "{value:?}"
        );
    }
    sleep_until(set + Duration::from_millis(4100));
    for node in survivors {
        assert_eq!(cluster.connect(node).call(["GET", "k"]), Reply::Nil);
    }
}
