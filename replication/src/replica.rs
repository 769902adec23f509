//! The driver: takes commands and queries, gets them through consensus, and says what became of
//! each. A state machine without I/O, generic over the protocol and over the token `T` by which
//! the host names whoever waits.
//!
//! ```text
//! submit → queue ─┬─ I lead ──────→ Propose → proposed → Commit → Apply → reply
//!                 ├─ a peer leads → Forward → in flight → Outcome ──────→ reply
//!                 └─ nobody leads → held until its time is up ──────────→ NoLeader
//! read ──→ one Read for all that wait → ReadReady → caught up → Query ──→ reply
//! ```
//!
//! Invariants: a command is in exactly one of queue, proposed, in flight, committed; commands of
//! this node enter the log in the order in which they were submitted, or not at all; what may have
//! taken effect is never sent again; a forwarded command is executed only by the leader of the
//! epoch that its origin named, once.
//!
//! Left out: the state machine itself ([`Group`](crate::Group) applies what comes out here), and
//! every decision that belongs to the protocol.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use consensus::{
    Consensus, Done, Entry, Epoch, FetchId, Fetched, Index, Input, Membership, Micros, NodeId,
    Output, Position, ReadMode, RequestId, Status, WriteSeq,
};

use crate::action::{Action, Committed};
use crate::apply::Backlog;
use crate::batch::{Batch, BatchBuilder, OLDEST};
use crate::clock::Clocks;
use crate::config::Config;
use crate::forward::{InFlight, local_tokens};
use crate::machine::Millis;
use crate::message::{Failure, ForwardId, Message};
use crate::queue::{Queue, Run, Waiting};
use crate::reads::Reads;
use crate::retention::Retention;
use crate::transfer::receiver::Incoming;
use crate::transfer::sender::Outgoing;
use crate::waits::{Asker, Held, Open, Wait};

/// How long batches that were forwarded in an earlier reign may be waited for before newer ones
/// go to the new leader. Within it a refusal still finds its place in the order.
const GRACE: Micros = Micros::from_millis(200);
/// The least time between two ticks that only let time pass.
const TICK_EVERY: Micros = Micros::from_millis(100);
/// How soon a state machine that was busy, or waited for something, is asked again.
pub(crate) const BUSY_RETRY: Micros = Micros::from_millis(1);

/// One node's part in one group. See the module's head.
#[derive(Debug)]
pub struct Replica<C: Consensus, T> {
    pub(crate) core: C,
    pub(crate) config: Config,
    pub(crate) membership: Membership,
    /// The reign this node knows of, its leader, and since when.
    pub(crate) epoch: Epoch,
    pub(crate) leader: Option<NodeId>,
    pub(crate) leadership_since: Micros,
    /// A leader at this epoch or below has refused: wait for a newer one.
    pub(crate) refused_epoch: Epoch,
    /// The newest reign in which this node has sent commands on.
    pub(crate) newest_sent: Epoch,
    pub(crate) forwarded: u64,
    pub(crate) connected: BTreeSet<NodeId>,
    /// The newest version of the commands' meaning that the state machine understands, and each
    /// peer's.
    pub(crate) semantics: u8,
    understood: BTreeMap<NodeId, u8>,
    pub(crate) clocks: Clocks,

    pub(crate) queue: Queue<T>,
    pub(crate) proposing: BTreeMap<RequestId, (Batch, Waiting<T>, Micros)>,
    /// Accepted by the protocol, not decided. One index can stand here under several epochs.
    pub(crate) proposed: BTreeMap<(Index, Epoch), Waiting<T>>,
    pub(crate) in_flight: InFlight<T>,
    /// The newest batch that each peer has forwarded here: none is taken in twice.
    pub(crate) last_forward: BTreeMap<NodeId, ForwardId>,
    pub(crate) committed: Backlog<T>,
    /// Nothing is applied in this turn.
    pub(crate) busy: bool,
    pub(crate) reads: Reads<T>,
    pub(crate) waits: Vec<Open<T>>,

