//! How long to wait before dialing again: exponential, with jitter, so that peers which lost
//! each other at the same moment do not come back at the same moment.

use std::time::Duration;

/// The bounds of the wait, and the seed of its jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait, before jitter. 10 ms.
    pub min: Duration,
    /// The longest wait, before jitter. 1 s.
    pub max: Duration,
    /// A connection that lived this long was a good one: the next wait is the first again. 1 s.
    pub stable_after: Duration,
    /// Seed of the jitter. Nodes should differ in it; a test fixes it.
    pub seed: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            min: Duration::from_millis(10),
            max: Duration::from_secs(1),
            stable_after: Duration::from_secs(1),
            seed: 0,
        }
    }
}

/// The waits of one dialer.
#[derive(Debug)]
pub(crate) struct Waits {
    bounds: Backoff,
    next: Duration,
    random: u64,
}

impl Waits {
    /// Waits within `bounds`; `stream` tells apart dialers that share a seed.
    pub(crate) fn new(bounds: Backoff, stream: u64) -> Self {
        Waits {
            bounds,
            next: bounds.min,
            random: bounds.seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93),
        }
    }

    /// The next wait: between half of the current step and all of it. The step then doubles.
    pub(crate) fn next(&mut self) -> Duration {
        let step = self.next.min(self.bounds.max);
        self.next = step.saturating_mul(2).min(self.bounds.max);
        // 53 bits are what an f64 holds exactly; the result lies in [0, 1).
        let fraction = (self.random() >> 11) as f64 / (1u64 << 53) as f64;
        step.mul_f64(0.5 + fraction / 2.0)
    }

    /// Tells how long a connection lived, from its completed handshake to its end.
    pub(crate) fn lived(&mut self, time: Duration) {
        if time >= self.bounds.stable_after {
            self.next = self.bounds.min;
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): one addition of state, enough for jitter.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_with_jitter_below_each_step() {
        let mut waits = Waits::new(Backoff::default(), 1);
        for step in [10, 20, 40, 80, 160, 320, 640, 1000, 1000] {
            let (wait, step) = (waits.next(), Duration::from_millis(step));
            assert!(step / 2 <= wait && wait <= step, "{wait:?} of {step:?}");
        }
    }

    #[test]
    fn only_a_connection_that_lived_a_while_starts_over() {
        let mut waits = Waits::new(Backoff::default(), 1);
        for _ in 0..6 {
            waits.next();
        }
        waits.lived(Duration::from_millis(999));
        assert!(waits.next() >= Duration::from_millis(320));
        waits.lived(Duration::from_secs(1));
        assert!(waits.next() <= Duration::from_millis(10));
    }

    #[test]
    fn the_seed_decides_the_jitter_and_streams_differ() {
        let run = |seed, stream| {
            let bounds = Backoff {
                seed,
                ..Backoff::default()
            };
            let mut waits = Waits::new(bounds, stream);
            std::array::from_fn::<_, 8, _>(|_| waits.next())
        };
        assert_eq!(run(7, 1), run(7, 1));
        assert_ne!(run(7, 1), run(7, 2));
        assert_ne!(run(7, 1), run(8, 1));
    }
}
