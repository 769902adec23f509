//! Writes the seeds of every corpus anew: `cargo run --release -p fuzz --bin seeds`.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in fuzz::TARGETS {
        let directory = corpus.join(target.name);
        fs::create_dir_all(&directory)?;
        for (name, bytes) in fuzz::seeds(target.name) {
            fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(())
}
