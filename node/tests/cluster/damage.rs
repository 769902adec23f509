//! What disks, operators and accidents do to a node's directory. Each time the node says in one clear
//! error what happened, to what, and what to do, or is repaired by the others; `inspect` finds it
//! too; and nothing acknowledged is lost.
//!
//! ARCHITECTURE.md has the table of faults and these tests.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::snapshots::{assert_written, inspect, number, wait_for_purge, write};
use crate::support::{Cluster, Options, engine};

const KEYS: usize = 5_000;
/// The node that has the accident.
const VICTIM: usize = 0;

fn value() -> String {
    "v".repeat(1000)
}

/// A cluster in which every node holds all of [`KEYS`].
fn written(options: Options) -> Cluster {
    let mut cluster = Cluster::start(options);
    write(&mut cluster, KEYS, &value());
    wait_until_even(&mut cluster);
    cluster
}

/// Waits until every node has applied all that the leader's log holds, and has it on its disk.
fn wait_until_even(cluster: &mut Cluster) {
    cluster.wait("every node to have everything", |cluster| {
        let leader = cluster.leader();
        let status = cluster.try_status(leader)?;
        let last = number(&status, "last");
        let peers = status["groups"][0]["peers"].as_array()?;
        let matched = peers
            .iter()
            .all(|peer| peer["matched"].as_u64() >= Some(last));
        let applied = |nth| Some(number(&cluster.try_status(nth)?, "applied") >= last);
        let applied = (0..3).all(|nth| applied(nth) == Some(true));
        (matched && applied && peers.len() == 2).then_some(())
    });
}

/// The victim has everything itself: with a majority that is not whole without it, it is asked.
fn assert_whole_again(cluster: &mut Cluster, keys: usize) {
    cluster.wait_until_answering(VICTIM);
    wait_until_even(cluster);
    let leader = cluster.leader();
    let other = if leader == VICTIM { 1 } else { leader };
    cluster.kill(other);
    cluster.leader();
    assert_written(cluster, VICTIM, keys, &value());
    cluster.restart(other);
    cluster.wait_until_ready();
    cluster.assert_healthy();
}

/// The other two serve everything and take writes while the victim is away.
fn assert_served_by_the_others(cluster: &mut Cluster, keys: usize) {
    let leader = cluster.leader();
    assert_ne!(leader, VICTIM);
    let mut client = cluster.connect(leader);
    assert_eq!(client.call(["SET", "meanwhile", "1"]), "OK");
    assert_written(cluster, leader, keys, &value());
}

/// The victim's segments, oldest first.
fn segments(cluster: &Cluster) -> Vec<PathBuf> {
    files(&cluster.data(VICTIM).join("log"), ".log")
}

fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> &str {
    let name = path.file_name().expect("a file");
    name.to_str().expect("text")
}

/// Where a segment's data end and its zeros begin.
fn end_of_data(path: &Path) -> u64 {
    let bytes = fs::read(path).expect("a segment");
    let last = bytes.iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last as u64 + 1)
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(path).expect("a file");
    file.write_all_at(bytes, at).expect("other bytes");
}

/// Flips a bit in the middle of a file.
fn flip(path: &Path, at: u64) {
    let mut byte = [0];
    let file = File::open(path).expect("a file");
    file.read_exact_at(&mut byte, at).expect("a byte");
    overwrite(path, at, &[byte[0] ^ 1]);
}

/// `inspect` names all of `wanted`, for people and for programs, and its exit code says whether that
/// is damage.
fn assert_inspected(cluster: &Cluster, is_damage: bool, wanted: &[&str]) {
    let (output, text) = inspect(cluster, VICTIM, &[]);
    assert_eq!(output.status.code(), Some(i32::from(is_damage)), "{text}");
    let (_, json) = inspect(cluster, VICTIM, &["--json"]);
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let said = if is_damage { "damage" } else { "notes" };
    let said = report[said].to_string().replace("\\\"", "\"");
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in:\n{text}");
        assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");
    }
}

