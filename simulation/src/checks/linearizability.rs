//! Is there an order of a key's calls that explains every answer? Wing and Gong's search, with
//! Lowe's cache: calls are tried in the order of their invocations, and what has been tried from
//! the same set of finished calls in the same state is not tried again.
//!
//! A call whose answer nobody saw may have taken effect at any time after it was made, or never.
//! Such calls are tried late, since most of them explain nothing.
//!
//! Two things keep the search short. A read whose answer fits now comes now: whatever order there is, it could have come now. And of those that change something, one
//! that lets another call take its turn is tried before one that helps nobody.
//!
//! Calls of one pipeline take effect in order: each knows its predecessor on the same key. If a
//! call's answer was not seen and its successor took effect without it, it never will.
//!
//! The set of finished calls is named by its first gap and 128 bits above that, which is enough
//! while no call spans more others than that; else by all of its bits. Neither is a hash: two
//! sets are never confused.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// One call in a key's history. Moments only order: any ascending numbers do.
#[derive(Clone, Debug)]
pub struct Operation<C, R> {
    /// When it was made.
    pub called: u64,
    /// When it was answered, and how; `None` if nobody knows.
    pub answer: Option<(u64, R)>,
    /// What was asked.
    pub call: C,
    /// The call before it in the same pipeline, as an index into the history.
    pub after: Option<usize>,
}

/// What cannot be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// No order explains every answer. The furthest that any got: the call whose answer fits
    /// nowhere after that.
    Stuck(usize),
    /// The search was given up: so many ways were tried.
    Undecided(usize),
}

/// Ways to try before a search is given up: some hundred megabytes of them.
const TRIES_MAX: usize = 4_000_000;

/// Whether some order of `history` explains every answer, given what each call does to a state.
/// `is_read` names calls that never change one, if their answer is the only thing that matters.
///
/// # Errors
/// The call that no order explains; or that the search took too much.
///
/// # Panics
/// When the history is not sorted by `called`, or a pipeline names a later call as its
/// predecessor.
pub fn check<C, R, S>(
    history: &[Operation<C, R>],
    initial: S,
    is_read: impl Fn(&C) -> bool,
    step: impl Fn(&S, &C, Option<&R>) -> Option<S>,
) -> Result<(), Violation>
where
    S: Clone + Eq + Hash,
{
    let sorted = history.windows(2).all(|two| two[0].called <= two[1].called);
    assert!(sorted, "a history is sorted by the time of its calls");
    let mut search = Search::new(history);
    if search.fits_window(history) {
        search.run::<Window, _, _, _>(history, initial, is_read, step)
    } else {
        search.run::<Whole, _, _, _>(history, initial, is_read, step)
    }
}

/// A call or its answer, in a doubly linked list of those not yet in the order.
#[derive(Clone, Copy)]
struct Node {
    /// Which call.
    call: u32,
    is_answer: bool,
    before: u32,
    next: u32,
}

/// A call that may come next.
#[derive(Clone, Copy)]
struct Choice {
    call: u32,
    /// If it is one without an answer: its place among those.
    unknown: Option<u32>,
    /// Nothing else need be tried.
    sure: bool,
}

/// A call put into the order, and what to return to if that was wrong.
struct Frame<S> {
    choice: Choice,
    state: S,
    /// The choices not yet tried instead of it.
    next: usize,
    end: usize,
}

struct Search {
    /// Entry 0 is the head, the last one the tail.
    list: Vec<Node>,
    /// Each call's place in the list, and its answer's; 0 if it has none.
    places: Vec<(u32, u32)>,
    done: Vec<u64>,
    /// The first answered call that is not in the order.
    base: usize,
    /// Calls without an answer, in order of invocation.
    unknown: Vec<u32>,
    unused: Vec<bool>,
    successor: Vec<u32>,
    /// Calls that may come next as far as time goes, and whose answer does not fit yet.
    waiting: Vec<u32>,
    /// Answered calls not yet in the order.
    open: usize,
}

const NONE: u32 = u32::MAX;

