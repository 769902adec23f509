//! Redis as a service: real sessions on the server's side, and on the client's side what Redis
//! promises of strings, counters, logs of appends and keys that expire.
//!
//! Every key is of one kind, by its number, so that its specification is small. Values are unique,
//! so a reply says by which write it was made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use consensus::Index;
use keyspace::{
    Access, ClientInfo, Host, KillFilter, Leadership, Overview, Session, SettingError, Settings,
    Slot, Wait,
};
use replication::{Failure, Millis};
use resp::encode;

use crate::digest;
use crate::random::Random;
use crate::subject::{Answer, Gate, Outcome, Port, Service};

/// Redis' strings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redis;

/// A command on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GET`
    Get,
    /// `SET value`
    Set(u64),
    /// `SET value NX`
    SetIfAbsent(u64),
    /// `SET value GET`
    Swap(u64),
    /// `GETDEL`
    Take,
    /// `DEL`
    Del,
    /// `INCRBY`
    Add(i64),
    /// `APPEND token`
    Append(u64),
    /// `SET value PX ms`
    SetFor(u64, u64),
}

/// What a command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `OK`
    Ok,
    /// Nothing is there.
    Nil,
    /// A string.
    Value(Text),
    /// A number.
    Number(i64),
}

/// A string by its length and what it says: unique values make it a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text {
    bytes: u32,
    digest: u64,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    value: Option<Text>,
    number: i64,
    /// It may be gone at any time.
    mortal: bool,
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Register,
    Counter,
    Log,
    Mortal,
}

const fn kind(key: u64) -> Kind {
    match key % 5 {
        0 | 1 => Kind::Register,
        2 => Kind::Counter,
        3 => Kind::Log,
        _ => Kind::Mortal,
    }
}

impl Text {
    fn of(bytes: &[u8]) -> Text {
        let mut text = Text::default();
        text.append(bytes);
        text
    }

    /// Byte by byte, so that it does not matter in how many pieces a string was written.
    fn append(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let mut digest = digest::Digest(self.digest);
            digest.add(u64::from(*byte) + 1);
            self.digest = digest.0;
        }
        self.bytes += bytes.len() as u32;
    }
}

/// A value. Some take several sectors, so that a write can be torn in the middle of one.
fn token(unique: u64) -> Vec<u8> {
    let mut token = format!("v{unique};").into_bytes();
    if unique.is_multiple_of(8) {
        let more = unique.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        token.resize(token.len() + more as usize, b'.');
    }
    token
}

impl Service for Redis {
    type Call = Call;
    type Reply = Reply;
    type State = State;
    type Port = RedisPort;

    fn pipeline(&self) -> usize {
        6
    }

    fn port(&self, id: u64, now: Millis) -> RedisPort {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6379);
        let settings = Settings::default();
        let session = Session::new(
            id,
            address,
            address,
            &settings,
            Duration::from_millis(now.0),
        );
        RedisPort {
            session,
            settings,
            input: Vec::new(),
        }
    }

    fn call(&self, random: &mut Random, key: u64, unique: u64) -> Call {
        let dice = random.below(100);
        match kind(key) {
            _ if dice < 40 => Call::Get,
            Kind::Register if dice < 70 => Call::Set(unique),
            Kind::Register if dice < 80 => Call::SetIfAbsent(unique),
            Kind::Register if dice < 90 => Call::Swap(unique),
            Kind::Register if dice < 95 => Call::Take,
            Kind::Register => Call::Del,
            Kind::Counter => Call::Add(1 + random.below(9) as i64),
            Kind::Log => Call::Append(unique),
            Kind::Mortal if dice < 70 => Call::Set(unique),
            Kind::Mortal => Call::SetFor(unique, random.between(20, 3_000)),
        }
    }

    fn look(&self, _: u64) -> Call {
        Call::Get
    }

    fn is_read(&self, call: &Call) -> bool {
        *call == Call::Get
    }

    fn encode(&self, key: u64, call: &Call, out: &mut Vec<u8>) {
        let key = format!("k{key}").into_bytes();
        let request = |out: &mut Vec<u8>, name: &[u8], args: &[&[u8]]| {
            let parts: Vec<&[u8]> = [name, &key]
                .into_iter()
                .chain(args.iter().copied())
                .collect();
            encode::request(out, &parts);
        };
        match *call {
            Call::Get => request(out, b"GET", &[]),
            Call::Set(v) => request(out, b"SET", &[&token(v)]),
            Call::SetIfAbsent(v) => request(out, b"SET", &[&token(v), b"NX"]),
            Call::Swap(v) => request(out, b"SET", &[&token(v), b"GET"]),
            Call::Take => request(out, b"GETDEL", &[]),
            Call::Del => request(out, b"DEL", &[]),
            Call::Add(by) => request(out, b"INCRBY", &[by.to_string().as_bytes()]),
            Call::Append(v) => request(out, b"APPEND", &[&token(v)]),
            Call::SetFor(v, ms) => {
                request(out, b"SET", &[&token(v), b"PX", ms.to_string().as_bytes()]);
            }
        }
    }

    fn decode(&self, call: &Call, bytes: &[u8]) -> Option<(usize, Answer<Reply>)> {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let (kind, line) = bytes.get(..end)?.split_first()?;
        let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
        let head = end + 2;
        let nonsense = || Answer::Nonsense(String::from_utf8_lossy(line).into_owned());
        Some(match kind {
            b'+' if line == b"OK" => (head, Answer::Reply(Reply::Ok)),
            b':' => (
                head,
                number().map_or_else(nonsense, |n| Answer::Reply(Reply::Number(n))),
            ),
            b'$' => match number() {
                Some(-1) => (head, Answer::Reply(Reply::Nil)),
                Some(length) => {
                    let bulk = bytes.get(head..head + length as usize)?;
                    let whole = head + length as usize + 2;
                    bytes.get(..whole)?;
                    (whole, Answer::Reply(value(call, bulk)))
                }
                None => (head, nonsense()),
            },
            b'_' => (head, Answer::Reply(Reply::Nil)),
            b'-' if line.starts_with(b"UNKNOWN ") => (head, Answer::Unknown),
            b'-' if line.starts_with(b"TRYAGAIN ") || line.starts_with(b"CLUSTERDOWN ") => {
                (head, Answer::NotExecuted)
            }
            _ => (head, nonsense()),
        })
    }

    fn initial(&self, _: u64) -> State {
        State::default()
    }

    fn step(&self, state: &State, call: &Call, reply: Option<&Reply>) -> Option<State> {
        let (old, new) = (*state, effect(state, call));
        let found = old.value.map_or(Reply::Nil, Reply::Value);
        let Some(reply) = reply else {
            return Some(new);
        };
        // Nobody saw it go, but it may have gone.
        let gone = State::default();
        let expected = match call {
            Call::Get if old.mortal && *reply == Reply::Nil => return Some(gone),
            Call::Get if old.number != 0 => {
                Reply::Value(Text::of(old.number.to_string().as_bytes()))
            }
            Call::Get | Call::Swap(_) | Call::Take => found,
            Call::Set(_) | Call::SetFor(..) => Reply::Ok,
            Call::SetIfAbsent(_) if old.value.is_some() => Reply::Nil,
            Call::SetIfAbsent(_) => Reply::Ok,
            Call::Del => Reply::Number(i64::from(old.value.is_some())),
            Call::Add(_) => Reply::Number(new.number),
            Call::Append(_) => Reply::Number(new.value.map_or(0, |text| text.bytes.into())),
        };
        (*reply == expected).then_some(new)
    }
}

