//! Random schedules. Every seed is a cluster, a load and a run of faults; at its end everything
//! heals and the cluster owes progress, agreement and an answer to every request.
//!
//! A failure names its seed. `CONFORMANCE_SEED=17` runs that seed alone; `CONFORMANCE_SEEDS=5000`
//! runs that many instead of three hundred.

use super::{Cluster, Configure, millis};
use crate::{Consensus, Input, Micros, NodeId, ReadMode};

/// The faults of a schedule, each with its weight.
#[derive(Clone, Copy, Default)]
struct Mix {
    crashes: u64,
    partitions: u64,
    losses: u64,
    disks: u64,
    clocks: u64,
}

/// Nodes crash and come back, keeping what was durable and by chance some of the rest.
pub fn chaos_of_crashes<C: Consensus>(configure: Configure<'_, C>) {
    let mix = Mix {
        crashes: 3,
        ..Mix::default()
    };
    chaos::<C>(configure, mix);
}

/// Links fail in one direction or both, in any combination.
pub fn chaos_of_partitions<C: Consensus>(configure: Configure<'_, C>) {
    let mix = Mix {
        partitions: 3,
        ..Mix::default()
    };
    chaos::<C>(configure, mix);
}

/// Messages are lost, repeated, late and out of order.
pub fn chaos_of_messages<C: Consensus>(configure: Configure<'_, C>) {
    let mix = Mix {
        losses: 3,
        ..Mix::default()
    };
    chaos::<C>(configure, mix);
}

/// Disks hang and come back, state machines lag, nodes are paused.
pub fn chaos_of_disks_and_pauses<C: Consensus>(configure: Configure<'_, C>) {
    let mix = Mix {
        disks: 3,
        clocks: 2,
        crashes: 1,
        ..Mix::default()
    };
    chaos::<C>(configure, mix);
}

/// All of it together.
pub fn chaos_of_everything<C: Consensus>(configure: Configure<'_, C>) {
    let mix = Mix {
        crashes: 2,
        partitions: 2,
        losses: 2,
        disks: 2,
        clocks: 1,
    };
    chaos::<C>(configure, mix);
}

/// The same seed gives the same run, to the letter: whatever a protocol does by chance comes from
/// its seed. (Iterating over a `HashMap` does not.)
pub fn same_seed_same_run<C: Consensus>(configure: Configure<'_, C>) {
    let mix = Mix {
        crashes: 2,
        partitions: 2,
        losses: 2,
        disks: 1,
        clocks: 1,
    };
    for seed in 0..5 {
        let (first, second) = (
            schedule::<C>(configure, mix, seed),
            schedule::<C>(configure, mix, seed),
        );
        assert!(first == second, "two runs of seed {seed} differ");
    }
}

fn chaos<C: Consensus>(configure: Configure<'_, C>, mix: Mix) {
    for seed in seeds() {
        schedule::<C>(configure, mix, seed);
    }
}

pub(super) fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("CONFORMANCE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CONFORMANCE_SEEDS").unwrap_or(300),
    }
}

fn schedule<C: Consensus>(configure: Configure<'_, C>, mix: Mix, seed: u64) -> u64 {
    let size = [3, 3, 5, 2, 4, 3, 1][(seed % 7) as usize];
    let mut cluster = Cluster::<C>::new(configure, size, seed);
    cluster.crashes_keep_some = true;
    for _ in 0..60 {
        load(&mut cluster, mix);
        fault(&mut cluster, mix);
        let long = cluster.random().chance(10);
        let most = if long { 1_000_000 } else { 60_000 };
        let span = Micros(cluster.random().between(500, most));
        cluster.run_for(span);
    }
    cluster.converge();
    cluster.hash()
}

