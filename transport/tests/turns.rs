//! What is queued in one turn is one write; what is written is counted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Healthy, bind, config, introduce, next};
use transport::tcp::TcpTransport;
use transport::{Channel, Event, NodeId, Transport};

async fn connected() -> (TcpTransport, TcpTransport) {
    let (mut one, mut two) = (bind(config(1)).await, bind(config(2)).await);
    introduce(&mut [&mut one, &mut two], &[1, 2]);
    for node in [&mut one, &mut two] {
        let mut events = 0;
        while events < 2 {
            events += next(node).await.len();
        }
    }
    (one, two)
}

/// Queues `count` frames of `size` in one turn and waits for all of them. How many writes it
/// took, on one thread: there the writer runs only when this task waits.
async fn writes_for(count: usize, size: usize) -> u64 {
    let (mut one, mut two) = connected().await;
    let before = one.stats();
    for _ in 0..count {
        one.send(NodeId(2), Channel::Bulk, vec![7; size].into())
            .unwrap();
    }
    let mut arrived = 0;
    while arrived < count {
        for event in next(&mut two).await {
            assert!(matches!(event, Event::Frame { payload, .. } if payload.len() == size));
            arrived += 1;
        }
    }
    let after = one.stats();
    let bytes = (count * (16 + size)) as u64;
    assert_eq!(after.frames_sent - before.frames_sent, count as u64);
    assert_eq!(after.bytes_sent - before.bytes_sent, bytes);
    assert_eq!(two.stats().frames_received, count as u64);
    assert_eq!(two.stats().bytes_received, bytes);
    after.writes - before.writes
}

#[tokio::test]
async fn many_small_frames_are_one_write() {
    assert_eq!(writes_for(100, 300).await, 1);
}

#[tokio::test]
async fn frames_that_are_not_copied_are_one_write_too() {
    assert_eq!(writes_for(20, 5000).await, 1);
}

#[tokio::test]
async fn one_frame_is_one_write() {
    assert_eq!(writes_for(1, 16).await, 1);
}

/// Each peer and channel has its own write, and only that.
#[tokio::test]
async fn a_turn_is_one_write_per_channel() {
    let (mut one, mut two) = connected().await;
    for _ in 0..50 {
        for channel in Channel::ALL {
            one.send(NodeId(2), channel, Bytes::from_static(b"frame"))
                .unwrap();
        }
    }
    let mut arrived = 0;
    while arrived < 100 {
        arrived += next(&mut two).await.len();
    }
    assert_eq!(one.stats().writes, 2);
}

/// While bulk is saturated, control frames go round in bounded time. The bound is generous,
/// because a test machine may be busy; the measured figures are in the README.
#[tokio::test]
async fn control_goes_round_in_bounded_time_during_a_transfer() {
    let mut healthy = Healthy::new(config(1)).await;
    let chunk = Bytes::from(vec![1; 1 << 20]);
    let started = Instant::now();
    // The pair plays with 1 MiB on bulk both ways, eight under way, and counts in control.
    for _ in 0..8 {
        healthy
            .one
            .send(NodeId(2), Channel::Bulk, chunk.clone())
            .unwrap();
    }
    let mut slowest = Duration::ZERO;
    let mut last = Instant::now();
    let mut rounds = 0;
    let mut bulk = 0;
    while started.elapsed() < Duration::from_millis(500) {
        let mut seen = [0; 2];
        healthy.play_counting(&mut seen).await;
        bulk += seen[Channel::Bulk as usize];
        if seen[Channel::Control as usize] > 0 {
            slowest = slowest.max(last.elapsed());
            last = Instant::now();
            rounds += 1;
        }
    }
    println!("{rounds} rounds of control during {bulk} MiB of bulk, slowest {slowest:?}");
    assert!(bulk > 10, "{bulk} MiB of bulk are no load");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
}
