//! Clients that people use, unmodified, against any node, in both modes.

use std::process::{Command, Output};

use redis::{
    AsyncCommands, RedisResult, cluster::ClusterClient, cluster_read_routing::RandomReplicaStrategy,
};

use crate::support::{Cluster, NODES, Options, Reply, client::encode, reply};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program} cannot be run ({error}): run `make setup`"))
}

/// What a program prints; fails the test if it fails.
fn stdout(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}\n{complaint}"
    );
    text.trim_end().to_owned()
}

#[test]
fn redis_cli_writes_here_and_reads_there() {
    let cluster = Cluster::start(Options::plain());
    for version in ["-2", "-3"] {
        for writer in 0..NODES {
            for reader in 0..NODES {
                let value = format!("value {version} {writer} {reader}");
                let (here, there) = (
                    cluster.port(writer).to_string(),
                    cluster.port(reader).to_string(),
                );
                assert_eq!(
                    stdout("redis-cli", &[version, "-p", &here, "SET", "key", &value]),
                    "OK"
                );
                assert_eq!(
                    stdout("redis-cli", &[version, "-p", &there, "GET", "key"]),
                    value
                );
            }
        }
    }
}

#[test]
fn redis_cli_follows_redirections() {
    let mut cluster = Cluster::start(Options::cluster());
    let leader = cluster.leader();
    for writer in 0..NODES {
        let (here, there) = (
            cluster.port(writer).to_string(),
            cluster.port((writer + 1) % NODES).to_string(),
        );
        let value = format!("value {writer}");
        assert_eq!(
            stdout("redis-cli", &["-c", "-p", &here, "SET", "key", &value]),
            "OK"
        );
        assert_eq!(
            stdout("redis-cli", &["-c", "-p", &there, "GET", "key"]),
            value
        );
    }
    let follower = (leader + 1) % NODES;
    let answer = cluster.connect(follower).call(["GET", "key"]);
    // The slot of "key" is 12539.
    let expected = format!("MOVED 12539 127.0.0.1:{}", cluster.port(leader));
    assert_eq!(answer, Reply::Error(expected));
}

#[test]
fn redis_cli_checks_the_cluster() {
    let cluster = Cluster::start(Options::cluster());
    let address = format!("127.0.0.1:{}", cluster.port(0));
    let report = stdout("redis-cli", &["--cluster", "check", &address]);
    assert!(report.contains("[OK] All 16384 slots covered."), "{report}");
    assert!(report.contains("2 additional replica(s)"), "{report}");
}

fn benchmark(port: u16, arguments: &[&str]) {
    let port = port.to_string();
    let mut all = vec![
        "-p",
        &port,
        "-q",
        "-t",
        "ping,set,get,incr,mset",
        "-r",
        "1000",
    ];
    all.extend_from_slice(arguments);
    let report = stdout("redis-benchmark", &all);
    assert!(!report.to_lowercase().contains("err"), "{report}");
    for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"] {
        assert!(report.contains(test), "{test} did not finish: {report}");
    }
}

#[test]
fn redis_benchmark_runs_through_any_node() {
    let cluster = Cluster::start(Options::plain());
    for node in 0..NODES {
        benchmark(cluster.port(node), &["-n", "5000", "-c", "50"]);
        benchmark(
            cluster.port(node),
            &["-n", "20000", "-c", "20", "-P", "16", "-3"],
        );
    }
}

