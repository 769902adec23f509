//! What `lockstep local` is going to start, and every check that needs no child.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Lock;
use super::child::Child;
use crate::cli;
use crate::config::setting::Flags;
use crate::config::{Config, ConfigError, Layers};
use crate::directory::DirectoryError;
use crate::directory::file;

/// From a node's port for clients to its port for nodes, and from there to its admin port.
const PORT_STEP: u16 = 1_000;
/// What the cluster remembers between runs.
const FILE: &str = "cluster.toml";
/// That file while it is being written.
const NEW: &str = "cluster.toml.new";
/// How long the nodes of a run that was just killed may take to leave their ports.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the cluster is not started.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory holds another cluster than the one asked for.
    #[error(
        "{} holds a cluster with {setting} {found}, not {wanted}: give {setting} {found}, or another --dir",
        path.display()
    )]
    Other {
        /// The directory.
        path: PathBuf,
        /// Which flag differs.
        setting: &'static str,
        /// As it was.
        found: String,
        /// As it is asked for.
        wanted: String,
    },
    /// A port is taken.
    #[error(
        "port {port} ({what} of n{node}) is occupied: {error}; end whoever uses it, or give another --port"
    )]
    Occupied {
        /// Which.
        port: u16,
        /// "clients", "nodes" or "admin".
        what: &'static str,
        /// Whose it would be.
        node: u16,
        /// What the kernel says.
        error: std::io::Error,
    },
}

/// One node.
pub(super) struct Node {
    /// From 1.
    pub(super) number: u16,
    /// Where clients connect.
    pub(super) client: SocketAddr,
    /// Where the other nodes connect.
    pub(super) peer: SocketAddr,
    /// Where it answers for its state.
    pub(super) admin: SocketAddr,
    /// Where it writes what it has to say.
    pub(super) log: PathBuf,
    /// Its settings.
    pub(super) flags: Flags,
}

/// A whole cluster.
pub(super) struct Plan {
    /// Where everything of it is.
    pub(super) dir: PathBuf,
    /// Its nodes, by number.
    pub(super) nodes: Vec<Node>,
    engine: String,
    /// Whether clients need a password.
    password: bool,
}

/// What a restart must keep.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    nodes: u16,
    engine: String,
}

impl Plan {
    /// Makes a plan and checks every node's settings as the node itself will.
    pub(super) fn new(
        args: &cli::Local,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Plan, PlanError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let mut nodes: Vec<Node> = (1..=args.nodes)
            .map(|number| Node::new(args, number))
            .collect();
        let peers: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}={}/{}", node.number, node.peer, node.client))
            .collect();
        let mut password = false;
        for node in &mut nodes {
            node.flags.0.insert("peers", peers.join(","));
            let layers = Layers::collect(None, &node.flags, environment.clone())?;
            password = Config::from_layers(&layers)?.requirepass.is_some();
        }
        Ok(Plan {
            dir: args.dir.clone(),
            nodes,
            engine: args.engine.clone(),
            password,
        })
    }

    /// Makes the directory ready and sees that every port is free. The cluster may run as long as
    /// the lock is held.
    pub(super) fn prepare(&self) -> Result<Lock, PlanError> {
        file::create_directory(&self.dir)?;
        let lock = Lock::take(&self.dir)?;
        self.recall()?;
        for node in &self.nodes {
            for (what, address) in [
                ("clients", node.client),
                ("nodes", node.peer),
                ("admin", node.admin),
            ] {
                await_free(address).map_err(|error| PlanError::Occupied {
                    port: address.port(),
                    what,
                    node: node.number,
                    error,
                })?;
            }
        }
        Ok(lock)
    }

    /// Compares with what the directory was made with, or writes it down.
    fn recall(&self) -> Result<(), PlanError> {
        let path = self.dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let own = |name: &str| name == NEW || name == file::LOCK || is_node(name);
                file::refuse_foreign(&self.dir, own)?;
                return self.remember();
            }
            Err(error) => return Err(DirectoryError::io("read", &path, error).into()),
        };
        let known: Remembered = toml::from_str(&text).map_err(|error| DirectoryError::Damaged {
            path,
            problem: error.message().to_owned(),
        })?;
        let other = |setting, found: String, wanted: String| PlanError::Other {
            path: self.dir.clone(),
            setting,
            found,
            wanted,
        };
        let nodes = self.nodes.len();
        if usize::from(known.nodes) != nodes {
            return Err(other("--nodes", known.nodes.to_string(), nodes.to_string()));
        }
        if known.engine != self.engine {
            return Err(other("--engine", known.engine, self.engine.clone()));
        }
        Ok(())
    }

    fn remember(&self) -> Result<(), PlanError> {
        let text = format!(
            "# The cluster of lockstep local in this directory.\nnodes = {}\nengine = {:?}\n",
            self.nodes.len(),
            self.engine
        );
        file::replace(&self.dir, FILE, NEW, &text)?;
        Ok(())
    }

    /// What is started, for the terminal.
    pub(super) fn describe(&self, children: &[Child]) -> String {
        let mut text = format!(
            "Lockstep {}: {} nodes, engine {}, data in {}",
            env!("CARGO_PKG_VERSION"),
            self.nodes.len(),
            self.engine,
            self.dir.display()
        );
        for (node, child) in self.nodes.iter().zip(children) {
            let pid = child.pid().unwrap_or_default();
            // A String takes whatever is written to it.
            let _ = write!(
                text,
                "\n  n{}  clients {}  nodes {}  admin {}  pid {pid}  log {}",
                node.number,
                node.client,
                node.peer,
                node.admin,
                node.log.display()
            );
        }
        text
    }

    /// What to do with a cluster that serves.
    pub(super) fn invitation(&self) -> String {
        let ports: Vec<u16> = self.nodes.iter().map(|node| node.client.port()).collect();
        let (first, last) = (ports.first().unwrap_or(&0), ports.last().unwrap_or(&0));
        let ask = if self.password { " --askpass" } else { "" };
        format!(
            "Any node takes any command:\n  redis-cli{ask} -p {first} set key value\n  redis-cli{ask} -p {last} get key\nCtrl-C ends all nodes; the data stays."
        )
    }
}

impl Node {
    fn new(args: &cli::Local, number: u16) -> Node {
        // Flags bound the numbers so that the sum fits.
        let port = args.port + (number - 1);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (client, peer, admin) = (at(port), at(port + PORT_STEP), at(port + 2 * PORT_STEP));
        let dir = args.dir.join(format!("n{number}"));
        let mut flags = args.flags.0.clone();
        flags.extend([
            ("node", number.to_string()),
            ("cluster", "local".to_owned()),
            ("dir", dir.display().to_string()),
            ("engine", args.engine.clone()),
            ("client-listen", client.to_string()),
            ("client-advertise", client.to_string()),
            ("peer-listen", peer.to_string()),
            ("admin-listen", admin.to_string()),
        ]);
        Node {
            number,
            client,
            peer,
            admin,
            log: args.dir.join(format!("n{number}.log")),
            flags: Flags(flags),
        }
    }
}

/// Whether a node's directory or log is called that.
fn is_node(name: &str) -> bool {
    let number = name
        .strip_prefix('n')
        .map(|name| name.strip_suffix(".log").unwrap_or(name));
    number.is_some_and(|number| number.parse::<u16>().is_ok())
}

/// Waits a little for a port that the nodes of a killed run are about to leave.
fn await_free(address: SocketAddr) -> std::io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() != ErrorKind::AddrInUse || Instant::now() > deadline => {
                return Err(error);
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}
