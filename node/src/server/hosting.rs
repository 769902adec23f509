//! The groups of a node, and what they share: one log thread, and one frame per peer and channel
//! at the end of a turn.
//!
//! It owns no socket: frames go to any [`Transport`], replies to whoever is handed in. So the same
//! code runs under the event loop and in tests.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::{Channel, Consensus, FetchId, Index, LogOp, Micros, NodeId, WriteSeq};
use replication::{
    Failure, Frame, Group, GroupError, Held, Io, Message, Millis, SnapshotTask, StateMachine,
    to_log,
};
use storage::{GroupId, GroupWrite};
use transport::{Event, SendError, Transport};

use super::log_thread::{Fetch, LogEvent, LogFailure, LogRequest, LogRequests};
use super::snapshots::SnapshotsError;

/// Payloads that share a frame, in bytes. One message may be larger: up to a command of the largest
/// size, which must stay below what the transport carries.
const FRAME_BYTES: usize = 8 << 20;

/// Whom replies go to.
pub(super) trait Replies<T> {
    /// A command was executed, at `index` if it went through the log.
    fn reply(&mut self, token: T, index: Option<Index>, reply: &[u8]);
    /// There is no reply.
    fn fail(&mut self, token: T, failure: Failure);
    /// The answer to WAIT.
    fn held(&mut self, token: T, held: Held);
}

/// Why the groups cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HostingError<E: std::error::Error + 'static> {
    /// The log failed. Nothing is retried: after a failed fsync nobody knows what the disk holds.
    #[error("the log failed, and the node stops: {0}")]
    Log(#[from] LogFailure),
    /// The snapshots failed.
    #[error("the snapshots failed, and the node stops: {0}")]
    Snapshots(#[from] SnapshotsError),
    /// A group failed.
    #[error("group {group} failed, and the node stops: {source}")]
    Group {
        /// Which.
        group: GroupId,
        /// Why.
        source: GroupError<E>,
    },
}

/// The groups of a node.
pub(super) struct Hosting<C: Consensus, S, T> {
    groups: Vec<Group<C, S, T>>,
    log: LogRequests,
    outbox: Outbox<C::Message>,
    log_request: LogRequest,
    tasks: Vec<(GroupId, SnapshotTask)>,
    fsyncs: u64,
    slowest: LogTimes,
}

/// How long the log's disk took at most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogTimes {
    /// To write and sync what was gathered.
    pub(super) write: Duration,
    /// To read entries back.
    pub(super) read: Duration,
}

impl<C: Consensus, S: StateMachine, T: Copy> Hosting<C, S, T> {
    /// Hosts `groups`, numbered from 0 in this order.
    pub(super) fn new(groups: Vec<Group<C, S, T>>, log: LogRequests) -> Self {
        Hosting {
            groups,
            log,
            outbox: Outbox::default(),
            log_request: LogRequest::default(),
            tasks: Vec::new(),
            fsyncs: 0,
            slowest: LogTimes::default(),
        }
    }

    /// The group of that number.
    pub(super) fn group(&mut self, group: GroupId) -> Option<&mut Group<C, S, T>> {
        self.groups.get_mut(group.0 as usize)
    }

    /// All groups, with their numbers.
    pub(super) fn groups(&self) -> impl Iterator<Item = (GroupId, &Group<C, S, T>)> {
        (0..).map(GroupId).zip(&self.groups)
    }

    /// Fsyncs of the log so far.
    pub(super) fn fsyncs(&self) -> u64 {
        self.fsyncs
    }

    /// The longest that the log's disk took since this was last asked.
    pub(super) fn take_slowest(&mut self) -> LogTimes {
        std::mem::take(&mut self.slowest)
    }

    /// Takes what the log thread reported.
    pub(super) fn take_log_events(
        &mut self,
        now: Micros,
        events: &mut Vec<LogEvent>,
    ) -> Result<(), HostingError<S::Error>> {
        for event in events.drain(..) {
            match event {
                LogEvent::Durable { seqs, fsyncs, took } => {
                    self.fsyncs = fsyncs;
                    self.slowest.write = self.slowest.write.max(took);
                    for (group, seq) in seqs {
                        if let Some(group) = self.group(group) {
                            group.replica().persisted(now, seq);
                        }
                    }
                }
                LogEvent::Fetched {
                    group,
                    id,
                    fetched,
                    took,
                } => {
                    self.slowest.read = self.slowest.read.max(took);
                    if let Some(group) = self.group(group) {
                        group.replica().fetched(now, id, fetched);
                    }
                }
                LogEvent::Failed(failure) => return Err(failure.into()),
            }
        }
        Ok(())
    }

