//! What the paper says, sentence by sentence. Sections and figures are those of "In Search of an
//! Understandable Consensus Algorithm" (Ongaro and Ousterhout, extended version), "thesis" is
//! Ongaro's dissertation.

mod harness;

use consensus::{Consensus, Done, Epoch, Index, Micros, NodeId, Position, Refusal, Role};
use consensus_raft::{Config, Message};
use harness::disk::entry;
use harness::{Answer, World, n};

fn at(index: u64, term: u64) -> Position {
    Position {
        index: Index(index),
        epoch: Epoch::term(term),
    }
}

fn term(world: &World, id: NodeId) -> u64 {
    world.core(id).status().epoch.round
}

fn append(term: u64, prev: Position, entries: &[(u64, u64)], commit: u64) -> Message {
    Message::Append {
        term,
        prev,
        entries: entries.iter().map(|(i, t)| entry(*i, *t)).collect(),
        commit: Index(commit),
    }
}

/// §5.1: "If one server's current term is smaller than the other's, then it updates its current
/// term to the larger value. If a candidate or leader discovers that its term is out of date, it
/// immediately reverts to follower state."
#[test]
fn s5_1_a_leader_that_sees_a_higher_term_follows() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    let term_before = term(&world, n(1));
    let voted = Message::Voted {
        term: term_before + 7,
        granted: false,
    };
    world.hand(n(2), n(1), voted);
    assert_eq!(world.role(n(1)), Role::Follower);
    assert_eq!(term(&world, n(1)), term_before + 7);
}

/// §5.1: "If a server receives a request with a stale term number, it rejects the request."
#[test]
fn s5_1_a_stale_request_is_rejected() {
    let mut world = World::with_logs(&[&[1, 2], &[1, 2], &[1, 2]], 5);
    let before = world.nodes[&n(2)].disk.view.entries.clone();
    world.hand(n(1), n(2), append(4, at(1, 1), &[(2, 3)], 2));
    assert_eq!(world.nodes[&n(2)].disk.view.entries, before);
    let sent = world.take_sent(n(2));
    assert_eq!(sent, [(n(1), Message::StaleTerm { term: 5 })]);
    world.hand(
        n(3),
        n(2),
        Message::Vote {
            term: 4,
            last: at(9, 3),
        },
    );
    let sent = world.take_sent(n(2));
    assert_eq!(sent, [(n(3), Message::StaleTerm { term: 5 })]);
}

/// §5.2: "Each server will vote for at most one candidate in a given term, on a
/// first-come-first-served basis."
#[test]
fn s5_2_one_vote_per_term_first_come_first_served() {
    let mut world = World::new(3, 0, Config::new);
    let vote = Message::Vote {
        term: 1,
        last: Position::ZERO,
    };
    world.hand(n(2), n(1), vote.clone());
    world.hand(n(3), n(1), vote.clone());
    world.persist(n(1), 9);
    let granted = |granted| Message::Voted { term: 1, granted };
    assert_eq!(
        world.take_sent(n(1)),
        [(n(2), granted(true)), (n(3), granted(false))]
    );
    // A crash does not make it forget.
    world.crash(n(1), 0);
    world.start(n(1));
    world.hand(n(3), n(1), vote.clone());
    world.hand(n(2), n(1), vote);
    assert_eq!(
        world.take_sent(n(1)),
        [(n(3), granted(false)), (n(2), granted(true))]
    );
}

/// §5.2: "If the leader's term is at least as large as the candidate's current term, then the
/// candidate recognizes the leader as legitimate and returns to follower state."
#[test]
fn s5_2_a_candidate_yields_to_a_leader_of_its_term() {
    let mut world = World::new(3, 0, Config::new);
    world.advance(Micros(1));
    world.expire(n(1));
    for voter in [2, 3] {
        world.hand(
            n(voter),
            n(1),
            Message::PreVoted {
                term: 1,
                granted: true,
            },
        );
    }
    world.persist(n(1), 9);
    assert_eq!((world.role(n(1)), term(&world, n(1))), (Role::Candidate, 1));
    world.hand(n(2), n(1), append(1, Position::ZERO, &[], 0));
    assert_eq!(world.role(n(1)), Role::Follower);
    assert_eq!(world.core(n(1)).status().leader, Some(n(2)));
}

