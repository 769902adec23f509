//! CLUSTER, READONLY and READWRITE: this cluster as Redis Cluster would describe it.
//!
//! One group holds every slot, so there is one shard, 0–16383: its leader is the primary, everybody
//! else a replica. While nobody leads, the asked node stands in for the primary, so that clients
//! keep an address to try; the state says `fail` then. The answers are the same whether
//! `cluster-enabled` or not, so that a cluster client pointed here works in either case.

use std::fmt::Write as _;

use resp::{Request, encode};

use super::state::State;
use super::texts::{help, printable};
use crate::host::Host;
use crate::key::{self, SLOTS};
use crate::overview::{MemberInfo, Overview};
use crate::refusal::Refusal;
use crate::table::Id;

/// What CLUSTER MYSHARDID says: there is one shard.
const SHARD: &str = "0000000000000000000000000000000000000001";

impl State {
    pub(super) fn cluster<H: Host>(
        &mut self,
        id: Id,
        request: &Request<'_>,
        host: &mut H,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match id {
            Id::ReadOnly | Id::ReadWrite => {
                self.readonly = id == Id::ReadOnly;
                encode::simple(reply, "OK");
            }
            Id::ClusterKeySlot => {
                let slot = key::slot(request.arg(2).unwrap_or_default());
                encode::integer(reply, i64::from(slot));
            }
            Id::ClusterMyShardId => encode::bulk(reply, SHARD),
            Id::ClusterMyId => {
                let overview = host.overview();
                let name = overview.member(overview.node).map(|me| me.name.as_str());
                encode::bulk(reply, name.unwrap_or_default());
            }
            Id::ClusterInfo => {
                encode::verbatim(reply, *b"txt", info(&host.overview()));
            }
            Id::ClusterNodes => {
                let now_ms = host.now().as_millis();
                let overview = host.overview();
                let lines =
                    in_order(&overview).map(|member| line(&overview, member, now_ms) + "\n");
                encode::verbatim(reply, *b"txt", lines.collect::<String>());
            }
            Id::ClusterReplicas => replicas(request, host, reply)?,
            Id::ClusterSlots => slots(&host.overview(), reply),
            Id::ClusterShards => shards(&host.overview(), reply),
            _ => help("cluster", reply),
        }
        Ok(())
    }
}

/// Who is shown as the primary.
fn primary(overview: &Overview) -> u64 {
    let leader = overview.leader.filter(|id| overview.member(*id).is_some());
    leader.unwrap_or(overview.node)
}

/// The members, the primary first.
fn in_order(overview: &Overview) -> impl Iterator<Item = &MemberInfo> {
    let primary = primary(overview);
    let others = overview.members.iter().filter(move |m| m.id != primary);
    overview.member(primary).into_iter().chain(others)
}

fn info(overview: &Overview) -> String {
    let state = if overview.leader.is_some() {
        "ok"
    } else {
        "fail"
    };
    let down = overview.members.iter().filter(|m| !m.online).count();
    let mut text = String::new();
    for (field, value) in [
        ("cluster_state", state.to_string()),
        ("cluster_slots_assigned", SLOTS.to_string()),
        ("cluster_slots_ok", SLOTS.to_string()),
        ("cluster_slots_pfail", "0".into()),
        ("cluster_slots_fail", "0".into()),
        ("cluster_known_nodes", overview.members.len().to_string()),
        ("cluster_nodes_offline", down.to_string()),
        ("cluster_size", "1".into()),
        ("cluster_current_epoch", overview.epoch.to_string()),
        ("cluster_my_epoch", overview.epoch.to_string()),
    ] {
        // Writing to a string cannot fail.
        let _ = write!(text, "{field}:{value}\r\n");
    }
    text
}

/// A member as CLUSTER NODES shows it, without a line end.
fn line(overview: &Overview, member: &MemberInfo, now_ms: u128) -> String {
    let primary = primary(overview);
    let leads = member.id == primary;
    let myself = if member.id == overview.node {
        "myself,"
    } else {
        ""
    };
    let role = if leads { "master" } else { "slave" };
    let trouble = if member.online { "" } else { ",fail" };
    let master = match overview.member(primary) {
        Some(primary) if !leads => primary.name.as_str(),
        _ => "-",
    };
    let heard_ms = if member.id == overview.node {
        0
    } else {
        now_ms.saturating_sub(u128::from(member.silent_s) * 1_000)
    };
    let link = if member.online {
        "connected"
    } else {
        "disconnected"
    };
    let slots = if leads { " 0-16383" } else { "" };
    format!(
        "{} {}:{}@{} {myself}{role}{trouble} {master} 0 {heard_ms} {} {link}{slots}",
        member.name, member.host, member.port, member.peer_port, overview.epoch
    )
}

fn replicas<H: Host>(request: &Request<'_>, host: &H, reply: &mut Vec<u8>) -> Result<(), Refusal> {
    let wanted = request.arg(2).unwrap_or_default();
    let now_ms = host.now().as_millis();
    let overview = host.overview();
    let found = overview
        .members
        .iter()
        .find(|member| member.name.as_bytes() == wanted);
    match found {
        None => Err(Refusal::Owned(
            [b"ERR Unknown node ", printable(wanted, wanted.len())].concat(),
        )),
        Some(member) if member.id != primary(&overview) => {
            Err(Refusal::Text("ERR The specified node is not a master"))
        }
        Some(_) => {
            let replicas: Vec<&MemberInfo> = in_order(&overview).skip(1).collect();
            encode::array(reply, replicas.len());
            for member in replicas {
                encode::bulk(reply, line(&overview, member, now_ms));
            }
            Ok(())
        }
    }
}

/// CLUSTER SLOTS: members that are not online are left out, as Redis leaves out failed ones.
fn slots(overview: &Overview, reply: &mut Vec<u8>) {
    let primary = primary(overview);
    let shown: Vec<&MemberInfo> = in_order(overview)
        .filter(|member| member.online || member.id == primary)
        .collect();
    if shown.is_empty() {
        encode::array(reply, 0);
        return;
    }
    encode::array(reply, 1);
    encode::array(reply, 2 + shown.len());
    encode::integer(reply, 0);
    encode::integer(reply, i64::from(SLOTS - 1));
    for member in shown {
        encode::array(reply, 4);
        encode::bulk(reply, &member.host);
        encode::integer(reply, i64::from(member.port));
        encode::bulk(reply, &member.name);
        encode::array(reply, 0);
    }
}

fn shards(overview: &Overview, reply: &mut Vec<u8>) {
    let primary = primary(overview);
    encode::array(reply, 1);
    encode::map(reply, 2);
    encode::bulk(reply, "slots");
    encode::array(reply, 2);
    encode::integer(reply, 0);
    encode::integer(reply, i64::from(SLOTS - 1));
    encode::bulk(reply, "nodes");
    encode::array(reply, overview.members.len());
    for member in in_order(overview) {
        let role = if member.id == primary {
            "master"
        } else {
            "replica"
        };
        let health = if member.online { "online" } else { "fail" };
        encode::map(reply, 7);
        for (field, value) in [
            ("id", member.name.as_str()),
            ("ip", &member.host),
            ("endpoint", &member.host),
            ("role", role),
            ("health", health),
        ] {
            encode::bulk(reply, field);
            encode::bulk(reply, value);
        }
        encode::bulk(reply, "port");
        encode::integer(reply, i64::from(member.port));
        encode::bulk(reply, "replication-offset");
        encode::integer(reply, i64::try_from(member.index).unwrap_or(i64::MAX));
    }
}
