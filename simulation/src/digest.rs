//! Digests: of a run's events, so that two runs can be told to be the same; of payloads and states,
//! so that copies can be compared.

/// The digest of some bytes.
pub(crate) fn bytes(bytes: &[u8]) -> u64 {
    let mut digest = Digest(bytes.len() as u64);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        digest.add(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
    }
    let mut rest = [0; 8];
    rest.iter_mut()
        .zip(chunks.remainder())
        .for_each(|(to, from)| *to = *from);
    digest.add(u64::from_le_bytes(rest));
    digest.0
}

/// A digest that grows. The order of what is added matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    pub(crate) const fn add(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 31);
    }
}