/// The victim does not start, and says all of `wanted` in its last line.
fn assert_refused(cluster: &Cluster, other: &[(&str, &str)], code: i32, wanted: &[&str]) {
    let (found, said) = cluster.start_in_vain(VICTIM, other);
    assert_eq!(found, code, "{said}");
    let last = said.lines().last().unwrap_or_default();
    for wanted in wanted {
        assert!(last.contains(wanted), "{wanted:?} is not in:\n{last}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn restart_all(cluster: &mut Cluster) {
    for nth in 0..3 {
        cluster.restart(nth);
    }
}

#[test]
fn a_corrupted_record_inside_the_log_is_repaired_by_the_others() {
    let mut cluster = written(Options::plain());
    cluster.kill_all();
    let segment = segments(&cluster).remove(0);
    flip(&segment, end_of_data(&segment) / 2);
    assert_inspected(
        &cluster,
        true,
        &[name(&segment), "at byte", "lost. Start the node"],
    );
    restart_all(&mut cluster);
    assert_whole_again(&mut cluster, KEYS);
}

#[test]
fn a_torn_tail_is_cut_and_nothing_acknowledged_is_lost() {
    let mut cluster = written(Options::plain());
    cluster.kill_all();
    // Half of a write on every node.
    for nth in 0..3 {
        let segment = files(&cluster.data(nth).join("log"), ".log").pop();
        let segment = segment.expect("a segment");
        let end = end_of_data(&segment).next_multiple_of(512);
        overwrite(&segment, end, &[0xa5; 700]);
    }
    let segment = segments(&cluster).pop().expect("a segment");
    assert_inspected(
        &cluster,
        false,
        &[name(&segment), "a crash interrupted", "cuts it"],
    );
    restart_all(&mut cluster);
    assert_whole_again(&mut cluster, KEYS);
}

#[test]
fn a_truncated_segment_is_repaired_by_the_others() {
    let mut cluster = written(Options::plain());
    // Once the last one, once one that has a successor.
    for last in [true, false] {
        cluster.kill_all();
        let mut segments = segments(&cluster);
        let segment = match last {
            true => segments.pop().expect("a segment"),
            false => segments.remove(0),
        };
        let length = end_of_data(&segment) / 2;
        let file = File::options().write(true).open(&segment);
        file.and_then(|file| file.set_len(length)).expect("shorter");
        assert_inspected(&cluster, true, &[name(&segment), "lost. Start the node"]);
        restart_all(&mut cluster);
        assert_whole_again(&mut cluster, KEYS);
    }
}

#[test]
fn a_missing_segment_stops_the_node_until_it_is_put_back() {
    let mut cluster = written(Options::plain());
    cluster.kill(VICTIM);
    cluster.restart(VICTIM);
    cluster.wait_until_answering(VICTIM);
    cluster.kill(VICTIM);
    for last in [true, false] {
        let mut segments = segments(&cluster);
        assert!(segments.len() > 1, "{segments:?}");
        let segment = match last {
            true => segments.pop().expect("a segment"),
            false => segments.remove(0),
        };
        let aside = cluster.data(VICTIM).with_extension("aside");
        fs::rename(&segment, &aside).expect("a file moves");
        let wanted = [name(&segment), "is missing", "Put it back"];
        assert_refused(&cluster, &[], 1, &wanted);
        assert_inspected(&cluster, true, &wanted);
        assert_served_by_the_others(&mut cluster, KEYS);
        fs::rename(&aside, &segment).expect("a file moves");
    }
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, KEYS);
}

#[test]
fn a_corrupted_snapshot_stops_the_node_until_the_others_send_another() {
    if engine() != "memory" {
        println!("an engine that keeps its rows starts from no snapshot");
        return;
    }
    const MORE_KEYS: usize = 20_000;
    let mut cluster = Cluster::start(Options::plain().short_log());
    write(&mut cluster, MORE_KEYS, &value());
    for nth in 0..3 {
        wait_for_purge(&mut cluster, nth);
    }
    cluster.kill(VICTIM);
    let group = cluster.data(VICTIM).join("groups").join("0");
    let snapshots = files(&group, ".snapshot");
    let newest = snapshots.last().expect("a snapshot");
    flip(newest, end_of_data(newest) / 2);
    let wanted = [name(newest), "is damaged at byte", "remove it"];
    assert_refused(&cluster, &[], 1, &wanted);
    assert_inspected(&cluster, true, &wanted);
    assert_served_by_the_others(&mut cluster, MORE_KEYS);
    // As it says.
    for snapshot in &snapshots {
        fs::remove_file(snapshot).expect("it goes");
    }
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, MORE_KEYS);
    assert!(cluster.log(VICTIM).contains("a snapshot is installed"));
}

/// A file system of its own over a directory, until this is dropped.
struct Mount(PathBuf);

