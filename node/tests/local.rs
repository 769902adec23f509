//! `lockstep local` as people use it: real processes, and what becomes of them.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is missing"
)]

use std::fs::{self, File, TryLockError};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::Commands as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const LOCKSTEP: &str = env!("CARGO_BIN_EXE_lockstep");
/// How long anything may take that happens in the end.
const PATIENCE: Duration = Duration::from_secs(30);
const NODES: u16 = 3;

/// The binary, without what this process' environment would tell it.
fn lockstep() -> Command {
    let mut command = Command::new(LOCKSTEP);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LOCKSTEP_") {
            command.env_remove(name);
        }
    }
    command
}

/// Ports for one test at a time: three, and the same 1,000 and 2,000 higher. They lie apart from
/// those of all other tests, and below those that the kernel gives out.
struct Ports {
    first: u16,
    _lock: File,
}

impl Ports {
    fn claim() -> Ports {
        let directory = std::env::temp_dir().join("lockstep-local-ports");
        fs::create_dir_all(&directory).unwrap();
        for first in (18_300..18_990).step_by(10) {
            let lock = File::options()
                .create(true)
                .append(true)
                .open(directory.join(first.to_string()))
                .unwrap();
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => panic!("cannot lock a block of ports: {error}"),
            }
            let mut all = (0..3).flat_map(|step| (0..NODES).map(move |n| first + n + step * 1_000));
            if all.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Ports { first, _lock: lock };
            }
        }
        panic!("all blocks of ports are in use");
    }
}

/// Where a test's cluster is.
struct Place {
    ports: Ports,
    root: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            ports: Ports::claim(),
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("cluster")
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = lockstep();
        command.arg("local").arg("--dir").arg(self.dir());
        command
            .arg("--port")
            .arg(self.ports.first.to_string())
            .args(more);
        command
    }

    /// Starts a cluster and waits until it serves.
    fn start(&self, more: &[&str]) -> Local {
        self.start_command(self.command(more))
    }

    fn start_command(&self, mut command: Command) -> Local {
        let output = self.root.path().join("output");
        let file = File::create(&output).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut local = Local {
            child,
            output,
            nodes: Vec::new(),
        };
        local.wait_for("Ctrl-C ends all nodes");
        local.nodes = pids(&local.text());
        assert_eq!(local.nodes.len(), usize::from(NODES), "{}", local.text());
        local
    }

    /// Runs it to its end, which an error is soon.
    fn fail(&self, more: &[&str]) -> Output {
        self.command(more).stdin(Stdio::null()).output().unwrap()
    }

    fn client(&self, node: u16) -> redis::Connection {
        self.client_at(&format!("redis://127.0.0.1:{}/", self.ports.first + node))
    }

    fn client_at(&self, url: &str) -> redis::Connection {
        let client = redis::Client::open(url).unwrap();
        client.get_connection_with_timeout(PATIENCE).unwrap()
    }

    /// `lockstep status` of the whole cluster.
    fn status(&self) -> Output {
        let admin = (0..NODES).map(|n| format!("127.0.0.1:{}", self.ports.first + 2_000 + n));
        let admin: Vec<String> = admin.collect();
        lockstep()
            .args(["status", "--admin", &admin.join(",")])
            .output()
            .unwrap()
    }
}

/// A supervisor and the nodes it started.
struct Local {
    child: Child,
    output: PathBuf,
    nodes: Vec<Pid>,
}

impl Local {
    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    fn wait_for(&mut self, text: &str) {
        wait(text, || {
            if self.text().contains(text) {
                return true;
            }
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "ended without {text:?}:\n{}", self.text());
            false
        });
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait("the supervisor's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends it as Ctrl-C or an init system does.
    fn stop(mut self, signal: Signal) -> String {
        self.signal(signal);
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.text());
        let left: Vec<_> = self.nodes.iter().filter(|node| runs(**node)).collect();
        assert!(
            left.is_empty(),
            "the supervisor left {left:?} behind:\n{}",
            self.text()
        );
        self.text()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        for node in self.nodes.iter().filter(|node| runs(**node)) {
            let _ = kill_process(*node, Signal::KILL);
        }
    }
}

