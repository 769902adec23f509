//! How long applying a SET and answering a GET take.
//!
//! `cargo run --release -p keyspace --example apply_speed`
//!
//! 100,000 keys of 16 bytes, values of 256 bytes, in random order; batches of 512 commands, each
//! committed. Once over the memory engine, and once over an engine that does nothing, which shows
//! what is the keyspace's own share. The best of the rounds counts: whatever else the machine does
//! only adds time.

use std::hint::black_box;
use std::ops::{Bound, ControlFlow};
use std::time::Instant;

use keyspace::{Keyspace, command, key, table};
use replication::{EntryInfo, Epoch, Index, Millis, Position, StateMachine};
use storage::{Engine, EngineError, MemoryEngine};

const KEYS: usize = 100_000;
const BATCH: usize = 512;
const ROUNDS: usize = 9;

/// Takes everything, keeps nothing, and finds the same value under every data row.
struct Idle {
    value: Vec<u8>,
}

impl Engine for Idle {
    type Value<'a> = &'a [u8];

    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, EngineError> {
        Ok((key.first() == Some(&0)).then_some(self.value.as_slice()))
    }

    fn scan(
        &self,
        _: Bound<&[u8]>,
        _: Bound<&[u8]>,
        _: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        black_box((key, value));
        Ok(())
    }

    fn delete(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }

    fn delete_range(&mut self, _: &[u8], _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn commands(name: &[u8], value: Option<&[u8]>) -> Vec<Vec<u8>> {
    let number = table::lookup(name).and_then(table::Command::number);
    let number = number.expect("a command of the state machine's");
    (0..KEYS)
        .map(|i| {
            // A stride without a common divisor visits every key once, out of order.
            let key = format!("key:{:012}", i * 61_803 % KEYS);
            let mut out = Vec::new();
            let args = [Some(key.as_bytes()), value];
            let args: Vec<&[u8]> = args.into_iter().flatten().collect();
            command::encode(&mut out, 0, number, args.into_iter());
            out
        })
        .collect()
}

/// The best round's nanoseconds for one of `count`.
fn best(count: usize, mut round: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round();
        best = best.min(start.elapsed().as_nanos() as f64 / count as f64);
    }
    best
}

/// A keyspace and the log it follows.
struct Log<E> {
    keyspace: Keyspace<E>,
    index: u64,
}

impl<E: Engine> Log<E> {
    fn over(engine: E) -> Self {
        Log {
            keyspace: Keyspace::open(engine).expect("it holds nothing yet"),
            index: 0,
        }
    }

    fn apply(&mut self, commands: &[Vec<u8>], wanted: bool) {
        let mut reply = Vec::new();
        for batch in commands.chunks(BATCH) {
            self.index += 1;
            let info = EntryInfo {
                position: Position {
                    index: Index(self.index),
                    epoch: Epoch::term(1),
                },
                stamp: Millis(self.index),
                semantics: replication::SEMANTICS,
                membership: None,
            };
            self.keyspace.begin(info).expect("memory does not fail");
            for command in batch {
                reply.clear();
                let reply = wanted.then_some(&mut reply);
                let applied = self.keyspace.apply(command, reply);
                applied.expect("memory does not fail");
            }
            self.keyspace.commit().expect("memory does not fail");
        }
    }

    fn query(&self, queries: &[Vec<u8>]) {
        let mut reply = Vec::new();
        for query in queries {
            reply.clear();
            let asked = self.keyspace.query(query, Millis(1), &mut reply);
            black_box(asked.expect("memory does not fail"));
        }
    }
}

fn measure<E: Engine>(name: &str, mut strings: Log<E>, mut counters: Log<E>) {
    let sets = commands(b"set", Some(&[b'v'; 256]));
    let (gets, incrs) = (commands(b"get", None), commands(b"incr", None));
    strings.apply(&sets, false);
    counters.apply(&incrs, false);
    println!("{name:24}");
    let line = |what: &str, round: &mut dyn FnMut()| {
        println!("  {what:24}{:7.1}", best(KEYS, round));
    };
    line("apply SET, reply wanted", &mut || {
        strings.apply(&sets, true)
    });
    line("apply SET, no reply", &mut || strings.apply(&sets, false));
    line("query GET", &mut || strings.query(&gets));
    line("apply INCR, no reply", &mut || {
        counters.apply(&incrs, false);
    });
}

fn main() {
    println!("{KEYS} keys, 256-byte values, batches of {BATCH}; ns per command, best of {ROUNDS}");
    let memory = || Log::over(MemoryEngine::default());
    measure("the memory engine", memory(), memory());
    let idle = |content: &[u8]| {
        // A value without an expiry: two bytes of header.
        let value = [&[0, 0], content].concat();
        Log::over(Idle { value })
    };
    measure(
        "an engine that does nothing",
        idle(&[b'v'; 256]),
        idle(b"1"),
    );

    println!("the parts");
    let names: [&[u8]; 4] = [b"GET", b"set", b"INCRBY", b"expire"];
    let lookup = best(4 * KEYS, || {
        for _ in 0..KEYS {
            for name in names {
                black_box(table::lookup(black_box(name)));
            }
        }
    });
    println!("  {:24}{lookup:7.1}", "look up a name");
    for length in [8, 16, 40] {
        let text = vec![b'k'; length];
        let slot = best(KEYS, || {
            for _ in 0..KEYS {
                black_box(key::slot(black_box(&text)));
            }
        });
        let hash = best(KEYS, || {
            for _ in 0..KEYS {
                black_box(key::hash(black_box(&text)));
            }
        });
        println!("  slot of {length:2} bytes         {slot:7.1}");
        println!("  hash of {length:2} bytes         {hash:7.1}");
    }
}
