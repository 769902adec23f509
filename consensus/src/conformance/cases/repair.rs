//! What a node has lost its peers make good; and a snapshot that comes to nothing.

use super::{Cluster, Configure, each_size, seconds};
use crate::{Consensus, Index, Input, Position};

/// A snapshot is wanted and cannot be installed: the log goes on as if it had not been offered.
pub fn abandoned_snapshot_holds_nothing_back<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.commit(3);
        cluster.settle();
        let slow = cluster.follower();
        let leader = cluster.elect();
        cluster.isolate(&[slow]);
        cluster.commit(5);
        cluster.refused_installs = 1;
        cluster.offer_snapshot(leader, slow);
        let installs = cluster.node(slow).installs();
        cluster.check(installs, "it does not want what is above its commits");
        cluster.run_for(seconds(1));
        cluster.net.mend_all();
        cluster.settle();
        cluster.converge();
    });
}

/// Everybody's log begins at its end, nothing is written any more, and one node's state machine is
/// gone: its log is as long as anybody's, but what it lacks it gets only by a snapshot.
pub fn state_lost_below_the_log_comes_by_snapshot<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.commit(20);
        cluster.settle();
        for id in cluster.ids() {
            let upto = cluster.node(id).applied.index;
            cluster.flush_state(id);
            cluster.step(id, Input::Compact { upto });
        }
        cluster.run_for(seconds(1));
        let lost = cluster.follower();
        let before = cluster.snapshots_sent();
        cluster.crash(lost, 0);
        cluster.set_applied(lost, Position::ZERO);
        cluster.start(lost);
        cluster.settle();
        let sent = cluster.snapshots_sent() > before;
        cluster.check(sent, "it has its state again without a snapshot");
        cluster.converge();
    });
}

/// A committed entry that a follower cannot read any more is sent to it again, and after that it
/// is as good as the others: it may be needed to elect the next leader.
pub fn unreadable_entry_of_a_follower_is_made_good<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        cluster.commit(10);
        cluster.settle();
        let spoiled = cluster.follower();
        cluster.crash(spoiled, 0);
        cluster.spoil_entry(spoiled, Index(5));
        cluster.start(spoiled);
        cluster.settle();
        crash_leader_and_go_on(cluster);
    });
}

/// A node that lost entries which it had acknowledged gets them from its peers; once it has them
/// its vote counts, and may be the one that is needed.
pub fn damaged_node_is_repaired_and_votes_again<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        cluster.commit(5);
        cluster.settle();
        let damaged = cluster.follower();
        cluster.crash(damaged, 0);
        cluster.set_damaged(damaged, true);
        cluster.rewrite_log(damaged, |log| {
            log.entries.split_off(&Index(2));
        });
        cluster.start(damaged);
        cluster.run_for(seconds(10));
        cluster.commit(3);
        cluster.settle();
        crash_leader_and_go_on(cluster);
    });
}

/// Of three nodes the two that are left are both needed.
fn crash_leader_and_go_on<C: Consensus>(cluster: &mut Cluster<'_, C>) {
    let leader = cluster.elect();
    cluster.crash(leader, 0);
    cluster.elect();
    cluster.commit(3);
    cluster.converge();
}
