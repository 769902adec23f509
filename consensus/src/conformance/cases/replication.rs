//! Batches in, the same batches out, everywhere, in order.

use super::{Answer, Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, NodeId, Position, Refusal, RequestId};

/// What is proposed is committed, and applied on every node.
pub fn commits_on_all_nodes<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 2, 3, 4, 5, 7], |cluster| {
        cluster.commit(50);
        cluster.settle();
        cluster.converge();
    });
}

/// A majority is enough.
pub fn commits_on_a_majority<C: Consensus>(configure: Configure<'_, C>) {
    for (size, down) in [(3, 1), (4, 1), (5, 2), (7, 3)] {
        each_size::<C>(configure, &[size], |cluster| {
            cluster.elect();
            for id in cluster.followers().into_iter().take(down) {
                cluster.crash(id, 0);
            }
            cluster.commit(20);
            cluster.settle();
            cluster.converge();
        });
    }
}

/// Less than a majority is not.
pub fn commits_nothing_without_a_majority<C: Consensus>(configure: Configure<'_, C>) {
    for (size, down) in [(2, 1), (3, 2), (4, 2), (5, 3)] {
        each_size::<C>(configure, &[size], |cluster| {
            let leader = cluster.elect();
            cluster.commit(1);
            cluster.settle();
            let before = cluster.committed();
            for id in cluster.followers().into_iter().take(down) {
                cluster.crash(id, 0);
            }
            cluster.propose(leader);
            cluster.run_for(seconds(20));
            cluster.check(
                cluster.committed() == before,
                "committed without a majority",
            );
            cluster.converge();
        });
    }
}

/// Five nodes work with two of them down, whichever they are.
pub fn five_nodes_survive_two_crashes<C: Consensus>(configure: Configure<'_, C>) {
    for first in 1..=5 {
        for second in first + 1..=5 {
            let mut cluster = Cluster::<C>::new(configure, 5, first * 10 + second);
            cluster.commit(3);
            cluster.crash(NodeId(first), 0);
            cluster.commit(3);
            cluster.crash(NodeId(second), 0);
            cluster.commit(3);
            cluster.converge();
        }
    }
}

/// A node that does not lead takes nothing in, and says so: whether it follows a leader or knows
/// of none.
pub fn proposal_on_follower_is_refused_not_leader<C: Consensus>(configure: Configure<'_, C>) {
    let mut cluster = Cluster::<C>::new(configure, 3, 1);
    let refused = Some(Answer::Refused(Refusal::NotLeader));
    for id in cluster.ids() {
        let request = cluster.propose(id);
        cluster.check(
            cluster.answer(request) == refused,
            format_args!("{id} leads from the start?"),
        );
    }
    cluster.elect();
    cluster.commit(1);
    for id in cluster.followers() {
        let request = cluster.propose(id);
        cluster.run_until(seconds(5), |cluster| cluster.answer(request).is_some());
        cluster.check(
            cluster.answer(request) == refused,
            format_args!("{id} follows; it answers {:?}", cluster.answer(request)),
        );
    }
    cluster.converge();
}

/// Proposals that follow each other without a pause get positions of their own, in order, and are
/// committed there.
pub fn accepted_positions_are_unique<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        let leader = cluster.elect();
        cluster.commit(1);
        let requests: Vec<RequestId> = (0..100).map(|_| cluster.propose(leader)).collect();
        cluster.run_until(seconds(5), |cluster| {
            requests.iter().all(|r| cluster.answer(*r).is_some())
        });
        let positions: Vec<Position> = requests
            .iter()
            .map(|request| match cluster.answer(*request) {
                Some(Answer::Accepted(at)) => at,
                other => cluster.fail(format_args!("{request:?}: {other:?}")),
            })
            .collect();
        cluster.check(
            positions.is_sorted_by(|a, b| a.index < b.index),
            "positions do not ascend",
        );
        cluster.settle();
        cluster.run_for(seconds(2));
        for (request, at) in requests.iter().zip(&positions) {
            cluster.check(
                cluster.committed_batch(*request) == Some(at.index),
                format_args!("{request:?}, accepted at {at}, is not committed there"),
            );
        }
        cluster.converge();
    });
}

/// Every request is answered once: proposals, reads and changes, on every node, leader or not.
pub fn every_request_is_answered_once<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3, 5], |cluster| {
        cluster.elect();
        for _ in 0..5 {
            for id in cluster.ids() {
                cluster.propose(id);
                cluster.read(id, crate::ReadMode::Quorum);
                cluster.read(id, crate::ReadMode::Lease);
                cluster.reconfigure(id);
            }
            cluster.run_for(millis(50));
        }
        cluster.converge();
    });
}

/// Batches may be as large as one command is: two of 4 MiB among small ones.
pub fn large_batches_are_replicated<C: Consensus>(configure: Configure<'_, C>) {
    let mut cluster = Cluster::<C>::new(configure, 3, 1);
    let leader = cluster.elect();
    let requests: Vec<RequestId> = [0, 4 << 20, 0, 4 << 20, 0]
        .map(|size| cluster.propose_sized(leader, size))
        .into();
    let committed = cluster.run_until(seconds(20), |cluster| {
        requests
            .iter()
            .all(|r| cluster.committed_batch(*r).is_some())
    });
    cluster.check(committed, "not committed in twenty seconds");
    cluster.converge();
}
