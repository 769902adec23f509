//! A protocol that keeps every promise but one.
//!
//! [`Broken`] stands between a correct protocol and its host, and lets a [`Fault`] meddle with
//! what passes: what the host says, what the protocol answers, what a restart finds. Nothing here
//! knows the protocol within, so every fault is one that any implementation could have.

pub(crate) mod answers;
pub(crate) mod commits;
pub(crate) mod disks;
pub(crate) mod durability;
pub(crate) mod messages;
pub(crate) mod reads;

use std::collections::VecDeque;

use consensus::{Consensus, Input, Micros, Output, Recovered, Status};

/// What passes on: to the host, and back into the protocol.
pub(crate) struct Pass<M> {
    pub(crate) outputs: Vec<Output<M>>,
    pub(crate) inputs: Vec<Input<M>>,
}

impl<M> Pass<M> {
    pub(crate) fn on(output: Output<M>) -> Self {
        Pass {
            outputs: vec![output],
            inputs: vec![],
        }
    }

    pub(crate) fn nothing() -> Self {
        Pass {
            outputs: vec![],
            inputs: vec![],
        }
    }

    pub(crate) fn and_back(mut self, input: Input<M>) -> Self {
        self.inputs.push(input);
        self
    }

    pub(crate) fn and(mut self, output: Output<M>) -> Self {
        self.outputs.push(output);
        self
    }
}

/// One way of breaking a promise.
pub(crate) trait Fault<M> {
    /// What a restart finds.
    fn recovered(&mut self, recovered: Recovered) -> Recovered {
        recovered
    }

    /// What the host says; answers to the host may be made up on the way.
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        Pass::nothing().and_back(input)
    }

    /// What the protocol answers.
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        Pass::on(output)
    }

    /// When the protocol wants to be woken.
    fn deadline(&self, deadline: Option<Micros>) -> Option<Micros> {
        deadline
    }
}

/// No fault at all: what is between protocol and host must not be what the kit rejects.
#[derive(Default)]
pub(crate) struct Sound;

impl<M> Fault<M> for Sound {}

/// A protocol's configuration, and the fault it is to have. The fault is chosen at run time, so
/// that the kit is compiled for one protocol and not for forty.
pub(crate) struct Config<C: Consensus> {
    pub(crate) core: C::Config,
    pub(crate) fault: fn() -> Box<dyn Fault<C::Message>>,
}

impl<C: Consensus> Clone for Config<C> {
    fn clone(&self) -> Self {
        Config {
            core: self.core.clone(),
            fault: self.fault,
        }
    }
}

/// `C`, with a fault.
pub(crate) struct Broken<C: Consensus> {
    core: C,
    fault: Box<dyn Fault<C::Message>>,
    out: VecDeque<Output<C::Message>>,
}

impl<C: Consensus> Broken<C> {
    fn drain(&mut self, now: Micros) {
        while let Some(output) = self.core.poll() {
            let pass = self.fault.output(now, output);
            self.out.extend(pass.outputs);
            for input in pass.inputs {
                self.core.step(now, input);
            }
        }
    }
}

impl<C: Consensus> Consensus for Broken<C> {
    type Config = Config<C>;
    type Message = C::Message;

    fn new(config: Config<C>, seed: u64, recovered: Recovered) -> Self {
        let mut fault = (config.fault)();
        let recovered = fault.recovered(recovered);
        Broken {
            core: C::new(config.core, seed, recovered),
            fault,
            out: VecDeque::new(),
        }
    }

    fn step(&mut self, now: Micros, input: Input<C::Message>) {
        let pass = self.fault.input(now, input);
        self.out.extend(pass.outputs);
        for input in pass.inputs {
            self.core.step(now, input);
            self.drain(now);
        }
    }

    fn poll(&mut self) -> Option<Output<C::Message>> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<Micros> {
        self.fault.deadline(self.core.deadline())
    }

    fn status(&self) -> Status {
        self.core.status()
    }
}
