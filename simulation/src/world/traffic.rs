//! Clients: they connect to a node, send a pipeline of calls, wait for the answers, and go on; when
//! their connection breaks or nothing comes they go elsewhere, and what was unanswered stays
//! unknown.
//!
//! They use a handful of keys at a time, so that calls meet; a key that has had many calls, or
//! several whose outcome nobody knows, is left alone, so that its history can still be checked.

use std::collections::{BTreeMap, VecDeque};

use super::{Event, World};
use crate::checks::Verdict;
use crate::checks::history::Ticket;
use crate::queue::Time;
use crate::random::Random;
use crate::subject::{Answer, Service, Subject};
use crate::trace::Record;

/// Keys in use at a time.
const ACTIVE: u64 = 6;
/// Calls after which a key is left alone.
const CALLS_MAX: u32 = 250;
/// Outcomes that are unknown, or may yet become so, beyond which a key is left alone.
const UNKNOWN_MAX: u32 = 6;
/// How long a client waits for an answer, in microseconds.
const PATIENCE: u64 = 6_000_000;

/// A client.
pub(super) struct Client<V: Service> {
    random: Random,
    /// The node it is connected to, and the connection; 0 for none.
    node: usize,
    connection: u64,
    pending: VecDeque<(Ticket, V::Call)>,
    /// What has been received of the next reply.
    input: Vec<u8>,
    /// Counts what it waits for: alarms for an earlier round are void.
    round: u64,
    idle: bool,
    /// It was refused, and tries another node.
    elsewhere: bool,
    /// It had an answer since it was last asked.
    pub(super) served: bool,
    /// Keys it is to look at before it ends.
    looks: Vec<u64>,
    /// It hardly ever writes: where nothing can be written it still goes on.
    reads: bool,
}

impl<V: Service> Client<V> {
    pub(super) fn new(mut random: Random) -> Self {
        Client {
            reads: random.chance(300),
            random,
            node: 0,
            connection: 0,
            pending: VecDeque::new(),
            input: Vec::new(),
            round: 0,
            idle: false,
            elsewhere: false,
            served: false,
            looks: Vec::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.looks.is_empty()
    }
}

/// Which keys are in use.
#[derive(Debug, Default)]
pub(super) struct Keys {
    active: Vec<u64>,
    next: u64,
    /// Calls so far of those in use, and outcomes that are unknown or awaited.
    used: BTreeMap<u64, (u32, u32)>,
    unique: u64,
}

impl Keys {
    fn pick(&mut self, random: &mut Random) -> u64 {
        let at = random.below(ACTIVE) as usize;
        while self.active.len() <= at {
            self.active.push(self.next);
            self.next += 1;
        }
        let key = self.active[at];
        let used = self.used.entry(key).or_default();
        if used.0 < CALLS_MAX && used.1 < UNKNOWN_MAX {
            return key;
        }
        self.used.remove(&key);
        self.active[at] = self.next;
        self.next += 1;
        self.active[at]
    }

    fn is_full(&self, key: u64) -> bool {
        self.used
            .get(&key)
            .is_some_and(|used| used.0 >= CALLS_MAX || used.1 >= UNKNOWN_MAX)
    }

    fn called(&mut self, key: u64, is_read: bool) {
        let used = self.used.entry(key).or_default();
        used.0 += 1;
        used.1 += u32::from(!is_read);
    }

    /// A write has an answer that says what became of it.
    fn known(&mut self, key: u64) {
        if let Some(used) = self.used.get_mut(&key) {
            used.1 = used.1.saturating_sub(1);
        }
    }
}

impl<S: Subject> World<S> {
    /// Clients may make some more calls: those that waited for that go on.
    pub(super) fn allow(&mut self, calls: i64) {
        self.allowance += calls;
        for client in 0..self.clients.len() {
            if std::mem::take(&mut self.clients[client].idle) {
                let at = self.now + self.clients[client].random.below(3_000);
                self.client_at(client, at);
            }
        }
    }

    fn client_at(&mut self, client: usize, at: Time) {
        self.clients[client].round += 1;
        let round = self.clients[client].round;
        self.queue.plan(at, Event::Client { client, round });
    }

