//! One readable line per event.

use std::fmt::Write;

use consensus::{Done, Entry, Index, LogOp, NodeId, Payload, Refusal};
use consensus_raft::Message;

pub(crate) fn message(m: &Message) -> String {
    match m {
        Message::PreVote { term, last } => format!("PreVote term={term} last={last}"),
        Message::PreVoted { term, granted } => format!("PreVoted term={term} {}", yes(*granted)),
        Message::Vote { term, last } => format!("Vote term={term} last={last}"),
        Message::Voted { term, granted } => format!("Voted term={term} {}", yes(*granted)),
        Message::Append {
            term,
            prev,
            entries,
            commit,
        } => format!(
            "Append term={term} base={prev} {} commit={commit}",
            positions(entries)
        ),
        Message::Acked { term, matched } => format!("Acked term={term} matched={matched}"),
        Message::Rejected {
            term,
            prev,
            conflict,
        } => format!("Rejected term={term} base={prev} conflict={conflict}"),
        Message::Heartbeat {
            term,
            round,
            prev,
            commit,
        } => format!("Heartbeat term={term} round={round} base={prev} commit={commit}"),
        Message::HeartbeatAck {
            term,
            round,
            prev,
            received,
        } => format!("HeartbeatAck term={term} round={round} base={prev} received={received}"),
        Message::NeedsSnapshot { term } => format!("NeedsSnapshot term={term}"),
        Message::Commit { term, commit } => format!("Commit term={term} commit={commit}"),
        Message::ReadIndex { term, id } => {
            format!("ReadIndex term={term} id={}.{}", id.life, id.number)
        }
        Message::ReadIndexed { term, id, index } => {
            let (life, number) = (id.life, id.number);
            format!("ReadIndexed term={term} id={life}.{number} index={index}")
        }
        Message::StaleTerm { term } => format!("StaleTerm term={term}"),
    }
}

fn yes(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}

fn positions(entries: &[Entry]) -> String {
    let names: Vec<String> = entries.iter().map(|e| e.position().to_string()).collect();
    format!("[{}]", names.join(" "))
}

pub(crate) fn ops(ops: &[LogOp]) -> String {
    let mut line = String::new();
    for op in ops {
        match op {
            LogOp::HardState(bytes) => {
                let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
                write!(line, " term={}", number(2)).unwrap();
                match number(10) {
                    0 => {}
                    vote => write!(line, " vote={}", NodeId(vote)).unwrap(),
                }
                match number(18) {
                    0 => {}
                    life => write!(line, " life={life}").unwrap(),
                }
                for (flag, name) in [(1, "lost"), (2, "damaged")] {
                    if bytes[1] & flag != 0 {
                        write!(line, " {name}").unwrap();
                    }
                }
            }
            LogOp::Put(entry) => write!(line, " [{}{}]", entry.position(), payload(entry)).unwrap(),
            LogOp::TruncateFrom(from) => write!(line, " truncate={from}").unwrap(),
            LogOp::PurgeTo(upto) => write!(line, " purge={upto}").unwrap(),
        }
    }
    line
}

fn payload(entry: &Entry) -> String {
    match &entry.payload {
        Payload::Batch(batch) if batch.len() <= 16 => {
            format!(" {}", String::from_utf8_lossy(batch))
        }
        Payload::Batch(batch) => format!(" {} bytes", batch.len()),
        Payload::Blank | Payload::Membership(_) => String::new(),
    }
}

pub(crate) fn range(entries: &[Entry]) -> String {
    match entries {
        [only] => only.index.to_string(),
        [first, .., last] => format!("{}..{}", first.index, last.index),
        [] => Index::ZERO.to_string(),
    }
}

pub(crate) fn done(done: Done) -> String {
    match done {
        Done::Accepted(at) => format!("accepted at {at}"),
        Done::Refused(Refusal::NotLeader) => "refused: not leader".into(),
        Done::Refused(Refusal::Busy) => "refused: busy".into(),
        Done::Refused(Refusal::Invalid) => "refused: invalid".into(),
    }
}
