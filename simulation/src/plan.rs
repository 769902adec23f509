//! What is to go wrong, and when: a list made from the seed before the world begins. So a failing
//! run can be shortened by taking entries out of the list.
//!
//! The mix is a swarm: each seed leaves out about half of the kinds altogether, because faults
//! that happen all the time hide each other. And it never costs more than the promise covers:
//! what cannot be undone (rot, misdirected writes, a lost disk) befalls a minority, the same nodes
//! throughout a seed.

use std::fmt;

use crate::queue::Time;
use crate::random::Random;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it strikes.
    pub at: Time,
    /// What it is.
    pub fault: Fault,
}

/// A node to be struck, by what it is at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This one, counted from 0.
    Node(usize),
    /// Whoever leads; node 0 if nobody does.
    Leader,
    /// Some node that does not lead: the so-manyth.
    Follower(usize),
}

/// What goes wrong. Spans are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies; what it wrote stays in the page cache.
    Kill {
        /// Which node's.
        who: Who,
        /// How long it stays away.
        away: u64,
    },
    /// The power fails: every sector that was not synced is kept or lost on its own.
    PowerLoss {
        /// Which node's.
        who: Who,
        /// How long it stays away.
        away: u64,
    },
    /// The power fails everywhere at once.
    Blackout {
        /// How long the nodes stay away, each a little longer than the one before.
        away: u64,
    },
    /// The process stands still, and does not know it.
    Pause {
        /// Which node's.
        who: Who,
        /// How long.
        span: u64,
    },
    /// A node is cut off, both ways.
    Isolate {
        /// Which.
        who: Who,
        /// How long.
        span: u64,
    },
    /// A node hears nobody, but is heard.
    Deafen {
        /// Which.
        who: Who,
        /// How long.
        span: u64,
    },
    /// A node is heard by nobody, but hears.
    Mute {
        /// Which.
        who: Who,
        /// How long.
        span: u64,
    },
    /// Two nodes cannot reach each other, the others can.
    Part {
        /// The one.
        a: usize,
        /// The other.
        b: usize,
        /// How long.
        span: u64,
    },
    /// The network is split in two: each bit says on which side a node stands.
    Split {
        /// The sides.
        sides: u32,
        /// How long.
        span: u64,
    },
    /// The leader and another node are cut off from the rest, together.
    Huddle {
        /// The other.
        who: Who,
        /// How long.
        span: u64,
    },
    /// The connections of two nodes break and come back.
    Reset {
        /// The one.
        a: usize,
        /// The other.
        b: usize,
    },
    /// Messages of the protocol are lost, repeated and reordered, each so many times in a
    /// thousand.
    Mangle {
        /// Lost.
        loss: u16,
        /// Repeated.
        repeat: u16,
        /// Reordered.
        reorder: u16,
        /// How long.
        span: u64,
    },
    /// Everything takes up to this much longer on its way.
    Lag {
        /// At most, in microseconds.
        extra: u64,
        /// How long.
        span: u64,
    },
    /// A node hears everything later and later, as behind a queue that fills: long after it was
    /// deposed it still hears that it is followed.
    Late {
        /// Which.
        who: Who,
        /// At most, in microseconds.
        extra: u64,
        /// How much later for each second that passes, in microseconds.
        growth: u64,
        /// How long.
        span: u64,
    },
    /// A disk is slow: each write takes up to this much longer.
    SlowDisk {
        /// Whose.
        who: Who,
        /// At most, in microseconds.
        extra: u64,
        /// How long.
        span: u64,
    },
    /// All disks are slow at the same time, as on storage that they share.
    SlowStorage {
        /// At most, in microseconds.
        extra: u64,
        /// How long.
        span: u64,
    },
    /// A disk does not answer at all.
    HungDisk {
        /// Whose.
        who: Who,
        /// How long.
        span: u64,
    },
    /// A write fails with `EIO`.
    WriteError {
        /// Whose.
        who: Who,
        /// After so many more.
        after: u64,
    },
    /// An fsync fails with `EIO`.
    SyncError {
        /// Whose.
        who: Who,
        /// After so many more.
        after: u64,
    },
    /// The disk is full: the log cannot grow.
    FullDisk {
        /// Whose.
        who: Who,
        /// How long.
        span: u64,
    },
    /// A bit flips in what was acknowledged; the node restarts and finds out, or finds out when
    /// it reads.
    Rot {
        /// Whose: a victim of the seed.
        node: usize,
        /// Where, by chance.
        place: u64,
    },
    /// A write went to another place: nothing where it belongs, and other bytes there.
    MisdirectedWrite {
        /// Whose: a victim of the seed.
        node: usize,
        /// Where to, by chance.
        place: u64,
    },
    /// A read of a running process brings other bytes than were asked for, once.
    MisdirectedRead {
        /// Whose.
        who: Who,
        /// After so many more.
        after: u64,
    },
    /// The disk is gone, and with it the node's identity.
    LostDisk {
        /// Whose: a victim of the seed.
        node: usize,
    },
    /// The wall clock jumps.
    ClockJump {
        /// Whose.
        who: Who,
        /// By so much, in milliseconds.
        by_ms: i64,
    },
    /// The clock's rate changes.
    ClockDrift {
        /// Whose.
        who: Who,
        /// Parts per million too fast.
        ppm: i64,
    },
    /// The next snapshot on its way is interrupted.
    Interrupt {
        /// By what.
        by: Interruption,
        /// After so many pieces have arrived; with none left to wait for, while it is installed.
        after: Option<u32>,
        /// How long that lasts.
        span: u64,
    },
    /// A node that was one version behind until now is upgraded: it ends, and the newer version
    /// starts.
    Upgrade {
        /// Which node.
        node: usize,
        /// How long that takes.
        away: u64,
    },
    /// The connections of a node's clients break.
    HangUp {
        /// Whose.
        who: Who,
    },
}

