//! What the table says of one command.

use super::{FIRST_LOCAL, Id, flags};

/// Which part of the documentation a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Strings and counters.
    String,
    /// Keys of any type.
    Generic,
    /// The server.
    Server,
    /// The connection.
    Connection,
    /// The cluster.
    Cluster,
}

impl Group {
    /// What COMMAND DOCS says.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Generic => "generic",
            Group::Server => "server",
            Group::Connection => "connection",
            Group::Cluster => "cluster",
        }
    }
}

/// Which arguments are keys. Positions count the name as 0; `last` counts from the end when
/// negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The first key; 0 if there are none.
    pub first: u16,
    /// The last key.
    pub last: i16,
    /// From one key to the next.
    pub step: u16,
    /// What is done to them, as COMMAND's key specification names it.
    pub flags: &'static [&'static str],
}

impl Keys {
    /// The positions of the keys in a request of `len` arguments, the name included.
    pub fn positions(&self, len: usize) -> impl Iterator<Item = usize> + use<> {
        let last = if self.last < 0 {
            len.saturating_sub(usize::from(self.last.unsigned_abs()))
        } else {
            usize::from(self.last.unsigned_abs())
        };
        let first = usize::from(self.first);
        let end = if first == 0 { 0 } else { (last + 1).min(len) };
        (first..end.max(first)).step_by(usize::from(self.step.max(1)))
    }
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its name in lower case; a subcommand's is `container|name`.
    pub name: &'static str,
    /// How many words of a request its name takes: 2 for a subcommand.
    pub words: usize,
    /// Which it is.
    pub id: Id,
    /// How many arguments it takes, the name included; at least so many when negative.
    pub arity: i16,
    /// What it is: [`flags`].
    pub flags: u32,
    /// Its ACL categories, besides those that follow from its flags.
    pub categories: &'static [&'static str],
    /// Which arguments are keys.
    pub keys: Keys,
    /// What proxies and cluster clients may do with it.
    pub tips: &'static [&'static str],
    /// Its part of the documentation.
    pub group: Group,
    /// The release of Redis that had it first.
    pub since: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Its arguments, in the notation of [`arguments`](super::arguments).
    pub arguments: &'static str,
    /// Its subcommands.
    pub subcommands: &'static [Command],
}

impl Command {
    pub(super) const fn new(name: &'static str, id: Id, arity: i16) -> Self {
        Command {
            name,
            words: words(name.as_bytes()),
            id,
            arity,
            flags: 0,
            categories: &[],
            keys: Keys {
                first: 0,
                last: 0,
                step: 0,
                flags: &[],
            },
            tips: &[],
            group: Group::Server,
            since: "",
            complexity: "",
            summary: "",
            arguments: "",
            subcommands: &[],
        }
    }

    pub(super) const fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    pub(super) const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }

    pub(super) const fn keys(
        mut self,
        first: u16,
        last: i16,
        step: u16,
        flags: &'static [&'static str],
    ) -> Self {
        self.keys = Keys {
            first,
            last,
            step,
            flags,
        };
        self
    }

    pub(super) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub(super) const fn docs(
        mut self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    pub(super) const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(super) const fn arguments(mut self, arguments: &'static str) -> Self {
        self.arguments = arguments;
        self
    }

    pub(super) const fn subcommands(mut self, subcommands: &'static [Command]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// Whether it has all these flags.
    #[must_use]
    pub const fn is(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Whether it may be given so many arguments, its name (and its container's) included.
    #[must_use]
    pub const fn takes(&self, len: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            len >= arity
        } else {
            len == arity
        }
    }

    /// Whether it visits every key: it is answered in slices, and only beside the log.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        matches!(self.id, Id::Keys | Id::DbSize)
    }

    /// Its number in the log, if it is executed by the state machine.
    #[must_use]
    pub const fn number(&self) -> Option<u16> {
        let number = self.id as u16;
        if number < FIRST_LOCAL {
            Some(number)
        } else {
            None
        }
    }

    /// Its name without its container's.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name
            .split_once('|')
            .map_or(self.name, |(_, name)| name)
    }

    /// Its ACL categories, in the order COMMAND lists them in.
    pub fn all_categories(&self) -> impl Iterator<Item = &'static str> + '_ {
        const ORDER: [&str; 10] = [
            "@keyspace",
            "@read",
            "@write",
            "@string",
            "@admin",
            "@fast",
            "@slow",
            "@blocking",
            "@dangerous",
            "@connection",
        ];
        ORDER.into_iter().filter(|category| match *category {
            "@read" => self.is(flags::READONLY),
            "@write" => self.is(flags::WRITE),
            "@fast" => self.is(flags::FAST),
            "@slow" => !self.is(flags::FAST),
            "@blocking" => self.is(flags::BLOCKING),
            "@admin" | "@dangerous" => self.is(flags::ADMIN) || self.categories.contains(category),
            _ => self.categories.contains(category),
        })
    }
}

const fn words(name: &[u8]) -> usize {
    let mut words = 1;
    let mut i = 0;
    while i < name.len() {
        if name[i] == b'|' {
            words += 1;
        }
        i += 1;
    }
    words
}

/// The row of a container's HELP, all of which are alike.
pub(super) const fn help(name: &'static str, id: Id, group: Group) -> Command {
    Command::new(name, id, 2)
        .flags(flags::LOADING | flags::STALE)
        .docs(
            group,
            "5.0.0",
            "O(1)",
            "Show helpful text about the different subcommands.",
        )
}
