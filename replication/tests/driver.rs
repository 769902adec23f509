//! The driver's rules, one test each, against a protocol that does what the test says.

mod scripted;

use bytes::Bytes;
use consensus::{Epoch, Index, Micros, WriteSeq};
use replication::{Action, Failure, ForwardId, Held, Message, Millis, Wait};
use scripted::{Bench, ME, OTHER, PEER, Script, Seen, forward, id, strings};

#[test]
fn commands_of_one_turn_share_an_entry() {
    let mut bench = Bench::leading();
    (1..=3).for_each(|token| bench.submit(token));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["1", "2", "3"]))]);
}

#[test]
fn what_arrives_while_the_disk_syncs_is_the_next_entry() {
    let mut bench = Bench::leading();
    bench.persist = false;
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    assert_eq!(bench.turn(), []);
    bench.submit(3);
    bench.replica.persisted(bench.now, WriteSeq(1));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["2", "3"]))]);
}

#[test]
fn a_follower_forwards_and_names_the_epoch() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.submit(2);
    assert_eq!(
        bench.turn(),
        [Seen::Forward(1, id(0), strings(&["1", "2"]))]
    );
    let replies = Bytes::from_static(b"\x02\0\0\0OK\x02\0\0\0OK");
    let (index, id) = (Index(7), id(0));
    bench.hear(PEER, Message::Outcome { id, index, replies });
    assert_eq!(bench.turn(), [Seen::Answered(vec![1, 2])]);
}

#[test]
fn only_the_leader_of_the_named_epoch_executes() {
    let mut bench = Bench::leading();
    bench.hear(PEER, forward(2, 0, &["x"]));
    assert_eq!(bench.turn(), [Seen::Refused(PEER, id(0))]);
    bench.hear(PEER, forward(1, 1, &["x"]));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["x"]))]);
    let mut follower = Bench::following();
    follower.hear(OTHER, forward(1, 0, &["x"]));
    assert_eq!(
        follower.turn(),
        [Seen::Refused(OTHER, id(0))],
        "and never passes it on"
    );
}

#[test]
fn a_forwarded_batch_that_comes_twice_is_executed_once() {
    let mut bench = Bench::leading();
    bench.hear(PEER, forward(1, 4, &["incr"]));
    bench.hear(PEER, forward(1, 4, &["incr"]));
    bench.hear(PEER, forward(1, 3, &["late"]));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["incr"]))]);
}

#[test]
fn what_was_refused_goes_to_the_next_leader_before_what_came_later() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.turn();
    bench.submit(3);
    bench.hear(PEER, Message::Refused { id: id(0) });
    assert_eq!(bench.turn(), [], "the same leader would only refuse again");
    bench.tell(Script::Lead(2, Some(OTHER)));
    assert_eq!(
        bench.turn(),
        [
            Seen::Forward(2, id(2), strings(&["1"])),
            Seen::Forward(2, id(3), strings(&["2"])),
        ]
    );
    let (index, id2, replies) = (Index(7), id(2), Bytes::from_static(b"\x02\0\0\0OK"));
    bench.hear(
        OTHER,
        Message::Outcome {
            id: id2,
            index,
            replies,
        },
    );
    assert_eq!(
        bench.turn(),
        [
            Seen::Answered(vec![1]),
            Seen::Forward(2, id(4), strings(&["3"])),
        ]
    );
}

#[test]
fn what_was_refused_is_not_sent_again_once_later_commands_were() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, Some(OTHER)));
    bench.submit(2);
    assert_eq!(bench.turn(), [], "the old leader may still answer");
    bench.pass(250);
    assert_eq!(bench.turn(), [Seen::Forward(2, id(1), strings(&["2"]))]);
    bench.hear(PEER, Message::Refused { id: id(0) });
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::NotExecuted)]);
}

#[test]
fn what_was_under_way_on_a_broken_connection_is_unknown_and_never_sent_again() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.replica.link_down(PEER);
    bench.submit(2);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::Unknown)]);
    bench.replica.link_up(PEER);
    assert_eq!(bench.turn(), [Seen::Forward(1, id(1), strings(&["2"]))]);
}

#[test]
fn an_answer_that_outlives_its_question_is_dropped() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    let late = |n| Message::Outcome {
        id: ForwardId(n),
        index: Index(1),
        replies: Bytes::from_static(b"\x02\0\0\0OK"),
    };
    bench.hear(PEER, late(7));
    bench.hear(OTHER, late(id(0).0));
    assert_eq!(bench.turn(), [], "another name, another sender");
}

