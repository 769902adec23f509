//! Handshake and connection over a byte stream that is not TCP: one that takes and gives a
//! few bytes at a time. So partial reads and writes happen everywhere, and the seam for TLS is
//! known to be one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use super::connection;
use super::shared::{Inbox, Shared, Who};
use crate::links::{Incoming, Links};
use crate::{Channel, ClusterId, Config, DiskId, Event, Identity, NodeId, handshake};

struct End {
    links: Links,
    inbox: Inbox,
    shared: Arc<Shared>,
}

impl End {
    fn new(node: u64) -> Self {
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(node),
            disk: DiskId(1),
            boot: 1,
        };
        let config = Config::new(identity, |_| Ok(()));
        let links = Links::new(identity.node, config.queue_limit);
        let (shared, inbox) = Shared::new(config);
        End {
            links,
            inbox,
            shared,
        }
    }

    /// Shakes hands on `stream` and runs the connection; `target` is whom to dial, if any.
    fn run(&self, stream: DuplexStream, target: Option<NodeId>) {
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let (mut reader, mut writer) = split(stream);
            let (config, channel) = (&shared.config, Channel::Bulk);
            let agreed = match target {
                Some(node) => {
                    handshake::dial(config, node, channel, &mut reader, &mut writer).await
                }
                None => handshake::accept(config, &mut reader, &mut writer).await,
            };
            let who = Who {
                node: None,
                channel: None,
                address: None,
            };
            let admission = shared.admissions.clone().acquire_owned().await.unwrap();
            connection::run(shared, agreed.unwrap(), who, admission, reader, writer).await;
        });
    }

    async fn next(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while events.is_empty() {
            let incoming = self.inbox.bulk.recv().await.unwrap();
            self.links.handle(incoming, &mut events);
        }
        events
    }
}

/// Payloads around every bound: empty, copied, borrowed, larger than a slice, than a read
/// buffer, than a batch.
fn payloads() -> Vec<Bytes> {
    let sizes = [
        0,
        1,
        1023,
        1024,
        1025,
        300,
        0,
        70_000,
        262_144,
        262_145,
        16,
        1 << 20,
        3_000_001,
        5,
    ];
    let fill = |(index, size): (usize, usize)| {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 31 + index) as u8).collect();
        Bytes::from(bytes)
    };
    sizes.into_iter().enumerate().map(fill).collect()
}

#[tokio::test]
async fn a_connection_runs_over_any_byte_stream() {
    for chunk in [37, 5_000, 1 << 20] {
        let (mut one, mut two) = (End::new(1), End::new(2));
        let (at_one, at_two) = duplex(chunk);
        one.run(at_one, None);
        two.run(at_two, Some(NodeId(1)));
        assert!(matches!(one.next().await[..], [Event::Connected { .. }]));
        assert!(matches!(two.next().await[..], [Event::Connected { .. }]));
        let payloads = payloads();
        for payload in &payloads {
            two.links
                .send(NodeId(1), Channel::Bulk, payload.clone())
                .unwrap();
        }
        let mut arrived = Vec::new();
        while arrived.len() < payloads.len() {
            for event in one.next().await {
                match event {
                    Event::Frame { payload, .. } => arrived.push(payload),
                    other => panic!("{other:?} amid a transfer"),
                }
            }
        }
        assert!(arrived == payloads, "in chunks of {chunk}");
        // Dropping the link ends the connection, and the other side is told once.
        two.links.close_peer(NodeId(1));
        let gone = Event::Disconnected {
            peer: NodeId(2),
            channel: Channel::Bulk,
        };
        assert_eq!(one.next().await, [gone]);
    }
}

/// The buffer that a large frame needed goes with it: a small frame behind it, kept for long,
/// must not keep megabytes alive.
#[tokio::test]
async fn a_small_frame_does_not_hold_a_large_buffer() {
    let (mut one, mut two) = (End::new(1), End::new(2));
    let (at_one, at_two) = duplex(1 << 20);
    one.run(at_one, None);
    two.run(at_two, Some(NodeId(1)));
    one.next().await;
    two.next().await;
    for size in [3_000_000, 10] {
        two.links
            .send(NodeId(1), Channel::Bulk, vec![1; size].into())
            .unwrap();
    }
    let mut small = None;
    while small.is_none() {
        for event in one.next().await {
            if let Event::Frame { payload, .. } = event {
                small = Some(payload).filter(|payload| payload.len() == 10);
            }
        }
    }
    // Once the reader is gone, the payload owns its allocation alone and can tell its size.
    two.links.close_peer(NodeId(1));
    one.next().await;
    let held = small.unwrap().try_into_mut().unwrap().capacity();
    assert!(held < 1 << 20, "10 bytes hold {held}");
}

/// Establishing is reported before frames, even when both come in one read with the handshake.
#[tokio::test]
async fn data_right_behind_the_handshake_is_not_lost() {
    let mut one = End::new(1);
    let (at_one, at_two) = duplex(1 << 16);
    one.run(at_one, None);
    let config = End::new(2).shared;
    let (mut reader, mut writer) = split(at_two);
    // The dialer's Ready and its first frame leave together.
    let agreed = handshake::dial(
        &config.config,
        NodeId(1),
        Channel::Bulk,
        &mut reader,
        &mut writer,
    );
    agreed.await.unwrap();
    let frame = crate::frame::encode(crate::frame::Kind::Data, b"first");
    writer.write_all(&frame).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(one.next().await);
    }
    assert!(matches!(
        &events[..],
        [Event::Connected { .. }, Event::Frame { payload, .. }] if payload == "first"
    ));
    drop((reader.read_u8(), writer));
}

/// A report of a connection that was replaced is dropped; the new one is not disturbed.
#[tokio::test]
async fn a_late_report_of_a_replaced_connection_is_dropped() {
    let (mut one, two) = (End::new(1), End::new(2));
    for expected in [1, 2] {
        let (at_one, at_two) = duplex(4096);
        one.run(at_one, None);
        two.run(at_two, Some(NodeId(1)));
        // The second connection's Connected comes with the first one's Disconnected.
        assert_eq!(one.next().await.len(), expected);
    }
    // The first connection's tasks now end and report so.
    let late = tokio::time::timeout(Duration::from_secs(5), one.inbox.bulk.recv());
    let late = late.await.unwrap().unwrap();
    assert!(matches!(late, Incoming::Closed { .. }), "{late:?}");
    let mut events = Vec::new();
    one.links.handle(late, &mut events);
    assert_eq!(events, []);
    one.links
        .send(NodeId(2), Channel::Bulk, Bytes::new())
        .unwrap();
}
