//! What is checked before a child is started. Real processes are in tests/local.rs.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use clap::Parser as _;

use super::plan::Plan;
use super::tail::{Tail, Weight};
use crate::cli::{Cli, Command};

fn plan(dir: &Path, more: &[&str], environment: &[(&str, &str)]) -> Result<Plan, String> {
    let dir = dir.to_str().unwrap();
    let line = [&["lockstep", "local", "--dir", dir], more].concat();
    let Command::Local(args) = Cli::parse_from(line).command else {
        panic!("not local")
    };
    let environment = environment
        .iter()
        .map(|(k, v)| (OsString::from(k), OsString::from(v)));
    Plan::new(&args, environment).map_err(|error| error.to_string())
}

/// A port that is free, with those of its cluster of one node, among the `range` hundred: each test
/// has a range of its own, below those that the kernel gives out.
fn port_for_one(range: u16) -> u16 {
    (range * 100..range * 100 + 100)
        .find(|port| {
            [0, 1_000, 2_000]
                .iter()
                .all(|step| TcpListener::bind(("127.0.0.1", port + step)).is_ok())
        })
        .unwrap()
}

#[test]
fn nodes_get_their_ports_and_know_each_other() {
    let root = tempfile::tempdir().unwrap();
    let plan = plan(root.path(), &["--port", "6401", "--cluster-enabled"], &[]).unwrap();
    let ports: Vec<_> = plan
        .nodes
        .iter()
        .map(|n| (n.client.port(), n.peer.port(), n.admin.port()))
        .collect();
    assert_eq!(
        ports,
        [(6401, 7401, 8401), (6402, 7402, 8402), (6403, 7403, 8403)]
    );
    for node in &plan.nodes {
        let said = |key: &str| node.flags.0.get(key).map(String::as_str);
        assert_eq!(said("cluster-enabled"), Some("yes"));
        assert_eq!(said("node"), Some(node.number.to_string().as_str()));
        let peers = "1=127.0.0.1:7401/127.0.0.1:6401,2=127.0.0.1:7402/127.0.0.1:6402,3=127.0.0.1:7403/127.0.0.1:6403";
        assert_eq!(said("peers"), Some(peers));
    }
}

#[test]
fn wrong_settings_are_found_before_any_node_starts() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(
        plan(root.path(), &["--engine", "floppy"], &[])
            .err()
            .unwrap(),
        r#"engine = "floppy" (flag --engine): expected memory, rocksdb or fjall"#
    );
    let error = plan(root.path(), &[], &[("LOCKSTEP_MAXCLIENT", "3")])
        .err()
        .unwrap();
    assert!(
        error.contains("did you mean LOCKSTEP_MAXCLIENTS?"),
        "{error}"
    );
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let root = tempfile::tempdir().unwrap();
    let plan = plan(root.path(), &[], &[("LOCKSTEP_REQUIREPASS", "sesame")]).unwrap();
    let shown = plan.invitation();
    assert!(shown.contains("redis-cli --askpass -p 6401"), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn a_directory_keeps_its_number_of_nodes_and_its_engine() {
    let root = tempfile::tempdir().unwrap();
    let port = port_for_one(180).to_string();
    let one = ["--nodes", "1", "--port", &port];
    let plan_of = |more: &[&str]| plan(root.path(), more, &[]).unwrap();
    let error = |plan: Plan| {
        let error = plan.prepare().err().unwrap().to_string();
        error.replace(root.path().to_str().unwrap(), "ROOT")
    };
    drop(plan_of(&one).prepare().unwrap());
    drop(plan_of(&one).prepare().unwrap());
    assert_eq!(
        error(plan_of(&[])),
        "ROOT holds a cluster with --nodes 1, not 3: give --nodes 1, or another --dir"
    );
    fs::write(
        root.path().join("cluster.toml"),
        "nodes = 1\nengine = \"rocksdb\"\n",
    )
    .unwrap();
    assert_eq!(
        error(plan_of(&one)),
        "ROOT holds a cluster with --engine rocksdb, not memory: give --engine rocksdb, or another --dir"
    );
    fs::write(root.path().join("cluster.toml"), "nodes = many\n").unwrap();
    assert!(error(plan_of(&one)).starts_with("ROOT/cluster.toml is damaged: "));
    fs::remove_file(root.path().join("cluster.toml")).unwrap();
    fs::write(root.path().join("thesis.tex"), "").unwrap();
    assert!(error(plan_of(&one)).contains("(thesis.tex is in it)"));
}

#[test]
fn one_supervisor_per_directory() {
    let root = tempfile::tempdir().unwrap();
    let port = port_for_one(181).to_string();
    let one = plan(root.path(), &["--nodes", "1", "--port", &port], &[]).unwrap();
    let _held = one.prepare().unwrap();
    let error = one.prepare().err().unwrap().to_string();
    assert!(error.contains("is in use by another process"), "{error}");
}

#[test]
fn an_occupied_port_is_named() {
    let root = tempfile::tempdir().unwrap();
    let port = port_for_one(182);
    let _taken = TcpListener::bind(("127.0.0.1", port + 1_000)).unwrap();
    let flags = ["--nodes", "1", "--port", &port.to_string()];
    let error = plan(root.path(), &flags, &[])
        .unwrap()
        .prepare()
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "port {} (nodes of n1) is occupied: Address already in use (os error 98); end whoever \
             uses it, or give another --port",
            port + 1_000
        )
    );
}

