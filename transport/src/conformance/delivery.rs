//! What is sent arrives: whole, in order, on its channel, in time.

use std::time::Duration;

use bytes::Bytes;

use super::frames::{numbered, read};
use super::{Network, Pair, Violation};
use crate::{Channel, Event, NodeId, Transport};

const LOWER: NodeId = NodeId(1);
const GREATER: NodeId = NodeId(2);

/// Both nodes learn who the other is, on both channels.
///
/// # Errors
/// The violation.
pub async fn connects_on_both_channels<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::started(network).await;
    pair.introduce();
    pair.meet().await?;
    for (node, peer) in [
        (&pair.lower, pair.greater.identity),
        (&pair.greater, pair.lower.identity),
    ] {
        for channel in Channel::ALL {
            let connected = Event::Connected { peer, channel };
            if node.events.iter().filter(|e| **e == connected).count() != 1 {
                return Err(Violation::new(format!(
                    "{} was not told once that {peer:?} connected on {channel}",
                    node.identity.node
                )));
            }
        }
    }
    Ok(())
}

/// Frames of all sizes, on both channels and in both directions at once, arrive in the order
/// of their channel and direction.
///
/// # Errors
/// The violation.
pub async fn keeps_order_within_a_channel<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::connected(network).await?;
    let (mut at_lower, mut at_greater) = (Series::default(), Series::default());
    for number in 0..2000 {
        for channel in Channel::ALL {
            let size = (number as usize * 37) % 5000;
            let (series, payload) = (channel.index() as u64, |s| numbered(s, number, size));
            pair.lower.send(GREATER, channel, payload(series))?;
            pair.greater.send(LOWER, channel, payload(series))?;
        }
        if number % 100 == 99 {
            pair.until("100 frames on each channel", |pair| {
                at_lower.take(&mut pair.lower.events);
                at_greater.take(&mut pair.greater.events);
                at_lower.reached(number) && at_greater.reached(number)
            })
            .await?;
        }
    }
    at_lower.verdict.and(at_greater.verdict)
}

/// A hundred thousand frames of 16 bytes, sent in bursts, arrive in order.
///
/// # Errors
/// The violation.
pub async fn delivers_many_small_frames<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::connected(network).await?;
    let mut seen = Series::default();
    for burst in 0..10 {
        let (first, end) = (burst * 10_000, (burst + 1) * 10_000);
        for number in first..end {
            for channel in Channel::ALL {
                let payload = numbered(channel.index() as u64, number, 16);
                pair.greater.send(LOWER, channel, payload)?;
            }
        }
        pair.until("a burst of small frames", |pair| {
            seen.take(&mut pair.lower.events);
            seen.reached(end - 1)
        })
        .await?;
    }
    seen.verdict
}

/// Frames of 32 MiB arrive whole in both directions; so do empty ones between them.
///
/// # Errors
/// The violation.
pub async fn delivers_large_frames<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::connected(network).await?;
    let large = numbered(7, 7, 32 << 20);
    for round in 0..2 {
        pair.lower.send(GREATER, Channel::Bulk, large.clone())?;
        pair.greater.send(LOWER, Channel::Bulk, large.clone())?;
        pair.until("32 MiB each way", |pair| {
            frames(&pair.lower.events) == 1 && frames(&pair.greater.events) == 1
        })
        .await?;
        for node in [&mut pair.lower, &mut pair.greater] {
            for event in node.events.drain(..) {
                expect_frame(&event, &large, round)?;
            }
        }
        pair.greater.send(LOWER, Channel::Bulk, Bytes::new())?;
        pair.until("an empty frame", |pair| frames(&pair.lower.events) == 1)
            .await?;
        for event in pair.lower.events.drain(..) {
            expect_frame(&event, &Bytes::new(), round)?;
        }
    }
    Ok(())
}

