//! A vote is an assertion like any other: given once it is durable, and then for good.
//!
//! The cases do not look at votes, which not every protocol calls so. They let a voter crash at
//! the worst moment and see whether an epoch gets two leaders, or something committed is lost.

use super::{Cluster, Configure, millis, seconds};
use crate::{Consensus, NodeId};

/// A vote that is lost with a crash was never given. One of two voters has a disk that hangs; if
/// the other comes to lead all the same, that voter crashes, forgets, and meets a third node that
/// knows nothing: there must be no second leader of the same epoch, and nothing committed lost.
pub fn vote_waits_for_persisted<C: Consensus>(configure: Configure<'_, C>) {
    let (candidate, voter, third) = (NodeId(1), NodeId(2), NodeId(3));
    for seed in 0..8 {
        let mut cluster = Cluster::<C>::down(configure, 3, seed);
        cluster.hang_disk(voter);
        cluster.start(candidate);
        cluster.start(voter);
        if cluster.run_until(seconds(20), |cluster| cluster.leader().is_some()) {
            if let Some(leader) = cluster.leader() {
                cluster.propose(leader);
            }
            cluster.run_for(seconds(1));
            cluster.crash(voter, 0);
            cluster.lose_under_way(candidate);
            cluster.isolate(&[candidate]);
            cluster.start(voter);
            cluster.start(third);
            cluster.run_for(seconds(20));
        }
        cluster.converge();
    }
}

/// What a vote waits for is the write that holds it, not just any: a voter's disk finishes an
/// earlier write, and the voter crashes before it gets to the vote.
pub fn vote_waits_for_its_own_write<C: Consensus>(configure: Configure<'_, C>) {
    for seed in 0..8 {
        let mut cluster = Cluster::<C>::new(configure, 3, seed);
        let first = cluster.elect();
        cluster.commit(2);
        cluster.settle();
        let voter = cluster.follower();
        cluster.hang_disk(voter);
        cluster.propose(first);
        cluster.run_for(millis(20));
        cluster.crash(first, 0);
        let voted = |cluster: &Cluster<'_, C>| cluster.node(voter).disk.queued() >= 2;
        cluster.run_until(seconds(20), voted);
        cluster.persist_next(voter);
        if cluster.run_until(millis(50), |cluster| cluster.leader().is_some()) {
            let second = cluster.leader().unwrap_or_default();
            cluster.lose_under_way(second);
            cluster.isolate(&[second]);
            cluster.restart(voter);
            cluster.start(first);
            cluster.run_for(seconds(20));
        }
        cluster.converge();
    }
}

/// A vote that was given stays given. The moment a leader is elected it is cut off, and its voter
/// crashes, before it has heard anything but the request for its vote; then that voter meets a
/// third node that knows nothing. What they elect leads another epoch.
pub fn vote_is_kept_across_a_crash<C: Consensus>(configure: Configure<'_, C>) {
    for seed in 0..8 {
        let mut cluster = Cluster::<C>::down(configure, 3, seed);
        cluster.start(NodeId(1));
        cluster.start(NodeId(2));
        let led = cluster.run_until(super::LIMIT, |cluster| cluster.leader().is_some());
        cluster.check(led, "two of three nodes elect nobody");
        let leader = cluster.leader().unwrap_or_default();
        let voter = cluster.follower();
        cluster.lose_under_way(leader);
        cluster.isolate(&[leader]);
        cluster.restart(voter);
        cluster.start(NodeId(3));
        let other = |cluster: &Cluster<'_, C>| cluster.leader().is_some_and(|l| l != leader);
        let led = cluster.run_until(super::LIMIT, other);
        cluster.check(led, "nobody succeeds the leader that is cut off");
        cluster.commit(2);
        cluster.converge();
    }
}

/// A vote is given once, though the voter crashes in between. Two nodes that do not hear each
/// other ask a third; when it has made one of them the leader, it crashes and comes back, and
/// everything the other has ever asked of it arrives once more.
pub fn vote_is_given_once_across_a_crash<C: Consensus>(configure: Configure<'_, C>) {
    let voter = NodeId(2);
    for seed in 0..60 {
        let mut cluster = Cluster::<C>::new(configure, 3, seed);
        cluster.record = Some(Vec::new());
        cluster.net.latency_us = (10_000, 60_000);
        cluster.net.cut(NodeId(1), NodeId(3));
        cluster.net.cut(NodeId(3), NodeId(1));
        let led = cluster.run_until(super::LIMIT, |cluster| cluster.leader().is_some());
        cluster.check(led, "a node that two others hear elects neither");
        let leader = cluster.leader().unwrap_or_default();
        if leader != voter {
            cluster.isolate(&[leader]);
            cluster.restart(voter);
            let asked = cluster.record.take().unwrap_or_default();
            for (from, _, bytes) in asked.into_iter().filter(|(_, to, _)| *to == voter) {
                if from != leader {
                    cluster.forge(from, voter, bytes);
                }
            }
            cluster.run_for(millis(500));
        }
        cluster.converge();
    }
}
