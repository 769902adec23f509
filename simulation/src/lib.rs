#![doc = include_str!("../README.md")]

mod checks;
mod clock;
mod digest;
pub mod exhaustive;
mod lines;
mod lockstep;
mod log_writer;
mod network;
mod node;
mod observed;
mod plan;
mod queue;
mod random;
mod redis;
mod run;
pub mod shrink;
mod snapshots;
mod subject;
pub mod timeline;
mod trace;
mod versions;
mod world;

pub use checks::{Finding, linearizability};
pub use lines::{LinePort, line_answer};
pub use lockstep::Lockstep;
pub use plan::{Fault, Interruption, Plan, Planned, Weather, Who};
pub use queue::Time;
pub use random::Random;
pub use redis::Redis;
pub use run::{Keep, Report, run, run_plan};
pub use subject::{Answer, Ballot, Claim, Gate, Message, Outcome, Port, Service, Subject, Vote};
pub use trace::Trace;
pub use versions::Versioned;
pub use world::Counts;
