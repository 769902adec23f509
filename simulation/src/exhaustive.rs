//! Exhaustive corners: every schedule of a small world, up to a bound, instead of many of a large
//! one. Three nodes of the protocol alone, without driver or state machine; the schedule decides
//! which message arrives next, which write becomes durable, who loses patience, who crashes.
//!
//! A message that is never chosen is a lost one, so loss needs no action of its own; and as any may
//! be chosen, every reordering is there. What leads to a state that was seen before is not
//! followed again. Protocols cannot be copied, so each schedule is played from its beginning.

use std::collections::HashSet;
use std::fmt::{self, Debug, Write as _};
use std::hash::BuildHasherDefault;

use consensus::{
    Consensus, Entry, FetchId, Fetched, Index, Input, LogOp, Membership, Micros, NodeId, Output,
    Recovered, RequestId, WriteSeq,
};
use replication::to_recovered;
use storage::{GroupWrite, LogRead, LogStore as _, MemoryLog};

use crate::checks::linearizability::Quick;
use crate::checks::{Checks, Finding, Verdict};
use crate::digest::Digest;
use crate::log_writer::GROUP;
use crate::node::{id, number};
use crate::observed::{Notes, Observed, Reader};
use crate::queue::Time;
use crate::subject::{Message, Subject};

const NODES: usize = 3;
/// Longer than any follower waits, in microseconds.
const PATIENCE: u64 = 700_000;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Steps after the beginning.
    pub depth: usize,
    /// How often a node may lose patience.
    pub timeouts: u32,
    /// How many messages may arrive twice.
    pub repeats: u32,
    /// How many nodes may crash and come back.
    pub crashes: u32,
    /// How many entries may be proposed.
    pub proposals: u32,
    /// States to look at, at most.
    pub states: usize,
}

/// What was found.
#[derive(Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps that were tried.
    pub steps: u64,
    /// Whether the bound on states ended it.
    pub cut_short: bool,
    /// The broken promise, and the schedule that breaks it.
    pub finding: Option<(Finding, Vec<String>)>,
}

/// A step of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The message at this place in the network arrives; it may arrive once more.
    Deliver {
        /// Which.
        message: usize,
        /// Whether a copy stays in the network.
        again: bool,
    },
    /// A node's oldest write becomes durable.
    Persist(usize),
    /// A node loses patience.
    Timeout(usize),
    /// A node is asked to propose an entry.
    Propose(usize),
    /// A node crashes, and comes back with what was durable.
    Crash(usize),
}

/// Looks at every schedule that begins with `beginning`.
pub fn explore<S>(subject: &S, beginning: &[Step], bounds: Bounds) -> Explored
where
    S: Subject,
    S::Core: Debug,
{
    let mut seen: HashSet<u64, BuildHasherDefault<Quick>> = HashSet::default();
    let mut explored = Explored {
        states: 0,
        steps: 0,
        cut_short: false,
        finding: None,
    };
    let mut path = beginning.to_vec();
    // The steps still to be tried, level by level.
    let mut levels: Vec<Vec<Step>> = Vec::new();
    match play(subject, &path, bounds) {
        Ok(world) => levels.push(world.steps()),
        Err((finding, lines)) => explored.finding = Some((finding, lines)),
    }
    while let Some(level) = levels.last_mut() {
        let Some(step) = level.pop() else {
            levels.pop();
            if levels.is_empty() {
                break;
            }
            path.pop();
            continue;
        };
        if seen.len() >= bounds.states {
            explored.cut_short = true;
            break;
        }
        path.push(step);
        explored.steps += 1;
        let depth = path.len() - beginning.len();
        match play(subject, &path, bounds) {
            // How deep it was found matters: from a shallower place more can follow.
            Ok(world) if seen.insert(world.digest(depth)) => {
                levels.push(if depth < bounds.depth {
                    world.steps()
                } else {
                    Vec::new()
                });
            }
            Ok(_) => {
                path.pop();
            }
            Err(found) => {
                explored.finding = Some(found);
                break;
            }
        }
    }
    explored.states = seen.len();
    explored
}

/// Plays a schedule from its beginning.
fn play<'a, S>(
    subject: &'a S,
    path: &[Step],
    bounds: Bounds,
) -> Result<Corner<'a, S>, (Finding, Vec<String>)>
where
    S: Subject,
    S::Core: Debug,
{
    let mut world = Corner::new(subject, bounds);
    for step in path {
        let line = world.show(*step);
        world.lines.push(line);
        if let Err((checker, sentence)) = world.take(*step) {
            let finding = Finding {
                checker,
                sentence,
                at: Time(0),
            };
            return Err((finding, world.lines));
        }
    }
    Ok(world)
}

