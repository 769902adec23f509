//! The command line: `lockstep start`, `local`, `status`, `inspect`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::setting::{Flags, SharedFlags};

/// The admin endpoints of `lockstep local` as it starts by default.
const LOCAL_ADMIN: [&str; 3] = ["127.0.0.1:8401", "127.0.0.1:8402", "127.0.0.1:8403"];

/// Keeps data in sync between nodes, and speaks the Redis protocol.
#[derive(Debug, Parser)]
#[command(
    name = "lockstep",
    version,
    max_term_width = 100,
    after_help = "\
Try it:  lockstep local            three nodes on this machine, clients on 6401 to 6403
         redis-cli -p 6401         in another terminal
         lockstep status           who leads, who lags"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start one node of a cluster
    #[command(after_help = "\
Every setting may also be given by the environment, as LOCKSTEP_ and its name in capitals
(LOCKSTEP_CLIENT_LISTEN), or in the configuration file under its name (client-listen = \"…\").
Flags beat variables beat the file beat defaults.

A cluster of three, each node started with its own --node, --dir and addresses:
  lockstep start --node 1 --dir /var/lib/lockstep --peers \\
    1=10.0.0.1:7379/10.0.0.1:6379,2=10.0.0.2:7379/10.0.0.2:6379,3=10.0.0.3:7379/10.0.0.3:6379 \\
    --client-listen 10.0.0.1:6379 --peer-listen 10.0.0.1:7379 --insecure")]
    Start(Start),
    /// Run a whole cluster on this machine, for trying and developing
    #[command(after_help = "\
Clients connect to PORT and the ports after it, nodes to each other from PORT+1000, and admin
endpoints are from PORT+2000: `lockstep status` needs them as --admin if PORT is not 6401 or N not
3. Ctrl-C ends all nodes; started again on the same directory, the cluster comes back with its data.
A node that ends is reported and not restarted.")]
    Local(Local),
    /// Show where the nodes of a cluster stand
    #[command(after_help = "\
Exit code: 0 when a leader with a majority is known, 1 when not.")]
    Status(Status),
    /// Show what is on the disk of a node that is not running
    #[command(after_help = "\
The log is left as it is. Exit code: 0 when all of it can be read, 1 when something is damaged.")]
    Inspect(Inspect),
}

/// `lockstep start`.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// A TOML file with settings [variable: LOCKSTEP_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// End when standard input does: how a node started by `lockstep local` learns that its
    /// parent is gone, however that ended.
    #[arg(long, hide = true)]
    pub(crate) exit_with_stdin: bool,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// `lockstep local`.
#[derive(Debug, clap::Args)]
pub(crate) struct Local {
    /// How many nodes; a majority of them must run for the cluster to serve
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
    /// Where the nodes keep their data
    #[arg(long, value_name = "DIR", default_value = ".data/local")]
    pub(crate) dir: PathBuf,
    /// The first node's port for clients
    #[arg(long, value_name = "PORT", default_value_t = 6401, value_parser = clap::value_parser!(u16).range(1..=63_000))]
    pub(crate) port: u16,
    /// What holds the keys: memory, or for data that outgrows it rocksdb or fjall
    #[arg(long, value_name = "ENGINE", default_value = "memory")]
    pub(crate) engine: String,
    #[command(flatten)]
    pub(crate) flags: SharedFlags,
}

/// `lockstep status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// The nodes' admin endpoints
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',', default_values = LOCAL_ADMIN)]
    pub(crate) admin: Vec<SocketAddr>,
}

/// `lockstep inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// The node's directory
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
