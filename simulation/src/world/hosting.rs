//! Nodes at work: when they look at their inputs, what becomes of what they want done, how they
//! start and how they end.

use consensus::Micros;
use replication::{Message as Said, StateMachine as _};

use super::strike::Mend;
use super::{Event, World};
use crate::checks::Verdict;
use crate::checks::sessions::Effect;
use crate::log_writer::LogEvent;
use crate::node::{Answered, Process, Started, Stop, Turn, id, number};
use crate::observed::Note;
use crate::queue::Time;
use crate::snapshots::{SnapshotEvent, Snapshots};
use crate::subject::{Message, Subject};
use crate::trace::Record;
use crate::versions::is_in_older;

/// States are compared at every so-manyth index: often enough, since states that differ once
/// nearly always stay different.
const COMPARE_EVERY: u64 = 16;

impl<S: Subject> World<S> {
    /// Something has come in: the node looks at it soon.
    pub(super) fn notice(&mut self, node: usize) {
        let notice = self.plan.weather.notice;
        let wait = if notice == 0 {
            0
        } else {
            self.machines[node].random.below(notice)
        };
        self.wake_at(node, self.now + wait);
    }

    fn wake_at(&mut self, node: usize, at: Time) {
        let machine = &mut self.machines[node];
        let life = machine.life;
        let at = at.max(machine.paused_until);
        if let Some(process) = &mut machine.process
            && at < process.wakes
        {
            process.wakes = at;
            self.queue.plan(at, Event::Wake { node, life });
        }
    }

    pub(super) fn wake(&mut self, node: usize, life: u32) -> Verdict {
        let now = self.now;
        let machine = &mut self.machines[node];
        let Some(process) = machine.process.as_mut() else {
            return Ok(());
        };
        if machine.life != life || process.wakes != now {
            return Ok(());
        }
        process.wakes = Time(u64::MAX);
        if now < machine.paused_until {
            let until = machine.paused_until;
            self.wake_at(node, until);
            return Ok(());
        }
        self.turn(node)?;
        self.set_alarm(node);
        Ok(())
    }

    fn set_alarm(&mut self, node: usize) {
        let machine = &self.machines[node];
        let deadline = machine.process.as_ref().and_then(Process::deadline);
        if let Some(at) = deadline.map(|deadline| machine.clock.moment(deadline)) {
            self.wake_at(node, at.max(self.now + 1));
        }
    }

    fn turn(&mut self, node: usize) -> Verdict {
        let (local, wall) = {
            let clock = &self.machines[node].clock;
            (clock.monotonic(self.now), clock.wall(self.now))
        };
        let Some(mut process) = self.machines[node].process.take() else {
            return Ok(());
        };
        let life = self.machines[node].life;
        let mut strays = Vec::new();
        let (mangle, random) = (&self.mangle, &mut self.random);
        let mut mangled = |from: usize, message: Message<S>| {
            mangle_one(mangle, random, from, message, &mut strays)
        };
        let mut turn = Turn::default();
        let began = process.group.machine().applied().index;
        let parts = (&self.subject, &self.service);
        let taken = process.take_inbox(parts, &mut turn, local, wall, &mut mangled);
        for (from, wait, message) in strays {
            let message = Box::new(message);
            let to = node;
            let event = Event::Stray {
                from,
                to,
                life,
                message,
            };
            self.queue.plan(self.now + wait, event);
        }
        let mut replies = Vec::new();
        let mut answered: Vec<Answered> = Vec::new();
        let before = process.group.machine().applied().index;
        let turned = taken.map_err(Stop::Environment).and_then(|()| {
            let answer = &mut |answer| answered.push(answer);
            let service = &self.service;
            process.turn(service, local, wall, &mut turn, &mut replies, answer)
        });
        let notes = std::mem::take(&mut *process.notes.borrow_mut());
        let applied = process.group.machine().applied().index;
        let digest = (turn.installed
            || before.0 / COMPARE_EVERY != applied.0 / COMPARE_EVERY
                && applied.0 % COMPARE_EVERY < 4)
            .then(|| self.subject.digest(process.group.machine()));
        let turned = turned.map(|()| {
            let behind = |node: usize| self.machines[node].behind;
            let readable =
                |peer, message: &_| is_in_older(message) || !(behind(node) || behind(peer));
            turn.messages
                .retain(|(peer, message)| readable(*peer, message));
            let frames = process.frames(node, wall, turn.messages);
            (frames, turn.request)
        });
        self.machines[node].process = Some(process);
        self.take_notes(node, notes)?;
        self.checks.moved(node, began, applied)?;
        for Answered {
            connection,
            slot,
            read,
            executed,
        } in answered
        {
            let seen = executed.map(|index| match index {
                Some(index) => (index, index),
                // Somewhere between the turn's beginning and its end.
                None => (before, applied),
            });
            if let Some(Some(index)) = executed {
                self.checks.acknowledged(node, index)?;
            }
            if let Some(client) = self.client_of(connection) {
                let effect = Effect { read, seen };
                let sessions = &mut self.checks.sessions;
                sessions.answered(client, connection, slot, effect)?;
            }
        }
        if let Some(digest) = digest {
            self.trace.add(self.now, 5, digest);
            self.checks.state(node, applied, digest)?;
        }
        match turned {
            Ok((frames, request)) => {
                for (end, payload) in frames {
                    self.send(end, payload, local);
                }
                if !request.is_empty() {
                    self.write(node, request);
                }
                self.files_work(node);
                for (connection, bytes) in replies {
                    self.answer_client(node, connection, bytes);
                }
                Ok(())
            }
            Err(Stop::Environment(why)) => self.stops_itself(node, &why),
            Err(Stop::Nonsense(why)) => {
                let node = id(node);
                Err(("panic", format!("{node} stops: {why}")))
            }
        }
    }

