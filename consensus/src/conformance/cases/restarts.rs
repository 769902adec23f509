//! Crashes of one and of all, at every moment there is, and what a node starts from.

use super::{Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, Index, Micros, NodeId};

/// What was committed before restarts is committed after them: of one node after the other, and
/// of all at once.
pub fn restart_keeps_committed_entries<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3, 5], |cluster| {
        cluster.commit(10);
        for id in cluster.ids() {
            cluster.restart(id);
            cluster.commit(5);
        }
        cluster.settle();
        cluster.crash_all();
        cluster.start_all();
        cluster.commit(5);
        cluster.converge();
    });
}

/// Every node crashes at the moment any one write, anywhere, becomes durable. Nothing committed is
/// lost or changed. Elections, a deposed leader and the overwriting of what it left are among the
/// moments.
pub fn crash_of_all_at_any_write_keeps_committed_entries<C: Consensus>(
    configure: Configure<'_, C>,
) {
    for (size, keeps_some) in [(1, false), (3, false), (3, true)] {
        let mut calm = Cluster::<C>::new(configure, size, 7);
        eventful(&mut calm);
        for k in 1..=calm.persisted_writes() {
            let mut cluster = Cluster::<C>::new(configure, size, 7);
            cluster.crashes_keep_some = keeps_some;
            cluster.crash_all_at_persisted_write(k);
            eventful(&mut cluster);
            cluster.converge();
        }
    }
}

/// Whoever issues a write crashes before any of it is durable, once what it says with that write
/// has left it; for every write of a run. It comes back and everything goes on.
pub fn crash_of_one_at_any_write_keeps_committed_entries<C: Consensus>(
    configure: Configure<'_, C>,
) {
    for size in [2, 3] {
        let mut calm = Cluster::<C>::new(configure, size, 11);
        eventful(&mut calm);
        for k in 1..=calm.issued_writes() {
            let mut cluster = Cluster::<C>::new(configure, size, 11);
            cluster.crash_writer_at_write(k);
            eventful(&mut cluster);
            cluster.start_all();
            cluster.run_for(seconds(1));
            cluster.converge();
        }
    }
}

/// Elects, commits, cuts the leader off with entries that only it has, goes on without it, and
/// takes it back in. Expects nothing: the case may crash everybody on the way.
fn eventful<C: Consensus>(cluster: &mut Cluster<'_, C>) {
    work(cluster, 4);
    if let Some(leader) = cluster.leader() {
        cluster.isolate(&[leader]);
        for _ in 0..3 {
            if cluster.node(leader).is_up() {
                cluster.propose(leader);
            }
        }
        cluster.run_for(millis(20));
        work(cluster, 4);
        cluster.heal();
        work(cluster, 4);
    }
}

/// Proposes to whoever leads until `count` more are committed, or for ten seconds.
fn work<C: Consensus>(cluster: &mut Cluster<'_, C>, count: u64) {
    let target = Index(cluster.committed().0 + count);
    let until = cluster.now() + seconds(10);
    while cluster.committed() < target && cluster.now() < until && !cluster.up().is_empty() {
        if let Some(leader) = cluster.leader() {
            cluster.propose(leader);
        }
        cluster.run_for(Micros::from_millis(10));
    }
}

/// A node starts its commits above what its state machine holds, whether that is a little or all.
pub fn applied_entries_are_not_applied_again<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        for _ in 0..3 {
            cluster.commit(7);
            cluster.settle();
            for id in cluster.ids() {
                if cluster.random().chance(70) {
                    cluster.flush_state(id);
                }
            }
            cluster.commit(4);
            cluster.settle();
            cluster.crash_all();
            cluster.start_all();
        }
        cluster.converge();
        let committed = cluster.committed();
        for id in cluster.ids() {
            cluster.flush_state(id);
            cluster.restart(id);
        }
        cluster.run_for(seconds(5));
        for id in cluster.ids() {
            let applied = cluster.node(id).applied.index;
            cluster.check(applied >= committed, format_args!("{id} went back"));
        }
        cluster.converge();
    });
}

/// A log that ends before what the state machine holds goes on from there: on one node, and on
/// all of them.
pub fn log_that_lacks_the_applied_position_restarts_there<C: Consensus>(
    configure: Configure<'_, C>,
) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        let some = cluster.commit(10);
        cluster.commit(10);
        cluster.settle();
        let follower = cluster.up().pop().unwrap_or_default();
        let all = cluster.ids();
        for nodes in [&[follower][..], &all] {
            for upto in [some, Index(3), Index::ZERO] {
                nodes
                    .iter()
                    .for_each(|id| lose_log_above(cluster, *id, upto));
                nodes.iter().for_each(|id| cluster.start(*id));
                // The restarted log may itself be lost with the next crash.
                nodes.iter().for_each(|id| cluster.restart(*id));
                cluster.commit(3);
                cluster.settle();
            }
        }
        cluster.converge();
    });
}