/// A bulk transfer does not hold up control: while 12 MiB of bulk are always under way, a
/// control frame overtakes at least half of them. Counted in bytes, not in time, so that a
/// busy machine does not matter; the median of 15, so that one bad moment does not.
///
/// # Errors
/// The violation.
pub async fn keeps_channels_independent<N: Network>(network: N) -> Result<(), Violation> {
    const FRAME: usize = 512 << 10;
    const UNDER_WAY: usize = 24;
    const SAMPLES: usize = 15;
    let mut pair = Pair::connected(network).await?;
    let bulk = Bytes::from(vec![0xB5; FRAME]);
    let control = Bytes::from_static(b"heartbeat");
    let (mut sent, mut delivered) = (0, 0);
    let mut overtaken_by = Vec::with_capacity(SAMPLES);
    while overtaken_by.len() < SAMPLES {
        while sent < delivered + UNDER_WAY {
            pair.greater.send(LOWER, Channel::Bulk, bulk.clone())?;
            sent += 1;
        }
        pair.greater
            .send(LOWER, Channel::Control, control.clone())?;
        let asked_at = delivered;
        let mut answered = None;
        while answered.is_none() {
            let before = delivered;
            pair.until("the next frame", |pair| !pair.lower.events.is_empty())
                .await?;
            for event in pair.lower.events.drain(..) {
                match event {
                    Event::Frame {
                        channel: Channel::Bulk,
                        ..
                    } => delivered += 1,
                    Event::Frame { .. } => answered = Some(delivered - asked_at),
                    other => return Err(Violation::new(format!("{other:?} amid a transfer"))),
                }
            }
            // The transfer goes on while the control frame is under way.
            for _ in before..delivered {
                pair.greater.send(LOWER, Channel::Bulk, bulk.clone())?;
                sent += 1;
            }
        }
        overtaken_by.extend(answered);
    }
    overtaken_by.sort_unstable();
    let median = overtaken_by.get(SAMPLES / 2).copied().unwrap_or(usize::MAX);
    if median > UNDER_WAY / 2 {
        return Err(Violation::new(format!(
            "of {UNDER_WAY} bulk frames under way, {median} arrived before a control frame sent \
             after them: control waits behind bulk"
        )));
    }
    Ok(())
}

/// Receives that are given up, as `select!` does, lose no event.
///
/// # Errors
/// The violation.
pub async fn loses_nothing_to_cancelled_receives<N: Network>(network: N) -> Result<(), Violation> {
    const FRAMES: u64 = 2000;
    let mut pair = Pair::connected(network).await?;
    let mut seen = Series::default();
    for number in 0..FRAMES {
        for channel in Channel::ALL {
            let payload = numbered(channel.index() as u64, number, 100);
            pair.greater.send(LOWER, channel, payload)?;
        }
        let mut events = Vec::new();
        tokio::select! {
            biased;
            () = pair.lower.transport()?.receive(&mut events) => {}
            () = tokio::task::yield_now() => {}
        }
        pair.lower.witness(events)?;
    }
    pair.until("the frames behind cancelled receives", |pair| {
        seen.take(&mut pair.lower.events);
        seen.reached(FRAMES - 1)
    })
    .await?;
    // Whatever were delivered twice would come now.
    tokio::time::sleep(Duration::from_millis(10)).await;
    seen.verdict
}

fn frames(events: &[Event]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, Event::Frame { .. }))
        .count()
}

fn expect_frame(event: &Event, expected: &Bytes, round: usize) -> Result<(), Violation> {
    match event {
        Event::Frame { payload, .. } if payload == expected => Ok(()),
        Event::Frame { payload, .. } => Err(Violation::new(format!(
            "round {round}: sent {} bytes, {} others arrived",
            expected.len(),
            payload.len()
        ))),
        other => Err(Violation::new(format!("{other:?} amid a transfer"))),
    }
}

/// Numbered frames as they arrive at one node: one series per channel.
struct Series {
    next: [u64; 2],
    verdict: Result<(), Violation>,
}

impl Default for Series {
    fn default() -> Self {
        Series {
            next: [0; 2],
            verdict: Ok(()),
        }
    }
}

impl Series {
    /// Takes the frames out of `events`; keeps the first violation.
    fn take(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            if self.verdict.is_ok() {
                self.verdict = self.check(&event);
            }
        }
    }

    fn check(&mut self, event: &Event) -> Result<(), Violation> {
        let Event::Frame {
            channel, payload, ..
        } = event
        else {
            return Err(Violation::new(format!("{event:?} amid a transfer")));
        };
        let (series, number) = read(payload)?;
        let next = self.next.get_mut(channel.index());
        match next {
            Some(next) if series == channel.index() as u64 && number == *next => {
                *next += 1;
                Ok(())
            }
            next => Err(Violation::new(format!(
                "frame {number} of series {series} arrived on {channel} where {next:?} was due"
            ))),
        }
    }

    /// Whether all frames up to `number` have come, or there is nothing to wait for.
    fn reached(&self, number: u64) -> bool {
        self.verdict.is_err() || self.next.iter().all(|next| *next > number)
    }
}
