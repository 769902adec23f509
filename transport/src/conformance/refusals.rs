//! What cannot be sent is refused, not swallowed.

use bytes::Bytes;

use super::{Network, Pair, Violation};
use crate::{Channel, NodeId, SendError};

const LOWER: NodeId = NodeId(1);
const GREATER: NodeId = NodeId(2);
const NOBODY: NodeId = NodeId(99);

/// Before `Connected`, after `Disconnected`, and to a node that does not exist.
///
/// # Errors
/// The violation.
pub async fn refuses_to_send_without_a_connection<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::started(network).await;
    expect_not_connected(&mut pair, GREATER)?;
    pair.introduce();
    pair.meet().await?;
    expect_not_connected(&mut pair, NOBODY)?;
    pair.stop_greater().await;
    pair.until("the lower node to miss the greater", |pair| {
        pair.lower.misses(GREATER)
    })
    .await?;
    expect_not_connected(&mut pair, GREATER)
}

fn expect_not_connected<N: Network>(pair: &mut Pair<N>, to: NodeId) -> Result<(), Violation> {
    for channel in Channel::ALL {
        let sent = pair
            .lower
            .try_send(to, channel, Bytes::from_static(b"lost"))?;
        if sent != Err(SendError::NotConnected { to, channel }) {
            return Err(Violation::new(format!(
                "sending to {to}, which is not connected, came to {sent:?}"
            )));
        }
    }
    Ok(())
}

/// A node is not its own peer.
///
/// # Errors
/// The violation.
pub async fn refuses_to_send_to_itself<N: Network>(network: N) -> Result<(), Violation> {
    let mut pair = Pair::connected(network).await?;
    for channel in Channel::ALL {
        let sent = pair
            .lower
            .try_send(LOWER, channel, Bytes::from_static(b"me"))?;
        if sent != Err(SendError::ToSelf(LOWER)) {
            return Err(Violation::new(format!(
                "sending to itself came to {sent:?}"
            )));
        }
    }
    Ok(())
}
