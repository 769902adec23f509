//! The node's clocks, read once per turn: all that happens in a turn happens at one time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use consensus::Micros;
use replication::Millis;

/// Both clocks, as last read.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    now: Micros,
    wall: Millis,
}

impl Default for Clock {
    fn default() -> Self {
        let mut clock = Clock {
            origin: Instant::now(),
            now: Micros(0),
            wall: Millis(0),
        };
        clock.read();
        clock
    }
}

impl Clock {
    /// Reads both.
    pub(super) fn read(&mut self) -> (Micros, Millis) {
        self.now = Micros(whole(self.origin.elapsed().as_micros()));
        // A clock before 1970 is as good as none: group time then waits for the other nodes.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        self.wall = Millis(whole(since_1970.unwrap_or_default().as_millis()));
        (self.now, self.wall)
    }

    /// The monotonic clock as last read, since the node started.
    pub(super) fn now(&self) -> Micros {
        self.now
    }

    /// The wall clock as last read.
    pub(super) fn wall(&self) -> Millis {
        self.wall
    }

    /// The moment `at` on the host's clock.
    pub(super) fn instant(&self, at: Micros) -> Instant {
        self.origin + std::time::Duration::from_micros(at.0)
    }
}

/// Half a million years fit.
fn whole(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
