//! `lockstep status`: asks every endpoint and prints a table, or JSON.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::json;

use super::client::{self, AskError};
use super::{GroupStatus, NodeStatus};

/// What an endpoint said.
pub(crate) type Answer = (SocketAddr, Result<NodeStatus, AskError>);

/// Asks every endpoint at once.
pub(crate) async fn ask(endpoints: &[SocketAddr]) -> Vec<Answer> {
    let asked: Vec<_> = endpoints
        .iter()
        .map(|endpoint| (*endpoint, tokio::spawn(client::status(*endpoint))))
        .collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (endpoint, task) in asked {
        let answer = task
            .await
            .unwrap_or_else(|error| Err(AskError::Unreachable(error.into())));
        answers.push((endpoint, answer));
    }
    answers
}

/// Why the cluster cannot serve, as far as the answers tell; `None` when it can.
///
/// A follower forgets a leader that it has not heard from for an election timeout, so a leader
/// named in the highest epoch counts, whether or not it was among those asked; but when it was,
/// its own word on its quorum is better.
pub(crate) fn trouble(answers: &[Answer]) -> Option<String> {
    let nodes = || {
        answers
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().ok())
    };
    if nodes().next().is_none() {
        return Some("no node answers".to_owned());
    }
    let mut groups: Vec<u32> = nodes().flat_map(|n| &n.groups).map(|g| g.group).collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.is_empty() {
        return Some("the nodes are starting".to_owned());
    }
    groups.into_iter().find_map(|group| {
        let parts = || nodes().flat_map(|n| n.groups.iter().map(move |g| (n.node, g)));
        let parts = || parts().filter(|(_, part)| part.group == group);
        let top = parts().map(|(_, part)| epoch(part)).max()?;
        let current = || parts().filter(|(_, part)| epoch(part) == top);
        let Some(leader) = current().find_map(|(_, part)| part.leader) else {
            return Some(format!("group {group}: no leader is known"));
        };
        let own_word = current().find(|(node, _)| *node == leader);
        match own_word {
            Some((_, part)) if !part.leads() => {
                Some(format!("group {group}: n{leader} does not lead"))
            }
            Some((node, part)) if !part.has_quorum(node) => Some(format!(
                "group {group}: leader n{leader} does not hear from a majority"
            )),
            _ => None,
        }
    })
}

/// Who leads group 0 and in which epoch, by the highest epoch that anybody knows.
pub(crate) fn leader(answers: &[Answer]) -> Option<(u64, u64)> {
    let nodes = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    let parts = nodes
        .flat_map(|node| &node.groups)
        .filter(|part| part.group == 0);
    let newest = parts
        .filter(|part| part.leader.is_some())
        .max_by_key(|part| epoch(part))?;
    Some((newest.leader?, newest.epoch))
}

fn epoch(part: &GroupStatus) -> (u64, u64) {
    (part.epoch, part.epoch_node)
}

/// The answers for machines: one array, an object per endpoint.
pub(crate) fn json(answers: &[Answer]) -> String {
    let nodes: Vec<_> = answers
        .iter()
        .map(|(endpoint, answer)| match answer {
            Ok(status) => json!({ "admin": endpoint.to_string(), "status": status }),
            Err(error) => json!({ "admin": endpoint.to_string(), "error": error.to_string() }),
        })
        .collect();
    let trouble = trouble(answers);
    format!(
        "{:#}\n",
        json!({ "serving": trouble.is_none(), "trouble": trouble, "nodes": nodes })
    )
}

const HEADINGS: [&str; 11] = [
    "NODE",
    "ROLE",
    "EPOCH",
    "LEADER",
    "LAST",
    "COMMITTED",
    "APPLIED",
    "LAG",
    "MEMORY",
    "UPTIME",
    "PEERS",
];

/// The answers for people: a line per node and group.
///
/// LAG is how far a node's keys are behind the highest committed index that any node knows; PEERS
/// is what a leader knows: how many answer, of how many.
pub(crate) fn table(answers: &[Answer]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    let mut unreachable = String::new();
    for (endpoint, answer) in answers {
        match answer {
            Ok(node) => rows.extend(node.groups.iter().map(|part| row(answers, node, part))),
            Err(error) => {
                // A String takes whatever is written to it.
                let _ = writeln!(unreachable, "{endpoint}: unreachable: {error}");
            }
        }
    }
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text.push_str(&unreachable);
    text.truncate(text.trim_end().len());
    text
}

fn row(answers: &[Answer], node: &NodeStatus, part: &GroupStatus) -> [String; HEADINGS.len()] {
    let nodes = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    let parts = nodes
        .flat_map(|node| &node.groups)
        .filter(|other| other.group == part.group);
    let committed = parts.map(|other| other.committed).max().unwrap_or(0);
    let name = match part.group {
        0 => format!("n{}", node.node),
        group => format!("n{}/{group}", node.node),
    };
    let epoch = match part.epoch_node {
        0 => part.epoch.to_string(),
        ballot => format!("{}.{ballot}", part.epoch),
    };
    let peers = match part.leads() {
        true => {
            let active = part.peers.iter().filter(|peer| peer.active).count();
            format!("{active}/{}", part.peers.len())
        }
        false => "-".to_owned(),
    };
    [
        name,
        part.role.clone(),
        epoch,
        part.leader
            .map_or_else(|| "-".to_owned(), |leader| format!("n{leader}")),
        part.last.to_string(),
        part.committed.to_string(),
        part.applied.to_string(),
        committed.saturating_sub(part.applied).to_string(),
        format!("{:.1} MiB", node.memory_bytes as f64 / f64::from(1 << 20)),
        uptime(node.uptime_ms),
        peers,
    ]
}

/// The two largest units: enough to see a restart.
fn uptime(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3_600 % 24),
    }
}
