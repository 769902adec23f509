//! Messages that no honest node would send.
//!
//! Protocols here trust their members: forged messages may break safety, so that is not judged.
//! What they may not do is bring a node down, or keep it busy without end.

use super::{Cluster, Configure, each_size, millis, seconds};
use crate::{Consensus, NodeId};

/// Whatever a message says is said again by its copy, after a trip through MessagePack.
pub fn messages_survive_a_round_trip<C: Consensus>(configure: Configure<'_, C>) {
    each_size::<C>(configure, &[3, 5], |cluster| {
        cluster.compare_messages = true;
        cluster.commit(10);
        let leader = cluster.elect();
        cluster.propose_sized(leader, 10_000);
        for id in cluster.ids() {
            cluster.read(id, crate::ReadMode::Quorum);
        }
        cluster.isolate(&[leader]);
        cluster.commit(10);
        cluster.heal();
        cluster.crash_all();
        cluster.converge();
    });
}

/// Real messages, changed at the level of their bytes, repeated, from the wrong sender, to the
/// wrong receiver, from nodes that do not exist: nothing panics, nothing hangs.
pub fn hostile_input_never_panics<C: Consensus>(configure: Configure<'_, C>) {
    for seed in super::chaos::seeds() {
        let mut cluster = Cluster::<C>::new(configure, 3, seed);
        cluster.record = Some(Vec::new());
        let leader = cluster.elect();
        cluster.propose(leader);
        cluster.read(cluster.follower(), crate::ReadMode::Quorum);
        cluster.run_for(millis(100));
        cluster.restart(leader);
        cluster.elect();
        cluster.run_for(millis(100));
        let real = cluster.record.take().unwrap_or_default();
        cluster.judged = false;
        let mut understood = 0;
        for _ in 0..400 {
            let (from, to, bytes) = &real[cluster.random().below(real.len() as u64) as usize];
            let bytes = mutate(&mut cluster, bytes.clone());
            let (from, to) = strangers(&mut cluster, *from, *to);
            understood += u64::from(cluster.forge(from, to, bytes));
            if cluster.random().chance(10) {
                let ids = cluster.ids();
                let id = cluster.random().pick(&ids);
                cluster.propose(id);
                cluster.read(id, crate::ReadMode::Quorum);
            }
            cluster.run_for(millis(3));
        }
        cluster.check(understood > 40, "hardly any forged message was understood");
        for id in cluster.ids() {
            cluster.restart(id);
        }
        cluster.run_for(seconds(2));
    }
}

/// Changes some of the bytes; a number as likely to its extremes as to anything else.
fn mutate<C: Consensus>(cluster: &mut Cluster<'_, C>, mut bytes: Vec<u8>) -> Vec<u8> {
    const EXTREMES: [&[u8]; 5] = [
        &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
        &[0xcf, 127, 255, 255, 255, 255, 255, 255, 255],
        &[0xce, 255, 255, 255, 255],
        &[0x00],
        &[0x7f],
    ];
    let random = cluster.random();
    for _ in 0..random.below(3) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            2 => bytes[at] = bytes[at].wrapping_add(1),
            _ => {
                let extreme = random.pick(&EXTREMES);
                let width = number_width(bytes[at]);
                let end = bytes.len().min(at + width);
                bytes.splice(at..end, extreme.iter().copied());
            }
        }
    }
    bytes
}

/// How many bytes MessagePack takes for what begins with `marker`, if that is a number.
const fn number_width(marker: u8) -> usize {
    match marker {
        0xcc => 2,
        0xcd => 3,
        0xce => 5,
        0xcf => 9,
        _ => 1,
    }
}

/// Mostly the real ends of a link, else any others; the sender may be nobody.
fn strangers<C: Consensus>(
    cluster: &mut Cluster<'_, C>,
    from: NodeId,
    to: NodeId,
) -> (NodeId, NodeId) {
    if cluster.random().chance(60) {
        return (from, to);
    }
    let ids = cluster.ids();
    let to = cluster.random().pick(&ids);
    let senders: Vec<NodeId> = (1..=9).map(NodeId).filter(|id| *id != to).collect();
    (cluster.random().pick(&senders), to)
}