    /// Takes what happened between this node and its peers.
    pub(super) fn take_peer_events(&mut self, now: Micros, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            match event {
                Event::Connected { peer, channel } => {
                    if channel == transport::Channel::Bulk {
                        self.each(|group| group.replica().link_up(NodeId(peer.node.0)));
                    }
                }
                Event::Disconnected { peer, channel } => {
                    if channel == transport::Channel::Bulk {
                        self.each(|group| group.replica().link_down(NodeId(peer.0)));
                    }
                }
                Event::Frame { from, payload, .. } => {
                    self.take_frame(now, NodeId(from.0), &payload);
                }
            }
        }
    }

    /// Ends a turn: every group goes on as far as it can; what they have to say leaves in one frame
    /// per peer and channel, what they have to write in one request to the log.
    pub(super) fn turn(
        &mut self,
        now: Micros,
        wall: Millis,
        transport: &mut impl Transport,
        replies: &mut impl Replies<T>,
    ) -> Result<(), HostingError<S::Error>> {
        for (number, group) in (0..).map(GroupId).zip(&mut self.groups) {
            let mut io = GroupIo {
                group: number,
                outbox: &mut self.outbox,
                log: &mut self.log_request,
                tasks: &mut self.tasks,
                replies,
            };
            group
                .turn(now, wall, &mut io)
                .map_err(|source| HostingError::Group {
                    group: number,
                    source,
                })?;
        }
        if !self.log_request.is_empty() {
            self.log.send(std::mem::take(&mut self.log_request));
        }
        let lost = self.outbox.flush(wall, transport);
        for (peer, error) in lost {
            self.each(|group| group.replica().link_down(peer));
            if matches!(error, SendError::TooLarge { .. }) {
                // The connection stands all the same.
                self.each(|group| group.replica().link_up(peer));
            }
        }
        Ok(())
    }

    /// What the groups want done about snapshots since this was last asked.
    pub(super) fn take_tasks(&mut self) -> Vec<(GroupId, SnapshotTask)> {
        std::mem::take(&mut self.tasks)
    }

    /// Puts the state machine that a snapshot was installed in into its group. Returns the old one.
    pub(super) fn install(
        &mut self,
        now: Micros,
        number: GroupId,
        machine: S,
        replies: &mut impl Replies<T>,
    ) -> Option<S> {
        let group = self.groups.get_mut(number.0 as usize)?;
        let mut io = GroupIo {
            group: number,
            outbox: &mut self.outbox,
            log: &mut self.log_request,
            tasks: &mut self.tasks,
            replies,
        };
        Some(group.install(now, machine, &mut io))
    }

    /// When the next turn is due if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Micros> {
        let deadlines = self.groups.iter().map(Group::deadline);
        deadlines.flatten().min()
    }

    /// Whether a group has more to do at once, in slices between which others come first.
    pub(super) fn has_work(&self) -> bool {
        self.groups.iter().any(Group::has_work)
    }

    /// Whether clients should be read no further for now.
    pub(super) fn overloaded(&self) -> bool {
        self.groups.iter().any(|group| group.view().overloaded())
    }

    /// Frames handed to the transport so far.
    #[cfg(test)]
    pub(super) fn frames(&self) -> u64 {
        self.outbox.frames
    }

    /// Nobody waits any more for what `gone` recognises.
    pub(super) fn forget(&mut self, gone: impl Fn(T) -> bool + Copy) {
        self.each(|group| group.forget(gone));
    }

    fn take_frame(&mut self, now: Micros, from: NodeId, payload: &[u8]) {
        let frame = match Frame::<C::Message>::decode(payload) {
            Ok(frame) => frame,
            Err(error) => {
                metrics::counter!("lockstep_peer_frames_unreadable_total").increment(1);
                tracing::warn!(%from, %error, "a peer's frame was dropped");
                return;
            }
        };
        for (group, message) in frame.messages {
            if let Some(group) = self.group(GroupId(group)) {
                group.replica().saw_clock(now, from, Millis(frame.clock));
                group.replica().receive(now, from, message);
            }
        }
    }

    fn each(&mut self, act: impl FnMut(&mut Group<C, S, T>)) {
        self.groups.iter_mut().for_each(act);
    }
}

