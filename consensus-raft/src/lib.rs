//! consensus-raft