/// A small world.
struct Corner<'a, S: Subject> {
    subject: &'a S,
    nodes: Vec<Small<S>>,
    network: Vec<(usize, usize, Message<S>)>,
    checks: Checks,
    left: Bounds,
    requests: u64,
    lines: Vec<String>,
}

/// A node of it.
struct Small<S: Subject> {
    core: Observed<S::Core>,
    notes: Notes,
    disk: MemoryLog,
    writes: Vec<(WriteSeq, Vec<LogOp>)>,
    /// What its log holds, durable or not, for what it reads back.
    entries: Vec<Entry>,
    now: Micros,
}

impl<'a, S: Subject> Corner<'a, S>
where
    S::Core: Debug,
{
    fn new(subject: &'a S, bounds: Bounds) -> Self {
        let members = Membership::of_voters((0..NODES).map(id));
        let nodes = (0..NODES).map(|node| {
            let (core, notes) = core(subject, node, 0, Recovered::fresh(members.clone()));
            Small {
                core,
                notes,
                disk: MemoryLog::default(),
                writes: Vec::new(),
                entries: Vec::new(),
                now: Micros(1_000_000),
            }
        });
        let mut world = Corner {
            subject,
            nodes: nodes.collect(),
            network: Vec::new(),
            checks: Checks::new(NODES, 0, S::PREFIX_LOG),
            left: bounds,
            requests: 0,
            lines: Vec::new(),
        };
        for node in 0..NODES {
            let begun = world.step(node, Input::Tick);
            assert!(begun.is_ok(), "a node that never ran breaks no promise");
        }
        world
    }

    /// What may happen next.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for node in 0..NODES {
            if self.left.crashes > 0 {
                steps.push(Step::Crash(node));
            }
            if self.left.timeouts > 0 && self.nodes[node].core.status().leader != Some(id(node)) {
                steps.push(Step::Timeout(node));
            }
            if self.left.proposals > 0 && self.nodes[node].core.status().leader == Some(id(node)) {
                steps.push(Step::Propose(node));
            }
            if !self.nodes[node].writes.is_empty() {
                steps.push(Step::Persist(node));
            }
        }
        for message in 0..self.network.len() {
            if self.left.repeats > 0 {
                let again = true;
                steps.push(Step::Deliver { message, again });
            }
            let again = false;
            steps.push(Step::Deliver { message, again });
        }
        steps
    }

    fn take(&mut self, step: Step) -> Verdict {
        match step {
            Step::Deliver { message, again } => {
                let (from, to, said) = if again {
                    self.left.repeats -= 1;
                    self.network[message].clone()
                } else {
                    self.network.remove(message)
                };
                let from = id(from);
                let message = said;
                self.step(to, Input::Message { from, message })
            }
            Step::Persist(node) => {
                let (seq, ops) = self.nodes[node].writes.remove(0);
                let ops = ops.into_iter().map(replication::to_log).collect();
                let write = GroupWrite { group: GROUP, ops };
                let written = self.nodes[node].disk.write(&[write]);
                assert!(written.is_ok(), "a log in memory cannot fail");
                self.checks.durable(node, seq)?;
                self.step(node, Input::Persisted(seq))
            }
            Step::Timeout(node) => {
                self.left.timeouts -= 1;
                for (other, small) in self.nodes.iter_mut().enumerate() {
                    // The others have waited too, but not as long as they would.
                    let own = small.core.deadline().unwrap_or_default();
                    let later = Micros(small.now.0 + PATIENCE / 2);
                    small.now = if other == node {
                        Micros(small.now.0 + PATIENCE)
                    } else {
                        later.min(Micros(own.0.saturating_sub(1))).max(small.now)
                    };
                }
                self.step(node, Input::Tick)
            }
            Step::Propose(node) => {
                self.left.proposals -= 1;
                self.requests += 1;
                let request = RequestId(self.requests);
                let batch = bytes::Bytes::copy_from_slice(&self.requests.to_le_bytes());
                self.step(node, Input::Propose { request, batch })
            }
            Step::Crash(node) => {
                self.left.crashes -= 1;
                self.crash(node)
            }
        }
    }

    fn crash(&mut self, node: usize) -> Verdict {
        let members = Membership::of_voters((0..NODES).map(id));
        let found = self.nodes[node].disk.recovered(GROUP);
        let ballot = found.hard_state.as_deref().and_then(S::ballot);
        self.checks.recovered(node, &found, ballot)?;
        let small = &mut self.nodes[node];
        let last = found.records.last().map_or(0, |last| last.0);
        let disk = &mut small.disk;
        let read = |index| match disk.read(GROUP, index, index, 0) {
            Ok(LogRead::Records(records)) => records.into_iter().next(),
            _ => None,
        };
        let recovered = to_recovered(found, members, Default::default(), read);
        let Ok(recovered) = recovered else {
            unreachable!("a log in memory holds what was written");
        };
        (small.core, small.notes) = core(self.subject, node, 1, recovered);
        small.writes.clear();
        small.entries.retain(|entry| entry.index.0 <= last);
        self.step(node, Input::Tick)
    }

    fn step(&mut self, node: usize, input: Input<Message<S>>) -> Verdict {
        let now = self.nodes[node].now;
        self.nodes[node].core.step(now, input);
        while let Some(output) = self.nodes[node].core.poll() {
            self.follow(node, output);
        }
        let notes = std::mem::take(&mut *self.nodes[node].notes.borrow_mut());
        for note in notes {
            self.checks.noted(node, note)?;
        }
        Ok(())
    }

    fn follow(&mut self, node: usize, output: Output<Message<S>>) {
        let small = &mut self.nodes[node];
        match output {
            Output::Send { to, message } => self.network.push((node, number(to), message)),
            Output::Write { seq, ops } => {
                for op in &ops {
                    match op {
                        LogOp::Put(entry) => {
                            small.entries.retain(|other| other.index < entry.index);
                            small.entries.push(entry.clone());
                        }
                        LogOp::TruncateFrom(from) => {
                            small.entries.retain(|other| other.index < *from);
                        }
                        _ => {}
                    }
                }
                small.writes.push((seq, ops));
            }
            Output::Commit(entries) => {
                if let Some(last) = entries.last() {
                    small.core.step(small.now, Input::Applied(last.index));
                }
            }
            Output::Fetch { id, from, to, .. } => self.fetch(node, id, from, to),
            _ => {}
        }
    }

    fn fetch(&mut self, node: usize, id: FetchId, from: Index, to: Index) {
        let small = &mut self.nodes[node];
        let entries = small.entries.iter();
        let found: Vec<Entry> = entries
            .filter(|entry| from <= entry.index && entry.index <= to)
            .cloned()
            .collect();
        let result = match found.is_empty() {
            true => Fetched::Corrupt,
            false => Fetched::Entries(found),
        };
        small.core.step(small.now, Input::Fetched { id, result });
    }

    /// Names the state. Where messages stand in the network does not matter.
    fn digest(&self, depth: usize) -> u64 {
        let mut digest = Hashed(Digest(depth as u64));
        for small in &self.nodes {
            let (core, writes, disk) = (small.core.inside(), &small.writes, &small.disk);
            let written = write!(digest, "{core:?}{writes:?}{disk:?}");
            assert!(written.is_ok(), "a digest takes everything");
        }
        let left = &self.left;
        digest.0.add(u64::from(left.timeouts));
        digest.0.add(u64::from(left.repeats));
        digest.0.add(u64::from(left.crashes));
        digest.0.add(u64::from(left.proposals));
        let messages = self.network.iter().map(|message| {
            let mut digest = Hashed(Digest(1));
            let written = write!(digest, "{message:?}");
            assert!(written.is_ok(), "a digest takes everything");
            digest.0.0
        });
        digest.0.add(messages.fold(0, u64::wrapping_add));
        digest.0.0
    }

    fn show(&self, step: Step) -> String {
        match step {
            Step::Deliver { message, again } => {
                let (from, to, said) = &self.network[message];
                let again = if again { ", and will once more" } else { "" };
                format!("{} <- {}  {}{again}", id(*to), id(*from), S::describe(said))
            }
            Step::Persist(node) => format!("{}  its oldest write is durable", id(node)),
            Step::Timeout(node) => format!("{}  loses patience", id(node)),
            Step::Propose(node) => format!("{}  is given an entry", id(node)),
            Step::Crash(node) => format!("{}  crashes and comes back", id(node)),
        }
    }
}

fn core<S: Subject>(
    subject: &S,
    node: usize,
    life: u64,
    recovered: Recovered,
) -> (Observed<S::Core>, Notes) {
    let notes = Notes::default();
    let reader = Reader {
        claim: S::claim,
        ballot: S::ballot,
    };
    let seed = node as u64 * 2 + life;
    let core = subject.core(NodeId(node as u64 + 1), seed, recovered);
    (Observed::new(core, notes.clone(), reader), notes)
}

/// Takes text into a digest without keeping it.
struct Hashed(Digest);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.add(crate::digest::bytes(text.as_bytes()));
        Ok(())
    }
}

/// The steps by which the first node comes to lead, if everything goes well.
#[must_use]
pub fn first_node_leads() -> Vec<Step> {
    let deliver = |message| Step::Deliver {
        message,
        again: false,
    };
    vec![
        Step::Timeout(0),
        // Its pre-vote request to the second node, and the answer.
        deliver(0),
        deliver(1),
        Step::Persist(0),
        // Its vote request; the other pre-vote request stands before it.
        deliver(1),
        Step::Persist(1),
        deliver(2),
    ]
}
