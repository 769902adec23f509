//! The endpoint as probes see it, over real sockets, with a stand-in for the event loop.

use std::future::pending;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{AdminRequest, channel, serve};
use crate::status::client::{AskError, get, status};
use crate::status::{GroupStatus, NodeStatus};

async fn endpoint() -> (SocketAddr, mpsc::Receiver<AdminRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (node, requests) = channel();
    // Not installed: tests of one process would share it.
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || metrics::counter!("writes_total").increment(7));
    tokio::spawn(serve(listener, node, recorder.handle(), pending()));
    (address, requests)
}

/// A node that always stands at `status`.
async fn node_at(status: NodeStatus) -> SocketAddr {
    let (address, mut requests) = endpoint().await;
    tokio::spawn(async move {
        while let Some(AdminRequest::Status(reply)) = requests.recv().await {
            reply.send(status.clone()).unwrap();
        }
    });
    address
}

fn follower(leader: Option<u64>, committed: u64, applied: u64) -> NodeStatus {
    let group = GroupStatus {
        role: "follower".into(),
        leader,
        committed,
        applied,
        ..Default::default()
    };
    NodeStatus {
        node: 2,
        groups: vec![group],
        ..Default::default()
    }
}

async fn refusal(address: SocketAddr, path: &str) -> (u16, String) {
    match get(address, path).await {
        Err(AskError::Refused { code, body }) => (code, body),
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
async fn a_node_that_follows_is_alive_and_ready() {
    let stands = follower(Some(1), 5, 5);
    let address = node_at(stands.clone()).await;
    assert_eq!(get(address, "/livez").await.unwrap(), "ok\n");
    assert_eq!(get(address, "/readyz").await.unwrap(), "ok\n");
    assert_eq!(status(address).await.unwrap(), stands);
    assert!(
        get(address, "/metrics")
            .await
            .unwrap()
            .contains("writes_total 7")
    );
    assert_eq!(refusal(address, "/nothing").await.0, 404);
}

#[tokio::test]
async fn without_a_leader_alive_but_not_ready() {
    let address = node_at(follower(None, 5, 5)).await;
    assert_eq!(get(address, "/livez").await.unwrap(), "ok\n");
    let expected = (503, "group 0: no leader is known".to_owned());
    assert_eq!(refusal(address, "/readyz").await, expected);
}

#[tokio::test]
async fn while_catching_up_alive_but_not_ready() {
    let address = node_at(follower(Some(1), 5_000, 1_000)).await;
    assert_eq!(get(address, "/livez").await.unwrap(), "ok\n");
    let expected = (503, "group 0: catching up, 4000 entries to go".to_owned());
    assert_eq!(refusal(address, "/readyz").await, expected);
}

#[tokio::test]
async fn a_loop_that_hangs_is_not_alive_but_still_has_metrics() {
    let (address, _requests) = endpoint().await;
    let expected = (
        503,
        "the event loop has not answered within 1000 ms".to_owned(),
    );
    assert_eq!(refusal(address, "/livez").await, expected);
    assert_eq!(refusal(address, "/status").await, expected);
    assert!(get(address, "/metrics").await.is_ok());
}

#[tokio::test]
async fn a_loop_that_ended_is_not_alive() {
    let (address, requests) = endpoint().await;
    drop(requests);
    assert_eq!(
        refusal(address, "/livez").await,
        (503, "the event loop has ended".to_owned())
    );
}