#[test]
fn commands_are_held_while_nobody_leads_and_refused_when_their_time_is_up() {
    let mut bench = Bench::new();
    bench.submit(1);
    bench.pass(1_000);
    bench.submit(2);
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.replica.deadline(), Some(Micros::from_millis(3_000)));
    bench.pass(1_000);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::NoLeader)]);
    bench.tell(Script::Lead(1, Some(ME)));
    assert_eq!(bench.turn(), [Seen::Propose(strings(&["2"]))]);
}

#[test]
fn a_leader_that_is_deposed_refuses_what_was_forwarded_and_keeps_its_own() {
    let mut bench = Bench::leading();
    bench.persist = false;
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.hear(PEER, forward(1, 9, &["x"]));
    bench.submit(3);
    bench.turn();
    bench.tell(Script::Lead(2, None));
    assert_eq!(bench.turn(), [Seen::Refused(PEER, id(9))]);
    bench.tell(Script::Lead(2, Some(OTHER)));
    assert_eq!(
        bench.turn(),
        [Seen::Forward(2, id(0), strings(&["2", "3"]))]
    );
}

#[test]
fn a_proposal_that_is_committed_after_all_is_answered() {
    let mut bench = Bench::leading();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, Some(PEER)));
    bench.turn();
    bench.tell(Script::CommitTo(1));
    assert_eq!(bench.turn(), [Seen::Applied(1)]);
    bench.pass(5_000);
    assert_eq!(bench.turn(), [], "nobody is told that it is unknown");
}

#[test]
fn a_proposal_whose_place_is_taken_was_not_executed() {
    let mut bench = Bench::leading();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, Some(PEER)));
    bench.tell(Script::CommitOther(1, 2));
    assert_eq!(
        bench.turn(),
        [
            Seen::Failed(vec![1], Failure::NotExecuted),
            Seen::Applied(1)
        ]
    );
}

#[test]
fn a_proposal_that_nobody_decides_is_unknown_in_the_end() {
    let mut bench = Bench::leading();
    bench.hear(PEER, forward(1, 0, &["x"]));
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(2, None));
    bench.pass(1_999);
    assert_eq!(bench.turn(), []);
    bench.pass(1);
    assert_eq!(
        bench.turn(),
        [
            Seen::FailedRemote(PEER, id(0), Failure::Unknown),
            Seen::Failed(vec![1], Failure::Unknown),
        ]
    );
}

#[test]
fn two_reigns_can_have_proposed_at_one_index() {
    let mut bench = Bench::leading();
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.turn();
    bench.tell(Script::CommitOther(1, 3));
    bench.tell(Script::CommitOther(2, 3));
    assert_eq!(
        bench.turn(),
        [
            Seen::Failed(vec![1], Failure::NotExecuted),
            Seen::Failed(vec![2], Failure::NotExecuted),
            Seen::Applied(2),
        ]
    );
}

#[test]
fn reads_of_one_turn_share_a_question_and_wait_for_the_state() {
    let mut bench = Bench::leading();
    bench.submit(9);
    bench.turn();
    bench.replica.read(bench.now, 1, b"a");
    bench.replica.read(bench.now, 2, b"b");
    assert_eq!(bench.turn(), []);
    bench.replica.read(bench.now, 3, b"c");
    bench.tell(Script::Confirm(1));
    assert_eq!(bench.turn(), [], "index 1 is not applied yet");
    bench.tell(Script::CommitTo(1));
    assert_eq!(bench.turn(), [Seen::Applied(1), Seen::Asked(vec![1, 2])]);
    bench.tell(Script::Confirm(1));
    assert_eq!(bench.turn(), [Seen::Asked(vec![3])]);
}

#[test]
fn a_refused_read_is_asked_again_and_given_up_in_time() {
    let mut bench = Bench::following();
    bench.replica.read(bench.now, 1, b"a");
    bench.turn();
    bench.tell(Script::Lead(2, None));
    bench.tell(Script::RefuseRead);
    assert_eq!(bench.turn(), []);
    bench.tell(Script::Lead(3, Some(OTHER)));
    bench.turn();
    bench.tell(Script::Confirm(0));
    assert_eq!(bench.turn(), [Seen::Asked(vec![1])]);
    bench.tell(Script::Lead(4, None));
    bench.replica.read(bench.now, 2, b"a");
    bench.pass(2_001);
    assert_eq!(bench.turn(), [Seen::Failed(vec![2], Failure::NoLeader)]);
}

