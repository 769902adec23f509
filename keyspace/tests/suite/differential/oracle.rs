//! The real Redis, and in what its replies may differ.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use super::{Command, DATABASES};
use crate::harness::request;

/// By how much remaining times may differ: what lies between the two answers, on a busy machine.
pub(super) const SLACK_MS: i64 = 20_000;

/// What may differ, and why.
pub(super) const ALLOWED: [Allowed; 7] = [
    Allowed {
        why: "the order of keys is that of the rows here, that of a hash table there",
        commands: &["KEYS", "SCAN"],
        same: |ours, theirs| {
            let (mut ours, mut theirs) = (elements(ours), elements(theirs));
            ours.sort();
            theirs.sort();
            ours == theirs && !ours.is_empty()
        },
    },
    Allowed {
        why: "any key will do",
        commands: &["RANDOMKEY"],
        same: |ours, theirs| {
            ours.starts_with(b"$")
                && theirs.starts_with(b"$")
                && ours != b"$-1\r\n"
                && theirs != b"$-1\r\n"
        },
    },
    Allowed {
        why: "time passes between the two answers",
        commands: &["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"],
        same: |ours, theirs| match (integer(ours), integer(theirs)) {
            (Some(ours @ 0..), Some(theirs @ 0..)) => {
                ours.abs_diff(theirs) <= SLACK_MS.unsigned_abs()
            }
            _ => false,
        },
    },
    Allowed {
        why: "HELLO names the server",
        commands: &["HELLO"],
        same: |_, _| true,
    },
    Allowed {
        why: "Redis shares small integers that were given, not those it has copied; nothing is shared here",
        commands: &["OBJECT"],
        same: |ours, theirs| ours == b":2147483647\r\n" && theirs == b":1\r\n",
    },
    Allowed {
        why: "when a key was last used is not kept here",
        commands: &["OBJECT"],
        same: |ours, theirs| ours == b":0\r\n" && integer(theirs).is_some_and(|idle| idle < 600),
    },
    Allowed {
        why: "the table of LCS may take 64 MiB here: more would keep everybody else waiting",
        commands: &["LCS"],
        same: |ours, theirs| {
            ours.starts_with(b"-ERR Insufficient memory") && !theirs.starts_with(b"-")
        },
    },
];

/// A difference that is no mistake.
pub(super) struct Allowed {
    #[expect(dead_code, reason = "for whoever reads the table")]
    why: &'static str,
    commands: &'static [&'static str],
    same: fn(ours: &[u8], theirs: &[u8]) -> bool,
}

/// Whether the replies differ, and may.
pub(super) fn difference(command: &Command, ours: &[u8], theirs: &[u8]) -> Result<bool, ()> {
    if ours == theirs {
        return Ok(false);
    }
    let name = command[0].to_ascii_uppercase();
    let allowed = ALLOWED.iter().any(|allowed| {
        allowed.commands.iter().any(|c| c.as_bytes() == name) && (allowed.same)(ours, theirs)
    });
    if allowed { Ok(true) } else { Err(()) }
}

fn integer(reply: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(reply).ok()?;
    text.strip_prefix(':')?.strip_suffix("\r\n")?.parse().ok()
}

/// Every bulk string in a reply, in order.
pub(super) fn elements(reply: &[u8]) -> Vec<Vec<u8>> {
    fn gather(value: resp::Value, found: &mut Vec<Vec<u8>>) {
        match value {
            resp::Value::Bulk(bytes) => found.push(bytes.to_vec()),
            resp::Value::Array(values) => values.into_iter().for_each(|v| gather(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(Some((value, _))) = resp::decode_value(reply) {
        gather(value, &mut found);
    }
    found
}

/// A redis-server of this test's own.
pub(super) struct Oracle {
    process: Child,
    stream: TcpStream,
    received: Vec<u8>,
}

impl Oracle {
    pub(super) fn start() -> Oracle {
        // The port is free now; should another process be quicker, the next one is tried.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let mut process = Process::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no"])
                .args(["--databases", &DATABASES.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server is not installed: `make setup` installs it");
            while process.try_wait().unwrap().is_none() {
                let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nodelay(true).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(60)))
                    .unwrap();
                return Oracle {
                    process,
                    stream,
                    received: Vec::new(),
                };
            }
        }
        panic!("redis-server does not start: try it by hand");
    }

    /// The replies to commands that are sent together.
    pub(super) fn run(&mut self, commands: &[Command]) -> Vec<Vec<u8>> {
        let mut requests = Vec::new();
        for command in commands {
            let args: Vec<&[u8]> = command.iter().map(|arg| &arg[..]).collect();
            requests.extend(request(&args));
        }
        self.stream.write_all(&requests).unwrap();
        commands.iter().map(|_| self.reply()).collect()
    }

    fn reply(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = resp::reply_len(&self.received).unwrap() {
                return self.received.drain(..length).collect();
            }
            let mut buffer = [0; 64 << 10];
            let read = self.stream.read(&mut buffer).unwrap();
            assert!(read > 0, "redis-server closed the connection");
            self.received.extend_from_slice(&buffer[..read]);
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