fn lose_log_above<C: Consensus>(cluster: &mut Cluster<'_, C>, id: NodeId, upto: Index) {
    cluster.flush_state(id);
    cluster.crash(id, 0);
    cluster.rewrite_log(id, |log| {
        log.entries.split_off(&upto.next());
    });
}

/// The same when the log has another entry at that position: the rest of a branch that never was
/// committed, which must not come back.
pub fn log_of_another_branch_restarts_at_the_applied_position<C: Consensus>(
    configure: Configure<'_, C>,
) {
    for reaches in 1..=6 {
        each_size::<C>(configure, &[3, 5], |cluster| {
            let deposed = cluster.elect();
            let before = cluster.commit(3);
            cluster.settle();
            cluster.isolate(&[deposed]);
            let branch: Vec<_> = (0..4).map(|_| cluster.propose(deposed)).collect();
            cluster.run_for(millis(30));
            let written = branch.iter().all(|r| cluster.is_durable(deposed, *r));
            cluster.check(written, "the deposed leader has not written its branch");
            cluster.commit(8);
            cluster.crash(deposed, 0);
            let at = Index(before.0 + reaches);
            match cluster.committed_entry(at).map(crate::Entry::position) {
                Some(applied) => cluster.set_applied(deposed, applied),
                None => cluster.fail(format_args!("nothing is committed at {at}")),
            }
            cluster.start(deposed);
            cluster.restart(deposed);
            cluster.heal();
            cluster.commit(3);
            cluster.settle();
            cluster.crash_all();
            cluster.converge();
        });
    }
}

/// What a node believes its log to be is what its disk holds: after truncation, after compaction,
/// and after a restart, which finds the log that was left.
pub fn restart_finds_the_log_it_left<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        let deposed = cluster.elect();
        cluster.commit(5);
        cluster.isolate(&[deposed]);
        for _ in 0..6 {
            cluster.propose(deposed);
        }
        cluster.run_for(millis(30));
        let others: Vec<NodeId> = cluster
            .ids()
            .into_iter()
            .filter(|n| *n != deposed)
            .collect();
        let elected = |cluster: &Cluster<'_, C>| cluster.leader().is_some_and(|l| l != deposed);
        let led = cluster.run_until(super::LIMIT, elected);
        cluster.check(led, format_args!("{others:?} elect nobody"));
        cluster.heal();
        cluster.commit(1);
        same_log(cluster);
        lose_log_above(cluster, deposed, Index(2));
        cluster.start(deposed);
        same_log(cluster);
        compact(cluster);
        same_log(cluster);
        for id in cluster.ids() {
            let before = cluster.status(id);
            cluster.restart(id);
            let after = cluster.status(id);
            cluster.check(
                (before.last, before.purged) == (after.last, after.purged),
                format_args!("{id} left {before:?}, and starts with {after:?}"),
            );
        }
        cluster.converge();
        same_log(cluster);
    });
}

fn same_log<C: Consensus>(cluster: &mut Cluster<'_, C>) {
    cluster.settle();
    cluster.run_for(millis(500));
    for id in cluster.ids() {
        let status = cluster.status(id);
        let log = &cluster.node(id).disk.durable;
        let (last, purged) = (log.last_index(), log.purged.index);
        let believed = (status.last.index, status.purged);
        cluster.check(
            believed == (last, purged),
            format_args!("{id} believes its log to be {believed:?}, it is {last}, {purged}"),
        );
    }
}

/// Entries that every state machine holds may leave the log; everything goes on without them.
pub fn compaction_loses_nothing<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        for _ in 0..3 {
            cluster.commit(10);
            cluster.settle();
            compact(cluster);
            cluster.commit(5);
            cluster.crash_all();
            cluster.start_all();
        }
        cluster.converge();
    });
}

fn compact<C: Consensus>(cluster: &mut Cluster<'_, C>) {
    for id in cluster.ids() {
        cluster.flush_state(id);
        let upto = cluster.node(id).applied_durably.index;
        cluster.step(id, crate::Input::Compact { upto });
    }
    cluster.run_for(millis(500));
}
