//! How many bytes may be sent now: so many per second, a burst's worth at most at once.

use consensus::Micros;

/// A bucket that fills at a steady rate.
#[derive(Debug)]
pub(crate) struct Budget {
    per_second: u64,
    burst: u64,
    /// Bytes that may be sent, in millionths, so that slow rates lose nothing to rounding.
    left: u128,
    filled_at: Micros,
}

const MILLION: u128 = 1_000_000;

impl Budget {
    /// A full bucket. A rate of zero would never send anything, and counts as one byte.
    pub(crate) fn new(per_second: u64, burst: u64) -> Self {
        Budget {
            per_second: per_second.max(1),
            burst: burst.max(1),
            left: u128::from(burst.max(1)) * MILLION,
            filled_at: Micros(0),
        }
    }

    /// Takes `bytes` if there are so many, or if the bucket is as full as it gets.
    pub(crate) fn take(&mut self, now: Micros, bytes: u64) -> bool {
        self.fill(now);
        let wanted = u128::from(bytes.min(self.burst)) * MILLION;
        let enough = self.left >= wanted;
        if enough {
            self.left -= wanted;
        }
        enough
    }

    /// When `bytes` may be taken.
    pub(crate) fn ready_at(&self, bytes: u64) -> Micros {
        let wanted = u128::from(bytes.min(self.burst)) * MILLION;
        let missing = wanted.saturating_sub(self.left);
        let wait = missing.div_ceil(u128::from(self.per_second));
        self.filled_at + Micros(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    fn fill(&mut self, now: Micros) {
        let span = u128::from(now.since(self.filled_at).0);
        let full = u128::from(self.burst) * MILLION;
        self.left = full.min(self.left + span * u128::from(self.per_second));
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_no_more_is_taken_than_the_rate_and_one_burst() {
        let mut budget = Budget::new(1_000, 100);
        let mut taken = 0;
        for ms in 0..2_000 {
            while budget.take(Micros::from_millis(ms), 30) {
                taken += 30;
            }
        }
        assert!((2_000..=2_100).contains(&taken), "{taken}");
    }

    #[test]
    fn it_says_when_enough_will_be_there() {
        let mut budget = Budget::new(1_000, 100);
        assert!(budget.take(Micros(0), 100));
        let at = budget.ready_at(50);
        assert_eq!(at, Micros::from_millis(50));
        assert!(!budget.take(Micros(at.0 - 1), 50));
        assert!(budget.take(at, 50));
    }

    #[test]
    fn more_than_a_burst_waits_for_a_full_bucket_and_no_longer() {
        let mut budget = Budget::new(1_000, 100);
        assert!(budget.take(Micros(0), 5_000));
        assert_eq!(budget.ready_at(5_000), Micros::from_millis(100));
    }
}
