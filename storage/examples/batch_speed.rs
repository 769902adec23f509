//! What batches of blind puts, gets and scans cost in each engine: in time, and in CPU of the whole
//! process, because engines that last work in the background too.
//!
//! The load: 256-byte values under keys as this project makes them; all keys are put once, in order
//! of their hash, then overwritten at random, one commit per batch.
//!
//! ```text
//! cargo run --release -p storage --all-features --example batch_speed DIRECTORY [KEYS]...
//! ```

use std::fs;
use std::hint::black_box;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::time::Instant;

use storage::{Backend, Engine, MemoryBackend};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const OVERWRITES: u64 = 1_000_000;
const GETS: u64 = 300_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory to work in")?;
    let sizes: Vec<u64> = arguments
        .map(|size| size.parse())
        .collect::<std::result::Result<_, _>>()?;
    let sizes = if sizes.is_empty() {
        vec![100_000, 1_000_000]
    } else {
        sizes
    };
    println!("µs per operation: elapsed (CPU of this thread, CPU of the process)");
    println!(
        "{:10} {:>8} {}",
        "",
        "keys",
        [
            "put 16",
            "put 128",
            "put 1024",
            "get",
            "get, put 128",
            "scan"
        ]
        .map(|name| format!("{name:>20}"))
        .concat()
    );
    for size in sizes {
        run(&MemoryBackend, &directory, size)?;
        #[cfg(feature = "fjall")]
        run(&storage::FjallBackend::new(256 << 20), &directory, size)?;
        #[cfg(feature = "rocksdb")]
        {
            let resources = storage::RocksResources::new(256 << 20)?;
            run(&storage::RocksBackend::new(resources), &directory, size)?;
        }
    }
    Ok(())
}

fn run<B: Backend>(backend: &B, directory: &str, size: u64) -> Result<()> {
    let place = Path::new(directory).join(format!("{}-{size}", backend.name()));
    let _ = fs::remove_dir_all(&place);
    let mut engine = backend.open(&place)?;
    let mut keys = Keys { size, state: 1 };
    let value = [7; 256];
    for n in 0..size {
        engine.put(&make_key(n), &value)?;
        if n % 512 == 511 {
            engine.commit()?;
        }
    }
    engine.commit()?;
    let mut columns = String::new();
    for batch in [16, 128, 1024] {
        columns += &measure(OVERWRITES, |n| {
            engine.put(&make_key(keys.next()), &value)?;
            if n % batch == 0 {
                engine.commit()?;
            }
            Ok(())
        })?;
    }
    engine.commit()?;
    columns += &measure(GETS, |_| {
        let found = engine.get(&make_key(keys.next()))?.ok_or("a key is gone")?;
        black_box(found.len());
        Ok(())
    })?;
    // As an INCR does it: the read finds what is staged.
    columns += &measure(GETS, |n| {
        let key = make_key(keys.next());
        black_box(engine.get(&key)?.ok_or("a key is gone")?.len());
        engine.put(&key, &value)?;
        if n % 128 == 0 {
            engine.commit()?;
        }
        Ok(())
    })?;
    engine.commit()?;
    let mut rows = 0;
    columns += &measure_once(size, || {
        engine.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            rows += 1;
            black_box((key, value));
            ControlFlow::Continue(())
        })?;
        Ok(())
    })?;
    assert_eq!(rows, size, "rows scanned");
    println!("{:10} {size:>8} {columns}", backend.name());
    drop(engine);
    let _ = fs::remove_dir_all(&place);
    Ok(())
}

fn measure(count: u64, mut act: impl FnMut(u64) -> Result<()>) -> Result<String> {
    measure_once(count, || (1..=count).try_for_each(&mut act))
}

fn measure_once(count: u64, act: impl FnOnce() -> Result<()>) -> Result<String> {
    let (thread, process, start) = (
        cpu("/proc/thread-self/stat")?,
        cpu("/proc/self/stat")?,
        Instant::now(),
    );
    act()?;
    let per = |seconds: f64| seconds * 1e6 / count as f64;
    let text = format!(
        "{:.2} ({:.2}, {:.2})",
        per(start.elapsed().as_secs_f64()),
        per(cpu("/proc/thread-self/stat")? - thread),
        per(cpu("/proc/self/stat")? - process)
    );
    Ok(format!("{text:>20}"))
}

/// Seconds of CPU so far, in user and kernel mode, as Linux counts them: in hundredths.
fn cpu(file: &str) -> Result<f64> {
    let stat = fs::read_to_string(file)?;
    let (_, fields) = stat.rsplit_once(')').ok_or("a strange /proc")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Keys at random, the same in every run.
struct Keys {
    size: u64,
    state: u64,
}

impl Keys {
    fn next(&mut self) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % self.size
    }
}

/// `[database u16][slot u16][hash u32][key]`, the slot and hash being those of some hash function.
fn make_key(n: u64) -> [u8; 28] {
    let hash = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 28];
    let parts: [&[u8]; 5] = [
        &0_u16.to_be_bytes(),
        &((hash >> 50) as u16).to_be_bytes(),
        &((hash >> 11) as u32).to_be_bytes(),
        b"key:00000000",
        &n.to_be_bytes(),
    ];
    for (place, byte) in key.iter_mut().zip(parts.concat()) {
        *place = byte;
    }
    key
}