#[test]
fn time_passes_in_the_log_when_something_is_due_and_not_too_often() {
    let mut bench = Bench::leading();
    bench.due = Some(Millis(1_000_000 + 1_050));
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.replica.deadline(), Some(Micros::from_millis(1_050)));
    bench.pass(50);
    assert_eq!(bench.turn(), [Seen::Propose(vec![])]);
    bench.pass(50);
    assert_eq!(bench.turn(), []);
    bench.pass(50);
    assert_eq!(bench.turn(), [Seen::Propose(vec![])]);
}

#[test]
fn a_follower_lets_the_leader_answer_wait() {
    let wait = Wait {
        index: Index(4),
        replicas: 2,
        timeout: Some(Micros::from_millis(100)),
    };
    let mut bench = Bench::following();
    bench.replica.wait(bench.now, 1, wait);
    assert_eq!(bench.turn(), [Seen::Wait(PEER, id(0))]);
    let held = Held {
        replicas: 2,
        leader: true,
    };
    let (id, replicas, leader) = (id(0), 2, true);
    bench.hear(
        PEER,
        Message::Waited {
            id,
            replicas,
            leader,
        },
    );
    assert_eq!(bench.turn(), [Seen::Held(1, held)]);
}

#[test]
fn a_leader_answers_wait_when_enough_hold_the_index_or_time_is_up() {
    let wait = |index, replicas| Wait {
        index: Index(index),
        replicas,
        timeout: Some(Micros::from_millis(100)),
    };
    let mut bench = Bench::leading();
    bench.replica.wait(bench.now, 1, wait(3, 2));
    bench.replica.wait(bench.now, 2, wait(5, 2));
    bench.replica.wait(bench.now, 3, wait(5, 9));
    bench.replica.forget(|token| token == 3);
    let held = |replicas| Held {
        replicas,
        leader: true,
    };
    assert_eq!(bench.turn(), [Seen::Held(1, held(2))]);
    bench.pass(100);
    assert_eq!(bench.turn(), [Seen::Held(2, held(1))]);
    let (id, index, replicas, timeout_ms) = (id(5), Index(5), 1, 0);
    bench.hear(
        OTHER,
        Message::Wait {
            id,
            index,
            replicas,
            timeout_ms,
        },
    );
    assert_eq!(bench.turn(), [Seen::Waited(OTHER, id, 1)]);
}

/// A question of `OTHER`'s, as it comes to a leader: do so many hold entry 5?
fn remote_wait(name: u64, replicas: u32, timeout_ms: u64) -> Message<Script> {
    let (id, index) = (id(name), Index(5));
    Message::Wait {
        id,
        index,
        replicas,
        timeout_ms,
    }
}

#[test]
fn a_leader_keeps_no_question_for_ever_whose_client_may_be_gone() {
    let mut bench = Bench::leading();
    bench.hear(OTHER, remote_wait(1, 9, 0));
    bench.hear(OTHER, remote_wait(2, 9, u64::MAX));
    assert_eq!(bench.turn(), []);
    bench.pass(10_000);
    let waited = [1, 2].map(|name| Seen::Waited(OTHER, id(name), 1));
    assert_eq!(bench.turn(), waited);
    bench.pass(10_000);
    assert_eq!(bench.turn(), []);
}

#[test]
fn a_follower_asks_again_for_as_long_as_its_client_waits() {
    let waited = |name, replicas| Message::Waited {
        id: id(name),
        replicas,
        leader: true,
    };
    for timeout in [None, Some(Micros::from_millis(60_000))] {
        let mut bench = Bench::following();
        let wait = Wait {
            index: Index(4),
            replicas: 2,
            timeout,
        };
        bench.replica.wait(bench.now, 1, wait);
        assert_eq!(bench.turn(), [Seen::Wait(PEER, id(0))]);
        bench.pass(10_000);
        bench.hear(PEER, waited(0, 1));
        assert_eq!(bench.turn(), [Seen::Wait(PEER, id(1))]);
        bench.pass(49_990);
        bench.hear(PEER, waited(1, 1));
        assert_eq!(bench.turn(), [Seen::Wait(PEER, id(2))]);
        bench.pass(10);
        bench.hear(PEER, waited(2, 1));
        let (replicas, leader) = (1, true);
        let last = match timeout {
            Some(_) => Seen::Held(1, Held { replicas, leader }),
            None => Seen::Wait(PEER, id(3)),
        };
        assert_eq!(bench.turn(), [last]);
        bench.replica.forget(|token| token == 1);
        bench.hear(PEER, waited(3, 1));
        assert_eq!(bench.turn(), []);
    }
}

