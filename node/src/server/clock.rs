//! The node's clocks, read once per turn: all that happens in a turn happens at one time.
//!
//! A turn in which the node waited, for a disk or for a core, does not count in full. Meanwhile it
//! did not listen, and whatever its peers said is still in its sockets: a follower that went by the
//! true time would find its leader silent and stand for election, against a leader that is well.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consensus::Micros;
use replication::Millis;

/// How much of a turn counts.
const TURN_MAX: Duration = Duration::from_millis(100);

/// Both clocks, as last read.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// What does not count.
    deaf: Duration,
    now: Micros,
    wall: Millis,
}

impl Default for Clock {
    fn default() -> Self {
        let mut clock = Clock {
            origin: Instant::now(),
            deaf: Duration::ZERO,
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
        self.now = self.counted();
        // A clock before 1970 is as good as none: group time then waits for the other nodes.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        self.wall = Millis(whole(since_1970.unwrap_or_default().as_millis()));
        (self.now, self.wall)
    }

    fn counted(&self) -> Micros {
        let counted = self.origin.elapsed().saturating_sub(self.deaf);
        Micros(whole(counted.as_micros()))
    }

    /// Ends a turn that took so long. What has been read counts: time neither goes back nor stands
    /// still until it has come there again, since nothing that is due would happen meanwhile.
    pub(super) fn end_turn(&mut self, took: Duration) {
        let unread = Duration::from_micros(self.counted().since(self.now).0);
        let deaf = took.saturating_sub(TURN_MAX).min(unread);
        if !deaf.is_zero() {
            self.deaf += deaf;
            tracing::debug!(?took, "a turn took long, and does not count in full");
        }
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
        self.origin + self.deaf + Duration::from_micros(at.0)
    }
}

/// Half a million years fit.
fn whole(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_in_which_the_node_did_not_listen_counts_for_a_tenth_of_a_second() {
        let mut clock = Clock::default();
        clock.origin -= Duration::from_secs(10);
        let before = clock.read().0;
        clock.origin -= Duration::from_secs(5);
        clock.end_turn(Duration::from_secs(5));
        let passed = clock.read().0.0 - before.0;
        assert!((100_000..1_000_000).contains(&passed), "{passed} µs");
        let at = Micros(clock.now().0 + 1_000_000);
        let wait = clock.instant(at).saturating_duration_since(Instant::now());
        assert!(
            wait <= Duration::from_secs(1) && wait > Duration::from_millis(500),
            "{wait:?}"
        );
    }

    #[test]
    fn a_clock_that_was_read_within_such_a_turn_neither_goes_back_nor_stands_still() {
        let mut clock = Clock::default();
        clock.origin -= Duration::from_secs(5);
        let within = clock.read().0;
        clock.end_turn(Duration::from_secs(5));
        assert!(clock.read().0 >= within);
        clock.origin -= Duration::from_secs(1);
        let passed = clock.read().0.0 - within.0;
        assert!((1_000_000..2_000_000).contains(&passed), "{passed} µs");
    }
}