/// §5.2: "The third possible outcome is that a candidate neither wins nor loses the election": it
/// times out and tries again.
#[test]
fn s5_2_a_split_vote_ends_in_another_election() {
    let mut world = World::new(4, 0, Config::new);
    world.advance(Micros(1));
    for candidate in [1, 2] {
        world.expire(n(candidate));
        for voter in [1, 2, 3, 4] {
            let vote = Message::PreVoted {
                term: 1,
                granted: true,
            };
            world.hand(n(voter), n(candidate), vote);
        }
        world.persist(n(candidate), 9);
    }
    world.hand(
        n(3),
        n(1),
        Message::Voted {
            term: 1,
            granted: true,
        },
    );
    world.hand(
        n(4),
        n(2),
        Message::Voted {
            term: 1,
            granted: true,
        },
    );
    assert_eq!(world.leaders(), []);
    world.net.clear();
    world.elect(n(1));
    assert!(term(&world, n(1)) > 1);
}

/// §5.2: "election timeouts are chosen randomly from a fixed interval".
#[test]
fn s5_2_election_timeouts_are_spread_over_their_interval() {
    let (mut low, mut high) = (u64::MAX, 0);
    for seed in 0..200 {
        let mut world = World::new(3, seed, Config::new);
        world.advance(Micros(0));
        let wait = world.core(n(1)).deadline().unwrap().since(world.now).0;
        (low, high) = (low.min(wait), high.max(wait));
    }
    assert!((300_000..320_000).contains(&low), "{low}");
    assert!((580_000..600_000).contains(&high), "{high}");
}

/// §5.3: "the leader can declare an entry committed once it has replicated it on a majority", and
/// "this also commits all preceding entries in the leader's log".
#[test]
fn s5_3_an_entry_on_a_majority_is_committed_with_all_before_it() {
    let mut world = World::new(5, 0, Config::new);
    world.elect(n(1));
    for batch in ["a", "b", "c"] {
        world.propose(n(1), batch);
    }
    world.persist(n(1), 9);
    let acked = Message::Acked {
        term: term(&world, n(1)),
        matched: Index(4),
    };
    world.net.clear();
    for id in [2, 3] {
        let append = append_all(&world, 4);
        world.hand(n(1), n(id), append);
        world.persist(n(id), 9);
    }
    world.net.clear();
    world.hand(n(2), n(1), acked.clone());
    assert_eq!(world.core(n(1)).status().committed, Index(1));
    world.hand(n(3), n(1), acked);
    assert_eq!(world.core(n(1)).status().committed, Index(4));
}

/// The leader's (node 1's) log from its second entry to `upto`, as one append.
fn append_all(world: &World, upto: u64) -> Message {
    let log = &world.nodes[&n(1)].disk.view.entries;
    Message::Append {
        term: term(world, n(1)),
        prev: log[&1].position(),
        entries: (2..=upto).map(|index| log[&index].clone()).collect(),
        commit: Index(1),
    }
}

/// Figure 2, AppendEntries, receiver 2: "Reply false if log doesn't contain an entry at
/// prevLogIndex whose term matches prevLogTerm", and §5.3's optimisation of what is said then.
#[test]
fn figure_2_consistency_check() {
    let cases = [
        (
            at(4, 3),
            Position {
                index: Index(4),
                epoch: Epoch::ZERO,
            },
        ),
        (at(3, 3), at(2, 2)),
        (at(2, 3), at(2, 2)),
    ];
    for (prev, expected) in cases {
        let mut world = World::with_logs(&[&[], &[1, 2, 2], &[]], 3);
        world.hand(n(1), n(2), append(3, prev, &[], 0));
        let (prev, conflict) = (prev.index, expected);
        let rejected = Message::Rejected {
            term: 3,
            prev,
            conflict,
        };
        assert_eq!(world.take_sent(n(2)), [(n(1), rejected)]);
        assert_eq!(world.terms(n(2)), [1, 2, 2]);
    }
}

