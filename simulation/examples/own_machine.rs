//! A state machine of your own in the world: counters that can be added to and looked at, kept in
//! step by the product's Raft. Run with `cargo run --release -p simulation --example own_machine`.
//! A protocol of your own goes the same way: it is `Subject::Core`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use consensus::{Consensus as _, NodeId, Position, Recovered};
use consensus_raft::{Config, Raft};
use replication::{EntryInfo, Millis, Query, StateMachine};
use simulation::{Answer, Keep, LinePort, Random, Service, Subject, line_answer, run};

/// The state machine: `KEY BY` adds, `KEY` looks.
#[derive(Default)]
struct Counters {
    values: BTreeMap<String, i64>,
    at: Position,
}

impl StateMachine for Counters {
    type Error = Infallible;

    fn applied(&self) -> Position {
        self.at
    }

    fn begin(&mut self, entry: EntryInfo<'_>) -> Result<(), Infallible> {
        self.at = entry.position;
        Ok(())
    }

    fn apply(&mut self, command: &[u8], reply: Option<&mut Vec<u8>>) -> Result<(), Infallible> {
        let line = String::from_utf8_lossy(command);
        let (key, by) = line.split_once(' ').unwrap_or((&line, "0"));
        let value = self.values.entry(key.to_owned()).or_default();
        *value += by.parse::<i64>().unwrap_or(0);
        if let Some(reply) = reply {
            reply.extend(value.to_string().bytes());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn query(&self, key: &[u8], _: Millis, reply: &mut Vec<u8>) -> Result<Query, Infallible> {
        let value = self.values.get(&*String::from_utf8_lossy(key));
        reply.extend(value.copied().unwrap_or(0).to_string().bytes());
        Ok(Query::Answered)
    }
}

/// What clients do: `Some(by)` adds, `None` looks. And what they may expect: a number that grows.
#[derive(Clone)]
struct Counting;

impl Service for Counting {
    type Call = Option<i64>;
    type Reply = String;
    type State = i64;
    type Port = LinePort;

    fn pipeline(&self) -> usize {
        1
    }

    fn port(&self, _: u64, _: Millis) -> LinePort {
        LinePort::default()
    }

    fn call(&self, random: &mut Random, _: u64, _: u64) -> Option<i64> {
        random.chance(500).then(|| 1 + random.below(9) as i64)
    }

    fn look(&self, _: u64) -> Option<i64> {
        None
    }

    fn is_read(&self, call: &Option<i64>) -> bool {
        call.is_none()
    }

    fn encode(&self, key: u64, call: &Option<i64>, out: &mut Vec<u8>) {
        let line = match call {
            Some(by) => format!("k{key} {by}\n"),
            None => format!("?k{key}\n"),
        };
        out.extend(line.bytes());
    }

    fn decode(&self, _: &Option<i64>, bytes: &[u8]) -> Option<(usize, Answer<String>)> {
        line_answer(bytes)
    }

    fn initial(&self, _: u64) -> i64 {
        0
    }

    fn step(&self, state: &i64, call: &Option<i64>, reply: Option<&String>) -> Option<i64> {
        let next = state + call.unwrap_or(0);
        reply
            .is_none_or(|reply| *reply == next.to_string())
            .then_some(next)
    }
}

/// What is put into the world.
#[derive(Clone)]
struct Mine;

impl Subject for Mine {
    type Core = Raft;
    type Machine = Counters;
    type Service = Counting;

    fn core(&self, node: NodeId, seed: u64, recovered: Recovered) -> Raft {
        Raft::new(Config::new(node), seed, recovered)
    }

    fn machine(&self) -> Counters {
        Counters::default()
    }

    fn digest(&self, machine: &Counters) -> u64 {
        let values = machine.values.values();
        values.fold(0, |digest, value| {
            digest.wrapping_mul(31).wrapping_add(*value as u64)
        })
    }

    fn service(&self) -> Counting {
        Counting
    }
}

pub(crate) fn main() {
    for seed in 0..20 {
        let report = run(&Mine, seed, Keep::default());
        let (calls, faults) = (
            report.counts.calls,
            report.counts.faults.values().sum::<u64>(),
        );
        match report.finding {
            None => println!("seed {seed}: {calls} calls, {faults} faults, nothing found"),
            Some(finding) => panic!("seed {seed}: {finding}"),
        }
    }
}
