//! A batch of commands: what a log entry carries.
//!
//! It is encoded once, where the commands come in; the same bytes then serve the log, the peers
//! and the state machine. All integers are little-endian.
//!
//! ```text
//! semantics u8 · reserved [u8; 3] · count u32 · stamp u64 (ms) · count × (length u32 · command)
//! ```
//!
//! A batch without commands is a tick: it only moves group time.

use bytes::Bytes;

use crate::machine::Millis;

const HEADER_BYTES: usize = 16;
const LENGTH_BYTES: usize = 4;
const RESERVE_BYTES: usize = 64 << 10;

/// The newest version of the commands' meaning that this build has.
pub const SEMANTICS: u8 = 1;

/// What every build understands. Only a leader knows whether its members understand more.
pub(crate) const OLDEST: u8 = 1;

/// A batch under construction.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        BatchBuilder {
            bytes: vec![0; HEADER_BYTES],
            count: 0,
        }
    }
}

impl BatchBuilder {
    /// Adds a command. One copy of its bytes.
    pub fn push(&mut self, command: &[u8]) {
        let length = u32::try_from(command.len()).unwrap_or(u32::MAX);
        assert!(
            length < u32::MAX,
            "a command of 4 GiB cannot stand in a batch"
        );
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(command);
        self.count += 1;
    }

    /// Adds every command of a batch that came from another node, in one copy.
    pub fn extend(&mut self, batch: &Batch) {
        self.bytes
            .extend_from_slice(batch.bytes.get(HEADER_BYTES..).unwrap_or_default());
        self.count += batch.count;
    }

    /// How many commands it holds.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether it holds no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the finished batch, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Finishes the batch with the leader's clock, leaving the builder empty. What its commands mean
    /// is what they have always meant.
    pub fn finish(&mut self, stamp: Millis) -> Batch {
        self.finish_under(OLDEST, stamp)
    }

    /// Finishes the batch with the leader's clock and under a version of the commands' meaning.
    pub fn finish_under(&mut self, semantics: u8, stamp: Millis) -> Batch {
        let BatchBuilder { mut bytes, count } = std::mem::take(self);
        // The next batch is probably about as large.
        self.bytes.reserve(bytes.len().min(RESERVE_BYTES));
        let mut header = [0; HEADER_BYTES];
        header[0] = semantics;
        header[4..8].copy_from_slice(&count.to_le_bytes());
        header[8..16].copy_from_slice(&stamp.0.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(header) {
            *to = from;
        }
        Batch {
            bytes: bytes.into(),
            semantics,
            count,
            stamp,
        }
    }
}

/// A finished batch. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    bytes: Bytes,
    semantics: u8,
    count: u32,
    stamp: Millis,
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Shorter than they say they are.
    #[error("the batch ends at byte {0}, inside a command")]
    Truncated(usize),
    /// Longer than they say they are.
    #[error("{0} bytes follow the batch's last command")]
    Trailing(usize),
    /// Written by a newer build.
    #[error(
        "the batch has semantics version {found}, this build knows up to {known}: upgrade this node"
    )]
    Newer {
        /// The batch's version.
        found: u8,
        /// The newest that the state machine understands.
        known: u8,
    },
}

impl Batch {
    /// Takes bytes that came from the log or a peer. Walks every length once.
    ///
    /// # Errors
    /// When they are not a whole batch.
    pub fn decode(bytes: Bytes) -> Result<Batch, BatchError> {
        let header: &[u8; HEADER_BYTES] = bytes
            .first_chunk()
            .ok_or(BatchError::Truncated(bytes.len()))?;
        let [semantics, _, _, _, c0, c1, c2, c3, stamp @ ..] = *header;
        let batch = Batch {
            semantics,
            count: u32::from_le_bytes([c0, c1, c2, c3]),
            stamp: Millis(u64::from_le_bytes(stamp)),
            bytes,
        };
        let mut commands = batch.commands();
        for _ in 0..batch.count {
            commands
                .next()
                .ok_or(BatchError::Truncated(batch.bytes.len()))?;
        }
        match commands.rest.len() {
            0 => Ok(batch),
            more => Err(BatchError::Trailing(more)),
        }
    }

    /// How many commands an encoded batch says it holds, without looking at them.
    pub(crate) fn count_in(bytes: &[u8]) -> u32 {
        let count = bytes.get(4..).and_then(|rest| rest.first_chunk());
        count.map_or(0, |count| u32::from_le_bytes(*count))
    }

    /// The commands, in order.
    #[must_use]
    pub fn commands(&self) -> Commands<'_> {
        Commands {
            rest: self.bytes.get(HEADER_BYTES..).unwrap_or_default(),
        }
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether it is a tick.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The leader's clock when the batch was finished.
    #[must_use]
    pub fn stamp(&self) -> Millis {
        self.stamp
    }

    /// Under which version of their meaning the commands were written.
    #[must_use]
    pub fn semantics(&self) -> u8 {
        self.semantics
    }

    /// The encoded batch.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// The commands of a batch, in order, borrowed from it.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Commands<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (command, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(commands: &[&[u8]]) -> Batch {
        let mut builder = BatchBuilder::default();
        commands.iter().for_each(|command| builder.push(command));
        builder.finish(Millis(7))
    }

    #[test]
    fn what_goes_in_comes_out() {
        let batch = batch(&[b"set k v", b"", b"get k"]);
        let again = Batch::decode(batch.bytes().clone()).unwrap();
        assert_eq!(again, batch);
        assert_eq!(again.stamp(), Millis(7));
        let commands: Vec<_> = again.commands().collect();
        assert_eq!(commands, [&b"set k v"[..], b"", b"get k"]);
    }

    #[test]
    fn batches_are_joined_without_touching_their_commands() {
        let mut builder = BatchBuilder::default();
        builder.push(b"a");
        builder.extend(&batch(&[b"b", b"c"]));
        let joined = builder.finish(Millis(9));
        assert_eq!(joined.len(), 3);
        assert_eq!(joined.commands().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert!(builder.is_empty());
    }

    #[test]
    fn every_truncation_is_noticed() {
        let whole = batch(&[b"set k v", b"get k"]).bytes().clone();
        for length in 0..whole.len() {
            let cut = Batch::decode(whole.slice(..length));
            assert!(
                matches!(cut, Err(BatchError::Truncated(_))),
                "{length}: {cut:?}"
            );
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert_eq!(Batch::decode(longer.into()), Err(BatchError::Trailing(1)));
    }
}
