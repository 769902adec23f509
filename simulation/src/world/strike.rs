//! Faults strike, and are mended.

use super::{Event, World};
use crate::checks::Verdict;
use crate::network::Lateness;
use crate::plan::{Fault, Interruption, Who};
use crate::queue::Time;
use crate::subject::Subject;
use crate::trace::Record;

/// What is mended.
#[derive(Clone, Debug)]
pub(super) enum Mend {
    /// A node's process starts.
    Start(usize),
    /// These directions are open again.
    Unblock(Vec<(usize, usize)>),
    /// Messages are mangled no more in this way.
    Unmangle((u16, u16, u16)),
    /// The network is so much quicker.
    Unlag(u64),
    /// A node hears so much sooner.
    Sooner(usize, Lateness),
    /// A disk is so much quicker.
    Quicken(usize, u64),
    /// A disk answers again.
    Unhang(usize),
    /// A disk has room again.
    Room(usize),
}

/// Damage to a disk that waits until something newer than it hurts is durable: what nothing was
/// written after cannot be told from a torn write, and no promise is made about it.
#[derive(Clone, Debug)]
pub(super) struct Wound {
    node: usize,
    file: String,
    /// Where, and what is to stand there.
    bytes: Vec<(u64, Vec<u8>)>,
}

/// An interruption that waits for a snapshot, and for so many pieces of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    by: Interruption,
    after: Option<u32>,
    span: u64,
}

impl<S: Subject> World<S> {
    fn resolve(&self, who: Who) -> usize {
        let nodes = self.machines.len();
        match who {
            Who::Node(node) => node % nodes,
            Who::Leader => self.leader().unwrap_or(0),
            Who::Follower(n) => {
                let leader = self.leader().unwrap_or(0);
                (leader + 1 + n % (nodes - 1)) % nodes
            }
        }
    }

    pub(super) fn strike(&mut self, at: usize) {
        let Some(planned) = self.plan.faults.get(at).copied() else {
            return;
        };
        let fault = planned.fault;
        self.trace.add(self.now, 13, at as u64);
        if let Fault::Interrupt { by, after, span } = fault {
            self.interruptions.push(Waiting { by, after, span });
            return;
        }
        self.befall(fault);
    }

    /// A fault happens, here and now.
    fn befall(&mut self, fault: Fault) {
        *self.counts.faults.entry(fault.kind()).or_default() += 1;
        let (node, until) = self.cause(fault);
        self.trace
            .line(self.now, node, || format!("FAULT  {fault}"));
        self.trace.push(Record::Fault {
            at: self.now,
            until,
            node,
            label: fault.to_string(),
        });
    }

