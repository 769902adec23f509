//! redis-py, plain and cluster, in RESP2 and RESP3, by the scripts in `python/`.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::support::{Cluster, NODES, Options};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/python");

/// The interpreter that `make setup` prepares, or the one named by
/// `CLUSTER_TEST_PYTHON`, or the system's.
fn interpreter() -> PathBuf {
    if let Some(named) = std::env::var_os("CLUSTER_TEST_PYTHON") {
        return named.into();
    }
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python3");
    if prepared.exists() {
        prepared
    } else {
        "python3".into()
    }
}

fn python(arguments: &[&str]) -> String {
    let python = interpreter();
    // As a user would see it, and nothing left behind in the source tree.
    let output = Command::new(&python).arg("-B").args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{} cannot be run ({error}): run `make setup`",
            python.display()
        )
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        !complaint.contains("No module named 'redis'"),
        "{} has no redis-py: run `make setup`",
        python.display()
    );
    assert!(
        output.status.success(),
        "{arguments:?}:\n{text}\n{complaint}"
    );
    text
}

fn script(name: &str, arguments: &[&str]) {
    let path = format!("{SCRIPTS}/{name}");
    let report = python(&[&[path.as_str()], arguments].concat());
    print!("{report}");
    assert!(
        report.ends_with("done\n"),
        "{name} did not come to its end: {report}"
    );
}

#[test]
fn the_first_five_lines_work_against_any_node() {
    let cluster = Cluster::start(Options::plain());
    let lines = std::fs::read_to_string(format!("{SCRIPTS}/first_lines.py")).expect("the lines");
    for node in 0..NODES {
        let lines = lines.replace("6401", &cluster.port(node).to_string());
        assert_eq!(python(&["-c", &lines]), "b'value'\n");
    }
}

#[test]
fn redis_py_plain() {
    let cluster = Cluster::start(Options::plain());
    for node in 0..NODES {
        for protocol in ["2", "3"] {
            script("plain.py", &[&cluster.port(node).to_string(), protocol]);
        }
    }
}

#[test]
fn redis_py_plain_on_a_clusters_leader() {
    let mut cluster = Cluster::start(Options::cluster());
    let leader = cluster.leader();
    for protocol in ["2", "3"] {
        script("plain.py", &[&cluster.port(leader).to_string(), protocol]);
    }
}

fn redis_py_cluster(options: Options) {
    let cluster = Cluster::start(options);
    for node in 0..NODES {
        for protocol in ["2", "3"] {
            script("cluster.py", &[&cluster.port(node).to_string(), protocol]);
        }
    }
}

#[test]
fn redis_py_cluster_in_cluster_mode() {
    redis_py_cluster(Options::cluster());
}

#[test]
fn redis_py_cluster_in_plain_mode() {
    redis_py_cluster(Options::plain());
}

#[test]
fn redis_py_reads_what_a_node_says_of_itself() {
    for options in [Options::plain(), Options::cluster()] {
        let mode = if options.cluster_enabled {
            "cluster"
        } else {
            "standalone"
        };
        let mut cluster = Cluster::start(options);
        let leader = cluster.leader();
        for node in 0..NODES {
            let role = if node == leader { "master" } else { "slave" };
            let master = cluster.port(leader).to_string();
            script(
                "overview.py",
                &[&cluster.port(node).to_string(), mode, role, &master],
            );
        }
    }
}

#[test]
fn redis_py_lives_through_the_death_of_the_leader() {
    let mut cluster = Cluster::start(Options::plain());
    let leader = cluster.leader();
    let survivor = cluster.port((leader + 1) % NODES).to_string();
    let mut client = Command::new(interpreter())
        .args(["-B", &format!("{SCRIPTS}/steady.py"), &survivor, "4"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut report = BufReader::new(client.stdout.take().expect("its output")).lines();
    let first = report.next().and_then(Result::ok);
    assert_eq!(
        first.as_deref(),
        Some("begun"),
        "see above; no redis-py? run `make setup`"
    );
    thread::sleep(Duration::from_secs(1));
    cluster.kill(leader);
    let report: Vec<String> = report.map_while(Result::ok).collect();
    println!("{report:?}");
    assert!(client.wait().expect("an end").success(), "{report:?}");
    assert_eq!(report.last().map(String::as_str), Some("done"));
}