#[test]
fn bytes_that_are_no_batch_are_not_executed() {
    let mut bench = Bench::leading();
    let batch = Bytes::from_static(b"garbage");
    let (epoch, id) = (Epoch::term(1), id(0));
    bench.hear(PEER, Message::Forward { epoch, id, batch });
    assert_eq!(
        bench.turn(),
        [Seen::FailedRemote(PEER, id, Failure::NotExecuted)]
    );
}

#[test]
fn a_long_replay_is_applied_in_slices_and_messages_are_answered_between_them() {
    let mut bench = Bench::new();
    for index in 1..=5_000 {
        bench.tell(Script::CommitOther(index, 1));
    }
    assert_eq!(bench.turn(), [Seen::Applied(2_048)]);
    assert_eq!(bench.replica.deadline(), Some(bench.now), "at once");
    bench.hear(OTHER, forward(1, 0, &["x"]));
    assert_eq!(
        bench.turn(),
        [Seen::Refused(OTHER, id(0)), Seen::Applied(4_096)]
    );
    assert_eq!(bench.turn(), [Seen::Applied(5_000)]);
    assert_ne!(bench.replica.deadline(), Some(bench.now));
}

#[test]
fn a_slice_is_bounded_in_commands_and_in_bytes_and_takes_one_entry_at_least() {
    let mut bench = Bench::leading();
    for _ in 0..2 {
        (0..2_000).for_each(|token| bench.submit(token));
        bench.turn();
    }
    for token in 0..3 {
        bench.replica.submit(bench.now, token, &vec![0; 3 << 20]);
        bench.turn();
    }
    bench.tell(Script::CommitTo(9));
    let applied: Vec<_> = (0..5).flat_map(|_| bench.turn()).collect();
    assert_eq!(applied, [2, 3, 4, 5].map(Seen::Applied));
}

#[test]
fn what_is_put_back_is_applied_in_the_next_turn() {
    let mut bench = Bench::new();
    (1..=3).for_each(|index| bench.tell(Script::CommitOther(index, 1)));
    bench.replica.turn(bench.now, Millis(0), None);
    let Some(Action::Apply(slice)) = bench.replica.poll() else {
        panic!("nothing to apply");
    };
    let mut slice = slice.into_iter();
    assert_eq!(slice.next().map(|first| first.index()), Some(Index(1)));
    bench.replica.apply_later(slice);
    assert!(bench.replica.poll().is_none(), "the turn is over");
    let Some(Action::Apply(slice)) = ({
        bench.replica.turn(bench.now, Millis(0), None);
        bench.replica.poll()
    }) else {
        panic!("nothing to apply");
    };
    assert_eq!(
        slice.iter().map(|c| c.index().0).collect::<Vec<_>>(),
        [2, 3]
    );
}

#[test]
fn times_that_cannot_be_reached_are_as_good_as_never() {
    let mut bench = Bench::leading();
    bench.due = Some(Millis(i64::MAX as u64));
    bench.replica.wait(
        bench.now,
        1,
        Wait {
            index: Index(9),
            replicas: 9,
            timeout: Some(Micros(u64::MAX)),
        },
    );
    assert_eq!(bench.turn(), []);
}

#[test]
fn what_went_to_a_leader_that_left_no_successor_is_unknown_in_the_end() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.tell(Script::Lead(1, None));
    bench.turn();
    bench.pass(2_000);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::Unknown)]);
}

#[test]
fn a_read_that_can_not_be_served_is_given_up() {
    let mut bench = Bench::following();
    bench.replica.read(bench.now, 1, b"a");
    bench.turn();
    bench.tell(Script::Confirm(7));
    assert_eq!(bench.turn(), [], "index 7 is never applied here");
    bench.pass(5_000);
    assert_eq!(bench.turn(), [Seen::Failed(vec![1], Failure::NoLeader)]);
}

#[test]
fn a_new_leader_is_not_kept_waiting_by_what_the_old_one_owes() {
    let mut bench = Bench::following();
    bench.submit(1);
    bench.turn();
    bench.submit(2);
    bench.turn();
    bench.tell(Script::Lead(2, Some(OTHER)));
    bench.submit(3);
    bench.turn();
    bench.pass(250);
    assert_eq!(bench.turn(), [Seen::Forward(2, id(2), strings(&["3"]))]);
}

#[test]
fn a_read_refused_under_a_live_leader_is_asked_again() {
    let mut bench = Bench::following();
    bench.replica.read(bench.now, 1, b"a");
    bench.turn();
    bench.tell(Script::RefuseRead);
    assert_eq!(bench.turn(), [], "nobody waits for another leader");
    bench.tell(Script::Confirm(0));
    assert_eq!(bench.turn(), [Seen::Asked(vec![1])]);
}