    fn send(&mut self, end: crate::network::End, payload: bytes::Bytes, local: Micros) {
        let bulk = end.channel == consensus::Channel::Bulk;
        if !self.network.send(self.now, end, payload)
            && bulk
            && let Some(process) = &mut self.machines[end.node].process
        {
            // What was forwarded in it counts as lost on the way, as in the binary.
            process.group.replica().link_down(id(end.peer));
            let _ = local;
        }
    }

    fn take_notes(&mut self, node: usize, notes: Vec<Note>) -> Verdict {
        let mut committed = None;
        for note in notes {
            match &note {
                Note::Led(epoch, leader, _) => {
                    let (epoch, leader) = (*epoch, *leader);
                    let me = leader == Some(id(node));
                    self.counts.reigns += u64::from(me);
                    self.trace.line(self.now, Some(node), || match leader {
                        Some(leader) if leader == id(node) => format!("LEADS in term {epoch}"),
                        Some(leader) => format!("follows {leader} in term {epoch}"),
                        None => format!("knows of no leader in term {epoch}"),
                    });
                    self.trace.push(Record::Leads {
                        at: self.now,
                        node,
                        term: me.then_some(epoch.round),
                    });
                }
                Note::Committed(entry) => committed = Some(entry.at),
                _ => {}
            }
            self.checks.noted(node, note)?;
        }
        if let Some(at) = committed {
            self.trace
                .line(self.now, Some(node), || format!("committed up to {at}"));
            let index = at.index.0;
            self.trace.push(Record::Commit {
                at: self.now,
                node,
                index,
            });
        }
        Ok(())
    }

    /// The snapshots' files have something to do.
    pub(super) fn files_work(&mut self, node: usize) {
        let weather = self.plan.weather;
        let machine = &mut self.machines[node];
        let Some(process) = &mut machine.process else {
            return;
        };
        let waits = process.snapshots.as_ref().is_some_and(Snapshots::has_jobs);
        if !waits || process.files_busy || machine.hung > 0 {
            return;
        }
        process.files_busy = true;
        let installs = process
            .snapshots
            .as_ref()
            .is_some_and(Snapshots::is_to_install);
        let jitter = machine.random.below(weather.write_jitter + 1);
        let mut extra = machine.random.below(machine.slow + 1);
        if installs {
            extra += machine.random.below(weather.install + 1);
        }
        let life = machine.life;
        let at = self.now + weather.write + jitter + extra;
        self.queue.plan(at, Event::Files { node, life });
        if installs {
            self.interrupt(node, true);
        }
    }

