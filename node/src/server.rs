//! A node at work: everything put together, and the loop that runs it.
//!
//! ```text
//! log thread ──┐
//! peers ───────┼→ event loop: take in what there is → turn → write what came of it
//! clients ─────┘     (one thread: sockets, groups, apply)
//! ```
//!
//! Each round of the loop takes in everything that is ready before it ends the turn, so that one
//! fsync, one frame per peer and one write per connection serve all of it.

mod clock;
mod connections;
mod event_loop;
mod hosting;
mod log_thread;
mod recover;
mod session_host;
mod snapshots;
mod view;

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use consensus::{DiskId, Micros, NodeId};
use keyspace::Settings;
#[cfg(feature = "fjall")]
use storage::FjallBackend;
use storage::{Backend, Engine, GroupId, MemoryBackend};
#[cfg(feature = "rocksdb")]
use storage::{RocksBackend, RocksResources};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use transport::Transport as _;
use transport::tcp::{BindError, TcpTransport};

use crate::admin::AdminRequest;
use crate::config::{self, Config};
use crate::directory::Directory;
pub(crate) use event_loop::LoopError;
use event_loop::{Loop, Shared};
use hosting::Hosting;
pub(crate) use recover::RecoverError;
use recover::{Recovered, recover};
use snapshots::{SnapshotEvents, Snapshots};
use view::Facts;

