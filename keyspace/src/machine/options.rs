//! The options of SET, GETEX and EXPIRE, parsed as Redis parses them.

use replication::Millis;

use crate::number;
use crate::refusal::Refusal;

/// What an expiry is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
}

/// An expiry as the client gave it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry<'a> {
    pub(super) amount: &'a [u8],
    pub(super) unit: Unit,
    /// Since 1970, not since now.
    pub(super) absolute: bool,
}

impl Expiry<'_> {
    /// When that is, counted from `now`. Like Redis, refuses what is not a positive number of
    /// milliseconds that fits 63 bits.
    pub(super) fn resolve(self, now: Millis, command: &'static str) -> Result<Millis, Refusal> {
        let amount = number::parse(self.amount).ok_or(Refusal::NotInteger)?;
        let invalid = Refusal::ExpireTime(command);
        if amount <= 0 {
            return Err(invalid);
        }
        let millis = match self.unit {
            Unit::Seconds => amount.checked_mul(1_000),
            Unit::Millis => Some(amount),
        };
        let base = if self.absolute { 0 } else { signed(now) };
        millis
            .and_then(|millis| millis.checked_add(base))
            .and_then(|at| u64::try_from(at).ok())
            .map(Millis)
            .ok_or(invalid)
    }
}

/// Group time as a signed number; a stamp beyond 63 bits counts as the last moment there is.
pub(super) fn signed(time: Millis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// What stands behind a SET's key and value, or a GETEX's key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options<'a> {
    pub(super) expiry: Option<Expiry<'a>>,
    pub(super) keep_ttl: bool,
    pub(super) persist: bool,
    pub(super) if_absent: bool,
    pub(super) if_present: bool,
    pub(super) get: bool,
}

/// Whose options they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Set,
    GetEx,
}

impl<'a> Options<'a> {
    /// Reads the options; what contradicts an earlier one, or belongs to another command, is a
    /// syntax error. An expiry may be given twice in the same way: the last counts, as in Redis.
    pub(super) fn parse(
        of: Of,
        mut args: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Options<'a>, Refusal> {
        let set = of == Of::Set;
        let mut options = Options::default();
        while let Some(option) = args.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if set && is("NX") && !options.if_present {
                options.if_absent = true;
            } else if set && is("XX") && !options.if_absent {
                options.if_present = true;
            } else if set && is("GET") {
                options.get = true;
            } else if set && is("KEEPTTL") && options.expiry.is_none() {
                options.keep_ttl = true;
            } else if !set && is("PERSIST") && options.expiry.is_none() {
                options.persist = true;
            } else {
                let (unit, absolute) = match () {
                    () if is("EX") => (Unit::Seconds, false),
                    () if is("PX") => (Unit::Millis, false),
                    () if is("EXAT") => (Unit::Seconds, true),
                    () if is("PXAT") => (Unit::Millis, true),
                    () => return Err(Refusal::Syntax),
                };
                let other = options
                    .expiry
                    .is_some_and(|e| (e.unit, e.absolute) != (unit, absolute));
                let amount = args.next().ok_or(Refusal::Syntax)?;
                if other || options.keep_ttl || options.persist {
                    return Err(Refusal::Syntax);
                }
                options.expiry = Some(Expiry {
                    amount,
                    unit,
                    absolute,
                });
            }
        }
        Ok(options)
    }
}

/// When EXPIRE and its kind are to do anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Condition {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Condition {
    pub(super) fn parse<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<Condition, Refusal> {
        let mut condition = Condition::default();
        for option in args {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            let flag = match () {
                () if is("NX") => &mut condition.if_none,
                () if is("XX") => &mut condition.if_some,
                () if is("GT") => &mut condition.if_later,
                () if is("LT") => &mut condition.if_earlier,
                () => return Err(unsupported(option)),
            };
            *flag = true;
        }
        let Condition {
            if_none,
            if_some,
            if_later,
            if_earlier,
        } = condition;
        if if_none && (if_some || if_later || if_earlier) {
            return Err(Refusal::Text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if if_later && if_earlier {
            return Err(Refusal::Text(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(condition)
    }

    /// Whether a key that expires at `current` may be made to expire at `at`. No expiry counts as
    /// the latest of all.
    pub(super) fn allows(self, current: Option<i64>, at: i64) -> bool {
        let later = current.is_some_and(|current| at > current);
        let earlier = current.is_none_or(|current| at < current);
        (!self.if_none || current.is_none())
            && (!self.if_some || current.is_some())
            && (!self.if_later || later)
            && (!self.if_earlier || earlier)
    }
}

fn unsupported(option: &[u8]) -> Refusal {
    let text = option.split(|byte| *byte == 0).next().unwrap_or_default();
    Refusal::Owned([b"ERR Unsupported option ", text].concat())
}
