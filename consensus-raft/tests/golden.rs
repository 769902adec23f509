//! Golden scripts: `tests/scripts/<topic>_<condition>.txt`, each a story told by events.
//!
//! A command makes one thing happen; the lines below `---` are what the nodes answer: what they
//! send when they send it, what they write, what they commit. Nothing happens by itself: a message
//! waits until it is delivered, a write until it is persisted. After every event the harness
//! checks what figure 3 promises and that nothing is said before it is durable.
//!
//! `UPDATE_GOLDENFILES=1 cargo test --test golden` writes the files anew; then read them.

mod harness;

use std::error::Error;
use std::path::Path;

use consensus::{
    Consensus, Epoch, Index, Input, Member, Membership, Micros, NodeId, Position, SnapshotOutcome,
};
use consensus_raft::{Config, Message};
use harness::{World, n};

#[derive(goldenscript::Command)]
enum Command {
    /// Makes a cluster: `cluster 3`, with `learners=1` more, `limits=tight` (see [`tight`]) or
    /// `limits=replay` (at most two entries to apply), or `limits=patient` (a disk may take longer
    /// than an election).
    Cluster {
        voters: u64,
        #[arg(key, optional)]
        learners: u64,
        #[arg(key, optional)]
        limits: String,
    },
    /// Moves the clock to a node's deadline, and ticks it.
    Expire(u64),
    /// Moves the clock, in milliseconds, and ticks whoever is due.
    Advance(u64),
    /// Moves the clock, in milliseconds, and ticks nobody.
    Wait(u64),
    /// Delivers the messages under way that fit, oldest first: `deliver from=1 to=2 kind=Append`.
    Deliver {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// Delivers such messages, and keeps them for another delivery.
    Repeat {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key)]
        kind: Option<String>,
    },
    /// Loses such messages.
    Lose {
        #[arg(key)]
        from: Option<u64>,
        #[arg(key)]
        to: Option<u64>,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// Makes writes durable: `persist 1 count=2`; all without a count.
    Persist {
        node: u64,
        #[arg(key)]
        count: Option<usize>,
    },
    /// Lets a disk hang, or work again.
    Hang(u64),
    Unhang(u64),
    /// Proposes batches.
    Propose {
        node: u64,
        batches: Vec<String>,
    },
    /// Proposes batches, all of them before what follows is drained.
    Burst {
        node: u64,
        batches: Vec<String>,
    },
    /// Asks for a read.
    Read(u64),
    /// Crashes a node; the first `keep` queued operations survive.
    Crash {
        node: u64,
        #[arg(key, optional)]
        keep: usize,
    },
    /// Starts it again.
    Restart {
        node: u64,
        #[arg(key, optional)]
        damaged: bool,
    },
    /// Puts other bytes where the hard state was.
    Garble(u64),
    /// Says that a stopped node's state machine holds everything committed.
    Flush(u64),
    /// Reports what was committed as applied.
    Applied(u64),
    /// Lets the log be purged.
    Compact {
        node: u64,
        upto: u64,
    },
    /// Answers a fetch.
    Fetched(u64),
    /// Has an entry become unreadable on a node's disk.
    Spoil {
        node: u64,
        index: u64,
    },
    /// Has a stopped node lose its state machine.
    Forget(u64),
    /// Offers a node another's state machine as a snapshot: `offer 3 from=1`, at its last applied
    /// entry or at `index=9 term=5`.
    Offer {
        node: u64,
        #[arg(key)]
        from: u64,
        #[arg(key)]
        index: Option<u64>,
        #[arg(key)]
        term: Option<u64>,
    },
    /// Installs what a node wants to install, or cannot.
    Install(u64),
    Abandon(u64),
    /// Tells a leader how sending a snapshot went: `sent 1 to=3 index=4`, zero if it failed.
    Sent {
        node: u64,
        #[arg(key)]
        to: u64,
        #[arg(key)]
        index: u64,
    },
    /// Lets everything happen that can happen now.
    Settle,
    /// Lets a node win an election.
    Elect(u64),
    /// Where the nodes stand.
    Status,
}

struct Runner(Option<World>);

impl Runner {
    fn world(&mut self) -> &mut World {
        self.0.as_mut().expect("a script starts with cluster")
    }