impl Search {
    fn new<C, R>(history: &[Operation<C, R>]) -> Self {
        let mut events: Vec<(u64, bool, u32)> = Vec::with_capacity(history.len() * 2);
        let mut successor = vec![NONE; history.len()];
        let mut unknown = Vec::new();
        for (at, operation) in history.iter().enumerate() {
            let number = at as u32;
            if let Some(before) = operation.after {
                assert!(before < at, "a predecessor comes before");
                successor[before] = number;
            }
            match &operation.answer {
                Some((answered, _)) => {
                    events.push((operation.called, false, number));
                    events.push((*answered, true, number));
                }
                None => unknown.push(number),
            }
        }
        // Of equal moments the calls come first: they count as concurrent.
        events.sort_by_key(|(at, is_answer, number)| (*at, *is_answer, *number));
        let mut list = Vec::with_capacity(events.len() + 2);
        let node = |call, is_answer, at: usize| Node {
            call,
            is_answer,
            before: (at as u32).wrapping_sub(1),
            next: at as u32 + 1,
        };
        list.push(node(NONE, false, 0));
        let mut places = vec![(0, 0); history.len()];
        for (_, is_answer, call) in events {
            let at = list.len();
            list.push(node(call, is_answer, at));
            if is_answer {
                places[call as usize].1 = at as u32;
            } else {
                places[call as usize].0 = at as u32;
            }
        }
        let at = list.len();
        list.push(node(NONE, true, at));
        let mut search = Search {
            list,
            places,
            done: vec![0; history.len() / 64 + 3],
            base: 0,
            open: history.len() - unknown.len(),
            unused: vec![true; unknown.len()],
            unknown,
            waiting: Vec::new(),
            successor,
        };
        // They are kept in a mask of their own.
        for at in search.unknown.clone() {
            search.mark(at);
        }
        search
    }

    /// Whether the bits of a [`Window`] are enough: nothing can be in the order further than 128
    /// calls above one that is not.
    fn fits_window<C, R>(&self, history: &[Operation<C, R>]) -> bool {
        let span = |(at, operation): (usize, &Operation<C, R>)| {
            let end = operation.answer.as_ref().map(|(answered, _)| *answered)?;
            let later = history.partition_point(|other| other.called <= end);
            Some(later - at)
        };
        self.unknown.len() <= 64
            && history
                .iter()
                .enumerate()
                .filter_map(span)
                .all(|span| span <= 120)
    }

    fn run<K, C, R, S>(
        &mut self,
        history: &[Operation<C, R>],
        initial: S,
        is_read: impl Fn(&C) -> bool,
        step: impl Fn(&S, &C, Option<&R>) -> Option<S>,
    ) -> Result<(), Violation>
    where
        K: Key,
        S: Clone + Eq + Hash,
    {
        let mut tried: HashSet<(K, S), BuildHasherDefault<Quick>> = HashSet::default();
        let mut frames: Vec<Frame<S>> = Vec::new();
        let mut choices: Vec<Choice> = Vec::new();
        let (mut state, mut furthest, mut stuck) = (initial, 0, 0);
        let mut next = 0;
        let blocked = self.choose(history, &state, (&is_read, &step), &mut choices);
        if blocked != NONE {
            stuck = blocked as usize;
        }
        while self.open > 0 {
            if tried.len() >= TRIES_MAX {
                return Err(Violation::Undecided(tried.len()));
            }
            let Some(choice) = choices.get(next).copied() else {
                // Nothing fits here: what came last was wrong.
                let Some(frame) = frames.pop() else {
                    return Err(Violation::Stuck(stuck));
                };
                choices.truncate(frame.end);
                next = frame.next;
                state = frame.state;
                self.take_back(frame.choice);
                continue;
            };
            next += 1;
            let operation = &history[choice.call as usize];
            let reply = operation.answer.as_ref().map(|(_, reply)| reply);
            let Some(after) = step(&state, &operation.call, reply) else {
                continue;
            };
            self.put(choice);
            if !choice.sure && !tried.insert((K::of(self), after.clone())) {
                self.take_back(choice);
                continue;
            }
            frames.push(Frame {
                choice,
                state: std::mem::replace(&mut state, after),
                next,
                end: choices.len(),
            });
            next = choices.len();
            let blocked = self.choose(history, &state, (&is_read, &step), &mut choices);
            if frames.len() > furthest && blocked != NONE {
                (furthest, stuck) = (frames.len(), blocked as usize);
            }
        }
        Ok(())
    }

