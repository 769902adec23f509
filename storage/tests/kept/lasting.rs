//! What every backend that keeps something must pass besides the suite: opening again, killing, and
//! what its directory says.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use storage::conformance::kill::{check_units, write_units};
use storage::{Backend, CopiedRows, Engine, Flush};

/// Names the directory in which this process is the one to be killed.
const PLACE: &str = "STORAGE_KILL_PLACE";

/// Kills a writing process, which is this test run again, at different moments.
pub(crate) fn kill_nine_leaves_a_prefix_of_the_units<B: Backend>(
    test: &str,
    backend: impl Fn() -> B,
) {
    if let Some(place) = std::env::var_os(PLACE) {
        let mut engine = backend().open(Path::new(&place)).unwrap();
        let mut out = std::io::stdout();
        let never = |unit, durable| writeln!(out, "at {unit} {durable}").is_ok();
        write_units(&mut engine, never).unwrap();
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let engine = place.path().join("engine-1");
    let mut at_least = 0;
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(PLACE, &engine)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut committed, mut durable) = (0, 0);
        let mut seen = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(rest) = line.strip_prefix("at ") else {
                continue;
            };
            let (unit, kept) = rest.split_once(' ').unwrap();
            (committed, durable) = (unit.parse().unwrap(), kept.parse().unwrap());
            seen += 1;
            // Once in the middle of everything, once shortly after it has begun.
            if seen == 70 + round * 1_130 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen > 0, "round {round}: the child wrote nothing");
        at_least = durable.max(at_least);
        let found = check_units(&backend().open(&engine).unwrap()).unwrap();
        assert!(
            found >= at_least && found <= committed + 1,
            "round {round}: at unit {found}, durable was {at_least}, committed {committed}"
        );
        at_least = found;
    }
    assert!(at_least > 300, "only {at_least} units were ever durable");
}

/// What was flushed is there when it is opened again; what was loaded too, at once.
pub(crate) fn what_is_durable_is_there_again(backend: &impl Backend) {
    let place = tempfile::tempdir().unwrap();
    let (one, other) = (place.path().join("engine-1"), place.path().join("engine-2"));
    let mut engine = backend.open(&one).unwrap();
    engine.put(b"key", b"value").unwrap();
    engine.commit().unwrap();
    assert_eq!(engine.flush().unwrap(), Flush::Started);
    let start = Instant::now();
    while engine.get_durable(b"key").unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "never durable");
        thread::sleep(Duration::from_millis(1));
    }
    drop(engine);
    let engine = backend.open(&one).unwrap();
    assert_eq!(&*engine.get(b"key").unwrap().unwrap(), b"value");
    assert_eq!(engine.get_durable(b"key").unwrap().unwrap(), b"value");
    let mut engine = backend.open(&other).unwrap();
    let rows = (0..10_000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![7; 100]));
    engine.load(&mut CopiedRows::new(rows.collect())).unwrap();
    let last = 9_999_u32.to_be_bytes();
    assert_eq!(engine.get_durable(&last).unwrap().unwrap(), vec![7; 100]);
    drop(engine);
    let engine = backend.open(&other).unwrap();
    assert_eq!(&*engine.get(&last).unwrap().unwrap(), [7; 100]);
    drop(engine);
    backend.remove(&other).unwrap();
    backend.remove(&other).unwrap();
    assert!(!other.exists());
}

/// Two processes on one directory would destroy it.
pub(crate) fn an_engine_is_open_only_once(backend: &impl Backend) {
    let place = tempfile::tempdir().unwrap();
    let engine = backend.open(place.path()).unwrap();
    let error = backend
        .open(place.path())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.contains("could not open"), "{error}");
    drop(engine);
    drop(backend.open(place.path()).unwrap());
}
