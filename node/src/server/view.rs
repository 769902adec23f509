//! The node as others see it: INFO and CLUSTER, `/status`, metrics. Put together when somebody
//! asks, from what the loop holds anyway.

use std::collections::BTreeMap;
use std::time::Instant;

use consensus::{NodeId, Role};
use keyspace::{Counters, MemberInfo, Overview, Session};
use storage::Engine;

use super::event_loop::Loop;
use crate::config::HostPort;
use crate::status::{GroupStatus, NodeStatus, Operations};

/// What does not change while a node runs.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) node: NodeId,
    pub(super) cluster: String,
    pub(super) cluster_id: u128,
    pub(super) disk: String,
    pub(super) boot: u64,
    pub(super) engine: String,
    pub(super) mode: String,
    pub(super) run_id: String,
    pub(super) started: Instant,
    /// Where clients and peers reach each node; this one included.
    pub(super) addresses: BTreeMap<NodeId, (HostPort, u16)>,
}

/// What is counted while a node runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) commands: u64,
    pub(super) errors: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) bytes_in: u64,
    /// Commands as of the last look, and how many came in the second before it.
    pub(super) commands_seen: u64,
    pub(super) commands_per_s: u64,
}

impl Totals {
    /// Adds what a session has counted.
    pub(super) fn count(&mut self, session: &mut Session) {
        let counted = session.take_counters();
        self.commands += counted.commands;
        self.errors += counted.errors;
    }
}

/// What the operating system says of this process.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    memory: u64,
    memory_peak: u64,
    cpu_user_s: f64,
    cpu_system_s: f64,
}