impl Mount {
    fn over(directory: &Path, size_mib: u64) -> Self {
        let mount = Mount(directory.to_owned());
        mount.run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={size_mib}m"), "tmpfs"],
        );
        mount
    }

    fn enlarge(&self) {
        self.run("mount", &["-o", "remount,size=1g"]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = Command::new(program).args(arguments).arg(&self.0).status();
        let status = status.expect("util-linux");
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_stops_the_node_and_nothing_acknowledged_is_lost() {
    const MORE_KEYS: usize = 60_000;
    let mut cluster = written(Options::plain());
    cluster.kill(VICTIM);
    let data = cluster.data(VICTIM);
    // Not everybody may mount: whoever may not limits the length of every file instead.
    let mount = rustix::process::geteuid().is_root().then(|| {
        let aside = data.with_extension("aside");
        fs::rename(&data, &aside).expect("a directory moves");
        fs::create_dir(&data).expect("a directory");
        let mount = Mount::over(&data, 40);
        let copied = Command::new("cp")
            .arg("-a")
            .arg(aside.join("."))
            .arg(&data)
            .status();
        assert!(copied.expect("cp").success());
        mount
    });
    match &mount {
        Some(_) => cluster.restart(VICTIM),
        None => {
            let limited = "trap '' XFSZ; ulimit -f 20000; exec \"$@\"";
            cluster.restart_under(VICTIM, &["/bin/bash", "-c", limited, "-"]);
        }
    }
    cluster.wait_until_answering(VICTIM);
    // Whoever leads: the victim must not, for the writes to go on.
    write_until(&mut cluster, MORE_KEYS);
    cluster.wait_until_ended(VICTIM);
    let log = cluster.log(VICTIM);
    let last = log.lines().last().unwrap_or_default();
    // fjall, if it meets the end first, says no more than that it is poisoned.
    let full = ["No space left on device", "File too large", "Poisoned"];
    assert!(full.iter().any(|full| last.contains(full)), "{last}");
    // The log says so, or the engine, whichever meets the end of the disk first.
    let advice = ["Look at the disk (space", "look at its disk"];
    assert!(advice.iter().any(|advice| last.contains(advice)), "{last}");
    assert!(!log.contains("panicked"), "{log}");
    assert_served_by_the_others(&mut cluster, MORE_KEYS);
    if let Some(mount) = &mount {
        mount.enlarge();
    }
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, MORE_KEYS);
    cluster.kill_all();
}

/// Writes all keys, each again until it is acknowledged, through whoever leads.
fn write_until(cluster: &mut Cluster, keys: usize) {
    for first in (0..keys).step_by(1000) {
        cluster.wait("a thousand writes", |cluster| {
            let leader = cluster.leader();
            let commands: Vec<Vec<u8>> = (first..first + 1000)
                .map(|n| {
                    let key = format!("key:{n}");
                    crate::support::client::encode(["SET", &key, &value()])
                })
                .collect();
            let replies = cluster.try_connect(leader)?.pipeline(&commands).ok()?;
            replies.iter().all(|reply| *reply == "OK").then_some(())
        });
    }
}

#[test]
fn an_io_error_on_read_stops_the_node_and_changes_nothing() {
    let mut cluster = written(Options::plain());
    cluster.kill(VICTIM);
    let segment = segments(&cluster).pop().expect("a segment");
    let aside = cluster.data(VICTIM).with_extension("aside");
    fs::rename(&segment, &aside).expect("a file moves");
    // Its first page is never mapped: whoever reads it gets EIO.
    symlink("/proc/self/mem", &segment).expect("a link");
    let wanted = [
        "could not read",
        name(&segment),
        "Input/output error",
        "Look at the disk",
    ];
    assert_refused(&cluster, &[], 1, &wanted);
    assert_inspected(&cluster, true, &wanted);
    assert_served_by_the_others(&mut cluster, KEYS);
    fs::rename(&aside, &segment).expect("a file moves");
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, KEYS);
}

#[test]
fn a_read_that_fails_while_the_log_is_replayed_is_made_up_for_by_the_others() {
    // Enough to be read back in many pieces.
    const MORE_KEYS: usize = 20_000;
    if engine() == "fjall" {
        // Its journal outlives the process, so nothing is read back.
        return;
    }
    let mut cluster = Cluster::start(Options::plain());
    write(&mut cluster, MORE_KEYS, &value());
    cluster.kill(VICTIM);
    let segment = segments(&cluster).remove(0);
    // Calls are counted by thread: the first two of one open the log, the third of another reads back.
    let trace = trace_node(&mut cluster, &segment, "pread64", "3..4");
    cluster.wait_until_answering(VICTIM);
    wait_until_even(&mut cluster);
    let traced = fs::read_to_string(&trace).expect("a trace");
    assert!(traced.contains("(INJECTED)"), "{traced}");
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, MORE_KEYS);
}

/// Starts the victim under strace, which lets some calls that concern one file fail with EIO, and
/// writes all of them into the file that is given back.
fn trace_node(cluster: &mut Cluster, file: &Path, call: &str, when: &str) -> PathBuf {
    let trace = cluster.data(VICTIM).with_extension("trace");
    let text = |path: &Path| path.to_str().expect("a path of ours").to_owned();
    let (file, to) = (text(file), text(&trace));
    let calls = format!("trace={call}");
    let inject = format!("inject={call}:error=EIO:when={when}");
    let before = ["strace", "-f", "-qq", "-o", &to, "-P", &file];
    cluster.restart_under(
        VICTIM,
        &[&before[..], &["-e", &calls, "-e", &inject]].concat(),
    );
    trace
}

