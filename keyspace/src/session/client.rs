//! CLIENT: the connection among the others.

use std::time::Duration;

use resp::{Request, encode};

use super::connection::{client_name, graphic};
use super::state::{Mute, State};
use super::texts::{help, printable};
use crate::clients::{ClientInfo, KillFilter};
use crate::host::Host;
use crate::number;
use crate::refusal::Refusal;
use crate::table::Id;

impl State {
    pub(super) fn client<H: Host>(
        &mut self,
        id: Id,
        request: &Request<'_>,
        host: &mut H,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let first = request.arg(2).unwrap_or_default();
        match id {
            Id::ClientId => encode::integer(reply, i64::try_from(self.id).unwrap_or(i64::MAX)),
            Id::ClientGetName if self.name.is_empty() => encode::null(reply),
            Id::ClientGetName => encode::bulk(reply, &self.name),
            Id::ClientSetName => {
                self.name = client_name(first)?;
                encode::simple(reply, "OK");
            }
            Id::ClientSetInfo => {
                self.set_info(first, request.arg(3).unwrap_or_default())?;
                encode::simple(reply, "OK");
            }
            Id::ClientInfo => {
                let mut text = String::new();
                self.info(host.now()).describe(&mut text);
                text.push('\n');
                encode::verbatim(reply, *b"txt", text);
            }
            Id::ClientList => self.list(request, host, reply)?,
            Id::ClientKill => self.kill(request, host, reply)?,
            Id::ClientReply => self.reply_mode(first, reply)?,
            // There is no eviction and no access time: both are already as asked for.
            Id::ClientNoEvict | Id::ClientNoTouch => {
                if !is(first, "ON") && !is(first, "OFF") {
                    return Err(Refusal::Syntax);
                }
                encode::simple(reply, "OK");
            }
            Id::ClientHelp => help("client", reply),
            other => unreachable!("{other:?} is not a subcommand of CLIENT"),
        }
        Ok(())
    }

    fn set_info(&mut self, attribute: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let place = if is(attribute, "LIB-NAME") {
            &mut self.library
        } else if is(attribute, "LIB-VER") {
            &mut self.library_version
        } else {
            return Err(named(b"ERR Unrecognized option '", attribute, b"'"));
        };
        *place = graphic(value).ok_or_else(|| {
            named(
                b"ERR ",
                attribute,
                b" cannot contain spaces, newlines or special characters.",
            )
        })?;
        Ok(())
    }

    fn reply_mode(&mut self, mode: &[u8], reply: &mut Vec<u8>) -> Result<(), Refusal> {
        if is(mode, "ON") {
            self.mute = Mute::On;
            encode::simple(reply, "OK");
        } else if is(mode, "OFF") {
            self.mute = Mute::Off;
        } else if !is(mode, "SKIP") {
            return Err(Refusal::Syntax);
        } else if self.mute != Mute::Off {
            self.mute = Mute::SkipNext;
        }
        Ok(())
    }

    /// The connections that `filter` means, in the order of their ids.
    fn matching<H: Host>(&self, filter: &KillFilter, host: &H) -> Vec<ClientInfo> {
        let mut clients = host.clients();
        clients.retain(|client| client.id != self.id);
        clients.push(self.info(host.now()));
        clients.retain(|client| filter.matches(client));
        clients.sort_by_key(|client| client.id);
        clients
    }

    fn list<H: Host>(
        &self,
        request: &Request<'_>,
        host: &H,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let mut filter = KillFilter::default();
        match (request.arg(2), request.arg(3), request.len()) {
            (None, ..) => {}
            (Some(option), Some(kind), 4) if is(option, "TYPE") => {
                filter.ordinary = Some(client_type(kind)?);
            }
            (Some(option), Some(_), _) if is(option, "ID") => {
                for id in request.args().skip(3) {
                    let id = number::parse(id).and_then(|id| u64::try_from(id).ok());
                    filter
                        .ids
                        .push(id.ok_or(Refusal::Text("ERR Invalid client ID"))?);
                }
            }
            _ => return Err(Refusal::Syntax),
        }
        let mut text = String::new();
        for client in self.matching(&filter, host) {
            client.describe(&mut text);
            text.push('\n');
        }
        encode::verbatim(reply, *b"txt", text);
        Ok(())
    }

