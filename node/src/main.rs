//! The binary `lockstep`: what composes the crates into a node.
//!
//! This is the shell: command line, configuration, directory, admin endpoint, and the supervisor
//! of `lockstep local`. What a node does at work is in [`server`]. Whatever is wrong with how it is
//! started is said in one sentence on standard error, with exit code 2; what goes wrong later ends
//! with exit code 1.

mod admin;
mod cli;
mod config;
mod directory;
mod inspect;
mod local;
mod logging;
mod server;
mod start;
mod status;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

/// What ends the process, with its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: Box<dyn Error>,
}

impl Failure {
    /// It was started in a way it cannot work.
    fn usage(error: impl Into<Box<dyn Error>>) -> Failure {
        Failure {
            code: 2,
            error: error.into(),
        }
    }

    /// It could not go on.
    fn work(error: impl Into<Box<dyn Error>>) -> Failure {
        Failure {
            code: 1,
            error: error.into(),
        }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Start(start) => start::run(&start).map(|()| ExitCode::SUCCESS),
        Command::Local(local) => local::run(&local).map(|()| ExitCode::SUCCESS),
        Command::Status(status) => show(&status),
        Command::Inspect(inspect) => look_into(&inspect),
    };
    done.unwrap_or_else(|Failure { code, error }| {
        eprintln!("lockstep: {error}");
        ExitCode::from(code)
    })
}

/// `lockstep status`.
fn show(args: &cli::Status) -> Result<ExitCode, Failure> {
    let answers = runtime()
        .map_err(Failure::work)?
        .block_on(status::command::ask(&args.admin));
    if args.json {
        say(status::command::json(&answers));
    } else {
        say(status::command::table(&answers));
    }
    match status::command::trouble(&answers) {
        None => Ok(ExitCode::SUCCESS),
        // The JSON says what is wrong.
        Some(_) if args.json => Ok(ExitCode::FAILURE),
        Some(trouble) => Err(Failure::work(trouble)),
    }
}

/// `lockstep inspect`.
fn look_into(args: &cli::Inspect) -> Result<ExitCode, Failure> {
    let found = inspect::inspect(&args.dir).map_err(Failure::usage)?;
    if args.json {
        say(serde_json::to_string_pretty(&found).map_err(Failure::work)?);
    } else {
        say(&found);
    }
    Ok(match found.is_damaged() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// One thread, which the event loop owns.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Prints a line. Nobody reading any more, as behind `| head`, is no reason to stop.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
