//! Short random schedules, many of them: messages lost, repeated and reordered, nodes crashed and
//! restarted with what their disks held, clocks and disks that stand still. After every event the
//! safety properties of figure 3 are checked, and the rules of durability; in the end everything
//! is healed, and the cluster must make progress.
//!
//! `RAFT_SEEDS=from..to` runs other seeds than the default; a failure names its seed.

mod harness;

use std::env;

use consensus::{Index, Input, LogOp, Micros, NodeId, Position, SnapshotOutcome};
use consensus_raft::Config;
use harness::{Random, World, end, text};

const EVENTS: usize = 400;

/// Small limits, so that short runs reach them.
fn tight(node: NodeId) -> Config {
    Config {
        max_append_bytes: 24,
        max_in_flight_messages: 3,
        max_in_flight_bytes: 64,
        cache_bytes: 40,
        max_uncommitted_bytes: 200,
        max_apply_lag: 3,
        ..Config::new(node)
    }
}

/// What goes wrong in one run.
struct Faults {
    loss: u64,
    duplication: u64,
    crashes: u64,
    /// Nodes on this side do not hear those on the other.
    side: u64,
    /// The one whose disk forgets, if any: entries that it cannot read back, and now and then, at a
    /// crash, its whole state machine.
    forgets: Option<NodeId>,
}

fn run(seed: u64) {
    let mut r = Random(seed);
    let size = if r.chance(70) { 3 } else { 5 };
    let configure = if r.chance(50) { tight } else { Config::new };
    let mut world = World::new(size, seed, configure);
    let mut faults = Faults {
        loss: r.below(3) * 15,
        duplication: r.below(3) * 10,
        crashes: r.below(3),
        side: 0,
        forgets: r.chance(50).then(|| NodeId(1 + r.below(size))),
    };
    for _ in 0..EVENTS {
        event(&mut world, &mut r, &mut faults);
    }
    heal(&mut world, &mut r);
}

fn event(world: &mut World, r: &mut Random, faults: &mut Faults) {
    let ids = world.ids();
    let id = ids[r.below(ids.len() as u64) as usize];
    let up = world.is_up(id);
    match r.below(100) {
        0..50 if !world.net.is_empty() => transport(world, r, faults),
        0..70 if up => {
            let count = 1 + r.below(3) as usize;
            world.persist(id, count);
        }
        70..80 => {
            let spans = [100, 1_000, 5_000, 20_000, 60_000, 200_000];
            let span = spans[r.below(6) as usize];
            world.advance(Micros(span));
        }
        80..86 => {
            let leader = world.leaders().first().copied().filter(|_| r.chance(80));
            let at = leader.unwrap_or(id);
            for _ in 0..=r.below(4) {
                if world.is_up(at) {
                    let batch = format!("{}", r.below(1_000_000_000));
                    world.propose(at, batch);
                }
            }
        }
        86..89 if up => drop(world.read(id)),
        89..92 if up => world.report_applied(id),
        92..94 if up => world.answer_fetch(id),
        94 if up => {
            let node = world.node(id);
            node.applied_durably = node.applied;
            if r.chance(50) {
                let upto = Index(r.below(node.applied.index.0 + 1));
                world.step(id, Input::Compact { upto });
            }
        }
        95 if r.below(3) < faults.crashes => {
            if up {
                let keep = r.below(4) as usize;
                world.crash(id, keep);
                if faults.forgets == Some(id) && r.chance(30) {
                    world.node(id).applied_durably = Position::ZERO;
                }
            } else {
                world.start(id);
            }
        }
        96 => {
            faults.side = if r.chance(50) {
                0
            } else {
                r.below(1 << ids.len())
            }
        }
        97 if r.chance(20) => {
            let disk = &mut world.node(id).disk;
            disk.hung = !disk.hung;
        }
        98 if !up => world.start(id),
        98 if faults.forgets == Some(id) => {
            let node = world.node(id);
            let at = 1 + r.below(node.disk.view.last().index.0 + 1);
            if !node.disk.queue.iter().any(|(_, ops)| touches(ops, at)) {
                node.disk.unreadable.insert(at);
            }
        }
        99 => send_snapshots(world, r),
        _ => {}
    }
}

/// Whether these put the entry at that index.
fn touches(ops: &[LogOp], at: u64) -> bool {
    let puts = |op: &LogOp| matches!(op, LogOp::Put(entry) if entry.index.0 == at);
    ops.iter().any(puts)
}

fn transport(world: &mut World, r: &mut Random, faults: &Faults) {
    // Mostly the oldest, as networks are.
    let i = match r.chance(70) {
        true => 0,
        false => r.below(world.net.len() as u64) as usize,
    };
    let packet = world.net[i].clone();
    let side = |id: NodeId| faults.side >> (id.0 - 1) & 1;
    if side(packet.from) != side(packet.to) || r.chance(faults.loss) {
        drop(world.net.remove(i));
        return;
    }
    if r.chance(faults.duplication) {
        world.net.push(packet);
    }
    world.deliver(i);
}

/// Starts everybody, frees every disk, and expects a leader, a commit that everybody applies, and
/// an answer to every request of a node that still lives.
fn heal(world: &mut World, r: &mut Random) {
    for id in world.ids() {
        world.node(id).disk.hung = false;
        if !world.is_up(id) {
            world.start(id);
        }
    }
    for turn in 0..400 {
        world.settle();
        let leaders = world.leaders();
        if let ([leader], true) = (&leaders[..], turn % 20 == 0) {
            world.propose(*leader, "healed");
            world.settle();
        }
        if is_healed(world) {
            return;
        }
        world.advance(Micros::from_millis(20));
        send_snapshots(world, r);
    }
    let end = end(&world.truth.committed);
    let applied: Vec<_> = world.nodes.values().map(|n| n.applied.index.0).collect();
    world.check(false, || format!("not healed in 8 s: {applied:?} of {end}"));
}

/// Whether something was committed since the healing, everybody has applied it, and every request
/// of a node that lives is answered.
fn is_healed(world: &World) -> bool {
    let committed = &world.truth.committed;
    let goal = end(committed).index;
    let healed = committed
        .last()
        .is_some_and(|e| text(&e.payload) == "healed");
    healed
        && world.nodes.values().all(|node| node.applied.index == goal)
        && world
            .asked
            .values()
            .all(|asked| asked.answer.is_some() || world.nodes[&asked.node].life != asked.life)
}

/// Whoever needs what is purged is offered the leader's state machine. Some are lost on the way, some
/// are wanted and cannot be installed.
fn send_snapshots(world: &mut World, r: &mut Random) {
    for (leader, to) in std::mem::take(&mut world.snapshots) {
        let at = world.nodes[&leader].applied;
        let arrives = world.is_up(to) && world.is_up(leader) && r.chance(80);
        if arrives && at > Position::ZERO {
            world.offer(to, leader, at);
        }
        let wanted = arrives && world.nodes[&to].installing == Some(at);
        let installed = wanted && r.chance(80);
        match (installed, wanted) {
            (true, _) => world.install(to, at),
            (false, true) => world.abandon(to),
            (false, false) => {}
        }
        let index = at.index;
        let outcome = match installed {
            true => SnapshotOutcome::Installed,
            false => SnapshotOutcome::Failed,
        };
        world.step(leader, Input::SnapshotSent { to, index, outcome });
    }
}

#[test]
fn random_schedules_are_safe_and_heal() {
    let range = env::var("RAFT_SEEDS").unwrap_or_default();
    let (from, to) = range.split_once("..").unwrap_or(("0", "3000"));
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        run(seed);
    }
}
