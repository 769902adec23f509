//! Queries that visit every key: KEYS, DBSIZE, and what INFO says of the databases.
//!
//! Nobody keeps a count, since a plain SET does not know whether its key is new. A database of a few
//! keys is visited at once. A larger one is visited in a view of the engine that is frozen for it,
//! a slice a turn, so that the answer is of one moment and nobody else waits for it. One pass is
//! under way at a time; whoever wants a count joins the next one, so that a hundred counts cost as
//! much as one.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::{Bound, ControlFlow};

use replication::{LongId, Millis, Position};
use resp::encode;
use storage::{Engine, EngineError, Frozen, Rows, ViewId};

use super::dispatch::{Request, decode};
use super::read::unreadable;
use super::spaces::Spaces;
use super::strings::next;
use super::{Keyspace, KeyspaceError, Stop};
use crate::glob;
use crate::key::{self, SPACE_MAX};
use crate::overview::DatabaseStatistics;
use crate::table::Id;
use crate::value::Header;

/// How much of a view one turn visits, in bytes: half a millisecond, more or less.
const SLICE_BYTES: usize = 512 << 10;

/// How many rows are visited at once.
const ROWS_MAX: usize = 2_000;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    /// The keys of a database that match.
    Keys { database: u16, pattern: Vec<u8> },
    /// How many keys a database has.
    Size { database: u16 },
    /// How full every database is.
    Statistics,
}

/// The long queries of one keyspace.
#[derive(Debug, Default)]
pub(super) struct Long {
    queue: VecDeque<(LongId, Question)>,
    running: Option<Pass>,
}

impl Long {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.running.is_none()
    }

    /// Whether the view was not made yet when it was last asked for.
    pub(super) fn is_waiting(&self) -> bool {
        self.running.as_ref().is_some_and(|pass| pass.waiting)
    }
}

/// One time through a view.
struct Pass {
    view: View,
    spaces: Spaces,
    now: Millis,
    /// The last entry it has seen.
    applied: Position,
    goal: Goal,
    /// The rows that matter have all been seen.
    done: bool,
    /// A row could not be read.
    unreadable: bool,
    /// The view is not made yet.
    waiting: bool,
}

enum View {
    Within(ViewId),
    Apart(Box<dyn Rows>),
}

enum Goal {
    Keys(LongId, Gathered),
    Counts(Vec<(LongId, Question)>, Counts),
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("now", &self.now).finish()
    }
}

impl Pass {
    fn see(&mut self, row: &[u8], value: &[u8]) {
        let Some((place, key)) = key::parse_row(row) else {
            self.done |= row.first_chunk() > Some(&SPACE_MAX.to_be_bytes());
            return;
        };
        let Some((header, _)) = Header::split(value) else {
            self.unreadable = true;
            return;
        };
        if header.expires.is_some_and(|at| at <= self.now) {
            return;
        }
        match &mut self.goal {
            Goal::Keys(_, gathered) => {
                if place.space == gathered.space {
                    gathered.see(key);
                }
                self.done |= place.space > gathered.space;
            }
            Goal::Counts(_, counts) => counts.see(place.space, header.expires, self.now),
        }
    }

    fn answer(self, answer: &mut dyn FnMut(LongId, &[u8])) -> Option<Vec<DatabaseStatistics>> {
        match self.goal {
            Goal::Keys(id, mut gathered) => {
                answer(id, gathered.reply());
                None
            }
            Goal::Counts(waiting, counts) => {
                let statistics = counts.statistics(&self.spaces);
                for (id, question) in waiting {
                    answer(id, &reply_of(&question, &statistics));
                }
                Some(statistics)
            }
        }
    }
}

/// The keys found for KEYS, as they will stand in the reply.
struct Gathered {
    space: u16,
    pattern: Vec<u8>,
    count: usize,
    /// Room for the reply's header, and the keys.
    reply: Vec<u8>,
}

impl Gathered {
    /// How much room a header takes: `*`, a number and the end of the line.
    const HEADER_BYTES: usize = 24;

    fn see(&mut self, key: &[u8]) {
        if self.pattern == b"*" || glob::matches(&self.pattern, key, false) {
            self.count += 1;
            encode::bulk(&mut self.reply, key);
        }
    }

