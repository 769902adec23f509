//! The network between the nodes: what `transport::Transport` promises, and nothing more.
//!
//! Two nodes have two connections, one per channel. Each lives from the moment that a side is told
//! of it to the moment that it is told of its end, and what arrives in between is a prefix of what
//! was sent, in order. Nothing is promised across connections. The two sides learn of the end at
//! different times, and what a side sends after the end and before it learns of it vanishes.
//!
//! Loss in the network therefore shows as delay, and as connections that end; a direction that is
//! blocked holds its frames back until it is opened, or until the connection is given up. The
//! protocol itself promises to live with more, so [`Mangle`](crate::Fault::Mangle) loses, repeats
//! and reorders its messages besides.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::Channel;

use crate::plan::Weather;
use crate::queue::Time;
use crate::random::Random;

/// A frame on its way.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) connection: u64,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) channel: Channel,
    pub(crate) sent: Time,
    pub(crate) payload: Bytes,
}

/// What the network wants to happen later.
#[derive(Debug)]
pub(crate) enum Wire {
    /// A frame arrives.
    Arrive(Packet),
    /// A side is told that its connection stands.
    Up(End, u64),
    /// A side is told that its connection has ended.
    Down(End, u64),
    /// Two nodes try to connect.
    Dial(Pair),
    /// A connection over a blocked way is given up, if it still is blocked.
    Expire(Pair, u64),
}

/// One side of a connection: who, with whom, on which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) peer: usize,
    pub(crate) channel: Channel,
}

/// Both sides, the lower node first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) channel: Channel,
}

impl Pair {
    fn new(a: usize, b: usize, channel: Channel) -> Self {
        Pair {
            low: a.min(b),
            high: a.max(b),
            channel,
        }
    }

    fn ends(self) -> [End; 2] {
        let end = |node, peer| End {
            node,
            peer,
            channel: self.channel,
        };
        [end(self.low, self.high), end(self.high, self.low)]
    }
}

/// The state of a directed way.
#[derive(Debug, Default)]
struct Way {
    /// The connection that the sender believes in; 0 for none.
    told: u64,
    /// When the last frame arrives: no later frame may arrive before.
    last: Time,
    held: VecDeque<Packet>,
}

/// A queue in front of a node: what goes in there comes out the later the longer it has been
/// filling. Spans are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lateness {
    pub(crate) since: Time,
    /// How much later for each second.
    pub(crate) growth: u64,
    /// At most.
    pub(crate) most: u64,
}

impl Lateness {
    fn at(self, now: Time) -> u64 {
        let grown = u128::from(now.since(self.since)) * u128::from(self.growth) / 1_000_000;
        self.most.min(grown.try_into().unwrap_or(u64::MAX))
    }
}

/// The state of a pair.
#[derive(Debug, Default)]
struct Link {
    /// The newest connection, and whether it still carries anything.
    connection: u64,
    alive: bool,
    dialing: bool,
    failures: u32,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    weather: Weather,
    random: Random,
    ways: Vec<Way>,
    links: Vec<Link>,
    /// How many faults block each directed way.
    blocked: Vec<u32>,
    /// Who is there to be connected with, under which disk.
    present: Vec<Option<u64>>,
    /// The disks that each node has met.
    met: Vec<Option<u64>>,
    /// Extra delay, in microseconds.
    pub(crate) lag: u64,
    /// Queues in front of a node.
    late: Vec<(usize, Lateness)>,
    connections: u64,
    pub(crate) plans: Vec<(Time, Wire)>,
}

const CHANNELS: [Channel; 2] = [Channel::Control, Channel::Bulk];
/// After how long without any sign of the other side a connection is given up at the latest.
const DEAD_AFTER: Time = Time::ms(10_000);

impl Network {
    pub(crate) fn new(nodes: usize, weather: Weather, random: Random) -> Self {
        let directed = nodes * nodes * 2;
        Network {
            nodes,
            weather,
            random,
            ways: (0..directed).map(|_| Way::default()).collect(),
            links: (0..directed).map(|_| Link::default()).collect(),
            blocked: vec![0; nodes * nodes],
            present: vec![None; nodes],
            met: vec![None; nodes * nodes],
            lag: 0,
            late: Vec::new(),
            connections: 0,
            plans: Vec::new(),
        }
    }

    /// A node's process has started, on that disk: everybody connects with it.
    pub(crate) fn enter(&mut self, now: Time, node: usize, disk: u64) {
        self.present[node] = Some(disk);
        for peer in (0..self.nodes).filter(|peer| *peer != node) {
            for channel in CHANNELS {
                self.dial_at(now + 1_000, Pair::new(node, peer, channel));
            }
        }
    }

