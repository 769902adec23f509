//! Nodes are killed and frozen under load: nothing acknowledged is lost, nothing refused
//! happens, nothing happens twice, and writes go on.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Client, Cluster, NODES, Options, Reply,
    client::encode,
    load::{Books, Command, Fate, StallMeter, Writers},
};

/// Within this, writes resume once a majority is up.
const RESUME_WITHIN: Duration = Duration::from_secs(1);
/// The same where the machine itself made a thread wait this long or longer: elections
/// are timed in hundreds of milliseconds, and whoever cannot run cannot vote.
const STALLED: Duration = Duration::from_millis(100);
const RESUME_WITHIN_WHEN_STALLED: Duration = Duration::from_secs(4);
/// How long a node holds a request by default.
const HOLD: Duration = Duration::from_secs(2);

const SET_NUMBER: Command =
    |writer, number| encode(["SET", &key(writer, number), &number.to_string()]);
const INCREMENT: Command = |_, _| encode(["INCR", "counter"]);

fn key(writer: usize, number: usize) -> String {
    format!("w{writer}:{number}")
}

/// Two writers at every node: writer `w` is at node `w % 3`.
fn write_through_every_node(cluster: &Cluster, command: Command) -> Writers {
    let ports: Vec<u16> = (0..2 * NODES)
        .map(|writer| cluster.port(writer % NODES))
        .collect();
    Writers::start(&ports, command)
}

fn writers_at(nodes: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..2 * NODES)
        .filter(|writer| nodes(writer % NODES))
        .collect()
}

fn assert_resumed(what: &str, took: &[Duration], meter: StallMeter) {
    let stall = meter.finish();
    let longest = took.iter().max().copied().unwrap_or_default();
    println!("{what}: writes resumed after {took:?} (longest stall of the machine {stall:?})");
    let limit = if stall >= STALLED {
        RESUME_WITHIN_WHEN_STALLED
    } else {
        RESUME_WITHIN
    };
    assert!(
        longest <= limit,
        "{what}: writes resumed after {longest:?}, not within {limit:?}"
    );
}

/// Every acknowledged write is there, through every node, and no refused one is.
fn assert_books_balance(cluster: &Cluster, books: &[Books]) {
    for node in 0..NODES {
        let mut client = cluster.connect(node);
        for (writer, books) in books.iter().enumerate() {
            let numbers: Vec<usize> = (0..books.entries.len()).collect();
            for numbers in numbers.chunks(500) {
                let reads: Vec<Vec<u8>> = numbers
                    .iter()
                    .map(|&number| encode(["GET", &key(writer, number)]))
                    .collect();
                let values = client.pipeline(&reads).expect("replies");
                for (&number, value) in numbers.iter().zip(values) {
                    let there = match &value {
                        Reply::Nil => false,
                        value if *value == number.to_string().as_str() => true,
                        other => panic!("key {} is {other:?}", key(writer, number)),
                    };
                    let fate = books.entries[number].fate;
                    let fits = match fate {
                        Fate::Acknowledged => there,
                        Fate::Refused => !there,
                        Fate::Unknown => true,
                    };
                    assert!(
                        fits,
                        "node {node}, {}: {fate:?}, but there: {there}",
                        key(writer, number)
                    );
                }
            }
        }
    }
    print_books(books);
}

fn print_books(books: &[Books]) {
    let sum = |fate| books.iter().map(|books| books.count(fate)).sum::<usize>();
    let mut errors = BTreeMap::new();
    for (error, count) in books.iter().flat_map(|books| &books.errors) {
        *errors.entry(error).or_insert(0) += count;
    }
    println!(
        "{} acknowledged, {} refused, {} unknown; errors {errors:?}; {} disconnects",
        sum(Fate::Acknowledged),
        sum(Fate::Refused),
        sum(Fate::Unknown),
        books.iter().map(|books| books.disconnects).sum::<u64>(),
    );
    assert!(sum(Fate::Acknowledged) > 100, "hardly anything was written");
}

#[test]
fn killing_the_leader_loses_no_acknowledged_write() {
    let mut cluster = Cluster::start(Options::plain());
    let writers = write_through_every_node(&cluster, SET_NUMBER);
    for round in 1..=3 {
        thread::sleep(Duration::from_millis(700));
        let leader = cluster.leader();
        let meter = StallMeter::start();
        let killed = Instant::now();
        cluster.kill(leader);
        let took = writers.resumed_after(killed, &writers_at(|node| node != leader));
        assert_resumed(&format!("leader killed, round {round}"), &took, meter);
        cluster.restart(leader);
        let back = Instant::now();
        writers.resumed_after(back, &writers_at(|node| node == leader));
    }
    let books = writers.finish();
    assert_books_balance(&cluster, &books);
}

