//! Replies in the order of their commands, however the commands complete.
//!
//! A reply that is next in line goes straight into the output; one that comes early is kept, in
//! the form its command's protocol wants, until those before it are there. A command whose reply
//! is suppressed keeps its place all the same, so that the others keep theirs.

use std::collections::VecDeque;

use resp::encode;

use crate::host::{Outcome, Slot};

/// The protocol that replies are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Resp2,
    Resp3,
}

impl Protocol {
    pub(super) fn version(self) -> u8 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// How a reply is to be rendered, decided when its command was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) protocol: Protocol,
    /// CLIENT REPLY says that there is to be none.
    pub(super) silent: bool,
}

/// What a reply is awaited from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A query.
    Read,
    /// A read that travels in the log.
    LoggedRead,
    /// A query that everything behind it waits for.
    Long,
    /// What INFO says of the databases.
    Info,
    /// A write.
    Write,
    /// WAIT.
    Wait,
    /// WAITAOF.
    WaitAof,
}

#[derive(Debug)]
struct Place {
    kind: Kind,
    style: Style,
    /// What the command weighs, in bytes.
    bytes: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Awaited,
    /// An allocation for each reply that comes early: those are the exception.
    Ready(Vec<u8>),
}

/// The replies of one session.
#[derive(Debug)]
pub(super) struct Replies {
    pub(super) output: Vec<u8>,
    places: VecDeque<Place>,
    /// The slot of the first place.
    first: u64,
    /// Places that await a query.
    pub(super) reads: usize,
    /// Places that await the log.
    pub(super) logged: usize,
    /// Places that await a query which takes long.
    pub(super) longs: usize,
    /// Places that await copies.
    pub(super) waits: usize,
    /// What the awaited commands weigh.
    pub(super) command_bytes: usize,
    /// What the replies weigh that came early.
    pub(super) early_bytes: usize,
    /// A generous guess at the size of the next reply: the largest lately.
    typical_bytes: usize,
    /// Errors among the replies, since it was last asked.
    pub(super) errors: u64,
    /// Everything that ever went into the output.
    pub(super) bytes_out: u64,
}

/// What a reply is taken to weigh before there has been one: large, so that a new connection
/// cannot ask for hundreds of large values before the first of them shows how large they are.
const FIRST_GUESS_BYTES: usize = 1 << 20;

/// How much empty room is kept for the next replies.
const KEPT_BYTES_MAX: usize = 1 << 20;
const KEPT_PLACES_MAX: usize = 1_024;

impl Replies {
    pub(super) fn new() -> Self {
        Replies {
            output: Vec::new(),
            places: VecDeque::new(),
            first: 0,
            reads: 0,
            logged: 0,
            longs: 0,
            waits: 0,
            command_bytes: 0,
            early_bytes: 0,
            typical_bytes: FIRST_GUESS_BYTES,
            errors: 0,
            bytes_out: 0,
        }
    }

    /// How many replies are still to come or to be put in order.
    pub(super) fn outstanding(&self) -> usize {
        self.places.len()
    }

    /// What the replies still to come may weigh, going by those that came lately.
    pub(super) fn expected_bytes(&self) -> usize {
        self.places.len().saturating_mul(self.typical_bytes)
    }

    /// Gives back what a burst has left behind, so that an idle connection costs little.
    pub(super) fn trim(&mut self) {
        if self.output.is_empty() && self.output.capacity() > KEPT_BYTES_MAX {
            self.output = Vec::new();
        }
        if self.places.is_empty() && self.places.capacity() > KEPT_PLACES_MAX {
            self.places = VecDeque::new();
        }
    }

    /// Takes the next place, for a reply to come.
    pub(super) fn expect(&mut self, kind: Kind, style: Style, bytes: usize) -> Slot {
        let slot = Slot(self.first + self.places.len() as u64);
        *self.count(kind) += 1;
        self.command_bytes += bytes;
        self.places.push_back(Place {
            kind,
            style,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            state: State::Awaited,
        });
        slot
    }

    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Read => &mut self.reads,
            Kind::LoggedRead | Kind::Write => &mut self.logged,
            Kind::Long | Kind::Info => &mut self.longs,
            Kind::Wait | Kind::WaitAof => &mut self.waits,
        }
    }

    /// Takes the next place with a reply that is already there, in RESP3.
    pub(super) fn answer(&mut self, style: Style, reply: &[u8]) {
        self.errors += u64::from(reply.first() == Some(&b'-'));
        if self.places.is_empty() {
            let before = self.output.len();
            render(style, reply, &mut self.output);
            self.bytes_out += (self.output.len() - before) as u64;
            self.first += 1;
            return;
        }
        let mut early = Vec::new();
        render(style, reply, &mut early);
        self.early_bytes += early.len();
        self.places.push_back(Place {
            kind: Kind::Read,
            style,
            bytes: 0,
            state: State::Ready(early),
        });
    }

    /// Puts an awaited reply into its place; says what it was awaited from.
    pub(super) fn complete(&mut self, slot: Slot, outcome: Outcome<'_>) -> Kind {
        let at = slot.0.checked_sub(self.first);
        let place = at
            .and_then(|at| self.places.get_mut(usize::try_from(at).ok()?))
            .filter(|place| matches!(place.state, State::Awaited));
        let Some(place) = place else {
            unreachable!("slot {} is not awaited: a reply is given once", slot.0);
        };
        let (kind, style, bytes) = (place.kind, place.style, place.bytes as usize);
        let length = if at == Some(0) {
            let before = self.output.len();
            self.errors += u64::from(settle(kind, style, outcome, &mut self.output));
            let length = self.output.len() - before;
            self.bytes_out += length as u64;
            self.places.pop_front();
            self.first += 1;
            length
        } else {
            let mut early = Vec::new();
            self.errors += u64::from(settle(kind, style, outcome, &mut early));
            let length = early.len();
            self.early_bytes += length;
            place.state = State::Ready(early);
            length
        };
        // Rises at once, falls slowly.
        let fallen = self.typical_bytes - self.typical_bytes / 16;
        self.typical_bytes = fallen.max(length);
        *self.count(kind) -= 1;
        self.command_bytes -= bytes;
        self.release();
        kind
    }

    /// Lets out what waited only for those before it.
    fn release(&mut self) {
        while let Some(Place {
            state: State::Ready(early),
            ..
        }) = self.places.front()
        {
            self.output.extend_from_slice(early);
            self.bytes_out += early.len() as u64;
            self.early_bytes -= early.len();
            self.places.pop_front();
            self.first += 1;
        }
    }
}

