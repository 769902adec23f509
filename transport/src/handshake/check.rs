//! What each side requires of the other before it lets it in. No I/O.

use super::message::{Hello, Offer, Welcome, decode};
use crate::frame::Frame;
use crate::{Config, Identity, NodeId, Refusal};

/// Oldest and newest protocol version that this build speaks.
pub(super) const VERSIONS: (u16, u16) = (1, 1);

/// Understands and checks a `Hello`, versions first; the newest common version is agreed on.
pub(super) fn read_hello(config: &Config, frame: &Frame) -> Result<(Hello, u16), Refusal> {
    let offer: Offer = decode(frame)?;
    let (refusing, speaks) = (config.identity.node, VERSIONS);
    let version = offer.newest.min(speaks.1);
    if version < offer.oldest.max(speaks.0) {
        return Err(Refusal::IncompatibleVersion {
            refusing,
            speaks,
            offered: (offer.oldest, offer.newest),
        });
    }
    let hello: Hello = decode(frame)?;
    let (us, them) = (&config.identity, &hello.identity);
    check_cluster(us, them)?;
    if them.node == us.node {
        return Err(Refusal::SameNode(us.node));
    }
    if hello.target != us.node {
        return Err(Refusal::WrongTarget {
            dialed: hello.target,
            reached: us.node,
        });
    }
    if them.node < us.node {
        return Err(Refusal::WrongDialer {
            dialer: them.node,
            reached: us.node,
        });
    }
    (config.check)(them)?;
    Ok((hello, version))
}

pub(super) fn check_welcome(
    config: &Config,
    target: NodeId,
    welcome: &Welcome,
) -> Result<(), Refusal> {
    let (us, them) = (&config.identity, &welcome.identity);
    if !(VERSIONS.0..=VERSIONS.1).contains(&welcome.version) {
        return Err(Refusal::IncompatibleVersion {
            refusing: us.node,
            speaks: VERSIONS,
            offered: (welcome.version, welcome.version),
        });
    }
    check_cluster(us, them)?;
    if them.node != target {
        return Err(Refusal::WrongTarget {
            dialed: target,
            reached: them.node,
        });
    }
    (config.check)(them)
}

fn check_cluster(us: &Identity, them: &Identity) -> Result<(), Refusal> {
    if us.cluster == them.cluster {
        return Ok(());
    }
    Err(Refusal::WrongCluster {
        refusing: us.node,
        refusing_cluster: us.cluster,
        refused: them.node,
        refused_cluster: them.cluster,
    })
}