    /// Lets a fault happen. Tells whom it struck and until when it lasts.
    fn cause(&mut self, fault: Fault) -> (Option<usize>, Option<Time>) {
        let now = self.now;
        match fault {
            Fault::Kill { who, away } => return self.end(who, away, false),
            Fault::PowerLoss { who, away } => return self.end(who, away, true),
            Fault::Blackout { away } => {
                for node in 0..self.machines.len() {
                    self.end(Who::Node(node), away + node as u64 * 50_000, true);
                }
                return (None, Some(now + away));
            }
            Fault::Pause { who, span } => {
                let node = self.resolve(who);
                self.machines[node].paused_until = now + span;
                return (Some(node), Some(now + span));
            }
            Fault::Isolate { who, span } => {
                let node = self.resolve(who);
                let peers = (0..self.machines.len()).filter(|peer| *peer != node);
                let ways = peers
                    .flat_map(|peer| [(peer, node), (node, peer)])
                    .collect();
                return (Some(node), self.block(ways, span));
            }
            Fault::Deafen { who, span } => {
                let node = self.resolve(who);
                let peers = (0..self.machines.len()).filter(|peer| *peer != node);
                let ways = peers.map(|peer| (peer, node)).collect();
                return (Some(node), self.block(ways, span));
            }
            Fault::Mute { who, span } => {
                let node = self.resolve(who);
                let peers = (0..self.machines.len()).filter(|peer| *peer != node);
                let ways = peers.map(|peer| (node, peer)).collect();
                return (Some(node), self.block(ways, span));
            }
            Fault::Part { a, b, span } => return (None, self.block(vec![(a, b), (b, a)], span)),
            Fault::Split { sides, span } => {
                let nodes = self.machines.len();
                let side = |node: usize| sides >> node & 1;
                let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
                let ways = pairs.filter(|(a, b)| side(*a) != side(*b)).collect();
                return (None, self.block(ways, span));
            }
            Fault::Huddle { who, span } => {
                let nodes = self.machines.len();
                let leader = self.leader().unwrap_or(0);
                let other = match self.resolve(who) {
                    other if other == leader => (leader + 1) % nodes,
                    other => other,
                };
                let inside = |node: usize| node == leader || node == other;
                let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
                let ways = pairs.filter(|(a, b)| inside(*a) != inside(*b)).collect();
                return (Some(other), self.block(ways, span));
            }
            Fault::Reset { a, b } => self.network.reset(now, a, b),
            Fault::Mangle {
                loss,
                repeat,
                reorder,
                span,
            } => {
                self.mangle.push((loss, repeat, reorder));
                let mend = Mend::Unmangle((loss, repeat, reorder));
                return (None, self.later(span, mend));
            }
            Fault::Lag { extra, span } => {
                self.network.lag += extra;
                return (None, self.later(span, Mend::Unlag(extra)));
            }
            Fault::Late {
                who,
                extra,
                growth,
                span,
            } => {
                let node = self.resolve(who);
                let late = Lateness {
                    since: now,
                    growth,
                    most: extra,
                };
                self.network.delay_to(node, late);
                return (Some(node), self.later(span, Mend::Sooner(node, late)));
            }
            Fault::SlowDisk { who, extra, span } => {
                let node = self.resolve(who);
                self.machines[node].slow += extra;
                return (Some(node), self.later(span, Mend::Quicken(node, extra)));
            }
            Fault::SlowStorage { extra, span } => {
                for node in 0..self.machines.len() {
                    self.machines[node].slow += extra;
                    self.later(span, Mend::Quicken(node, extra));
                }
                return (None, Some(now + span));
            }
            Fault::HungDisk { who, span } => {
                let node = self.resolve(who);
                self.machines[node].hung += 1;
                return (Some(node), self.later(span, Mend::Unhang(node)));
            }
            Fault::WriteError { who, after } => {
                let node = self.resolve(who);
                self.arm(node, after, |disk| disk.fail_write(after / 4));
                return (Some(node), None);
            }
            Fault::SyncError { who, after } => {
                let node = self.resolve(who);
                self.arm(node, after, |disk| disk.fail_sync(after / 4));
                return (Some(node), None);
            }
            Fault::FullDisk { who, span } => {
                let node = self.resolve(who);
                self.machines[node].full += 1;
                self.machines[node].disk.limit(Some(0));
                self.machines[node].files.limit(Some(0));
                return (Some(node), self.later(span, Mend::Room(node)));
            }
            Fault::Rot { node, place } => {
                self.rot(node, place);
                return (Some(node), None);
            }
            Fault::MisdirectedWrite { node, place } => {
                self.misdirect(node, place);
                return (Some(node), None);
            }
            Fault::MisdirectedRead { who, after } => {
                let node = self.resolve(who);
                self.arm(node, 1, |disk| disk.misdirect_read(after));
                return (Some(node), None);
            }
            Fault::LostDisk { node } => {
                self.lose_disk(node);
                return (Some(node), None);
            }
            Fault::ClockJump { who, by_ms } => {
                let node = self.resolve(who);
                self.machines[node].clock.ahead_ms += by_ms;
                return (Some(node), None);
            }
            Fault::ClockDrift { who, ppm } => {
                let node = self.resolve(who);
                self.machines[node].clock.set_rate(now, ppm);
                return (Some(node), None);
            }
            Fault::Upgrade { node, away } => {
                self.machines[node].behind = false;
                return self.end(Who::Node(node), away, false);
            }
            Fault::HangUp { who } => {
                let node = self.resolve(who);
                self.cut_clients_of(node);
                return (Some(node), None);
            }
            // It waits for its moment, and is something else then.
            Fault::Interrupt { .. } => {}
        }
        (None, None)
    }