#[test]
fn a_failed_fsync_stops_the_node_and_is_never_retried() {
    let mut cluster = written(Options::plain());
    cluster.kill(VICTIM);
    // Every start writes into a segment of its own.
    let segment = segments(&cluster).pop().expect("a segment");
    let number: u32 = name(&segment)[..10].parse().expect("a number");
    let segment = segment.with_file_name(format!("{:010}.log", number + 1));
    let trace = trace_node(&mut cluster, &segment, "fdatasync", "20");
    cluster.wait_until_answering(VICTIM);
    let mut written = 0;
    while !cluster.has_ended(VICTIM) {
        let leader = cluster.leader();
        let mut client = cluster.connect(leader);
        if client
            .try_call(["SET", "few", &written.to_string()])
            .is_err()
        {
            continue;
        }
        written += 1;
        assert!(written < 10_000, "no sync fails");
        thread::sleep(Duration::from_millis(1));
    }
    cluster.wait_until_ended(VICTIM);
    let traced = fs::read_to_string(&trace).expect("a trace");
    let mut calls = traced
        .lines()
        .skip_while(|line| !line.contains("(INJECTED)"));
    let failed = calls.next().expect("the call that failed");
    let file = |line: &str| line.split(['(', ')']).nth(1).map(str::to_owned);
    let again: Vec<&str> = calls.filter(|line| file(line) == file(failed)).collect();
    assert!(again.is_empty(), "{failed}, and then {again:?}");
    let log = cluster.log(VICTIM);
    let last = log.lines().last().unwrap_or_default();
    for wanted in [
        "could not sync",
        ".log",
        "Input/output error",
        "start the node again",
    ] {
        assert!(last.contains(wanted), "{wanted:?} is not in:\n{last}");
    }
    assert_served_by_the_others(&mut cluster, KEYS);
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, KEYS);
}

#[test]
fn the_directory_of_another_cluster_or_node_is_refused() {
    let mut cluster = written(Options::plain());
    cluster.kill(VICTIM);
    let others = [
        ("cluster", "other", "belongs to cluster test"),
        ("node", "2", "belongs to node 1, not to 2"),
    ];
    for (key, other, wanted) in others {
        let advice = format!("give --{key} as it was");
        assert_refused(&cluster, &[(key, other)], 2, &[wanted, &advice]);
    }
    assert_served_by_the_others(&mut cluster, KEYS);
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, KEYS);
}

#[test]
fn two_nodes_on_one_directory_are_one_too_many() {
    let mut cluster = written(Options::plain());
    let address = |nth| format!("127.0.0.1:{}", cluster.spare_port(nth));
    let (client, peer, admin) = (address(0), address(1), address(2));
    let elsewhere = [
        ("client-listen", &*client),
        ("peer-listen", &*peer),
        ("admin-listen", &*admin),
    ];
    let wanted = ["in use by another process", "end that one first"];
    assert_refused(&cluster, &elsewhere, 2, &wanted);
    let (output, _) = inspect(&cluster, VICTIM, &[]);
    assert_eq!(output.status.code(), Some(2), "inspect does not disturb it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("in use by another process"), "{said}");
    assert_whole_again(&mut cluster, KEYS);
}

#[test]
fn a_wiped_disk_under_the_old_id_is_let_in_by_nobody() {
    let mut cluster = written(Options::plain());
    cluster.kill(VICTIM);
    let data = cluster.data(VICTIM);
    let aside = data.with_extension("aside");
    fs::rename(&data, &aside).expect("a directory moves");
    cluster.restart(VICTIM);
    cluster.wait("somebody to refuse it", |cluster| {
        let refused = |nth| {
            let log: String = cluster.log(nth);
            log.contains("its disk was wiped or replaced") && log.contains("give it back its disk")
        };
        (0..3).any(refused).then_some(())
    });
    assert_served_by_the_others(&mut cluster, KEYS);
    // It makes no majority with the one that is left: it might have forgotten what was acknowledged.
    let leader = cluster.leader();
    cluster.kill(leader);
    let left = 3 - VICTIM - leader;
    for nth in [left, VICTIM] {
        let reply = cluster.connect(nth).call(["SET", "meanwhile", "2"]);
        assert!(
            reply.is_error("CLUSTERDOWN") || reply.is_error("UNKNOWN"),
            "{reply:?}"
        );
    }
    cluster.kill(VICTIM);
    fs::remove_dir_all(&data).expect("it goes");
    fs::rename(&aside, &data).expect("a directory moves");
    cluster.restart(leader);
    cluster.restart(VICTIM);
    assert_whole_again(&mut cluster, KEYS);
}
