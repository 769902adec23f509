//! Lockstep from outside: real processes, real clients, real faults.
//!
//! One program, so that it is linked once; nextest runs every test in a process of its
//! own. What is needed besides Rust (redis-tools, python3 with redis-py) is installed by
//! `make setup`; a test that misses it says so and fails.

mod auth;
mod clients;
mod damage;
mod expiry;
mod faults;
mod hostile;
mod python;
mod snapshots;
mod support;
