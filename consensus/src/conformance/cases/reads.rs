//! Reads see whatever was committed, by anybody, before they were issued.
//!
//! The cluster checks that of every answer. The cases bring about the moments at which a node
//! could believe that it knows better.

use super::{Answer, Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, NodeId, ReadMode, Refusal, RequestId};

/// Any node answers a read, and what it names is soon applied there.
pub fn reads_are_ready_on_every_node<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 2, 3, 5], |cluster| {
        cluster.commit(5);
        cluster.settle();
        for mode in [ReadMode::Quorum, ReadMode::Lease] {
            for id in cluster.ids() {
                let request = cluster.read(id, mode);
                ready_and_applied(cluster, id, request);
            }
        }
        cluster.converge();
    });
}

fn ready_and_applied<C: Consensus>(cluster: &mut Cluster<'_, C>, id: NodeId, read: RequestId) {
    cluster.run_until(seconds(5), |cluster| cluster.answer(read).is_some());
    let Some(Answer::Ready(index)) = cluster.answer(read) else {
        cluster.fail(format_args!(
            "{id}: not ready in five seconds of peace: {:?}",
            cluster.answer(read)
        ));
    };
    let applied = |cluster: &Cluster<'_, C>| cluster.node(id).applied.index >= index;
    let applied = cluster.run_until(seconds(5), applied);
    cluster.check(applied, format_args!("{id} has not applied {index}"));
}

/// A new leader does not know how far its predecessor had committed until it has committed an
/// entry of its own. The last thing the old leader did was to acknowledge a write that nobody
/// else knows to be committed; the new one is kept from committing, and read from.
pub fn read_waits_for_first_commit_of_epoch<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        let old = cluster.elect();
        cluster.commit(2);
        cluster.settle();
        let request = commit_at_leader_only(cluster, old);
        let floor = cluster.committed();
        cluster.crash(old, 0);
        let elected = |cluster: &Cluster<'_, C>| cluster.leader().is_some();
        let elected = cluster.run_until(super::LIMIT, elected);
        cluster.check(elected, "nobody succeeds the crashed leader");
        let new = cluster.leader().unwrap_or_default();
        for id in cluster.followers() {
            cluster.hang_disk(id);
        }
        // A protocol may call nobody a leader before it has caught up: then there is no such
        // moment, and the read has nothing to miss.
        let behind = cluster.node(new).committed() < floor;
        let read = cluster.read(new, ReadMode::Quorum);
        cluster.run_for(millis(300));
        let early = matches!(cluster.answer(read), Some(Answer::Ready(_)));
        cluster.check(
            !(behind && early),
            "ready before the new leader has committed",
        );
        for id in cluster.followers() {
            cluster.free_disk(id);
        }
        cluster.converge();
        cluster.check(
            cluster.answer(read).is_some() && cluster.committed_batch(request).is_some(),
            "the read is never answered",
        );
    });
}

/// Returns when the leader has committed a batch that its followers hold, but do not know to be
/// committed.
fn commit_at_leader_only<C: Consensus>(cluster: &mut Cluster<'_, C>, leader: NodeId) -> RequestId {
    let request = cluster.propose(leader);
    let committed = |cluster: &Cluster<'_, C>| cluster.committed_batch(request).is_some();
    let committed = cluster.run_until(seconds(5), committed);
    cluster.check(committed, "a healthy cluster does not commit");
    // What tells the followers is still under way, and is lost with the leader.
    for id in cluster.followers() {
        cluster.net.cut(leader, id);
    }
    cluster.lose_under_way(leader);
    request
}

/// Answers that were given before the read arrived do not confirm the leader for it. The leader
/// is paused; answers to an earlier round are still under way to it; meanwhile another leader
/// commits a write. Then it is asked to read, and then the old answers arrive.
pub fn read_needs_a_round_begun_after_it_arrived<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        let old = cluster.elect();
        cluster.commit(2);
        cluster.settle();
        let others = cluster.followers();
        others.iter().for_each(|id| cluster.hold(*id, old));
        cluster.stop_clock(old);
        let early = cluster.read(old, ReadMode::Quorum);
        cluster.run_for(millis(20));
        let waiting = cluster.answer(early).is_none();
        cluster.check(waiting, "a read is answered though no answer has arrived");
        cluster.isolate(&[old]);
        cluster.commit(1);
        let late = cluster.read(old, ReadMode::Quorum);
        others.iter().for_each(|id| cluster.release(*id, old));
        cluster.run_for(millis(50));
        let late_ready = matches!(cluster.answer(late), Some(Answer::Ready(_)));
        cluster.check(!late_ready, "a deposed leader's read is ready");
        cluster.converge();
    });
}

/// A paused leader that has been replaced serves nothing, even if everything anybody ever told it
/// is told again; nor does it after it was restarted and leads once more.
pub fn stale_leader_serves_no_reads<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.record = Some(Vec::new());
        let old = cluster.elect();
        for restarted in [false, true] {
            if restarted {
                cluster.restart(old);
                if !crown(cluster, old) {
                    break;
                }
            }
            for _ in 0..5 {
                cluster.read(old, ReadMode::Quorum);
                cluster.commit(1);
            }
            cluster.settle();
            let heard = cluster.record.clone().unwrap_or_default();
            cluster.isolate(&[old]);
            cluster.stop_clock(old);
            let waiting = cluster.read(old, ReadMode::Quorum);
            cluster.commit(2);
            let late = cluster.read(old, ReadMode::Quorum);
            for (from, _, bytes) in heard.into_iter().filter(|(_, to, _)| *to == old) {
                cluster.forge(from, old, bytes);
            }
            cluster.run_for(millis(100));
            for read in [waiting, late] {
                let ready = matches!(cluster.answer(read), Some(Answer::Ready(_)));
                cluster.check(!ready, "a read is ready on a leader that was replaced");
            }
            cluster.converge();
        }
    });
}

