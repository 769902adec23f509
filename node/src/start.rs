//! `lockstep start`: from a command line to a node at work, and from a signal to its end.

use std::io::{self, Read as _};
use std::process;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, Layers};
use crate::directory::Directory;
use crate::{Failure, admin, cli, logging, runtime, server};

/// How long a node may take to leave once its parent is gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs a node until a signal, or standard input if asked for, ends it.
pub(crate) fn run(args: &cli::Start) -> Result<(), Failure> {
    let layers = Layers::collect(args.config.as_deref(), &args.flags, std::env::vars_os())
        .map_err(Failure::usage)?;
    let config = Config::from_layers(&layers).map_err(Failure::usage)?;
    logging::install(&config).map_err(Failure::work)?;
    let directory = Directory::open(&config).map_err(Failure::usage)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster = %config.cluster,
        disk = %directory.disk(),
        boot = directory.boot(),
        dir = %directory.path().display(),
        engine = config.engine.name(),
        mode = config.mode.name(),
        "starting"
    );
    let (stop, stopped) = watch::channel(false);
    if args.exit_with_stdin {
        watch_parent(stop.clone()).map_err(Failure::work)?;
    }
    let done = runtime()
        .map_err(Failure::work)?
        .block_on(work(config, directory, stop, stopped));
    if let Err(failure) = &done {
        // The log is read by people who do not see standard error's last line as part of it.
        tracing::error!(error = %failure.error, "stopped");
    }
    done
}

async fn work(
    config: Config,
    directory: Directory,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::work)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::work)?;
    let metrics = admin::install_metrics().map_err(Failure::work)?;
    let address = config.admin_listen;
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Failure::usage(format!(
            "cannot listen on {address} for admin: {error}; end whoever uses that port, or give another --admin-listen"
        ))
    })?;
    tracing::info!(%address, "admin endpoint");
    let (requests, asked) = admin::channel();
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        // Histograms keep every sample until somebody folds them into their buckets.
        let mut turn = tokio::time::interval(Duration::from_secs(5));
        loop {
            turn.tick().await;
            upkeep.run_upkeep();
        }
    });
    let endpoint = tokio::spawn(admin::serve(
        listener,
        requests,
        metrics,
        wait_for(stopped.clone()),
    ));
    let signals = tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        stop.send_replace(true);
    });
    let done = server::run(config, directory, asked, wait_for(stopped)).await;
    endpoint.abort();
    signals.abort();
    done.map_err(Failure::work)
}

/// Ends when a stop has been asked for, or cannot be asked for any more.
async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // An error means that every sender is gone: nobody can ask any more.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Stops this process when standard input ends, whatever its event loop does.
///
/// A pipe and not Linux' parent-death signal: it cannot miss a parent that died before the child
/// looked, is not bound to the parent's thread, and works elsewhere too.
fn watch_parent(stop: watch::Sender<bool>) -> io::Result<()> {
    let watch = move || {
        let mut stdin = io::stdin().lock();
        let mut ignored = [0; 64];
        while matches!(stdin.read(&mut ignored), Ok(read) if read > 0) {}
        tracing::info!("the parent process is gone, stopping");
        stop.send_replace(true);
        thread::sleep(PATIENCE);
        tracing::error!("the event loop does not stop; ending the process");
        process::exit(1);
    };
    thread::Builder::new()
        .name("parent".to_owned())
        .spawn(watch)?;
    Ok(())
}
