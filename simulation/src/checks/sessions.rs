//! Session order: a client's commands take effect in the order in which it sends them, whichever key,
//! whichever node, pipelined or after a new connection. So nobody misses a write of its own that was
//! acknowledged, and no read is older than one before it.
//!
//! Linearizability says the same key by key; this looks at places in the log, over all keys. A write
//! stands at its index. A read was answered by some state between the beginning and the end of a
//! node's turn: it must not be certain that this was too early. Of what was answered and never
//! arrived a client knows nothing, and nothing follows from it.
//!
//! Reads that are under way at the same time are not ordered among each other: one that meets a
//! key which is due waits for a tick of the group's time, and those behind it do not.

use std::collections::BTreeMap;

use consensus::Index;

use super::Verdict;

/// The earliest and the latest place at which a command took effect.
type Span = (Index, Index);

/// A command of which a node has said what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect {
    /// It was read beside the log, or was to be.
    pub(crate) read: bool,
    /// If it took effect.
    pub(crate) seen: Option<Span>,
}

impl Effect {
    fn span(self) -> Span {
        self.seen.unwrap_or((Index::ZERO, Index(u64::MAX)))
    }
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Sessions {
    clients: Vec<Session>,
}

/// A client.
#[derive(Clone, Debug, Default)]
struct Session {
    connection: u64,
    /// Where everything stands that it knew when it sent what it waits for.
    floor: Index,
    /// What it waits for, by slot, as far as it is answered.
    answered: BTreeMap<u64, Effect>,
    /// How many of these answers have arrived.
    heard: usize,
}

impl Sessions {
    pub(crate) fn new(clients: usize) -> Self {
        Sessions {
            clients: vec![Session::default(); clients],
        }
    }

    /// A client sends a pipeline: it knows what it has heard.
    pub(crate) fn sends(&mut self, client: usize, connection: u64) {
        let session = &mut self.clients[client];
        let heard = session.answered.values().take(session.heard);
        let known = heard.map(|effect| effect.span().0).max();
        session.floor = session.floor.max(known.unwrap_or_default());
        session.answered.clear();
        session.heard = 0;
        session.connection = connection;
    }

    /// The next answer arrives.
    pub(crate) fn hears(&mut self, client: usize) {
        self.clients[client].heard += 1;
    }

    /// A node has answered a command.
    pub(crate) fn answered(
        &mut self,
        client: usize,
        connection: u64,
        slot: u64,
        effect: Effect,
    ) -> Verdict {
        let session = &mut self.clients[client];
        if session.connection != connection {
            return Ok(());
        }
        let (earliest, latest) = effect.span();
        let orders = |other: &&Effect| !(effect.read && other.read);
        let before = session.answered.range(..slot).map(|(_, other)| other);
        let before = before.filter(orders).map(|other| other.span().0);
        let before = before.fold(session.floor, Index::max);
        let after = session.answered.range(slot + 1..).map(|(_, other)| other);
        let after = after.filter(orders).map(|other| other.span().1);
        let after = after.fold(Index(u64::MAX), Index::min);
        session.answered.insert(slot, effect);
        if latest >= before && earliest <= after {
            return Ok(());
        }
        let (known, what) = match latest < before {
            true => (before, "before"),
            false => (after, "after"),
        };
        Err((
            "session order",
            format!(
                "client {client} is answered from index {latest}, and what it asked {what} that \
                 took effect at {known}"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WROTE_AT_9: Effect = Effect {
        read: false,
        seen: Some((Index(9), Index(9))),
    };
    const READ_AT_7_OR_8: Effect = Effect {
        read: true,
        seen: Some((Index(7), Index(8))),
    };
    const READ_AT_10: Effect = Effect {
        read: true,
        seen: Some((Index(10), Index(10))),
    };
    const NOT_EXECUTED: Effect = Effect {
        read: false,
        seen: None,
    };

    #[test]
    fn an_own_write_that_was_acknowledged_is_seen_through_another_node() {
        for heard in [true, false] {
            let mut sessions = Sessions::new(1);
            sessions.sends(0, 1);
            assert_eq!(sessions.answered(0, 1, 0, WROTE_AT_9), Ok(()));
            if heard {
                sessions.hears(0);
            }
            sessions.sends(0, 2);
            let verdict = sessions.answered(0, 2, 0, READ_AT_7_OR_8);
            assert_eq!(verdict.is_err(), heard);
        }
    }

    #[test]
    fn a_pipeline_takes_effect_in_order_however_it_is_answered() {
        let mut sessions = Sessions::new(1);
        sessions.sends(0, 1);
        assert_eq!(sessions.answered(0, 1, 0, READ_AT_7_OR_8), Ok(()));
        assert_eq!(sessions.answered(0, 1, 2, WROTE_AT_9), Ok(()));
        assert_eq!(sessions.answered(0, 1, 1, READ_AT_7_OR_8), Ok(()));
        assert!(sessions.answered(0, 1, 3, READ_AT_7_OR_8).is_err());
        sessions.sends(0, 1);
        assert_eq!(sessions.answered(0, 1, 5, WROTE_AT_9), Ok(()));
        assert!(sessions.answered(0, 1, 4, READ_AT_10).is_err());
    }

    #[test]
    fn reads_are_ordered_once_the_earlier_one_is_heard_of() {
        for heard in [true, false] {
            let mut sessions = Sessions::new(1);
            sessions.sends(0, 1);
            assert_eq!(sessions.answered(0, 1, 0, READ_AT_10), Ok(()));
            if heard {
                sessions.hears(0);
                sessions.sends(0, 1);
            }
            let verdict = sessions.answered(0, 1, 1, READ_AT_7_OR_8);
            assert_eq!(verdict.is_err(), heard);
        }
    }

    #[test]
    fn what_was_not_executed_orders_nothing() {
        let mut sessions = Sessions::new(1);
        sessions.sends(0, 1);
        assert_eq!(sessions.answered(0, 1, 0, WROTE_AT_9), Ok(()));
        assert_eq!(sessions.answered(0, 1, 1, NOT_EXECUTED), Ok(()));
        let of_another = sessions.answered(0, 7, 2, READ_AT_7_OR_8);
        assert_eq!(of_another, Ok(()));
    }
}
