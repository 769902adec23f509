//! Faults in what nodes say to each other.

use std::collections::VecDeque;

use consensus::{Channel, Consensus, Input, Message, Micros, NodeId, Output, Recovered, Status};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Fault, Pass};

/// Says everything thirty times.
#[derive(Default)]
pub(crate) struct Chatters;

impl<M: Clone> Fault<M> for Chatters {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        let outputs = match output {
            Output::Send { to, message } => {
                let message = || message.clone();
                let send = |_| Output::Send {
                    to,
                    message: message(),
                };
                (0..30).map(send).collect()
            }
            other => vec![other],
        };
        Pass {
            outputs,
            inputs: vec![],
        }
    }
}

/// Panics when somebody speaks who is no member.
#[derive(Default)]
pub(crate) struct PanicsAtStrangers;

impl<M> Fault<M> for PanicsAtStrangers {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        if let Input::Message { from, .. } = &input {
            assert!(from.0 <= 5, "{from} is no member");
        }
        Pass::nothing().and_back(input)
    }
}

/// `C`, whose messages are `W`s around its own.
pub(crate) struct Wrapped<C: Consensus, W> {
    core: C,
    out: VecDeque<Output<W>>,
}

/// A message around another one.
pub(crate) trait Wrapper<M>: Message {
    fn wrap(message: M) -> Self;
    fn unwrap(self) -> M;
}

/// Puts everything on one channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OneChannel<M>(M);

impl<M: Message> Message for OneChannel<M> {
    fn channel(&self) -> Channel {
        Channel::Control
    }
}

impl<M: Message> Wrapper<M> for OneChannel<M> {
    fn wrap(message: M) -> Self {
        OneChannel(message)
    }

    fn unwrap(self) -> M {
        self.0
    }
}

/// Has a field that does not travel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "M: DeserializeOwned"))]
pub(crate) struct LosesAField<M> {
    message: M,
    #[serde(skip)]
    #[expect(
        dead_code,
        reason = "only looked at by comparing what is sent with what arrives"
    )]
    note: u8,
}

impl<M: Message> Message for LosesAField<M> {
    fn channel(&self) -> Channel {
        self.message.channel()
    }
}

impl<M: Message> Wrapper<M> for LosesAField<M> {
    fn wrap(message: M) -> Self {
        LosesAField { message, note: 7 }
    }

    fn unwrap(self) -> M {
        self.message
    }
}

impl<C: Consensus, W: Wrapper<C::Message>> Consensus for Wrapped<C, W> {
    type Config = C::Config;
    type Message = W;

    fn new(config: C::Config, seed: u64, recovered: Recovered) -> Self {
        Wrapped {
            core: C::new(config, seed, recovered),
            out: VecDeque::new(),
        }
    }

    fn step(&mut self, now: Micros, input: Input<W>) {
        self.core.step(now, unwrapped(input));
    }

    fn poll(&mut self) -> Option<Output<W>> {
        if let Some(output) = self.core.poll() {
            self.out.push_back(wrapped(output));
        }
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<Micros> {
        self.core.deadline()
    }

    fn status(&self) -> Status {
        self.core.status()
    }
}

fn unwrapped<M, W: Wrapper<M>>(input: Input<W>) -> Input<M> {
    match input {
        Input::Message { from, message } => Input::Message {
            from,
            message: message.unwrap(),
        },
        Input::Tick => Input::Tick,
        Input::Propose { request, batch } => Input::Propose { request, batch },
        Input::Read { request, mode } => Input::Read { request, mode },
        Input::Reconfigure { request, change } => Input::Reconfigure { request, change },
        Input::Transfer { to } => Input::Transfer { to },
        Input::Persisted(seq) => Input::Persisted(seq),
        Input::Applied(index) => Input::Applied(index),
        Input::Fetched { id, result } => Input::Fetched { id, result },
        Input::SnapshotOffered {
            from,
            at,
            membership,
        } => Input::SnapshotOffered {
            from,
            at,
            membership,
        },
        Input::SnapshotInstalled { at, membership } => Input::SnapshotInstalled { at, membership },
        Input::SnapshotAbandoned { at } => Input::SnapshotAbandoned { at },
        Input::SnapshotSent { to, index, outcome } => Input::SnapshotSent { to, index, outcome },
        Input::Compact { upto } => Input::Compact { upto },
    }
}

fn wrapped<M, W: Wrapper<M>>(output: Output<M>) -> Output<W> {
    let send = |to: NodeId, message: M| Output::Send {
        to,
        message: W::wrap(message),
    };
    match output {
        Output::Send { to, message } => send(to, message),
        Output::Write { seq, ops } => Output::Write { seq, ops },
        Output::Commit(entries) => Output::Commit(entries),
        Output::Fetch {
            id,
            from,
            to,
            max_bytes,
        } => Output::Fetch {
            id,
            from,
            to,
            max_bytes,
        },
        Output::ReadReady { request, index } => Output::ReadReady { request, index },
        Output::Done { request, done } => Output::Done { request, done },
        Output::SendSnapshot { to } => Output::SendSnapshot { to },
        Output::InstallSnapshot { from, at } => Output::InstallSnapshot { from, at },
        Output::Membership(membership) => Output::Membership(membership),
        Output::Leadership { epoch, leader } => Output::Leadership { epoch, leader },
    }
}
