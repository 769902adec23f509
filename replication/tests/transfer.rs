//! Snapshots between real groups: cut, resumed, corrupted, refused, and what the log keeps for them.

mod world;

use consensus::NodeId;
use replication::{Config, Failure};
use world::{CHUNK, World};

/// Bytes of state in most tests: a hundred pieces.
const STATE: usize = 100 * CHUNK;

/// A leader whose log begins above what `behind` holds, and who persists only when told to.
struct Scene {
    world: World,
    leader: NodeId,
    behind: NodeId,
    third: NodeId,
}

impl Scene {
    fn new(configure: fn(&mut Config)) -> Scene {
        let mut world = World::new(3, configure);
        let leader = world.elect();
        let others: Vec<NodeId> = world.ids().into_iter().filter(|id| *id != leader).collect();
        let (behind, third) = (others[0], others[1]);
        world.fill(leader, 8, 100);
        world.run(50);
        world.isolate(behind, true);
        world.fill(leader, 200, STATE / 200);
        world.run(50);
        let mut scene = Scene {
            world,
            leader,
            behind,
            third,
        };
        scene.purge();
        scene
    }

    /// Has both who are in step persist and purge.
    fn purge(&mut self) {
        for id in [self.leader, self.third] {
            self.world.persist(id);
        }
        self.world.run(2_000);
        let behind = self.world.machine(self.behind).applied.index.0;
        for id in [self.leader, self.third] {
            assert!(self.world.purged(id) > behind, "{id} keeps its log");
        }
    }

    /// Lets the one that is behind hear everybody, until it has received so many bytes.
    fn receive(&mut self, bytes: usize) {
        self.world.isolate(self.behind, false);
        let behind = self.behind;
        self.world.run_until("a part has arrived", |world| {
            let part = world.nodes[&behind].disk.part.as_ref();
            part.is_some_and(|(_, part)| part.len() >= bytes)
        });
    }

    fn catches_up(&mut self) {
        self.world.run_until("all are in step", World::in_step);
        let token = self.world.submit(self.behind, b"zlast");
        self.world.run(1_000);
        assert!(self.world.answers.contains_key(&token));
        assert!(self.world.in_step());
    }

    fn sent(&self) -> f64 {
        self.world.sent.values().sum::<u64>() as f64
    }

    fn size(&self) -> f64 {
        let files = &self.world.nodes[&self.behind].disk.files;
        files.values().map(Vec::len).max().unwrap_or_default() as f64
    }
}

/// Purges at once whatever is durable: nobody is waited for.
fn forgetful(config: &mut Config) {
    config.log.kept_bytes = 0;
}

#[test]
fn a_follower_below_the_log_gets_a_snapshot_and_goes_on_from_there() {
    let mut scene = Scene::new(forgetful);
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
    assert!(scene.size() > STATE as f64 * 0.9, "{}", scene.size());
    assert_eq!(scene.sent(), scene.size(), "each byte once");
}

#[test]
fn a_transfer_that_is_cut_five_times_sends_little_twice() {
    let mut scene = Scene::new(forgetful);
    for cut in 1..=5 {
        scene.receive(cut * STATE / 7);
        scene.world.isolate(scene.behind, true);
        scene.world.run(100);
    }
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
    assert!(
        scene.sent() <= 1.2 * scene.size(),
        "{} of {}",
        scene.sent(),
        scene.size()
    );
}

#[test]
fn a_receiver_that_starts_again_goes_on_where_its_disk_is() {
    let mut scene = Scene::new(forgetful);
    scene.receive(STATE / 2);
    scene.world.crash(scene.behind);
    scene.world.run(300);
    scene.world.start(scene.behind);
    scene.catches_up();
    assert!(
        scene.sent() <= 1.1 * scene.size(),
        "{} of {}",
        scene.sent(),
        scene.size()
    );
}

#[test]
fn a_sender_that_starts_again_goes_on_with_the_same_file() {
    let mut scene = Scene::new(forgetful);
    scene.receive(STATE / 2);
    scene.world.crash(scene.leader);
    scene.world.start(scene.leader);
    scene.catches_up();
    let files = scene.world.sent.len();
    assert!(
        files > 1 || scene.sent() <= 1.1 * scene.size(),
        "{} of {}",
        scene.sent(),
        scene.size()
    );
}