/// Writes a reply as its connection wants it.
fn render(style: Style, reply: &[u8], out: &mut Vec<u8>) {
    if style.silent {
        return;
    }
    // Simple strings, errors, integers and bulk strings are the same in both protocols.
    let same = matches!(reply.first(), Some(b'+' | b'-' | b':' | b'$'));
    match style.protocol {
        _ if same => out.extend_from_slice(reply),
        Protocol::Resp2 => resp::downgrade(reply, out),
        Protocol::Resp3 => resp::upgrade(reply, out),
    }
}

/// Writes what an outcome says; whether that is an error.
fn settle(kind: Kind, style: Style, outcome: Outcome<'_>, out: &mut Vec<u8>) -> bool {
    let error = match (outcome, kind) {
        // The keys of a database, of which there may be a million: they look the same in both
        // protocols, and so does their number.
        (Outcome::Reply(reply), Kind::Long) => {
            if !style.silent {
                out.extend_from_slice(reply);
            }
            return reply.first() == Some(&b'-');
        }
        (Outcome::Reply(reply), Kind::Read | Kind::LoggedRead | Kind::Write | Kind::Info) => {
            render(style, reply, out);
            return reply.first() == Some(&b'-');
        }
        (Outcome::Durable { local, replicas }, Kind::Wait | Kind::WaitAof) => {
            let mut reply = Vec::new();
            if kind == Kind::WaitAof {
                encode::array(&mut reply, 2);
                encode::integer(&mut reply, i64::from(local));
            }
            encode::integer(&mut reply, i64::from(replicas));
            render(style, &reply, out);
            return false;
        }
        (Outcome::Unknown, Kind::Write) => {
            "UNKNOWN outcome not known: leadership changed while the command was under way, so it \
             may have taken effect, or may yet; read what it changes before sending it again"
        }
        // What only reads can be asked again, whatever became of it.
        (Outcome::Unknown, _) => {
            "TRYAGAIN leadership changed while the command was under way; it changes nothing: send \
             it again"
        }
        (Outcome::NoLeader, _) => {
            "CLUSTERDOWN no leader was found in time, and the command was not executed; send it \
             again later"
        }
        (Outcome::NotExecuted, _) => {
            "TRYAGAIN leadership changed before the command was executed, and it was not; send it \
             again"
        }
        (Outcome::Reply(_), Kind::Wait | Kind::WaitAof) | (Outcome::Durable { .. }, _) => {
            unreachable!("{outcome:?} does not answer {kind:?}")
        }
    };
    if !style.silent {
        encode::error(out, error);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        protocol: Protocol::Resp2,
        silent: false,
    };

    #[test]
    fn replies_keep_their_order_whatever_order_they_come_in() {
        let mut replies = Replies::new();
        let a = replies.expect(Kind::Read, STYLE, 10);
        let b = replies.expect(Kind::Read, STYLE, 10);
        replies.answer(STYLE, b"+c\r\n");
        let d = replies.expect(Kind::Write, STYLE, 10);
        replies.complete(d, Outcome::Reply(b"+d\r\n"));
        replies.complete(b, Outcome::Reply(b"_\r\n"));
        assert_eq!(replies.output, b"");
        assert_eq!(replies.early_bytes, 4 + 5 + 4);
        replies.complete(a, Outcome::Reply(b"+a\r\n"));
        assert_eq!(replies.output, b"+a\r\n$-1\r\n+c\r\n+d\r\n");
        assert_eq!((replies.outstanding(), replies.early_bytes), (0, 0));
        assert_eq!(
            (replies.reads, replies.logged, replies.command_bytes),
            (0, 0, 0)
        );
        assert_eq!(replies.bytes_out, 17);
    }

    #[test]
    #[should_panic(expected = "slot 0 is not awaited")]
    fn a_reply_given_twice_is_a_bug_of_the_node() {
        let mut replies = Replies::new();
        let slot = replies.expect(Kind::Read, STYLE, 10);
        replies.expect(Kind::Read, STYLE, 10);
        replies.complete(slot, Outcome::Reply(b"+a\r\n"));
        replies.complete(slot, Outcome::Reply(b"+a\r\n"));
    }

    #[test]
    fn the_guess_at_a_replys_size_rises_at_once_and_falls_slowly() {
        let mut replies = Replies::new();
        let once = |replies: &mut Replies, length: usize| {
            let slot = replies.expect(Kind::Read, STYLE, 10);
            replies.complete(slot, Outcome::Reply(&vec![b'+'; length]));
            replies.output.clear();
            replies.typical_bytes
        };
        assert_eq!(once(&mut replies, 1 << 20), 1 << 20);
        assert!(once(&mut replies, 10) > 900_000);
        for _ in 0..200 {
            once(&mut replies, 10);
        }
        assert!(once(&mut replies, 10) < 100);
    }
}
