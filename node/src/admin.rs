//! The admin endpoint: `/metrics`, `/livez`, `/readyz`, `/status` over HTTP.
//!
//! A handler never touches a node's state. It asks the event loop through a channel and waits a
//! second for the answer, so a loop that hangs is seen as what it is. The endpoint shares the
//! loop's thread: while the loop hangs nobody answers here either, and a probe's own time-out says
//! the same.
//!
//! Left out: authentication and TLS (loopback only unless `--insecure` says otherwise), and
//! anything that changes a node.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::status::NodeStatus;

/// How long the event loop may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Requests that may wait for the event loop; more than that and it hangs.
const WAITING_MAX: usize = 16;
/// Upper bounds of every histogram, in seconds: 10 µs to 10 s.
const BUCKETS_S: [f64; 19] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// What the endpoint asks of the event loop.
#[derive(Debug)]
pub(crate) enum AdminRequest {
    /// Where does the node stand?
    Status(oneshot::Sender<NodeStatus>),
}

/// Both ends of the way from the endpoint to the event loop.
pub(crate) fn channel() -> (mpsc::Sender<AdminRequest>, mpsc::Receiver<AdminRequest>) {
    mpsc::channel(WAITING_MAX)
}

/// Makes this process' metrics go to the endpoint. To be called once per process.
///
/// # Errors
/// When metrics go elsewhere already.
pub(crate) fn install_metrics() -> Result<PrometheusHandle, io::Error> {
    PrometheusBuilder::new()
        .set_buckets(&BUCKETS_S)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(io::Error::other)
}

/// Serves until `shutdown`; requests under way are answered.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    node: mpsc::Sender<AdminRequest>,
    metrics: PrometheusHandle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = router(Admin { node, metrics });
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown)
        .await
}

#[derive(Clone)]
struct Admin {
    node: mpsc::Sender<AdminRequest>,
    metrics: PrometheusHandle,
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(admin)
}

impl Admin {
    /// Asks the event loop. The error is for whoever probes.
    async fn ask(&self) -> Result<NodeStatus, (StatusCode, String)> {
        let failed = |problem: String| (StatusCode::SERVICE_UNAVAILABLE, problem);
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.node.send(AdminRequest::Status(reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(PATIENCE, asked).await {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(failed("the event loop has ended\n".to_owned())),
            Err(_) => Err(failed(format!(
                "the event loop has not answered within {} ms\n",
                PATIENCE.as_millis()
            ))),
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, admin.metrics.render()).into_response()
}

async fn livez(State(admin): State<Admin>) -> Response {
    match admin.ask().await {
        Ok(_) => "ok\n".into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.ask().await.map(|status| status.not_ready()) {
        Ok(None) => "ok\n".into_response(),
        Ok(Some(reason)) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Response {
    match admin.ask().await {
        Ok(status) => Json(status).into_response(),
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests;
