//! What a leader that was cut short leaves behind: entries that some nodes have and others lack,
//! and entries that never will be committed.
//!
//! A protocol whose log has no holes rules some of this out by its form. One that fills its slots
//! in any order must take care of it, above all when the next leader takes over.

use super::{Cluster, Configure, each_size, millis, seconds};
use crate::{Channel, Consensus, NodeId, RequestId};

/// A leader crashes while each of its last entries has reached other followers than the one
/// before. Its successor commits in order and without holes, and everybody agrees.
pub fn scattered_entries_of_a_crashed_leader_leave_no_holes<C: Consensus>(
    configure: Configure<'_, C>,
) {
    for round in 0..6 {
        each_size::<C>(configure, &[3, 5], |cluster| {
            for _ in 0..round {
                cluster.random().next();
            }
            let leader = cluster.elect();
            cluster.commit(2);
            let followers = cluster.followers();
            for _ in 0..12 {
                for id in &followers {
                    if cluster.random().chance(60) {
                        cluster.net.cut(leader, *id);
                    }
                }
                if cluster.node(leader).leads().is_some() {
                    cluster.propose(leader);
                }
                cluster.net.mend_all();
                let pause = crate::Micros(cluster.random().below(1_500));
                cluster.run_for(pause);
            }
            cluster.crash(leader, 0);
            cluster.commit(5);
            cluster.settle();
            cluster.converge();
        });
    }
}

/// Hearing that an index is committed does not bless what happens to stand there: a deposed
/// leader, with entries of its own at the indexes at which others were committed, hears of the
/// new leader's progress but not yet its entries.
pub fn hearing_of_a_commit_does_not_bless_stale_entries<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        let deposed = cluster.elect();
        cluster.commit(3);
        cluster.settle();
        let others = cluster.followers();
        cluster.isolate(&[deposed]);
        let stale: Vec<RequestId> = (0..5).map(|_| cluster.propose(deposed)).collect();
        cluster.run_for(millis(30));
        let successor = |cluster: &Cluster<'_, C>| cluster.leader().is_some_and(|l| l != deposed);
        let succeeded = cluster.run_until(super::LIMIT, successor);
        cluster.check(succeeded, "nobody succeeds the leader that is cut off");
        cluster.commit(8);
        for id in &others {
            cluster.net.hold(*id, deposed, Channel::Bulk);
        }
        cluster.net.mend_all();
        cluster.run_for(seconds(3));
        lost(cluster, &stale);
        // And once more after a restart, from what its disk holds.
        cluster.restart(deposed);
        cluster.run_for(seconds(3));
        lost(cluster, &stale);
        cluster.converge();
        lost(cluster, &stale);
    });
}

fn lost<C: Consensus>(cluster: &Cluster<'_, C>, stale: &[RequestId]) {
    let committed = |request: &&RequestId| cluster.committed_batch(**request).is_some();
    if let Some(request) = stale.iter().find(committed) {
        cluster.fail(format_args!(
            "{request:?}, of a deposed leader, is committed"
        ));
    }
}

/// Figure 8 of the Raft paper. A former leader's entry, which a later leader spreads to a
/// majority, is not decided by being there: a node that led in between, and has an entry of its
/// own at that index, may still be elected. Only what the later leader says in its own epoch
/// rules that out.
pub fn copies_alone_do_not_commit_what_a_former_leader_left<C: Consensus>(
    configure: Configure<'_, C>,
) {
    for round in 0..4 {
        each_size::<C>(configure, &[5], |cluster| {
            for _ in 0..round {
                cluster.random().next();
            }
            // One leader's entry reaches one other node.
            let first = cluster.elect();
            cluster.commit(2);
            cluster.settle();
            let second = cluster.follower();
            cluster.isolate(&[first, second]);
            let entry = cluster.propose(first);
            cluster.run_for(millis(30));
            cluster.crash_all_of(&[first, second]);
            // Another one leads without those two, and is alone with its entry.
            let led = |cluster: &Cluster<'_, C>| cluster.leader().is_some();
            let elected = cluster.run_until(super::LIMIT, led);
            cluster.check(elected, "three of five nodes elect nobody");
            let between = cluster.leader().unwrap_or_default();
            cluster.silence(between);
            cluster.lose_under_way(between);
            cluster.propose(between);
            cluster.run_for(millis(30));
            cluster.crash(between, 0);
            // One of those two leads, and the entry reaches a third node, but nothing newer does.
            let rest: Vec<NodeId> = cluster.up();
            cluster.start(first);
            cluster.start(second);
            cluster.net.mend_all();
            let elected = cluster.run_until(super::LIMIT, led);
            cluster.check(elected, "four of five nodes elect nobody");
            let later = cluster.leader().unwrap_or_default();
            if let [third, fourth] = rest[..] {
                cluster.net.cut(later, fourth);
                cluster.run_until(millis(100), |cluster| cluster.is_durable(third, entry));
                cluster.net.cut(later, third);
            }
            cluster.lose_under_way(later);
            cluster.run_for(millis(30));
            // The one in between comes back, and those two go.
            cluster.crash_all_of(&[first, second]);
            cluster.net.mend_all();
            cluster.start(between);
            cluster.commit(2);
            cluster.converge();
        });
    }
}

/// Leaders are cut off one after the other, each with entries that only it has; then all come
/// back at once. One history remains.
pub fn branches_of_several_deposed_leaders_become_one_history<C: Consensus>(
    configure: Configure<'_, C>,
) {
    each_size::<C>(configure, &[5], |cluster| {
        let mut deposed: Vec<NodeId> = Vec::new();
        for _ in 0..2 {
            let leader = cluster.elect();
            cluster.commit(2);
            deposed.push(leader);
            cluster.isolate(&deposed);
            for a in &deposed {
                for b in &deposed {
                    cluster.net.cut(*a, *b);
                }
            }
            for _ in 0..4 {
                cluster.propose(leader);
            }
            cluster.run_for(millis(30));
            let successor = |cluster: &Cluster<'_, C>| {
                let mut leader = cluster.leader().into_iter();
                leader.any(|leader| !deposed.contains(&leader))
            };
            let succeeded = cluster.run_until(super::LIMIT, successor);
            cluster.check(succeeded, "nobody succeeds the leader that is cut off");
        }
        cluster.commit(2);
        cluster.crash_all();
        cluster.converge();
    });
}
