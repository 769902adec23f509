//! INFO and ROLE: the node for people and for the tools that watch it.
//!
//! The fields are those that tools read, under Redis' names and with Redis' meaning, and a few of
//! our own that begin with `lockstep_`. What has no counterpart here is left out and not made up.

use std::fmt::Write as _;

use resp::{Request, encode};

use super::connection::{REDIS_VERSION, mode};
use crate::host::Host;
use crate::overview::{DatabaseStatistics, MemberInfo, Overview};

/// The sections in their order, and whether plain INFO shows them.
const SECTIONS: [(&str, bool); 12] = [
    ("server", true),
    ("clients", true),
    ("memory", true),
    ("persistence", true),
    ("stats", true),
    ("replication", true),
    ("cpu", true),
    ("modules", true),
    ("commandstats", false),
    ("errorstats", true),
    ("cluster", true),
    ("keyspace", true),
];

/// The text of INFO, and whether the databases are to follow, which come last.
pub(super) fn info<H: Host>(request: &Request<'_>, host: &H) -> (String, bool) {
    let wanted: Vec<String> = request
        .args()
        .skip(1)
        .map(|arg| String::from_utf8_lossy(arg).to_ascii_lowercase())
        .collect();
    let asked = |name: &str, default: bool| match wanted.as_slice() {
        [] => default,
        wanted => wanted.iter().any(|wanted| match wanted.as_str() {
            "all" | "everything" => true,
            "default" => default,
            wanted => wanted == name,
        }),
    };
    let overview = host.overview();
    let mut text = String::new();
    for (name, default) in SECTIONS {
        if !asked(name, default) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let mut title = name.to_string();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        // Redis spells this one in capitals.
        let title = if name == "cpu" { "CPU" } else { &title };
        let mut section = Section(&mut text);
        section.line(format_args!("# {title}"));
        match name {
            "server" => server(&mut section, host, &overview),
            "clients" => clients(&mut section, host, &overview),
            "memory" => memory(&mut section, &overview),
            "persistence" => persistence(&mut section, &overview),
            "stats" => stats(&mut section, &overview),
            "replication" => replication(&mut section, &overview),
            "cpu" => {
                section.field("used_cpu_sys", format_args!("{:.6}", overview.cpu_system_s));
                section.field("used_cpu_user", format_args!("{:.6}", overview.cpu_user_s));
            }
            "cluster" => {
                section.field("cluster_enabled", u8::from(host.settings().cluster_enabled))
            }
            "keyspace" => return (text, true),
            _ => {}
        }
    }
    (text, false)
}

/// The whole reply, with what was counted.
pub(super) fn with_databases(text: &str, statistics: &[u8]) -> Vec<u8> {
    let mut text = text.to_string();
    let mut section = Section(&mut text);
    for database in DatabaseStatistics::read_all(statistics) {
        section.line(format_args!(
            "db{}:keys={},expires={},avg_ttl={}",
            database.database, database.keys, database.expires, database.average_ttl_ms
        ));
    }
    let mut reply = Vec::new();
    encode::verbatim(&mut reply, *b"txt", text);
    reply
}

struct Section<'a>(&'a mut String);

impl Section<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{line}\r\n");
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(format_args!("{name}:{value}"));
    }
}

fn server<H: Host>(section: &mut Section<'_>, host: &H, overview: &Overview) {
    section.field("redis_version", REDIS_VERSION);
    section.field("lockstep_version", &overview.version);
    section.field("lockstep_mode", &overview.mode);
    section.field("lockstep_engine", &overview.engine);
    section.field("redis_mode", mode(host.settings()));
    section.field("os", &overview.os);
    section.field("arch_bits", usize::BITS);
    section.field("process_id", overview.process_id);
    section.field("run_id", &overview.run_id);
    section.field("tcp_port", overview.port);
    section.field("server_time_usec", host.now().as_micros());
    section.field("uptime_in_seconds", overview.uptime_s);
    section.field("uptime_in_days", overview.uptime_s / 86_400);
    section.field("hz", 10);
    section.field("configured_hz", 10);
    section.field("executable", "");
    section.field("config_file", "");
}

fn clients<H: Host>(section: &mut Section<'_>, host: &H, overview: &Overview) {
    section.field("connected_clients", overview.connected_clients);
    section.field("cluster_connections", 0);
    section.field("maxclients", host.settings().maxclients);
    section.field("blocked_clients", overview.blocked_clients);
    section.field("tracking_clients", 0);
}

fn memory(section: &mut Section<'_>, overview: &Overview) {
    for (name, bytes) in [
        ("used_memory", overview.used_memory),
        ("used_memory_rss", overview.used_memory),
        ("used_memory_peak", overview.used_memory_peak),
        ("total_system_memory", overview.total_system_memory),
        ("maxmemory", 0),
    ] {
        section.field(name, bytes);
        section.field(&format!("{name}_human"), human(bytes));
    }
    section.field("maxmemory_policy", "noeviction");
    section.field("mem_fragmentation_ratio", "1.00");
}