/// What interrupts a snapshot on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The receiver's process dies.
    ReceiverDies,
    /// The receiver's power fails.
    ReceiverLosesPower,
    /// The sender's process dies.
    SenderDies,
    /// The sender is cut off from everybody, and somebody else leads next.
    SenderIsCutOff,
    /// The connections between the two break.
    Reset,
    /// The receiver's disk hangs.
    DiskHangs,
}

impl Fault {
    /// Its kind's name, for summaries.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Fault::Kill { .. } => "crash",
            Fault::PowerLoss { .. } => "power loss",
            Fault::Blackout { .. } => "blackout",
            Fault::Pause { .. } => "pause",
            Fault::Isolate { .. } => "isolated node",
            Fault::Deafen { .. } => "one-way: deaf",
            Fault::Mute { .. } => "one-way: mute",
            Fault::Part { .. } => "partial partition",
            Fault::Split { .. } => "split",
            Fault::Huddle { .. } => "split with the leader",
            Fault::Reset { .. } => "reset",
            Fault::Mangle { .. } => "loss, repetition, reordering",
            Fault::Lag { .. } => "delay",
            Fault::Late { .. } => "one-way: late",
            Fault::SlowDisk { .. } => "slow disk",
            Fault::SlowStorage { .. } => "slow disks everywhere",
            Fault::HungDisk { .. } => "hung disk",
            Fault::WriteError { .. } => "EIO on write",
            Fault::SyncError { .. } => "EIO on fsync",
            Fault::FullDisk { .. } => "disk full",
            Fault::Rot { .. } => "bit rot",
            Fault::MisdirectedWrite { .. } => "misdirected write",
            Fault::MisdirectedRead { .. } => "misdirected read",
            Fault::LostDisk { .. } => "disk lost",
            Fault::ClockJump { .. } => "clock jump",
            Fault::ClockDrift { .. } => "clock drift",
            Fault::Interrupt { .. } => "snapshot interrupted",
            Fault::Upgrade { .. } => "one version behind, upgraded",
            Fault::HangUp { .. } => "clients cut off",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = format!("{self:?}");
        let details = details.split_once(' ').map_or("", |(_, rest)| rest);
        write!(f, "{} {details}", self.kind())
    }
}

/// Everything that a seed decides before the world begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many clients.
    pub clients: usize,
    /// The faults, by time.
    pub faults: Vec<Planned>,
    /// When the last fault is over and everything is mended.
    pub heal_at: Time,
    /// What it is like when nothing is wrong.
    pub weather: Weather,
    /// How much of the log each node keeps: not everywhere the same.
    pub retention: Vec<Retention>,
    /// The clocks: milliseconds ahead, and parts per million too fast.
    pub clocks: Vec<(i64, i64)>,
}

