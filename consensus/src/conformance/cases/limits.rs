//! What must not grow without bound, and what must not be spent.

use super::{Answer, Configure, each_size, millis, seconds};
use crate::{Channel, Consensus, NodeId, Refusal, RequestId};

const KIB: usize = 1 << 10;

/// To a follower that does not answer, a leader sends so much and no more: in bytes and in
/// messages. The others are not held up by it.
pub fn in_flight_is_bounded<C: Consensus>(configure: Configure<'_, C>) {
    const BYTES_MOST: u64 = 16 << 20;
    const MESSAGES_MOST: u64 = 2_000;
    for (size, count) in [(64 * KIB, 800), (0, 5_000)] {
        each_size::<C>(configure, &[3], |cluster| {
            let leader = cluster.elect();
            cluster.commit(1);
            cluster.settle();
            let mute = cluster.follower();
            cluster.hold(mute, leader);
            let before = cluster.net.traffic(leader, mute);
            let mut requests: Vec<RequestId> = Vec::new();
            for _ in 0..count {
                if cluster.leader() == Some(leader) {
                    requests.push(cluster.propose_sized(leader, size));
                }
                cluster.run_for(crate::Micros(200));
            }
            let after = cluster.net.traffic(leader, mute);
            cluster.run_for(seconds(1));
            let committed = |r: &&RequestId| cluster.committed_batch(**r).is_some();
            let committed = requests.iter().filter(committed).count();
            cluster.check(
                committed > count / 2,
                format_args!("only {committed} of {count} committed: one is held up by another"),
            );
            let (bytes, messages) = (after.bytes - before.bytes, after.messages - before.messages);
            cluster.check(
                bytes <= BYTES_MOST && messages <= MESSAGES_MOST,
                format_args!("{messages} messages, {bytes} bytes to a node that never answers"),
            );
            cluster.converge();
        });
    }
}

/// A leader that cannot commit takes in so much and no more, says Busy, and works again
/// afterwards.
pub fn busy_beyond_uncommitted_bound<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3], |cluster| {
        let leader = cluster.elect();
        cluster.commit(1);
        cluster.settle();
        cluster.hang_disk(leader);
        for id in cluster.followers() {
            cluster.net.cut(leader, id);
        }
        let (mut accepted, mut busy) = (0, None);
        for _ in 0..4_096 {
            let request = cluster.propose_sized(leader, 64 * KIB);
            match cluster.answer(request) {
                Some(Answer::Accepted(_)) => accepted += 1,
                Some(Answer::Refused(Refusal::Busy)) => {
                    busy = Some(request);
                    break;
                }
                other => cluster.fail(format_args!("{request:?}: {other:?}")),
            }
        }
        cluster.check(accepted > 0, "busy from the start");
        cluster.check(
            busy.is_some(),
            format_args!("{accepted} × 64 KiB are taken in, uncommitted, and no end"),
        );
        cluster.heal();
        cluster.commit(20);
        cluster.converge();
    });
}

/// When nothing is to be done, little is said and nothing is written: at most 200 messages per
/// second and link, and a thousand ticks per second and node.
pub fn idle_cluster_is_quiet<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[1, 3, 5], |cluster| {
        cluster.commit(3);
        cluster.settle();
        cluster.run_for(seconds(5));
        let ids = cluster.ids();
        let count = |cluster: &super::Cluster<'_, C>| {
            let ticks: u64 = ids.iter().map(|id| cluster.node(*id).ticks).sum();
            (cluster.issued_writes(), cluster.net.total().messages, ticks)
        };
        let before = count(cluster);
        cluster.run_for(seconds(10));
        let after = count(cluster);
        let nodes = ids.len() as u64;
        let links = nodes * (nodes - 1);
        let messages = after.1 - before.1;
        cluster.check(after.0 == before.0, "an idle cluster writes");
        cluster.check(
            messages <= 200 * 10 * links,
            format_args!("{messages} messages in ten idle seconds"),
        );
        cluster.check(
            after.2 - before.2 <= 1_000 * 10 * nodes,
            format_args!("{} ticks in ten idle seconds", after.2 - before.2),
        );
        cluster.converge();
    });
}

/// Entries travel on the bulk channel, so that no heartbeat waits behind one; what travels on the
/// control channel is small.
pub fn control_messages_are_small<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        cluster.record = Some(Vec::new());
        let leader = cluster.elect();
        for _ in 0..20 {
            cluster.propose_sized(leader, 64 * KIB);
            cluster.read(leader, crate::ReadMode::Quorum);
            cluster.run_for(millis(5));
        }
        cluster.converge();
        for (from, to, bytes) in cluster.record.take().unwrap_or_default() {
            let large = bytes.len() > 4 * KIB && channel::<C>(&bytes) == Some(Channel::Control);
            cluster.check(
                !large,
                format_args!(
                    "{from} → {to}: {} bytes on the control channel",
                    bytes.len()
                ),
            );
        }
    });
}

fn channel<C: Consensus>(bytes: &[u8]) -> Option<Channel> {
    use crate::Message;
    let message: C::Message = rmp_serde::from_slice(bytes).ok()?;
    Some(message.channel())
}

/// A bulk connection that stands still (a large transfer, a full buffer) does not cost the
/// leadership, and what it held back arrives in the end.
pub fn stalled_bulk_does_not_cost_the_leadership<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3], |cluster| {
        let leader = cluster.elect();
        cluster.commit(3);
        cluster.settle();
        let reign = cluster.reign();
        let links: Vec<(NodeId, NodeId)> = pairs(&cluster.ids());
        for (from, to) in &links {
            cluster.net.hold(*from, *to, Channel::Bulk);
        }
        let requests: Vec<RequestId> = (0..10).map(|_| cluster.propose(leader)).collect();
        cluster.run_for(seconds(10));
        cluster.check(
            cluster.reign() == reign,
            "the reign ended while heartbeats went through",
        );
        for (from, to) in &links {
            cluster.release(*from, *to);
        }
        let all = |cluster: &super::Cluster<'_, C>| {
            let mut requests = requests.iter();
            requests.all(|r| cluster.committed_batch(*r).is_some())
        };
        let committed = cluster.run_until(seconds(20), all);
        cluster.check(committed, "what was held up is not committed afterwards");
        cluster.converge();
    });
}

fn pairs(ids: &[NodeId]) -> Vec<(NodeId, NodeId)> {
    let pairs = |from: &NodeId| ids.iter().map(|to| (*from, *to)).collect::<Vec<_>>();
    ids.iter().flat_map(pairs).filter(|(a, b)| a != b).collect()
}
