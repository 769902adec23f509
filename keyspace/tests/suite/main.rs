//! Sessions and the state machine together, over a node of one.

#![expect(clippy::unwrap_used, reason = "a test that unwraps asserts")]

mod clients;
mod cluster;
mod commands;
mod commands_page;
mod connection;
mod determinism;
mod differential;
mod expiry;
mod harness;
mod hostile;
mod iteration;
mod order;
mod pipelines;
mod table;
