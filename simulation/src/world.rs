//! The world: a queue of events, and nodes, network, disks, clocks and clients to which they
//! happen. One thread, no runtime; everything follows from the plan and the seed.
//!
//! A run has two parts. While the storm lasts, faults strike and only safety is checked. Then all
//! is mended, and within a bound every client must be served and all copies must be the same.
//!
//! [`hosting`] lets nodes work, [`traffic`] is about clients, [`strike`] about faults.

mod hosting;
mod strike;
mod traffic;

use std::collections::BTreeMap;

use consensus::Index;
use replication::StateMachine as _;
use storage::MemoryDisk;

use self::strike::Mend;
use self::traffic::Client;
use crate::checks::history::History;
use crate::checks::{Checks, Finding, Verdict, progress};
use crate::clock::Clock;
use crate::network::{Network, Packet, Wire};
use crate::node::{Heard, Machine, id};
use crate::plan::Plan;
use crate::queue::{Queue, Time};
use crate::random::Random;
use crate::subject::{Message, Subject};
use crate::trace::{Record, Trace};

/// What happens.
enum Event<M> {
    /// A node looks at its inputs, or at its timers.
    Wake { node: usize, life: u32 },
    /// The disk has done what it was asked.
    Disk { node: usize, life: u32 },
    /// The snapshots' files have got further.
    Files { node: usize, life: u32 },
    /// Something in the network.
    Wire(Wire),
    /// A message of the protocol that was held back or repeated.
    Stray {
        from: usize,
        to: usize,
        life: u32,
        message: Box<M>,
    },
    /// Bytes of a client arrive, or that it has hung up.
    Request {
        node: usize,
        connection: u64,
        bytes: Option<Vec<u8>>,
    },
    /// Bytes arrive at a client, or that the connection is gone.
    Reply {
        client: usize,
        connection: u64,
        bytes: Option<Vec<u8>>,
    },
    /// A client goes on, if it is still at this.
    Client { client: usize, round: u64 },
    /// A client has waited long enough.
    Patience { client: usize, round: u64 },
    /// Clients may make some more calls.
    Allow { calls: i64 },
    /// A fault of the plan strikes.
    Strike(usize),
    /// Something is mended.
    Mend(Mend),
    /// The storm is over.
    Heal,
    /// Every client must have been served by now.
    Served,
    /// All copies must be the same by now.
    Settled { patience: u32 },
}

/// What was counted in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Calls that clients made.
    pub calls: u64,
    /// Calls that had a reply.
    pub answered: u64,
    /// Calls of which nobody knows what became of them.
    pub unknown: u64,
    /// Keys whose history took too long to be judged.
    pub undecided: u64,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// What happened to snapshots.
    pub snapshots: BTreeMap<&'static str, u64>,
    /// Entries committed.
    pub committed: u64,
    /// Elections won.
    pub reigns: u64,
    /// Simulated time.
    pub span: Time,
}

/// Everything.
pub(crate) struct World<S: Subject> {
    subject: S,
    service: S::Service,
    plan: Plan,
    now: Time,
    queue: Queue<Event<Message<S>>>,
    machines: Vec<Machine<S>>,
    network: Network,
    clients: Vec<Client<S::Service>>,
    history: History<S::Service>,
    checks: Checks,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// Loss, repetition and reordering in force, each in a thousand.
    mangle: Vec<(u16, u16, u16)>,
    random: Random,
    connections: u64,
    /// Calls that clients may still make.
    allowance: i64,
    keys: traffic::Keys,
    /// The storm is over.
    healed: bool,
    /// Clients make no more calls.
    closing: bool,
    ended: bool,
    /// Nodes whose disks may have lost what they held.
    damaged: Vec<bool>,
    /// Nodes whose disks were replaced: nobody lets them in any more.
    wiped: Vec<bool>,
    /// Damage that waits for its moment.
    wounds: Vec<strike::Wound>,
    /// Interruptions that wait for a snapshot.
    interruptions: Vec<strike::Waiting>,
}

impl<S: Subject> World<S> {
    pub(crate) fn new(subject: S, seed: u64, plan: Plan, trace: Trace) -> Self {
        let nodes = plan.nodes;
        let machine = |node: usize| {
            let (ahead, ppm) = plan.clocks.get(node).copied().unwrap_or_default();
            let mut random = Random::of(seed, 100 + node as u64);
            Machine {
                disk: MemoryDisk::new(random.draw()),
                files: MemoryDisk::new(random.draw()),
                disk_id: 1_000 + node as u64,
                boot: 0,
                clock: Clock::new(ahead, ppm),
                process: None,
                paused_until: Time(0),
                life: 0,
                slow: 0,
                hung: 0,
                full: 0,
                random,
                refuses: None,
                behind: plan.is_behind(node),
            }
        };
        let service = subject.service();
        let mut world = World {
            machines: (0..nodes).map(machine).collect(),
            network: Network::new(nodes, plan.weather, Random::of(seed, 2)),
            clients: (0..plan.clients)
                .map(|client| Client::new(Random::of(seed, 200 + client as u64)))
                .collect(),
            history: History::new(),
            checks: Checks::new(nodes, plan.clients, S::PREFIX_LOG),
            trace,
            counts: Counts::default(),
            mangle: Vec::new(),
            random: Random::of(seed, 3),
            connections: 0,
            allowance: 0,
            keys: traffic::Keys::default(),
            healed: false,
            closing: false,
            ended: false,
            damaged: vec![false; nodes],
            wiped: vec![false; nodes],
            wounds: Vec::new(),
            interruptions: Vec::new(),
            now: Time(0),
            queue: Queue::default(),
            subject,
            service,
            plan,
        };
        world.open();
        world
    }

