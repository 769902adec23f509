//! The machine's own rows: how far it has applied, group time, and the members.
//!
//! ```text
//! FF FF 00 01   version u8 · index u64 · round u64 · ballot node u64 · group time u64      big-endian
//! FF FF 00 02   version u8 · members (count u32 · (node u64 · disk u128)…)
//!                          · voters (count u32 · node u64…) · outgoing voters (the same)
//! FF FF 00 03   which space each database stands in: see `spaces`
//! FF FF 01 …    the index of expiries: see `expiry`
//! ```
//!
//! They stand above every database, so that emptying all databases is one range.

use std::collections::BTreeSet;

use replication::{DiskId, Epoch, Index, Member, Membership, Millis, NodeId, Position};
use storage::{Engine, EngineError, FrozenRows};

use super::KeyspaceError;

const STATE_ROW: &[u8] = &[0xFF, 0xFF, 0, 1];
const MEMBERSHIP_ROW: &[u8] = &[0xFF, 0xFF, 0, 2];
const VERSION: u8 = 1;

/// How far the machine has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) applied: Position,
    pub(super) group_time: Millis,
}

pub(super) fn read_state(engine: &impl Engine) -> Result<State, KeyspaceError> {
    match engine.get(STATE_ROW)? {
        Some(row) => parse_state(&row),
        None => Ok(State::default()),
    }
}

/// The same, as a crash would leave it.
pub(super) fn read_durable_state(engine: &impl Engine) -> Result<State, KeyspaceError> {
    match engine.get_durable(STATE_ROW)? {
        Some(row) => parse_state(&row),
        None => Ok(State::default()),
    }
}

/// How far a frozen keyspace had applied, and who its members were.
///
/// # Errors
/// When it cannot be read, or holds what no release has written.
pub fn frozen_at(rows: &mut dyn FrozenRows) -> Result<(Position, Membership), KeyspaceError> {
    let state = rows.get(STATE_ROW)?;
    let state = state.map_or(Ok(State::default()), |row| parse_state(&row))?;
    let membership = rows.get(MEMBERSHIP_ROW)?;
    let membership = membership.map_or(Ok(Membership::default()), |row| parse_membership(&row))?;
    Ok((state.applied, membership))
}

fn parse_state(row: &[u8]) -> Result<State, KeyspaceError> {
    let mut fields = Fields(row);
    let state = (|| {
        (fields.take::<1>()? == [VERSION]).then_some(())?;
        let state = State {
            applied: Position {
                index: Index(fields.number()?),
                epoch: Epoch {
                    round: fields.number()?,
                    node: NodeId(fields.number()?),
                },
            },
            group_time: Millis(fields.number()?),
        };
        fields.0.is_empty().then_some(state)
    })();
    state.ok_or(KeyspaceError::Unreadable {
        what: "applied position",
    })
}

pub(super) fn write_state(engine: &mut impl Engine, state: State) -> Result<(), EngineError> {
    let Position { index, epoch } = state.applied;
    let mut row = [VERSION; 33];
    let numbers = [index.0, epoch.round, epoch.node.0, state.group_time.0];
    let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
    for (to, from) in row.iter_mut().skip(1).zip(bytes) {
        *to = from;
    }
    engine.put(STATE_ROW, &row)
}

pub(super) fn read_membership(engine: &impl Engine) -> Result<Membership, KeyspaceError> {
    match engine.get(MEMBERSHIP_ROW)? {
        Some(row) => parse_membership(&row),
        None => Ok(Membership::default()),
    }
}

fn parse_membership(row: &[u8]) -> Result<Membership, KeyspaceError> {
    let mut fields = Fields(row);
    let membership = (|| {
        (fields.take::<1>()? == [VERSION]).then_some(())?;
        let mut membership = Membership::default();
        for _ in 0..fields.count()? {
            let node = NodeId(fields.number()?);
            let disk = DiskId(u128::from_be_bytes(fields.take()?));
            membership.members.insert(node, Member { disk });
        }
        membership.voters = fields.nodes()?;
        membership.outgoing = fields.nodes()?;
        fields.0.is_empty().then_some(membership)
    })();
    membership.ok_or(KeyspaceError::Unreadable { what: "membership" })
}

pub(super) fn write_membership(
    engine: &mut impl Engine,
    membership: &Membership,
) -> Result<(), EngineError> {
    let mut row = vec![VERSION];
    let count = |row: &mut Vec<u8>, count: usize| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        row.extend_from_slice(&count.to_be_bytes());
    };
    count(&mut row, membership.members.len());
    for (node, member) in &membership.members {
        row.extend_from_slice(&node.0.to_be_bytes());
        row.extend_from_slice(&member.disk.0.to_be_bytes());
    }
    for nodes in [&membership.voters, &membership.outgoing] {
        count(&mut row, nodes.len());
        for node in nodes {
            row.extend_from_slice(&node.0.to_be_bytes());
        }
    }
    engine.put(MEMBERSHIP_ROW, &row)
}

/// A row that is being read; every step is `None` once it is too short.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn count(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn nodes(&mut self) -> Option<BTreeSet<NodeId>> {
        let count = self.count()?;
        (0..count).map(|_| self.number().map(NodeId)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::MemoryEngine;

    #[test]
    fn what_is_written_is_read() {
        let mut engine = MemoryEngine::default();
        assert_eq!(read_state(&engine).unwrap(), State::default());
        assert_eq!(read_membership(&engine).unwrap(), Membership::default());
        let state = State {
            applied: Position {
                index: Index(7),
                epoch: Epoch {
                    round: 3,
                    node: NodeId(2),
                },
            },
            group_time: Millis(1_700_000_000_000),
        };
        let mut membership = Membership::of_voters([1, 2, 3].map(NodeId));
        membership.members.insert(
            NodeId(4),
            Member {
                disk: DiskId(u128::MAX - 5),
            },
        );
        membership.outgoing = [NodeId(1), NodeId(4)].into();
        write_state(&mut engine, state).unwrap();
        write_membership(&mut engine, &membership).unwrap();
        assert_eq!(read_state(&engine).unwrap(), state);
        assert_eq!(read_membership(&engine).unwrap(), membership);
    }

    #[test]
    fn damaged_rows_are_errors() {
        for row in [STATE_ROW, MEMBERSHIP_ROW] {
            for value in [&b""[..], b"\x02", b"\x01\0", &[1; 60], &[0; 33]] {
                let mut engine = MemoryEngine::default();
                engine.put(row, value).unwrap();
                let error = crate::Keyspace::open(engine).unwrap_err();
                assert!(matches!(error, KeyspaceError::Unreadable { .. }), "{error}");
            }
        }
    }
}