#[test]
fn another_leader_takes_over_in_the_middle() {
    let mut scene = Scene::new(forgetful);
    scene.receive(STATE / 2);
    scene.world.crash(scene.leader);
    // One that is only behind can not lead, so the third does once it is heard.
    let behind = scene.behind;
    scene.world.run_until("it is installed", |world| {
        world.nodes[&behind].disk.installed == 1
    });
    assert_eq!(scene.world.leader(), Some(scene.third));
    scene.world.start(scene.leader);
    scene.catches_up();
}

#[test]
fn a_receiver_without_a_leader_waits_and_goes_on() {
    let mut scene = Scene::new(forgetful);
    scene.receive(STATE / 2);
    scene.world.crash(scene.leader);
    scene.world.crash(scene.third);
    scene.world.run(5_000);
    scene.world.start(scene.leader);
    scene.world.start(scene.third);
    scene.catches_up();
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
}

#[test]
fn a_damaged_piece_is_asked_for_again() {
    let mut scene = Scene::new(forgetful);
    scene.world.damages = 3;
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    assert_eq!(scene.world.damages, 0);
    assert_eq!(scene.world.nodes[&scene.behind].disk.corrupt, 0);
    let again = (scene.sent() - scene.size()) / CHUNK as f64;
    assert!((3.0..=12.0).contains(&again), "{again} pieces");
}

#[test]
fn a_snapshot_that_rots_while_it_is_received_is_fetched_anew() {
    let mut scene = Scene::new(forgetful);
    scene.receive(STATE / 2);
    let (_, part) = scene.world.node(scene.behind).disk.part.as_mut().unwrap();
    part[99] ^= 1;
    scene.catches_up();
    let disk = &scene.world.nodes[&scene.behind].disk;
    assert_eq!((disk.corrupt, disk.installed), (1, 1));
}

#[test]
fn a_snapshot_that_is_corrupt_at_its_sender_is_not_sent_for_ever() {
    let mut scene = Scene::new(forgetful);
    let disk = &mut scene.world.node(scene.leader).disk;
    disk.files.values_mut().for_each(|bytes| bytes[99] ^= 1);
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    let disk = &scene.world.nodes[&scene.behind].disk;
    assert_eq!((disk.corrupt, disk.installed), (2, 1));
}

#[test]
fn a_piece_that_is_corrupt_at_its_sender_costs_a_new_snapshot_and_no_more() {
    let mut scene = Scene::new(forgetful);
    scene.world.checks_pieces = true;
    let disk = &mut scene.world.node(scene.leader).disk;
    let middle = |bytes: &mut Vec<u8>| bytes[STATE / 2] ^= 1;
    disk.files.values_mut().for_each(middle);
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    let disk = &scene.world.nodes[&scene.behind].disk;
    assert_eq!((disk.corrupt, disk.installed), (2, 1));
    assert!(
        scene.sent() <= 1.7 * scene.size(),
        "up to there, and a new one"
    );
}

#[test]
fn a_snapshot_that_its_sender_cannot_read_is_not_offered_for_ever() {
    let mut scene = Scene::new(forgetful);
    let disk = &mut scene.world.node(scene.leader).disk;
    disk.unreadable_from = Some(STATE / 2);
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
    assert!(
        scene.sent() <= 1.7 * scene.size(),
        "up to there, and a new one"
    );
}

#[test]
fn an_installation_that_fails_is_tried_again_without_sending_anything_twice() {
    let mut scene = Scene::new(forgetful);
    scene.world.node(scene.behind).disk.refuses_installs = 2;
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    assert_eq!(scene.sent(), scene.size());
}

