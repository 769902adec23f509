//! Dialing again: how often, and when it starts over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::wire::{READY, WELCOME, Welcome, frame, pack, read_frame};
use common::{bind, config, identity, next};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use transport::{Backoff, Channel, Event, NodeId, Transport};

const BACKOFF: Backoff = Backoff {
    min: Duration::from_millis(10),
    max: Duration::from_millis(200),
    stable_after: Duration::from_secs(3600),
    seed: 42,
};

/// Counts how often node 2 dials node 1 within a second, per channel, where node 1 shakes
/// hands (or does not) and then closes.
async fn dials_within_a_second(backoff: Backoff, shakes: bool) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut two = config(2);
    two.backoff = backoff;
    let mut two = bind(two).await;
    two.set_peers(BTreeMap::from([(NodeId(1), address)]));
    let mut dials = 0;
    let serve = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            dials += 1;
            if shakes {
                welcome(stream).await;
            }
        }
    };
    let mut events = Vec::new();
    let receive = async {
        loop {
            two.receive(&mut events).await;
        }
    };
    tokio::select! {
        () = serve => {}
        () = receive => {}
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    dials / 2
}

/// Completes the handshake as node 1 would, and hangs up.
async fn welcome(mut stream: TcpStream) {
    read_frame(&mut stream).await;
    let welcome = Welcome {
        version: 1,
        identity: identity(1),
        frame_limit: 1000,
    };
    let welcome = frame(WELCOME, &pack(&welcome));
    stream.write_all(&welcome).await.unwrap();
    assert_eq!(read_frame(&mut stream).await.0, READY);
}

/// Steps of 10, 20, 40, 80, 160, 200, 200 … ms, each shortened by up to half: 7 to 13 dials in
/// a second. Fewer are possible on a busy machine, more never.
#[tokio::test]
async fn dialing_again_slows_down() {
    for shakes in [false, true] {
        let dials = dials_within_a_second(BACKOFF, shakes).await;
        assert!((4..=14).contains(&dials), "{dials} dials, shakes: {shakes}");
    }
}

/// Where every connection counts as a good one, all waits are the first: 10 ms.
#[tokio::test]
async fn a_good_connection_starts_over() {
    let forgiving = Backoff {
        stable_after: Duration::ZERO,
        ..BACKOFF
    };
    let dials = dials_within_a_second(forgiving, true).await;
    assert!(dials > 25, "{dials} dials");
    // A refused handshake is no connection, however forgiving.
    let dials = dials_within_a_second(forgiving, false).await;
    assert!(dials <= 14, "{dials} dials");
}

/// A connection that broke is back within the first wait and the time of a handshake.
#[tokio::test]
async fn a_broken_connection_is_back_at_once() {
    let (mut one, mut two) = (bind(config(1)).await, bind(config(2)).await);
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = BTreeMap::from([(NodeId(1), proxy.local_addr().unwrap().to_string())]);
    two.set_peers(peers);
    let target = one.local_addr();
    let (cut, mut cuts) = tokio::sync::mpsc::channel::<()>(1);
    // Forwards both connections until told to cut them, then the next ones.
    tokio::spawn(async move {
        loop {
            let mut pipes = tokio::task::JoinSet::new();
            for _ in Channel::ALL {
                let (mut dialed, _) = proxy.accept().await.unwrap();
                pipes.spawn(async move {
                    let mut onward = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut dialed, &mut onward).await;
                });
            }
            cuts.recv().await;
        }
    });
    let mut events = Vec::new();
    for round in 0..3 {
        let started = Instant::now();
        let both = async {
            let (mut up, mut down) = (0, if round == 0 { 2 } else { 0 });
            while up < 2 || down < 2 {
                for event in next(&mut two).await {
                    match event {
                        Event::Connected { .. } => up += 1,
                        Event::Disconnected { .. } => down += 1,
                        Event::Frame { .. } => panic!("nobody sends"),
                    }
                }
            }
        };
        tokio::select! {
            () = both => {}
            () = async { loop { one.receive(&mut events).await } } => {}
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(1), "round {round} took {took:?}");
        cut.send(()).await.unwrap();
    }
    // Dropping a transport ends its connections as well.
    drop(one);
    let gone = async {
        while !next(&mut two)
            .await
            .iter()
            .any(|e| matches!(e, Event::Disconnected { .. }))
        {}
    };
    timeout(Duration::from_secs(5), gone).await.unwrap();
}