    /// Plans everything that is known beforehand.
    fn open(&mut self) {
        for node in 0..self.machines.len() {
            let at = Time(self.random.below(200_000));
            self.queue.plan(at, Event::Mend(Mend::Start(node)));
        }
        for client in 0..self.clients.len() {
            self.queue
                .plan(Time::ms(500), Event::Client { client, round: 0 });
        }
        for at in 0..self.plan.faults.len() {
            let when = self.plan.faults[at].at;
            self.queue.plan(when, Event::Strike(at));
            // Faults are worth most when something is going on.
            let before = Random::of(when.0, 4).below(6_000);
            let before = Time(when.0.saturating_sub(before));
            self.queue.plan(before, Event::Allow { calls: 20 });
            self.queue.plan(when + 1, Event::Allow { calls: 10 });
            let mut random = Random::of(when.0, 5);
            for _ in 0..20 {
                let meanwhile = when + random.below(3_000_000);
                self.queue.plan(meanwhile, Event::Allow { calls: 2 });
            }
        }
        let steps = 1_800;
        let left = 5_600_i64 - 70 * self.plan.faults.len() as i64;
        let mut given = 0;
        for step in 1..=steps {
            let due = left.max(1_000) * step as i64 / steps as i64;
            let at = Time(self.plan.heal_at.0 / steps * step);
            // Now and then nobody writes for a while: that is when logs are purged.
            if step % 120 < 104 && due > given {
                self.queue.plan(at, Event::Allow { calls: due - given });
                given = due;
            }
        }
        self.queue.plan(self.plan.heal_at, Event::Heal);
    }

