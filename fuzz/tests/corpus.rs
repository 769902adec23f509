//! Every input of the corpus, through its target: what a fuzzer once found stays found.

use std::fs;
use std::path::{Path, PathBuf};

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let files = fs::read_dir(&directory).expect("a corpus");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).expect("its bytes")))
        .collect()
}

/// As they are, and cut short everywhere or in many places: what is torn must not matter either.
fn replay(name: &str) {
    let run = fuzz::target(name);
    let inputs = inputs(name);
    assert!(inputs.len() > 5, "hardly any corpus");
    for (path, bytes) in inputs {
        println!("{}", path.display());
        run(&bytes);
        let step = bytes.len() / 64 + 1;
        for end in (0..bytes.len()).step_by(step) {
            run(&bytes[..end]);
        }
    }
}

#[test]
fn requests_keep_their_promises_on_the_corpus() {
    replay("requests");
}

#[test]
fn peer_frames_keep_their_promises_on_the_corpus() {
    replay("peer_frames");
}

#[test]
fn log_records_keep_their_promises_on_the_corpus() {
    replay("log_records");
}

#[test]
fn snapshots_keep_their_promises_on_the_corpus() {
    replay("snapshots");
}

#[test]
fn the_configuration_keeps_its_promises_on_the_corpus() {
    replay("configuration");
}

#[test]
fn the_seeds_are_what_our_encoders_write() {
    for target in fuzz::TARGETS {
        let committed = inputs(target.name);
        for (name, bytes) in fuzz::seeds(target.name) {
            let found = committed.iter().find(|(path, _)| path.ends_with(&name));
            assert!(
                found.is_some_and(|(_, found)| *found == bytes),
                "{}/{name} is not what is written now: cargo run --release -p fuzz --bin seeds",
                target.name
            );
        }
    }
}
