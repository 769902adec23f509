//! Networks that lose, repeat, disorder, and divide.

use super::{Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, NodeId, RequestId};

/// Every message may come twice, late, and in any order.
pub fn duplicated_and_reordered_messages_change_nothing<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.net.duplicate_percent = 50;
        cluster.net.reorder = true;
        cluster.net.latency_us = (100, 8_000);
        let leader = cluster.elect();
        let mut requests: Vec<RequestId> = Vec::new();
        for _ in 0..200 {
            let leader = cluster.leader().unwrap_or(leader);
            requests.push(cluster.propose(leader));
            cluster.run_for(millis(2));
        }
        cluster.run_for(seconds(2));
        let committed = |r: &&RequestId| cluster.committed_batch(**r).is_some();
        let committed = requests.iter().filter(committed).count();
        cluster.check(
            committed >= 150,
            format_args!("only {committed} of 200 are committed, though nothing is lost"),
        );
        cluster.converge();
    });
}

/// A third of all messages is lost; work goes on.
pub fn lost_messages_are_made_good<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.elect();
        cluster.net.loss_percent = 30;
        cluster.commit(30);
        cluster.converge();
    });
}

/// A node that was cut off, and has tried to be elected all the while, comes back without ending
/// the reign, and catches up.
pub fn partitioned_node_rejoins_without_disturbing<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.elect();
        cluster.commit(3);
        let lonely = cluster.follower();
        cluster.isolate(&[lonely]);
        cluster.commit(20);
        cluster.run_for(seconds(20));
        let reign = cluster.reign();
        cluster.heal();
        cluster.settle();
        cluster.run_for(seconds(10));
        cluster.check(cluster.reign() == reign, "its return has ended the reign");
        cluster.converge();
    });
}

/// A leader that only hears, or is only heard, is no use: one is found that can work.
pub fn one_way_partition_elects_a_leader_that_can_work<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        for deaf in [true, false] {
            let old = cluster.elect();
            cluster.commit(1);
            if deaf {
                cluster.deafen(old);
            } else {
                cluster.silence(old);
            }
            works_within_a_minute(cluster);
            cluster.converge();
        }
    });
}

/// Five nodes of which only one reaches all others, and it does not lead: no other node reaches a
/// majority, so it must come to lead.
pub fn node_that_reaches_a_majority_comes_to_lead<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[5], |cluster| {
        cluster.elect();
        cluster.commit(3);
        cluster.settle();
        let hub = cluster.follower();
        for a in cluster.ids() {
            for b in cluster.ids() {
                if a != b && a != hub && b != hub {
                    cluster.net.cut(a, b);
                }
            }
        }
        works_within_a_minute(cluster);
        cluster.converge();
    });
}

/// Three nodes in a chain: the two ends do not reach each other. There is a leader, and it lasts:
/// the end that does not hear it does not depose it again and again.
pub fn chain_of_nodes_keeps_a_leader<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        let leader = cluster.elect();
        cluster.commit(3);
        let end = cluster.follower();
        cluster.net.cut(leader, end);
        cluster.net.cut(end, leader);
        works_within_a_minute(cluster);
        cluster.run_for(seconds(10));
        let reign = cluster.reign();
        cluster.run_for(seconds(20));
        cluster.check(
            reign.is_some() && cluster.reign() == reign,
            "the reign does not last",
        );
        cluster.converge();
    });
}

/// Something new is committed, without the case knowing who can still lead.
fn works_within_a_minute<C: Consensus>(cluster: &mut Cluster<'_, C>) {
    let until = cluster.now() + super::LIMIT;
    let mut requests: Vec<RequestId> = Vec::new();
    loop {
        for id in leaders(cluster) {
            requests.push(cluster.propose(id));
        }
        cluster.run_for(millis(200));
        // A leader of before may still commit what it had under way; what counts is an answer
        // that is new.
        let fresh = requests.iter().skip(5);
        if fresh
            .into_iter()
            .any(|r| cluster.committed_batch(*r).is_some())
        {
            return;
        }
        if cluster.now() > until {
            cluster.fail("nothing is committed in a minute, though a leader could work");
        }
    }
}

fn leaders<C: Consensus>(cluster: &Cluster<'_, C>) -> Vec<NodeId> {
    let mut up = cluster.up();
    up.retain(|id| cluster.node(*id).leads().is_some());
    up
}

/// Whatever the network did, when it is whole again everything is well again.
pub fn heals_and_makes_progress<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[2, 3, 4, 5], |cluster| {
        for _ in 0..10 {
            let ids = cluster.ids();
            for from in &ids {
                for to in &ids {
                    if from != to && cluster.random().chance(40) {
                        cluster.net.cut(*from, *to);
                    }
                }
            }
            for _ in 0..20 {
                let id = cluster.random().pick(&ids);
                cluster.propose(id);
                cluster.read(id, crate::ReadMode::Quorum);
                cluster.run_for(millis(50));
            }
            cluster.net.mend_all();
            cluster.run_for(millis(300));
        }
        cluster.converge();
    });
}