    /// Where the next message that fits stands, from `start` on.
    fn find(
        &mut self,
        (from, to, kind): (Option<u64>, Option<u64>, &Option<String>),
        start: usize,
    ) -> Option<usize> {
        let fits = |packet: &harness::Packet| {
            from.is_none_or(|id| packet.from == n(id))
                && to.is_none_or(|id| packet.to == n(id))
                && kind
                    .as_ref()
                    .is_none_or(|kind| name(&packet.message) == *kind)
        };
        let net = &self.world().net;
        (start..net.len()).find(|i| fits(&net[*i]))
    }

    fn cluster(&mut self, voters: u64, learners: u64, limits: &str) {
        let mut members = Membership::of_voters((1..=voters).map(NodeId));
        for id in voters + 1..=voters + learners {
            members.members.insert(n(id), Member::default());
        }
        let configure = match limits {
            "tight" => tight,
            "patient" => Config::new,
            "replay" => |node| Config {
                max_apply_lag: 2,
                ..usual(node)
            },
            _ => usual,
        };
        let mut world = World::of(members, 0, configure);
        world.trace_sends = true;
        world.keep_trace = usize::MAX / 4;
        self.0 = Some(world);
    }
}

/// The defaults, but for a disk that hangs after an election timeout: no script waits for seconds.
fn usual(node: NodeId) -> Config {
    let defaults = Config::new(node);
    Config {
        disk_patience: defaults.election_timeout,
        ..defaults
    }
}

/// Appends of one small entry, three at a time, and a cache for one.
fn tight(node: NodeId) -> Config {
    Config {
        max_append_bytes: 1,
        max_in_flight_messages: 3,
        cache_bytes: 1,
        max_uncommitted_bytes: 8,
        ..usual(node)
    }
}

fn name(message: &Message) -> String {
    let debug = format!("{message:?}");
    debug.split(' ').next().unwrap_or_default().to_owned()
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        _: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        if let Command::Cluster {
            voters,
            learners,
            limits,
        } = command
        {
            self.cluster(*voters, *learners, limits);
            return Ok(String::new());
        }
        let start = self.world().trace.len();
        self.happen(command);
        let trace = &self.world().trace[start..];
        Ok(trace.iter().map(|line| format!("{line}\n")).collect())
    }
}

impl Runner {
    fn happen(&mut self, command: &Command) {
        match command {
            Command::Deliver {
                from,
                to,
                kind,
                count,
            } => {
                // What is sent meanwhile is not meant.
                let mut left = self.world().net.len();
                for _ in 0..count.unwrap_or(usize::MAX) {
                    let found = self.find((*from, *to, kind), 0);
                    let Some(i) = found.filter(|i| *i < left) else {
                        break;
                    };
                    left -= 1;
                    self.world().deliver(i);
                }
            }
            Command::Repeat { from, to, kind } => {
                let end = self.world().net.len();
                let mut at = 0;
                while let Some(i) = self.find((*from, *to, kind), at).filter(|i| *i < end) {
                    let packet = self.world().net[i].clone();
                    self.world().hand(packet.from, packet.to, packet.message);
                    at = i + 1;
                }
            }
            Command::Lose {
                from,
                to,
                kind,
                count,
            } => {
                for _ in 0..count.unwrap_or(usize::MAX) {
                    let Some(i) = self.find((*from, *to, kind), 0) else {
                        break;
                    };
                    self.world().net.remove(i);
                }
            }
            Command::Status => self.status(),
            other => act(self.world(), other),
        }
    }

    fn status(&mut self) {
        for id in self.world().ids() {
            let world = self.world();
            let line = if world.is_up(id) {
                let s = world.core(id).status();
                format!(
                    "{id} {} term={} last={} persisted={} committed={} applied={} purged={}",
                    s.role.name(),
                    s.epoch,
                    s.last,
                    s.persisted,
                    s.committed,
                    s.applied,
                    s.purged
                )
            } else {
                format!("{id} is down")
            };
            world.say(line);
        }
    }
}