    /// Adds what may come next in the order, the most promising first. Returns the call whose
    /// answer is the first that was given: it, and nothing called later, must come soon.
    fn choose<C, R, S: Eq>(
        &mut self,
        history: &[Operation<C, R>],
        state: &S,
        (is_read, step): (
            &impl Fn(&C) -> bool,
            &impl Fn(&S, &C, Option<&R>) -> Option<S>,
        ),
        choices: &mut Vec<Choice>,
    ) -> u32 {
        let start = choices.len();
        self.waiting.clear();
        let mut found: Vec<(u64, Choice, S)> = Vec::new();
        let mut at = self.list[0].next;
        while !self.list[at as usize].is_answer {
            let node = self.list[at as usize];
            at = node.next;
            let operation = &history[node.call as usize];
            if !self.in_turn(history, node.call) {
                continue;
            }
            let Some((answered, reply)) = &operation.answer else {
                continue;
            };
            let choice = Choice {
                call: node.call,
                unknown: None,
                sure: false,
            };
            match step(state, &operation.call, Some(reply)) {
                // It changes nothing, so it may as well come now: no other order is worth a try.
                Some(next)
                    if next == *state
                        && is_read(&operation.call)
                        && !self.spares_unknown(history, node.call) =>
                {
                    choices.truncate(start);
                    choices.push(Choice {
                        sure: true,
                        ..choice
                    });
                    return node.call;
                }
                Some(next) => found.push((*answered, choice, next)),
                None => self.waiting.push(node.call),
            }
        }
        let first = self.list[at as usize].call;
        let limit = match first {
            NONE => u64::MAX,
            call => history[call as usize]
                .answer
                .as_ref()
                .map_or(0, |(at, _)| *at),
        };
        for (number, call) in self.unknown.iter().enumerate() {
            let operation = &history[*call as usize];
            if operation.called > limit {
                break;
            }
            let possible =
                self.unused[number] && self.in_turn(history, *call) && !self.was_overtaken(*call);
            if possible
                && let Some(next) = step(state, &operation.call, None)
                && next != *state
            {
                let choice = Choice {
                    call: *call,
                    unknown: Some(number as u32),
                    sure: false,
                };
                found.push((u64::MAX, choice, next));
            }
        }
        // What lets another call take its turn is tried first; then what was answered first.
        let helps = |next: &S| {
            self.waiting.iter().any(|call| {
                let operation = &history[*call as usize];
                let reply = operation.answer.as_ref().map(|(_, reply)| reply);
                step(next, &operation.call, reply).is_some()
            })
        };
        let rank = |(answered, choice, next): &(u64, Choice, S)| {
            (!helps(next), choice.unknown.is_some(), *answered)
        };
        found.sort_by_cached_key(rank);
        choices.extend(found.into_iter().map(|(_, choice, _)| choice));
        first
    }

    fn put(&mut self, choice: Choice) {
        match choice.unknown {
            Some(number) => self.unused[number as usize] = false,
            None => {
                self.mark(choice.call);
                self.lift(choice.call);
            }
        }
    }

    fn take_back(&mut self, choice: Choice) {
        match choice.unknown {
            Some(number) => self.unused[number as usize] = true,
            None => {
                self.unmark(choice.call);
                self.unlift(choice.call);
            }
        }
    }

    /// Whether something without an answer stands before it in its pipeline: putting the call into
    /// the order would then rule that out.
    fn spares_unknown<C, R>(&self, history: &[Operation<C, R>], call: u32) -> bool {
        let before = history[call as usize].after;
        before.is_some_and(|at| history[at].answer.is_none())
    }