    /// The reply. The header is known last and stands first, and there may be megabytes behind it
    /// that are better not moved.
    fn reply(&mut self) -> &[u8] {
        let mut header = Vec::new();
        encode::array(&mut header, self.count);
        let start = Self::HEADER_BYTES - header.len();
        self.reply
            .splice(start..Self::HEADER_BYTES, header)
            .for_each(drop);
        self.reply.get(start..).unwrap_or_default()
    }
}

/// What is counted, by space, in the order of the rows.
#[derive(Default)]
struct Counts(Vec<(u16, DatabaseStatistics)>);

impl Counts {
    fn see(&mut self, space: u16, expires: Option<Millis>, now: Millis) {
        if self.0.last().is_none_or(|(last, _)| *last != space) {
            self.0.push((space, DatabaseStatistics::default()));
        }
        if let Some((_, counted)) = self.0.last_mut() {
            counted.keys += 1;
            if let Some(at) = expires {
                counted.expires += 1;
                // The sum for now; divided in the end.
                let left = at.0 - now.0;
                counted.average_ttl_ms = counted.average_ttl_ms.saturating_add(left);
            }
        }
    }

    fn statistics(self, spaces: &Spaces) -> Vec<DatabaseStatistics> {
        let alive = |(space, counted): (u16, DatabaseStatistics)| {
            Some(DatabaseStatistics {
                database: spaces.database_in(space)?,
                average_ttl_ms: counted.average_ttl_ms / counted.expires.max(1),
                ..counted
            })
        };
        let mut all: Vec<_> = self.0.into_iter().filter_map(alive).collect();
        all.sort_unstable_by_key(|statistics| statistics.database);
        all
    }
}

fn reply_of(question: &Question, statistics: &[DatabaseStatistics]) -> Vec<u8> {
    let mut reply = Vec::new();
    match question {
        Question::Size { database } => {
            let found = statistics.iter().find(|found| found.database == *database);
            let keys = found.map_or(0, |found| found.keys);
            encode::integer(&mut reply, i64::try_from(keys).unwrap_or(i64::MAX));
        }
        _ => statistics.iter().for_each(|found| found.write(&mut reply)),
    }
    reply
}