impl<E: Engine> Loop<E> {
    /// For INFO, CLUSTER and ROLE.
    pub(super) fn overview(&self) -> Overview {
        let facts = &self.facts;
        let group = self.hosting.groups().next().map(|(_, group)| group);
        let status = group.map(|group| group.view().status());
        let usage = usage();
        let own_address = facts.addresses.get(&facts.node);
        Overview {
            node: facts.node.0,
            run_id: facts.run_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process_id: std::process::id(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            port: own_address.map_or(0, |(client, _)| client.port),
            engine: facts.engine.clone(),
            mode: facts.mode.clone(),
            members: status
                .as_ref()
                .map_or(Vec::new(), |status| self.members(status)),
            leader: status
                .as_ref()
                .and_then(|status| status.leader)
                .map(|leader| leader.0),
            epoch: status.as_ref().map_or(0, |status| status.epoch.round),
            committed: status.as_ref().map_or(0, |status| status.committed.0),
            applied: status.as_ref().map_or(0, |status| status.applied.0),
            loading: status
                .as_ref()
                .is_some_and(|status| status.applied < status.committed),
            uptime_s: facts.started.elapsed().as_secs(),
            used_memory: usage.memory,
            used_memory_peak: usage.memory_peak,
            total_system_memory: total_memory(),
            cpu_system_s: usage.cpu_system_s,
            cpu_user_s: usage.cpu_user_s,
            connected_clients: self.connections.all.len() as u64,
            blocked_clients: self.blocked_clients(),
            counters: self.counters(),
        }
    }

    /// For `/status`.
    pub(super) fn node_status(&self) -> NodeStatus {
        let facts = &self.facts;
        let address = facts.addresses.get(&facts.node);
        NodeStatus {
            node: facts.node.0,
            cluster: facts.cluster.clone(),
            disk: facts.disk.clone(),
            boot: facts.boot,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: facts.engine.clone(),
            client_address: address.map_or(String::new(), |(client, _)| client.to_string()),
            uptime_ms: u64::try_from(facts.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            connected_clients: self.connections.all.len() as u64,
            memory_bytes: usage().memory,
            fsyncs: self.hosting.fsyncs(),
            operations: Operations {
                commands: self.totals.commands,
                writes: self.totals.writes,
                reads: self.totals.reads,
                forwarded: self
                    .hosting
                    .groups()
                    .map(|(_, g)| g.view().forwarded())
                    .sum(),
                errors: self.totals.errors,
            },
            groups: self
                .hosting
                .groups()
                .map(|(number, group)| {
                    let status = group.view().status();
                    let time = group.machine().group_time().0;
                    GroupStatus::of(number.0, &facts.mode, &status, time)
                })
                .collect(),
        }
    }

    /// Publishes what is counted here. Called about once a second: nothing per command.
    pub(super) fn publish(&mut self) {
        let totals = &mut self.totals;
        totals.commands_per_s = totals.commands.saturating_sub(totals.commands_seen);
        totals.commands_seen = totals.commands;
        let clients = self.connections.all.len();
        metrics::counter!("lockstep_commands_total").absolute(self.totals.commands);
        metrics::counter!("lockstep_errors_total").absolute(self.totals.errors);
        metrics::counter!("lockstep_reads_total").absolute(self.totals.reads);
        metrics::counter!("lockstep_writes_total").absolute(self.totals.writes);
        metrics::counter!("lockstep_connections_total").absolute(self.totals.accepted);
        metrics::counter!("lockstep_connections_rejected_total").absolute(self.totals.rejected);
        metrics::counter!("lockstep_client_bytes_in_total").absolute(self.totals.bytes_in);
        metrics::counter!("lockstep_log_fsyncs_total").absolute(self.hosting.fsyncs());
        let log = self.hosting.take_slowest();
        metrics::gauge!("lockstep_log_write_seconds_max").set(log.write.as_secs_f64());
        metrics::gauge!("lockstep_log_read_seconds_max").set(log.read.as_secs_f64());
        let longest = std::mem::take(&mut self.longest_turn);
        metrics::gauge!("lockstep_turn_seconds_max").set(longest.as_secs_f64());
        self.snapshots.publish();
        metrics::gauge!("lockstep_connected_clients").set(clients as f64);
        metrics::gauge!("lockstep_memory_bytes").set(usage().memory as f64);
        for (number, group) in self.hosting.groups() {
            let status = group.view().status();
            let labels = [("group", number.0.to_string())];
            let leads = status.role == Role::Leader;
            metrics::gauge!("lockstep_leads", &labels).set(f64::from(u8::from(leads)));
            metrics::gauge!("lockstep_epoch", &labels).set(status.epoch.round as f64);
            metrics::gauge!("lockstep_last_index", &labels).set(status.last.index.0 as f64);
            metrics::gauge!("lockstep_persisted_index", &labels).set(status.persisted.0 as f64);
            metrics::gauge!("lockstep_committed_index", &labels).set(status.committed.0 as f64);
            metrics::gauge!("lockstep_applied_index", &labels).set(status.applied.0 as f64);
            metrics::counter!("lockstep_snapshot_bytes_sent_total", &labels)
                .absolute(group.view().snapshot_bytes_sent());
            for peer in &status.peers {
                let labels = [
                    ("group", number.0.to_string()),
                    ("peer", peer.node.0.to_string()),
                ];
                let lag = status.last.index.0.saturating_sub(peer.matched.0);
                metrics::gauge!("lockstep_peer_lag_entries", &labels).set(lag as f64);
            }
        }
    }

    fn members(&self, status: &consensus::Status) -> Vec<MemberInfo> {
        let describe = |(node, (client, peer_port)): (&NodeId, &(HostPort, u16))| {
            let peer = status.peers.iter().find(|peer| peer.node == *node);
            let me = *node == self.facts.node;
            MemberInfo {
                id: node.0,
                name: member_name(self.facts.cluster_id, *node),
                host: client.host.clone(),
                port: client.port,
                peer_port: *peer_port,
                index: match peer {
                    Some(peer) => peer.matched.0,
                    None if me => status.persisted.0,
                    None => status.committed.0,
                },
                // Only a leader hears from everybody; to the others whoever is linked is there.
                online: me || peer.map_or_else(|| self.linked(*node), |peer| peer.active),
                silent_s: 0,
            }
        };
        self.facts.addresses.iter().map(describe).collect()
    }

    fn linked(&self, node: NodeId) -> bool {
        let mut groups = self.hosting.groups();
        groups.any(|(_, group)| group.view().linked(node))
    }

    fn counters(&self) -> Counters {
        Counters {
            connections_received: self.totals.accepted,
            connections_rejected: self.totals.rejected,
            commands: self.totals.commands,
            errors: self.totals.errors,
            bytes_in: self.totals.bytes_in,
            bytes_out: (self.connections.all.iter())
                .map(|(_, connection)| connection.bytes_out)
                .sum(),
            expired_keys: (self.hosting.groups())
                .map(|(_, group)| group.machine().expired_keys())
                .sum(),
            commands_per_s: self.totals.commands_per_s,
        }
    }

    fn blocked_clients(&self) -> u64 {
        let now = std::time::Duration::from_millis(self.wall().0);
        let blocked = |session: &Session| session.info(now).blocked;
        let connections = self.connections.all.iter();
        connections
            .filter(|(_, connection)| connection.session.as_ref().is_some_and(blocked))
            .count() as u64
    }
}

/// Forty hex digits that name a member to cluster clients: the same at every start.
fn member_name(cluster: u128, node: NodeId) -> String {
    format!("{:024x}{:016x}", cluster >> 32, node.0)
}

/// From /proc; zeros where there is none.
fn usage() -> Usage {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.unwrap_or(0) << 10
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the command's name, which may hold anything: utime is the 12th, stime the
    // 13th of them, in ticks of 10 ms.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let seconds = |at: usize| {
        let ticks = fields.get(at).and_then(|field| field.parse::<f64>().ok());
        ticks.unwrap_or(0.0) / 100.0
    };
    Usage {
        memory: kib("VmRSS:"),
        memory_peak: kib("VmHWM:"),
        cpu_user_s: seconds(11),
        cpu_system_s: seconds(12),
    }
}

fn total_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