    pub(crate) next_request: RequestId,
    /// The newest proposal that the protocol took in.
    pub(crate) accepted: RequestId,
    pub(crate) next_forward: ForwardId,
    pub(crate) issued: WriteSeq,
    pub(crate) persisted: WriteSeq,
    pub(crate) applied: Index,
    /// What a crash would leave in the state machine.
    pub(crate) durable: Index,
    pub(crate) retention: Retention,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Option<Incoming>,
    pub(crate) snapshot_bytes_sent: u64,
    pub(crate) tick_at: Option<Micros>,
    pub(crate) last_tick: Micros,
    pub(crate) wake_at: Option<Micros>,
    pub(crate) now: Micros,
    pub(crate) actions: VecDeque<Action<C::Message, T>>,
}

impl<C: Consensus, T: Copy> Replica<C, T> {
    /// A driver over `core`, whose state machine holds everything up to `applied`.
    pub fn new(core: C, config: Config, membership: Membership, applied: Index) -> Self {
        let retention = Retention::new(core.status().purged, config.log.purge_bytes);
        Replica {
            core,
            membership,
            epoch: Epoch::ZERO,
            leader: None,
            leadership_since: Micros(0),
            refused_epoch: Epoch::ZERO,
            newest_sent: Epoch::ZERO,
            forwarded: 0,
            connected: BTreeSet::new(),
            semantics: OLDEST,
            understood: BTreeMap::new(),
            clocks: Clocks::default(),
            queue: Queue::new(config.max_batch_bytes),
            proposing: BTreeMap::new(),
            proposed: BTreeMap::new(),
            in_flight: InFlight::default(),
            last_forward: BTreeMap::new(),
            committed: Backlog::default(),
            busy: false,
            reads: Reads::default(),
            waits: Vec::new(),
            next_request: RequestId(1),
            accepted: RequestId(0),
            next_forward: ForwardId::first_of_boot(config.boot),
            issued: WriteSeq(0),
            persisted: WriteSeq(0),
            applied,
            durable: applied,
            retention,
            outgoing: Outgoing::new(&config.snapshots),
            incoming: None,
            snapshot_bytes_sent: 0,
            tick_at: None,
            last_tick: Micros(0),
            wake_at: None,
            now: Micros(0),
            actions: VecDeque::new(),
            config,
        }
    }

    /// Takes a command. It is on its way after the next [`turn`](Replica::turn). One copy.
    pub fn submit(&mut self, now: Micros, token: T, command: &[u8]) {
        self.queue.push(now, token, command);
    }

    /// Takes a query, to be answered from a state that is at least as new as this moment.
    pub fn read(&mut self, now: Micros, token: T, query: &[u8]) {
        self.reads.push(now, token, query);
    }

    /// Takes a question of how many replicas hold an index.
    pub fn wait(&mut self, now: Micros, token: T, wait: Wait) {
        self.open_wait(now, Asker::Local(token), wait);
    }

    /// Takes a peer's message.
    pub fn receive(&mut self, now: Micros, from: NodeId, message: Message<C::Message>) {
        match message {
            Message::Consensus(message) => self.step(now, Input::Message { from, message }),
            Message::Forward { epoch, id, batch } => self.take_forward(now, from, epoch, id, batch),
            Message::Refused { id } => self.forward_refused(from, id),
            Message::Outcome { id, index, replies } => {
                if let Some(sent) = self.in_flight.take(from, id) {
                    let tokens = sent.into_tokens();
                    self.actions.push_back(Action::Answer {
                        tokens,
                        index,
                        replies,
                    });
                }
            }
            Message::Failed { id, failure } => {
                if let Some(sent) = self.in_flight.take(from, id) {
                    self.fail(sent.waiting, failure);
                }
            }
            Message::Wait {
                id,
                index,
                replicas,
                timeout_ms,
            } => {
                let timeout = (timeout_ms > 0).then(|| Micros(timeout_ms.saturating_mul(1_000)));
                let wait = Wait {
                    index,
                    replicas,
                    timeout,
                };
                self.open_wait(now, Asker::Remote(from, id), wait);
            }
            Message::Waited {
                id,
                replicas,
                leader,
            } => self.waited(now, from, id, Held { replicas, leader }),
            Message::SnapshotOffer { meta } => self.snapshot_offered(now, from, meta),
            Message::SnapshotWant {
                id,
                offset,
                upto,
                again,
            } => self.snapshot_wanted(now, from, id, offset, upto, again),
            Message::SnapshotChunk {
                id,
                offset,
                bytes,
                crc,
            } => self.snapshot_chunk(now, from, id, offset, bytes, crc),
            Message::SnapshotGone { id } => self.snapshot_gone(from, id),
            Message::SnapshotDone { id, end } => self.snapshot_done(now, from, id, end),
            Message::Receiving { index } => self.peer_receives(now, from, index),
            Message::Keep { above } => self.keep_above(now, from, above),
            Message::Understands { semantics } => {
                self.understood.insert(from, semantics);
            }
        }
    }