#[test]
fn a_follower_that_can_install_nothing_does_not_keep_the_log_for_ever() {
    let mut scene = Scene::new(forgetful);
    scene.world.node(scene.behind).disk.refuses_installs = u32::MAX;
    scene.world.isolate(scene.behind, false);
    scene.world.run(30_000);
    scene.world.fill(scene.leader, 50, 400);
    let written = scene.world.machine(scene.leader).applied.index.0;
    for id in [scene.leader, scene.third] {
        scene.world.persist(id);
    }
    scene.world.run(10_000);
    assert!(scene.world.purged(scene.leader) < written, "it may yet");
    scene.world.run(180_000);
    for id in [scene.leader, scene.third] {
        assert!(scene.world.purged(id) >= written, "{id} keeps its log");
    }
    scene.world.node(scene.behind).disk.refuses_installs = 0;
    scene.world.run(90_000);
    scene.catches_up();
}

#[test]
fn a_newer_snapshot_takes_the_place_of_one_that_is_gone() {
    let mut scene = Scene::new(forgetful);
    scene.receive(STATE / 2);
    scene.world.isolate(scene.behind, true);
    // Longer than it is kept for.
    scene.world.run(61_000);
    scene.world.fill(scene.leader, 20, 100);
    scene.purge();
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    assert_eq!(scene.world.sent.len(), 2, "{:?}", scene.world.sent);
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
}

#[test]
fn the_log_above_a_snapshot_that_is_sent_is_kept() {
    let mut scene = Scene::new(|config| {
        forgetful(config);
        config.snapshots.bytes_per_second = 20 << 10;
    });
    scene.receive(STATE / 4);
    let (_, at) = (0, *scene.world.sent.keys().next().unwrap());
    scene.world.fill(scene.leader, 50, 400);
    scene.world.persist(scene.leader);
    scene.world.run(2_000);
    let purged = scene.world.purged(scene.leader);
    assert_eq!(purged, at.at.index.0, "no further than the snapshot");
    scene.catches_up();
    assert_eq!(scene.world.sent.len(), 1, "the log went on from it");
    scene.world.persist(scene.leader);
    scene.world.run(2_000);
    assert!(scene.world.purged(scene.leader) > purged);
}

/// Below what is written while a snapshot is sent, log that is kept for those who lag is nothing.
fn sent_slowly(config: &mut Config) {
    forgetful(config);
    config.snapshots.bytes_per_second = 10 << 10;
}

#[test]
fn the_log_above_a_snapshot_is_kept_by_whoever_may_lead_next() {
    let mut scene = Scene::new(sent_slowly);
    scene.receive(STATE / 4);
    let at = *scene.world.sent.keys().next().unwrap();
    for _ in 0..3 {
        scene.world.fill(scene.leader, 50, 4_000);
        scene.world.persist(scene.third);
        scene.world.run(1_100);
    }
    assert!(scene.world.purged(scene.third) <= at.at.index.0);
    let behind = scene.behind;
    scene.world.run_until("it is installed", |world| {
        world.nodes[&behind].disk.installed == 1
    });
    scene.world.crash(scene.leader);
    scene.catches_up();
    assert_eq!(scene.world.leader(), Some(scene.third));
    assert_eq!(scene.world.sent.len(), 1, "the log went on from it");
    scene.world.start(scene.leader);
    // And it is given back in the end.
    scene.world.run(70_000);
    scene.world.fill(scene.third, 1, 1);
    scene.world.persist(scene.third);
    scene.world.run(2_000);
    let applied = scene.world.machine(scene.third).applied.index.0;
    assert_eq!(scene.world.purged(scene.third), applied);
}

#[test]
fn a_snapshot_goes_on_though_another_leads_and_that_sends_none() {
    let mut scene = Scene::new(sent_slowly);
    for (part, leader) in [(4, scene.third), (2, scene.leader)] {
        scene.receive(STATE / part);
        scene.world.fill(scene.world.leader().unwrap(), 50, 400);
        scene.world.depose();
        assert_eq!(scene.world.leader(), Some(leader));
        scene.world.fill(leader, 50, 400);
        for id in [scene.leader, scene.third] {
            scene.world.persist(id);
        }
        scene.world.run(200);
    }
    scene.catches_up();
    assert_eq!(scene.world.sent.len(), 1, "{:?}", scene.world.sent);
    assert_eq!(scene.sent(), scene.size(), "each byte once");
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
}

