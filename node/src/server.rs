//! A node at work. This is the frame that the event loop fills.

use std::future::Future;

use tokio::sync::mpsc;

use crate::admin::AdminRequest;
use crate::config::Config;
use crate::directory::Directory;

/// Why a node stopped.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// There is no event loop yet.
    #[error("this build has no server yet")]
    Unfinished,
}

/// Serves clients and peers until `shutdown`, or until the environment makes it impossible.
pub(crate) async fn run(
    _config: Config,
    _directory: Directory,
    _admin: mpsc::Receiver<AdminRequest>,
    _shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    Err(ServerError::Unfinished)
}