/// The one group of this release.
const DATA_GROUP: GroupId = GroupId(0);
/// What may wait for one peer before its connection is given up, in bytes: what Raft keeps in
/// flight, what is forwarded, and one command of the largest size.
const PEER_QUEUE_BYTES: usize = 96 << 20;
/// How often what is counted is published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// How many clients may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Why a node stopped.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// The clients' address cannot be listened on.
    #[error("cannot listen for clients on {address}: {source}; choose another --client-listen")]
    Clients {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The peers' address cannot be listened on.
    #[error("cannot listen for peers: {0}; choose another --peer-listen")]
    Peers(#[from] BindError),
    /// What the disk holds cannot be used.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The operating system refused.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// The node cannot go on.
    #[error(transparent)]
    Loop(#[from] LoopError),
}

/// Serves clients and peers until `shutdown`, or until the environment makes it impossible.
pub(crate) async fn run(
    config: Config,
    directory: Directory,
    admin: mpsc::Receiver<AdminRequest>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    match config.engine {
        config::Engine::Memory => serve(MemoryBackend, config, directory, admin, shutdown).await,
        #[cfg(feature = "rocksdb")]
        config::Engine::RocksDb => {
            let resources =
                RocksResources::new(config.engine_memory).map_err(RecoverError::from)?;
            let backend = RocksBackend::new(resources);
            serve(backend, config, directory, admin, shutdown).await
        }
        #[cfg(feature = "fjall")]
        config::Engine::Fjall => {
            let backend = FjallBackend::new(config.engine_memory);
            serve(backend, config, directory, admin, shutdown).await
        }
    }
}

async fn serve(
    backend: impl Backend,
    config: Config,
    directory: Directory,
    admin: mpsc::Receiver<AdminRequest>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    end_at_a_panic();
    let listener = listen(config.client_listen)?;
    let facts = facts(&config, &directory);
    let settings = settings(&config, &directory);
    let keeps = backend.keeps();
    let Recovered {
        mut group,
        log,
        files,
        newest,
    } = recover(&config, &directory, backend)?;
    let (requests, log_events) = log_thread::start(log)?;
    let (snapshots, snapshot_events) =
        Snapshots::start(files, keeps, newest, config.persist_after as u64)?;
    let begun = snapshots.begin(Micros(0), &mut group);
    begun.map_err(RecoverError::from)?;
    let hosting = Hosting::new(vec![group], requests);
    let shared = Shared::new(Loop::new(hosting, snapshots, settings, facts));
    let transport = transport(&config, directory).await?;
    let reports = Reports {
        log: log_events,
        snapshots: snapshot_events,
        admin,
    };
    let rounds = rounds(Rc::clone(&shared), transport, reports);
    tokio::task::LocalSet::new()
        .run_until(async {
            tokio::task::spawn_local(accept(Rc::clone(&shared), listener));
            tokio::select! {
                biased;
                () = shutdown => Ok(()),
                ended = rounds => ended,
            }
        })
        .await
}

/// What other threads and tasks tell the loop.
struct Reports<E> {
    log: log_thread::LogEvents,
    snapshots: SnapshotEvents<E>,
    admin: mpsc::Receiver<AdminRequest>,
}

/// The loop: take in all there is, then end the turn.
async fn rounds<E: Engine>(
    shared: Rc<Shared<E>>,
    mut transport: TcpTransport,
    mut reports: Reports<E>,
) -> Result<(), ServerError> {
    let Reports {
        log,
        snapshots,
        admin,
    } = &mut reports;
    let (mut log_events, mut peer_events) = (Vec::new(), Vec::new());
    let mut snapshot_events = Vec::new();
    let mut published = Instant::now();
    let mut alarm = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let asked = tokio::select! {
            biased;
            () = log.receive(&mut log_events) => None,
            () = transport.receive(&mut peer_events) => None,
            () = snapshots.receive(&mut snapshot_events) => None,
            () = shared.turn_due.notified() => None,
            request = admin.recv(), if !admin.is_closed() || !admin.is_empty() => request,
            () = &mut alarm => None,
        };
        log.take(&mut log_events);
        let (deadline, has_work) = {
            let mut state = shared.state.borrow_mut();
            let begun = Instant::now();
            let (now, _) = state.clock.read();
            state.hosting.take_log_events(now, &mut log_events)?;
            state.hosting.take_peer_events(now, &mut peer_events);
            state.take_snapshot_events(now, &mut snapshot_events)?;
            if state.turn(&mut transport)? {
                shared.turn_due.notify_one();
            }
            if published.elapsed() >= PUBLISH_EVERY {
                published = Instant::now();
                state.publish();
                state.close_silent();
                state.look_at_snapshots()?;
            }
            if let Some(AdminRequest::Status(reply)) = asked {
                // Whoever asked may have gone.
                let _ = reply.send(state.node_status());
            }
            let took = begun.elapsed();
            state.clock.end_turn(took);
            state.turn_ended(took);
            let next = state.deadline().map(|at| state.clock.instant(at));
            let publish = published + PUBLISH_EVERY;
            let deadline = next.map_or(publish, |next| next.min(publish));
            (deadline, state.hosting.has_work())
        };
        shared.relieve();
        if has_work {
            // An alarm that is always due would keep the connections' tasks from running.
            tokio::task::yield_now().await;
        }
        alarm.as_mut().reset(deadline.into());
    }
}

/// Accepts clients for as long as the node runs.
async fn accept<E: Engine>(shared: Rc<Shared<E>>, listener: TcpListener) {
    loop {
        let accepted = match listener.accept().await {
            Ok((socket, _)) => shared.accept(socket),
            Err(error) => Err(error),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "a client could not be accepted");
            // Out of file descriptors, usually: others must close before another try makes sense.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let failed = |source| ServerError::Clients { address, source };
    let socket = if address.is_ipv4() {
        tokio::net::TcpSocket::new_v4()
    } else {
        tokio::net::TcpSocket::new_v6()
    };
    let socket = socket.map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)
}

async fn transport(config: &Config, directory: Directory) -> Result<TcpTransport, ServerError> {
    let identity = transport::Identity {
        cluster: transport::ClusterId(config.cluster.id),
        node: transport::NodeId(config.node.0),
        disk: transport::DiskId(directory.disk().0),
        boot: directory.boot(),
    };
    let members = config.members();
    let directory = Mutex::new(directory);
    let check = move |peer: &transport::Identity| {
        let node = NodeId(peer.node.0);
        if !members.contains(&node) {
            return Err(transport::Refusal::UnknownNode(peer.node));
        }
        let mut directory = directory.lock().unwrap_or_else(PoisonError::into_inner);
        let met = directory.meet(node, DiskId(peer.disk.0));
        met.map_err(|error| transport::Refusal::Other(error.to_string()))
    };
    let mut tcp = transport::Config::new(identity, check);
    tcp.queue_limit = PEER_QUEUE_BYTES;
    let mut transport = TcpTransport::bind(&config.peer_listen.to_string(), tcp).await?;
    let peers = config.peers.iter();
    transport.set_peers(
        peers
            .map(|(node, peer)| (transport::NodeId(node.0), peer.peer.to_string()))
            .collect(),
    );
    Ok(transport)
}

fn facts(config: &Config, directory: &Directory) -> Facts {
    let own = (config.client_advertise.clone(), config.peer_listen.port());
    let peers = config.peers.iter();
    Facts {
        node: config.node,
        cluster: config.cluster.to_string(),
        cluster_id: config.cluster.id,
        disk: directory.disk().to_string(),
        boot: directory.boot(),
        engine: config.engine.name().to_owned(),
        mode: config.mode.name().to_owned(),
        run_id: format!("{:016x}{:016x}{:08x}", random(), random(), random() >> 32),
        started: Instant::now(),
        addresses: peers
            .map(|(node, peer)| (*node, (peer.client.clone(), peer.peer.port)))
            .chain([(config.node, own)])
            .collect(),
    }
}

fn settings(config: &Config, directory: &Directory) -> Settings {
    Settings {
        requirepass: config
            .requirepass
            .as_ref()
            .map_or(String::new(), |secret| secret.reveal().to_owned()),
        maxclients: config.limits.maxclients,
        cluster_enabled: config.cluster_enabled,
        databases: config.databases,
        proto_max_bulk_len: config.limits.proto_max_bulk_len as u64,
        leader_wait_ms: micros(config.hold).0 / 1_000,
        bind: config.client_listen.ip().to_string(),
        port: config.client_listen.port(),
        dir: directory.path().display().to_string(),
        ..Settings::default()
    }
}

/// A panic is a bug of ours, and nobody knows what it left behind: on whichever thread or task it
/// happens, the node ends. Its log is what it was, and its peers go on.
fn end_at_a_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

fn micros(span: Duration) -> Micros {
    Micros(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

/// A seed: the standard library's hasher keys come from the operating system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