    pub(super) fn client_goes_on(&mut self, client: usize, round: u64) {
        if self.clients[client].round != round || !self.clients[client].pending.is_empty() {
            return;
        }
        let looking = !self.clients[client].looks.is_empty();
        if self.closing && !looking {
            return;
        }
        let must_be_served = self.healed && !self.clients[client].served;
        if self.allowance <= 0 && !looking && !must_be_served {
            self.clients[client].idle = true;
            return;
        }
        let nodes = self.machines.len() as u64;
        let state = &mut self.clients[client];
        let elsewhere = std::mem::take(&mut state.elsewhere);
        if state.connection == 0 || elsewhere || state.random.chance(20) {
            let old = (state.node, state.connection);
            // Whoever was refused or left alone goes to another node than that.
            let step = u64::from(elsewhere) + state.random.below(nodes - u64::from(elsewhere));
            state.node = (state.node + step as usize) % nodes as usize;
            self.connections += 1;
            state.connection = self.connections;
            state.input.clear();
            if old.1 != 0 {
                let at = self.now + self.network.delay();
                self.queue.plan(
                    at,
                    Event::Request {
                        node: old.0,
                        connection: old.1,
                        bytes: None,
                    },
                );
            }
        }
        self.call(client);
    }

    /// Sends a pipeline.
    fn call(&mut self, client: usize) {
        self.history.tick();
        let state = &mut self.clients[client];
        let (node, connection) = (state.node, state.connection);
        self.checks.sessions.sends(client, connection);
        let longest = self.service.pipeline() as u64;
        let count = if state.random.chance(500) {
            1
        } else {
            1 + state.random.below(longest)
        };
        let mut bytes = Vec::new();
        let mut last: BTreeMap<u64, Ticket> = BTreeMap::new();
        let same = state.random.chance(400);
        let mut key = self.keys.pick(&mut state.random);
        let mut label = String::new();
        for _ in 0..count {
            let (key, call) = match state.looks.pop() {
                Some(key) => (key, self.service.look(key)),
                None if self.closing => break,
                None => {
                    if !same || self.keys.is_full(key) {
                        key = self.keys.pick(&mut state.random);
                    }
                    self.keys.unique += 1;
                    let unique = self.keys.unique;
                    if state.reads && state.random.chance(950) {
                        (key, self.service.look(key))
                    } else {
                        (key, self.service.call(&mut state.random, key, unique))
                    }
                }
            };
            self.service.encode(key, &call, &mut bytes);
            if self.trace.on || self.trace.print {
                label.push_str(&format!("{call:?} k{key}; "));
            }
            self.keys.called(key, self.service.is_read(&call));
            let ticket = self
                .history
                .call(key, call.clone(), last.get(&key).copied());
            last.insert(key, ticket);
            state.pending.push_back((ticket, call));
            self.allowance -= 1;
            self.counts.calls += 1;
        }
        self.trace.add(self.now, 10, crate::digest::bytes(&bytes));
        self.trace.line(self.now, None, || {
            format!("client {client} -> n{}  {label}", node + 1)
        });
        self.trace.push(Record::Client {
            at: self.now,
            node,
            label: format!("client {client}: {label}"),
        });
        let at = self.now + self.network.delay();
        self.queue.plan(
            at,
            Event::Request {
                node,
                connection,
                bytes: Some(bytes),
            },
        );
        self.clients[client].round += 1;
        let round = self.clients[client].round;
        self.queue
            .plan(self.now + PATIENCE, Event::Patience { client, round });
    }

    pub(super) fn client_loses_patience(&mut self, client: usize, round: u64) {
        if self.clients[client].round == round && !self.clients[client].pending.is_empty() {
            self.hang_up(client);
        }
    }

    /// Bytes of a client arrive at a node. Where nothing runs, the connection is refused.
    pub(super) fn request(&mut self, node: usize, connection: u64, bytes: Option<Vec<u8>>) {
        if let Some(process) = &mut self.machines[node].process {
            process.inbox.clients.push((connection, bytes));
            self.notice(node);
        } else if let Some(client) = self.client_of(connection) {
            let at = self.now + self.network.delay();
            let bytes = None;
            self.queue.plan(
                at,
                Event::Reply {
                    client,
                    connection,
                    bytes,
                },
            );
        }
    }

