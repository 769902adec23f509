//! What a connection costs that does nothing (row 11).

use std::{io, thread, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

use crate::{machine::resident_bytes, resp::Client};

const CONNECTIONS: usize = 2_000;

/// Resident bytes per connection that has said PING once and then nothing.
pub(crate) fn bytes_per_connection(port: u16, server: Pid) -> io::Result<f64> {
    let connect = || -> io::Result<Client> {
        let mut client = Client::connect(port, Duration::from_secs(10))?;
        client.call(&[b"PING"])?;
        Ok(client)
    };
    // A first batch makes the server's allocator take what it takes once.
    let warm: Vec<Client> = (0..100).map(|_| connect()).collect::<io::Result<_>>()?;
    let before = resident_bytes(server)?;
    let clients: Vec<Client> = (0..CONNECTIONS)
        .map(|_| connect())
        .collect::<io::Result<_>>()?;
    thread::sleep(Duration::from_millis(200));
    let after = resident_bytes(server)?;
    drop((warm, clients));
    Ok(after.saturating_sub(before) as f64 / CONNECTIONS as f64)
}

/// Raises the limit of open files to what the system allows, for this program and the
/// servers that it starts.
pub(crate) fn allow_many_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(())
}