    /// A snapshot that a node receives has got further, or is being installed: that may be what an
    /// interruption waits for.
    pub(super) fn interrupt(&mut self, node: usize, installs: bool) {
        let mut due = Vec::new();
        self.interruptions.retain_mut(|waiting| {
            let now = match &mut waiting.after {
                None => installs,
                Some(_) if installs => false,
                Some(0) => true,
                Some(pieces) => {
                    *pieces -= 1;
                    false
                }
            };
            if now {
                due.push(*waiting);
            }
            !now
        });
        let sender = self.leader().unwrap_or(node);
        let (receives, sends) = (Who::Node(node), Who::Node(sender));
        for Waiting { by, after, span } in due {
            let kind = Fault::Interrupt { by, after, span }.kind();
            *self.counts.faults.entry(kind).or_default() += 1;
            let away = span;
            self.befall(match by {
                Interruption::ReceiverDies => Fault::Kill {
                    who: receives,
                    away,
                },
                Interruption::ReceiverLosesPower => Fault::PowerLoss {
                    who: receives,
                    away,
                },
                Interruption::SenderDies => Fault::Kill { who: sends, away },
                Interruption::SenderIsCutOff => Fault::Isolate { who: sends, span },
                Interruption::Reset => Fault::Reset { a: node, b: sender },
                Interruption::DiskHangs => Fault::HungDisk {
                    who: receives,
                    span,
                },
            });
        }
    }

    /// Plans a fault of a running process' disk: in one of four cases where snapshots are.
    fn arm(&mut self, node: usize, chance: u64, plan: impl FnOnce(&storage::MemoryDisk)) {
        let machine = &self.machines[node];
        if machine.process.is_some() {
            plan(match chance % 4 {
                0 => &machine.files,
                _ => &machine.disk,
            });
        }
    }

    fn end(&mut self, who: Who, away: u64, power: bool) -> (Option<usize>, Option<Time>) {
        let node = self.resolve(who);
        self.end_process(node, power);
        (Some(node), self.later(away, Mend::Start(node)))
    }

    fn later(&mut self, span: u64, mend: Mend) -> Option<Time> {
        let at = self.now + span;
        self.queue.plan(at, Event::Mend(mend));
        Some(at)
    }

    fn block(&mut self, ways: Vec<(usize, usize)>, span: u64) -> Option<Time> {
        for (from, to) in &ways {
            self.network.block(self.now, *from, *to, true);
        }
        self.later(span, Mend::Unblock(ways))
    }

    /// Chooses a byte of what is durable now, and flips a bit of it once something newer is.
    fn rot(&mut self, node: usize, place: u64) {
        if place.is_multiple_of(5) && self.rot_snapshot(node, place) {
            return;
        }
        let Some((file, contents)) = self.written(node, place) else {
            return;
        };
        let Some(end) = contents.iter().rposition(|byte| *byte != 0) else {
            return;
        };
        let at = (place >> 8) % (end as u64 + 1);
        let byte = contents.get(at as usize).copied().unwrap_or_default();
        let bytes = vec![(at, vec![byte ^ (1 << (place % 8))])];
        self.wounds.push(Wound { node, file, bytes });
    }

    /// Flips a bit of a snapshot, if there is one: it was durable when it got its name.
    fn rot_snapshot(&mut self, node: usize, place: u64) -> bool {
        let files = self.machines[node].files.clone();
        let Some(name) = files
            .names()
            .into_iter()
            .rfind(|name| name.ends_with(".snapshot"))
        else {
            return false;
        };
        self.damaged[node] = true;
        self.checks.damaged(node);
        let length = files.contents(&name).len() as u64;
        files.flip(&name, (place >> 8) % length.max(1), (place % 8) as u8);
        true
    }