    /// A frame of `peer`'s showed its clock.
    pub fn saw_clock(&mut self, now: Micros, peer: NodeId, clock: Millis) {
        self.clocks.saw(now, peer, clock);
    }

    /// The version under which a leader writes: every member understands it. Of whom it has heard
    /// nothing yet, it expects the least.
    fn common_semantics(&self) -> u8 {
        let peers = self.membership.peers(self.config.node);
        let understood = peers.map(|peer| self.understood.get(&peer).copied().unwrap_or(OLDEST));
        understood.fold(self.semantics, u8::min).max(OLDEST)
    }

    /// The bulk connection to `peer` stands.
    pub fn link_up(&mut self, peer: NodeId) {
        self.connected.insert(peer);
        let semantics = self.semantics;
        self.send(peer, Message::Understands { semantics });
    }

    /// The bulk connection to `peer` is gone, and with it what was under way there.
    pub fn link_down(&mut self, peer: NodeId) {
        self.connected.remove(&peer);
        for sent in self.in_flight.take_sent_to(peer) {
            self.fail(sent.waiting, Failure::Unknown);
        }
        self.waits
            .retain(|open| !matches!(open.asker, Asker::Remote(asker, _) if asker == peer));
        for open in &mut self.waits {
            open.asked.take_if(|(leader, _)| *leader == peer);
        }
        self.break_sending(self.now, peer);
        // What was just given up is to be told at once.
        self.wake_at = Some(self.now);
    }

    /// Every write up to `seq` is durable.
    pub fn persisted(&mut self, now: Micros, seq: WriteSeq) {
        self.persisted = seq;
        self.step(now, Input::Persisted(seq));
    }

    /// The log's answer to [`Action::Fetch`].
    pub fn fetched(&mut self, now: Micros, id: FetchId, result: Fetched) {
        self.step(now, Input::Fetched { id, result });
    }

    /// The state machine has applied everything up to `index`.
    pub fn applied(&mut self, now: Micros, index: Index) {
        self.applied = index;
        self.step(now, Input::Applied(index));
        self.release_reads();
    }

    /// The replies to a batch that a peer forwarded, one per command behind its length.
    pub fn answer(&mut self, peer: NodeId, id: ForwardId, index: Index, replies: Bytes) {
        self.send(peer, Message::Outcome { id, index, replies });
    }

    /// A batch that a peer forwarded was executed, but its replies are too large to be sent.
    pub fn answer_none(&mut self, peer: NodeId, id: ForwardId) {
        let failure = Failure::Unknown;
        self.send(peer, Message::Failed { id, failure });
    }

    /// Ends a turn: what has come together since the last one goes on its way, in one batch where
    /// one will do. `wall` is this node's clock; `due` is when the state next changes by time.
    pub fn turn(&mut self, now: Micros, wall: Millis, due: Option<Millis>) {
        if self.core.deadline().is_some_and(|deadline| deadline <= now) {
            self.step(now, Input::Tick);
        }
        self.committed.begin_turn(&self.config, self.busy);
        // What came in before is of the time at which it came.
        self.drain();
        self.now = now;
        self.give_up(now);
        self.send_reads(now);
        self.send_writes(now, wall);
        self.let_time_pass(now, wall, due);
        self.pump_sending(now);
        self.pump_receiving(now);
        self.retain(now);
        self.drain();
        self.answer_waits(now);
        self.wake_at = self.next_wake(now);
    }

