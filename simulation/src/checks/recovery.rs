//! What a log says after a restart: exactly what was durable, and of what was under way any
//! beginning. Unless it says that it is damaged: then it is not believed anyway.

use storage::RecoveredLog;

use super::Verdict;
use super::picture::Picture;
use crate::node::id;
use crate::subject::Ballot;

pub(crate) fn check(
    picture: &Picture,
    node: usize,
    found: &RecoveredLog,
    ballot: Option<Ballot>,
) -> Verdict {
    if found.damaged {
        return Ok(());
    }
    let mut log = picture.durable(node).clone();
    if log.is(found, ballot) {
        return Ok(());
    }
    for op in picture.under_way(node) {
        log.apply(op);
        if log.is(found, ballot) {
            return Ok(());
        }
    }
    let durable = picture.durable(node);
    let (held, known) = (durable.last(), durable.ballot);
    let last = found.records.last().map_or(found.purged.0, |last| last.0);
    let node = id(node);
    Err((
        "recovery",
        format!(
            "{node} comes back with a log up to {last} and ballot {ballot:?}, without a word of \
             damage; its disk held up to {held} and ballot {known:?}"
        ),
    ))
}