/// What it is like when nothing is wrong. Spans are in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The shortest way from node to node.
    pub delay: u64,
    /// How much longer it usually may be.
    pub jitter: u64,
    /// How much longer what travels in bulk may take: it queues behind its like.
    pub bulk: u64,
    /// How often, in ten thousand, a packet must be sent again.
    pub resent: u64,
    /// The quickest write to the disk.
    pub write: u64,
    /// How much longer it may be.
    pub write_jitter: u64,
    /// How many requests the log thread takes up at once at most: with few, what is asked for in
    /// quick succession becomes durable piece by piece.
    pub gathers: usize,
    /// How long a node may take to notice its inputs.
    pub notice: u64,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// How much longer it takes to make an engine of a snapshot than to write.
    pub install: u64,
    /// Bytes of a piece of a snapshot on its way.
    pub chunk_bytes: u64,
}

/// How much of the log a node keeps.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How far the log may be ahead of the newest snapshot, in bytes.
    pub snapshot_bytes: u64,
    /// How much of the log is purged at once, in bytes.
    pub purge_bytes: u64,
    /// How much of the log is kept for those that lag, in bytes.
    pub kept_bytes: u64,
}

/// When everything is mended.
const HEAL: Time = Time::ms(172_000);
/// When the last fault may strike: none lasts longer than the rest.
const LAST: Time = Time::ms(160_000);
/// How long all is quiet at first, so that somebody leads.
const CALM: Time = Time::ms(2_000);

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Plan {
        let mut random = Random::of(seed, 1);
        let nodes = if random.chance(300) { 5 } else { 3 };
        let weather = weather(&mut random);
        let clocks = (0..nodes).map(|_| clock(&mut random)).collect();
        let retention = retention(&mut Random::of(seed, 6), nodes);
        let mut swarm = Swarm::new(&mut random, nodes);
        let count = random.between(24, 56);
        let mut faults: Vec<Planned> = Vec::new();
        while faults.len() < count as usize {
            let at = Time(random.between(CALM.0, LAST.0));
            if let Some(fault) = swarm.fault(&mut random) {
                faults.push(Planned { at, fault });
                swarm.companions(&mut random, Planned { at, fault }, &mut faults);
            }
        }
        upgrades(&mut Random::of(seed, 7), nodes, &mut faults);
        faults.sort_by_key(|planned| planned.at);
        Plan {
            nodes,
            clients: 8,
            faults,
            heal_at: HEAL,
            weather,
            retention,
            clocks,
        }
    }
}

impl Plan {
    /// Whether a node is one version behind at first.
    pub(crate) fn is_behind(&self, node: usize) -> bool {
        let mut faults = self.faults.iter();
        faults.any(|planned| matches!(planned.fault, Fault::Upgrade { node: upgraded, .. } if upgraded == node))
    }

    /// Leaves out all faults but these, by their places in the list.
    pub fn keep(&mut self, places: &[usize]) {
        let mut place = 0;
        self.faults.retain(|_| {
            place += 1;
            places.contains(&(place - 1))
        });
    }
}

fn weather(random: &mut Random) -> Weather {
    let delay = *random.pick(&[30, 100, 500, 2_000]);
    let write = *random.pick(&[80, 200, 1_000, 5_000]);
    Weather {
        delay,
        jitter: delay * random.between(0, 4),
        bulk: *random.pick(&[0, 1_000, 20_000]),
        resent: *random.pick(&[0, 1, 10]),
        write,
        write_jitter: write * random.between(0, 3),
        gathers: *random.pick(&[1, 2, usize::MAX]),
        notice: *random.pick(&[0, 20, 200]),
        segment_bytes: *random.pick(&[16 << 10, 64 << 10, 512 << 10]),
        install: *random.pick(&[0, 50_000, 2_000_000]),
        chunk_bytes: *random.pick(&[256, 1 << 10, 16 << 10]),
    }
}

/// In half of the seeds all nodes keep as much, in the others some come late with their snapshots, or
/// keep what others have purged long ago: then it depends on who leads whether a node that lags gets
/// a snapshot or entries, and perhaps first the one and then the other.
fn retention(random: &mut Random, nodes: usize) -> Vec<Retention> {
    let mut draw = || Retention {
        snapshot_bytes: *random.pick(&[2 << 10, 16 << 10, 64 << 10, 1 << 30]),
        purge_bytes: *random.pick(&[1 << 10, 8 << 10, 1 << 20]),
        kept_bytes: *random.pick(&[0, 2 << 10, 32 << 10]),
    };
    let all = draw();
    let mut each: Vec<Retention> = (0..nodes).map(|_| draw()).collect();
    if random.chance(500) {
        each.fill(all);
    }
    each
}