fn wait(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !there() {
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for {what:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// The process ids that the supervisor has printed.
fn pids(text: &str) -> Vec<Pid> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after_pid = words.windows(2).filter(|pair| pair[0] == "pid");
    after_pid
        .map(|pair| Pid::from_raw(pair[1].parse().unwrap()).unwrap())
        .collect()
}

/// Whether a process is there and more than an entry that nobody has collected.
fn runs(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let Ok(stat) = fs::read_to_string(path) else {
        return false;
    };
    // The name, in parentheses, may contain anything.
    let state = stat.rsplit_once(") ").unwrap().1;
    !state.starts_with(['Z', 'X'])
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

#[test]
fn a_cluster_serves_says_who_leads_and_comes_back_with_its_data() {
    let place = Place::new();
    let local = place.start(&[]);
    let said = local.text();
    assert!(said.contains(" leads (epoch "), "{said}");
    let line = format!("redis-cli -p {} set key value", place.ports.first);
    assert!(said.contains(&line), "{said}");
    for writer in 0..NODES {
        let () = place.client(writer).set("key", writer).unwrap();
        for reader in 0..NODES {
            let value: u16 = place.client(reader).get("key").unwrap();
            assert_eq!(value, writer);
        }
    }
    let status = place.status();
    let table = text(&status);
    assert!(status.status.success(), "{table}");
    assert_eq!(table.matches("leader ").count(), 1, "{table}");
    assert_eq!(table.matches("follower ").count(), 2, "{table}");
    assert!(!table.contains("unreachable"), "{table}");
    local.stop(Signal::TERM);

    let status = place.status();
    assert_eq!(status.status.code(), Some(1));
    assert!(
        text(&status).contains("no node answers"),
        "{}",
        text(&status)
    );

    let local = place.start(&[]);
    for reader in 0..NODES {
        let value: u16 = place.client(reader).get("key").unwrap();
        assert_eq!(value, NODES - 1);
    }
    local.stop(Signal::INT);
}

#[test]
fn nodes_do_not_outlive_a_supervisor_that_is_killed() {
    let place = Place::new();
    let mut local = place.start(&[]);
    let () = place.client(0).set("key", "value").unwrap();
    local.signal(Signal::KILL);
    let status = local.wait();
    assert!(!status.success(), "it was killed");
    wait("the nodes' end", || {
        !local.nodes.iter().any(|node| runs(*node))
    });
    drop(local);
    let local = place.start(&[]);
    let value: String = place.client(1).get("key").unwrap();
    assert_eq!(value, "value");
    local.stop(Signal::TERM);
}

#[test]
fn a_killed_supervisor_can_be_started_again_at_once() {
    let place = Place::new();
    let mut local = place.start(&[]);
    local.signal(Signal::KILL);
    local.wait();
    // Its nodes are still leaving.
    place.start(&[]).stop(Signal::TERM);
}

#[test]
fn a_node_that_ends_is_reported_and_the_others_go_on() {
    let place = Place::new();
    let mut local = place.start(&[]);
    let victim = local.nodes[0];
    kill_process(victim, Signal::KILL).unwrap();
    local.wait_for("n1 has ended: signal 9 (SIGKILL");
    local.wait_for("the others go on");
    local.wait_for("  | n1 ");
    let () = place.client(1).set("key", "value").unwrap();
    let value: String = place.client(2).get("key").unwrap();
    assert_eq!(value, "value");
    assert!(!runs(victim), "nobody starts it again");
    let status = place.status();
    assert!(
        status.status.success(),
        "two of three are enough: {}",
        text(&status)
    );
    assert!(
        text(&status).contains(": unreachable: "),
        "{}",
        text(&status)
    );
    local.stop(Signal::TERM);
}

#[test]
fn when_every_node_has_ended_so_does_the_supervisor() {
    let place = Place::new();
    let mut local = place.start(&[]);
    for node in &local.nodes {
        kill_process(*node, Signal::KILL).unwrap();
    }
    let status = local.wait();
    assert_eq!(status.code(), Some(1));
    assert!(
        local.text().contains("lockstep: every node has ended"),
        "{}",
        local.text()
    );
}

#[test]
fn without_a_majority_status_says_so() {
    let place = Place::new();
    let mut local = place.start(&[]);
    for (number, node) in [(1, local.nodes[0]), (2, local.nodes[1])] {
        kill_process(node, Signal::KILL).unwrap();
        local.wait_for(&format!("n{number} has ended"));
    }
    wait("trouble", || place.status().status.code() == Some(1));
    local.stop(Signal::TERM);
}

#[test]
fn an_occupied_port_is_named() {
    let place = Place::new();
    let port = place.ports.first + 1_001;
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = place.fail(&[]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output);
    assert!(
        error.contains(&format!("lockstep: port {port} (nodes of n2) is occupied")),
        "{error}"
    );
}

#[test]
fn a_directory_keeps_its_number_of_nodes() {
    let place = Place::new();
    place.start(&[]).stop(Signal::TERM);
    let output = place.fail(&["--nodes", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("holds a cluster with --nodes 3, not 1"),
        "{}",
        text(&output)
    );
}

#[test]
fn an_engine_that_does_not_exist_is_refused() {
    let place = Place::new();
    let output = place.fail(&["--engine", "floppy"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output);
    assert!(
        error.contains("expected memory, rocksdb or fjall"),
        "{error}"
    );
    assert!(
        !place.dir().exists(),
        "nothing is made before everything is checked"
    );
}

#[test]
fn a_password_reaches_the_nodes_and_nobody_else() {
    let place = Place::new();
    let file = place.root.path().join("password");
    fs::write(&file, "sesame-7\n").unwrap();
    let mut by_variable = place.command(&[]);
    by_variable.env("LOCKSTEP_REQUIREPASS", "sesame-7");
    let by_flag = place.command(&["--requirepass", "sesame-7"]);
    let by_file = place.command(&["--requirepass-file", file.to_str().unwrap()]);
    for command in [by_variable, by_flag, by_file] {
        let local = place.start_command(command);
        let port = place.ports.first;
        let refused: redis::RedisResult<String> =
            redis::cmd("GET").arg("key").query(&mut place.client(0));
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Some("NOAUTH"), "{refused}");
        let mut client = place.client_at(&format!("redis://:sesame-7@127.0.0.1:{port}/"));
        let () = client.set("key", "value").unwrap();
        for node in &local.nodes {
            let line = fs::read(format!("/proc/{}/cmdline", node.as_raw_nonzero())).unwrap();
            assert!(
                !contains(&line, b"sesame-7"),
                "a command line shows the password"
            );
        }
        let said = local.stop(Signal::TERM);
        assert!(said.contains("redis-cli --askpass -p"), "{said}");
    }
    for written in files(&place.dir()) {
        let log = written
            .extension()
            .is_some_and(|extension| extension == "log");
        let toml = written
            .extension()
            .is_some_and(|extension| extension == "toml");
        if log || toml {
            assert!(
                !contains(&fs::read(&written).unwrap(), b"sesame-7"),
                "{}",
                written.display()
            );
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
