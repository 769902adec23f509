//! The checker of linearizability, checked: against histories whose verdict is known, and against
//! a search that tries every order.

#![expect(clippy::unwrap_used, reason = "a test that unwraps asserts")]

use std::time::Duration;

use simulation::Random;
use simulation::linearizability::{Operation, Violation, check};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Write(u32),
    Read,
}

/// A reply: what was read; writes answer 0.
type History = Vec<Operation<Call, u32>>;

fn register(state: &u32, call: &Call, reply: Option<&u32>) -> Option<u32> {
    match call {
        Call::Write(value) => Some(*value),
        Call::Read => reply.is_none_or(|reply| reply == state).then_some(*state),
    }
}

fn is_read(call: &Call) -> bool {
    *call == Call::Read
}

fn verdict(history: &[Operation<Call, u32>]) -> bool {
    check(history, 0, is_read, register).is_ok()
}

fn write(value: u32, called: u64, answered: u64) -> Operation<Call, u32> {
    Operation {
        called,
        answer: Some((answered, 0)),
        call: Call::Write(value),
        after: None,
    }
}

fn read(value: u32, called: u64, answered: u64) -> Operation<Call, u32> {
    Operation {
        answer: Some((answered, value)),
        call: Call::Read,
        ..write(0, called, answered)
    }
}

fn lost(value: u32, called: u64) -> Operation<Call, u32> {
    Operation {
        answer: None,
        ..write(value, called, 0)
    }
}

fn behind(before: usize, operation: Operation<Call, u32>) -> Operation<Call, u32> {
    Operation {
        after: Some(before),
        ..operation
    }
}

#[test]
fn known_histories_are_judged_as_known() {
    let cases: [(&str, bool, History); 14] = [
        ("nothing", true, vec![]),
        (
            "one after the other",
            true,
            vec![write(1, 0, 1), read(1, 2, 3)],
        ),
        ("a stale read", false, vec![write(1, 0, 1), read(0, 2, 3)]),
        (
            "a read beside a write: before",
            true,
            vec![write(1, 0, 5), read(0, 1, 2)],
        ),
        (
            "a read beside a write: after",
            true,
            vec![write(1, 0, 5), read(1, 1, 2)],
        ),
        (
            "a read that goes back",
            false,
            vec![write(1, 0, 9), read(1, 1, 2), read(0, 3, 4)],
        ),
        (
            "two readers that disagree about the order",
            false,
            vec![
                write(1, 0, 9),
                write(2, 0, 9),
                read(1, 1, 2),
                read(2, 3, 4),
                read(1, 5, 6),
            ],
        ),
        ("a value from nowhere", false, vec![read(7, 0, 1)]),
        (
            "a value from the future",
            false,
            vec![read(1, 0, 1), write(1, 2, 3)],
        ),
        (
            "a lost write that took effect late",
            true,
            vec![lost(1, 0), read(0, 1, 2), read(1, 3, 4)],
        ),
        (
            "a lost write that took effect twice",
            false,
            vec![
                lost(1, 0),
                write(2, 1, 2),
                read(1, 3, 4),
                write(3, 5, 6),
                read(1, 7, 8),
            ],
        ),
        (
            "a lost write that never did",
            true,
            vec![lost(1, 0), read(0, 1, 2)],
        ),
        (
            "a pipelined read that overtook its write",
            false,
            vec![write(1, 0, 9), behind(0, read(0, 0, 9))],
        ),
        (
            "a lost write after what followed it in its pipeline",
            false,
            vec![
                lost(1, 0),
                behind(0, write(2, 0, 3)),
                read(2, 4, 5),
                read(1, 6, 7),
            ],
        ),
    ];
    for (name, expected, history) in cases {
        assert_eq!(verdict(&history), expected, "{name}");
    }
}

#[test]
fn what_cannot_be_explained_is_named() {
    let history = [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5), read(2, 6, 7)];
    assert_eq!(
        check(&history, 0, is_read, register),
        Err(Violation::Stuck(2))
    );
}