/// In a third of the seeds some nodes, or all, are one version behind, and are upgraded one by one.
fn upgrades(random: &mut Random, nodes: usize, faults: &mut Vec<Planned>) {
    if !random.chance(333) {
        return;
    }
    let first = random.below(nodes as u64) as usize;
    for nth in 0..random.between(1, nodes as u64) as usize {
        let node = (first + nth) % nodes;
        let at = Time(random.between(CALM.0, LAST.0));
        let away = random.between(100_000, 3_000_000);
        let fault = Fault::Upgrade { node, away };
        faults.push(Planned { at, fault });
    }
}

fn clock(random: &mut Random) -> (i64, i64) {
    let ahead = *random.pick(&[0, 5, 50, 500, 20_000]);
    let ahead = random.between(0, 2 * ahead) as i64 - ahead as i64;
    let ppm = random.between(0, 400) as i64 - 200;
    (ahead, ppm)
}

/// Which kinds of faults a seed has, and how often.
struct Swarm {
    kinds: Vec<u8>,
    nodes: usize,
    /// Those whose disks may lose what they hold.
    victims: Vec<usize>,
    /// Whether faults are short here.
    brief: bool,
    /// How many faults that cannot be undone may still come.
    lasting: u32,
}

const KINDS: u8 = 29;

impl Swarm {
    fn new(random: &mut Random, nodes: usize) -> Self {
        let mut kinds: Vec<u8> = (0..KINDS).filter(|_| random.chance(450)).collect();
        if kinds.len() < 3 {
            kinds = vec![0, 1, 4];
        }
        let first = random.below(nodes as u64) as usize;
        let victims = (0..(nodes - 1) / 2).map(|n| (first + n) % nodes).collect();
        Swarm {
            kinds,
            nodes,
            victims,
            brief: random.chance(300),
            lasting: 3,
        }
    }

    fn who(&self, random: &mut Random) -> Who {
        match random.below(4) {
            0 | 1 => Who::Leader,
            2 => Who::Follower(random.below(self.nodes as u64) as usize),
            _ => Who::Node(random.below(self.nodes as u64) as usize),
        }
    }

    fn span(&self, random: &mut Random) -> u64 {
        let longest = if self.brief { 400_000 } else { 9_000_000 };
        // Short ones are as likely as long ones.
        let top = longest >> random.below(6);
        random.between(top / 4 + 1_000, top + 1_000)
    }

    fn pair(&self, random: &mut Random) -> (usize, usize) {
        let a = random.below(self.nodes as u64) as usize;
        let b = (a + 1 + random.below(self.nodes as u64 - 1) as usize) % self.nodes;
        (a, b)
    }

    fn victim(&mut self, random: &mut Random) -> Option<usize> {
        self.lasting = self.lasting.checked_sub(1)?;
        Some(*random.pick(&self.victims))
    }

    /// What makes the most of a fault, now and then: where one thing goes wrong, the next often does.
    fn companions(&self, random: &mut Random, planned: Planned, faults: &mut Vec<Planned>) {
        let Planned { at, fault } = planned;
        let mut plan = |at: Time, fault| faults.push(Planned { at, fault });
        match fault {
            // A leader that stood still finds nobody to tell it what it has missed, and an answer
            // that was on its way when it stopped.
            Fault::Pause { who, span } if random.chance(500) => {
                let apart = span + random.between(200_000, 1_000_000);
                plan(
                    at + random.below(20_000),
                    Fault::Isolate { who, span: apart },
                );
                if random.chance(500) {
                    let (before, extra) = (400_000, 50_000);
                    let span = before + 10_000;
                    plan(Time(at.0 - before), Fault::Lag { extra, span });
                }
            }
            // It is heard no more, and others choose another leader while it hears of old consent.
            Fault::Late { who, span, .. } if random.chance(700) => {
                let filled = random.between(span / 2, span);
                let span = random.between(1_000_000, 5_000_000);
                plan(at + filled, Fault::Mute { who, span });
            }
            // What its leader told it and it has not written yet another leader takes back.
            Fault::Huddle { who, span } if random.chance(700) => {
                let before = random.below(100_000);
                let span = before + span + random.between(20_000, 300_000);
                plan(Time(at.0 - before), Fault::HungDisk { who, span });
            }
            // There is none on its way unless somebody lacks what is no longer in the log.
            Fault::Interrupt { .. } => {
                let who = Who::Follower(random.below(self.nodes as u64) as usize);
                let span = random.between(500_000, 4_000_000);
                plan(at + 1, Fault::Isolate { who, span });
            }
            // The leader comes back without what it had not written, and others had.
            Fault::SlowStorage { span, .. } if random.chance(700) => {
                let who = Who::Leader;
                let away = random.between(20_000, 500_000);
                plan(at + random.below(span), Fault::Kill { who, away });
            }
            // Of three disks one lacks the newest and one everything, while the third is away.
            Fault::LostDisk { node } if self.nodes == 3 && random.chance(700) => {
                let first = random.between(1, 2) as usize;
                let lags = Who::Node((node + first) % 3);
                let before = Time(at.0.saturating_sub(1_000_000));
                let span = 1_800_000;
                plan(before, Fault::Isolate { who: lags, span });
                let who = Who::Node((node + 3 - first) % 3);
                let away = random.between(3_000_000, 6_000_000);
                plan(at + 500_000, Fault::Kill { who, away });
            }
            _ => {}
        }
    }