    /// A job of the snapshots' files is done.
    pub(super) fn files_done(&mut self, node: usize, life: u32) {
        let machine = &mut self.machines[node];
        if machine.life != life {
            return;
        }
        let Some(process) = &mut machine.process else {
            return;
        };
        process.files_busy = false;
        let before = process.inbox.snapshots.len();
        if let Some(snapshots) = &mut process.snapshots {
            snapshots.work(&mut process.inbox.snapshots);
        }
        for event in process.inbox.snapshots.iter().skip(before) {
            let kind = event.kind();
            *self.counts.snapshots.entry(kind).or_default() += 1;
            self.trace
                .add(self.now, 14, kind.len() as u64 ^ ((node as u64) << 8));
            self.trace
                .line(self.now, Some(node), || format!("snapshot {kind}"));
        }
        let events = process.inbox.snapshots.iter().skip(before);
        let received = events.filter(|event| matches!(event, SnapshotEvent::Stored(..)));
        let received = received.count();
        if process.inbox.snapshots.len() > before {
            self.notice(node);
        }
        self.files_work(node);
        if received > 0 {
            self.interrupt(node, false);
        }
    }

    fn write(&mut self, node: usize, request: crate::log_writer::Request) {
        let machine = &mut self.machines[node];
        if let Some(process) = &mut machine.process
            && process.log.push(request)
        {
            self.plan_disk(node);
        }
    }

    /// The disk begins with something: when will it be done?
    pub(super) fn plan_disk(&mut self, node: usize) {
        let weather = self.plan.weather;
        let machine = &mut self.machines[node];
        if machine.hung > 0 {
            return;
        }
        let jitter = machine.random.below(weather.write_jitter + 1);
        let extra = machine.random.below(machine.slow + 1);
        let at = self.now + weather.write + jitter + extra;
        let life = machine.life;
        self.queue.plan(at, Event::Disk { node, life });
    }

    pub(super) fn disk_done(&mut self, node: usize, life: u32) -> Verdict {
        let machine = &mut self.machines[node];
        if machine.life != life || machine.hung > 0 {
            return Ok(());
        }
        let Some(process) = &mut machine.process else {
            return Ok(());
        };
        let before = process.inbox.log.len();
        process.log.finish(&mut process.inbox.log);
        let mut verdict = Ok(());
        for event in process.inbox.log.iter().skip(before) {
            if let LogEvent::Durable(seq) = event {
                self.trace.add(self.now, 6, seq.0 ^ ((node as u64) << 48));
                let seq = *seq;
                self.trace.line(self.now, Some(node), || {
                    format!("wrote up to write {}", seq.0)
                });
                verdict = verdict.and(self.checks.durable(node, seq));
            }
        }
        if process.log.begin() {
            self.plan_disk(node);
        }
        self.inflict(node);
        self.notice(node);
        verdict
    }

    /// Starts a node's process.
    pub(super) fn start(&mut self, node: usize) -> Verdict {
        let nodes = self.machines.len();
        let kept = (&self.plan.weather, &self.plan.retention[node]);
        let machine = &mut self.machines[node];
        if machine.process.is_some() || machine.refuses.is_some() {
            return Ok(());
        }
        let started = machine.start(&self.subject, node, nodes, self.now, kept);
        self.trace
            .add(self.now, 7, node as u64 ^ (u64::from(started.is_ok()) << 8));
        match started {
            Ok(Started {
                process,
                found,
                applied,
            }) => {
                let boot = machine.boot;
                machine.process = Some(process);
                let ballot = found.hard_state.as_deref().and_then(S::ballot);
                self.trace.line(self.now, Some(node), || {
                    let from = found.purged.0 + 1;
                    let last = found.records.last().map_or(found.purged.0, |last| last.0);
                    let damage = if found.damaged { ", DAMAGED" } else { "" };
                    format!(
                        "STARTS for the {boot}. time: state at {applied}, log from {from} to \
                         {last}, ballot {ballot:?}{damage}"
                    )
                });
                self.trace.push(Record::Process {
                    at: self.now,
                    node,
                    runs: true,
                });
                if found.damaged && !self.damaged[node] {
                    let node = id(node);
                    return Err((
                        "recovery",
                        format!("{node} says that its log is damaged, and nothing has damaged it"),
                    ));
                }
                if found.purged.0 > applied.0 && !self.damaged[node] {
                    let (node, purged) = (id(node), found.purged.0);
                    return Err((
                        "recovery",
                        format!(
                            "{node} comes back with a log that begins behind {purged}, and a state \
                             that ends at {applied}"
                        ),
                    ));
                }
                self.checks.recovered(node, &found, ballot)?;
                let disk = self.machines[node].disk_id;
                self.network.enter(self.now, node, disk);
                self.wake_at(node, self.now);
                Ok(())
            }
            Err(why) if machine.full > 0 => {
                self.trace
                    .line(self.now, Some(node), || format!("cannot start: {why}"));
                let again = self.now + 300_000;
                self.queue.plan(again, Event::Mend(Mend::Start(node)));
                Ok(())
            }
            Err(why) if self.damaged[node] => {
                self.trace
                    .line(self.now, Some(node), || format!("REFUSES to start: {why}"));
                machine.refuses = Some(why);
                Ok(())
            }
            Err(why) => {
                let node = id(node);
                Err((
                    "recovery",
                    format!("{node} does not start on a sound disk: {why}"),
                ))
            }
        }
    }

