//! WAIT: answers once enough replicas hold an index durably.
//!
//! Only the leader knows, so a follower passes the question on and the answer back. It asks for a
//! while, and then again: nobody tells the leader that a client is gone, and a question that was to
//! be answered in the end, or never, would stay there for good.

use consensus::{Consensus, Index, Micros, NodeId, Status};

use crate::action::Action;
use crate::message::{ForwardId, Message};
use crate::replica::Replica;

/// How long a leader keeps a follower's question at most.
const ASKED_FOR: Micros = Micros::from_millis(10_000);
/// How much longer than the leader a follower waits for an answer to WAIT.
const WAIT_SLACK: Micros = Micros::from_millis(50);

/// A question: how many replicas hold `index`?
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The index.
    pub index: Index,
    /// Answer as soon as so many do.
    pub replicas: u32,
    /// Answer with what there is after this long; `None` waits for ever.
    pub timeout: Option<Micros>,
}

/// The answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many replicas besides the leader hold it durably.
    pub replicas: u32,
    /// Whether the leader's own disk holds it.
    pub leader: bool,
}

impl Held {
    /// Who holds `index`, as a leader sees it.
    pub(crate) fn count(status: &Status, index: Index) -> Held {
        let peers = status.peers.iter().filter(|peer| peer.matched >= index);
        Held {
            replicas: u32::try_from(peers.count()).unwrap_or(u32::MAX),
            leader: status.persisted >= index,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker<T> {
    Local(T),
    Remote(NodeId, ForwardId),
}

/// A question without an answer yet.
#[derive(Debug)]
pub(crate) struct Open<T> {
    pub(crate) asker: Asker<T>,
    pub(crate) wait: Wait,
    /// When whoever asks wants to hear how it stands.
    deadline: Option<Micros>,
    /// Passed on to this leader under this name.
    pub(crate) asked: Option<(NodeId, ForwardId)>,
}

impl<T> Open<T> {
    /// When it is answered as it stands. The leader's answer at its deadline is better than none at
    /// ours.
    pub(crate) fn due(&self) -> Option<Micros> {
        let slack = self.asked.map_or(Micros(0), |_| WAIT_SLACK);
        self.deadline.map(|deadline| deadline + slack)
    }
}

impl<C: Consensus, T: Copy> Replica<C, T> {
    pub(crate) fn open_wait(&mut self, now: Micros, asker: Asker<T>, wait: Wait) {
        let timeout = match asker {
            Asker::Local(_) => wait.timeout,
            Asker::Remote(..) => Some(wait.timeout.unwrap_or(ASKED_FOR).min(ASKED_FOR)),
        };
        self.waits.push(Open {
            asker,
            wait,
            deadline: timeout.map(|timeout| now + timeout),
            asked: None,
        });
    }

    pub(crate) fn answer_waits(&mut self, now: Micros) {
        if self.waits.is_empty() {
            return;
        }
        let status = self.leads().then(|| self.core.status());
        for mut open in std::mem::take(&mut self.waits) {
            let held = match &status {
                Some(status) => Held::count(status, open.wait.index),
                None => Held::default(),
            };
            let enough = status.is_some() && held.replicas >= open.wait.replicas && held.leader;
            if enough || open.due().is_some_and(|due| due <= now) {
                self.answer_wait(open.asker, held);
                continue;
            }
            self.pass_on(now, &mut open);
            self.waits.push(open);
        }
    }

    /// A follower asks the leader, once at a time.
    fn pass_on(&mut self, now: Micros, open: &mut Open<T>) {
        let leader = self.leader.filter(|leader| self.connected.contains(leader));
        if let (Some(leader), None, Asker::Local(_)) = (leader, open.asked, open.asker) {
            let id = self.next_forward.take();
            open.asked = Some((leader, id));
            let wait = open.wait;
            let left = open.deadline.map(|deadline| deadline.since(now));
            let timeout = left.unwrap_or(ASKED_FOR).min(ASKED_FOR);
            self.send(
                leader,
                Message::Wait {
                    id,
                    index: wait.index,
                    replicas: wait.replicas,
                    timeout_ms: timeout.0.div_ceil(1_000).max(1),
                },
            );
        }
    }

    /// The leader's answer: the last one, if enough hold the index or time is up.
    pub(crate) fn waited(&mut self, now: Micros, from: NodeId, id: ForwardId, held: Held) {
        let asked = |open: &Open<T>| open.asked == Some((from, id));
        let Some(at) = self.waits.iter().position(asked) else {
            return;
        };
        let mut open = self.waits.swap_remove(at);
        let enough = held.replicas >= open.wait.replicas && held.leader;
        if enough || open.deadline.is_some_and(|deadline| deadline <= now) {
            return self.answer_wait(open.asker, held);
        }
        open.asked = None;
        self.waits.push(open);
    }

    pub(crate) fn answer_wait(&mut self, asker: Asker<T>, held: Held) {
        match asker {
            Asker::Local(token) => self.actions.push_back(Action::Held(token, held)),
            Asker::Remote(peer, id) => self.send(
                peer,
                Message::Waited {
                    id,
                    replicas: held.replicas,
                    leader: held.leader,
                },
            ),
        }
    }
}
