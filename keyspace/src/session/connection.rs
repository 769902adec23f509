//! Commands about the connection itself.

use std::time::Duration;

use resp::{Request, encode};

use super::replies::Protocol;
use super::state::{Mute, State};
use super::texts::printable;
use crate::host::Host;
use crate::number;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::table::Id;

/// The release of Redis whose behaviour clients may count on.
pub(super) const REDIS_VERSION: &str = "7.2.4";

const WRONG_PASSWORD: Refusal =
    Refusal::Text("WRONGPASS invalid username-password pair or user is disabled.");

impl State {
    pub(super) fn connection<H: Host>(
        &mut self,
        id: Id,
        request: &Request<'_>,
        host: &mut H,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match id {
            Id::Ping => match (request.arg(1), request.len()) {
                (None, _) => encode::simple(reply, "PONG"),
                (Some(message), 2) => encode::bulk(reply, message),
                _ => return Err(Refusal::Arity("ping")),
            },
            Id::Echo => encode::bulk(reply, request.arg(1).unwrap_or_default()),
            Id::Quit => {
                self.closing = true;
                encode::simple(reply, "OK");
            }
            Id::Reset => {
                self.reset(host.settings());
                encode::simple(reply, "RESET");
            }
            Id::Select => {
                self.select(request, host.settings())?;
                encode::simple(reply, "OK");
            }
            Id::Auth => {
                self.auth(request, host.settings())?;
                encode::simple(reply, "OK");
            }
            Id::Hello => self.hello(request, host, reply)?,
            other => unreachable!("{other:?} is not about the connection"),
        }
        Ok(())
    }

    /// As if the connection had just begun.
    fn reset(&mut self, settings: &Settings) {
        self.protocol = Protocol::Resp2;
        self.database = 0;
        self.readonly = false;
        self.mute = Mute::On;
        self.name.clear();
        self.set_authenticated(settings.requirepass.is_empty());
    }

    fn set_authenticated(&mut self, authenticated: bool) {
        self.limits_stale |= self.authenticated != authenticated;
        self.authenticated = authenticated;
    }

    fn select(&mut self, request: &Request<'_>, settings: &Settings) -> Result<(), Refusal> {
        let database = request
            .arg(1)
            .and_then(number::parse)
            .ok_or(Refusal::NotInteger)?;
        if i32::try_from(database).is_err() {
            return Err(Refusal::Text(
                "ERR value is out of range, value must between -2147483648 and 2147483647",
            ));
        }
        if settings.cluster_enabled && database != 0 {
            return Err(Refusal::Text("ERR SELECT is not allowed in cluster mode"));
        }
        self.database = u16::try_from(database)
            .ok()
            .filter(|database| *database < settings.databases)
            .ok_or(Refusal::Text("ERR DB index is out of range"))?;
        Ok(())
    }

    fn auth(&mut self, request: &Request<'_>, settings: &Settings) -> Result<(), Refusal> {
        match (request.arg(1), request.arg(2), request.len()) {
            (Some(password), None, _) => {
                if settings.requirepass.is_empty() {
                    return Err(Refusal::Text(
                        "ERR AUTH <password> called without any password configured for the \
                         default user. Are you sure your configuration is correct?",
                    ));
                }
                self.authenticate(b"default", password, settings)
            }
            (Some(user), Some(password), 3) => self.authenticate(user, password, settings),
            _ => Err(Refusal::Syntax),
        }
    }

    /// The only user is `default`; while there is no password, any will do for it.
    fn authenticate(
        &mut self,
        user: &[u8],
        password: &[u8],
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let expected = settings.requirepass.as_bytes();
        let right = same(password, expected) || expected.is_empty();
        if user != b"default" || !right {
            return Err(WRONG_PASSWORD);
        }
        self.set_authenticated(true);
        Ok(())
    }