    fn fault(&mut self, random: &mut Random) -> Option<Fault> {
        let kind = *random.pick(&self.kinds);
        let (who, span) = (self.who(random), self.span(random));
        let (a, b) = self.pair(random);
        Some(match kind {
            0 | 20 => Fault::Kill { who, away: span },
            1 | 21 => Fault::PowerLoss { who, away: span },
            2 => Fault::Blackout { away: span },
            3 => Fault::Pause { who, span },
            4 | 22 => Fault::Isolate { who, span },
            5 => Fault::Deafen { who, span },
            6 => Fault::Mute { who, span },
            7 => Fault::Part { a, b, span },
            8 => Fault::Split {
                sides: random.below(1 << self.nodes) as u32,
                span,
            },
            9 => Fault::Reset { a, b },
            10 => {
                let mut rate = || *random.pick(&[0_u16, 5, 50, 300]);
                Fault::Mangle {
                    loss: rate(),
                    repeat: rate(),
                    reorder: rate(),
                    span,
                }
            }
            11 => Fault::Lag {
                extra: *random.pick(&[5_000, 50_000, 400_000]),
                span,
            },
            12 => Fault::SlowDisk {
                who,
                extra: *random.pick(&[10_000, 100_000, 500_000]),
                span,
            },
            13 => Fault::HungDisk { who, span },
            14 => Fault::WriteError {
                who,
                after: random.below(160),
            },
            15 => Fault::SyncError {
                who,
                after: random.below(160),
            },
            16 => Fault::FullDisk { who, span },
            17 => match random.below(5) {
                0 | 1 => Fault::Rot {
                    node: self.victim(random)?,
                    place: random.draw(),
                },
                2 | 3 => Fault::MisdirectedWrite {
                    node: self.victim(random)?,
                    place: random.draw(),
                },
                _ => Fault::LostDisk {
                    node: self.victim(random)?,
                },
            },
            18 => Fault::ClockJump {
                who,
                by_ms: *random.pick(&[-86_400_000, -3_000, -200, 200, 3_000, 31_536_000_000]),
            },
            19 => Fault::ClockDrift {
                who,
                ppm: *random.pick(&[-20_000, -300, 0, 300, 20_000]),
            },
            23 => Fault::MisdirectedRead {
                who,
                after: random.below(4),
            },
            24 => Fault::Late {
                who: if random.chance(500) { Who::Leader } else { who },
                extra: *random.pick(&[200_000, 3_000_000, 5_000_000]),
                growth: *random.pick(&[1_000_000, 2_000_000, u64::MAX]),
                // A queue takes a while to fill.
                span: random.between(1_000_000, 6_000_000),
            },
            25 => Fault::Huddle {
                who: Who::Follower(random.below(self.nodes as u64) as usize),
                // Long enough for the rest to choose another leader.
                span: random.between(600_000, 2_500_000),
            },
            26 => Fault::SlowStorage {
                extra: *random.pick(&[20_000, 100_000, 300_000]),
                span,
            },
            27 => Fault::Interrupt {
                by: *random.pick(&[
                    Interruption::ReceiverDies,
                    Interruption::ReceiverLosesPower,
                    Interruption::SenderDies,
                    Interruption::SenderIsCutOff,
                    Interruption::SenderIsCutOff,
                    Interruption::Reset,
                    Interruption::DiskHangs,
                ]),
                after: *random.pick(&[None, None, Some(0), Some(2)]),
                span: span.clamp(800_000, 4_000_000),
            },
            _ => Fault::HangUp { who },
        })
    }
}
