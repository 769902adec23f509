//! `simulate`: runs seeds, replays one, shortens one, draws one.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Panics of the code under test are findings, and are reported as such.
    std::panic::set_hook(Box::new(|_| {}));
    match cli::Task::parse(std::env::args().skip(1)) {
        Ok(task) => task.run(),
        Err(why) => {
            eprintln!("{why}\n\n{}", cli::USAGE);
            ExitCode::from(2)
        }
    }
}