#[test]
fn a_leader_keeps_the_log_above_what_another_sends_however_long_that_takes() {
    let mut scene = Scene::new(|config| {
        forgetful(config);
        config.snapshots.bytes_per_second = 1 << 10;
    });
    scene.receive(STATE / 10);
    scene.world.depose();
    assert_eq!(scene.world.leader(), Some(scene.third));
    for _ in 0..7 {
        scene.world.fill(scene.third, 50, 4_000);
        scene.world.persist(scene.third);
        scene.world.run(10_000);
    }
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 0);
    scene.catches_up();
    assert_eq!(scene.world.sent.len(), 1, "{:?}", scene.world.sent);
}

#[test]
fn a_leader_whose_log_begins_above_what_another_sends_sends_its_own() {
    let mut scene = Scene::new(sent_slowly);
    scene.world.deaf_to_keep = Some(scene.third);
    scene.receive(STATE / 4);
    let at = *scene.world.sent.keys().next().unwrap();
    scene.world.fill(scene.leader, 50, 4_000);
    scene.world.persist(scene.third);
    scene.world.run(1_100);
    assert!(scene.world.purged(scene.third) > at.at.index.0);
    scene.world.depose();
    assert_eq!(scene.world.leader(), Some(scene.third));
    scene.catches_up();
    assert_eq!(scene.world.sent.len(), 2, "{:?}", scene.world.sent);
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
}

#[test]
fn a_sender_that_is_gone_for_good_is_not_waited_for_by_the_new_leader() {
    let mut scene = Scene::new(sent_slowly);
    scene.receive(STATE / 4);
    scene.world.depose();
    assert_eq!(scene.world.leader(), Some(scene.third));
    scene.world.fill(scene.third, 50, 400);
    scene.world.persist(scene.third);
    scene.world.run(1_000);
    assert_eq!(scene.world.sent.len(), 1, "it goes on");
    scene.world.crash(scene.leader);
    let behind = scene.behind;
    scene.world.run_until("it is installed", |world| {
        world.nodes[&behind].disk.installed == 1
    });
    assert_eq!(scene.world.sent.len(), 2, "{:?}", scene.world.sent);
    scene.world.start(scene.leader);
    scene.catches_up();
}

#[test]
fn a_follower_that_starts_again_keeps_the_log_until_it_is_told() {
    let mut scene = Scene::new(sent_slowly);
    scene.receive(STATE / 4);
    let at = *scene.world.sent.keys().next().unwrap();
    scene.world.fill(scene.leader, 50, 4_000);
    scene.world.persist(scene.third);
    scene.world.run(1_500);
    scene.world.crash(scene.third);
    scene.world.start(scene.third);
    let (third, now) = (scene.third, scene.world.now);
    let applied = scene.world.machine(third).applied.index;
    let replica = scene.world.group(third).replica();
    replica.log_holds(applied, 200 << 10);
    replica.durable(now, applied);
    scene.world.run(3_500);
    assert!(scene.world.purged(third) <= at.at.index.0);
    scene.catches_up();
}

#[test]
fn a_slow_follower_catches_up_though_much_was_written_while_it_was_sent_a_snapshot() {
    let mut scene = Scene::new(|config| {
        config.log.kept_bytes = 10 << 10;
        config.snapshots.bytes_per_second = 20 << 10;
    });
    scene.receive(1);
    // Faster than what is written, and far behind when the snapshot is installed.
    scene.world.slow = Some((scene.behind, 50));
    for _ in 0..60 {
        scene.world.fill(scene.leader, 8, 12_000);
        scene.world.persist(scene.leader);
        scene.world.run(300);
    }
    assert_eq!(scene.world.sent.len(), 1, "{:?}", scene.world.sent);
    scene.world.run_until("all are in step", World::in_step);
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
}

