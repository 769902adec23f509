//! The etcd peer: three members on loopback, every put fsynced on a majority, and a
//! closed-loop client for it.

use std::{
    cell::{Cell, RefCell},
    fs, io,
    path::Path,
    process::Command,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use etcd_client::{Client, ConnectOptions, KvClient};
use hdrhistogram::Histogram;
use tokio::task::LocalSet;

use crate::{
    process::Process,
    random::Random,
    redis_benchmark::{KEYS, Outcome, VALUE_BYTES},
    resp::key,
};

/// Three members.
pub(crate) struct Etcd {
    /// The members, in the order of their ports.
    pub(crate) processes: Vec<Process>,
    port: u16,
}

impl Etcd {
    /// Starts three members, clients at `port` and the two above, peers a thousand
    /// higher. Returns once they have a leader.
    pub(crate) fn start(directory: &Path, port: u16) -> io::Result<Self> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<String> = (0..3)
            .map(|nth| format!("n{nth}={}", url(port + 1000 + nth)))
            .collect();
        let mut processes = Vec::new();
        for nth in 0..3 {
            let home = directory.join(format!("etcd-{nth}"));
            fs::create_dir_all(&home)?;
            let (client, peer) = (url(port + nth), url(port + 1000 + nth));
            let mut command = Command::new("etcd");
            command.arg("--data-dir").arg(home.join("data"));
            command.args(["--name", &format!("n{nth}"), "--log-level", "error"]);
            command.args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ]);
            command.args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ]);
            command.args(["--initial-cluster", &cluster.join(",")]);
            command.args(["--initial-cluster-state", "new"]);
            // Its history is kept for the whole run; the default of 2 GiB could fill.
            command.args(["--quota-backend-bytes", "8589934592"]);
            let log = home.join("output");
            processes.push(Process::start(&format!("etcd n{nth}"), &mut command, &log)?);
        }
        let mut etcd = Self { processes, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = etcd.leader() {
            etcd.processes
                .iter_mut()
                .try_for_each(Process::check_alive)?;
            if Instant::now() >= deadline {
                return Err(io::Error::other(format!("etcd found no leader: {error}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(etcd)
    }

    /// The endpoint of the member that leads.
    pub(crate) fn leader(&self) -> io::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            for nth in 0..3 {
                let endpoint = format!("127.0.0.1:{}", self.port + nth);
                let mut client = connect(&endpoint).await?;
                let status = client.status().await.map_err(io::Error::other)?;
                let member = status.header().map(etcd_client::ResponseHeader::member_id);
                if status.leader() != 0 && member == Some(status.leader()) {
                    return Ok(endpoint);
                }
            }
            Err(io::Error::other("no member leads"))
        })
    }

    /// Puts to the leader from `clients` clients that each wait for their reply, over
    /// `connections` connections, for as long as `duration`.
    pub(crate) fn put(
        &self,
        clients: usize,
        connections: usize,
        duration: Duration,
    ) -> io::Result<Outcome> {
        let leader = self.leader()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, async {
            let pool = connect_pool(&leader, connections).await?;
            let latencies = Rc::new(RefCell::new(new_histogram()?));
            let ops = Rc::new(Cell::new(0_u64));
            let start = Instant::now();
            let deadline = start + duration;
            let mut tasks = Vec::new();
            for (nth, client) in pool.iter().cycle().take(clients).enumerate() {
                let (mut client, latencies) = (client.clone(), Rc::clone(&latencies));
                let ops = Rc::clone(&ops);
                tasks.push(tokio::task::spawn_local(async move {
                    let mut random = Random::new(nth as u64);
                    loop {
                        let sent = Instant::now();
                        if sent >= deadline {
                            return Ok(());
                        }
                        put_once(&mut client, &mut random).await?;
                        ops.set(ops.get() + 1);
                        latencies
                            .borrow_mut()
                            .saturating_record(micros(sent.elapsed()));
                    }
                }));
            }
            for task in tasks {
                let done: io::Result<()> = task.await?;
                done?;
            }
            let p99_ms = latencies.borrow().value_at_quantile(0.99) as f64 / 1000.0;
            let ops_per_s = ops.get() as f64 / start.elapsed().as_secs_f64();
            Ok(Outcome {
                ops_per_s,
                ops: ops.get(),
                p99_ms,
            })
        })
    }
}

/// One put of a random key.
pub(crate) async fn put_once(client: &mut KvClient, random: &mut Random) -> io::Result<()> {
    let key = key(random.below(KEYS));
    client
        .put(key, vec![b'x'; VALUE_BYTES], None)
        .await
        .map_err(io::Error::other)?;
    Ok(())
}

/// Connections to one member.
pub(crate) async fn connect_pool(endpoint: &str, connections: usize) -> io::Result<Vec<KvClient>> {
    let mut pool = Vec::new();
    for _ in 0..connections {
        pool.push(connect(endpoint).await?.kv_client());
    }
    Ok(pool)
}

async fn connect(endpoint: &str) -> io::Result<Client> {
    let options = ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(10));
    Client::connect([endpoint], Some(options))
        .await
        .map_err(io::Error::other)
}

/// Latencies in microseconds, up to a minute, to three digits.
pub(crate) fn new_histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000, 3).map_err(io::Error::other)
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
