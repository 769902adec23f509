//! Payloads that say which one they are, and show when they were damaged.

use bytes::Bytes;

use super::Violation;

/// Bytes that name a payload.
const NAME: usize = 16;

/// A payload of at least [`NAME`] bytes that is the `number`-th of its `series`.
pub(crate) fn numbered(series: u64, number: u64, size: usize) -> Bytes {
    let mut payload = Vec::with_capacity(size.max(NAME));
    payload.extend_from_slice(&series.to_le_bytes());
    payload.extend_from_slice(&number.to_le_bytes());
    payload.extend(filling(number).take(size.saturating_sub(NAME)));
    payload.into()
}

/// Which payload of which series this is, having checked the rest of it.
pub(crate) fn read(payload: &Bytes) -> Result<(u64, u64), Violation> {
    let too_short = || Violation::new("a frame is shorter than any that was sent");
    let (series, rest) = payload.split_first_chunk::<8>().ok_or_else(too_short)?;
    let (number, rest) = rest.split_first_chunk::<8>().ok_or_else(too_short)?;
    let (series, number) = (u64::from_le_bytes(*series), u64::from_le_bytes(*number));
    if rest.iter().zip(filling(number)).any(|(is, was)| *is != was) {
        return Err(Violation::new(format!(
            "frame {number} of series {series} was damaged on its way"
        )));
    }
    Ok((series, number))
}

/// Bytes that differ from frame to frame and from place to place, with no short period.
fn filling(number: u64) -> impl Iterator<Item = u8> {
    (number..).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
}
