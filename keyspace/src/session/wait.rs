//! WAIT and WAITAOF: until the connection's writes are on other disks too.
//!
//! An acknowledged write is durable on a majority already; these ask for more, and say how much
//! there is. Everything behind them on the connection waits as well, as in Redis.

use std::time::Duration;

use resp::Request;

use super::replies::Kind;
use super::state::{Block, State};
use crate::host::{Host, Wait};
use crate::number;
use crate::refusal::Refusal;
use crate::table::{Command, Id};

impl State {
    pub(super) fn wait<H: Host>(
        &mut self,
        command: &'static Command,
        request: &Request<'_>,
        host: &mut H,
    ) -> Option<Block> {
        // The last write's index is known once it is answered.
        if self.replies.logged > 0 {
            return Some(Block::Writes);
        }
        let (kind, wait) = match command.id {
            Id::Wait => (Kind::Wait, parse_wait(request)),
            _ => (Kind::WaitAof, parse_waitaof(request)),
        };
        match wait {
            Err(refusal) => self.refuse(&refusal),
            Ok(wait) => {
                let style = self.begin(command);
                let slot = self.replies.expect(kind, style, 0);
                host.wait(
                    slot,
                    Wait {
                        index: self.last_write,
                        ..wait
                    },
                );
            }
        }
        None
    }
}

fn integer(request: &Request<'_>, at: usize) -> Option<i64> {
    request.arg(at).and_then(number::parse)
}

fn parse_wait(request: &Request<'_>) -> Result<Wait, Refusal> {
    let replicas = integer(request, 1).ok_or(Refusal::NotInteger)?;
    Ok(Wait {
        index: None,
        local: false,
        // Redis waits for a negative number of replicas not at all.
        replicas: u32::try_from(replicas.max(0)).unwrap_or(u32::MAX),
        timeout: parse_timeout(request, 2)?,
    })
}

fn parse_waitaof(request: &Request<'_>) -> Result<Wait, Refusal> {
    let local = integer(request, 1).ok_or(Refusal::NotInteger)?;
    if !(0..=1).contains(&local) {
        return Err(Refusal::Text(
            "ERR value is out of range, must be between 0 and 1",
        ));
    }
    let replicas =
        integer(request, 2).ok_or(Refusal::Text("ERR value is out of range, must be positive"))?;
    Ok(Wait {
        index: None,
        local: local == 1,
        replicas: u32::try_from(replicas)
            .map_err(|_| Refusal::Text("ERR value is out of range, must be positive"))?,
        timeout: parse_timeout(request, 3)?,
    })
}

fn parse_timeout(request: &Request<'_>, at: usize) -> Result<Option<Duration>, Refusal> {
    let timeout = integer(request, at).ok_or(Refusal::Text(
        "ERR timeout is not an integer or out of range",
    ))?;
    match u64::try_from(timeout) {
        Ok(0) => Ok(None),
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
        Err(_) => Err(Refusal::Text("ERR timeout is negative")),
    }
}