#[test]
fn killing_all_nodes_loses_no_acknowledged_write() {
    let mut cluster = Cluster::start(Options::plain());
    let writers = write_through_every_node(&cluster, SET_NUMBER);
    for round in 1..=3 {
        thread::sleep(Duration::from_millis(700));
        cluster.kill_all();
        // Another pair first each time.
        let order = [round % NODES, (round + 1) % NODES, (round + 2) % NODES];
        cluster.restart(order[0]);
        cluster.restart(order[1]);
        let meter = StallMeter::start();
        cluster.wait_until_answering(order[0]);
        cluster.wait_until_answering(order[1]);
        let up = Instant::now();
        let took = writers.resumed_after(up, &writers_at(|node| node != order[2]));
        assert_resumed(&format!("all killed, round {round}"), &took, meter);
        cluster.restart(order[2]);
        let back = Instant::now();
        writers.resumed_after(back, &writers_at(|node| node == order[2]));
    }
    let books = writers.finish();
    assert_books_balance(&cluster, &books);
}

#[test]
fn a_killed_follower_holds_nobody_up() {
    let mut cluster = Cluster::start(Options::plain());
    let writers = write_through_every_node(&cluster, SET_NUMBER);
    thread::sleep(Duration::from_millis(500));
    let follower = cluster.follower();
    let meter = StallMeter::start();
    let killed = Instant::now();
    cluster.kill(follower);
    thread::sleep(Duration::from_secs(1));
    let stall = meter.finish();
    cluster.restart(follower);
    let back = Instant::now();
    writers.resumed_after(back, &writers_at(|node| node == follower));
    let books = writers.finish();
    for writer in writers_at(|node| node != follower) {
        let meanwhile = books[writer]
            .entries
            .iter()
            .filter(|e| e.answered > killed && e.sent < back);
        let longest = meanwhile.map(|entry| entry.answered - entry.sent).max();
        let longest = longest.expect("writes while the follower was gone");
        println!("writer {writer} waited at most {longest:?} (stall of the machine {stall:?})");
        assert!(
            longest < Duration::from_millis(250) + 3 * stall,
            "a write took {longest:?}"
        );
    }
    assert_books_balance(&cluster, &books);
}

#[test]
fn a_restarted_node_catches_up() {
    let mut cluster = Cluster::start(Options::plain());
    let follower = cluster.follower();
    cluster.kill(follower);
    let leader = cluster.leader();
    let mut client = cluster.connect(leader);
    let value = "x".repeat(1000);
    for first in (0..20_000).step_by(1000) {
        let writes: Vec<Vec<u8>> = (first..first + 1000)
            .map(|n| encode(["SET", &format!("missed:{n}"), &value]))
            .collect();
        for reply in client.pipeline(&writes).expect("replies") {
            assert_eq!(reply, "OK");
        }
    }
    cluster.restart(follower);
    let restarted = Instant::now();
    cluster.wait_until_answering(follower);
    let applied = |status: serde_json::Value| status["groups"][0]["applied"].as_u64();
    let goal = applied(cluster.status(leader)).expect("an index");
    cluster.wait("the follower to catch up", |cluster| {
        (applied(cluster.status(follower))? >= goal).then_some(())
    });
    println!("caught up {:?} after its restart", restarted.elapsed());
    // And by its own data, with nobody else who could answer: the old leader is gone.
    cluster.kill(leader);
    let mut client = cluster.connect(follower);
    for n in [0, 10_000, 19_999] {
        assert_eq!(client.call(["GET", &format!("missed:{n}")]), value.as_str());
    }
}

#[test]
fn increments_through_followers_count_once_under_leader_kills() {
    let mut cluster = Cluster::start(Options::plain());
    let writers = write_through_every_node(&cluster, INCREMENT);
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(500));
        let leader = cluster.leader();
        let killed = Instant::now();
        cluster.kill(leader);
        writers.resumed_after(killed, &writers_at(|node| node != leader));
        cluster.restart(leader);
        let back = Instant::now();
        writers.resumed_after(back, &writers_at(|node| node == leader));
    }
    let books = writers.finish();
    print_books(&books);
    let sum = |fate| {
        books
            .iter()
            .map(|books| books.count(fate) as i64)
            .sum::<i64>()
    };
    let (acknowledged, unknown) = (sum(Fate::Acknowledged), sum(Fate::Unknown));
    for node in 0..NODES {
        let counter = cluster.connect(node).call(["GET", "counter"]);
        let counter: i64 = counter
            .text()
            .and_then(|text| text.parse().ok())
            .expect("a number");
        assert!(
            (acknowledged..=acknowledged + unknown).contains(&counter),
            "node {node} counts {counter}: {acknowledged} acknowledged, {unknown} unknown"
        );
    }
}

