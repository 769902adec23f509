//! Every case of the contract's conformance kit, as a test of its own.

use consensus_raft::{Config, Raft};

consensus::conformance_suite!(Raft, Config::new);
