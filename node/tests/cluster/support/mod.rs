//! A real cluster for the tests of this folder: `lockstep start` processes on loopback,
//! each in a directory of its own, ended by their pids.
//!
//! Tests run in parallel, so every cluster claims a block of ports that no other has
//! ([`ports`]). A test that fails shows the end of every node's log.
//!
//! With `CLUSTER_TEST_REDIS` set, the cluster is one `redis-server` that is reached
//! through three ports: the oracle. What a test expects of Lockstep in its plain mode is
//! then asked of Redis itself; tests of what Redis does not have refuse to run so.

pub(crate) mod client;
pub(crate) mod load;
mod options;
mod oracle;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod watch;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::{
    client::{Client, Reply, reply},
    options::Options,
};
use self::{oracle::Oracle, ports::PortBlock, process::Process};

/// Nodes of a cluster; they are numbered from 0 here and from 1 in Lockstep.
pub(crate) const NODES: usize = 3;
/// How long a cluster may take for what it always manages in the end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running cluster. Dropping it ends it.
pub(crate) struct Cluster {
    // Fields are dropped in this order: first the processes, then what they use.
    nodes: Vec<Option<Process>>,
    oracle: Option<Oracle>,
    options: Options,
    ports: PortBlock,
    directory: TempDir,
}

impl Cluster {
    /// Starts three nodes as `options` says, and waits until each takes a write.
    pub(crate) fn start(options: Options) -> Self {
        let ports = PortBlock::claim();
        let directory = TempDir::with_prefix("lockstep-test-").expect("a directory");
        let mut cluster = Self {
            nodes: Vec::new(),
            oracle: None,
            options,
            ports,
            directory,
        };
        if oracle::is_wanted() {
            let ports = [0, 1, 2].map(|nth| cluster.port(nth));
            cluster.oracle = Some(Oracle::start(
                cluster.directory.path(),
                ports,
                &cluster.options,
            ));
        } else {
            cluster.nodes = (0..NODES).map(|nth| Some(cluster.spawn(nth))).collect();
        }
        cluster.wait_until_ready();
        cluster
    }

