//! What is done about input that no honest peer sends: it is counted, traced and dropped.
//!
//! The counter is exact. The log is not, on purpose: whoever floods the port must not flood
//! the disk, so past [`LINES_PER_SECOND`] sentences wait for the next second and are then
//! summed up in one number.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

const LINES_PER_SECOND: u32 = 10;

/// Counts and traces rejections of one transport.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    /// Taken once per rejected connection, never per frame.
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    started: Option<Instant>,
    lines: u32,
    withheld: u64,
}

impl Rejections {
    /// Counts a rejection under `label`, and says who was rejected and why.
    pub(crate) fn reject(
        &self,
        who: &dyn fmt::Display,
        label: &'static str,
        why: &dyn fmt::Display,
    ) {
        metrics::counter!("lockstep_peer_rejected_total", "reason" => label).increment(1);
        match self.line() {
            Some(0) => tracing::warn!(reason = label, "rejected {who}: {why}"),
            Some(withheld) => tracing::warn!(
                reason = label,
                withheld,
                "rejected {who}: {why} (and {withheld} rejections not written out)"
            ),
            None => tracing::debug!(reason = label, "rejected {who}: {why}"),
        }
    }

    /// Whether a line may be written now, and how many were not since the last one.
    fn line(&self) -> Option<u64> {
        // A poisoned lock only means that some other rejection panicked; the window is plain
        // numbers and as good as before.
        let mut window = self.window.lock().unwrap_or_else(|e| e.into_inner());
        let now = Instant::now();
        if window
            .started
            .is_none_or(|started| now - started >= Duration::from_secs(1))
        {
            window.started = Some(now);
            window.lines = 0;
        }
        if window.lines == LINES_PER_SECOND {
            window.withheld += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_summed_up_once_per_second() {
        let rejections = Rejections::default();
        let lines = (0..100).filter_map(|_| rejections.line()).count();
        assert_eq!(lines, LINES_PER_SECOND as usize);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rejections.line(), Some(90));
        assert_eq!(rejections.line(), Some(0));
    }
}
