//! How long each slice takes of what concerns every key, and what an exact count would cost a SET.
//!
//! ```text
//! cargo run --release -p keyspace --example long_reads -- 1000000
//! ```
//!
//! Everything runs on one thread, as in a node: whatever takes long here keeps every client waiting.

use std::hint::black_box;
use std::time::{Duration, Instant};

use keyspace::{Keyspace, command, table};
use replication::{EntryInfo, Epoch, Index, LongId, Millis, Position, Query, StateMachine};
use storage::{Engine, MemoryEngine};

const BATCH: usize = 256;
const START_MS: u64 = 1_700_000_000_000;

fn encode(words: &[&[u8]]) -> Vec<u8> {
    let number = table::lookup(words.first().copied().unwrap_or_default())
        .and_then(table::Command::number)
        .unwrap_or_default();
    let mut out = Vec::new();
    let args = words.get(1..).unwrap_or_default();
    command::encode(&mut out, 0, number, args.iter().copied());
    out
}

/// Durations, and what stands out of them.
#[derive(Default)]
struct Slices(Vec<Duration>);

impl Slices {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.push(start.elapsed());
        result
    }

    fn print(mut self, what: &str) {
        self.0.sort_unstable();
        let ms = |duration: Option<&Duration>| duration.map_or(0.0, |d| d.as_secs_f64() * 1e3);
        let total: Duration = self.0.iter().sum();
        println!(
            "{what:44} {:6} slices, {:8.1} ms together, median {:6.3} ms, longest {:6.2} ms",
            self.0.len(),
            total.as_secs_f64() * 1e3,
            ms(self.0.get(self.0.len() / 2)),
            ms(self.0.last()),
        );
    }
}

struct Log {
    keyspace: Keyspace<MemoryEngine>,
    index: u64,
}

type Failure = Box<dyn std::error::Error>;

impl Log {
    fn apply(&mut self, commands: &[Vec<u8>]) -> Result<(), Failure> {
        self.index += 1;
        self.keyspace.begin(EntryInfo {
            position: Position {
                index: Index(self.index),
                epoch: Epoch::term(1),
            },
            stamp: Millis(START_MS + self.index),
            semantics: replication::SEMANTICS,
            membership: None,
        })?;
        for command in commands {
            self.keyspace.apply(command, None)?;
        }
        Ok(self.keyspace.commit()?)
    }

    fn long(&mut self, query: &[&[u8]], writes: &[Vec<u8>]) -> Result<(Slices, usize), Failure> {
        let (query, mut slices, mut length) = (encode(query), Slices::default(), 0);
        let clock = Millis(0);
        let mut reply = Vec::new();
        let asked = slices.time(|| self.keyspace.query(&query, clock, &mut reply))?;
        if asked == Query::Long {
            slices.time(|| self.keyspace.begin_long(LongId(1), &query))?;
        }
        let mut writes = writes.chunks(BATCH).cycle();
        while self.keyspace.has_work() {
            let mut answer = |_, reply: &[u8]| length = black_box(reply).len();
            slices.time(|| self.keyspace.work(&mut answer))?;
            // Others write in between, which the view must bear.
            self.apply(writes.next().unwrap_or_default())?;
        }
        Ok((slices, length.max(reply.len())))
    }
}

fn per_op(what: &str, count: usize, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let ns = start.elapsed().as_secs_f64() * 1e9 / count as f64;
    println!("{what:44} {ns:8.0} ns");
}

fn main() -> Result<(), Failure> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |arg| arg.parse())?;
    let value = [b'v'; 256];
    // In an order that is not that of the rows.
    let keys: Vec<String> = (0..count).map(|i| format!("key:{i:012}")).collect();
    let sets: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| encode(&[b"set", key.as_bytes(), &value]))
        .collect();
    let mut log = Log {
        keyspace: Keyspace::open(MemoryEngine::default())?,
        index: 0,
    };
    let fill = |log: &mut Log| sets.chunks(BATCH).try_for_each(|batch| log.apply(batch));
    fill(&mut log)?;
    println!("{count} keys, values of 256 bytes, the memory engine");

    let queries: [(&str, &[&[u8]]); 3] = [
        ("KEYS *, others write", &[b"keys", b"*"]),
        ("KEYS key:*9, others write", &[b"keys", b"key:*9"]),
        ("DBSIZE, others write", &[b"dbsize"]),
    ];
    for (what, query) in queries {
        let (slices, length) = log.long(query, &sets)?;
        slices.print(&format!("{what} ({length} bytes)"));
    }
    for (what, scan_count) in [("SCAN, COUNT 10", "10"), ("SCAN, COUNT 1000000", "1000000")] {
        let mut slices = Slices::default();
        let mut cursor = "0".to_string();
        loop {
            let query = encode(&[b"scan", cursor.as_bytes(), b"count", scan_count.as_bytes()]);
            let mut reply = Vec::new();
            slices.time(|| log.keyspace.query(&query, Millis(0), &mut reply))?;
            let text = String::from_utf8_lossy(&reply);
            cursor = text.split("\r\n").nth(2).unwrap_or("0").to_string();
            if cursor == "0" {
                break;
            }
        }
        slices.print(what);
    }

    println!("\nSET, overwriting, engine alone:");
    let random = |i: usize| i.wrapping_mul(7_919) % count;
    let mut engine = MemoryEngine::default();
    let row = |i: usize| {
        [
            &keyspace::key::hash(keys[i].as_bytes()).to_be_bytes()[..],
            keys[i].as_bytes(),
        ]
        .concat()
    };
    let rows: Vec<Vec<u8>> = (0..count).map(|i| row(random(i))).collect();
    rows.iter().try_for_each(|row| engine.put(row, &value))?;
    for _ in 0..5 {
        per_op("blind", count, || {
            rows.iter().for_each(|row| drop(engine.put(row, &value)));
        });
        per_op("reading first, as an exact count would", count, || {
            for row in &rows {
                black_box(engine.get(row).is_ok_and(|found| found.is_some()));
                drop(engine.put(row, &value));
            }
        });
    }

    let mut slices = Slices::default();
    slices.time(|| log.apply(&[encode(&[b"flushall"])]))?;
    slices.print("\nFLUSHALL");
    let mut slices = Slices::default();
    while log.keyspace.next_due().is_some() {
        slices.time(|| log.apply(&[]))?;
    }
    slices.print("what it left, an entry a slice");
    Ok(())
}
