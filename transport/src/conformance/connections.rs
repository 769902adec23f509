//! Connections end and begin, and nothing leaks from one into the next.

use std::collections::BTreeMap;

use super::frames::{numbered, read};
use super::{Network, Pair, Violation};
use crate::{Channel, Event, NodeId, SendError, Transport};

const LOWER: NodeId = NodeId(1);
const GREATER: NodeId = NodeId(2);

/// The lower node, which is dialed, crashes and comes back: both see the other again, the
/// greater one in the new boot.
///
/// # Errors
/// The violation.
pub async fn meets_a_restarted_lower_node<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::connected(network).await?;
    pair.stop_lower().await;
    pair.until("the greater node to miss the lower", |pair| {
        pair.greater.misses(LOWER)
    })
    .await?;
    pair.start_lower().await;
    pair.introduce();
    pair.meet().await?;
    exchange(&mut pair).await
}

/// The greater node, which dials, crashes and comes back.
///
/// # Errors
/// The violation.
pub async fn meets_a_restarted_greater_node<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::connected(network).await?;
    pair.stop_greater().await;
    pair.until("the lower node to miss the greater", |pair| {
        pair.lower.misses(GREATER)
    })
    .await?;
    pair.start_greater().await;
    pair.introduce();
    pair.meet().await?;
    exchange(&mut pair).await
}

/// Over several restarts, each `Connected` is followed by one `Disconnected`, whether or not
/// the end was noticed before the next beginning.
///
/// # Errors
/// The violation.
pub async fn tells_of_each_end_once<N: Network>(network: N) -> Result<(), Violation> {
    const RESTARTS: usize = 4;
    let mut pair = Pair::connected(network).await?;
    for _ in 0..RESTARTS {
        pair.stop_greater().await;
        pair.start_greater().await;
        pair.introduce();
        pair.meet().await?;
    }
    pair.stop_greater().await;
    pair.until("the last end", |pair| pair.lower.misses(GREATER))
        .await?;
    for channel in Channel::ALL {
        let gone = Event::Disconnected {
            peer: GREATER,
            channel,
        };
        let ends = pair.lower.events.iter().filter(|e| **e == gone).count();
        // That they alternate with Connected is what the witness checks.
        if ends != RESTARTS + 1 {
            return Err(Violation::new(format!(
                "{} connections on {channel} ended {ends} times",
                RESTARTS + 1
            )));
        }
    }
    Ok(())
}

/// A peer that does not take what is sent is disconnected rather than skipped over: of each
/// connection's frames a prefix arrives, and the next connection starts with its own first.
///
/// # Errors
/// The violation.
pub async fn leaves_no_gap_within_a_connection<N: Network>(network: N) -> Result<(), Violation> {
    const FRAME: usize = 64 << 10;
    let mut pair = Pair::connected(network).await?;
    let mut number = 0;
    for series in 0..3 {
        number = overflow(&mut pair, series, number, FRAME).await?;
        // The receiver wakes up, notices, and all is well again.
        pair.until("the end of the overflowing connection", |pair| {
            let gone = |e: &Event| {
                matches!(
                    e,
                    Event::Disconnected {
                        channel: Channel::Bulk,
                        ..
                    }
                )
            };
            pair.lower.events.iter().any(gone) && pair.greater.events.iter().any(gone)
        })
        .await?;
        pair.meet().await?;
        let first = number;
        for _ in 0..100 {
            pair.greater
                .send(LOWER, Channel::Bulk, numbered(series, number, 100))?;
            number += 1;
        }
        pair.until("the frames after the overflow", |pair| {
            last_number(&pair.lower.events) == Some(number - 1)
        })
        .await?;
        check_runs(&pair.lower.events, first)?;
        pair.lower.events.clear();
        pair.greater.events.clear();
    }
    Ok(())
}

