//! `lockstep local`: a whole cluster on loopback, for trying and developing.
//!
//! Each node is a child process of this binary, `lockstep start` with the settings that make it
//! one of the cluster, so what runs here is what runs anywhere. This process only supervises: it
//! says who leads, passes on what is important in the children's logs, reports a child that ended,
//! and ends them all.
//!
//! ```text
//! DIR/cluster.toml   how many nodes, which engine, which cluster: what a restart must keep
//! DIR/lock           held by the supervisor
//! DIR/n1/            the first node's directory
//! DIR/n1.log         what it wrote to standard error; the run before large ones is n1.log.old
//! ```
//!
//! Invariants: no child outlives this process, however it ends: a child holds the reading end of a
//! pipe and leaves when the other end closes, which the kernel sees to even after `kill -9`.
//! Children are ended by their process ids. A password travels in a child's environment, not on
//! its command line. Nothing is restarted: a node that ends is news, not something to hide.

mod child;
mod plan;
mod tail;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::directory::file::Lock;
use crate::status::command::{self, Answer};
use crate::{Failure, cli, runtime, say};
use child::Child;
use plan::Plan;
use tail::Weight;

/// How often children and their logs are looked at.
const TURN: Duration = Duration::from_millis(100);
/// How often the cluster is asked who leads, once somebody does.
const LOOK: Duration = Duration::from_secs(1);
/// How long the first leader may take before that is said.
const SLOW: Duration = Duration::from_secs(10);
/// How long children may take to leave before they are killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the cluster until a signal ends it, or every node has ended.
pub(crate) fn run(args: &cli::Local) -> Result<(), Failure> {
    let plan = Plan::new(args, std::env::vars_os()).map_err(Failure::usage)?;
    let _lock = plan.prepare().map_err(Failure::usage)?;
    runtime().map_err(Failure::work)?.block_on(supervise(&plan))
}

async fn supervise(plan: &Plan) -> Result<(), Failure> {
    // Before the first child, so that no signal can end this process and miss one.
    let mut signals = Signals::new().map_err(Failure::work)?;
    let mut cluster = Cluster::start(plan).map_err(Failure::work)?;
    say(plan.describe(&cluster.children));
    let done = tokio::select! {
        name = signals.any() => {
            say(format_args!("{name}: ending all nodes; the data stays in {}", plan.dir.display()));
            Ok(())
        }
        done = cluster.watch(plan) => done,
    };
    cluster.end(&mut signals).await;
    done
}

/// The signals that end the cluster.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// The children that run.
struct Cluster {
    children: Vec<Child>,
    /// Who led when that was last said, and in which epoch.
    said: Option<(u64, u64)>,
}

impl Cluster {
    /// Starts every node. If one cannot be started, those before it end with their pipes.
    fn start(plan: &Plan) -> io::Result<Cluster> {
        let children = plan.nodes.iter().map(Child::start);
        Ok(Cluster {
            children: children.collect::<io::Result<_>>()?,
            said: None,
        })
    }

    /// Reports what happens, until every child has ended.
    async fn watch(&mut self, plan: &Plan) -> Result<(), Failure> {
        let mut slow = Instant::now() + SLOW;
        let mut next_look = Instant::now();
        loop {
            tokio::time::sleep(TURN).await;
            self.report_children();
            if self.children.is_empty() {
                return Err(Failure::work("every node has ended"));
            }
            if Instant::now() < next_look {
                continue;
            }
            let admin: Vec<SocketAddr> = self.children.iter().map(|child| child.admin).collect();
            let answers = command::ask(&admin).await;
            self.report_leader(plan, &answers);
            if self.said.is_some() {
                next_look = Instant::now() + LOOK;
            } else if Instant::now() > slow {
                let trouble = command::trouble(&answers).unwrap_or_default();
                say(format_args!(
                    "still waiting for a leader: {trouble}; see the logs in {}",
                    plan.dir.display()
                ));
                slow = Instant::now() + SLOW;
            }
        }
    }

    /// Passes on important lines, and says who has ended, how, and with which last words.
    fn report_children(&mut self) {
        // While nodes start they warn that others have not started yet.
        let least = match self.said {
            None => Weight::Error,
            Some(_) => Weight::Warning,
        };
        let others = if self.children.len() > 1 {
            "; the others go on"
        } else {
            ""
        };
        self.children.retain_mut(|child| {
            // Asked before its log is read, so that nothing it wrote is missed.
            let ended = child.ended();
            for line in child.log.important(least) {
                say(line);
            }
            let Some(how) = ended else { return true };
            say(format_args!(
                "{} has ended: {how}{others}. The end of {}:",
                child.name, child.log
            ));
            for line in child.log.last_lines() {
                say(format_args!("  | {line}"));
            }
            false
        });
    }

    fn report_leader(&mut self, plan: &Plan, answers: &[Answer]) {
        if command::trouble(answers).is_some() {
            return;
        }
        let leader = command::leader(answers);
        if leader == self.said {
            return;
        }
        if let Some((leader, epoch)) = leader {
            say(format_args!("n{leader} leads (epoch {epoch})"));
            if self.said.is_none() {
                say(plan.invitation());
            }
        }
        self.said = leader;
    }

    /// Ends every child: SIGTERM, and SIGKILL for those that have not left after five seconds or
    /// when a second signal comes. Waits for all of them.
    async fn end(&mut self, signals: &mut Signals) {
        for child in &mut self.children {
            child.terminate();
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.children.is_empty() && Instant::now() < deadline {
            self.children.retain_mut(|child| child.ended().is_none());
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
                _ = signals.any() => break,
            }
        }
        for mut child in self.children.drain(..) {
            say(format_args!("{} does not leave: killing it", child.name));
            child.kill().await;
        }
    }
}