    /// A node's process is gone. If its machine is there to say so, its peers learn of it soon.
    pub(crate) fn leave(&mut self, now: Time, node: usize, politely: bool) {
        self.present[node] = None;
        for peer in (0..self.nodes).filter(|peer| *peer != node) {
            for channel in CHANNELS {
                let pair = Pair::new(node, peer, channel);
                let notice = if politely {
                    self.delay()
                } else {
                    self.random.between(DEAD_AFTER.0 / 20, DEAD_AFTER.0)
                };
                let gone = End {
                    node,
                    peer,
                    channel,
                };
                let at = self.way_of(gone);
                self.ways[at].told = 0;
                self.end(pair, [now + notice; 2]);
            }
        }
    }

    /// Two nodes' connections break.
    pub(crate) fn reset(&mut self, now: Time, a: usize, b: usize) {
        for channel in CHANNELS {
            let noticed = [now + self.delay(), now + self.delay()];
            let pair = Pair::new(a, b, channel);
            self.end(pair, noticed);
            self.dial_at(now + 20_000, pair);
        }
    }

    /// Blocks a direction, or takes one block away.
    pub(crate) fn block(&mut self, now: Time, from: usize, to: usize, block: bool) {
        let at = from * self.nodes + to;
        if block {
            self.blocked[at] += 1;
            for channel in CHANNELS {
                let pair = Pair::new(from, to, channel);
                let link = &self.links[self.link_of(pair)];
                let (connection, alive) = (link.connection, link.alive);
                if alive {
                    let patience = self.random.between(DEAD_AFTER.0 / 10, DEAD_AFTER.0);
                    self.plan(now + patience, Wire::Expire(pair, connection));
                }
            }
            return;
        }
        self.blocked[at] -= 1;
        if self.blocked[at] > 0 {
            return;
        }
        for channel in CHANNELS {
            let end = End {
                node: from,
                peer: to,
                channel,
            };
            let way = self.way_of(end);
            for packet in std::mem::take(&mut self.ways[way].held) {
                self.carry(now, way, packet);
            }
        }
    }

    /// Everything on its way to a node gets there late from now on.
    pub(crate) fn delay_to(&mut self, node: usize, late: Lateness) {
        self.late.push((node, late));
    }

    /// It does no more.
    pub(crate) fn hurry_to(&mut self, node: usize, late: Lateness) {
        if let Some(at) = self.late.iter().position(|one| *one == (node, late)) {
            self.late.remove(at);
        }
    }

    /// Sends a frame; false if the sender has no connection.
    pub(crate) fn send(&mut self, now: Time, end: End, payload: Bytes) -> bool {
        let way = self.way_of(end);
        let connection = self.ways[way].told;
        if connection == 0 {
            return false;
        }
        let link = &self.links[self.link_of(Pair::new(end.node, end.peer, end.channel))];
        if !link.alive || link.connection != connection {
            return true;
        }
        let packet = Packet {
            connection,
            from: end.node,
            to: end.peer,
            channel: end.channel,
            sent: now,
            payload,
        };
        if self.blocked[end.node * self.nodes + end.peer] > 0 {
            self.ways[way].held.push_back(packet);
        } else {
            self.carry(now, way, packet);
        }
        true
    }

    /// Whether a frame that arrives is still wanted.
    pub(crate) fn arrives(&self, packet: &Packet) -> bool {
        let end = End {
            node: packet.to,
            peer: packet.from,
            channel: packet.channel,
        };
        let link = &self.links[self.link_of(Pair::new(packet.from, packet.to, packet.channel))];
        link.alive
            && link.connection == packet.connection
            && self.ways[self.way_of(end)].told == packet.connection
    }

    /// Whether a side is to be told now that its connection stands.
    pub(crate) fn comes_up(&mut self, end: End, connection: u64) -> bool {
        let link = &self.links[self.link_of(Pair::new(end.node, end.peer, end.channel))];
        let stands = link.alive && link.connection == connection;
        if stands && self.present[end.node].is_some() {
            let way = self.way_of(end);
            self.ways[way].told = connection;
            return true;
        }
        false
    }

    /// Whether a side is to be told now that its connection has ended.
    pub(crate) fn goes_down(&mut self, now: Time, end: End, connection: u64) -> bool {
        let way = self.way_of(end);
        if self.ways[way].told != connection {
            return false;
        }
        self.ways[way].told = 0;
        let pair = Pair::new(end.node, end.peer, end.channel);
        let backoff = self.random.between(1_000, 10_000);
        self.dial_at(now + backoff, pair);
        true
    }

