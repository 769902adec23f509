//! What `lockstep status` makes of answers.

use std::net::SocketAddr;

use consensus::{DiskId, Epoch, Index, Membership, NodeId, Position, Role, Status};

use super::client::AskError;
use super::command::{Answer, json, leader, table, trouble};
use super::{GroupStatus, NodeStatus, PeerStatus};

fn endpoint(node: u64) -> SocketAddr {
    format!("127.0.0.1:840{node}").parse().unwrap()
}

fn part(node: u64, epoch: u64, leader: Option<u64>) -> GroupStatus {
    let leads = leader == Some(node);
    let peers = (1..=3).filter(|peer| leads && *peer != node);
    let mut part = GroupStatus {
        mode: "raft".into(),
        role: if leads { "leader" } else { "follower" }.into(),
        epoch,
        leader,
        last: 12,
        committed: 12,
        applied: 12,
        peers: peers
            .map(|node| PeerStatus {
                node,
                active: true,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    part.membership.voters = vec![1, 2, 3];
    part
}

fn says(node: u64, part: GroupStatus) -> Answer {
    let status = NodeStatus {
        node,
        memory_bytes: 3 << 20,
        uptime_ms: 61_000,
        groups: vec![part],
        ..Default::default()
    };
    (endpoint(node), Ok(status))
}

fn silent(node: u64) -> Answer {
    (endpoint(node), Err(AskError::Silent))
}

#[test]
fn a_cluster_with_a_leader_serves() {
    let answers = [
        says(1, part(1, 3, Some(2))),
        says(2, part(2, 3, Some(2))),
        silent(3),
    ];
    assert_eq!(trouble(&answers), None);
    assert_eq!(leader(&answers), Some((2, 3)));
    // A follower that hears from its leader is believed.
    assert_eq!(trouble(&answers[..1]), None);
}

#[test]
fn no_leader_or_no_majority_is_trouble() {
    let said = |answers: &[Answer]| trouble(answers).unwrap_or_default();
    assert_eq!(said(&[silent(1), silent(2)]), "no node answers");
    let waiting = [says(1, part(1, 3, None)), says(2, part(2, 3, None))];
    assert_eq!(said(&waiting), "group 0: no leader is known");
    // Whoever follows in an old epoch does not know better.
    let stale = [says(1, part(1, 3, Some(1))), says(2, part(2, 4, None))];
    assert_eq!(said(&stale), "group 0: no leader is known");
    let mut alone = part(1, 3, Some(1));
    alone.peers.iter_mut().for_each(|peer| peer.active = false);
    assert_eq!(
        said(&[says(1, alone)]),
        "group 0: leader n1 does not hear from a majority"
    );
    let mut resigned = part(2, 3, Some(2));
    resigned.role = "follower".into();
    let answers = [says(1, part(1, 3, Some(2))), says(2, resigned)];
    assert_eq!(said(&answers), "group 0: n2 does not lead");
    let starting = (endpoint(1), Ok(NodeStatus::default()));
    assert_eq!(said(&[starting]), "the nodes are starting");
}

#[test]
fn a_joint_membership_needs_both_majorities() {
    let mut leads = part(1, 3, Some(1));
    leads.membership.outgoing = vec![1, 4, 5];
    assert!(!leads.has_quorum(1));
    leads.peers.push(PeerStatus {
        node: 4,
        active: true,
        ..Default::default()
    });
    assert!(leads.has_quorum(1));
}

#[test]
fn the_table_is_one_to_read() {
    let mut behind = part(3, 3, Some(2));
    behind.applied = 9;
    let answers = [silent(1), says(2, part(2, 3, Some(2))), says(3, behind)];
    let expected = "\
NODE  ROLE      EPOCH  LEADER  LAST  COMMITTED  APPLIED  LAG  MEMORY   UPTIME  PEERS
n2    leader    3      n2      12    12         12       0    3.0 MiB  1m01s   2/2
n3    follower  3      n2      12    12         9        3    3.0 MiB  1m01s   -
127.0.0.1:8401: unreachable: no answer within 2 s";
    assert_eq!(table(&answers), expected);
}

#[test]
fn the_json_says_the_same() {
    let answers = [silent(1), says(2, part(2, 3, Some(2)))];
    let value: serde_json::Value = serde_json::from_str(&json(&answers)).unwrap();
    assert_eq!(value["serving"], true);
    assert_eq!(value["trouble"], serde_json::Value::Null);
    assert_eq!(value["nodes"][0]["error"], "no answer within 2 s");
    assert_eq!(value["nodes"][1]["status"]["groups"][0]["leader"], 2);
    assert_eq!(value["nodes"][1]["admin"], "127.0.0.1:8402");
}

#[test]
fn status_of_another_release_is_read() {
    let newer = r#"{"node":7,"mood":"good","groups":[{"role":"leader","weather":{}}]}"#;
    let status: NodeStatus = serde_json::from_str(newer).unwrap();
    assert_eq!(status.node, 7);
    assert!(status.groups[0].leads());
}

#[test]
fn consensus_is_rendered_whole() {
    let at = |index, term| Position {
        index: Index(index),
        epoch: Epoch::term(term),
    };
    let mut membership = Membership::of_voters([NodeId(1), NodeId(2)]);
    membership.members.get_mut(&NodeId(2)).unwrap().disk = DiskId(0xab);
    let status = Status {
        node: NodeId(1),
        role: Role::Leader,
        epoch: Epoch::term(4),
        leader: Some(NodeId(1)),
        last: at(9, 4),
        persisted: Index(8),
        committed: Index(7),
        applied: Index(6),
        purged: Index(2),
        membership,
        peers: vec![consensus::PeerStatus {
            node: NodeId(2),
            matched: Index(5),
            active: true,
            in_flight: 3,
        }],
    };
    let group = GroupStatus::of(0, "raft", &status, 99);
    assert!(group.leads() && group.has_quorum(1));
    let indexes = (
        group.last,
        group.persisted,
        group.committed,
        group.applied,
        group.purged,
    );
    assert_eq!(indexes, (9, 8, 7, 6, 2));
    assert_eq!((group.epoch, group.leader, group.time_ms), (4, Some(1), 99));
    let peer = &group.peers[0];
    assert_eq!(
        (
            peer.node,
            peer.matched,
            peer.lag,
            peer.active,
            peer.in_flight
        ),
        (2, 5, 4, true, 3)
    );
    assert_eq!(group.membership.disks[&1], None);
    assert_eq!(
        group.membership.disks[&2].as_deref(),
        Some("000000000000000000000000000000ab")
    );
}
