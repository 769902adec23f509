//! The settings that need more than their own text: those that are refused in this release, those
//! that come from several places, and those that must fit each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use consensus::NodeId;

use super::Config;
use super::error::ConfigError;
use super::layers::{Layers, Sourced, invalid};
use super::setting::PEERS;
use super::value::{self, Engine, HostPort, Mode, Peer, Secret};

/// The engine; one that this binary was built without is refused by name.
pub(super) fn engine(layers: &Layers) -> Result<Engine, ConfigError> {
    const EXPECTED: &str = "memory, rocksdb or fjall";
    let text: String = layers.parse("engine", EXPECTED, |t| Some(t.to_owned()))?;
    match text.as_str() {
        "memory" => Ok(Engine::Memory),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => Ok(Engine::RocksDb),
        #[cfg(feature = "fjall")]
        "fjall" => Ok(Engine::Fjall),
        text if ["rocksdb", "fjall"].contains(&text) => {
            let problem = format!(
                "this binary was built without it; build it with --features {text}, or use --engine memory"
            );
            Err(layers.refuse("engine", problem))
        }
        _ => Err(layers.refuse("engine", format!("expected {EXPECTED}"))),
    }
}

/// The mode; those that do not exist yet are refused by name.
pub(super) fn mode(layers: &Layers) -> Result<Mode, ConfigError> {
    let text: String = layers.parse("mode", "raft", |t| Some(t.to_owned()))?;
    match text.as_str() {
        "raft" => Ok(Mode::Raft),
        "paxos" | "primary-replica" | "multi-primary" => {
            Err(layers.refuse("mode", "planned, not in this release; use --mode raft"))
        }
        _ => Err(layers.refuse("mode", "expected raft")),
    }
}

/// The nodes listed under `peers`, this one included if it is listed.
pub(super) fn peers(layers: &Layers) -> Result<BTreeMap<NodeId, Peer>, ConfigError> {
    let mut peers = BTreeMap::new();
    for said in layers.all(PEERS) {
        let entries = said.text.split(',').map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let said = Sourced {
                text: entry.to_owned(),
                origin: said.origin.clone(),
            };
            let (node, peer) = peer(entry).ok_or_else(|| {
                let expected = "expected NODE=PEER/CLIENT, such as 2=10.0.0.2:7379/10.0.0.2:6379";
                invalid(PEERS, &said, expected.to_owned())
            })?;
            if peers.insert(node, peer).is_some() {
                let problem = format!("node {} is listed twice; give each node one number", node.0);
                return Err(invalid(PEERS, &said, problem));
            }
        }
    }
    Ok(peers)
}

fn peer(entry: &str) -> Option<(NodeId, Peer)> {
    let (node, addresses) = entry.split_once('=')?;
    let (peer, client) = addresses.split_once('/')?;
    let peer = Peer {
        peer: HostPort::parse(peer.trim())?,
        client: HostPort::parse(client.trim())?,
    };
    Some((value::node_id(node.trim())?, peer))
}

/// What clients are told: as said, or this node's own entry in `peers`, or where it listens.
pub(super) fn advertised(
    layers: &Layers,
    client_listen: SocketAddr,
    own: Option<&Peer>,
) -> Result<HostPort, ConfigError> {
    const KEY: &str = "client-advertise";
    if layers.get(KEY).is_some() {
        return layers.parse(KEY, "HOST:PORT", HostPort::parse);
    }
    if let Some(own) = own {
        return Ok(own.client.clone());
    }
    if client_listen.ip().is_unspecified() {
        let problem = "clients cannot connect to that; give --client-advertise HOST:PORT too";
        return Err(layers.refuse("client-listen", problem));
    }
    Ok(HostPort::from(client_listen))
}

/// The password: said outright, or in a file; whichever was said with more right.
pub(super) fn requirepass(layers: &Layers) -> Result<Option<Secret>, ConfigError> {
    const FILE: &str = "requirepass-file";
    let (said, file) = (layers.get("requirepass"), layers.get(FILE));
    if let (Some(said), Some(file)) = (said, file)
        && said.origin.same_layer(&file.origin)
    {
        let problem = format!(
            "requirepass is given too ({}); give one of the two",
            said.origin
        );
        return Err(invalid(FILE, file, problem));
    }
    match (said, file) {
        (None, None) => Ok(None),
        (Some(said), file) if file.is_none_or(|file| said.origin > file.origin) => {
            if said.text.is_empty() {
                let problem = "a password cannot be empty; leave it out for none";
                return Err(layers.refuse("requirepass", problem));
            }
            Ok(Some(Secret::new(said.text.clone())))
        }
        (_, Some(file)) => password_of(file)
            .map(Some)
            .map_err(|p| invalid(FILE, file, p)),
        (Some(_), None) => Ok(None),
    }
}

fn password_of(file: &Sourced) -> Result<Secret, String> {
    let text = std::fs::read_to_string(&file.text)
        .map_err(|error| format!("cannot be read: {error}; give a file that this user may read"))?;
    match text.lines().next() {
        Some(first) if !first.is_empty() => Ok(Secret::new(first.to_owned())),
        _ => Err("its first line is empty; write the password there".to_owned()),
    }
}

/// What settings demand of each other.
pub(super) fn check(config: &Config, layers: &Layers) -> Result<(), ConfigError> {
    let listeners = [
        (
            "client-listen",
            config.client_listen,
            "every key to anybody who reaches it",
        ),
        (
            "peer-listen",
            config.peer_listen,
            "the replicated log, and a say in it, to anybody who reaches it",
        ),
        (
            "admin-listen",
            config.admin_listen,
            "metrics and status to anybody who reaches it",
        ),
    ];
    let insecure = layers.parse("insecure", "yes or no", value::switch)?;
    for (number, (key, address, exposed)) in listeners.into_iter().enumerate() {
        if !address.ip().is_loopback() && !insecure {
            return Err(layers.refuse(key, format!(
                "not loopback: without encryption this exposes {exposed}; TLS comes with a later release; \
                 listen on 127.0.0.1, or give --insecure if the network itself is trusted"
            )));
        }
        let earlier = listeners.iter().take(number);
        if let Some((other, ..)) = earlier.into_iter().find(|(_, taken, _)| *taken == address) {
            return Err(layers.refuse(
                key,
                format!("{other} is the same address; give each its own port"),
            ));
        }
    }
    if config.election_timeout < config.heartbeat * 3 {
        return Err(layers.refuse("election-timeout-ms", format!(
            "must be at least three times heartbeat-ms ({}), or one late heartbeat starts an election",
            config.heartbeat.as_millis()
        )));
    }
    Ok(())
}
