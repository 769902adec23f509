//! What commands mean changes only once every member knows the new meaning.

#[expect(dead_code, reason = "the rest of it is for transfers")]
mod world;

use consensus::NodeId;
use replication::{Message, SEMANTICS};
use world::{VERSION, World};

const NEWER: u8 = SEMANTICS + 1;

/// A cluster whose nodes know these versions of the commands' meaning.
fn world(knows: [u8; 3]) -> World {
    let mut world = World::new(3, |_| {});
    for (id, knows) in (1..).map(NodeId).zip(knows) {
        world.crash(id);
        world.node(id).knows = knows;
    }
    for id in world.ids() {
        world.start(id);
    }
    world
}

/// Under which version the newest entry was applied, wherever that is known to be.
#[track_caller]
fn written_under(world: &mut World) -> u8 {
    let leader = world.elect();
    world.run(1_000);
    world.fill(leader, 1, 8);
    world.run(300);
    let [version] = world.machine(leader).rows[&VERSION][..] else {
        panic!("one version")
    };
    version
}

fn upgrade(world: &mut World, id: NodeId) {
    world.crash(id);
    world.node(id).knows = NEWER;
    world.start(id);
}

#[test]
fn everybody_has_the_newest_meaning_and_so_it_is_used() {
    assert_eq!(written_under(&mut world([NEWER; 3])), NEWER);
    assert_eq!(written_under(&mut world([SEMANTICS; 3])), SEMANTICS);
}

#[test]
fn a_member_that_is_upgraded_last_raises_the_version_for_all() {
    for old in (1..=3).map(NodeId) {
        let mut world = world([NEWER; 3]);
        for id in world.ids() {
            world.crash(id);
        }
        world.node(old).knows = SEMANTICS;
        for id in world.ids() {
            world.start(id);
        }
        assert_eq!(written_under(&mut world), SEMANTICS);
        upgrade(&mut world, old);
        assert_eq!(written_under(&mut world), NEWER);
        assert!(world.in_step());
    }
}

#[test]
fn of_a_member_that_nobody_has_heard_the_least_is_expected() {
    let mut world = World::new(3, |_| {});
    for id in world.ids() {
        world.crash(id);
        world.node(id).knows = NEWER;
    }
    world.start(NodeId(1));
    world.start(NodeId(2));
    assert_eq!(written_under(&mut world), SEMANTICS);
    world.start(NodeId(3));
    assert_eq!(written_under(&mut world), NEWER);
}

#[test]
fn nonsense_about_a_version_lowers_it_no_further_than_the_oldest() {
    let mut world = world([NEWER; 3]);
    assert_eq!(written_under(&mut world), NEWER);
    let (leader, now) = (world.elect(), world.now);
    let peer = world.ids().into_iter().find(|id| *id != leader).unwrap();
    let nonsense = Message::Understands { semantics: 0 };
    let replica = world.group(leader).replica();
    replica.receive(now, peer, nonsense);
    assert_eq!(written_under(&mut world), SEMANTICS);
}

#[test]
#[should_panic(
    expected = "the batch has semantics version 2, this build knows up to 1: upgrade this node"
)]
fn a_node_that_meets_a_newer_meaning_stops_and_says_so() {
    let mut world = world([NEWER; 3]);
    assert_eq!(written_under(&mut world), NEWER);
    let follower = (1..=3).map(NodeId).find(|id| Some(*id) != world.leader());
    let follower = follower.expect("two of three follow");
    world.crash(follower);
    world.node(follower).knows = SEMANTICS;
    world.start(follower);
    world.run(1_000);
}
