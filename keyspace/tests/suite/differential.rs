//! Random commands, given to this keyspace and to a real Redis: every reply must be the same, byte
//! for byte, but for the differences in [`oracle::ALLOWED`].
//!
//! The oracle is the `redis-server` that Debian has, 7.0; it is started here, on a port of its own,
//! and ended here. Both sides go by the machine's clock, so expiries are either past or far away,
//! and remaining times may differ by [`oracle::SLACK_MS`].
//!
//! `DIFFERENTIAL_SEED=n DIFFERENTIAL_COMMANDS=m` choose what is tried. A round begins with empty
//! databases, has a seed of its own, and on a difference prints what led to it.

mod commands;
mod oracle;

use std::time::{SystemTime, UNIX_EPOCH};

use keyspace::Settings;

use self::commands::{Chance, all_keys, command};
use self::oracle::{Oracle, difference};
use crate::harness::{Client, request};

/// How many commands share a state before everything is emptied.
const ROUND: u64 = 2_000;

/// How many commands are sent together.
const BATCH: u64 = 100;

pub(super) const DATABASES: u16 = 4;

/// A request: its name and arguments.
pub(super) type Command = Vec<Vec<u8>>;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Both servers, and what they were told in this round.
struct Pair {
    client: Client,
    oracle: Oracle,
    history: Vec<Command>,
    compared: u64,
    allowed: u64,
}

impl Pair {
    fn new() -> Self {
        let settings = Settings {
            databases: DATABASES,
            proto_max_bulk_len: 512 << 20,
            ..Settings::default()
        };
        Pair {
            client: Client::with(settings),
            oracle: Oracle::start(),
            history: Vec::new(),
            compared: 0,
            allowed: 0,
        }
    }

    /// Gives both the same commands; the replies of ours, once they are known to be the same.
    fn run(&mut self, commands: Vec<Command>) -> Result<Vec<Vec<u8>>, String> {
        let theirs = self.oracle.run(&commands);
        let mut replies = Vec::new();
        for (command, theirs) in commands.into_iter().zip(theirs) {
            let args: Vec<&[u8]> = command.iter().map(|arg| &arg[..]).collect();
            self.client.node.now_ms = now_ms();
            self.client.feed(&request(&args));
            self.client.settle();
            let ours = self.client.output();
            self.history.push(command);
            let command = self.history.last().unwrap();
            match difference(command, &ours, &theirs) {
                Ok(allowed) => self.allowed += u64::from(allowed),
                Err(()) => {
                    return Err(format!(
                        "{}\nours:   {}\nRedis': {}",
                        self.shown(),
                        ours.escape_ascii(),
                        theirs.escape_ascii()
                    ));
                }
            }
            self.compared += 1;
            replies.push(ours);
        }
        Ok(replies)
    }

    /// What was said in this round, as redis-cli would take it.
    fn shown(&self) -> String {
        let line = |command: &Command| {
            let args = command
                .iter()
                .map(|arg| format!("\"{}\"", arg.escape_ascii()));
            args.collect::<Vec<_>>().join(" ")
        };
        let lines = self.history.iter().map(line);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Everything that is in the databases.
    fn compare_state(&mut self) -> Result<(), String> {
        for database in 0..DATABASES {
            let select = words(&["SELECT", &database.to_string()]);
            // Redis counts keys whose time has come until somebody looks for them.
            let mut look = words(&["EXISTS"]);
            look.extend(all_keys());
            let all = vec![select, words(&["KEYS", "*"]), look, words(&["DBSIZE"])];
            let replies = self.run(all)?;
            let mut commands = Vec::new();
            for key in oracle::elements(&replies[1]) {
                for name in ["GET", "PEXPIRETIME", "TYPE", "STRLEN"] {
                    commands.push(vec![name.into(), key.clone()]);
                }
                commands.push(vec![b"OBJECT".into(), b"ENCODING".into(), key]);
            }
            self.run(commands)?;
        }
        Ok(())
    }

    fn round(&mut self, seed: u64) -> Result<(), String> {
        let mut chance = Chance::new(seed);
        self.history.clear();
        let protocol = if seed.is_multiple_of(2) { "2" } else { "3" };
        self.run(vec![
            words(&["HELLO", protocol]),
            words(&["FLUSHALL"]),
            words(&["SELECT", "0"]),
        ])?;
        for _ in 0..ROUND / BATCH {
            let batch = (0..BATCH).map(|_| command(&mut chance)).collect();
            self.run(batch)?;
            self.compare_state()?;
        }
        Ok(())
    }
}

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn a_hundred_thousand_commands_are_answered_as_redis_answers_them() {
    let (seed, commands) = (
        setting("DIFFERENTIAL_SEED", 1),
        setting("DIFFERENTIAL_COMMANDS", 100_000),
    );
    let mut pair = Pair::new();
    for round in 0..commands.div_ceil(ROUND) {
        let seed = seed + round;
        if let Err(shown) = pair.round(seed) {
            panic!("{shown}\nagain: DIFFERENTIAL_SEED={seed} DIFFERENTIAL_COMMANDS={ROUND}");
        }
    }
    assert!(pair.compared >= commands);
    println!(
        "{} replies compared, {} of them different as they may be",
        pair.compared, pair.allowed
    );
}