#[test]
fn important_lines_are_passed_on_once_and_whole() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log");
    let append = |text: &str| {
        let old = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, old + text).unwrap();
    };
    append("n1 2026 ERROR an earlier run\n");
    let mut tail = Tail::new(&path, fs::metadata(&path).unwrap().len());
    assert!(tail.important(Weight::Warning).is_empty());
    append("n1 2026  INFO starting\nn1 2026  WARN slow disk\nn1 2026 ERR");
    assert_eq!(tail.important(Weight::Warning), ["n1 2026  WARN slow disk"]);
    append("OR gone\n{\"node\":1,\"level\":\"WARN\"}\nthread 'main' panicked at x\n");
    assert_eq!(
        tail.important(Weight::Warning),
        [
            "n1 2026 ERROR gone",
            "{\"node\":1,\"level\":\"WARN\"}",
            "thread 'main' panicked at x"
        ]
    );
    assert!(tail.important(Weight::Warning).is_empty());
    assert_eq!(tail.last_lines().len(), 6);
}

#[test]
fn a_flood_is_not_passed_on_whole() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log");
    let name = |n: u8| String::from_utf8(vec![b'a' + n / 10, b'a' + n % 10]).unwrap();
    let lines: String = (0..100)
        .map(|n| format!("n1 2026  WARN {}\n", name(n)))
        .collect();
    fs::write(&path, lines).unwrap();
    let mut tail = Tail::new(&path, 0);
    let lines = tail.important(Weight::Warning);
    assert_eq!(lines.len(), 21);
    assert!(
        lines[20].starts_with("… and 80 more such lines in "),
        "{}",
        lines[20]
    );
    assert_eq!(tail.last_lines().len(), 15);
}

#[test]
fn of_many_alike_one_is_passed_on() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log");
    let warnings = (0..9).map(|n| format!("n1 {n}  WARN port {n} is gone\n"));
    fs::write(&path, warnings.collect::<String>() + "n1 9  WARN other\n").unwrap();
    let mut tail = Tail::new(&path, 0);
    let expected = ["n1 0  WARN port 0 is gone", "n1 9  WARN other"];
    assert_eq!(tail.important(Weight::Warning), expected);
}

#[test]
fn warnings_can_be_left_to_the_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log");
    let text = "n1 2026  WARN not there yet\nn1 2026 ERROR gone\nlockstep: no\n";
    fs::write(&path, text).unwrap();
    let mut tail = Tail::new(&path, 0);
    assert_eq!(
        tail.important(Weight::Error),
        ["n1 2026 ERROR gone", "lockstep: no"]
    );
    assert!(tail.important(Weight::Warning).is_empty());
}