    /// A node sends bytes to a client.
    pub(super) fn answer_client(&mut self, node: usize, connection: u64, bytes: Vec<u8>) {
        let Some(client) = self.client_of(connection) else {
            return;
        };
        // Connections carry bytes in order.
        let _ = node;
        let at = self.now + self.plan.weather.delay;
        let bytes = Some(bytes);
        self.queue.plan(
            at,
            Event::Reply {
                client,
                connection,
                bytes,
            },
        );
    }

    pub(super) fn client_of(&self, connection: u64) -> Option<usize> {
        self.clients
            .iter()
            .position(|client| client.connection == connection)
    }

    /// Bytes arrive at a client, or the news that its connection is gone.
    pub(super) fn reply(
        &mut self,
        client: usize,
        connection: u64,
        bytes: Option<Vec<u8>>,
    ) -> Verdict {
        if self.clients[client].connection != connection {
            return Ok(());
        }
        let Some(bytes) = bytes else {
            self.hang_up(client);
            return Ok(());
        };
        self.trace.add(self.now, 11, crate::digest::bytes(&bytes));
        self.trace.line(self.now, None, || {
            format!("client {client} <- {}", bytes.escape_ascii())
        });
        self.history.tick();
        let state = &mut self.clients[client];
        state.input.extend_from_slice(&bytes);
        while let Some((ticket, call)) = state.pending.front() {
            let Some((length, answer)) = self.service.decode(call, &state.input) else {
                break;
            };
            if let Answer::Nonsense(text) = &answer {
                return Err((
                    "replies",
                    format!("a client is answered {text:?} to {call:?}"),
                ));
            }
            match answer {
                Answer::Reply(_) => {
                    self.counts.answered += 1;
                    state.served = true;
                }
                Answer::Unknown if !self.service.is_read(call) => self.counts.unknown += 1,
                // Perhaps another node can do more.
                Answer::NotExecuted => state.elsewhere = true,
                _ => {}
            }
            if answer != Answer::Unknown && !self.service.is_read(call) {
                self.keys.known(ticket.key);
            }
            self.checks.sessions.hears(client);
            self.history.answer(*ticket, answer);
            state.input.drain(..length);
            state.pending.pop_front();
        }
        if state.pending.is_empty() {
            let pause = match state.random.below(3) {
                0 => 0,
                1 => state.random.below(2_000),
                _ => state.random.below(20_000),
            };
            let at = self.now + pause;
            self.client_at(client, at);
        }
        Ok(())
    }

    /// A client gives its connection up: nobody knows what became of its calls.
    fn hang_up(&mut self, client: usize) {
        let state = &mut self.clients[client];
        let (node, connection) = (state.node, state.connection);
        state.connection = 0;
        state.elsewhere = true;
        state.input.clear();
        self.history.tick();
        for (ticket, call) in std::mem::take(&mut state.pending) {
            if !self.service.is_read(&call) {
                self.counts.unknown += 1;
            } else if self.closing {
                state.looks.push(ticket.key);
            }
        }
        let wait = state.random.between(5_000, 100_000);
        self.trace.add(self.now, 12, client as u64);
        self.trace.line(self.now, None, || {
            format!("client {client} gives up on n{}", node + 1)
        });
        let at = self.now + self.network.delay();
        let bytes = None;
        self.queue.plan(
            at,
            Event::Request {
                node,
                connection,
                bytes,
            },
        );
        self.client_at(client, self.now + wait);
    }

    /// A node's process is gone, and with it the connections of its clients.
    pub(super) fn cut_clients_of(&mut self, node: usize) {
        for client in 0..self.clients.len() {
            let state = &self.clients[client];
            if state.node != node || state.connection == 0 {
                continue;
            }
            let connection = state.connection;
            let at = self.now + self.network.delay();
            let bytes = None;
            self.queue.plan(
                at,
                Event::Reply {
                    client,
                    connection,
                    bytes,
                },
            );
        }
    }

    /// At the end every key is read once more, each through some node.
    pub(super) fn look_at_every_key(&mut self) {
        let count = self.clients.len();
        for (at, key) in self.history.keys().into_iter().enumerate() {
            self.clients[at % count].looks.push(key);
        }
        for client in 0..count {
            if self.clients[client].pending.is_empty() {
                self.client_at(client, self.now + 1_000);
            }
        }
    }
}