#[test]
fn a_follower_that_gets_no_further_after_its_snapshot_is_not_waited_for() {
    let mut scene = Scene::new(forgetful);
    scene.receive(STATE / 2);
    scene.world.slow = Some((scene.behind, 1_000_000));
    scene.world.fill(scene.leader, 20, 1_000);
    scene.world.run_until("it is installed", {
        let behind = scene.behind;
        move |world| world.nodes[&behind].disk.installed == 1
    });
    scene.world.run(100);
    scene.world.persist(scene.leader);
    let applied = scene.world.machine(scene.leader).applied.index.0;
    scene.world.run(5_000);
    assert!(
        scene.world.purged(scene.leader) < applied,
        "it may come yet"
    );
    scene.world.run(12_000);
    assert_eq!(scene.world.purged(scene.leader), applied);
}

#[test]
fn no_more_is_sent_than_the_budget_allows() {
    let rate = 20 << 10;
    let mut scene = Scene::new(|config| {
        forgetful(config);
        config.snapshots.bytes_per_second = 20 << 10;
    });
    scene.receive(1);
    let (from, sent) = (scene.world.now, scene.sent());
    scene.world.run(3_000);
    let took = (scene.world.now.0 - from.0) as f64 / 1e6;
    let per_second = (scene.sent() - sent) / took;
    let rate = f64::from(rate);
    assert!(
        (0.8 * rate..=1.1 * rate).contains(&per_second),
        "{per_second}"
    );
    scene.catches_up();
}

#[test]
fn a_follower_that_lags_a_little_keeps_its_log_and_one_that_lags_much_gets_a_snapshot() {
    for (bytes, snapshots) in [(10 << 10, 0), (200 << 10, 1)] {
        let mut world = World::new(3, |config| config.log.kept_bytes = 100 << 10);
        let leader = world.elect();
        let behind = world.ids().into_iter().find(|id| *id != leader).unwrap();
        world.isolate(behind, true);
        world.fill(leader, 50, bytes / 50);
        for id in world.ids().into_iter().filter(|id| *id != behind) {
            world.persist(id);
        }
        world.run(3_000);
        let kept = world.purged(leader) <= world.machine(behind).applied.index.0;
        assert_eq!(kept, snapshots == 0);
        world.isolate(behind, false);
        world.run_until("all are in step", World::in_step);
        assert_eq!(world.nodes[&behind].disk.installed, snapshots);
    }
}

#[test]
fn a_follower_that_lags_a_little_gets_no_snapshot_from_a_new_leader_either() {
    for persisted_before in [true, false] {
        let mut world = World::new(3, |config| config.log.kept_bytes = 100 << 10);
        let old = world.elect();
        let others: Vec<_> = world.ids().into_iter().filter(|id| *id != old).collect();
        let (new, behind) = (others[0], others[1]);
        world.fill(old, 300, 1_000);
        world.run(50);
        world.isolate(behind, true);
        world.fill(old, 5, 1_000);
        world.run(50);
        if persisted_before {
            world.persist(new);
            world.run(3_000);
            assert!(world.purged(new) > 0, "the rest need not be kept");
        }
        world.crash(old);
        world.persist(new);
        world.isolate(behind, false);
        world.run_until("all are in step", World::in_step);
        assert_eq!(world.leader(), Some(new));
        assert_eq!(world.nodes[&behind].disk.installed, 0);
    }
}

#[test]
fn a_follower_that_stays_away_is_not_waited_for() {
    let mut world = World::new(3, |_| {});
    let leader = world.elect();
    let behind = world.ids().into_iter().find(|id| *id != leader).unwrap();
    world.isolate(behind, true);
    world.fill(leader, 50, 100);
    world.persist(leader);
    world.run(3_000);
    assert!(world.purged(leader) <= world.machine(behind).applied.index.0);
    world.run(60_000);
    let applied = world.machine(leader).applied.index.0;
    assert_eq!(world.purged(leader), applied);
}