/// What the groups have to say in this turn: one frame per peer and channel, or several where one
/// would be larger than a transport carries.
struct Outbox<M> {
    frames_of: BTreeMap<(NodeId, Channel), Vec<Gathered<M>>>,
    frames: u64,
}

/// A frame that may take more messages.
struct Gathered<M> {
    bytes: usize,
    frame: Frame<M>,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Outbox {
            frames_of: BTreeMap::new(),
            frames: 0,
        }
    }
}

impl<M: consensus::Message> Outbox<M> {
    fn push(&mut self, to: NodeId, group: GroupId, message: Message<M>) {
        let bytes = message.payload_bytes();
        let frames = self.frames_of.entry((to, message.channel())).or_default();
        match frames.last_mut() {
            Some(last) if last.bytes + bytes <= FRAME_BYTES => {
                last.bytes += bytes;
                last.frame.messages.push((group.0, message));
            }
            _ => {
                let mut frame = Frame::new(Millis(0));
                frame.messages.push((group.0, message));
                frames.push(Gathered { bytes, frame });
            }
        }
    }

    /// Sends everything. Returns the peers whose bulk connection could not take its frame: what
    /// was forwarded in it counts as lost on the way.
    fn flush(&mut self, wall: Millis, transport: &mut impl Transport) -> Vec<(NodeId, SendError)> {
        let mut lost = Vec::new();
        let frames_of = std::mem::take(&mut self.frames_of).into_iter();
        let frames =
            frames_of.flat_map(|(whom, frames)| frames.into_iter().map(move |frame| (whom, frame)));
        for ((to, channel), Gathered { mut frame, .. }) in frames {
            frame.clock = wall.0;
            let (wire, urgent) = match channel {
                Channel::Control => (transport::Channel::Control, true),
                Channel::Bulk => (transport::Channel::Bulk, false),
            };
            let sent = transport.send(transport::NodeId(to.0), wire, frame.encode());
            self.frames += 1;
            if let Err(error) = sent {
                tracing::debug!(%error, "a frame was not sent");
                if !urgent {
                    lost.push((to, error));
                }
            }
        }
        lost
    }
}

/// What one group asks for during a turn.
struct GroupIo<'a, M, R> {
    group: GroupId,
    outbox: &'a mut Outbox<M>,
    log: &'a mut LogRequest,
    tasks: &'a mut Vec<(GroupId, SnapshotTask)>,
    replies: &'a mut R,
}

impl<M: consensus::Message, T, R: Replies<T>> Io<M, T> for GroupIo<'_, M, R> {
    fn send(&mut self, to: NodeId, message: Message<M>) {
        self.outbox.push(to, self.group, message);
    }

    fn write(&mut self, seq: WriteSeq, ops: Vec<LogOp>) {
        self.log.writes.push(GroupWrite {
            group: self.group,
            ops: ops.into_iter().map(to_log).collect(),
        });
        self.log.seqs.push((self.group, seq));
    }

    fn fetch(&mut self, id: FetchId, from: Index, to: Index, max_bytes: usize) {
        self.log.fetches.push(Fetch {
            group: self.group,
            id,
            from: from.0,
            to: to.0,
            max_bytes,
        });
    }

    fn reply(&mut self, token: T, index: Option<Index>, reply: &[u8]) {
        self.replies.reply(token, index, reply);
    }

    fn fail(&mut self, token: T, failure: Failure) {
        self.replies.fail(token, failure);
    }

    fn held(&mut self, token: T, held: Held) {
        self.replies.held(token, held);
    }

    fn snapshot(&mut self, task: SnapshotTask) -> Result<(), SnapshotTask> {
        self.tasks.push((self.group, task));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