    fn is_done(&self, call: u32) -> bool {
        self.done[call as usize / 64] >> (call % 64) & 1 == 1
    }

    /// Whether what came before it in its pipeline is in the order, as far as that must be.
    fn in_turn<C, R>(&self, history: &[Operation<C, R>], call: u32) -> bool {
        let mut before = history[call as usize].after;
        while let Some(at) = before {
            if history[at].answer.is_some() {
                return self.is_done(at as u32);
            }
            before = history[at].after;
        }
        true
    }

    /// Whether something behind it in its pipeline is in the order already.
    fn was_overtaken(&self, call: u32) -> bool {
        let mut successor = self.successor[call as usize];
        while successor != NONE {
            if self.took_effect(successor) {
                return true;
            }
            successor = self.successor[successor as usize];
        }
        false
    }

    fn took_effect(&self, call: u32) -> bool {
        match self.unknown.binary_search(&call) {
            Ok(number) => !self.unused[number],
            Err(_) => self.is_done(call),
        }
    }

    fn mark(&mut self, call: u32) {
        self.done[call as usize / 64] |= 1 << (call % 64);
        while self.base < self.places.len() && self.is_done(self.base as u32) {
            self.base += 1;
        }
    }

    fn unmark(&mut self, call: u32) {
        self.done[call as usize / 64] &= !(1 << (call % 64));
        self.base = self.base.min(call as usize);
    }

    fn lift(&mut self, call: u32) {
        let (place, answer) = self.places[call as usize];
        self.unlink(place);
        self.unlink(answer);
        self.open -= 1;
    }

    fn unlift(&mut self, call: u32) {
        let (place, answer) = self.places[call as usize];
        self.link(answer);
        self.link(place);
        self.open += 1;
    }

    fn unlink(&mut self, at: u32) {
        let node = self.list[at as usize];
        self.list[node.before as usize].next = node.next;
        self.list[node.next as usize].before = node.before;
    }

    fn link(&mut self, at: u32) {
        let node = self.list[at as usize];
        self.list[node.before as usize].next = at;
        self.list[node.next as usize].before = at;
    }
}

/// Names a set of calls that are in the order.
trait Key: Eq + Hash {
    fn of(search: &Search) -> Self;
}

/// By its first gap, and what stands above that.
#[derive(PartialEq, Eq, Hash)]
struct Window {
    base: u32,
    unknown: u64,
    above: u128,
}

impl Key for Window {
    fn of(search: &Search) -> Self {
        let (word, bit) = (search.base / 64, search.base % 64);
        let mut above = 0_u128;
        for (at, bits) in search.done.iter().skip(word).take(3).enumerate() {
            let bits = u128::from(*bits);
            let shift = at as i32 * 64 - bit as i32;
            above |= if shift < 0 {
                bits >> -shift
            } else {
                bits.checked_shl(shift as u32).unwrap_or(0)
            };
        }
        Window {
            base: search.base as u32,
            unknown: used(&search.unused),
            above,
        }
    }
}

fn used(unused: &[bool]) -> u64 {
    let bits = unused.iter().enumerate();
    bits.fold(0, |mask, (at, unused)| {
        mask | u64::from(!unused) << (at % 64)
    })
}

/// By every bit.
#[derive(PartialEq, Eq, Hash)]
struct Whole {
    base: u32,
    bits: Box<[u64]>,
    unknown: Box<[bool]>,
}

impl Key for Whole {
    fn of(search: &Search) -> Self {
        let word = search.base / 64;
        let rest = search.done.get(word..).unwrap_or_default();
        let last = rest
            .iter()
            .rposition(|bits| *bits != 0)
            .map_or(0, |at| at + 1);
        Whole {
            base: search.base as u32,
            bits: rest.iter().take(last).copied().collect(),
            unknown: search.unused.as_slice().into(),
        }
    }
}

/// A hash that is quick and good enough: keys here are not chosen by an adversary.
#[derive(Default)]
pub(crate) struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(chunk)
                .for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u128(&mut self, word: u128) {
        self.write_u64(word as u64);
        self.write_u64((word >> 64) as u64);
    }
}
