//! What can be wrong with a configuration, and where each value came from.

use std::fmt;
use std::path::PathBuf;

use super::setting::{Setting, variable};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Nobody said it.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag, without its dashes.
    Flag(String),
}

impl Origin {
    /// Whether two values were given with the same right: both by flags, both by the file…
    pub(crate) fn same_layer(&self, other: &Origin) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("the default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// A configuration that a node cannot start with.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A value is not what the setting takes, or is not allowed.
    #[error("{key} = {value:?} ({origin}): {problem}")]
    Value {
        /// The setting.
        key: &'static str,
        /// Its value; "(hidden)" for a secret.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A setting that has no default was not given.
    #[error(
        "{key} is not set: give --{key} {}, {}, or {key} in the configuration file",
        value_name(key),
        variable(key)
    )]
    Missing {
        /// The setting.
        key: &'static str,
    },
    /// There is no setting of that name.
    #[error(
        "{name} ({origin}): there is no such setting{}; lockstep start --help lists them",
        suggest(nearest)
    )]
    Unknown {
        /// As it was spelled.
        name: String,
        /// Where.
        origin: Origin,
        /// The nearest name, in the same spelling, if one is near.
        nearest: Option<String>,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {} ({origin}): {source}; give a TOML file that this user may read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Who named it.
        origin: Origin,
        /// Why not.
        source: std::io::Error,
    },
    /// The configuration file is not TOML.
    #[error("{}:{line}: not TOML: {problem}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A variable's value is not text.
    #[error("variable {name}: its value is not UTF-8; settings are plain text")]
    NotText {
        /// Which.
        name: String,
    },
}

fn suggest(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}

fn value_name(key: &str) -> &'static str {
    Setting::find(key).map_or("VALUE", |setting| setting.value)
}
