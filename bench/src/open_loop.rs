//! Open-loop load: requests leave when the schedule says so, whether or not earlier
//! ones have been answered, and a request's latency counts from the moment it was
//! due. A server that stalls therefore pays for every request that would have arrived
//! meanwhile, which a closed loop forgives it (coordinated omission).
//!
//! A thread keeps the schedule, because a sleeping thread wakes within some 60 µs
//! where the runtime's timer is accurate to a millisecond only.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use etcd_client::KvClient;
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, tcp::OwnedReadHalf},
    sync::mpsc,
    task::LocalSet,
};

use crate::{
    etcd::{connect_pool, micros, new_histogram, put_once},
    random::Random,
    redis_benchmark::{KEYS, VALUE_BYTES},
    resp::{encode, key},
};

/// Where the requests go.
pub(crate) enum Target {
    /// SET to a server that speaks the Redis protocol, at this port.
    Redis(u16),
    /// Put to the etcd member at this endpoint.
    Etcd(String),
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Requests sent, those of the warm-up included.
    pub(crate) sent: u64,
    /// Replies per second.
    pub(crate) ops_per_s: f64,
    /// The median, in milliseconds.
    pub(crate) p50_ms: f64,
    /// The 99th percentile, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Requests due in the first of these are sent but not counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long the last replies may take.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 64;
/// HTTP/2 carries many requests on each.
const ETCD_CONNECTIONS: usize = 16;

/// Sends `rate` requests per second, evenly spaced, for as long as `duration`.
pub(crate) fn run(target: &Target, rate: f64, duration: Duration) -> io::Result<Latency> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let record = Rc::new(RefCell::new(Record::new()?));
        let pool = Pool::connect(target, &record).await?;
        let due = keep_schedule(rate, WARM_UP + duration, &record)?;
        match &pool {
            Pool::Redis(lanes) => dispatch_redis(due, lanes).await,
            Pool::Etcd(clients) => dispatch_etcd(due, clients, &record).await,
        }
        let deadline = Instant::now() + PATIENCE;
        while record.borrow().outstanding > 0 && record.borrow().failure.is_none() {
            if Instant::now() >= deadline {
                return Err(io::Error::other(
                    "replies are missing ten seconds after the end",
                ));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Until here: a connection that is dropped answers nothing more.
        drop(pool);
        record.borrow_mut().result(duration)
    })
}

/// The connections to a target.
enum Pool {
    Redis(Vec<Lane>),
    Etcd(Vec<KvClient>),
}

impl Pool {
    async fn connect(target: &Target, record: &Rc<RefCell<Record>>) -> io::Result<Self> {
        Ok(match target {
            Target::Redis(port) => Self::Redis(connect_lanes(*port, record).await?),
            Target::Etcd(endpoint) => Self::Etcd(connect_pool(endpoint, ETCD_CONNECTIONS).await?),
        })
    }
}

/// The latencies so far, and what is still to come.
struct Record {
    latencies: Histogram<u64>,
    counted_from: Instant,
    sent: u64,
    outstanding: u64,
    failure: Option<io::Error>,
}

impl Record {
    fn new() -> io::Result<Self> {
        let counted_from = Instant::now();
        Ok(Self {
            latencies: new_histogram()?,
            counted_from,
            sent: 0,
            outstanding: 0,
            failure: None,
        })
    }

    fn answered(&mut self, due: Instant) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if due >= self.counted_from {
            self.latencies.saturating_record(micros(due.elapsed()));
        }
    }

    fn failed(&mut self, error: io::Error) {
        self.failure.get_or_insert(error);
    }

    fn result(&mut self, duration: Duration) -> io::Result<Latency> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let millis = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Ok(Latency {
            sent: self.sent,
            ops_per_s: self.latencies.len() as f64 / duration.as_secs_f64(),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
        })
    }
}

/// Starts the thread that says when each request is due.
fn keep_schedule(
    rate: f64,
    duration: Duration,
    record: &RefCell<Record>,
) -> io::Result<mpsc::UnboundedReceiver<Instant>> {
    let total = (rate * duration.as_secs_f64()) as u64;
    let start = Instant::now() + Duration::from_millis(5);
    let mut record = record.borrow_mut();
    record.counted_from = start + WARM_UP;
    (record.sent, record.outstanding) = (total, total);
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::Builder::new()
        .name("schedule".into())
        .spawn(move || {
            for nth in 0..total {
                let due = start + Duration::from_secs_f64(nth as f64 / rate);
                if let Some(wait) = due.checked_duration_since(Instant::now()) {
                    thread::sleep(wait);
                }
                if sender.send(due).is_err() {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

async fn dispatch_etcd(
    mut due: mpsc::UnboundedReceiver<Instant>,
    pool: &[KvClient],
    record: &Rc<RefCell<Record>>,
) {
    let mut clients = pool.iter().cycle();
    let mut seed = 0;
    while let (Some(due), Some(client)) = (due.recv().await, clients.next()) {
        let (mut client, record) = (client.clone(), Rc::clone(record));
        seed += 1;
        tokio::task::spawn_local(async move {
            let done = put_once(&mut client, &mut Random::new(seed)).await;
            let mut record = record.borrow_mut();
            match done {
                Ok(()) => record.answered(due),
                Err(error) => record.failed(error),
            }
        });
    }
}

/// A connection of the Redis protocol: replies come in the order of the requests.
struct Lane {
    requests: mpsc::UnboundedSender<Instant>,
}

async fn dispatch_redis(mut due: mpsc::UnboundedReceiver<Instant>, lanes: &[Lane]) {
    let mut lanes = lanes.iter().cycle();
    while let (Some(due), Some(lane)) = (due.recv().await, lanes.next()) {
        // A lane that failed has said so in the record.
        let _ = lane.requests.send(due);
    }
}

async fn connect_lanes(port: u16, record: &Rc<RefCell<Record>>) -> io::Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    for nth in 0..CONNECTIONS {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (replies, mut requests) = stream.into_split();
        let waiting = Rc::new(RefCell::new(VecDeque::new()));
        let (sender, mut due) = mpsc::unbounded_channel();
        tokio::task::spawn_local(read_replies(
            replies,
            Rc::clone(&waiting),
            Rc::clone(record),
        ));
        let record = Rc::clone(record);
        tokio::task::spawn_local(async move {
            let mut random = Random::new(nth as u64);
            let mut bytes = Vec::new();
            while let Some(at) = due.recv().await {
                waiting.borrow_mut().push_back(at);
                bytes.clear();
                let key = key(random.below(KEYS));
                encode(&[b"SET", &key, &[b'x'; VALUE_BYTES]], &mut bytes);
                if let Err(error) = requests.write_all(&bytes).await {
                    return record.borrow_mut().failed(error);
                }
            }
        });
        lanes.push(Lane { requests: sender });
    }
    Ok(lanes)
}

async fn read_replies(
    replies: OwnedReadHalf,
    waiting: Rc<RefCell<VecDeque<Instant>>>,
    record: Rc<RefCell<Record>>,
) {
    let mut replies = BufReader::new(replies);
    let mut line = Vec::new();
    loop {
        line.clear();
        let failure = match replies.read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) if line == b"+OK\r\n" => None,
            Ok(_) => Some(io::Error::other(
                String::from_utf8_lossy(&line).into_owned(),
            )),
            Err(error) => Some(error),
        };
        let mut record = record.borrow_mut();
        match (failure, waiting.borrow_mut().pop_front()) {
            (None, Some(due)) => record.answered(due),
            (None, None) => return record.failed(io::Error::other("a reply nobody asked for")),
            (Some(error), _) => return record.failed(error),
        }
    }
}
