//! Disks that hang, and disks that have lost something.

use super::{Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, NodeId, Role};

/// A leader whose writes stop being persisted gives up, and the others go on without it.
pub fn hung_disk_resigns<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5, 1], |cluster| {
        let hung = cluster.elect();
        cluster.commit(1);
        cluster.hang_disk(hung);
        cluster.propose(hung);
        let resigned = |cluster: &Cluster<'_, C>| cluster.node(hung).leads().is_none();
        let resigned = cluster.run_until(seconds(30), resigned);
        cluster.check(
            resigned,
            "half a minute with a hung disk, and it still leads",
        );
        if cluster.ids().len() > 1 {
            let other = |cluster: &Cluster<'_, C>| cluster.leader().is_some_and(|l| l != hung);
            let led = cluster.run_until(super::LIMIT, other);
            cluster.check(led, "nobody takes over from the hung leader");
            cluster.commit(3);
            cluster.check(cluster.leader() != Some(hung), "the hung node leads again");
        }
        cluster.converge();
    });
}

/// A node whose disk hangs does not stand for election, though it hears from nobody; it disturbs
/// nobody either, and when the leader crashes the others find another one.
pub fn hung_disk_does_not_campaign<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[5], |cluster| {
        cluster.elect();
        let hung = cluster.follower();
        cluster.hang_disk(hung);
        cluster.commit(3);
        cluster.run_for(seconds(20));
        cluster.deafen(hung);
        let reign = cluster.reign();
        for _ in 0..200 {
            cluster.run_for(millis(100));
            let role = cluster.status(hung).role;
            let stands = matches!(role, Role::PreCandidate | Role::Candidate | Role::Leader);
            cluster.check(!stands, format_args!("its disk hangs, and it is {role:?}"));
        }
        cluster.check(cluster.reign() == reign, "it has ended the reign");
        cluster.net.mend_all();
        if let Some((_, leader)) = reign {
            cluster.crash(leader, 0);
        }
        let leader = cluster.elect();
        cluster.check(leader != hung, "the hung node leads");
        cluster.commit(3);
        cluster.converge();
    });
}

/// A node that has lost something it may have acknowledged has no vote to give: with it, and one
/// sound node of three, there is no majority. It still takes in what it is sent.
pub fn damaged_node_neither_votes_nor_campaigns<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        cluster.commit(5);
        cluster.settle();
        let (damaged, down) = (NodeId(1), NodeId(3));
        cluster.crash_all();
        cluster.set_damaged(damaged, true);
        cluster.rewrite_log(damaged, |log| {
            log.entries.split_off(&crate::Index(2));
        });
        cluster.start(damaged);
        cluster.start(NodeId(2));
        let led = cluster.run_until(seconds(20), |cluster| cluster.leader().is_some());
        cluster.check(!led, "a leader was elected with a damaged node's vote");
        let role = cluster.status(damaged).role;
        let stands = matches!(role, Role::Candidate | Role::Leader);
        cluster.check(!stands, "the damaged node stands for election");
        cluster.start(down);
        let leader = cluster.elect();
        cluster.check(leader != damaged, "the damaged node leads");
        cluster.commit(5);
        cluster.settle();
        cluster.set_damaged(damaged, false);
        cluster.converge();
    });
}
