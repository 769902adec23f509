//! Suites that say in tests what the traits of this crate say in prose.
//!
//! Each has two forms. The macros ([`engine_suite!`](crate::engine_suite),
//! [`log_store_suite!`](crate::log_store_suite), [`log_crash_suite!`](crate::log_crash_suite),
//! [`disk_suite!`](crate::disk_suite)) expand to one named `#[test]` per case. The functions
//! `run_all` run the same cases and return the first failure. Every suite is itself tested by
//! implementations that are broken in one way each, which it must reject.

pub mod crash;
pub mod disk;
pub mod engine;
pub mod kill;
pub mod log;
mod workload;

use std::error::Error;
use std::fmt;

/// What a case comes to: nothing, or what went wrong, in words.
pub type Outcome = Result<(), String>;

/// A case that an implementation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    case: &'static str,
    what: String,
}

impl Failure {
    /// The name of the case, as it stands in this module.
    #[must_use]
    pub fn case(&self) -> &'static str {
        self.case
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.case, self.what)
    }
}

impl Error for Failure {}

/// Gives an outcome its case's name. For the macros.
///
/// # Errors
/// When the outcome is one.
#[doc(hidden)]
pub fn named(case: &'static str, outcome: Outcome) -> Result<(), Failure> {
    outcome.map_err(|what| Failure { case, what })
}

/// As much of a value as a person wants to read.
pub(crate) fn clip(value: &impl fmt::Debug) -> String {
    const LENGTH_MAX: usize = 400;
    let text = format!("{value:?}");
    match text.char_indices().nth(LENGTH_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Leaves the case unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

/// Leaves the case unless two values are equal.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {
        match (&$left, &$right) {
            (left, right) if left == right => {}
            (left, right) => {
                let (found, expected) = ($crate::conformance::clip(left), $crate::conformance::clip(right));
                let what = format!($($what)+);
                return Err(format!("{what}: found {found}, expected {expected}"));
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq};

/// Expands to one test per case.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    (($suite:ident, $new:expr) $($case:ident)+) => {
        $(
            #[test]
            fn $case() {
                let outcome = $crate::conformance::$suite::$case(&mut || $new);
                if let Err(what) = outcome {
                    panic!("{what}");
                }
            }
        )+
    };
}

/// Runs the cases of a suite one after the other.
#[doc(hidden)]
#[macro_export]
macro_rules! __run {
    (($new:expr) $($case:ident)+) => {{
        $($crate::conformance::named(stringify!($case), $case($new))?;)+
        Ok(())
    }};
}