#[test]
fn redis_benchmark_runs_on_a_clusters_leader() {
    let mut cluster = Cluster::start(Options::cluster());
    let leader = cluster.leader();
    benchmark(
        cluster.port(leader),
        &["-n", "20000", "-c", "20", "-P", "16"],
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn exercise(connection: &mut (impl AsyncCommands + Sync), prefix: &str) -> RedisResult<()> {
    let key = |name: &str| format!("{{{prefix}}}:{name}");
    let () = connection.set(key("a"), "value").await?;
    let value: Option<String> = connection.get(key("a")).await?;
    assert_eq!(value.as_deref(), Some("value"));
    let missing: Option<String> = connection.get(key("missing")).await?;
    assert_eq!(missing, None);
    let binary: Vec<u8> = (0..=255).collect();
    let () = connection.set(key("binary"), &binary).await?;
    let back: Vec<u8> = connection.get(key("binary")).await?;
    assert_eq!(back, binary);
    let counter: i64 = connection.incr(key("n"), 5).await?;
    assert_eq!(counter, 5);
    let () = connection.mset(&[(key("x"), "1"), (key("y"), "2")]).await?;
    let values: Vec<Option<String>> = connection.mget(&[key("x"), key("y"), key("z")]).await?;
    assert_eq!(values, [Some("1".to_owned()), Some("2".to_owned()), None]);
    let () = connection.set_ex(key("ttl"), "v", 100).await?;
    let left: i64 = connection.ttl(key("ttl")).await?;
    assert!((95..=100).contains(&left));
    let (one, two): (i64, i64) = redis::pipe()
        .incr(key("n"), 1)
        .incr(key("n"), 1)
        .query_async(connection)
        .await?;
    assert_eq!((one, two), (6, 7));
    let gone: i64 = connection
        .del(&[key("a"), key("n"), key("missing")])
        .await?;
    assert_eq!(gone, 2);
    Ok(())
}

#[test]
fn redis_rs_plain() {
    let cluster = Cluster::start(Options::plain());
    runtime().block_on(async {
        for protocol in ["resp2", "resp3"] {
            for node in 0..NODES {
                let url = format!(
                    "redis://127.0.0.1:{}/?protocol={protocol}",
                    cluster.port(node)
                );
                let client = redis::Client::open(url).expect("a URL");
                let mut connection = client
                    .get_multiplexed_async_connection()
                    .await
                    .expect("a connection");
                exercise(&mut connection, &format!("{protocol}:{node}"))
                    .await
                    .expect("replies");
            }
        }
    });
}

#[test]
fn redis_rs_plain_on_a_clusters_leader() {
    let mut cluster = Cluster::start(Options::cluster());
    let leader = cluster.leader();
    runtime().block_on(async {
        let url = format!("redis://127.0.0.1:{}/?protocol=resp3", cluster.port(leader));
        let client = redis::Client::open(url).expect("a URL");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("a connection");
        exercise(&mut connection, "leader").await.expect("replies");
    });
}

fn redis_rs_cluster(options: Options) {
    let cluster = Cluster::start(options);
    runtime().block_on(async {
        for node in 0..NODES {
            for protocol in [redis::ProtocolVersion::RESP2, redis::ProtocolVersion::RESP3] {
                let seed = format!("redis://127.0.0.1:{}", cluster.port(node));
                let client = ClusterClient::builder([seed]).use_protocol(protocol);
                let client = client.build().expect("a client");
                let mut connection = client.get_async_connection().await.expect("a connection");
                let prefix = format!("{protocol:?}:{node}");
                exercise(&mut connection, &prefix).await.expect("replies");
            }
        }
    });
}

#[test]
fn redis_rs_cluster_in_cluster_mode() {
    redis_rs_cluster(Options::cluster());
}

#[test]
fn redis_rs_cluster_in_plain_mode() {
    redis_rs_cluster(Options::plain());
}

#[test]
fn redis_rs_cluster_reads_from_replicas() {
    let cluster = Cluster::start(Options::cluster());
    runtime().block_on(async {
        let seeds = (0..NODES).map(|node| format!("redis://127.0.0.1:{}", cluster.port(node)));
        let client = ClusterClient::builder(seeds).read_routing_strategy(RandomReplicaStrategy);
        let client = client.build().expect("a client");
        let mut connection = client.get_async_connection().await.expect("a connection");
        for n in 0..200 {
            let () = connection.set("k", n).await.expect("OK");
            // ReadIndex: a replica answers only with what is acknowledged already.
            let read: i64 = connection.get("k").await.expect("a value");
            assert_eq!(read, n);
        }
    });
}

/// What libraries send when they connect, and what redis-benchmark and exporters ask.
/// Errors are fine for what Redis 7.2 may not have; losing the connection is not.
const SET_UP: &[(&str, &[&[&str]])] = &[
    (
        "redis-py 8",
        &[
            &["HELLO", "3"],
            &[
                "CLIENT",
                "MAINT_NOTIFICATIONS",
                "ON",
                "moving-endpoint-type",
                "internal-ip",
            ],
            &["CLIENT", "SETINFO", "LIB-NAME", "redis-py"],
            &["CLIENT", "SETINFO", "LIB-VER", "8.1.0"],
            &["SELECT", "0"],
        ],
    ),
    (
        "go-redis 9",
        &[
            &["hello", "3"],
            &["client", "setname", "app"],
            &["select", "0"],
            &["client", "maint_notifications", "on"],
            &["client", "setinfo", "LIB-NAME", "go-redis(,go1.23)"],
            &["client", "setinfo", "LIB-VER", "9.22.0"],
            &["command"],
        ],
    ),
    (
        "ioredis 6",
        &[
            &["hello", "3"],
            &["select", "0"],
            &["info"],
            &["cluster", "SLOTS"],
        ],
    ),
    (
        "jedis",
        &[
            &["HELLO", "3"],
            &["CLIENT", "SETNAME", "app"],
            &["CLIENT", "SETINFO", "LIB-NAME", "jedis"],
            &["SELECT", "0"],
        ],
    ),
    (
        "lettuce",
        &[
            &["HELLO", "3"],
            &["CLIENT", "SETINFO", "lib-name", "Lettuce"],
            &["CLIENT", "SETINFO", "lib-ver", "6.5.0"],
            &["CLUSTER", "NODES"],
            &["CLUSTER", "MYID"],
            &["INFO"],
        ],
    ),
    (
        "StackExchange.Redis",
        &[
            &["CLIENT", "SETNAME", "app"],
            &["CLIENT", "SETINFO", "lib-name", "SE.Redis"],
            &["CLIENT", "ID"],
            &["CONFIG", "GET", "timeout"],
            &["CONFIG", "GET", "replica-read-only"],
            &["CONFIG", "GET", "databases"],
            &["SENTINEL", "MASTERS"],
            &["INFO", "replication"],
            &["INFO", "server"],
            &["GET", "__Booksleeve_TieBreak"],
            &["ECHO", "\x01\x02binary"],
            &["CLUSTER", "NODES"],
        ],
    ),
    (
        "redis-benchmark",
        &[&["CONFIG", "GET", "save"], &["CONFIG", "GET", "appendonly"]],
    ),
    (
        "redis_exporter",
        &[
            &["CLIENT", "SETNAME", "redis_exporter"],
            &["CONFIG", "GET", "*"],
            &["INFO", "ALL"],
            &["SLOWLOG", "LEN"],
            &["CLUSTER", "INFO"],
        ],
    ),
    (
        "redis-cli",
        &[
            &["COMMAND", "DOCS"],
            &["COMMAND", "DOCS", "get"],
            &["COMMAND", "COUNT"],
        ],
    ),
    (
        "oddities",
        &[
            &["NOSUCHCOMMAND", "a", "b"],
            &["CLIENT", "NOSUCHSUBCOMMAND"],
            &["CLUSTER", "NOSUCHSUBCOMMAND"],
            &["CONFIG", "NOSUCHSUBCOMMAND"],
            &["COMMAND", "NOSUCHSUBCOMMAND"],
            &["GET"],
            &["GET", "a", "b"],
            &["HELLO", "4"],
            &["HELLO", "x"],
            &["SELECT", "x"],
            &["SELECT", "99999999999999999999"],
        ],
    ),
];

/// What Redis 7.2 does not have either, and what it has and is still to come here.
const NOT_YET: [&str; 3] = ["MAINT_NOTIFICATIONS", "SENTINEL", "SLOWLOG"];

fn libraries_connect(options: Options) {
    let mut cluster = Cluster::start(options);
    let leader = cluster.leader();
    for (library, commands) in SET_UP {
        for node in 0..NODES {
            let mut client = cluster.connect(node);
            for command in *commands {
                let answer = client.try_call(*command);
                let answer = answer.unwrap_or_else(|error| {
                    panic!("{library}, node {node}: {command:?} ended the connection: {error}")
                });
                let excused = *library == "oddities"
                    || command
                        .iter()
                        .any(|word| NOT_YET.contains(&word.to_uppercase().as_str()))
                    || cluster.is_oracle() && answer.is_error("ERR unknown subcommand 'SETINFO'");
                let moved = answer.is_error("MOVED") && node != leader;
                assert!(
                    excused || moved || !matches!(answer, Reply::Error(_)),
                    "{library}, node {node}: {command:?} answered {answer:?}"
                );
            }
            if node == leader {
                assert_eq!(client.call(["SET", "after set-up", library]), "OK");
                assert_eq!(client.call(["GET", "after set-up"]), *library);
            }
            assert_eq!(client.call(["PING"]), "PONG", "{library}");
        }
    }
}

#[test]
fn libraries_connect_in_plain_mode() {
    libraries_connect(Options::plain());
}

#[test]
fn libraries_connect_in_cluster_mode() {
    libraries_connect(Options::cluster());
}

#[test]
fn keys_and_values_are_any_bytes() {
    let cluster = Cluster::start(Options::plain());
    let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let samples: [&[u8]; 7] = [
        b"",
        b"\0",
        b"\r\n",
        b"*3\r\n$3\r\nSET\r\n",
        b"$-1\r\n",
        b"\xff\xfe",
        &all,
    ];
    for (nth, bytes) in samples.iter().enumerate() {
        let (here, there) = (nth % NODES, (nth + 1) % NODES);
        let set: [&[u8]; 3] = [b"SET", bytes, bytes];
        assert_eq!(cluster.connect(here).call(set), "OK");
        let get: [&[u8]; 2] = [b"GET", bytes];
        assert_eq!(
            cluster.connect(there).call(get),
            Reply::Bulk(bytes.to_vec())
        );
        assert_eq!(
            cluster.connect(there).call([&b"ECHO"[..], bytes]),
            Reply::Bulk(bytes.to_vec())
        );
    }
}

#[test]
fn values_of_eight_mebibytes_pass_through_any_node() {
    let cluster = Cluster::start(Options::plain());
    for node in 0..NODES {
        // Not compressible to one byte, and different for every node.
        let value: Vec<u8> = (0..8 << 20)
            .map(|n: usize| (n * 31 + n / 251 + node) as u8)
            .collect();
        let key = format!("large:{node}");
        assert_eq!(
            cluster
                .connect(node)
                .call([&b"SET"[..], key.as_bytes(), &value]),
            "OK"
        );
        let mut reader = cluster.connect((node + 1) % NODES);
        assert_eq!(reader.call(["GET", &key]), Reply::Bulk(value.clone()));
        // And behind it the connection is in step.
        let replies = reader
            .pipeline(&[encode(["GET", &key]), encode(["PING"])])
            .expect("replies");
        assert_eq!(replies, [Reply::Bulk(value), reply("PONG")]);
    }
}

#[test]
fn a_pipeline_is_answered_in_order_through_any_node() {
    let cluster = Cluster::start(Options::plain());
    for node in 0..NODES {
        let mut client = cluster.connect(node);
        let commands: Vec<Vec<u8>> = (0..2000)
            .map(|n| match n % 4 {
                0 => encode(["SET", &format!("p:{node}"), &n.to_string()]),
                1 => encode(["GET", &format!("p:{node}")]),
                2 => encode(["ECHO", &n.to_string()]),
                _ => encode(["NOSUCHCOMMAND"]),
            })
            .collect();
        let replies = client.pipeline(&commands).expect("replies");
        for (n, answer) in replies.iter().enumerate() {
            match n % 4 {
                0 => assert_eq!(*answer, "OK"),
                1 => assert_eq!(*answer, (n - 1).to_string().as_str()),
                2 => assert_eq!(*answer, n.to_string().as_str()),
                _ => assert!(answer.is_error("ERR unknown command"), "{answer:?}"),
            }
        }
    }
}

#[test]
fn replies_can_be_switched_off_and_keep_their_order() {
    let cluster = Cluster::start(Options::plain());
    for node in 0..NODES {
        let mut client = cluster.connect(node);
        let silent = [
            encode(["CLIENT", "REPLY", "SKIP"]),
            encode(["SET", "quiet", "1"]),
            encode(["GET", "quiet"]),
            encode(["CLIENT", "REPLY", "OFF"]),
            encode(["SET", "quiet", "2"]),
            encode(["GET", "quiet"]),
            encode(["CLIENT", "REPLY", "ON"]),
            encode(["GET", "quiet"]),
        ];
        client.send(&silent.concat()).expect("sent");
        // One for the GET behind SKIP's victim, one for ON itself, one for the last GET.
        let replies = [(); 3].map(|()| client.receive().expect("a reply"));
        assert_eq!(replies[0], "1");
        assert_eq!(replies[1], "OK");
        assert_eq!(replies[2], "2");
    }
}