/// Sends without the lower node receiving, until the queue is full. Says the next number.
async fn overflow<N: Network>(
    pair: &mut Pair<N>,
    series: u64,
    mut number: u64,
    size: usize,
) -> Result<u64, Violation> {
    const ENOUGH: usize = 1 << 30;
    for _ in 0..ENOUGH / size {
        let payload = numbered(series, number, size);
        match pair.greater.try_send(LOWER, Channel::Bulk, payload)? {
            Ok(()) => number += 1,
            Err(SendError::QueueFull { .. }) => return Ok(number),
            Err(other) => return Err(Violation::new(format!("while overflowing: {other}"))),
        }
        if number.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
    Err(Violation::new(
        "a peer that takes nothing was sent 1 GiB: its queue has no bound",
    ))
}

fn last_number(events: &[Event]) -> Option<u64> {
    match events.last()? {
        Event::Frame { payload, .. } => read(payload).ok().map(|(_, number)| number),
        _ => None,
    }
}

/// Checks that within each connection numbers follow each other, and that the last connection
/// starts with `first`.
fn check_runs(events: &[Event], first: u64) -> Result<(), Violation> {
    let mut due: Option<u64> = None;
    let mut start = None;
    for event in events {
        match event {
            Event::Frame { payload, .. } => {
                let (_, number) = read(payload)?;
                if due.is_some_and(|due| due != number) {
                    return Err(Violation::new(format!(
                        "frame {number} arrived within a connection where {due:?} was due"
                    )));
                }
                start = start.or(Some(number));
                due = Some(number + 1);
            }
            Event::Connected {
                channel: Channel::Bulk,
                ..
            } => (due, start) = (None, None),
            _ => {}
        }
    }
    if start == Some(first) {
        return Ok(());
    }
    Err(Violation::new(format!(
        "the first frame sent on the new connection was {first}, the first to arrive {start:?}"
    )))
}

/// The lower node sleeps while the greater sends, crashes, comes back and sends again: after
/// it is told of the new boot, it sees nothing of the old.
///
/// # Errors
/// The violation.
pub async fn delivers_nothing_of_an_old_connection_after_the_new<N: Network>(
    network: N,
) -> Result<(), Violation> {
    const FRAMES: u64 = 200;
    let mut pair = Pair::connected(network).await?;
    for _ in 0..5 {
        send_all(&mut pair, FRAMES)?;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        pair.stop_greater().await;
        pair.start_greater().await;
        pair.introduce();
        greater_meets_lower(&mut pair).await?;
        send_all(&mut pair, FRAMES)?;
        let mut boots = BTreeMap::new();
        pair.until("the frames of the new boot", |pair| {
            let boot = pair.greater.identity.boot;
            let last = |channel| {
                pair.lower.events.iter().any(|event| {
                    matches!(event, Event::Frame { channel: c, payload, .. }
                        if *c == channel && read(payload) == Ok((boot, FRAMES - 1)))
                })
            };
            Channel::ALL.into_iter().all(last)
        })
        .await?;
        for event in pair.lower.events.drain(..) {
            match event {
                Event::Connected { peer, channel } => {
                    boots.insert(channel, peer.boot);
                }
                Event::Frame {
                    channel, payload, ..
                } => {
                    let (boot, number) = read(&payload)?;
                    if boots.get(&channel).is_some_and(|current| *current != boot) {
                        return Err(Violation::new(format!(
                            "frame {number} of boot {boot} arrived after the next boot's Connected"
                        )));
                    }
                }
                Event::Disconnected { .. } => {}
            }
        }
    }
    Ok(())
}

fn send_all<N: Network>(pair: &mut Pair<N>, frames: u64) -> Result<(), Violation> {
    let boot = pair.greater.identity.boot;
    for number in 0..frames {
        for channel in Channel::ALL {
            let payload = numbered(boot, number, 1000);
            pair.greater.send(LOWER, channel, payload)?;
        }
    }
    Ok(())
}

/// Lets only the greater node receive until it sees the lower.
async fn greater_meets_lower<N: Network>(pair: &mut Pair<N>) -> Result<(), Violation> {
    while !pair.greater.sees(&pair.lower.identity) {
        let mut events = Vec::new();
        let wait = std::time::Duration::from_secs(20);
        tokio::time::timeout(wait, pair.greater.transport()?.receive(&mut events))
            .await
            .map_err(|_| Violation::new("waited 20 s for the greater node to see the lower"))?;
        pair.greater.witness(events)?;
    }
    Ok(())
}

/// A peer that is no longer among the peers is disconnected, and comes back when it is.
///
/// # Errors
/// The violation.
pub async fn disconnects_a_removed_peer<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::connected(network).await?;
    pair.greater.transport()?.set_peers(BTreeMap::new());
    pair.until("both nodes to miss each other", |pair| {
        pair.greater.misses(LOWER) && pair.lower.misses(GREATER)
    })
    .await?;
    pair.introduce();
    pair.meet().await?;
    exchange(&mut pair).await
}

/// One frame each way on each channel, to see that the connections work.
async fn exchange<N: Network>(pair: &mut Pair<N>) -> Result<(), Violation> {
    pair.lower.events.clear();
    pair.greater.events.clear();
    for channel in Channel::ALL {
        pair.lower.send(GREATER, channel, numbered(0, 0, 100))?;
        pair.greater.send(LOWER, channel, numbered(0, 0, 100))?;
    }
    pair.until("a frame each way on each channel", |pair| {
        [&pair.lower, &pair.greater].into_iter().all(|node| {
            Channel::ALL.into_iter().all(|channel| {
                node.events
                    .iter()
                    .any(|e| matches!(e, Event::Frame { channel: c, .. } if *c == channel))
            })
        })
    })
    .await
}
