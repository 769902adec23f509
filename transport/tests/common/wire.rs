//! The wire format written out a second time, by hand: a test that used the crate's own
//! encoder could not notice that the format has changed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use transport::{Channel, Identity, NodeId};

use super::identity;

pub(crate) const DATA: u8 = 0;
pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const READY: u8 = 3;
pub(crate) const REFUSED: u8 = 4;

#[derive(Clone, Serialize)]
pub(crate) struct Hello {
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) identity: Identity,
    pub(crate) channel: Channel,
    pub(crate) target: NodeId,
    pub(crate) frame_limit: u32,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) version: u16,
    pub(crate) identity: Identity,
    pub(crate) frame_limit: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) reason: String,
}

/// What an honest node 3 would say to node 1.
pub(crate) fn hello(channel: Channel) -> Hello {
    Hello {
        oldest: 1,
        newest: 1,
        identity: identity(3),
        channel,
        target: NodeId(1),
        frame_limit: 64 << 20,
    }
}

pub(crate) fn pack(message: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(message).unwrap()
}

/// A header with the right checksum over whatever it claims.
pub(crate) fn header(kind: u8, length: u32, payload_crc: u32) -> Vec<u8> {
    let mut header = vec![b'L', b'k', 1, kind];
    header.extend(length.to_le_bytes());
    header.extend(payload_crc.to_le_bytes());
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    header
}

pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(kind, payload.len() as u32, crc32c::crc32c(payload));
    frame.extend(payload);
    frame
}

/// The next frame's kind and payload.
pub(crate) async fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(&header[..3], b"Lk\x01");
    let length = u32::from_le_bytes(header[4..8].try_into().unwrap());
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.unwrap();
    (header[3], payload)
}

/// Shakes hands as node `node` would.
pub(crate) async fn shake(stream: &mut TcpStream, node: u64, channel: Channel) {
    let hello = Hello {
        identity: identity(node),
        ..hello(channel)
    };
    stream
        .write_all(&frame(HELLO, &pack(&hello)))
        .await
        .unwrap();
    let (kind, payload) = read_frame(stream).await;
    assert_eq!(kind, WELCOME);
    let welcome: Welcome = rmp_serde::from_slice(&payload).unwrap();
    assert_eq!(welcome.identity, identity(1));
    stream.write_all(&frame(READY, &pack(&()))).await.unwrap();
}

/// Reads until the other side closes, or resets, and says what came. Fails if it does not.
pub(crate) async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match timeout(Duration::from_secs(5), stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => return received,
            Ok(Ok(n)) => received.extend(&chunk[..n]),
            Err(_) => panic!("the connection was not closed"),
        }
    }
}