    fn kill<H: Host>(
        &mut self,
        request: &Request<'_>,
        host: &mut H,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let one_address = request.len() == 3;
        let (filter, skip_me) = if one_address {
            let peer = request.arg(2).unwrap_or_default();
            let filter = KillFilter {
                peer: Some(String::from_utf8_lossy(peer).into_owned()),
                ..KillFilter::default()
            };
            (filter, false)
        } else {
            parse_kill(request)?
        };
        let mut killed = host.kill(&filter);
        if !skip_me && filter.matches(&self.info(host.now())) {
            self.closing = true;
            killed += 1;
        }
        if !one_address {
            encode::integer(reply, i64::try_from(killed).unwrap_or(i64::MAX));
        } else if killed > 0 {
            encode::simple(reply, "OK");
        } else {
            return Err(Refusal::Text("ERR No such client"));
        }
        Ok(())
    }

    pub(super) fn info(&self, now: Duration) -> ClientInfo {
        ClientInfo {
            id: self.id,
            peer: self.peer,
            local: self.local,
            name: self.name.clone(),
            library: self.library.clone(),
            library_version: self.library_version.clone(),
            age_s: now.saturating_sub(self.since).as_secs(),
            idle_s: now.saturating_sub(self.active).as_secs(),
            database: self.database,
            protocol: self.protocol.version(),
            readonly: self.readonly,
            blocked: self.replies.waits > 0,
            closing: self.closing,
            output_bytes: self.replies.output.len() + self.replies.early_bytes,
            outstanding: self.replies.outstanding(),
            bytes_in: self.bytes_in,
            bytes_out: self.replies.bytes_out,
            command: self.last_command,
        }
    }
}

/// The filters of CLIENT KILL, and whether it spares the asking connection.
fn parse_kill(request: &Request<'_>) -> Result<(KillFilter, bool), Refusal> {
    let mut filter = KillFilter::default();
    let mut skip_me = true;
    let mut args = request.args().skip(2);
    while let Some(option) = args.next() {
        let value = args.next().ok_or(Refusal::Syntax)?;
        let text = || Some(String::from_utf8_lossy(value).into_owned());
        if is(option, "ID") {
            let id = number::parse(value)
                .and_then(|id| u64::try_from(id).ok())
                .filter(|id| *id > 0);
            filter.ids = vec![id.ok_or(Refusal::Text("ERR client-id should be greater than 0"))?];
        } else if is(option, "TYPE") {
            filter.ordinary = Some(client_type(value)?);
        } else if is(option, "ADDR") {
            filter.peer = text();
        } else if is(option, "LADDR") {
            filter.local = text();
        } else if is(option, "USER") {
            if value != b"default" {
                return Err(named(b"ERR No such user '", value, b"'"));
            }
            filter.user = text();
        } else if is(option, "MAXAGE") {
            let age = number::parse(value).and_then(|age| u64::try_from(age).ok());
            filter.age_s_min = Some(age.ok_or(Refusal::NotInteger)?);
        } else if is(option, "SKIPME") {
            skip_me = match () {
                () if is(value, "YES") => true,
                () if is(value, "NO") => false,
                () => return Err(Refusal::Syntax),
            };
        } else {
            return Err(Refusal::Syntax);
        }
    }
    Ok((filter, skip_me))
}

/// Whether this type of client is the ordinary one, which all of ours are.
fn client_type(name: &[u8]) -> Result<bool, Refusal> {
    let known = ["NORMAL", "MASTER", "REPLICA", "SLAVE", "PUBSUB"];
    if known.into_iter().any(|known| is(name, known)) {
        Ok(is(name, "NORMAL"))
    } else {
        Err(named(b"ERR Unknown client type '", name, b"'"))
    }
}

fn named(before: &[u8], name: &[u8], after: &[u8]) -> Refusal {
    Refusal::Owned([before, printable(name, name.len()), after].concat())
}

fn is(arg: &[u8], name: &str) -> bool {
    arg.eq_ignore_ascii_case(name.as_bytes())
}
