//! Nothing is asserted before it is durable.
//!
//! The cluster itself checks at every commit that the entry is durable on a majority; the cases
//! here bring about the moments at which that is hard, and see that it is not bought with
//! idleness: what may happen early, must.

use super::{Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, NodeId};

/// A leader whose own disk is slow still sends its entries at once.
pub fn leader_replicates_in_parallel_with_its_own_write<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        let leader = cluster.elect();
        cluster.commit(1);
        cluster.settle();
        cluster.hang_disk(leader);
        let request = cluster.propose(leader);
        let followers = cluster.followers();
        let everywhere = |cluster: &Cluster<'_, C>| {
            let mut followers = followers.iter();
            followers.all(|id| cluster.is_durable(*id, request))
        };
        let early = cluster.run_until(millis(100), everywhere);
        cluster.check(early, "the leader waits for its own disk before it sends");
        cluster.check(
            !cluster.is_durable(leader, request),
            "the leader's disk did not hang",
        );
        cluster.converge();
    });
}

/// A leader is no copy of its own entry until its disk is done: with just enough nodes up for a
/// majority, or alone.
pub fn leader_counts_itself_only_after_persisted<C: Consensus>(configure: Configure<'_, C>) {
    for (size, down) in [(1, 0), (2, 0), (3, 1), (5, 2)] {
        each_size::<C>(configure, &[size], |cluster| {
            let leader = cluster.elect();
            cluster.commit(1);
            cluster.settle();
            for id in cluster.followers().into_iter().take(down) {
                cluster.crash(id, 0);
            }
            cluster.hang_disk(leader);
            let request = cluster.propose(leader);
            cluster.run_for(millis(50));
            for id in cluster.followers() {
                let durable = cluster.is_durable(id, request);
                cluster.check(durable, format_args!("{id} has not written the entry"));
            }
            let early = cluster.committed_batch(request);
            cluster.check(early.is_none(), "committed without the leader's own copy");
            cluster.free_disk(leader);
            cluster.converge();
        });
    }
}

/// A follower's acknowledgement means that its disk holds the entry.
pub fn acknowledgement_waits_for_persisted<C: Consensus>(configure: Configure<'_, C>) {
    for (size, down) in [(2, 0), (3, 1), (5, 2)] {
        each_size::<C>(configure, &[size], |cluster| {
            let leader = cluster.elect();
            cluster.commit(1);
            cluster.settle();
            for id in cluster.followers().into_iter().take(down) {
                cluster.crash(id, 0);
            }
            let slow = cluster.follower();
            cluster.hang_disk(slow);
            let request = cluster.propose(leader);
            cluster.run_for(millis(50));
            cluster.check(
                cluster.is_written(slow, request),
                "the follower has not even queued the entry",
            );
            let early = cluster.committed_batch(request);
            cluster.check(early.is_none(), "committed before the follower's write");
            cluster.free_disk(slow);
            cluster.converge();
        });
    }
}

/// A node whose disk has never taken anything in leads nothing and accepts nothing: if it crashed
/// and came back without its hard state, it could fill the same epoch with other entries.
pub fn entries_leave_only_after_hard_state_of_their_epoch<C: Consensus>(
    configure: Configure<'_, C>,
) {
    for (size, seeds) in [(1, 2), (2, 4), (3, 12)] {
        for seed in 0..seeds {
            let mut cluster = Cluster::<C>::down(configure, size, seed);
            let hung = NodeId(1);
            cluster.hang_disk(hung);
            cluster.start_all();
            for _ in 0..100 {
                let request = cluster.propose(hung);
                let led = |cluster: &Cluster<'_, C>| cluster.node(hung).leads().is_some();
                let led = cluster.run_until(millis(100), led);
                cluster.check(!led, "it leads, and a crash would undo that");
                let mut others = cluster.ids().into_iter().filter(|id| *id != hung);
                let left = others.any(|id| cluster.is_written(id, request));
                cluster.check(!left, "its entry has left it");
            }
            cluster.converge();
        }
    }
}

/// One report covers all writes before it.
pub fn persisted_covers_all_earlier_writes<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        let leader = cluster.elect();
        cluster.commit(1);
        cluster.settle();
        let ids = cluster.ids();
        ids.iter().for_each(|id| cluster.hang_disk(*id));
        let mut requests = Vec::new();
        for _ in 0..20 {
            requests.push(cluster.propose(leader));
            cluster.run_for(millis(2));
        }
        ids.iter().for_each(|id| cluster.free_disk(*id));
        let all = |cluster: &Cluster<'_, C>| {
            let mut requests = requests.iter();
            requests.all(|request| cluster.committed_batch(*request).is_some())
        };
        let committed = cluster.run_until(seconds(5), all);
        cluster.check(committed, "not everything reported durable is committed");
        cluster.converge();
    });
}

/// An index that is written twice is durable when the second write is. A slow follower has an
/// entry of a deposed leader in its queue, and behind it the successor's at the same index. The
/// first becomes durable; what the follower acknowledges then would be the copy that makes a
/// majority.
pub fn index_is_durable_when_its_last_write_is<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[5], |cluster| {
        let deposed = cluster.elect();
        cluster.commit(2);
        cluster.settle();
        let slow = cluster.follower();
        cluster.hang_disk(slow);
        cluster.isolate(&[deposed, slow]);
        let stale: Vec<_> = (0..3).map(|_| cluster.propose(deposed)).collect();
        cluster.run_for(millis(30));
        let queued = stale.iter().all(|r| cluster.is_written(slow, *r));
        cluster.check(queued, "the slow follower has not queued the entries");
        cluster.net.mend_all();
        cluster.isolate(&[deposed]);
        let successor = |cluster: &Cluster<'_, C>| cluster.leader().is_some_and(|l| l != deposed);
        let succeeded = cluster.run_until(super::LIMIT, successor);
        cluster.check(succeeded, "three of five nodes elect nobody");
        let leader = cluster.leader().unwrap_or_default();
        let sound: Vec<NodeId> = cluster.followers();
        let spare = sound.into_iter().find(|id| ![slow, deposed].contains(id));
        cluster.crash(spare.unwrap_or_default(), 0);
        for _ in 0..3 {
            cluster.propose(leader);
        }
        cluster.run_for(millis(60));
        while cluster.node(slow).disk.queued() > 0 {
            cluster.persist_next(slow);
            cluster.run_for(millis(5));
        }
        cluster.converge();
    });
}
