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
        if cluster.ids().len() > 1 {
            missed_by_a_follower(cluster, 60);
        } else {
            cluster.commit(60);
        }
        cluster.fetch_most = 5;
        cluster.settle();
        for id in cluster.ids() {
            cluster.restart(id);
        }
        cluster.converge();
    });
}

/// A node whose log store cannot read does not ask without pause, and the others go on without
/// it. When its log can be read again and it has restarted, it catches up.
pub fn unreadable_entries_are_not_asked_for_without_pause<C: Consensus>(
    configure: Configure<'_, C>,
) {
    for (unreadable, seed) in (1..=3).flat_map(|id| [(NodeId(id), 1), (NodeId(id), 2)]) {
        let mut cluster = Cluster::<C>::new(configure, 3, seed);
        missed_by_a_follower(&mut cluster, 60);
        cluster.fetch_corrupt = Some(unreadable);
        cluster.crash_all();
        cluster.start_all();
        cluster.commit(10);
        cluster.run_for(seconds(5));
        let before = cluster.node(unreadable).fetches;
        cluster.run_for(seconds(5));
        let asked = cluster.node(unreadable).fetches - before;
        cluster.check(
            asked <= 5_000,
            format_args!("{asked} fetches in five seconds that all fail"),
        );
        cluster.commit(10);
        cluster.fetch_corrupt = None;
        cluster.restart(unreadable);
        cluster.converge();
    }
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

/// A follower that needs what has left the log gets a snapshot instead, and entries from there
/// on: though the first one is lost on its way, and though it crashes while it installs one.
pub fn follower_below_the_log_catches_up_by_snapshot<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.commit(3);
        let slow = cluster.follower();
        for crashes in [false, true] {
            cluster.isolate(&[slow]);
            cluster.commit(40);
            for id in cluster.ids() {
                if id != slow {
                    let upto = cluster.node(id).applied.index;
                    cluster.flush_state(id);
                    cluster.step(id, crate::Input::Compact { upto });
                }
            }
            cluster.commit(3);
            let before = cluster.snapshots_sent();
            // It is heard again before it hears: what is sent to it at first is lost.
            for other in cluster.ids() {
                cluster.net.mend(slow, other);
            }
            cluster.run_for(seconds(2));
            cluster.net.mend_all();
            if crashes {
                let sent = |cluster: &Cluster<'_, C>| cluster.snapshots_sent() > before;
                cluster.run_until(seconds(5), sent);
                cluster.run_for(millis(5));
                cluster.restart(slow);
            }
            cluster.commit(3);
            cluster.settle();
            let sent = cluster.snapshots_sent() > before;
            cluster.check(
                sent,
                "it has caught up without a snapshot: nothing was purged",
            );
        }
        cluster.converge();
    });
}