#[test]
fn an_idle_group_pins_nothing_and_a_busy_one_no_more_than_its_bound() {
    let mut world = World::new(3, |config| {
        config.log.persist_bytes = 200 << 10;
        config.log.kept_bytes = 1 << 10;
    });
    let leader = world.elect();
    for _ in 0..30 {
        world.fill(leader, 100, 1_000);
        world.run(150);
        for id in world.ids() {
            let bytes = world.group(id).view().log_bytes_not_durable();
            assert!(
                bytes < 400 << 10,
                "{id} has {bytes} bytes that are not durable"
            );
        }
    }
    let busy = world.purged(leader);
    assert!(busy > 0, "purged under load");
    // As long as one may come back who lacks a little.
    world.run(62_000);
    for id in world.ids() {
        let applied = world.machine(id).applied.index.0;
        assert_eq!(world.purged(id), applied, "{id} pins its log");
    }
    let writes: Vec<_> = world.ids();
    world.run(120_000);
    for id in writes {
        assert_eq!(
            world.nodes[&id].disk.files.len(),
            1,
            "{id} persists for nothing"
        );
    }
}

#[test]
fn a_node_that_replays_persists_what_it_has_applied_and_not_what_it_started_from() {
    let mut world = World::new(3, |config| config.log.persist_bytes = 100 << 10);
    let leader = world.elect();
    let node = world.ids().into_iter().find(|id| *id != leader).unwrap();
    world.fill(leader, 80, 1_000);
    world.run(50);
    world.crash(node);
    world.start(node);
    let last = world.machine(leader).applied.index;
    world.group(node).replica().log_holds(last, 150 << 10);
    world.run(1);
    assert!(world.nodes[&node].disk.files.is_empty(), "of nothing");
    world.run(1_000);
    let files = world.nodes[&node].disk.files.keys();
    let at: Vec<_> = files.map(|id| id.at.index).collect();
    assert_eq!(at, [last]);
}

#[test]
fn reads_wait_for_the_snapshot_and_see_it() {
    let mut scene = Scene::new(forgetful);
    scene.world.isolate(scene.behind, false);
    scene.world.run_until("it follows", {
        let (behind, leader) = (scene.behind, scene.leader);
        move |world| {
            world.nodes[&behind]
                .group
                .as_ref()
                .unwrap()
                .view()
                .leadership()
                .1
                == Some(leader)
        }
    });
    let now = scene.world.now;
    scene
        .world
        .group(scene.behind)
        .replica()
        .read(now, 999_999, &[199]);
    scene
        .world
        .run_until("answered", |world| world.answers.contains_key(&999_999));
    let expected = scene.world.machine(scene.leader).rows[&199].clone();
    assert_eq!(scene.world.answers.remove(&999_999), Some(Ok(expected)));
    assert_eq!(scene.world.nodes[&scene.behind].disk.installed, 1);
}

#[test]
fn a_node_whose_state_was_lost_below_its_log_is_given_a_snapshot() {
    let mut scene = Scene::new(forgetful);
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    // Everybody's log begins at the end, and nothing more is written.
    for id in scene.world.ids() {
        scene.world.persist(id);
    }
    scene.world.run(2_000);
    let lost = scene.third;
    scene.world.crash(lost);
    scene.world.node(lost).disk.files.clear();
    scene.world.start(lost);
    scene
        .world
        .run_until("it has its state again", World::in_step);
    assert_eq!(scene.world.nodes[&lost].disk.installed, 1);
    let token = scene.world.submit(lost, b"more");
    scene.world.run(1_000);
    assert_eq!(scene.world.answers.remove(&token), Some(Ok(b"+".to_vec())));
}

#[test]
fn a_write_that_a_snapshot_jumps_over_is_unknown() {
    let mut scene = Scene::new(forgetful);
    scene.world.isolate(scene.behind, false);
    scene.catches_up();
    let old = scene.leader;
    scene.world.isolate(old, true);
    let token = scene.world.submit(old, b"never heard of");
    scene.world.run_until("another leads", |world| {
        world.leader().is_some_and(|leader| leader != old)
    });
    let leader = scene.world.leader().unwrap();
    scene.world.fill(leader, 20, 100);
    for id in scene.world.ids().into_iter().filter(|id| *id != old) {
        scene.world.persist(id);
    }
    scene.world.run(1_500);
    scene.world.isolate(old, false);
    scene.world.run_until("all are in step", World::in_step);
    scene.world.run(1);
    let answer = scene.world.answers.remove(&token);
    assert_eq!(answer, Some(Err(Failure::Unknown)));
}
