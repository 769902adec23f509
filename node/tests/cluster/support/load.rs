//! Writers that keep books: what was acknowledged, what was refused, what is unknown.
//!
//! A writer never sends a write again, whatever happens to it: its next one has the next
//! number. So every number has one fate, and the cluster's answer can be held against the
//! keys that are there afterwards.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Client, Reply};

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered with success.
    Acknowledged,
    /// Answered with an error that says it did not happen.
    Refused,
    /// Answered with `-UNKNOWN`, or not at all.
    Unknown,
}

/// A write in the books.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// What became of it.
    pub(crate) fate: Fate,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When its fate was known.
    pub(crate) answered: Instant,
}

/// The books of one writer; the entry's place is the write's number.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Every write.
    pub(crate) entries: Vec<Entry>,
    /// How often each error was met.
    pub(crate) errors: BTreeMap<String, u64>,
    /// How often the connection was lost.
    pub(crate) disconnects: u64,
}

impl Books {
    /// How many writes had a fate.
    pub(crate) fn count(&self, fate: Fate) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.fate == fate)
            .count()
    }
}

/// What a writer writes: its command for a number.
pub(crate) type Command = fn(writer: usize, number: usize) -> Vec<u8>;

/// Writers, each with a connection of its own.
pub(crate) struct Writers {
    books: Vec<Arc<Mutex<Books>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Writers {
    /// Starts one writer per port.
    pub(crate) fn start(ports: &[u16], command: Command) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Self {
            books: Vec::new(),
            threads: Vec::new(),
            stop,
        };
        for (writer, &port) in ports.iter().enumerate() {
            let books = Arc::new(Mutex::new(Books::default()));
            let stop = Arc::clone(&writers.stop);
            writers.books.push(Arc::clone(&books));
            writers.threads.push(thread::spawn(move || {
                write(writer, port, command, &books, &stop)
            }));
        }
        writers
    }

    /// How long after `moment` each of the given writers had its first write acknowledged
    /// that it sent after it. Waits for it; fails the test if it takes 30 s.
    pub(crate) fn resumed_after(&self, moment: Instant, writers: &[usize]) -> Vec<Duration> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let first = |writer: usize| loop {
            let books = self.books[writer].lock().expect("the books");
            let late = books
                .entries
                .iter()
                .rev()
                .take_while(|entry| entry.answered > moment);
            let acknowledged =
                late.filter(|entry| entry.sent > moment && entry.fate == Fate::Acknowledged);
            if let Some(entry) = acknowledged.last() {
                return entry.answered - moment;
            }
            let errors = books.errors.clone();
            drop(books);
            assert!(
                Instant::now() < deadline,
                "writer {writer} wrote nothing for 30 s; errors so far: {errors:?}"
            );
            thread::sleep(Duration::from_millis(2));
        };
        writers.iter().map(|&writer| first(writer)).collect()
    }

    /// Ends the writers and closes the books.
    pub(crate) fn finish(self) -> Vec<Books> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a writer");
        }
        let books = self.books.into_iter();
        books
            .map(|books| {
                let books = Arc::into_inner(books).expect("the writer is gone");
                books.into_inner().expect("the books")
            })
            .collect()
    }
}

fn write(writer: usize, port: u16, command: Command, books: &Mutex<Books>, stop: &AtomicBool) {
    let mut client: Option<Client> = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = &mut client else {
            client = Client::connect(port).ok();
            if client.is_none() {
                thread::sleep(Duration::from_millis(2));
            }
            continue;
        };
        let sent = Instant::now();
        let answer = connected
            .send(&command(writer, number))
            .and_then(|()| connected.receive());
        number += 1;
        let answered = Instant::now();
        let mut books = books.lock().expect("the books");
        let fate = match &answer {
            Ok(Reply::Error(error)) if error.starts_with("UNKNOWN") => Fate::Unknown,
            Ok(Reply::Error(_)) => Fate::Refused,
            Ok(_) => Fate::Acknowledged,
            Err(_) => Fate::Unknown,
        };
        match answer {
            Ok(Reply::Error(error)) => *books.errors.entry(error).or_default() += 1,
            Ok(_) => {}
            Err(_) => {
                books.disconnects += 1;
                client = None;
            }
        }
        books.entries.push(Entry {
            fate,
            sent,
            answered,
        });
    }
}

/// How long the machine lets a thread wait that wants to run: a test that measures time
/// cannot blame the cluster for that.
pub(crate) struct StallMeter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl StallMeter {
    /// Starts measuring.
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            const NAP: Duration = Duration::from_millis(5);
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let slept = Instant::now();
                thread::sleep(NAP);
                longest = longest.max(slept.elapsed().saturating_sub(NAP));
            }
            longest
        });
        Self { stop, thread }
    }

    /// The longest wait so far.
    pub(crate) fn finish(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the meter")
    }
}
