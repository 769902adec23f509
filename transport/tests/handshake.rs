//! Who gets in, who does not, and that both sides' logs say why.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Counters, Log, bind, config, identity, introduce, next};
use tokio::time::timeout;
use transport::tcp::TcpTransport;
use transport::{Channel, ClusterId, Config, DiskId, Event, Identity, NodeId, Refusal, Transport};

/// Lets node 2 dial what it believes to be node `target` and node 1 listen, until both have
/// logged and counted the refusal.
async fn refused(one: Config, two: Config, target: u64, reason: &str, sentence: &str) {
    let (counters, log) = (Counters::default(), Log::default());
    let _guards = (counters.install(), log.install());
    let (mut one, mut two) = (bind(one).await, bind(two).await);
    let address = one.local_addr().to_string();
    two.set_peers(BTreeMap::from([(NodeId(target), address)]));
    let failures = || counters.get("lockstep_peer_dial_failures_total", reason);
    let both_told = async {
        while counters.rejected(reason) == 0 || failures() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (mut at_one, mut at_two) = (Vec::new(), Vec::new());
    tokio::select! {
        () = one.receive(&mut at_one) => panic!("node 1 connected: {at_one:?}"),
        () = two.receive(&mut at_two) => panic!("the dialer connected: {at_two:?}"),
        told = timeout(Duration::from_secs(5), both_told) => told.expect("both sides count it"),
    }
    // One side rejects, the other is rejected, and both give the whole reason.
    let rejecting = log.lines(&[" rejected ", sentence]);
    let rejected = log.lines(&["it refuses this node", sentence]);
    assert!(!rejecting.is_empty() && !rejected.is_empty(), "{log:?}");
}

fn with_identity(identity: Identity) -> Config {
    let mut config = config(identity.node.0);
    config.identity = identity;
    config
}

fn with_check(
    node: u64,
    check: impl Fn(&Identity) -> Result<(), Refusal> + Send + Sync + 'static,
) -> Config {
    let mut config = config(node);
    config.check = Box::new(check);
    config
}

fn disk_changed(peer: &Identity) -> Result<(), Refusal> {
    Err(Refusal::DiskChanged {
        node: peer.node,
        known: DiskId(0xABC),
        presented: peer.disk,
    })
}

#[tokio::test]
async fn the_wrong_cluster_is_refused() {
    let stray = with_identity(Identity {
        cluster: ClusterId(0xC2),
        ..identity(2)
    });
    let sentence = "n2 belongs to cluster 000000000000000000000000000000c2, but n1 to cluster \
                    000000000000000000000000000000c1: correct the peer address";
    refused(config(1), stray, 1, "wrong_cluster", sentence).await;
}

#[tokio::test]
async fn an_unknown_node_is_refused() {
    let one = with_check(1, |peer| Err(Refusal::UnknownNode(peer.node)));
    let sentence = "n2 is not a member of this cluster: add it to the membership first";
    refused(one, config(2), 1, "unknown_node", sentence).await;
}

#[tokio::test]
async fn the_listener_refuses_a_changed_disk() {
    let sentence = "n2 presents disk 000000000000000000000000000000d2, but is known by disk \
                    00000000000000000000000000000abc: restore its old directory";
    refused(
        with_check(1, disk_changed),
        config(2),
        1,
        "disk_changed",
        sentence,
    )
    .await;
}

#[tokio::test]
async fn the_dialer_refuses_a_changed_disk() {
    let sentence = "n1 presents disk 000000000000000000000000000000d1";
    refused(
        config(1),
        with_check(2, disk_changed),
        1,
        "disk_changed",
        sentence,
    )
    .await;
}

#[tokio::test]
async fn an_address_that_leads_to_another_node_is_refused() {
    let sentence = "n5 was expected at this address, but n1 lives there";
    refused(config(1), config(7), 5, "wrong_target", sentence).await;
}

#[tokio::test]
async fn an_address_that_leads_back_is_refused() {
    let sentence = "both sides call themselves n2: give every node its own id";
    refused(config(2), config(2), 1, "same_node", sentence).await;
}

#[tokio::test]
async fn a_program_may_have_reasons_of_its_own() {
    let one = with_check(1, |_| Err(Refusal::Other("closed\non \"Sundays\"".into())));
    // Escaped where a peer's words are logged, so they cannot forge a line.
    let (counters, log) = (Counters::default(), Log::default());
    let _guards = (counters.install(), log.install());
    let (mut one, mut two) = (bind(one).await, bind(config(2)).await);
    introduce(&mut [&mut one, &mut two], &[1, 2]);
    while counters.get("lockstep_peer_dial_failures_total", "other") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let words = r#"it refuses this node: "closed\non \"Sundays\"""#;
    assert!(!log.lines(&[words]).is_empty(), "{log:?}");
}

/// A peer that stays down or stays wrong is one line per channel, not one per attempt.
#[tokio::test]
async fn a_lasting_failure_is_logged_once() {
    let (counters, log) = (Counters::default(), Log::default());
    let _guards = (counters.install(), log.install());
    let mut two = bind(config(2)).await;
    // Port 1 is privileged and nobody listens there.
    two.set_peers(BTreeMap::from([(NodeId(1), "127.0.0.1:1".into())]));
    while counters.get("lockstep_peer_dial_failures_total", "unreachable") < 8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(
        log.lines(&["dialing n1 at 127.0.0.1:1"]).len(),
        2,
        "{log:?}"
    );
}

#[tokio::test]
async fn frames_are_as_long_as_both_sides_accept() {
    let mut small = config(1);
    small.frame_limit = 1000;
    let (mut one, mut two) = (bind(small).await, bind(config(2)).await);
    introduce(&mut [&mut one, &mut two], &[1, 2]);
    let pump = async {
        let mut events = Vec::new();
        loop {
            one.receive(&mut events).await;
            events.retain(|event| matches!(event, Event::Frame { .. }));
            if let Some(event) = events.pop() {
                return event;
            }
        }
    };
    let send = async {
        let mut connected = 0;
        while connected < 2 {
            connected += next(&mut two).await.len();
        }
        let too_large = two.send(NodeId(1), Channel::Bulk, vec![0; 1001].into());
        let fits = two.send(NodeId(1), Channel::Bulk, vec![0; 1000].into());
        (too_large, fits)
    };
    let (event, (too_large, fits)) = tokio::join!(pump, send);
    assert_eq!(
        too_large,
        Err(transport::SendError::TooLarge {
            to: NodeId(1),
            length: 1001,
            limit: 1000
        })
    );
    fits.unwrap();
    assert!(matches!(event, Event::Frame { payload, .. } if payload.len() == 1000));
}

/// Three nodes find each other whatever order they are started in.
#[tokio::test]
async fn nodes_may_be_started_in_any_order() {
    for order in [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ] {
        let reserved = [
            bind(config(1)).await,
            bind(config(2)).await,
            bind(config(3)).await,
        ];
        let mut peers = BTreeMap::new();
        for (id, node) in (1..).zip(reserved) {
            peers.insert(NodeId(id), node.local_addr().to_string());
            node.close().await;
        }
        let mut nodes = Vec::new();
        for id in order {
            let address = &peers[&NodeId(id)];
            let mut node = TcpTransport::bind(address, config(id)).await.unwrap();
            node.set_peers(peers.clone());
            nodes.push((id, node));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        for (id, node) in &mut nodes {
            let mut connected = Vec::new();
            while connected.len() < 4 {
                for event in next(node).await {
                    match event {
                        Event::Connected { peer, channel } => {
                            connected.push((peer.node.0, channel))
                        }
                        other => panic!("{order:?}: {other:?} at n{id}"),
                    }
                }
            }
            connected.sort_unstable();
            let others = (1..=3).filter(|other| other != id);
            let expected: Vec<_> = others
                .flat_map(|other| Channel::ALL.map(|channel| (other, channel)))
                .collect();
            assert_eq!(connected, expected, "{order:?} at n{id}");
        }
    }
}

#[tokio::test]
async fn an_address_in_use_says_so() {
    let one = bind(config(1)).await;
    let address = one.local_addr().to_string();
    let error = TcpTransport::bind(&address, config(1)).await.unwrap_err();
    let sentence = format!("cannot listen for peers on {address}");
    assert!(error.to_string().contains(&sentence), "{error}");
}
