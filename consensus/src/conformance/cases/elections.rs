//! Who leads, when, and when nobody may.

use super::{Cluster, Configure, each_size, seconds};
use crate::{Consensus, NodeId};

/// One node comes to lead, everybody knows it, and it stays so.
pub fn elects_one_leader<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 2, 3, 4, 5, 7], |cluster| {
        let leader = cluster.elect();
        cluster.run_for(seconds(2));
        let reign = cluster.reign();
        for id in cluster.ids() {
            let knows = cluster.node(id).leadership;
            let agrees = reign.is_some_and(|(epoch, who)| knows == Some((epoch, Some(who))));
            cluster.check(agrees, format_args!("{id} does not know the leader"));
        }
        cluster.check(
            reign.is_some_and(|(_, who)| who == leader),
            "the first leader did not last two seconds of peace",
        );
        cluster.run_for(seconds(20));
        cluster.check(cluster.reign() == reign, "the reign ended without a reason");
        cluster.converge();
    });
}

/// When the leader crashes, another one takes over, in a higher epoch.
pub fn elects_another_leader_when_one_crashes<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 4, 5], |cluster| {
        let first = cluster.elect();
        let before = cluster.reign();
        cluster.crash(first, 0);
        let second = cluster.elect();
        cluster.check(first != second, "a crashed node leads");
        cluster.check(
            cluster.reign().map(|r| r.0) > before.map(|r| r.0),
            "the new reign's epoch is no higher than the old one's",
        );
        cluster.commit(3);
        cluster.converge();
    });
}

/// Less than a majority elects nobody, however long it tries.
pub fn elects_nobody_without_a_majority<C: Consensus>(configure: Configure<'_, C>) {
    for (size, up) in [(2, 1), (3, 1), (4, 2), (5, 2)] {
        for seed in 0..3 {
            let mut cluster = Cluster::<C>::down(configure, size, seed);
            (1..=up).for_each(|id| cluster.start(NodeId(id)));
            let led = cluster.run_until(seconds(30), |cluster| cluster.leader().is_some());
            cluster.check(
                !led,
                format_args!("{up} of {size} nodes have elected a leader"),
            );
            cluster.converge();
        }
    }
}

/// A leader that reaches no majority any more gives up.
pub fn leader_without_a_majority_steps_down<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[2, 3, 5], |cluster| {
        let leader = cluster.elect();
        cluster.isolate(&[leader]);
        let deposed = |cluster: &Cluster<'_, C>| cluster.node(leader).leads().is_none();
        let stepped_down = cluster.run_until(seconds(30), deposed);
        cluster.check(stepped_down, "it still leads after half a minute alone");
        cluster.converge();
    });
}

/// With every node restarted again and again, each epoch still has one leader in one life.
pub fn no_epoch_is_led_twice_across_restarts<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 2, 3, 5], |cluster| {
        for _ in 0..6 {
            cluster.elect();
            cluster.commit(1);
            cluster.crash_all();
            cluster.start_all();
        }
        cluster.converge();
    });
}
