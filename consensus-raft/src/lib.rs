//! Raft as a state machine without I/O, behind Lockstep's [`consensus`] contract.
#![no_std]

extern crate alloc;

mod config;
mod deliver;
mod durability;
mod election;
mod follow;
mod hard_state;
mod log;
mod message;
mod progress;
mod raft;
mod random;
mod read;
mod recover;
mod replicate;
mod snapshot;

pub use config::{Config, ConfigError};
pub use message::{Message, ReadId};
pub use raft::Raft;