    /// Waits until every node that runs takes a write.
    pub(crate) fn wait_until_ready(&mut self) {
        for nth in 0..NODES {
            if !self.is_oracle() && self.nodes[nth].is_none() {
                continue;
            }
            self.wait_until_answering(nth);
            let deadline = Instant::now() + PATIENCE;
            loop {
                let reply = self
                    .connect_as_user(nth)
                    .and_then(|mut client| client.try_call(["SET", "{ready}", "1"]));
                match &reply {
                    Ok(Reply::Simple(ok)) if ok == "OK" => break,
                    // With a cluster, only the leader takes writes; a follower points to it.
                    Ok(Reply::Error(error)) if error.starts_with("MOVED") => break,
                    _ => {}
                }
                let late = Instant::now() >= deadline;
                assert!(
                    !late,
                    "node {nth} takes no write in {PATIENCE:?}: {reply:?}"
                );
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// A connection that has authenticated, if a password is asked for.
    fn connect_as_user(&self, nth: usize) -> std::io::Result<Client> {
        let mut client = Client::connect(self.port(nth))?;
        if let Some(password) = &self.options.requirepass {
            client.try_call(["AUTH", password])?;
        }
        Ok(client)
    }

    /// Waits until a node answers PING.
    pub(crate) fn wait_until_answering(&mut self, nth: usize) {
        self.wait("an answer to PING", |cluster| {
            if let Some(Some(process)) = cluster.nodes.get_mut(nth) {
                process.assert_alive();
            }
            cluster.try_connect(nth)?.try_call(["PING"]).ok()
        });
    }

    /// Tries until `attempt` gives something; fails the test after [`PATIENCE`].
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut attempt: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = attempt(self) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} in vain for {what}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The node that leads, by the word of a node that runs.
    pub(crate) fn leader(&mut self) -> usize {
        self.wait("a node that says it leads", |cluster| {
            (0..NODES).find(|&nth| cluster.leads(nth))
        })
    }

    fn leads(&self, nth: usize) -> bool {
        if !self.is_oracle() && self.nodes[nth].as_ref().is_none_or(Process::is_frozen) {
            return false;
        }
        let Ok(mut client) = self.connect_as_user(nth) else {
            return false;
        };
        match client.try_call(["ROLE"]) {
            Ok(Reply::Array(fields)) => fields.first().is_some_and(|role| *role == "master"),
            _ => false,
        }
    }

    /// A node that follows.
    pub(crate) fn follower(&mut self) -> usize {
        (self.leader() + 1) % NODES
    }

    /// The port where a node's clients connect.
    pub(crate) fn port(&self, nth: usize) -> u16 {
        self.ports.nth(nth)
    }

    /// The port where the other nodes connect.
    pub(crate) fn peer_port(&self, nth: usize) -> u16 {
        self.ports.nth(NODES + nth)
    }

    /// A port that no node of this cluster uses.
    pub(crate) fn spare_port(&self, nth: usize) -> u16 {
        self.ports.nth(3 * NODES + nth)
    }

    /// The port for `/metrics` and `/status`.
    pub(crate) fn admin_port(&self, nth: usize) -> u16 {
        self.ports.nth(2 * NODES + nth)
    }

    /// A connection to a node.
    pub(crate) fn connect(&self, nth: usize) -> Client {
        self.try_connect(nth)
            .unwrap_or_else(|| panic!("node {nth} accepts no connection"))
    }

    /// A connection to a node, if it accepts one.
    pub(crate) fn try_connect(&self, nth: usize) -> Option<Client> {
        Client::connect(self.port(nth)).ok()
    }

    /// Ends a node without notice, as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self, nth: usize) {
        self.assert_lockstep();
        self.nodes[nth] = None;
    }

    /// Ends all nodes without notice, all before waiting for any.
    pub(crate) fn kill_all(&mut self) {
        self.assert_lockstep();
        for process in self.nodes.iter().flatten() {
            process.kill_without_waiting();
        }
        self.nodes = vec![None, None, None];
    }

    /// Starts a node on the directory that it had.
    pub(crate) fn restart(&mut self, nth: usize) {
        self.assert_lockstep();
        self.nodes[nth] = None;
        self.nodes[nth] = Some(self.spawn(nth));
    }

    /// Freezes a node: its connections stay open and nobody answers.
    pub(crate) fn freeze(&mut self, nth: usize) {
        self.node_mut(nth).freeze();
    }

    /// Lets a frozen node go on.
    pub(crate) fn thaw(&mut self, nth: usize) {
        self.node_mut(nth).thaw();
    }

    fn node_mut(&mut self, nth: usize) -> &mut Process {
        self.nodes[nth]
            .as_mut()
            .unwrap_or_else(|| panic!("node {nth} does not run"))
    }

    /// A node's process.
    pub(crate) fn node(&self, nth: usize) -> &Process {
        match &self.oracle {
            Some(oracle) => &oracle.process,
            None => self.nodes[nth]
                .as_ref()
                .unwrap_or_else(|| panic!("node {nth} does not run")),
        }
    }

    /// What a node's `/status` says.
    pub(crate) fn status(&self, nth: usize) -> Value {
        self.try_status(nth).expect("/status answers")
    }

    /// What a node's `/status` says, if it answers.
    pub(crate) fn try_status(&self, nth: usize) -> Option<Value> {
        self.assert_lockstep();
        let body = client::http_get(self.admin_port(nth), "/status").ok()?;
        Some(serde_json::from_str(&body).expect("/status is JSON"))
    }

    /// The sum of a node's metrics whose names `which` chooses, over all their labels.
    pub(crate) fn metrics(&self, nth: usize, which: impl Fn(&str) -> bool) -> f64 {
        self.assert_lockstep();
        let body = client::http_get(self.admin_port(nth), "/metrics").expect("/metrics answers");
        body.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(name, _)| which(name.split('{').next().unwrap_or(name)))
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }

    /// Everything a node has written to its log.
    pub(crate) fn log(&self, nth: usize) -> String {
        process::read_log(&self.log_path(nth))
    }

    /// Fails the test if a node has ended by itself or has met a bug of its own.
    pub(crate) fn assert_healthy(&mut self) {
        for process in self.nodes.iter_mut().flatten() {
            process.assert_alive();
        }
        for nth in 0..NODES {
            let log = self.log(nth);
            let panic = log.lines().find(|line| line.contains("panicked"));
            assert_eq!(panic, None, "node {nth} panicked");
        }
    }

    /// Whether the cluster is Redis itself.
    pub(crate) fn is_oracle(&self) -> bool {
        self.oracle.is_some()
    }