/// Figure 2, AppendEntries, receiver 3 and 4: conflicting entries go, with all that follow; what
/// agrees stays; what is new comes.
#[test]
fn figure_2_conflicts_are_replaced_and_nothing_else() {
    type Case = (Position, &'static [(u64, u64)], &'static [u64]);
    let cases: [Case; 5] = [
        (at(3, 2), &[(4, 3)], &[1, 2, 2, 3]),
        (at(1, 1), &[(2, 3)], &[1, 3]),
        (at(1, 1), &[(2, 2)], &[1, 2, 2]),
        (at(1, 1), &[(2, 2), (3, 3), (4, 3)], &[1, 2, 3, 3]),
        (Position::ZERO, &[(1, 3)], &[3]),
    ];
    for (prev, entries, expected) in cases {
        let mut world = World::with_logs(&[&[], &[1, 2, 2], &[]], 3);
        world.hand(n(1), n(2), append(3, prev, entries, 0));
        assert_eq!(world.terms(n(2)), expected);
    }
}

/// Figure 2, AppendEntries, receiver 5: "set commitIndex = min(leaderCommit, index of last new
/// entry)": what stands beyond the entries that were compared may not be the leader's.
#[test]
fn figure_2_commit_reaches_only_to_what_was_compared() {
    for (entries, commit, expected) in [(1, 9, 2), (2, 9, 3), (2, 2, 2), (0, 9, 1)] {
        let mut world = World::with_logs(&[&[1, 2, 2], &[1, 2, 2, 2], &[1, 2, 2]], 3);
        let entries = &[(2, 2), (3, 2)][..entries];
        world.hand(n(1), n(2), append(3, at(1, 1), entries, commit));
        assert_eq!(world.core(n(2)).status().committed, Index(expected));
        // Nor does the commit index of a heartbeat.
        let heartbeat = Message::Heartbeat {
            term: 3,
            round: 0,
            prev: at(1, 1),
            commit: Index(9),
        };
        world.hand(n(1), n(2), heartbeat);
        let more = if commit == 9 {
            expected
        } else {
            3.min(1 + entries.len() as u64)
        };
        assert_eq!(world.core(n(2)).status().committed, Index(more));
    }
}

/// §5.3, the Log Matching Property: it holds as long as nothing is lost. Where a disk has lost the
/// write that truncated an entry, equal last entries say nothing of those before.
#[test]
fn s5_3_a_damaged_log_matches_as_far_as_a_leader_has_confirmed_it() {
    let mut world = World::with_logs(&[&[1, 2, 2], &[1, 1, 2, 2], &[1, 2, 2]], 3);
    world.crash(n(2), 0);
    world.start_damaged(n(2), true);
    world.persist(n(2), 9);
    let heartbeat = Message::Heartbeat {
        term: 5,
        round: 0,
        prev: at(3, 2),
        commit: Index(3),
    };
    world.hand(n(1), n(2), heartbeat);
    world.hand(n(1), n(2), append(5, at(3, 2), &[(4, 5)], 3));
    assert_eq!(world.core(n(2)).status().committed, Index(0));
    assert_eq!(
        world.terms(n(2)),
        [1, 1, 2, 2],
        "it may be all that is left"
    );
    world.hand(n(1), n(2), append(5, at(0, 0), &[(1, 1), (2, 2)], 4));
    assert_eq!(world.core(n(2)).status().committed, Index(2));
    world.hand(n(1), n(2), append(5, at(2, 2), &[(3, 2), (4, 5)], 4));
    assert_eq!(world.terms(n(2)), [1, 2, 2, 5]);
}

/// Figure 7: whatever the followers' logs look like, the leader makes them its own.
#[test]
fn figure_7_the_leader_makes_every_log_its_own() {
    let logs: [&[u64]; 7] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    let mut world = World::with_logs(&logs, 7);
    world.elect(n(1));
    for _ in 0..20 {
        world.settle();
        world.advance(Micros::from_millis(20));
    }
    let expected = world.terms(n(1));
    assert_eq!(
        expected[..10],
        *logs[0],
        "a leader never overwrites its own log"
    );
    for id in 2..=7 {
        assert_eq!(world.terms(n(id)), expected, "node {id}");
    }
}