fn act(world: &mut World, command: &Command) {
    match command {
        Command::Expire(id) => world.expire(n(*id)),
        Command::Advance(ms) => world.advance(Micros::from_millis(*ms)),
        Command::Wait(ms) => world.now = world.now + Micros::from_millis(*ms),
        Command::Persist { node, count } => world.persist(n(*node), count.unwrap_or(usize::MAX)),
        Command::Hang(id) => world.node(n(*id)).disk.hung = true,
        Command::Unhang(id) => world.node(n(*id)).disk.hung = false,
        Command::Propose { node, batches } => {
            for batch in batches {
                world.propose(n(*node), batch.clone());
            }
        }
        Command::Burst { node, batches } => world.burst(n(*node), batches),
        Command::Read(id) => drop(world.read(n(*id))),
        Command::Crash { node, keep } => world.crash(n(*node), *keep),
        Command::Restart { node, damaged } => world.start_damaged(n(*node), *damaged),
        Command::Garble(id) => {
            world.node(n(*id)).disk.durable.hard_state = Some(b"garbage".as_slice().into());
        }
        Command::Flush(id) => world.flush(n(*id)),
        Command::Applied(id) => world.report_applied(n(*id)),
        Command::Compact { node, upto } => {
            let upto = Index(*upto);
            world.step(n(*node), Input::Compact { upto });
        }
        Command::Fetched(id) => world.answer_fetch(n(*id)),
        Command::Spoil { node, index } => {
            world.node(n(*node)).disk.unreadable.insert(*index);
        }
        Command::Forget(id) => world.node(n(*id)).applied_durably = Position::ZERO,
        Command::Offer {
            node,
            from,
            index,
            term,
        } => {
            let mut at = world.nodes[&n(*from)].applied;
            at.index = index.map_or(at.index, Index);
            at.epoch = term.map_or(at.epoch, Epoch::term);
            world.offer(n(*node), n(*from), at);
        }
        Command::Install(id) => {
            let at = world.nodes[&n(*id)].installing;
            world.install(n(*id), at.expect("it wants one"));
        }
        Command::Abandon(id) => world.abandon(n(*id)),
        Command::Sent { node, to, index } => {
            let outcome = match index {
                0 => SnapshotOutcome::Failed,
                _ => SnapshotOutcome::Installed,
            };
            let (to, index) = (n(*to), Index(*index));
            world.step(n(*node), Input::SnapshotSent { to, index, outcome });
        }
        Command::Settle => world.settle(),
        Command::Elect(id) => world.elect(n(*id)),
        Command::Cluster { .. }
        | Command::Deliver { .. }
        | Command::Repeat { .. }
        | Command::Lose { .. }
        | Command::Status => {}
    }
}

/// One test per script, and one that no script is forgotten.
macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let path = Path::new("tests/scripts").join(concat!(stringify!($name), ".txt"));
                goldenscript::run(&mut Runner(None), path).unwrap();
            }
        )*

        #[test]
        fn every_script_is_run() {
            let mut listed = vec![$(concat!(stringify!($name), ".txt").to_owned()),*];
            let files = std::fs::read_dir("tests/scripts").unwrap();
            let mut found: Vec<String> = files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            (listed.sort(), found.sort());
            assert_eq!(listed, found);
        }
    };
}

scripts! {
    election_of_three_nodes
    election_vote_request_waits_for_disk
    election_vote_waits_for_disk
    election_own_vote_waits_for_disk
    election_two_ask_at_once
    election_longer_log_does_not_withdraw
    election_refuses_a_shorter_log
    election_ignored_under_a_live_leader
    election_pre_vote_lost_disturbs_nobody
    election_returning_node_with_higher_term
    election_single_voter
    election_replaying_node_lets_others_go_first
    election_leader_without_quorum_steps_down
    append_in_parallel_with_own_write
    append_several_proposals_in_one
    append_window_is_bounded
    append_conflict_backs_off_by_terms
    append_delayed_shorter_does_not_truncate
    append_lost_is_sent_again
    append_to_a_learner
    commit_needs_own_term
    commit_notice_rides_or_goes_alone
    commit_without_own_disk
    durability_acks_share_a_write
    durability_ack_after_truncation
    durability_leader_counts_itself_last
    durability_hung_disk_resigns
    durability_hung_follower_does_not_stand
    durability_busy_disk_leads_on
    durability_busy_follower_stands
    durability_damaged_node
    durability_lost_hard_state
    read_answer_to_a_former_life
    read_one_round_for_all
    read_waits_for_first_commit
    read_during_a_round_waits_for_the_next
    read_on_a_follower
    read_refused_at_step_down
    read_refused_when_the_disk_hangs
    restart_follows_and_fetches
    restart_log_behind_applied
    restart_of_a_slow_follower
    restart_replays_one_stretch_ahead
    busy_when_too_much_is_uncommitted
    snapshot_for_a_peer_below_the_log
    snapshot_replaces_a_log_that_lacks_it
    snapshot_keeps_what_stands_above_it
    snapshot_holds_commits_back
    snapshot_for_state_lost_below_the_log
    snapshot_ends_with_the_leadership
    repair_follower_gets_an_unreadable_entry_again
    repair_leader_that_cannot_read_gives_way
    repair_damaged_node_votes_again
    repair_damage_is_known_after_another_restart
}
