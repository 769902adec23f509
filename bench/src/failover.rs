//! How long writes stand still when the leader is killed (row 10).
//!
//! Two clients write one key after another, each waiting for its reply: one stays with
//! a node that survives and lets it forward; one follows the leader, as a client that
//! understands redirection does. A client's writes have resumed with the first
//! acknowledgement of a write that it sent after the kill.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    lockstep::{Lockstep, NODES, leads},
    resp::{Client, Reply},
};

/// How long writes stood still, by the client that saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    /// Through a node that survived.
    pub(crate) through_survivor: Duration,
    /// By a client that looks for the new leader itself.
    pub(crate) following: Duration,
}

const PATIENCE: Duration = Duration::from_secs(15);

/// Kills the leader under load, waits until both clients write again, and starts the
/// killed node again.
pub(crate) fn measure(cluster: &mut Lockstep) -> io::Result<Outage> {
    let leader = cluster.leader()?;
    let ports: Vec<u16> = (0..NODES).map(|nth| cluster.port(nth)).collect();
    let survivor = cluster.port((leader + 1) % NODES);
    let stop = AtomicBool::new(false);
    let (stays, follows) = (Watch::default(), Watch::default());
    let measured = thread::scope(|scope| {
        scope.spawn(|| write_through(survivor, &stays, &stop));
        scope.spawn(|| write_following(&ports, &follows, &stop));
        let measured = (|| {
            // Long enough that both are known to write.
            thread::sleep(Duration::from_millis(300));
            let killed = Instant::now();
            cluster.kill_node(leader);
            let through_survivor = stays.resumed_after(killed)?;
            let following = follows.resumed_after(killed)?;
            Ok(Outage {
                through_survivor,
                following,
            })
        })();
        stop.store(true, Ordering::Relaxed);
        measured
    });
    cluster.start_node(leader)?;
    cluster.wait_for_writes(Duration::from_secs(30))?;
    // Let it catch up before somebody measures anything else.
    thread::sleep(Duration::from_secs(1));
    measured
}

/// When a client's latest acknowledged write was sent and acknowledged.
#[derive(Default)]
struct Watch(Mutex<Vec<(Instant, Instant)>>);

impl Watch {
    fn acknowledged(&self, sent: Instant) {
        let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writes.push((sent, Instant::now()));
    }

    fn resumed_after(&self, killed: Instant) -> io::Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, acknowledged)) = writes.iter().find(|(sent, _)| *sent > killed) {
                return Ok(acknowledged.duration_since(killed));
            }
            drop(writes);
            thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::other("writes did not resume within 15 s"))
    }
}

fn write_through(port: u16, watch: &Watch, stop: &AtomicBool) {
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        client = client.or_else(|| Client::connect(port, PATIENCE).ok());
        if !write(&mut client, watch) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn write_following(ports: &[u16], watch: &Watch, stop: &AtomicBool) {
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        client = client.or_else(|| {
            let leader = ports.iter().find(|&&port| leads(port).unwrap_or(false))?;
            Client::connect(*leader, PATIENCE).ok()
        });
        if !write(&mut client, watch) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One write; drops the client if it is of no use any more.
fn write(client: &mut Option<Client>, watch: &Watch) -> bool {
    let Some(connected) = client else {
        return false;
    };
    let sent = Instant::now();
    match connected.call(&[b"SET", b"bench:failover", b"1"]) {
        Ok(Reply::Text(_)) => {
            watch.acknowledged(sent);
            true
        }
        Ok(_) => false,
        Err(_) => {
            *client = None;
            false
        }
    }
}