    fn assert_lockstep(&self) {
        assert!(
            !self.is_oracle(),
            "Redis has no such thing: unset CLUSTER_TEST_REDIS"
        );
    }

    fn log_path(&self, nth: usize) -> PathBuf {
        self.directory.path().join(format!("n{}.log", nth + 1))
    }

    /// Where a node keeps its data.
    pub(crate) fn data(&self, nth: usize) -> PathBuf {
        self.directory.path().join(format!("n{}", nth + 1))
    }

    fn spawn(&self, nth: usize) -> Process {
        let binary = Path::new(env!("CARGO_BIN_EXE_lockstep"));
        self.spawn_as(nth, binary, &self.arguments(nth, &[]))
    }

    fn spawn_as(&self, nth: usize, program: &Path, arguments: &[String]) -> Process {
        let password = self.options.requirepass.as_deref();
        let environment = password.map(|password| ("LOCKSTEP_REQUIREPASS", password));
        Process::start(program, arguments, environment, &self.log_path(nth))
    }

    /// Starts a node on the directory that it had, as the last words of another command.
    pub(crate) fn restart_under(&mut self, nth: usize, command: &[&str]) {
        self.assert_lockstep();
        self.nodes[nth] = None;
        let (program, before) = command.split_first().expect("a command");
        let mut arguments: Vec<String> = before.iter().map(|&word| word.to_owned()).collect();
        arguments.push(env!("CARGO_BIN_EXE_lockstep").to_owned());
        arguments.extend(self.arguments(nth, &[]));
        self.nodes[nth] = Some(self.spawn_as(nth, Path::new(program), &arguments));
    }

    /// Starts a node that should not start, with some settings other than its own, and gives back
    /// its exit code and what it says.
    pub(crate) fn start_in_vain(&self, nth: usize, other: &[(&str, &str)]) -> (i32, String) {
        let output = Command::new("timeout")
            .arg(PATIENCE.as_secs().to_string())
            .arg(env!("CARGO_BIN_EXE_lockstep"))
            .args(self.arguments(nth, other))
            .output()
            .expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code().unwrap_or(-1), said)
    }

    /// Whether a node has ended by itself.
    pub(crate) fn has_ended(&mut self, nth: usize) -> bool {
        self.node_mut(nth).has_ended()
    }

    /// Waits until a node has ended by itself.
    pub(crate) fn wait_until_ended(&mut self, nth: usize) {
        self.wait("the node to end by itself", |cluster| {
            cluster.has_ended(nth).then_some(())
        });
        self.nodes[nth] = None;
    }

    /// The command line of a node, with some settings other than its own.
    fn arguments(&self, nth: usize, other: &[(&str, &str)]) -> Vec<String> {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let peers: Vec<String> = (0..NODES)
            .map(|nth| {
                let (peer, client) = (self.peer_port(nth), self.port(nth));
                format!("{}={}/{}", nth + 1, address(peer), address(client))
            })
            .collect();
        let directory = self.data(nth);
        let mut arguments = vec!["start".to_owned()];
        let mut set = |name: &str, value: &str| {
            let other = other.iter().find(|(key, _)| *key == name);
            let value = other.map_or(value, |(_, value)| value);
            arguments.extend([format!("--{name}"), value.to_owned()]);
        };
        set("node", &(nth + 1).to_string());
        set("cluster", "test");
        set("dir", directory.to_str().expect("a path of ours"));
        set("engine", &engine());
        if self.options.short_log {
            set("log-keep", "1mb");
            set("persist-after", "1mb");
        }
        set("client-listen", &address(self.port(nth)));
        set("peer-listen", &address(self.peer_port(nth)));
        set("admin-listen", &address(self.admin_port(nth)));
        set("peers", &peers.join(","));
        let cluster = self.options.cluster_enabled;
        set("cluster-enabled", if cluster { "yes" } else { "no" });
        arguments
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for nth in 0..NODES {
                let log = self.log(nth);
                let lines: Vec<&str> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(40)..];
                eprintln!("--- the end of node {nth}'s log:\n{}", tail.join("\n"));
            }
        }
    }
}

/// The engine that all clusters of these tests run on: `make test ENGINE=…` sets it.
pub(crate) fn engine() -> String {
    std::env::var("TEST_ENGINE").unwrap_or_else(|_| "memory".to_owned())
}