/// Tries every order of every subset of what may have happened.
fn explainable(history: &[Operation<Call, u32>], done: u32, state: u32) -> bool {
    let is_done = |at: usize| done >> at & 1 == 1;
    if history
        .iter()
        .enumerate()
        .all(|(at, operation)| is_done(at) || operation.answer.is_none())
    {
        return true;
    }
    // Whatever was answered before another was called comes before it.
    let first_answer = (history.iter().enumerate())
        .filter(|(at, _)| !is_done(*at))
        .filter_map(|(_, operation)| operation.answer.map(|(at, _)| at))
        .min();
    history.iter().enumerate().any(|(at, operation)| {
        let too_late = first_answer.is_some_and(|answer| operation.called > answer);
        let mut overtakes = false;
        let mut before = operation.after;
        while let Some(other) = before {
            overtakes |= history[other].answer.is_some() && !is_done(other);
            before = history[other].after;
        }
        let behind = |other: usize| {
            let mut chain = history[other].after;
            while let Some(at_chain) = chain {
                if at_chain == at {
                    return true;
                }
                chain = history[at_chain].after;
            }
            false
        };
        let overtaken = (0..history.len()).any(|other| is_done(other) && behind(other));
        if is_done(at) || too_late || overtakes || overtaken {
            return false;
        }
        let reply = operation.answer.as_ref().map(|(_, reply)| reply);
        register(&state, &operation.call, reply)
            .is_some_and(|state| explainable(history, done | 1 << at, state))
    })
}

#[test]
fn small_histories_are_judged_as_by_trying_every_order() {
    let mut random = Random::new(5);
    let mut counts = [0, 0];
    for round in 0..60_000 {
        let count = random.between(1, 7) as usize;
        let mut history: History = Vec::new();
        let mut now = 0;
        for at in 0..count {
            now += random.below(3);
            let answered = now + 1 + random.below(8);
            let value = random.below(3) as u32;
            let mut operation = match random.below(5) {
                0 | 1 => write(value, now, answered),
                2 | 3 => read(value, now, answered),
                _ => lost(value, now),
            };
            // Pipelined with the one before: called at the same time.
            if at > 0 && history[at - 1].called == now && random.chance(500) {
                operation.after = Some(at - 1);
            }
            history.push(operation);
        }
        let expected = explainable(&history, 0, 0);
        counts[usize::from(expected)] += 1;
        assert_eq!(verdict(&history), expected, "round {round}: {history:#?}");
    }
    assert!(counts.iter().all(|count| *count > 5_000), "{counts:?}");
}

/// A history of `clients` that use, all at the same time, a register which is what it should be.
fn lawful(random: &mut Random, clients: u64, calls: usize) -> History {
    let (mut state, mut now) = (0, 0);
    let mut called = vec![0; clients as usize];
    let mut history: History = Vec::new();
    while history.len() < calls {
        now += 1;
        let client = random.below(clients) as usize;
        if called[client] > now {
            continue;
        }
        // It takes effect now.
        let answered = now + random.below(6);
        history.push(if random.chance(400) {
            state = history.len() as u32 + 1;
            write(state, called[client], answered)
        } else {
            read(state, called[client], answered)
        });
        called[client] = answered + 1;
    }
    history.sort_by_key(|operation| operation.called);
    history
}

/// How long this thread has had a core: others may use the machine.
fn worked() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = stat.split_whitespace().next().unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}

#[test]
fn a_hundred_thousand_calls_of_eight_clients_take_less_than_a_second() {
    let history = lawful(&mut Random::new(1), 8, 100_000);
    let took = (0..3).map(|_| {
        let started = worked();
        assert!(verdict(&history));
        worked() - started
    });
    let took = took.min().unwrap();
    println!("{took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_wrong_answer_among_many_is_found() {
    let mut random = Random::new(2);
    for _ in 0..20 {
        let mut history = lawful(&mut random, 8, 2_000);
        let at = 1_000 + random.below(900) as usize;
        history.push(read(999_999, history[at].called, history[at].called + 3));
        history.sort_by_key(|operation| operation.called);
        assert!(!verdict(&history));
    }
}

/// One call spans five hundred others: more than the quick way can name.
#[test]
fn a_call_that_spans_hundreds_of_others_is_judged_all_the_same() {
    for (seen, expected) in [(77, true), (78, false)] {
        let mut history = vec![write(77, 0, 100_000)];
        for at in 1..500_u64 {
            let now = at * 10;
            history.push(write(1_000 + at as u32, now, now + 8));
        }
        history.push(read(seen, 6_000, 6_001));
        assert_eq!(verdict(&history), expected);
    }
}
