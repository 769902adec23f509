//! Entries come back from the log, since the protocol owns no storage.

use super::{Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, NodeId};

/// A follower that has missed a lot gets it, from a leader that must read it back from its log;
/// the log store gives as many entries at once as it likes.
pub fn slow_follower_catches_up_by_fetch<C: Consensus>(configure: Configure<'_, C>) {
    for most in [usize::MAX, 7, 1] {
        each_size::<C>(configure, &[3, 5], |cluster| {
            cluster.fetch_most = most;
            missed_by_a_follower(cluster, 120);
            cluster.fetch_most = most;
            cluster.settle();
            let fetches: u64 = cluster
                .ids()
                .iter()
                .map(|id| cluster.node(*id).fetches)
                .sum();
            cluster.check(fetches > 0, "it was not read back from any log");
            cluster.converge();
        });
    }
}

/// Cuts a follower off, commits without it, and restarts everybody, so that nothing is in memory
/// any more.
fn missed_by_a_follower<C: Consensus>(cluster: &mut Cluster<'_, C>, count: usize) -> NodeId {
    cluster.commit(3);
    let slow = cluster.follower();
    cluster.isolate(&[slow]);
    cluster.commit(count);
    for id in cluster.ids() {
        cluster.flush_state(id);
    }
    cluster.crash_all();
    cluster.heal();
    cluster.start_all();
    slow
}

/// Answers that are not waited for are dropped: under ids that were never given out, and under
/// one that is answered already, with forged contents.
pub fn fetch_answers_with_stale_ids_are_dropped<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        cluster.fetch_noise = true;
        cluster.fetch_most = 5;
        missed_by_a_follower(cluster, 60);
        cluster.settle();
        for id in cluster.ids() {
            cluster.restart(id);
        }
        cluster.converge();
    });
}

/// A log store that cannot read is asked again now and then, not without pause, and nothing
/// panics. When it can read again, the follower catches up.
pub fn unreadable_entries_are_not_asked_for_without_pause<C: Consensus>(
    configure: Configure<'_, C>,
) {
    each_size::<C>(configure, &[3], |cluster| {
        cluster.fetch_corrupt = true;
        cluster.commit(3);
        let slow = cluster.follower();
        cluster.isolate(&[slow]);
        cluster.commit(60);
        for id in cluster.ids() {
            cluster.flush_state(id);
        }
        cluster.crash_all();
        cluster.net.mend_all();
        cluster.start_all();
        let fetches = |cluster: &Cluster<'_, C>| -> u64 {
            let ids = cluster.ids();
            ids.iter().map(|id| cluster.node(*id).fetches).sum()
        };
        cluster.run_for(seconds(5));
        let before = fetches(cluster);
        cluster.run_for(seconds(5));
        let asked = fetches(cluster) - before;
        cluster.check(
            asked <= 5_000,
            format_args!("{asked} fetches in five seconds that all fail"),
        );
        cluster.converge();
    });
}

/// A node that restarts with committed entries in its log, none of them applied, applies them
/// all: from its log, and whether or not commits are applied quickly.
pub fn restarted_node_applies_from_its_log<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        cluster.commit(100);
        cluster.settle();
        cluster.crash_all();
        cluster.start_all();
        let slow = NodeId(1);
        cluster.hold_apply(slow);
        cluster.commit(10);
        cluster.run_for(millis(500));
        cluster.release_apply(slow);
        cluster.settle();
        cluster.converge();
    });
}