/// Pipelines SET and GET of one key until told, and checks that every GET sees the SET
/// before it. What is unknown may or may not have happened, but never later.
fn read_own_writes(mut client: Client, key: &str, until: impl Fn() -> bool) -> (usize, usize) {
    const DEPTH: usize = 8;
    let (mut pairs, mut unknown) = (0, 0);
    let mut possible = vec![Reply::Nil];
    let mut number = 0;
    while !until() {
        let commands: Vec<Vec<u8>> = (number..number + DEPTH)
            .flat_map(|n| [encode(["SET", key, &n.to_string()]), encode(["GET", key])])
            .collect();
        let replies = client
            .pipeline(&commands)
            .expect("a follower's connection survives");
        for (n, pair) in (number..).zip(replies.chunks(2)) {
            let (set, get) = (&pair[0], &pair[1]);
            let written = Reply::Bulk(n.to_string().into_bytes());
            if *set == "OK" {
                possible = vec![written];
            } else if set.is_error("UNKNOWN") {
                unknown += 1;
                possible.push(written);
            } else {
                assert!(matches!(set, Reply::Error(_)), "SET answered {set:?}");
            }
            match get {
                Reply::Error(_) => unknown += 1,
                get => {
                    assert!(
                        possible.contains(get),
                        "read {get:?}, possible were {possible:?}"
                    );
                    // What was read is what is; an unknown SET has been decided.
                    possible = vec![get.clone()];
                    pairs += 1;
                }
            }
        }
        number += DEPTH;
    }
    (pairs, unknown)
}

#[test]
fn a_follower_reads_its_own_writes_across_leader_changes() {
    let mut cluster = Cluster::start(Options::plain());
    for round in 0..3 {
        let leader = cluster.leader();
        let ports: Vec<u16> = (0..NODES)
            .filter(|&node| node != leader)
            .map(|node| cluster.port(node))
            .collect();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let done = &done;
            let readers: Vec<_> = ports
                .iter()
                .enumerate()
                .map(|(nth, &port)| {
                    let client = Client::connect(port).expect("a connection");
                    scope.spawn(move || {
                        let key = format!("own:{round}:{nth}");
                        let until = || done.load(Ordering::Relaxed);
                        read_own_writes(client, &key, until)
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(500));
            cluster.kill(leader);
            thread::sleep(Duration::from_millis(2000));
            done.store(true, Ordering::Relaxed);
            for reader in readers {
                let (pairs, unknown) = reader.join().expect("every GET sees the SET before it");
                println!("{pairs} pairs, {unknown} unknown or refused");
                assert!(pairs > 100, "hardly anything was read");
            }
        });
        cluster.restart(leader);
        cluster.wait_until_ready();
    }
}

#[test]
fn a_frozen_leader_is_replaced_and_serves_nothing_stale() {
    let mut cluster = Cluster::start(Options::plain());
    let old = cluster.leader();
    let [first, second] = [(old + 1) % NODES, (old + 2) % NODES];
    assert_eq!(cluster.connect(old).call(["SET", "k", "old"]), "OK");
    let writers = write_through_every_node(&cluster, SET_NUMBER);
    let mut reader = cluster.connect(old);
    assert_eq!(reader.call(["GET", "k"]), "old");
    thread::sleep(Duration::from_millis(700));
    let meter = StallMeter::start();
    let frozen = Instant::now();
    cluster.freeze(old);
    let new = cluster.leader();
    assert_ne!(new, old);
    for node in [first, second] {
        // Whoever still believes in the old leader sends it what it gets.
        cluster.wait("a node that knows the new leader", |cluster| {
            (cluster.status(node)["groups"][0]["leader"] == new + 1).then_some(())
        });
    }
    let fresh = [first, second].map(|node| {
        assert_eq!(cluster.connect(node).call(["SET", "fresh", "1"]), "OK");
        frozen.elapsed()
    });
    assert_resumed("leader frozen, clients that come then", &fresh, meter);
    // What was under way to the old leader may still be answered by it, so a follower
    // gives that up, as unknown, only when a hold has passed as well.
    let took = writers.resumed_after(frozen, &writers_at(|node| node != old));
    println!("leader frozen, clients with a write under way to it: {took:?}");
    let longest = took.iter().max().copied().unwrap_or_default();
    assert!(
        longest <= HOLD + RESUME_WITHIN_WHEN_STALLED,
        "they waited {longest:?}"
    );
    assert_eq!(cluster.connect(first).call(["SET", "k", "new"]), "OK");
    assert_eq!(cluster.connect(second).call(["GET", "k"]), "new");
    // The old leader will find this read when it wakes up, believing that it leads.
    reader
        .send(&encode(["GET", "k"]))
        .expect("its socket still takes bytes");
    cluster.thaw(old);
    let thawed = Instant::now();
    match reader.receive().expect("an answer") {
        Reply::Error(error) => println!("the old leader answered {error}"),
        value => assert_eq!(value, "new", "a deposed leader served what it remembered"),
    }
    writers.resumed_after(thawed, &writers_at(|node| node == old));
    let books = writers.finish();
    assert_books_balance(&cluster, &books);
}