impl<E: Engine> Keyspace<E> {
    /// Answers at once if that takes little time; whether it did.
    pub(super) fn answer_if_short(
        &self,
        request: &Request<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<bool, Stop> {
        let question = question(request)?;
        if let (false, Some(statistics)) = (
            matches!(question, Question::Keys { .. }),
            &*self.statistics.borrow(),
        ) {
            reply.extend_from_slice(&reply_of(&question, statistics));
            return Ok(true);
        }
        let mut pass = self.pass(View::Within(ViewId(0)), question);
        let (from, to) = match &pass.goal {
            Goal::Keys(_, Gathered { space, .. }) => (*space, *space + 1),
            Goal::Counts(..) => (0, SPACE_MAX + 1),
        };
        let mut left = ROWS_MAX;
        let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
        let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
        self.engine.scan(range.0, range.1, &mut |row, value| {
            pass.see(row, value);
            match left.checked_sub(1) {
                Some(less) => {
                    left = less;
                    ControlFlow::Continue(())
                }
                None => {
                    pass.done = true;
                    ControlFlow::Break(())
                }
            }
        })?;
        if pass.unreadable {
            return Err(unreadable());
        }
        let short = !pass.done;
        if short {
            let statistics = pass.answer(&mut |_, answer| reply.extend_from_slice(answer));
            if statistics.is_some() {
                *self.statistics.borrow_mut() = statistics;
            }
        }
        Ok(short)
    }

    fn pass(&self, view: View, question: Question) -> Pass {
        let goal = match question {
            Question::Keys { database, pattern } => {
                let gathered = Gathered {
                    space: self.spaces.of(database),
                    pattern,
                    count: 0,
                    reply: vec![0; Gathered::HEADER_BYTES],
                };
                Goal::Keys(LongId(0), gathered)
            }
            other => Goal::Counts(vec![(LongId(0), other)], Counts::default()),
        };
        Pass {
            view,
            spaces: self.spaces.clone(),
            now: self.group_time,
            applied: self.applied,
            goal,
            done: false,
            unreadable: false,
            waiting: false,
        }
    }

    pub(super) fn enqueue_long(&mut self, id: LongId, query: &[u8]) -> Result<(), KeyspaceError> {
        let question = match decode(query).map_err(Stop::from).and_then(|r| question(&r)) {
            Ok(question) => question,
            Err(Stop::Failed(error)) => return Err(error),
            Err(stop) => unreachable!("a query that is long has been read before: {stop:?}"),
        };
        self.long.queue.push_back((id, question));
        Ok(())
    }

    pub(super) fn work_long(
        &mut self,
        answer: &mut dyn FnMut(LongId, &[u8]),
    ) -> Result<(), KeyspaceError> {
        if self.long.running.is_none() {
            self.start_pass()?;
        }
        let Some(mut pass) = self.long.running.take() else {
            return Ok(());
        };
        if let View::Apart(rows) = &mut pass.view {
            pass.waiting = !rows.ready()?;
            if pass.waiting {
                self.long.running = Some(pass);
                return Ok(());
            }
        }
        // The view is lent out while its rows are seen.
        let mut view = mem::replace(&mut pass.view, View::Within(ViewId(0)));
        let mut see = |row: &[u8], value: &[u8]| {
            if !pass.done {
                pass.see(row, value);
            }
        };
        let more = match &mut view {
            View::Within(id) => self.engine.read_frozen(*id, SLICE_BYTES, &mut see)?,
            View::Apart(rows) => rows.read(SLICE_BYTES, &mut see)?,
        };
        if pass.unreadable {
            return Err(KeyspaceError::Unreadable {
                what: "value of a key",
            });
        }
        pass.view = view;
        if more && !pass.done {
            self.long.running = Some(pass);
            return Ok(());
        }
        self.end_view(&pass.view);
        let of_now = pass.applied == self.applied;
        let statistics = pass.answer(answer);
        if of_now && statistics.is_some() {
            *self.statistics.get_mut() = statistics;
        }
        Ok(())
    }

    /// Freezes a view for the oldest question, and for all counts that may share it.
    fn start_pass(&mut self) -> Result<(), EngineError> {
        let Some((id, question)) = self.long.queue.pop_front() else {
            return Ok(());
        };
        let view = match self.engine.freeze()? {
            Frozen::Within(id) => View::Within(id),
            Frozen::Apart(rows) => View::Apart(rows),
        };
        let mut pass = self.pass(view, question);
        match &mut pass.goal {
            Goal::Keys(waiting, _) => *waiting = id,
            Goal::Counts(waiting, _) => {
                waiting.iter_mut().for_each(|(waiting, _)| *waiting = id);
                let queue = mem::take(&mut self.long.queue);
                let (keys, counts) = queue
                    .into_iter()
                    .partition(|(_, question)| matches!(question, Question::Keys { .. }));
                self.long.queue = keys;
                waiting.extend(counts);
            }
        }
        self.long.running = Some(pass);
        Ok(())
    }

    fn end_view(&mut self, view: &View) {
        if let View::Within(id) = view {
            self.engine.thaw(*id);
        }
    }

    pub(super) fn cancel(&mut self, id: LongId) {
        self.long.queue.retain(|(queued, _)| *queued != id);
        let nobody_waits = match self.long.running.as_mut().map(|pass| &mut pass.goal) {
            None => false,
            Some(Goal::Keys(waiting, _)) => *waiting == id,
            Some(Goal::Counts(waiting, _)) => {
                waiting.retain(|(waiting, _)| *waiting != id);
                waiting.is_empty()
            }
        };
        if nobody_waits && let Some(pass) = self.long.running.take() {
            self.end_view(&pass.view);
        }
    }
}

fn question(request: &Request<'_>) -> Result<Question, Stop> {
    let database = request.encoded.database;
    Ok(match request.command.id {
        Id::Keys => Question::Keys {
            database,
            pattern: next(&mut request.encoded.args.clone())?.to_vec(),
        },
        _ if request.all_databases => Question::Statistics,
        _ => Question::Size { database },
    })
}
