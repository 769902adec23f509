//! A node's clocks. The monotonic one runs at a rate of its own; the wall clock moreover stands
//! wherever it was put, and jumps.

use consensus::Micros;
use replication::Millis;

use crate::queue::Time;

/// When the world begins, by a clock that is right: late in 2023.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;

/// One machine's clocks; they go on over restarts of its process.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Parts per million that it is too fast.
    ppm: i64,
    /// When the rate was last changed, and what the monotonic clock showed then.
    since: Time,
    base: u64,
    /// How far the wall clock is ahead, in milliseconds.
    pub(crate) ahead_ms: i64,
}

impl Clock {
    pub(crate) fn new(ahead_ms: i64, ppm: i64) -> Self {
        Clock {
            ppm,
            since: Time(0),
            // No two machines count from the same origin.
            base: 1_000_000 + ahead_ms.unsigned_abs() % 999_983,
            ahead_ms,
        }
    }

    pub(crate) fn set_rate(&mut self, now: Time, ppm: i64) {
        self.base = self.monotonic(now).0;
        self.since = now;
        self.ppm = ppm;
    }

    pub(crate) fn monotonic(&self, now: Time) -> Micros {
        let elapsed = now.since(self.since) as i64;
        Micros(self.base + (elapsed + elapsed * self.ppm / 1_000_000) as u64)
    }

    pub(crate) fn wall(&self, now: Time) -> Millis {
        let elapsed = (self.monotonic(now).0 / 1_000) as i64;
        Millis((EPOCH_MS as i64 + elapsed + self.ahead_ms).max(0) as u64)
    }

    /// The first true moment at which the monotonic clock shows `local`.
    pub(crate) fn moment(&self, local: Micros) -> Time {
        let ahead = local.0.saturating_sub(self.base);
        let micros = u128::from(ahead) * 1_000_000 / (1_000_000 + self.ppm) as u128;
        // One more, since both divisions round down.
        let at = self.since + u64::try_from(micros).unwrap_or(u64::MAX / 2);
        if self.monotonic(at) < local {
            at + 1
        } else {
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_at_its_moment_and_not_before() {
        for ppm in [-500, -1, 0, 1, 300, 20_000] {
            let clock = Clock::new(17, ppm);
            for local in (2_000_000..2_300_000).step_by(777).map(Micros) {
                let at = clock.moment(local);
                assert!(clock.monotonic(at) >= local, "{ppm} {local:?}");
                assert!(clock.monotonic(Time(at.0 - 2)) < local, "{ppm} {local:?}");
            }
        }
    }

    #[test]
    fn a_change_of_rate_does_not_turn_time_back() {
        let mut clock = Clock::new(0, 1_000);
        let before = clock.monotonic(Time::ms(5_000));
        clock.set_rate(Time::ms(5_000), -1_000);
        assert_eq!(clock.monotonic(Time::ms(5_000)), before);
    }
}