    /// Tries to connect two nodes.
    pub(crate) fn dial(&mut self, now: Time, pair: Pair) {
        let at = self.link_of(pair);
        self.links[at].dialing = false;
        let (Some(low), Some(high)) = (self.present[pair.low], self.present[pair.high]) else {
            return;
        };
        if self.links[at].alive {
            return;
        }
        let mut stale = false;
        for end in pair.ends() {
            let told = self.ways[self.way_of(end)].told;
            if told != 0 {
                // A newer connection of the same peer ends the older one.
                self.plan(now, Wire::Down(end, told));
                stale = true;
            }
        }
        let blocked = self.blocked[pair.low * self.nodes + pair.high]
            + self.blocked[pair.high * self.nodes + pair.low];
        if stale || blocked > 0 || !self.know_each_other(pair, low, high) {
            self.links[at].failures = (self.links[at].failures + 1).min(7);
            let wait = 10_000 << self.links[at].failures;
            let wait = self.random.between(wait / 2, wait);
            return self.dial_at(now + wait, pair);
        }
        self.connections += 1;
        let connection = self.connections;
        self.links[at] = Link {
            connection,
            alive: true,
            ..Link::default()
        };
        for end in pair.ends() {
            let told = now + self.delay();
            let back = self.way_of(End {
                node: end.peer,
                peer: end.node,
                channel: end.channel,
            });
            self.ways[back].last = told;
            self.ways[back].held.clear();
            self.plan(told, Wire::Up(end, connection));
        }
    }

    /// A connection over a blocked way is given up.
    pub(crate) fn expire(&mut self, now: Time, pair: Pair, connection: u64) {
        let blocked = self.blocked[pair.low * self.nodes + pair.high]
            + self.blocked[pair.high * self.nodes + pair.low];
        if self.links[self.link_of(pair)].connection == connection && blocked > 0 {
            let later = now + self.random.below(1_000_000);
            self.end(pair, [now, later]);
            self.dial_at(later, pair);
        }
    }

    /// How long a packet takes, without regard to those before it.
    pub(crate) fn delay(&mut self) -> u64 {
        let Weather {
            delay,
            jitter,
            resent,
            ..
        } = self.weather;
        let again = if self.random.below(10_000) < resent {
            200_000
        } else {
            0
        };
        delay + self.random.below(jitter + 1) + self.random.below(self.lag + 1) + again
    }

    fn carry(&mut self, now: Time, way: usize, packet: Packet) {
        let queues = self.late.iter().filter(|(node, _)| *node == packet.to);
        let late: u64 = queues.map(|(_, late)| late.at(now)).sum();
        let bulk = match packet.channel {
            Channel::Control => 0,
            Channel::Bulk => self.random.below(self.weather.bulk + 1),
        };
        let at = (now + self.delay() + bulk + late).max(self.ways[way].last + 1);
        self.ways[way].last = at;
        self.plan(at, Wire::Arrive(packet));
    }

    /// Ends a pair's connection; the sides learn of it at these times.
    fn end(&mut self, pair: Pair, noticed: [Time; 2]) {
        let at = self.link_of(pair);
        if !self.links[at].alive {
            return;
        }
        self.links[at].alive = false;
        let connection = self.links[at].connection;
        for (end, at) in pair.ends().into_iter().zip(noticed) {
            let way = self.way_of(end);
            self.ways[way].held.clear();
            if self.present[end.node].is_some() {
                self.plan(at, Wire::Down(end, connection));
            }
        }
    }

    /// What the handshake checks: a node that shows another disk than before is not that node.
    fn know_each_other(&mut self, pair: Pair, low: u64, high: u64) -> bool {
        let places = [
            (pair.low * self.nodes + pair.high, high),
            (pair.high * self.nodes + pair.low, low),
        ];
        places
            .into_iter()
            .all(|(at, disk)| *self.met[at].get_or_insert(disk) == disk)
    }

    fn dial_at(&mut self, at: Time, pair: Pair) {
        let link = self.link_of(pair);
        if !std::mem::replace(&mut self.links[link].dialing, true) {
            self.plan(at, Wire::Dial(pair));
        }
    }

    fn plan(&mut self, at: Time, wire: Wire) {
        self.plans.push((at, wire));
    }

    fn way_of(&self, end: End) -> usize {
        (end.node * self.nodes + end.peer) * 2 + usize::from(end.channel == Channel::Bulk)
    }

    fn link_of(&self, pair: Pair) -> usize {
        (pair.low * self.nodes + pair.high) * 2 + usize::from(pair.channel == Channel::Bulk)
    }
}
