//! What a node must not forget (Raft §5.1, figure 2, "persistent state"), and its bytes.
//!
//! The log is the host's; the term and the vote travel as one opaque value,
//! [`LogOp::HardState`](consensus::LogOp). Three more things stand beside them. `lives` counts the
//! lives in which this node has asked a leader for a read index, so that an answer to a former
//! life is never taken for one to this life. `lost` remembers that a hard state could not be read:
//! whom this node had voted for is forgotten, and a later, readable hard state must not hide that.
//! `damaged` remembers that the log has lost entries and that no leader has made it good yet: once
//! the log begins anew behind what is applied, nothing on the disk shows the loss any more.
//!
//! Layout, little endian: version (1 byte, now 1), flags (1 byte, bit 0 is `lost`, bit 1 `damaged`),
//! term (8), voted_for (8, zero for nobody), lives (8). Checksums are the log store's.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use consensus::NodeId;

const VERSION: u8 = 1;
const LENGTH: usize = 26;
const LOST: u8 = 1;
const DAMAGED: u8 = 2;

/// Raft's persistent state besides the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HardState {
    pub(crate) term: u64,
    pub(crate) voted_for: Option<NodeId>,
    pub(crate) lives: u64,
    pub(crate) lost: bool,
    pub(crate) damaged: bool,
}

impl HardState {
    /// Its bytes. Allocates, as elections may.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        let lost = if self.lost { LOST } else { 0 };
        let damaged = if self.damaged { DAMAGED } else { 0 };
        bytes.push(lost | damaged);
        bytes.extend_from_slice(&self.term.to_le_bytes());
        bytes.extend_from_slice(&self.voted_for.unwrap_or_default().0.to_le_bytes());
        bytes.extend_from_slice(&self.lives.to_le_bytes());
        Bytes::from(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` when these are not such bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, numbers) = bytes.split_first_chunk::<2>()?;
        let (term, numbers) = numbers.split_first_chunk::<8>()?;
        let (voted_for, numbers) = numbers.split_first_chunk::<8>()?;
        let (lives, rest) = numbers.split_first_chunk::<8>()?;
        let [version, flags] = *head;
        if version != VERSION || flags & !(LOST | DAMAGED) != 0 || !rest.is_empty() {
            return None;
        }
        let voted_for = NodeId(u64::from_le_bytes(*voted_for));
        Some(HardState {
            term: u64::from_le_bytes(*term),
            voted_for: (voted_for != NodeId(0)).then_some(voted_for),
            lives: u64::from_le_bytes(*lives),
            lost: flags & LOST != 0,
            damaged: flags & DAMAGED != 0,
        })
    }
}

/// What a hard state says, in words, for people who look at a disk; `None` when the bytes are none.
/// Allocates.
#[must_use]
pub fn describe(bytes: &[u8]) -> Option<String> {
    let state = HardState::decode(bytes)?;
    let vote = match state.voted_for {
        Some(node) => alloc::format!("voted for node {}", node.0),
        None => "voted for nobody".into(),
    };
    let lost = if state.lost {
        ", an earlier vote is lost"
    } else {
        ""
    };
    let damaged = if state.damaged {
        ", entries are lost and not made good yet"
    } else {
        ""
    };
    Some(alloc::format!("term {}, {vote}{lost}{damaged}", state.term))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_were_written() {
        for voted_for in [None, Some(NodeId(3))] {
            for (lost, damaged) in [(false, false), (true, false), (false, true)] {
                let state = HardState {
                    term: 7,
                    voted_for,
                    lives: 2,
                    lost,
                    damaged,
                };
                assert_eq!(HardState::decode(&state.encode()), Some(state));
            }
        }
    }

    #[test]
    fn the_layout_does_not_change() {
        let state = HardState {
            term: 0x0102,
            voted_for: Some(NodeId(3)),
            lives: 4,
            lost: true,
            damaged: true,
        };
        let bytes: [u8; 26] = [
            1, 3, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(state.encode(), &bytes[..]);
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = HardState::default().encode();
        assert_eq!(HardState::decode(&[]), None);
        assert_eq!(HardState::decode(&good[..25]), None);
        assert_eq!(HardState::decode(&[&good[..], &[0]].concat()), None);
        for (at, value) in [(0, 2), (1, 4)] {
            let mut bad = good.to_vec();
            bad[at] = value;
            assert_eq!(HardState::decode(&bad), None);
        }
    }
}
