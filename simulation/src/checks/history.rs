//! What clients asked and were told, key by key, for the checker of linearizability.

use std::collections::BTreeMap;

use super::linearizability::{self, Operation, Violation};
use crate::subject::{Answer, Service};

/// The histories of all keys.
pub(crate) struct History<V: Service> {
    keys: BTreeMap<u64, Vec<Asked<V>>>,
    /// Orders calls and answers.
    clock: u64,
}

/// A call, and what has become of it.
struct Asked<V: Service> {
    called: u64,
    call: V::Call,
    after: Option<usize>,
    fate: Fate<V::Reply>,
}

enum Fate<R> {
    /// No answer yet, or none that says anything.
    Open,
    Answered(u64, R),
    /// It never took effect, or changed nothing and nobody saw it.
    Void,
}

/// Names a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) key: u64,
    at: usize,
}

impl<V: Service> History<V> {
    pub(crate) fn new() -> Self {
        History {
            keys: BTreeMap::new(),
            clock: 0,
        }
    }

    /// Time passes: what is called from now on is called after what was answered before.
    pub(crate) fn tick(&mut self) {
        self.clock += 1;
    }

    /// A call is made, behind `after` in its pipeline if that is on the same key.
    pub(crate) fn call(&mut self, key: u64, call: V::Call, after: Option<Ticket>) -> Ticket {
        let history = self.keys.entry(key).or_default();
        history.push(Asked {
            called: self.clock,
            call,
            after: after
                .filter(|ticket| ticket.key == key)
                .map(|ticket| ticket.at),
            fate: Fate::Open,
        });
        let at = history.len() - 1;
        Ticket { key, at }
    }

    /// A call is answered.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer<V::Reply>) {
        let asked = self.keys.get_mut(&ticket.key);
        if let Some(asked) = asked.and_then(|history| history.get_mut(ticket.at)) {
            asked.fate = match answer {
                Answer::Reply(reply) => Fate::Answered(self.clock, reply),
                Answer::NotExecuted => Fate::Void,
                Answer::Unknown | Answer::Nonsense(_) => Fate::Open,
            };
        }
    }

    pub(crate) fn keys(&self) -> Vec<u64> {
        self.keys.keys().copied().collect()
    }

    /// Checks every key. Tells for how many the search was given up.
    ///
    /// The error is a sentence.
    pub(crate) fn check(&self, service: &V) -> Result<u64, String> {
        let mut undecided = 0;
        for (key, history) in &self.keys {
            undecided += u64::from(!check_key(service, *key, history)?);
        }
        Ok(undecided)
    }
}

/// Whether a key's history could be decided.
fn check_key<V: Service>(service: &V, key: u64, history: &[Asked<V>]) -> Result<bool, String> {
    let mut places = vec![None; history.len()];
    let mut operations: Vec<Operation<V::Call, V::Reply>> = Vec::with_capacity(history.len());
    for (at, asked) in history.iter().enumerate() {
        let answer = match &asked.fate {
            Fate::Void => continue,
            Fate::Open if service.is_read(&asked.call) => continue,
            Fate::Open => None,
            Fate::Answered(when, reply) => Some((*when, reply.clone())),
        };
        places[at] = Some(operations.len());
        // The nearest one before it that counts.
        let mut after = asked.after;
        while let Some(before) = after
            && places[before].is_none()
        {
            after = history[before].after;
        }
        operations.push(Operation {
            called: asked.called,
            answer,
            call: asked.call.clone(),
            after: after.and_then(|before| places[before]),
        });
    }
    let step = |state: &V::State, call: &V::Call, reply: Option<&V::Reply>| {
        service.step(state, call, reply)
    };
    let is_read = |call: &V::Call| service.is_read(call);
    let initial = service.initial(key);
    let stuck = match linearizability::check(&operations, initial, is_read, step) {
        Ok(()) => return Ok(true),
        Err(Violation::Undecided(_)) => return Ok(false),
        Err(Violation::Stuck(stuck)) => stuck,
    };
    let what = operations.get(stuck).map_or_else(String::new, |operation| {
        let reply = operation.answer.as_ref().map(|(_, reply)| reply);
        format!("{:?} answered {reply:?}", operation.call)
    });
    let count = operations.len();
    Err(format!(
        "no order of the {count} calls on key {key} explains {what}"
    ))
}
