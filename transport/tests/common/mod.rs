//! What the tests over real sockets share: nodes, counters, logs.

#![expect(
    dead_code,
    reason = "each test binary compiles this module for itself and uses a part of it"
)]

pub(crate) mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tokio::time::timeout;
use transport::tcp::TcpTransport;
use transport::{Channel, ClusterId, Config, DiskId, Event, Identity, NodeId, Transport};

pub(crate) const CLUSTER: ClusterId = ClusterId(0xC1);

/// The identity of a node of the test's cluster in its first boot.
pub(crate) fn identity(node: u64) -> Identity {
    Identity {
        cluster: CLUSTER,
        node: NodeId(node),
        disk: DiskId(0xD0 + u128::from(node)),
        boot: 1,
    }
}

/// A configuration that lets everybody in and gives up handshakes soon.
pub(crate) fn config(node: u64) -> Config {
    let mut config = Config::new(identity(node), |_| Ok(()));
    config.handshake_timeout = Duration::from_millis(400);
    config
}

pub(crate) async fn bind(config: Config) -> TcpTransport {
    TcpTransport::bind("127.0.0.1:0", config).await.unwrap()
}

/// Tells each node where all are.
pub(crate) fn introduce(nodes: &mut [&mut TcpTransport], ids: &[u64]) {
    let peers: BTreeMap<NodeId, String> = ids
        .iter()
        .zip(nodes.iter())
        .map(|(id, node)| (NodeId(*id), node.local_addr().to_string()))
        .collect();
    for node in nodes {
        node.set_peers(peers.clone());
    }
}

/// Two nodes that exchange a frame for ever, and notice when anything disturbs them.
pub(crate) struct Healthy {
    pub(crate) one: TcpTransport,
    pub(crate) two: TcpTransport,
    pub(crate) rounds: u64,
    /// Events at node 1 that do not concern node 2.
    pub(crate) others: Vec<Event>,
}

impl Healthy {
    /// Nodes 1 and 2, connected on both channels, a ball under way on each.
    pub(crate) async fn new(one: Config) -> Self {
        let (mut one, mut two) = (bind(one).await, bind(config(2)).await);
        introduce(&mut [&mut one, &mut two], &[1, 2]);
        let mut healthy = Healthy {
            one,
            two,
            rounds: 0,
            others: Vec::new(),
        };
        let mut connected = 0;
        while connected < 4 {
            let (at_one, at_two) = healthy.receive().await;
            connected += at_one.len() + at_two.len();
        }
        for channel in Channel::ALL {
            healthy
                .one
                .send(NodeId(2), channel, b"ball"[..].into())
                .unwrap();
        }
        healthy
    }

    async fn receive(&mut self) -> (Vec<Event>, Vec<Event>) {
        let (mut at_one, mut at_two) = (Vec::new(), Vec::new());
        tokio::select! {
            () = self.one.receive(&mut at_one) => {}
            () = self.two.receive(&mut at_two) => {}
            () = tokio::time::sleep(Duration::from_secs(10)) => panic!("nothing happens any more"),
        }
        (at_one, at_two)
    }

    /// Passes the balls on once. Fails when the two lose each other.
    pub(crate) async fn play(&mut self) {
        self.play_counting(&mut [0; 2]).await;
    }

    /// As [`play`](Self::play); adds the balls that came back to node 1, by channel.
    pub(crate) async fn play_counting(&mut self, back: &mut [u64; 2]) {
        let (at_one, at_two) = self.receive().await;
        for event in at_one {
            match event {
                Event::Frame {
                    from: NodeId(2),
                    channel,
                    payload,
                } => {
                    self.rounds += 1;
                    back[channel as usize] += 1;
                    self.one.send(NodeId(2), channel, payload).unwrap();
                }
                Event::Disconnected {
                    peer: NodeId(2), ..
                } => panic!("node 1 lost node 2"),
                other => self.others.push(other),
            }
        }
        for event in at_two {
            match event {
                Event::Frame {
                    channel, payload, ..
                } => self.two.send(NodeId(1), channel, payload).unwrap(),
                other => panic!("node 2 lost node 1: {other:?}"),
            }
        }
    }

    /// Plays while something else goes on. Its outcome, and how many rounds were played.
    pub(crate) async fn play_while<T>(&mut self, other: impl Future<Output = T>) -> (T, u64) {
        let before = self.rounds;
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                outcome = &mut other => return (outcome, self.rounds - before),
                () = self.play() => {}
            }
        }
    }
}

/// The next events of one node, for at most ten seconds.
pub(crate) async fn next(node: &mut TcpTransport) -> Vec<Event> {
    let mut events = Vec::new();
    timeout(Duration::from_secs(10), node.receive(&mut events))
        .await
        .expect("an event within ten seconds");
    events
}

/// Sums per `name{label}`, for everything counted on this thread.
#[derive(Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Counters {
    /// Counts on this thread until the guard is dropped: test runtimes have one thread.
    pub(crate) fn install(&self) -> metrics::LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    pub(crate) fn get(&self, name: &str, reason: &str) -> u64 {
        let counters = self.0.lock().unwrap();
        counters
            .get(&format!("{name}{{{reason}}}"))
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    pub(crate) fn rejected(&self, reason: &str) -> u64 {
        self.get("lockstep_peer_rejected_total", reason)
    }
}

struct Sum(Arc<AtomicU64>);

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<&str> = key.labels().map(|label| label.value()).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        let sum = self.0.lock().unwrap().entry(name).or_default().clone();
        Counter::from_arc(Arc::new(Sum(sum)))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// What was logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs on this thread until the guard is dropped.
    pub(crate) fn install(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The lines that hold all of these words.
    pub(crate) fn lines(&self, words: &[&str]) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock().unwrap())
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .map(str::to_owned)
            .collect()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.lock().unwrap()))
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
