//! What to do, read off a fuzzer's input: where bytes alone would hardly ever get past a checksum,
//! they choose instead what valid input is made and how it is damaged.
//!
//! An input that has ended reads as zeros, so every input is a script.

/// The rest of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    /// Whether all of it has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `end`, which is at most 2^16 and not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = match end {
            0..=256 => usize::from(self.byte()),
            _ => usize::from(self.byte()) << 8 | usize::from(self.byte()),
        };
        number % end
    }

    /// A number, most often small or next to where arithmetic goes wrong.
    pub(crate) fn number(&mut self) -> u64 {
        let byte = self.byte();
        let small = u64::from(byte & 0x3f);
        match byte >> 6 {
            0 | 1 => small,
            2 => (1_u64 << (small % 64)).wrapping_sub(u64::from(self.byte() & 1)),
            _ => u64::MAX - small,
        }
    }

    /// The next bytes, at most `max` of them.
    pub(crate) fn bytes(&mut self, max: usize) -> &'a [u8] {
        let length = self.below(max + 1).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Changes `bytes` in one place: a bit or a few bytes other than they were, some missing, some
    /// too many, or all behind a place gone.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let kind = self.below(5);
        let at = (self.below(1 << 16) << 8 | usize::from(self.byte())) % bytes.len();
        match kind {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => {
                let new = self.bytes(64);
                for (place, byte) in bytes[at..].iter_mut().zip(new) {
                    *place = *byte;
                }
            }
            2 => {
                let end = bytes.len().min(at + 1 + self.below(1 << 12));
                bytes.drain(at..end);
            }
            3 => {
                let new = self.bytes(64).to_vec();
                bytes.splice(at..at, new);
            }
            _ => bytes.truncate(at),
        }
    }
}
