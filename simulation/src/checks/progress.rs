//! Progress: once everything is mended, every client is served within a bound, and all copies
//! come to be the same.

use crate::queue::Time;

/// How long after the healing every client must have been served.
pub(crate) const SERVED_WITHIN: Time = Time::ms(15_000);
/// How long after that all copies must be the same.
pub(crate) const SETTLED_WITHIN: Time = Time::ms(15_000);