fn persistence(section: &mut Section<'_>, overview: &Overview) {
    section.field("loading", u8::from(overview.loading));
    section.field("async_loading", 0);
    section.field("rdb_changes_since_last_save", 0);
    section.field("rdb_bgsave_in_progress", 0);
    section.field("rdb_last_bgsave_status", "ok");
    section.field("aof_enabled", 1);
    section.field("aof_rewrite_in_progress", 0);
    section.field("aof_last_bgrewrite_status", "ok");
    section.field("aof_last_write_status", "ok");
}

fn stats(section: &mut Section<'_>, overview: &Overview) {
    let counters = &overview.counters;
    section.field("total_connections_received", counters.connections_received);
    section.field("total_commands_processed", counters.commands);
    section.field("instantaneous_ops_per_sec", counters.commands_per_s);
    section.field("total_net_input_bytes", counters.bytes_in);
    section.field("total_net_output_bytes", counters.bytes_out);
    section.field("rejected_connections", counters.connections_rejected);
    section.field("expired_keys", counters.expired_keys);
    section.field("evicted_keys", 0);
    section.field("total_error_replies", counters.errors);
    section.field("pubsub_channels", 0);
    section.field("pubsub_patterns", 0);
}

/// Who follows the leader and is connected to it.
fn followers(overview: &Overview) -> impl Iterator<Item = &MemberInfo> {
    overview
        .members
        .iter()
        .filter(|member| member.id != overview.node && member.online)
}

fn replication(section: &mut Section<'_>, overview: &Overview) {
    let offset = overview.committed;
    if overview.is_leader() {
        section.field("role", "master");
        section.field("connected_slaves", followers(overview).count());
        for (i, member) in followers(overview).enumerate() {
            section.line(format_args!(
                "slave{i}:ip={},port={},state=online,offset={},lag={}",
                member.host, member.port, member.index, member.silent_s
            ));
        }
    } else {
        let leader = overview.leader.and_then(|leader| overview.member(leader));
        section.field("role", "slave");
        section.field("master_host", leader.map_or("", |leader| &leader.host));
        section.field("master_port", leader.map_or(0, |leader| leader.port));
        section.field(
            "master_link_status",
            if leader.is_some_and(|leader| leader.online) {
                "up"
            } else {
                "down"
            },
        );
        section.field(
            "master_last_io_seconds_ago",
            leader.map_or(-1, |leader| i64::try_from(leader.silent_s).unwrap_or(-1)),
        );
        section.field("master_sync_in_progress", u8::from(overview.loading));
        section.field("slave_read_repl_offset", offset);
        section.field("slave_repl_offset", overview.applied);
        section.field("slave_priority", 100);
        section.field("slave_read_only", 0);
        section.field("connected_slaves", 0);
    }
    section.field("master_failover_state", "no-failover");
    section.field("master_repl_offset", offset);
    section.field("lockstep_node", overview.node);
    section.field("lockstep_epoch", overview.epoch);
    section.field("lockstep_committed", overview.committed);
    section.field("lockstep_applied", overview.applied);
}

/// Bytes as Redis shows them to people.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "T"),
        (1 << 30, "G"),
        (1 << 20, "M"),
        (1 << 10, "K"),
    ];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.2}{name}", bytes as f64 / unit as f64),
        None => format!("{bytes}B"),
    }
}

/// ROLE.
pub(super) fn role(overview: &Overview, reply: &mut Vec<u8>) {
    let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    if overview.is_leader() {
        encode::array(reply, 3);
        encode::bulk(reply, "master");
        encode::integer(reply, integer(overview.committed));
        encode::array(reply, followers(overview).count());
        for member in followers(overview) {
            encode::array(reply, 3);
            encode::bulk(reply, &member.host);
            encode::bulk(reply, member.port.to_string());
            encode::bulk(reply, member.index.to_string());
        }
        return;
    }
    let leader = overview.leader.and_then(|leader| overview.member(leader));
    encode::array(reply, 5);
    encode::bulk(reply, "slave");
    encode::bulk(reply, leader.map_or("", |leader| &leader.host));
    encode::integer(reply, i64::from(leader.map_or(0, |leader| leader.port)));
    encode::bulk(
        reply,
        match leader {
            Some(leader) if leader.online => "connected",
            _ => "connect",
        },
    );
    encode::integer(reply, integer(overview.applied));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_redis_shows_them() {
        for (bytes, shown) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_024, "1.00K"),
            (1_572_864, "1.50M"),
            (3 << 30, "3.00G"),
            (5 << 40, "5.00T"),
        ] {
            assert_eq!(human(bytes), shown);
        }
    }
}