    /// The last sectors that were written are where they do not belong, and zeros where they do.
    fn misdirect(&mut self, node: usize, place: u64) {
        const SECTOR: usize = storage::SECTOR_BYTES as usize;
        let Some((file, contents)) = self.written(node, place) else {
            return;
        };
        let Some(last) = contents.iter().rposition(|byte| *byte != 0) else {
            return;
        };
        let from = last / SECTOR * SECTOR;
        let sector = contents
            .get(from..from + SECTOR)
            .unwrap_or_default()
            .to_vec();
        let to = (place >> 8) as usize % (from / SECTOR + 1) * SECTOR;
        let bytes = vec![(from as u64, vec![0; SECTOR]), (to as u64, sector)];
        self.wounds.push(Wound { node, file, bytes });
    }

    /// One of the files of a node's log, by chance, with what it holds.
    fn written(&self, node: usize, place: u64) -> Option<(String, Vec<u8>)> {
        let disk = &self.machines[node].disk;
        let names = disk.names();
        let logs: Vec<&String> = names.iter().filter(|name| name.ends_with(".log")).collect();
        // Mostly the one that is being written.
        let at = match place % 3 {
            0 => (place >> 32) as usize % logs.len().max(1),
            _ => logs.len().saturating_sub(1),
        };
        let name = (*logs.get(at)?).clone();
        let contents = disk.contents(&name);
        Some((name, contents))
    }

    /// A node's disk has written something new: older damage comes to pass.
    pub(super) fn inflict(&mut self, node: usize) {
        if self.wounds.is_empty() {
            return;
        }
        let (now, later) = std::mem::take(&mut self.wounds)
            .into_iter()
            .partition(|wound| wound.node == node);
        self.wounds = later;
        let now: Vec<Wound> = now;
        for wound in now {
            self.damaged[node] = true;
            self.checks.damaged(node);
            for (at, bytes) in &wound.bytes {
                self.machines[node].disk.damage(&wound.file, *at, bytes);
            }
            self.trace.line(self.now, Some(node), || {
                format!("its {} is damaged", wound.file)
            });
        }
    }

    fn lose_disk(&mut self, node: usize) {
        self.end_process(node, true);
        let machine = &mut self.machines[node];
        let seed = machine.random.draw();
        machine.disk = storage::MemoryDisk::new(seed);
        machine.files = storage::MemoryDisk::new(seed ^ 1);
        machine.disk_id += 1_000;
        machine.boot = 0;
        machine.refuses = None;
        machine.full = 0;
        self.damaged[node] = true;
        self.wiped[node] = true;
        self.checks.wiped(node);
        self.later(1_000_000, Mend::Start(node));
    }

    pub(super) fn mend(&mut self, mend: Mend) -> Verdict {
        let now = self.now;
        match mend {
            Mend::Start(node) => return self.start(node),
            Mend::Unblock(ways) => {
                for (from, to) in ways {
                    self.network.block(now, from, to, false);
                }
            }
            Mend::Unmangle(which) => {
                if let Some(at) = self.mangle.iter().position(|mangle| *mangle == which) {
                    self.mangle.remove(at);
                }
            }
            Mend::Unlag(extra) => self.network.lag = self.network.lag.saturating_sub(extra),
            Mend::Sooner(node, late) => self.network.hurry_to(node, late),
            Mend::Quicken(node, extra) => {
                let slow = &mut self.machines[node].slow;
                *slow = slow.saturating_sub(extra);
            }
            Mend::Unhang(node) => {
                let hung = &mut self.machines[node].hung;
                *hung = hung.saturating_sub(1);
                if *hung == 0 {
                    if self.is_disk_busy(node) {
                        self.plan_disk(node);
                    }
                    self.files_work(node);
                }
            }
            Mend::Room(node) => {
                let full = &mut self.machines[node].full;
                *full = full.saturating_sub(1);
                if *full == 0 {
                    self.machines[node].disk.limit(None);
                    self.machines[node].files.limit(None);
                }
            }
        }
        Ok(())
    }

    fn is_disk_busy(&self, node: usize) -> bool {
        let process = self.machines[node].process.as_ref();
        process.is_some_and(|process| process.log.is_busy())
    }

    /// Ends what is still to come: everything that lasts has ended before.
    pub(super) fn calm(&mut self) {
        self.wounds.clear();
        self.interruptions.clear();
        for machine in &self.machines {
            machine.disk.calm();
            machine.files.calm();
        }
    }
}