/// §5.4.1: "If the logs have last entries with different terms, then the log with the later term
/// is more up-to-date. If the logs end with the same term, then whichever log is longer".
#[test]
fn s5_4_1_only_an_up_to_date_candidate_gets_a_vote() {
    let cases = [
        (at(9, 1), false),
        (at(2, 2), false),
        (at(3, 2), true),
        (at(4, 2), true),
        (at(1, 3), true),
    ];
    for (last, granted) in cases {
        let mut world = World::with_logs(&[&[1, 2, 2], &[], &[]], 3);
        world.hand(n(2), n(1), Message::PreVote { term: 4, last });
        let term = 4;
        assert_eq!(
            world.take_sent(n(1)),
            [(n(2), Message::PreVoted { term, granted })]
        );
        world.hand(n(2), n(1), Message::Vote { term, last });
        world.persist(n(1), 9);
        assert_eq!(
            world.take_sent(n(1)),
            [(n(2), Message::Voted { term, granted })]
        );
    }
}

/// §5.4.2 and figure 8: "Raft never commits log entries from previous terms by counting replicas.
/// Only log entries from the leader's current term are committed by counting replicas".
#[test]
fn figure_8_old_entries_are_not_committed_by_counting() {
    let mut world = World::with_logs(&[&[1, 2], &[1, 2], &[1, 2], &[1], &[1]], 2);
    world.advance(Micros(1));
    world.expire(n(1));
    for voter in [2, 3] {
        world.hand(
            n(voter),
            n(1),
            Message::PreVoted {
                term: 3,
                granted: true,
            },
        );
    }
    world.persist(n(1), 9);
    for voter in [2, 3] {
        world.hand(
            n(voter),
            n(1),
            Message::Voted {
                term: 3,
                granted: true,
            },
        );
    }
    world.persist(n(1), 9);
    assert_eq!(world.leaders(), [n(1)]);
    // Three of five hold entry 2 of term 2 durably, and say so.
    for voter in [2, 3] {
        world.hand(
            n(voter),
            n(1),
            Message::Acked {
                term: 3,
                matched: Index(2),
            },
        );
    }
    assert_eq!(world.core(n(1)).status().committed, Index(0));
    // With the leader's own entry it is committed.
    world.net.clear();
    for voter in [2, 3] {
        world.hand(n(1), n(voter), append_blank(&world));
        world.persist(n(voter), 9);
    }
    world.settle();
    assert_eq!(world.core(n(1)).status().committed, Index(3));
}

fn append_blank(world: &World) -> Message {
    Message::Append {
        term: 3,
        prev: at(2, 2),
        entries: vec![world.nodes[&n(1)].disk.view.entries[&3].clone()],
        commit: Index(0),
    }
}

/// §5.5: "Raft RPCs are idempotent, so this causes no harm."
#[test]
fn s5_5_requests_are_idempotent() {
    let mut world = World::with_logs(&[&[], &[1], &[]], 3);
    let message = append(3, at(1, 1), &[(2, 3), (3, 3)], 2);
    world.hand(n(1), n(2), message.clone());
    world.persist(n(2), 9);
    let log = world.nodes[&n(2)].disk.view.entries.clone();
    let first = world.take_sent(n(2));
    world.hand(n(1), n(2), message);
    assert_eq!(
        world.nodes[&n(2)].disk.queue.len(),
        0,
        "nothing is written twice"
    );
    assert_eq!(world.take_sent(n(2)), first);
    assert_eq!(world.nodes[&n(2)].disk.view.entries, log);
}

/// §6 and thesis §4.2.3: "if a server receives a RequestVote RPC within the minimum election
/// timeout of hearing from a current leader, it does not update its term or grant its vote."
#[test]
fn s6_votes_are_ignored_while_a_leader_is_heard() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    let last = world.core(n(2)).status().last;
    let before = term(&world, n(2));
    let vote = Message::Vote {
        term: before + 1,
        last,
    };
    for id in [1, 2] {
        world.hand(n(3), n(id), vote.clone());
        assert_eq!(
            (term(&world, n(id)), world.take_sent(n(id))),
            (before, vec![])
        );
    }
    world.now = world.now + Micros::from_millis(300);
    world.hand(n(3), n(2), vote);
    assert_eq!(term(&world, n(2)), before + 1);
}

/// Thesis §3.8: what must be persistent is, before anything is said; the rest is found out again.
#[test]
fn thesis_3_8_a_restarted_server_remembers_term_vote_and_log() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    world.propose(n(1), "a");
    world.settle();
    let before = world.core(n(1)).status();
    world.crash(n(1), 0);
    world.start(n(1));
    let after = world.core(n(1)).status();
    assert_eq!((after.epoch, after.last), (before.epoch, before.last));
    assert_eq!((after.role, after.committed), (Role::Follower, Index(0)));
    let vote = Message::Vote {
        term: before.epoch.round,
        last: at(99, 0),
    };
    world.hand(n(2), n(1), vote);
    let refused = Message::Voted {
        term: before.epoch.round,
        granted: false,
    };
    assert_eq!(
        world.take_sent(n(1)),
        [(n(2), refused)],
        "it has voted for itself"
    );
}