    /// The process stops because its environment failed it; somebody starts it again.
    fn stops_itself(&mut self, node: usize, why: &str) -> Verdict {
        let text = why.to_owned();
        self.trace
            .line(self.now, Some(node), || format!("STOPS: {text}"));
        self.end_process(node, false);
        let away = 300_000 + self.machines[node].random.below(3_000_000);
        self.queue
            .plan(self.now + away, Event::Mend(Mend::Start(node)));
        Ok(())
    }

    /// A process ends, by itself or not, with the machine's power or without.
    pub(super) fn end_process(&mut self, node: usize, power: bool) {
        let machine = &mut self.machines[node];
        let Some(mut process) = machine.process.take() else {
            if power {
                machine.disk.crash();
                machine.files.crash();
            }
            return;
        };
        process.log.tear(&machine.disk, &mut machine.random);
        if let Some(snapshots) = process.snapshots.as_mut().filter(|_| process.files_busy) {
            match machine.random.below(3) {
                0 => machine.files.fail_write(machine.random.below(3)),
                1 => machine.files.fail_sync(machine.random.below(3)),
                _ => {}
            }
            snapshots.work(&mut Vec::new());
        }
        for disk in [&machine.disk, &machine.files] {
            if power {
                disk.crash();
            } else {
                disk.kill();
            }
        }
        machine.life += 1;
        machine.paused_until = Time(0);
        drop(process);
        self.trace.add(self.now, 8, node as u64);
        self.trace.push(Record::Process {
            at: self.now,
            node,
            runs: false,
        });
        self.trace.push(Record::Leads {
            at: self.now,
            node,
            term: None,
        });
        self.checks.stopped(node);
        self.network.leave(self.now, node, !power);
        self.cut_clients_of(node);
    }

    /// Who leads, as far as the newest reign's leader knows.
    pub(super) fn leader(&self) -> Option<usize> {
        let processes = self.machines.iter().filter_map(|m| m.process.as_ref());
        let known = processes.map(|process| process.group.view().leadership());
        let (_, leader) = known.filter(|(_, leader)| leader.is_some()).max()?;
        leader.map(number)
    }
}

/// What the network does to a message of the protocol, which must live with it.
fn mangle_one<M: Clone>(
    mangle: &[(u16, u16, u16)],
    random: &mut crate::random::Random,
    from: usize,
    message: M,
    strays: &mut Vec<(usize, u64, M)>,
) -> Option<M> {
    for (loss, repeat, reorder) in mangle {
        if random.chance((*loss).into()) {
            return None;
        }
        if random.chance((*repeat).into()) {
            strays.push((from, random.below(200_000), message.clone()));
        }
        if random.chance((*reorder).into()) {
            strays.push((from, random.below(50_000), message));
            return None;
        }
    }
    Some(message)
}

/// A message on one line.
pub(super) fn describe<S: Subject>(message: &Said<Message<S>>) -> String {
    match message {
        Said::Consensus(message) => S::describe(message),
        Said::Forward { epoch, id, batch } => {
            let (boot, number) = (id.0 >> 40, id.0 & 0xff_ffff_ffff);
            let bytes = batch.len();
            format!("Forward {boot}.{number} for term {epoch}: {bytes} bytes")
        }
        other => format!("{other:?}").chars().take(120).collect(),
    }
}
