//! Redis in Lockstep's place: one server, and two ports that lead to it.
//!
//! It shows that a test expects what Redis does, and that the harness works, without any
//! code of ours in the way.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    thread,
};

use super::{Options, process::Process};

/// The variable that asks for it.
const VARIABLE: &str = "CLUSTER_TEST_REDIS";

/// Whether tests are to run against Redis.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// A Redis that looks like three nodes.
pub(crate) struct Oracle {
    /// The server.
    pub(crate) process: Process,
}

impl Oracle {
    /// Starts Redis on the first port, and forwards the others to it.
    pub(crate) fn start(directory: &Path, ports: [u16; 3], options: &Options) -> Self {
        assert!(
            !options.cluster_enabled,
            "one Redis is no cluster: unset {VARIABLE}"
        );
        let [port, others @ ..] = ports;
        let home = directory.to_str().expect("a path of ours").to_owned();
        let mut arguments: Vec<String> = [
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--dir",
            &home,
        ]
        .map(str::to_owned)
        .into();
        arguments.extend(["--port".to_owned(), port.to_string()]);
        if let Some(password) = &options.requirepass {
            arguments.extend(["--requirepass".to_owned(), password.clone()]);
        }
        let log = directory.join("n1.log");
        let process = Process::start(Path::new("redis-server"), &arguments, None, &log);
        for from in others {
            let listener = TcpListener::bind(("127.0.0.1", from)).expect("a port of ours");
            thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    thread::spawn(move || forward(client, port));
                }
            });
        }
        Self { process }
    }
}

fn forward(client: TcpStream, port: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut requests, &mut to_server));
        drop(to_server.shutdown(Shutdown::Write));
    });
    let (mut replies, mut to_client) = (server, client);
    drop(io::copy(&mut replies, &mut to_client));
    to_client.shutdown(Shutdown::Both)
}