/// Thesis §6.2: "a leader in Raft steps down if an election timeout elapses without a successful
/// round of heartbeats to a majority of its cluster".
#[test]
fn thesis_6_2_a_leader_without_a_majority_steps_down() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    for _ in 0..5 {
        world.advance(Micros::from_millis(59));
        world.net.clear();
    }
    assert_eq!(world.leaders(), [n(1)]);
    world.advance(Micros::from_millis(5));
    assert_eq!(world.leaders(), []);
    let request = world.propose(n(1), "a");
    let refused = Answer::Done(Done::Refused(Refusal::NotLeader));
    assert_eq!(world.answer(request), Some(refused));
}

/// Thesis §6.4, step 1: a read waits until the leader has committed an entry of its own term.
/// Step 3: and until a majority has acknowledged a heartbeat sent after it arrived.
#[test]
fn thesis_6_4_a_read_waits_for_an_own_commit_and_a_round() {
    let mut world = World::new(3, 0, Config::new);
    world.advance(Micros(1));
    world.expire(n(1));
    world.hand(
        n(2),
        n(1),
        Message::PreVoted {
            term: 1,
            granted: true,
        },
    );
    world.persist(n(1), 9);
    world.hand(
        n(2),
        n(1),
        Message::Voted {
            term: 1,
            granted: true,
        },
    );
    world.persist(n(1), 9);
    let read = world.read(n(1));
    let answer = |round| Message::HeartbeatAck {
        term: 1,
        round,
        prev: Index(0),
        received: Index(0),
    };
    world.hand(n(2), n(1), answer(0));
    world.hand(n(3), n(1), answer(0));
    assert_eq!(world.answer(read), None, "nothing of its term is committed");
    let blank = world
        .net
        .iter()
        .position(|p| p.to == n(2) && is_append(&p.message));
    world.deliver(blank.unwrap());
    world.persist(n(2), 9);
    world.hand(
        n(2),
        n(1),
        Message::Acked {
            term: 1,
            matched: Index(1),
        },
    );
    world.hand(n(2), n(1), answer(0));
    assert_eq!(
        world.answer(read),
        None,
        "that heartbeat was older than the read"
    );
    world.hand(n(2), n(1), answer(1));
    assert_eq!(world.answer(read), Some(Answer::Ready(Index(1))));
}

fn is_append(message: &Message) -> bool {
    matches!(message, Message::Append { entries, .. } if !entries.is_empty())
}

/// Thesis §9.6: "a candidate only increments its term if it first learns from a majority of the
/// cluster that they would be willing to grant the candidate their votes".
#[test]
fn thesis_9_6_pre_vote_changes_no_term() {
    let mut world = World::new(3, 0, Config::new);
    world.advance(Micros(1));
    world.expire(n(1));
    while !world.net.is_empty() {
        let packet = world.net.remove(0);
        if matches!(packet.message, Message::PreVote { .. }) {
            world.hand(packet.from, packet.to, packet.message);
        }
    }
    assert_eq!([1, 2, 3].map(|id| term(&world, n(id))), [0, 0, 0]);
    assert_eq!(
        world
            .nodes
            .values()
            .map(|node| node.disk.queue.len())
            .sum::<usize>(),
        0
    );
    world.hand(
        n(2),
        n(1),
        Message::PreVoted {
            term: 1,
            granted: true,
        },
    );
    assert_eq!(term(&world, n(1)), 1);
}

/// Thesis §10.2.1: "the leader can write to its disk in parallel with replicating to the
/// followers"; "it may even commit an entry before the entry has been written to its own disk".
#[test]
fn thesis_10_2_1_the_leader_writes_in_parallel() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    world.node(n(1)).disk.hung = true;
    world.propose(n(1), "a");
    let index = world.core(n(1)).status().last.index;
    world.settle();
    let status = world.core(n(1)).status();
    assert_eq!(status.committed, index);
    assert!(status.persisted < index);
}