/// Restarts whoever leads until `node` does. Says whether it came to that: a protocol may have
/// its preferences.
fn crown<C: Consensus>(cluster: &mut Cluster<'_, C>, node: NodeId) -> bool {
    for _ in 0..40 {
        let leader = cluster.elect();
        if leader == node {
            return true;
        }
        cluster.crash(leader, 0);
        cluster.elect();
        cluster.start(leader);
    }
    false
}

/// While clocks run true, a lease is as good as a quorum: a leader that is cut off stops serving
/// before another one begins.
pub fn lease_reads_are_linearizable_with_honest_clocks<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        let old = cluster.elect();
        cluster.commit(2);
        cluster.isolate(&[old]);
        let until = cluster.now() + seconds(20);
        while cluster.now() < until {
            cluster.read(old, ReadMode::Lease);
            match cluster.leader() {
                Some(leader) if leader != old => drop(cluster.propose(leader)),
                _ => {}
            }
            cluster.run_for(millis(5));
        }
        cluster.converge();
    });
}

/// A thousand reads that wait together cost a few messages together.
pub fn reads_share_a_round<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        let leader = cluster.elect();
        cluster.commit(2);
        cluster.settle();
        let before = cluster.net.total().messages;
        let mode = ReadMode::Quorum;
        let reads: Vec<_> = (0..1_000).map(|_| cluster.read(leader, mode)).collect();
        let all = |cluster: &Cluster<'_, C>| {
            let mut reads = reads.iter();
            reads.all(|read| matches!(cluster.answer(*read), Some(Answer::Ready(_))))
        };
        let ready = cluster.run_until(seconds(2), all);
        cluster.check(ready, "not all reads are ready");
        let messages = cluster.net.total().messages - before;
        cluster.check(
            messages <= 100,
            format_args!("{messages} messages for a thousand reads"),
        );
        cluster.converge();
    });
}

/// A follower that does not know yet what its leader has acknowledged finds out, or refuses.
pub fn follower_read_is_linearizable<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        let leader = cluster.elect();
        for _ in 0..10 {
            let request = cluster.propose(leader);
            let committed = |cluster: &Cluster<'_, C>| cluster.committed_batch(request).is_some();
            cluster.run_until(seconds(5), committed);
            for id in cluster.followers() {
                cluster.read(id, ReadMode::Quorum);
            }
        }
        for id in cluster.followers() {
            let read = cluster.read(id, ReadMode::Quorum);
            ready_and_applied(cluster, id, read);
        }
        cluster.converge();
    });
}

/// A follower on the wrong side of a partition, with its leader, does not serve what that side
/// believes.
pub fn follower_of_a_stale_leader_serves_no_reads<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[5], |cluster| {
        let old = cluster.elect();
        cluster.commit(2);
        cluster.settle();
        let follower = cluster.follower();
        cluster.isolate(&[old, follower]);
        cluster.stop_clock(old);
        cluster.stop_clock(follower);
        cluster.commit(2);
        let read = cluster.read(follower, ReadMode::Quorum);
        cluster.run_for(millis(500));
        let ready = matches!(cluster.answer(read), Some(Answer::Ready(_)));
        cluster.check(!ready, "a read is ready with two of five nodes");
        cluster.converge();
    });
}

/// A read that nobody can confirm is refused in the end, not forgotten: on a follower that has
/// lost its leader, and on one whose question or answer was lost.
pub fn unconfirmed_reads_are_refused_in_the_end<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        cluster.elect();
        cluster.commit(2);
        let follower = cluster.follower();
        cluster.isolate(&[follower]);
        let alone = cluster.read(follower, ReadMode::Quorum);
        let refused = |cluster: &Cluster<'_, C>| cluster.answer(alone).is_some();
        let refused = cluster.run_until(super::LIMIT, refused);
        cluster.check(refused, "no answer after a minute alone");
        let ready = matches!(cluster.answer(alone), Some(Answer::Ready(_)));
        cluster.check(!ready, "ready, though alone");
        cluster.heal();
        cluster.net.loss_percent = 30;
        for _ in 0..40 {
            for id in cluster.ids() {
                cluster.read(id, ReadMode::Quorum);
            }
            cluster.run_for(millis(20));
        }
        cluster.converge();
    });
}

/// Whoever stops leading tells every read that waits: because it has lost its majority, and
/// because it hears of another leader.
pub fn step_down_answers_reads_not_leader<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        for hears_of_another in [false, true] {
            let old = cluster.elect();
            cluster.commit(1);
            cluster.settle();
            cluster.isolate(&[old]);
            if hears_of_another {
                cluster.stop_clock(old);
            }
            let mode = ReadMode::Quorum;
            let reads: Vec<_> = (0..10).map(|_| cluster.read(old, mode)).collect();
            if hears_of_another {
                cluster.commit(1);
                cluster.net.mend_all();
            }
            let deposed = |cluster: &Cluster<'_, C>| cluster.node(old).leads().is_none();
            let deposed = cluster.run_until(super::LIMIT, deposed);
            cluster.check(deposed, "it does not step down");
            for read in reads {
                cluster.check(
                    cluster.answer(read) == Some(Answer::Refused(Refusal::NotLeader)),
                    format_args!("{read:?}: {:?}", cluster.answer(read)),
                );
            }
            cluster.converge();
        }
    });
}