/// A few requests: mostly to whoever leads, now and then to anybody.
fn load<C: Consensus>(cluster: &mut Cluster<'_, C>, mix: Mix) {
    for _ in 0..cluster.random().below(6) {
        let up = cluster.up();
        if up.is_empty() {
            return;
        }
        let any = cluster.random().pick(&up);
        let to = match cluster.leader() {
            Some(leader) if cluster.random().chance(75) => leader,
            _ => any,
        };
        match cluster.random().below(20) {
            0..8 => drop(cluster.propose(to)),
            8..10 => drop(cluster.propose_sized(to, 20_000)),
            // A lease is no promise while clocks stop.
            10..12 if mix.clocks == 0 => drop(cluster.read(to, ReadMode::Lease)),
            18 => drop(cluster.reconfigure(to)),
            19 => {
                let target = cluster.random().chance(50).then_some(any);
                cluster.step(to, Input::Transfer { to: target });
            }
            _ => drop(cluster.read(to, ReadMode::Quorum)),
        }
    }
}

fn fault<C: Consensus>(cluster: &mut Cluster<'_, C>, mix: Mix) {
    let kinds = [
        mix.crashes,
        mix.partitions,
        mix.losses,
        mix.disks,
        mix.clocks,
    ];
    let quiet = 4;
    let mut chosen = cluster.random().below(kinds.iter().sum::<u64>() + quiet);
    for (kind, weight) in kinds.into_iter().enumerate() {
        if chosen < weight {
            let ids = cluster.ids();
            let id = cluster.random().pick(&ids);
            return match kind {
                0 => crash(cluster, id),
                1 => partition(cluster, id),
                2 => disturb(cluster),
                3 => disk(cluster, id),
                _ => clock(cluster, id),
            };
        }
        chosen -= weight;
    }
}

fn crash<C: Consensus>(cluster: &mut Cluster<'_, C>, id: NodeId) {
    if cluster.random().chance(5) {
        cluster.crash_all();
    } else if cluster.node(id).is_up() {
        let most = cluster.node(id).disk.queued_ops() as u64;
        let keep = cluster.random().between(0, most);
        cluster.crash(id, keep as usize);
    }
    for id in cluster.ids() {
        if !cluster.node(id).is_up() && cluster.random().chance(50) {
            cluster.start(id);
        }
    }
}

fn partition<C: Consensus>(cluster: &mut Cluster<'_, C>, id: NodeId) {
    match cluster.random().below(6) {
        0 => cluster.isolate(&[id]),
        1 => cluster.deafen(id),
        2 => cluster.silence(id),
        3 => {
            let ids = cluster.ids();
            let mut side = ids.clone();
            side.retain(|_| cluster.random().chance(50));
            cluster.isolate(&side);
        }
        _ => cluster.net.mend_all(),
    }
}

fn disturb<C: Consensus>(cluster: &mut Cluster<'_, C>) {
    let calm = cluster.random().chance(30);
    let up_to = |cluster: &mut Cluster<'_, C>, most| {
        if calm {
            0
        } else {
            cluster.random().below(most)
        }
    };
    cluster.net.loss_percent = up_to(cluster, 40);
    cluster.net.duplicate_percent = up_to(cluster, 50);
    cluster.net.reorder = !calm;
    cluster.net.latency_us = (100, 1_000 + up_to(cluster, 30_000));
}

fn disk<C: Consensus>(cluster: &mut Cluster<'_, C>, id: NodeId) {
    match cluster.random().below(8) {
        0 | 1 => cluster.hang_disk(id),
        2 => cluster.hold_apply(id),
        3 => cluster.disk_us = (100, 40_000),
        4 => cluster.disk_us = (300, 1_500),
        5 => {
            for id in cluster.ids() {
                cluster.flush_state(id);
                if cluster.random().chance(50) {
                    let upto = cluster.node(id).applied_durably.index;
                    cluster.step(id, Input::Compact { upto });
                }
            }
        }
        _ => {
            for id in cluster.ids() {
                cluster.free_disk(id);
                cluster.release_apply(id);
            }
        }
    }
    cluster.run_for(millis(1));
}

fn clock<C: Consensus>(cluster: &mut Cluster<'_, C>, id: NodeId) {
    if cluster.random().chance(50) {
        cluster.stop_clock(id);
    } else {
        cluster
            .ids()
            .into_iter()
            .for_each(|id| cluster.start_clock(id));
    }
}