    /// The next thing to do; `None` when there is nothing more for now.
    pub fn poll(&mut self) -> Option<Action<C::Message, T>> {
        if self.actions.is_empty() {
            self.drain();
        }
        self.actions.pop_front().or_else(|| {
            let slice = self.committed.take();
            (!slice.is_empty()).then_some(Action::Apply(slice))
        })
    }

    /// Gives back the last of what [`Action::Apply`] held: there is no time for it in this turn.
    pub fn apply_later(&mut self, rest: impl DoubleEndedIterator<Item = Committed<T>>) {
        self.committed.put_back(rest);
    }

    /// Whether the state machine takes nothing for now: what is committed waits, up to a bound, and
    /// the peers are answered meanwhile. To be said before every turn.
    pub fn busy(&mut self, busy: bool) {
        self.busy = busy && self.committed.bytes() <= self.config.max_waiting_bytes;
    }

    /// When to call [`turn`](Replica::turn) if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Micros> {
        let wait = if self.busy { BUSY_RETRY } else { Micros(0) };
        let behind = (!self.committed.is_empty()).then_some(self.now + wait);
        let timers = self.wake_at.into_iter().chain(self.core.deadline());
        timers.chain(behind).min()
    }

    /// Whether committed entries wait for the next turn to be applied.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.committed.is_empty() && !self.busy
    }

    /// Nobody waits any more for answers to the tokens that `gone` recognises.
    pub fn forget(&mut self, gone: impl Fn(T) -> bool) {
        self.waits
            .retain(|open| !matches!(open.asker, Asker::Local(token) if gone(token)));
    }

    /// Whether so much waits here that clients should be read no further.
    #[must_use]
    pub fn overloaded(&self) -> bool {
        self.queue.bytes() + self.in_flight.bytes() > self.config.max_waiting_bytes
    }

    /// The reign this node knows of and its leader.
    #[must_use]
    pub fn leadership(&self) -> (Epoch, Option<NodeId>) {
        (self.epoch, self.leader)
    }

    /// Whether this node leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leader == Some(self.config.node)
    }

    /// Whether the bulk connection to `peer` stands.
    #[must_use]
    pub fn linked(&self, peer: NodeId) -> bool {
        self.connected.contains(&peer)
    }

    /// How many commands have been forwarded so far.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.forwarded
    }

    /// The members, as far as this node knows.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The protocol's own account. Allocates.
    #[must_use]
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// What follows is looked at later, by [`drain`](Replica::drain): what is stepped together is
    /// written, sent and committed together.
    pub(crate) fn step(&mut self, now: Micros, input: Input<C::Message>) {
        self.now = now;
        self.core.step(now, input);
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.core.poll() {
            self.follow(self.now, output);
        }
    }

    fn follow(&mut self, now: Micros, output: Output<C::Message>) {
        match output {
            Output::Send { to, message } => self.send(to, Message::Consensus(message)),
            Output::Write { seq, ops } => {
                self.issued = seq;
                self.log_written(now, &ops);
                self.actions.push_back(Action::Write(seq, ops));
            }
            Output::Commit(entries) => entries.into_iter().for_each(|entry| self.commit(entry)),
            Output::Fetch {
                id,
                from,
                to,
                max_bytes,
            } => self.actions.push_back(Action::Fetch {
                id,
                from,
                to,
                max_bytes,
            }),
            Output::ReadReady { request, index } => {
                self.reads.confirm(request, index);
                self.release_reads();
            }
            Output::Done { request, done } => self.done(request, done),
            Output::Membership(membership) => self.membership = membership,
            Output::Leadership { epoch, leader } => self.leadership_changed(now, epoch, leader),
            Output::SendSnapshot { to } => self.send_snapshot(now, to),
            Output::InstallSnapshot { at, .. } => self.install_snapshot(now, at),
        }
    }

    fn leadership_changed(&mut self, now: Micros, epoch: Epoch, leader: Option<NodeId>) {
        let led = self.leads();
        if (epoch, leader) == (self.epoch, self.leader) {
            return;
        }
        let same_reign = epoch == self.epoch && !led;
        self.leader = leader;
        self.epoch = epoch;
        self.leadership_since = now;
        self.retention.said = None;
        tracing::info!(%epoch, leader = ?leader.map(|node| node.0), "leadership");
        if !same_reign {
            for (peer, id) in self.queue.expel_forwarded() {
                self.send(peer, Message::Refused { id });
            }
            self.waits
                .retain(|open| matches!(open.asker, Asker::Local(_)));
            self.waits.iter_mut().for_each(|open| open.asked = None);
        }
        if !self.leads() {
            self.abandon_sending();
            self.tell_of_incoming(now);
        }
    }

    fn commit(&mut self, entry: Entry) {
        let Position { index, epoch } = entry.position();
        let mut waiting = None;
        // Usually nothing or exactly this entry; more only after leadership came and went.
        while let Some(first) = self.proposed.first_entry() {
            if first.key().0 > index {
                break;
            }
            let ((at, under), who) = first.remove_entry();
            match (at == index, under == epoch) {
                (true, true) => waiting = Some(who),
                (true, false) => self.fail(who, Failure::NotExecuted),
                (false, _) => self.fail(who, Failure::Unknown),
            }
        }
        self.committed.push(Committed { entry, waiting });
    }

    fn done(&mut self, request: RequestId, done: Done) {
        if let Some((batch, waiting, since)) = self.proposing.remove(&request) {
            match done {
                Done::Accepted(position) => {
                    self.accepted = request;
                    self.newest_sent = self.newest_sent.max(position.epoch);
                    if !waiting.runs.is_empty() {
                        self.proposed
                            .insert((position.index, position.epoch), waiting);
                    }
                }
                Done::Refused(_) if batch.is_empty() => {}
                Done::Refused(_) => self.queue.push_front(&batch, waiting, since),
            }
        } else if matches!(done, Done::Refused(_)) {
            self.reads.refuse(request);
        }
    }

    /// Returns whether the protocol took it in.
    fn propose(&mut self, now: Micros, batch: Batch, waiting: Waiting<T>, since: Micros) -> bool {
        let request = self.take_request();
        let bytes = batch.bytes().clone();
        self.proposing.insert(request, (batch, waiting, since));
        self.step(
            now,
            Input::Propose {
                request,
                batch: bytes,
            },
        );
        self.drain();
        self.accepted == request
    }

    fn send_writes(&mut self, now: Micros, wall: Millis) {
        while self.queue.front().is_some() {
            if self.in_flight.awaits_before(self.epoch) && now < self.leadership_since + GRACE {
                return;
            }
            let gathered = self.queue.front_is_full();
            match self.leader {
                Some(leader) if leader == self.config.node => {
                    // What arrives during the running fsync is the next batch.
                    if self.issued > self.persisted && !gathered {
                        return;
                    }
                    let stamp = self.stamp(now, wall);
                    let Some(mut front) = self.queue.pop() else {
                        return;
                    };
                    let semantics = self.common_semantics();
                    let batch = front.builder.finish_under(semantics, stamp);
                    if !self.propose(now, batch, front.waiting, front.since) {
                        return;
                    }
                }
                Some(leader) if self.may_forward(gathered) => self.forward(leader, now),
                _ => return,
            }
        }
    }

    fn send_reads(&mut self, now: Micros) {
        if self.reads.any_unasked() && self.leader.is_some() {
            let request = self.take_request();
            self.reads.ask(request);
            let mode = ReadMode::Quorum;
            self.step(now, Input::Read { request, mode });
        }
    }

    pub(crate) fn release_reads(&mut self) {
        for batch in self.reads.take_ready(self.applied) {
            self.actions.push_back(Action::Query(batch));
        }
    }

    fn let_time_pass(&mut self, now: Micros, wall: Millis, due: Option<Millis>) {
        self.tick_at = None;
        let (true, Some(due)) = (self.leads(), due) else {
            return;
        };
        let in_ms = due.0.saturating_sub(self.stamp(now, wall).0);
        let at = (now + Micros::from_millis(in_ms)).max(self.last_tick + TICK_EVERY);
        if at <= now && self.issued > self.persisted {
            // The next turn comes when that is written.
        } else if at <= now {
            self.last_tick = now;
            let (semantics, stamp) = (self.common_semantics(), self.stamp(now, wall));
            let tick = BatchBuilder::default().finish_under(semantics, stamp);
            self.propose(now, tick, Waiting::default(), now);
        } else {
            self.tick_at = Some(at);
        }
    }

    fn stamp(&self, now: Micros, wall: Millis) -> Millis {
        self.clocks
            .stamp(now, self.config.node, wall, &self.membership)
    }

    /// Ends what has waited too long: held commands and reads while nobody can take them, and
    /// whatever an earlier reign left undecided.
    fn give_up(&mut self, now: Micros) {
        let hold = self.config.hold;
        while let Some(front) = self.queue.front() {
            if now.since(front.since) < hold || !self.is_stuck() {
                break;
            }
            if let Some(front) = self.queue.pop() {
                self.fail(front.waiting, Failure::NoLeader);
            }
        }
        if let (Some(before), None) = (now.0.checked_sub(hold.0), self.leader) {
            let overdue = self.reads.take_overdue(Micros(before));
            self.fail_tokens(overdue, Failure::NoLeader);
        }
        let stuck = self.reads.take_stuck(now);
        self.fail_tokens(stuck, Failure::NoLeader);
        if self.has_undecided_of_old_reign() && now >= self.leadership_since + hold {
            for sent in self.in_flight.take_orphans(self.epoch, self.leader) {
                self.fail(sent.waiting, Failure::Unknown);
            }
            let (leads, epoch) = (self.leads(), self.epoch);
            let old = |under: Epoch| !leads || under != epoch;
            let undecided: Vec<_> = self
                .proposed
                .extract_if(.., |(_, under), _| old(*under))
                .collect();
            for (_, waiting) in undecided {
                self.fail(waiting, Failure::Unknown);
            }
        }
    }

    /// When something here is next given up, or goes on without an answer.
    fn next_wake(&self, now: Micros) -> Option<Micros> {
        let hold = self.config.hold;
        let held = self.queue.front().filter(|_| self.is_stuck());
        let held = held.map(|front| front.since);
        let held = held.into_iter().chain(self.reads.oldest_unasked());
        let since = self
            .has_undecided_of_old_reign()
            .then_some(self.leadership_since);
        (held.map(|since| since + hold))
            .chain(since.map(|since| since + GRACE))
            .chain(since.map(|since| since + hold))
            .chain(self.waits.iter().filter_map(Open::due))
            .chain(self.tick_at)
            .chain(self.reads.stuck_at())
            .chain(self.outgoing.wake_at(&self.config.snapshots))
            .chain(self.receiving_wakes_at())
            .chain(self.retention_wakes_at())
            .filter(|at| *at > now)
            .min()
    }

    /// Whether there is nobody to send commands to.
    pub(crate) fn is_stuck(&self) -> bool {
        match self.leader {
            Some(leader) if leader == self.config.node => false,
            Some(leader) => !self.connected.contains(&leader) || self.epoch <= self.refused_epoch,
            None => true,
        }
    }

    fn has_undecided_of_old_reign(&self) -> bool {
        let leads = self.leads();
        self.in_flight.is_orphaned(self.epoch, self.leader)
            || (self.proposed.keys()).any(|(_, under)| !leads || *under != self.epoch)
    }

    pub(crate) fn fail(&mut self, waiting: Waiting<T>, failure: Failure) {
        for run in &waiting.runs {
            if let Run::Remote { peer, id, .. } = *run {
                self.send(peer, Message::Failed { id, failure });
            }
        }
        self.fail_tokens(local_tokens(waiting), failure);
    }

    pub(crate) fn fail_tokens(&mut self, tokens: Vec<T>, failure: Failure) {
        if !tokens.is_empty() {
            self.actions.push_back(Action::Fail(tokens, failure));
        }
    }

    pub(crate) fn send(&mut self, to: NodeId, message: Message<C::Message>) {
        self.actions.push_back(Action::Send(to, message));
    }

    fn take_request(&mut self) -> RequestId {
        let request = self.next_request;
        self.next_request = RequestId(request.0 + 1);
        request
    }
}
