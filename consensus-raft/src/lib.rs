#![doc = include_str!("../README.md")]
//!
//! ## How the code is laid out
//!
//! `raft.rs` holds the struct, takes inputs and hands out outputs. What each input means is split
//! by topic into `impl Raft` blocks: `election`, `replicate` and `append` (the leader's side), `follow` (the
//! follower's), `read`, `deliver` (commits and read-backs), `snapshot`, `recover`. Below them stand
//! pieces that know nothing of Raft's rules and are tested on their own: `log`, `progress`,
//! `durability`, `hard_state`, `random`.
//!
//! ## Sources
//!
//! Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (extended version):
//! elections §5.2, replication §5.3, safety §5.4, figure 2 as a whole. Ongaro's thesis: pre-vote
//! §9.6, check-quorum §6.2, ReadIndex §6.4, writing in parallel §10.2.1. The states of a peer's
//! progress are etcd's.
//!
//! ## Invariants
//!
//! * A message leaves only while its sender's term and vote are durable.
//! * An acknowledgement says the durable part of what is known to be the leader's log.
//! * Only an entry of the leader's own term is committed by counting.
//! * `delivered ≤ commit_index ≤ last`; what is committed is never truncated.
//! * A write leaves before anything that depends on it.
//!
//! ## What is left out, for now
//!
//! Change of membership (requests for it are refused as invalid; quorums already count jointly),
//! leadership transfer (ignored), lease reads (served as quorum reads). Of a snapshot's membership
//! the newest installed counts: entries that change it do not exist yet.
#![no_std]

extern crate alloc;

mod append;
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
pub use hard_state::describe as describe_hard_state;
pub use message::{Message, ReadId};
pub use raft::Raft;
