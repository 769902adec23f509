//! How long applying a SET and answering a GET take over the memory engine.
//!
//! `cargo run --release -p keyspace --example apply_speed`
//!
//! 100,000 keys of 16 bytes, values of 256 bytes, in random order; batches of 512 commands, each
//! committed. The best of the rounds counts: whatever else the machine does only adds time.

use std::hint::black_box;
use std::time::Instant;

use keyspace::{Keyspace, command, key, table};
use replication::{EntryInfo, Epoch, Index, Millis, Position, StateMachine};
use storage::MemoryEngine;

const KEYS: usize = 100_000;
const BATCH: usize = 512;
const ROUNDS: usize = 7;

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

fn main() {
    let mut keyspace = Keyspace::open(MemoryEngine::default()).expect("an empty engine opens");
    let sets = commands(b"set", Some(&[b'v'; 256]));
    let gets = commands(b"get", None);
    let incrs = commands(b"incr", None);
    let mut index = 0;
    let mut apply = |keyspace: &mut Keyspace<MemoryEngine>, commands: &[Vec<u8>], wanted: bool| {
        let mut reply = Vec::new();
        for batch in commands.chunks(BATCH) {
            index += 1;
            let info = EntryInfo {
                position: Position {
                    index: Index(index),
                    epoch: Epoch::term(1),
                },
                stamp: Millis(index),
                semantics: replication::SEMANTICS,
                membership: None,
            };
            keyspace.begin(info).expect("memory does not fail");
            for command in batch {
                reply.clear();
                let reply = wanted.then_some(&mut reply);
                keyspace
                    .apply(command, reply)
                    .expect("memory does not fail");
            }
            keyspace.commit().expect("memory does not fail");
        }
    };
    apply(&mut keyspace, &sets, false);
    let leader = best(KEYS, || apply(&mut keyspace, &sets, true));
    let follower = best(KEYS, || apply(&mut keyspace, &sets, false));
    let get = best(KEYS, || {
        let mut reply = Vec::new();
        for query in &gets {
            reply.clear();
            let asked = keyspace.query(query, Millis(1), &mut reply);
            black_box(asked.expect("memory does not fail"));
        }
    });
    let mut counters = Keyspace::open(MemoryEngine::default()).expect("an empty engine opens");
    index = 0;
    let mut apply = |keyspace: &mut Keyspace<MemoryEngine>, commands: &[Vec<u8>]| {
        for batch in commands.chunks(BATCH) {
            index += 1;
            let info = EntryInfo {
                position: Position {
                    index: Index(index),
                    epoch: Epoch::term(1),
                },
                stamp: Millis(index),
                semantics: replication::SEMANTICS,
                membership: None,
            };
            keyspace.begin(info).expect("memory does not fail");
            for command in batch {
                keyspace.apply(command, None).expect("memory does not fail");
            }
            keyspace.commit().expect("memory does not fail");
        }
    };
    apply(&mut counters, &incrs);
    let incr = best(KEYS, || apply(&mut counters, &incrs));
    println!("{KEYS} keys, 256-byte values, batches of {BATCH}; ns per command, best of {ROUNDS}");
    println!("apply SET, reply wanted   {leader:7.1}");
    println!("apply SET, no reply       {follower:7.1}");
    println!("apply INCR, no reply      {incr:7.1}");
    println!("query GET                 {get:7.1}");

    let names: [&[u8]; 4] = [b"GET", b"set", b"INCRBY", b"expire"];
    let lookup = best(4 * KEYS, || {
        for _ in 0..KEYS {
            for name in names {
                black_box(table::lookup(black_box(name)));
            }
        }
    });
    println!("look up a command's name  {lookup:7.1}");
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
        println!("slot, hash of {length:2} bytes    {slot:7.1} {hash:7.1}");
    }
}
