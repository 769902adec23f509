//! Connections as CLIENT LIST shows them and CLIENT KILL picks them.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its id, unique while the node runs.
    pub id: u64,
    /// The client's end.
    pub peer: SocketAddr,
    /// This node's end.
    pub local: SocketAddr,
    /// What CLIENT SETNAME said.
    pub name: String,
    /// What CLIENT SETINFO said of the library.
    pub library: String,
    /// What CLIENT SETINFO said of the library's version.
    pub library_version: String,
    /// How long it has been connected, in seconds.
    pub age_s: u64,
    /// How long it has been silent, in seconds.
    pub idle_s: u64,
    /// The database it has selected.
    pub database: u16,
    /// RESP version, 2 or 3.
    pub protocol: u8,
    /// Whether it said READONLY.
    pub readonly: bool,
    /// Whether it waits in WAIT or WAITAOF.
    pub blocked: bool,
    /// Whether it is closed once its replies are written.
    pub closing: bool,
    /// Replies not yet taken from the session, in bytes.
    pub output_bytes: usize,
    /// Commands not yet answered.
    pub outstanding: usize,
    /// Bytes received so far.
    pub bytes_in: u64,
    /// Bytes of replies so far.
    pub bytes_out: u64,
    /// The last command, in lower case; empty if there was none.
    pub command: &'static str,
}

impl ClientInfo {
    /// Appends the line that CLIENT LIST and CLIENT INFO show, without a line end.
    pub fn describe(&self, out: &mut String) {
        let mut flags = String::new();
        for (set, flag) in [
            (self.closing, 'c'),
            (self.blocked, 'b'),
            (self.readonly, 'r'),
        ] {
            if set {
                flags.push(flag);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let command = if self.command.is_empty() {
            "NULL"
        } else {
            self.command
        };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db={} sub=0 psub=0 \
             ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={} oll={} \
             omem=0 tot-mem={} events=r cmd={command} user=default redir=-1 resp={} lib-name={} \
             lib-ver={} tot-net-in={} tot-net-out={}",
            self.id,
            self.peer,
            self.local,
            self.name,
            self.age_s,
            self.idle_s,
            self.database,
            self.output_bytes,
            self.outstanding,
            self.output_bytes,
            self.protocol,
            self.library,
            self.library_version,
            self.bytes_in,
            self.bytes_out,
        );
    }
}

/// Which connections CLIENT KILL and CLIENT LIST mean. Every condition that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KillFilter {
    /// These ids; empty means any.
    pub ids: Vec<u64>,
    /// This client's end, as `host:port`.
    pub peer: Option<String>,
    /// This end of ours, as `host:port`.
    pub local: Option<String>,
    /// Whether only ordinary clients are meant; `Some(false)` matches nothing, for there are no
    /// others.
    pub ordinary: Option<bool>,
    /// This user; the only one is `default`.
    pub user: Option<String>,
    /// At least this old, in seconds.
    pub age_s_min: Option<u64>,
}

impl KillFilter {
    /// Whether `client` is meant.
    #[must_use]
    pub fn matches(&self, client: &ClientInfo) -> bool {
        let same = |wanted: &Option<String>, address: SocketAddr| {
            wanted
                .as_ref()
                .is_none_or(|wanted| *wanted == address.to_string())
        };
        (self.ids.is_empty() || self.ids.contains(&client.id))
            && same(&self.peer, client.peer)
            && same(&self.local, client.local)
            && self.ordinary.unwrap_or(true)
            && self.user.as_ref().is_none_or(|user| user == "default")
            && self.age_s_min.is_none_or(|age| client.age_s >= age)
    }
}
