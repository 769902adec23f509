//! How many frames two transports exchange over loopback, and what one costs: each node on a
//! thread of its own, with a runtime of one thread, as in the product.
//!
//! `cargo run --release -p transport --example throughput`

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use transport::tcp::TcpTransport;
use transport::{Channel, ClusterId, Config, DiskId, Event, Identity, NodeId, Transport};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One measurement: frames of `size` bytes in turns of `turn`, at most `window` under way.
#[derive(Clone, Copy)]
struct Load {
    size: usize,
    turn: usize,
    window: usize,
    frames: usize,
}

const LOADS: [Load; 4] = [
    load(300, 1, 1, 50_000),
    load(300, 64, 4096, 8_000_000),
    load(300, 1024, 8192, 8_000_000),
    load(64 << 10, 8, 64, 200_000),
];

const fn load(size: usize, turn: usize, window: usize, frames: usize) -> Load {
    Load {
        size,
        turn,
        window,
        frames,
    }
}

fn main() -> Result<(), Error> {
    println!(
        "  size  turn  window     frames/s     MiB/s   sender  receiver  frames/write  frames/read"
    );
    LOADS.into_iter().try_for_each(measure)
}

fn measure(load: Load) -> Result<(), Error> {
    let (say_address, address) = mpsc::channel();
    let receiver = thread::spawn(move || {
        on_one_thread(async move {
            let mut node = bind(1).await?;
            say_address.send(node.local_addr().to_string())?;
            receive_all(&mut node, load).await
        })
    });
    let address = address.recv()?;
    let (cpu, stats, elapsed) = on_one_thread(async move {
        let mut node = bind(2).await?;
        node.set_peers(BTreeMap::from([(NodeId(1), address)]));
        send_all(&mut node, load).await
    })?;
    let (receiver_cpu, received) = receiver.join().map_err(|_| "the receiver panicked")??;
    let (frames, seconds) = (load.frames as f64, elapsed.as_secs_f64());
    println!(
        "{:6} {:5} {:7} {:12.0} {:9.0} {:5.0} ns {:6.0} ns {:13.1} {:12.1}",
        load.size,
        load.turn,
        load.window,
        frames / seconds,
        frames * load.size as f64 / seconds / f64::from(1 << 20),
        cpu.as_nanos() as f64 / frames,
        receiver_cpu.as_nanos() as f64 / frames,
        stats.frames_sent as f64 / stats.writes as f64,
        received.frames_received as f64 / received.reads as f64,
    );
    Ok(())
}

/// Sends in turns; the receiver acknowledges by count, on control.
async fn send_all(
    node: &mut TcpTransport,
    load: Load,
) -> Result<(Duration, transport::Stats, Duration), Error> {
    let payload = Bytes::from(vec![7; load.size]);
    let mut events = Vec::new();
    let mut connected = 0;
    while connected < 2 {
        node.receive(&mut events).await;
        connected += events.drain(..).count();
    }
    let (started, cpu) = (Instant::now(), cpu()?);
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < load.frames {
        while sent < load.frames && sent + load.turn <= acknowledged + load.window {
            for _ in 0..load.turn {
                node.send(NodeId(1), Channel::Bulk, payload.clone())?;
            }
            sent += load.turn;
            // The end of a turn: the caller waits for events, and the writer writes.
            tokio::task::yield_now().await;
        }
        node.receive(&mut events).await;
        for event in events.drain(..) {
            match event {
                Event::Frame { payload, .. } => {
                    let count = payload[..].try_into().map(usize::from_le_bytes)?;
                    acknowledged = acknowledged.max(count);
                }
                other => return Err(format!("{other:?}").into()),
            }
        }
    }
    Ok((self::cpu()? - cpu, node.stats(), started.elapsed()))
}

async fn receive_all(
    node: &mut TcpTransport,
    load: Load,
) -> Result<(Duration, transport::Stats), Error> {
    let mut events = Vec::new();
    let (mut received, mut connected) = (0, 0);
    let mut before = cpu()?;
    let sent = load.frames.next_multiple_of(load.turn);
    while received < sent {
        node.receive(&mut events).await;
        for event in events.drain(..) {
            match event {
                Event::Frame { .. } => received += 1,
                Event::Connected { .. } => {
                    connected += 1;
                    before = cpu()?;
                }
                Event::Disconnected { .. } => return Err("disconnected".into()),
            }
        }
        if connected == 2 && received > 0 {
            let count = Bytes::copy_from_slice(&usize::to_le_bytes(received));
            node.send(NodeId(2), Channel::Control, count)?;
        }
    }
    let used = cpu()? - before;
    let stats = node.stats();
    // The last acknowledgement must leave before the transport is dropped.
    while !matches!(events.pop(), Some(Event::Disconnected { .. })) {
        node.receive(&mut events).await;
    }
    Ok((used, stats))
}

async fn bind(node: u64) -> Result<TcpTransport, Error> {
    let identity = Identity {
        cluster: ClusterId(1),
        node: NodeId(node),
        disk: DiskId(1),
        boot: 1,
    };
    let config = Config::new(identity, |_| Ok(()));
    Ok(TcpTransport::bind("127.0.0.1:0", config).await?)
}

fn on_one_thread<T>(run: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run)
}

/// Processor time of this thread so far.
fn cpu() -> Result<Duration, Error> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = schedstat.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanos))
}