/// What a command does to a key, whatever is answered.
fn effect(state: &State, call: &Call) -> State {
    let holds = |unique| State {
        value: Some(Text::of(&token(unique))),
        ..State::default()
    };
    match *call {
        Call::Get => *state,
        Call::SetIfAbsent(_) if state.value.is_some() => *state,
        Call::Set(unique) | Call::SetIfAbsent(unique) | Call::Swap(unique) => holds(unique),
        Call::SetFor(unique, _) => State {
            mortal: true,
            ..holds(unique)
        },
        Call::Take | Call::Del => State::default(),
        Call::Add(by) => State {
            number: state.number + by,
            ..*state
        },
        Call::Append(unique) => {
            let mut text = state.value.unwrap_or_default();
            text.append(&token(unique));
            State {
                value: Some(text),
                ..*state
            }
        }
    }
}

fn value(_: &Call, bulk: &[u8]) -> Reply {
    Reply::Value(Text::of(bulk))
}

/// A real session.
#[derive(Debug)]
pub struct RedisPort {
    session: Session,
    settings: Settings,
    input: Vec<u8>,
}

impl Port for RedisPort {
    fn receive(&mut self, bytes: &[u8], gate: &mut dyn Gate) {
        self.input.extend_from_slice(bytes);
        let mut host = SessionHost {
            gate,
            settings: &self.settings,
        };
        let consumed = self.session.receive(&self.input, &mut host);
        self.input.drain(..consumed);
    }

    fn complete(&mut self, slot: u64, index: Option<Index>, outcome: Outcome<'_>) {
        let outcome = match outcome {
            Outcome::Reply(reply) => keyspace::Outcome::Reply(reply),
            Outcome::Failed(Failure::Unknown) => keyspace::Outcome::Unknown,
            Outcome::Failed(Failure::NotExecuted) => keyspace::Outcome::NotExecuted,
            Outcome::Failed(Failure::NoLeader) => keyspace::Outcome::NoLeader,
        };
        let index = index.map(|index| index.0);
        self.session.complete(Slot(slot), index, outcome);
    }

    fn output(&mut self) -> &mut Vec<u8> {
        self.session.output()
    }

    fn can_continue(&self) -> bool {
        self.session.can_continue()
    }
}

/// What a session asks of its node. Only what the commands above need is answered in earnest.
struct SessionHost<'a> {
    gate: &'a mut dyn Gate,
    settings: &'a Settings,
}

impl Host for SessionHost<'_> {
    fn submit(&mut self, slot: Slot, access: Access, command: &[u8]) {
        match access {
            Access::Read => self.gate.read(slot.0, command),
            Access::Write => self.gate.submit(slot.0, command),
            Access::Local => unreachable!("the simulated clients do not send INFO"),
        }
    }

    fn wait(&mut self, _: Slot, _: Wait) {
        unreachable!("the simulated clients do not send WAIT");
    }

    fn leader(&self) -> Leadership {
        match self.gate.leads() {
            Some(true) => Leadership::Me,
            Some(false) => Leadership::Other(0),
            None => Leadership::None,
        }
    }

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn set_setting(&mut self, _: &str, _: &str) -> Result<(), SettingError> {
        Err(SettingError::Unknown)
    }

    fn overview(&self) -> Overview {
        Overview::default()
    }

    fn clients(&self) -> Vec<ClientInfo> {
        Vec::new()
    }

    fn kill(&mut self, _: &KillFilter) -> usize {
        0
    }

    fn reset_statistics(&mut self) {}

    fn now(&self) -> Duration {
        Duration::from_millis(self.gate.now().0)
    }
}