    fn hello<H: Host>(
        &mut self,
        request: &Request<'_>,
        host: &mut H,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let hello = Hello::parse(request)?;
        if let Some((user, password)) = hello.auth {
            self.authenticate(user, password, host.settings())?;
        }
        if !self.authenticated {
            return Err(Refusal::Text(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                 HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
                 and select the RESP protocol version at the same time",
            ));
        }
        if let Some(name) = hello.name {
            self.name = name;
        }
        self.protocol = hello.protocol.unwrap_or(self.protocol);
        let overview = host.overview();
        let mode = mode(host.settings());
        let role = if overview.is_leader() {
            "master"
        } else {
            "replica"
        };
        encode::map(reply, 7);
        encode::bulk(reply, "server");
        encode::bulk(reply, "redis");
        encode::bulk(reply, "version");
        encode::bulk(reply, REDIS_VERSION);
        encode::bulk(reply, "proto");
        encode::integer(reply, i64::from(self.protocol.version()));
        encode::bulk(reply, "id");
        encode::integer(reply, i64::try_from(self.id).unwrap_or(i64::MAX));
        encode::bulk(reply, "mode");
        encode::bulk(reply, mode);
        encode::bulk(reply, "role");
        encode::bulk(reply, role);
        encode::bulk(reply, "modules");
        encode::array(reply, 0);
        Ok(())
    }
}

/// What HELLO and INFO call this server.
pub(super) fn mode(settings: &Settings) -> &'static str {
    if settings.cluster_enabled {
        "cluster"
    } else {
        "standalone"
    }
}

/// What HELLO was given.
#[derive(Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<String>,
}

impl<'a> Hello<'a> {
    fn parse(request: &Request<'a>) -> Result<Self, Refusal> {
        let mut hello = Hello::default();
        let mut args = request.args().skip(1);
        if let Some(version) = args.next() {
            let version = number::parse(version).ok_or(Refusal::Text(
                "ERR Protocol version is not an integer or out of range",
            ))?;
            hello.protocol = match version {
                2 => Some(Protocol::Resp2),
                3 => Some(Protocol::Resp3),
                _ => return Err(Refusal::Text("NOPROTO unsupported protocol version")),
            };
        }
        while let Some(option) = args.next() {
            if option.eq_ignore_ascii_case(b"AUTH") && args.len() >= 2 {
                hello.auth = args.next().zip(args.next());
            } else if option.eq_ignore_ascii_case(b"SETNAME") && args.len() >= 1 {
                hello.name = Some(client_name(args.next().unwrap_or_default())?);
            } else {
                return Err(Refusal::Owned(
                    [
                        b"ERR Syntax error in HELLO option '",
                        printable(option, option.len()),
                        b"'",
                    ]
                    .concat(),
                ));
            }
        }
        Ok(hello)
    }
}

/// A connection's name, if it can stand in CLIENT LIST without confusing anybody.
pub(super) fn client_name(name: &[u8]) -> Result<String, Refusal> {
    graphic(name).ok_or(Refusal::Text(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// Text made only of visible ASCII.
pub(super) fn graphic(text: &[u8]) -> Option<String> {
    let visible = text.iter().all(u8::is_ascii_graphic);
    visible
        .then(|| String::from_utf8(text.to_vec()).ok())
        .flatten()
}

/// TIME: seconds and microseconds.
pub(super) fn time(now: Duration, reply: &mut Vec<u8>) {
    encode::array(reply, 2);
    encode::bulk(reply, now.as_secs().to_string());
    encode::bulk(reply, now.subsec_micros().to_string());
}

/// Whether two passwords are the same, in a time that depends on the given one's length alone.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let mut different = usize::from(given.len() != expected.len());
    for (i, byte) in given.iter().enumerate() {
        let other = expected.get(i % expected.len().max(1)).unwrap_or(&0);
        different |= usize::from(byte ^ other);
    }
    std::hint::black_box(different) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_is_the_same() {
        assert!(same(b"secret", b"secret"));
        for given in [&b""[..], b"secre", b"secrets", b"secretsecret", b"Secret"] {
            assert!(!same(given, b"secret"), "{given:?}");
        }
        assert!(!same(b"x", b""));
    }
}
