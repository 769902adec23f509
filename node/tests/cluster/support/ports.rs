//! Ports that no other test uses at the same time, whichever process it runs in.
//!
//! A block is claimed by locking a file; the kernel gives the lock back however the
//! process ends. The ports lie below the range from which outgoing connections draw.

use std::{
    fs::{self, File, TryLockError},
    net::TcpListener,
};

const FIRST: u16 = 21_000;
const BLOCKS: u16 = 300;
const BLOCK: u16 = 12;

/// A block of ports.
pub(crate) struct PortBlock {
    first: u16,
    _lock: File,
}

impl PortBlock {
    /// Claims a block of which every port is free.
    pub(crate) fn claim() -> Self {
        let directory = std::env::temp_dir().join("lockstep-test-ports");
        fs::create_dir_all(&directory).expect("a directory for the locks");
        // Start somewhere else each time: a port that was just in use may linger.
        let start = (std::process::id() % u32::from(BLOCKS)) as u16;
        for nth in (0..BLOCKS).map(|nth| (start + nth) % BLOCKS) {
            let path = directory.join(nth.to_string());
            let lock = File::options()
                .create(true)
                .append(true)
                .open(path)
                .expect("a lock file");
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => panic!("cannot lock a port block: {error}"),
            }
            let first = FIRST + nth * BLOCK;
            if (first..first + BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Self { first, _lock: lock };
            }
        }
        panic!("all blocks of ports are in use");
    }

    /// One of its ports.
    pub(crate) fn nth(&self, nth: usize) -> u16 {
        assert!(nth < usize::from(BLOCK), "a block has {BLOCK} ports");
        self.first + nth as u16
    }
}
