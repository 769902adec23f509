//! Two versions of the product that exist only here: the one that everybody runs in the end, whose
//! commands mean a little more than those of the real code, and the one before it, which is the
//! real code without its latest messages. So a cluster can be upgraded node by node while faults
//! strike, though only one version has been written.

use consensus::Position;
use keyspace::{Keyspace, KeyspaceError, command, table};
use replication::{EntryInfo, LongId, Message, Millis, Query, SEMANTICS, StateMachine};
use storage::{Flush, Frozen, MemoryEngine, ViewId};

/// The version of the commands' meaning that no real build has yet.
const NEXT: u8 = SEMANTICS + 1;

/// Whether the older version's codec has this message. On a connection with a node that runs it
/// both sides say only what both can read.
pub(crate) const fn is_in_older<M>(message: &Message<M>) -> bool {
    !matches!(
        message,
        Message::Keep { .. } | Message::Receiving { .. } | Message::Understands { .. }
    )
}

/// A keyspace of one of the two versions. In the newer meaning every entry also counts itself, so
/// that nodes which do not agree on the meaning soon differ.
#[derive(Debug)]
pub struct Versioned {
    keyspace: Keyspace<MemoryEngine>,
    knows: u8,
    count: Vec<u8>,
}

impl Versioned {
    /// The newer version.
    pub(crate) fn new(keyspace: Keyspace<MemoryEngine>) -> Self {
        let mut count = Vec::new();
        let incr = table::lookup(b"incr").and_then(|spec| spec.number());
        let number = incr.unwrap_or_else(|| panic!("INCR goes through the log"));
        command::encode(&mut count, 0, number, [&b"entries"[..]].into_iter());
        Versioned {
            keyspace,
            knows: NEXT,
            count,
        }
    }

    /// The same in a build one version behind.
    pub(crate) fn behind(self) -> Self {
        Versioned {
            knows: SEMANTICS,
            ..self
        }
    }

    pub(crate) fn engine(&self) -> &MemoryEngine {
        self.keyspace.engine()
    }
}

impl StateMachine for Versioned {
    type Error = KeyspaceError;

    fn applied(&self) -> Position {
        self.keyspace.applied()
    }

    fn semantics(&self) -> u8 {
        self.knows
    }

    fn begin(&mut self, entry: EntryInfo<'_>) -> Result<(), Self::Error> {
        let semantics = entry.semantics.min(SEMANTICS);
        self.keyspace.begin(EntryInfo { semantics, ..entry })?;
        if entry.semantics == NEXT {
            self.keyspace.apply(&self.count, None)?;
        }
        Ok(())
    }

    fn expect(&self, commands: &mut dyn Iterator<Item = &[u8]>) {
        self.keyspace.expect(commands);
    }

    fn apply(&mut self, command: &[u8], reply: Option<&mut Vec<u8>>) -> Result<(), Self::Error> {
        self.keyspace.apply(command, reply)
    }

    fn commit(&mut self) -> Result<(), Self::Error> {
        self.keyspace.commit()
    }

    fn query(
        &self,
        query: &[u8],
        clock: Millis,
        reply: &mut Vec<u8>,
    ) -> Result<Query, Self::Error> {
        self.keyspace.query(query, clock, reply)
    }

    fn begin_long(&mut self, id: LongId, query: &[u8]) -> Result<(), Self::Error> {
        self.keyspace.begin_long(id, query)
    }

    fn work(&mut self, answer: &mut dyn FnMut(LongId, &[u8])) -> Result<(), Self::Error> {
        self.keyspace.work(answer)
    }

    fn is_busy(&self) -> bool {
        self.keyspace.is_busy()
    }

    fn has_work(&self) -> bool {
        self.keyspace.has_work()
    }

    fn is_waiting(&self) -> bool {
        self.keyspace.is_waiting()
    }

    fn cancel_long(&mut self, id: LongId) {
        self.keyspace.cancel_long(id);
    }

    fn flush(&mut self) -> Result<Flush, Self::Error> {
        self.keyspace.flush()
    }

    fn durable(&self) -> Result<Position, Self::Error> {
        self.keyspace.durable()
    }

    fn freeze(&mut self) -> Result<Option<Frozen>, Self::Error> {
        self.keyspace.freeze()
    }

    fn read_frozen(
        &mut self,
        view: ViewId,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, Self::Error> {
        self.keyspace.read_frozen(view, max_bytes, visit)
    }

    fn thaw(&mut self, view: ViewId) {
        self.keyspace.thaw(view);
    }

    fn next_due(&self) -> Option<Millis> {
        self.keyspace.next_due()
    }
}
