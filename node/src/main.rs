//! lockstep
mod config;
fn main() {}
