//! Logs that end, and what takes the place of what they no longer hold.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::client::encode;
use crate::support::{Cluster, Options};

const KEYS: usize = 20_000;
/// Too few for any engine to flush them of its own accord.
const FEW_KEYS: usize = 5_000;

/// As many kilobytes, through the leader.
pub(crate) fn write(cluster: &mut Cluster, keys: usize, value: &str) {
    let leader = cluster.leader();
    let mut client = cluster.connect(leader);
    for first in (0..keys).step_by(1000) {
        let writes: Vec<Vec<u8>> = (first..first + 1000)
            .map(|n| encode(["SET", &format!("key:{n}"), value]))
            .collect();
        for reply in client.pipeline(&writes).expect("replies") {
            assert_eq!(reply, "OK");
        }
    }
}

pub(crate) fn assert_written(cluster: &Cluster, nth: usize, keys: usize, value: &str) {
    let mut client = cluster.connect(nth);
    for n in (0..keys).step_by(999) {
        assert_eq!(client.call(["GET", &format!("key:{n}")]), value);
    }
}

pub(crate) fn number(status: &Value, what: &str) -> u64 {
    status["groups"][0][what].as_u64().expect("a number")
}

/// Waits until a node's log no longer begins at its beginning.
pub(crate) fn wait_for_purge(cluster: &mut Cluster, nth: usize) {
    cluster.wait("the log to be purged", |cluster| {
        (number(&cluster.status(nth), "purged") > 0).then_some(())
    });
}

pub(crate) fn inspect(cluster: &Cluster, nth: usize, more: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .arg("inspect")
        .arg(cluster.data(nth))
        .args(more)
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[test]
fn a_node_that_missed_more_than_the_log_holds_gets_a_snapshot() {
    let mut cluster = Cluster::start(Options::plain().short_log());
    let follower = cluster.follower();
    cluster.kill(follower);
    let value = "x".repeat(1000);
    write(&mut cluster, KEYS, &value);
    let leader = cluster.leader();
    wait_for_purge(&mut cluster, leader);
    cluster.restart(follower);
    cluster.wait_until_answering(follower);
    let goal = number(&cluster.status(leader), "applied");
    cluster.wait("the follower to catch up", |cluster| {
        (number(&cluster.status(follower), "applied") >= goal).then_some(())
    });
    let log = cluster.log(follower);
    assert!(log.contains("a snapshot is installed"), "{log}");
    // By its own data: the old leader is gone.
    cluster.kill(leader);
    assert_written(&cluster, follower, KEYS, &value);
    // And again after a restart, from what it has installed.
    cluster.restart(leader);
    cluster.kill(follower);
    cluster.restart(follower);
    cluster.wait_until_answering(follower);
    assert_written(&cluster, follower, KEYS, &value);
}

#[test]
fn what_the_log_has_let_go_is_there_after_kill_9_of_all() {
    let mut cluster = Cluster::start(Options::plain().short_log());
    let value = "y".repeat(1000);
    write(&mut cluster, KEYS, &value);
    for nth in 0..3 {
        wait_for_purge(&mut cluster, nth);
    }
    cluster.kill_all();
    for nth in 0..3 {
        cluster.restart(nth);
    }
    for nth in 0..3 {
        cluster.wait_until_answering(nth);
        assert_written(&cluster, nth, KEYS, &value);
    }
}

/// The newest complete snapshot of a node's group.
fn newest_snapshot(cluster: &Cluster, nth: usize) -> Option<PathBuf> {
    let group = cluster.data(nth).join("groups/0");
    let files = fs::read_dir(group).expect("the group's directory");
    let paths = files.map(|file| file.expect("a file").path());
    let snapshots = paths.filter(|path| path.extension().is_some_and(|end| end == "snapshot"));
    snapshots.max()
}

/// The newest snapshot once no other is being written; none from an engine that keeps what it is
/// given, and writes one only when somebody needs it.
fn settled_snapshot(cluster: &mut Cluster, nth: usize) -> Option<PathBuf> {
    let writing = cluster.data(nth).join("groups/0/writing.tmp");
    let mut seen = (newest_snapshot(cluster, nth), 0);
    cluster.wait("no snapshot to be written", |cluster| {
        let newest = newest_snapshot(cluster, nth);
        let same = newest == seen.0 && !writing.exists();
        // Twice as long as the driver takes to look whether one is due.
        seen = (newest, if same { seen.1 + 1 } else { 0 });
        (seen.1 > 20).then(|| seen.0.clone())
    })
}

#[test]
fn a_snapshot_that_rots_at_the_leader_is_made_anew_and_the_follower_catches_up() {
    let mut cluster = Cluster::start(Options::plain().short_log());
    let follower = cluster.follower();
    cluster.kill(follower);
    let value = "w".repeat(1000);
    write(&mut cluster, KEYS, &value);
    let leader = cluster.leader();
    wait_for_purge(&mut cluster, leader);
    let Some(path) = settled_snapshot(&mut cluster, leader) else {
        return;
    };
    let file = fs::File::options().read(true).write(true).open(&path);
    let file = file.expect("the snapshot");
    let middle = file.metadata().expect("its length").len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], middle).expect("another");
    cluster.restart(follower);
    cluster.wait_until_answering(follower);
    let goal = number(&cluster.status(leader), "applied");
    cluster.wait("the follower to catch up", |cluster| {
        (number(&cluster.status(follower), "applied") >= goal).then_some(())
    });
    // The new one of the same state bears the same name.
    let made_anew = fs::read(&path).map_or(byte[0], |bytes| bytes[middle as usize]);
    assert_eq!(made_anew, byte[0]);
    let log = cluster.log(leader);
    let said = log.lines().filter(|line| line.contains("is damaged at"));
    assert_eq!(said.count(), 1, "{log}");
    cluster.kill(leader);
    assert_written(&cluster, follower, KEYS, &value);
    // And the leader has something to start from.
    cluster.restart(leader);
    cluster.wait_until_answering(leader);
    assert_written(&cluster, leader, KEYS, &value);
}

#[test]
fn inspect_says_what_is_on_a_stopped_node_and_what_is_damaged() {
    let mut cluster = Cluster::start(Options::plain());
    write(&mut cluster, FEW_KEYS, &"z".repeat(1000));
    let (running, _) = inspect(&cluster, 0, &[]);
    assert_eq!(running.status.code(), Some(2), "a node runs on it");
    cluster.kill_all();

    let (output, text) = inspect(&cluster, 0, &[]);
    assert!(output.status.success(), "{text}");
    for wanted in [
        "node 1 of cluster test",
        "term 1",
        "entries 1 to",
        "no damage",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }
    let (_, json) = inspect(&cluster, 0, &["--json"]);
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let last = report["groups"][0]["last"].as_u64().expect("an index");
    assert!(
        report["groups"][0]["records"].as_u64() == Some(last),
        "{json}"
    );

    // A byte in the middle of the log: not a torn tail, and not read over.
    let segment = report["segments"][0]["file"].as_str().expect("a name");
    let path = cluster.data(0).join("log").join(segment);
    let file = fs::File::options().read(true).write(true).open(path);
    let file = file.expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 2_000_000).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], 2_000_000)
        .expect("another");
    let (output, text) = inspect(&cluster, 0, &[]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("DAMAGE"), "{text}");
    // The other two have what is lost, and the node is repaired by them.
    for nth in 0..3 {
        cluster.restart(nth);
    }
    cluster.wait_until_answering(0);
    assert_written(&cluster, 0, FEW_KEYS, &"z".repeat(1000));
}