    /// The time.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Lets it all happen.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub(crate) fn run(&mut self) -> Result<(), Finding> {
        while !self.ended {
            let Some((at, event)) = self.queue.next() else {
                break;
            };
            self.now = at;
            self.counts.events += 1;
            self.happen(event).map_err(|(checker, sentence)| {
                self.trace.finding(at, format!("{checker}: {sentence}"));
                self.trace
                    .line(at, None, || format!("FOUND  {checker}: {sentence}"));
                Finding {
                    checker,
                    sentence,
                    at,
                }
            })?;
            for (at, wire) in self.network.plans.drain(..) {
                self.queue.plan(at, Event::Wire(wire));
            }
        }
        self.counts.span = self.now;
        self.counts.committed = self.checks.committed();
        Ok(())
    }

    fn happen(&mut self, event: Event<Message<S>>) -> Verdict {
        match event {
            Event::Wake { node, life } => return self.wake(node, life),
            Event::Disk { node, life } => return self.disk_done(node, life),
            Event::Files { node, life } => self.files_done(node, life),
            Event::Wire(wire) => self.wire(wire),
            Event::Stray {
                from,
                to,
                life,
                message,
            } => {
                if self.machines[to].life == life
                    && let Some(process) = &mut self.machines[to].process
                {
                    self.trace.add(self.now, 9, to as u64);
                    process.inbox.peers.push(Heard::Stray(from, *message));
                    self.notice(to);
                }
            }
            Event::Request {
                node,
                connection,
                bytes,
            } => self.request(node, connection, bytes),
            Event::Reply {
                client,
                connection,
                bytes,
            } => return self.reply(client, connection, bytes),
            Event::Client { client, round } => self.client_goes_on(client, round),
            Event::Patience { client, round } => self.client_loses_patience(client, round),
            Event::Allow { calls } => self.allow(calls),
            Event::Strike(at) => self.strike(at),
            Event::Mend(mend) => return self.mend(mend),
            Event::Heal => self.heal(),
            Event::Served => return self.must_be_served(),
            Event::Settled { patience } => return self.must_be_settled(patience),
        }
        Ok(())
    }

    fn wire(&mut self, wire: Wire) {
        let now = self.now;
        match wire {
            Wire::Arrive(packet) => self.arrive(packet),
            Wire::Up(end, connection) => {
                if self.network.comes_up(end, connection) {
                    self.trace.add(now, 2, connection);
                    self.hear(end.node, Heard::Up(end.peer, end.channel));
                }
            }
            Wire::Down(end, connection) => {
                if self.network.goes_down(now, end, connection) {
                    self.trace.add(now, 3, connection);
                    self.trace.line(now, Some(end.node), || {
                        format!(
                            "lost its {:?} connection with {}",
                            end.channel,
                            id(end.peer)
                        )
                    });
                    self.hear(end.node, Heard::Down(end.peer, end.channel));
                }
            }
            Wire::Dial(pair) => self.network.dial(now, pair),
            Wire::Expire(pair, connection) => self.network.expire(now, pair, connection),
        }
    }

    fn arrive(&mut self, packet: Packet) {
        if !self.network.arrives(&packet) {
            return;
        }
        let (from, to, now) = (packet.from, packet.to, self.now);
        let payload = crate::digest::bytes(&packet.payload);
        self.trace.add(now, 1, payload ^ (from * 8 + to) as u64);
        if self.trace.print || self.trace.on {
            self.show_frame(&packet);
        }
        self.hear(to, Heard::Frame(from, packet.payload));
    }

    fn show_frame(&mut self, packet: &Packet) {
        let frame = replication::Frame::<Message<S>>::decode(&packet.payload);
        for (_, message) in frame.into_iter().flat_map(|frame| frame.messages) {
            let label = hosting::describe::<S>(&message);
            let (from, to) = (packet.from, packet.to);
            self.trace
                .line(self.now, Some(to), || format!("<- {}  {label}", id(from)));
            self.trace.push(Record::Arrow {
                from,
                to,
                sent: packet.sent,
                arrived: self.now,
                label,
            });
        }
    }

    fn hear(&mut self, node: usize, heard: Heard<Message<S>>) {
        if let Some(process) = &mut self.machines[node].process {
            process.inbox.peers.push(heard);
            self.notice(node);
        }
    }

    /// The storm is over: everything is mended, and stays so.
    fn heal(&mut self) {
        self.healed = true;
        self.trace
            .line(self.now, None, || "the storm is over".into());
        self.calm();
        for client in 0..self.clients.len() {
            self.clients[client].served = false;
        }
        self.allow(400);
        let by = self.now + progress::SERVED_WITHIN.0;
        self.queue.plan(by, Event::Served);
    }

    fn must_be_served(&mut self) -> Verdict {
        let unserved: Vec<usize> = (0..self.clients.len())
            .filter(|client| !self.clients[*client].served)
            .collect();
        if let Some(client) = unserved.first() {
            let (count, bound) = (unserved.len(), progress::SERVED_WITHIN);
            let who = self.roles();
            return Err((
                "progress",
                format!(
                    "{count} clients, number {client} among them, had no reply within {bound} s \
                     after everything was mended ({who})"
                ),
            ));
        }
        self.closing = true;
        self.look_at_every_key();
        self.queue
            .plan(self.now + 500_000, Event::Settled { patience: 30 });
        Ok(())
    }

    fn must_be_settled(&mut self, patience: u32) -> Verdict {
        let applied: Vec<(usize, Index)> = self.whole_nodes().collect();
        let idle = self.clients.iter().all(Client::is_idle);
        let highest = applied.iter().map(|(_, index)| *index).max();
        let same = applied.iter().all(|(_, index)| Some(*index) == highest);
        let all_here = self
            .machines
            .iter()
            .all(|machine| machine.process.is_some() || machine.refuses.is_some());
        if !(idle && same && all_here) {
            if patience == 0 {
                let bound = progress::SETTLED_WITHIN;
                let who = self.roles();
                return Err((
                    "progress",
                    format!("the copies are not the same {bound} s after the last call ({who})"),
                ));
            }
            let again = Event::Settled {
                patience: patience - 1,
            };
            self.queue.plan(self.now + 500_000, again);
            return Ok(());
        }
        for (node, index) in applied {
            self.checks.end(node, index)?;
            if let Some(process) = &self.machines[node].process {
                let digest = self.subject.digest(process.group.machine());
                self.trace.add(self.now, 4, digest);
                self.checks.state(node, index, digest)?;
            }
        }
        self.ended = true;
        let checked = self.history.check(&self.service);
        self.counts.undecided = checked.map_err(|sentence| ("linearizability", sentence))?;
        Ok(())
    }

    /// The nodes that run and belong to the cluster, with what they have applied. Those that were
    /// damaged are among them: their peers make good what they lack.
    fn whole_nodes(&self) -> impl Iterator<Item = (usize, Index)> + '_ {
        let machines = self.machines.iter().enumerate();
        let whole = machines.filter(|(node, _)| !self.wiped[*node]);
        whole.filter_map(|(node, machine)| {
            let process = machine.process.as_ref()?;
            Some((node, process.group.machine().applied().index))
        })
    }

    /// Where everybody stands, for a sentence.
    fn roles(&self) -> String {
        let roles = self.machines.iter().enumerate().map(|(node, machine)| {
            let node = id(node);
            match (&machine.process, &machine.refuses) {
                (Some(process), _) => {
                    let status = process.group.view().status();
                    format!(
                        "{node} {} in term {}, committed {}, applied {}",
                        status.role.name(),
                        status.epoch,
                        status.committed,
                        status.applied
                    )
                }
                (None, Some(_)) => format!("{node} refuses to start"),
                (None, None) => format!("{node} is down"),
            }
        });
        roles.collect::<Vec<_>>().join("; ")
    }
}
