//! A client that asks at a steady pace and remembers the longest it ever waited: what everybody
//! else notices of something large.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::resp::{Client, Reply};

const PATIENCE: Duration = Duration::from_secs(30);

/// SET and GET in turn, on a connection of its own.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Duration>>,
}

impl Probe {
    /// Asks the server at `port` once in every interval. A wait counts from the moment at which the
    /// question was due, so that one long wait does not hide those that would have come behind it.
    pub(crate) fn start(port: u16, every: Duration) -> io::Result<Self> {
        let client = Client::connect(port, PATIENCE)?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked_to_stop = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || ask(client, every, &asked_to_stop))?;
        Ok(Self { stop, thread })
    }

    /// The longest wait.
    pub(crate) fn stop(self) -> io::Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| Err(io::Error::other("the probe panicked"));
        self.thread.join().unwrap_or_else(panicked)
    }
}

fn ask(mut client: Client, every: Duration, stop: &AtomicBool) -> io::Result<Duration> {
    let mut worst = Duration::ZERO;
    let mut due = Instant::now();
    let questions: [&[&[u8]]; 2] = [&[b"SET", b"bench:probed", b"1"], &[b"GET", b"bench:probed"]];
    for question in questions.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if let Reply::Error(error) = client.call(question)? {
            return Err(io::Error::other(format!("the probe was told {error}")));
        }
        worst = worst.max(due.elapsed());
        due = (due + every).max(Instant::now() - every);
    }
    Ok(worst)
}
