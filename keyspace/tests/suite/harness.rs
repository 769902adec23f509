//! A node of one, without consensus: commands are applied when the test says so.
use std::collections::VecDeque;
use std::time::Duration;

use keyspace::{
    Access, ClientInfo, Host, Keyspace, KillFilter, Leadership, MemberInfo, Outcome, Overview,
    Session, SettingError, Settings, Slot, Wait,
};
use replication::{EntryInfo, Epoch, Index, LongId, Millis, Position, Query, StateMachine};
use storage::{Engine, MemoryEngine};

pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// What a session has asked for and not been told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Command(Slot, Access, Vec<u8>),
    Wait(Slot, Wait),
}

pub(crate) struct Node {
    pub(crate) keyspace: Keyspace<MemoryEngine>,
    pub(crate) settings: Settings,
    pub(crate) overview: Overview,
    pub(crate) leader: Leadership,
    pub(crate) asked: VecDeque<Asked>,
    pub(crate) others: Vec<ClientInfo>,
    pub(crate) killed: Vec<KillFilter>,
    pub(crate) now_ms: u64,
    pub(crate) index: u64,
    pub(crate) resets: u32,
    pub(crate) ticks: u32,
}

pub(crate) fn member(id: u64) -> MemberInfo {
    MemberInfo {
        id,
        name: format!("{id:040x}"),
        host: format!("10.0.0.{id}"),
        port: 6400 + id as u16,
        peer_port: 7400 + id as u16,
        index: 7,
        online: true,
        silent_s: 0,
    }
}

impl Default for Node {
    fn default() -> Self {
        Node {
            keyspace: Keyspace::open(MemoryEngine::default()).unwrap(),
            settings: Settings::default(),
            overview: Overview {
                node: 1,
                run_id: "f".repeat(40),
                leader: Some(1),
                epoch: 3,
                committed: 9,
                applied: 8,
                members: (1..=3).map(member).collect(),
                ..Overview::default()
            },
            leader: Leadership::Me,
            asked: VecDeque::new(),
            others: Vec::new(),
            killed: Vec::new(),
            now_ms: START_MS,
            index: 0,
            resets: 0,
            ticks: 0,
        }
    }
}

impl Host for Node {
    fn submit(&mut self, slot: Slot, access: Access, command: &[u8]) {
        self.asked
            .push_back(Asked::Command(slot, access, command.to_vec()));
    }
    fn wait(&mut self, slot: Slot, wait: Wait) {
        self.asked.push_back(Asked::Wait(slot, wait));
    }
    fn leader(&self) -> Leadership {
        self.leader
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
    fn set_setting(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        self.settings.set(name, value)
    }
    fn overview(&self) -> Overview {
        self.overview.clone()
    }
    fn clients(&self) -> Vec<ClientInfo> {
        self.others.clone()
    }
    fn kill(&mut self, filter: &KillFilter) -> usize {
        self.killed.push(filter.clone());
        self.others.iter().filter(|c| filter.matches(c)).count()
    }
    fn reset_statistics(&mut self) {
        self.resets += 1;
    }
    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }
}

impl Node {
    /// Applies commands as one entry, and gives their replies.
    pub(crate) fn apply(&mut self, commands: &[&[u8]]) -> Vec<Vec<u8>> {
        self.index += 1;
        self.keyspace
            .begin(EntryInfo {
                position: Position {
                    index: Index(self.index),
                    epoch: Epoch::term(1),
                },
                stamp: Millis(self.now_ms),
                semantics: replication::SEMANTICS,
                membership: None,
            })
            .unwrap();
        let replies = commands
            .iter()
            .map(|command| {
                let mut reply = Vec::new();
                self.keyspace.apply(command, Some(&mut reply)).unwrap();
                reply
            })
            .collect();
        self.keyspace.commit().unwrap();
        replies
    }

    /// Executes one command as the driver would; its reply, and its index if it went through the
    /// log.
    pub(crate) fn execute(&mut self, access: Access, command: &[u8]) -> (Vec<u8>, Option<u64>) {
        if access != Access::Write {
            let mut reply = Vec::new();
            let clock = match access {
                Access::Local => Millis(0),
                _ => Millis(self.now_ms),
            };
            match self.keyspace.query(command, clock, &mut reply).unwrap() {
                Query::Answered => return (reply, None),
                Query::NeedsTick => {
                    assert!(reply.is_empty(), "a query that needs a tick wrote a reply");
                    self.ticks += 1;
                }
                Query::Long => return (self.execute_long(command), None),
            }
        }
        let reply = self.apply(&[command]).remove(0);
        (reply, Some(self.index))
    }
}

impl Node {
    fn execute_long(&mut self, query: &[u8]) -> Vec<u8> {
        self.keyspace.begin_long(LongId(7), query).unwrap();
        let mut answered = None;
        while self.keyspace.has_work() {
            let mut answer = |id, reply: &[u8]| {
                assert_eq!((id, answered.replace(reply.to_vec())), (LongId(7), None));
            };
            self.keyspace.work(&mut answer).unwrap();
        }
        answered.expect("a long query is answered when there is nothing left to do")
    }
}

/// A connection and the node it is connected to.
pub(crate) struct Client {
    pub(crate) node: Node,
    pub(crate) session: Session,
    pub(crate) input: Vec<u8>,
}

impl Default for Client {
    fn default() -> Self {
        Client::with(Settings::default())
    }
}

impl Client {
    pub(crate) fn with(settings: Settings) -> Self {
        let node = Node {
            settings,
            ..Node::default()
        };
        let session = Session::new(
            7,
            "127.0.0.1:50000".parse().unwrap(),
            "127.0.0.1:6401".parse().unwrap(),
            &node.settings,
            Duration::from_millis(START_MS),
        );
        Client {
            node,
            session,
            input: Vec::new(),
        }
    }

    /// Gives the session bytes, and completes nothing.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.go_on();
    }

    pub(crate) fn go_on(&mut self) {
        let consumed = self.session.receive(&self.input, &mut self.node);
        self.input.drain(..consumed);
    }

    /// Does the `at`th of what was asked for, as soon as it stands there.
    pub(crate) fn complete(&mut self, at: usize) {
        match self.node.asked.remove(at).unwrap() {
            Asked::Command(slot, access, command) => {
                let (reply, index) = self.node.execute(access, &command);
                self.session.complete(slot, index, Outcome::Reply(&reply));
            }
            Asked::Wait(slot, _) => {
                let outcome = Outcome::Durable {
                    local: true,
                    replicas: 2,
                };
                self.session.complete(slot, None, outcome);
            }
        }
    }

    /// Completes everything, in order.
    pub(crate) fn settle(&mut self) {
        loop {
            while !self.node.asked.is_empty() {
                self.complete(0);
            }
            if !self.session.can_continue() {
                return;
            }
            self.go_on();
        }
    }

    pub(crate) fn output(&mut self) -> Vec<u8> {
        std::mem::take(self.session.output())
    }

    /// Sends a request as a line, completes it, and gives its reply with blanks for line ends.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.feed(line.as_bytes());
        self.feed(b"\r\n");
        self.settle();
        shown(&self.output())
    }
}

/// A reply on one line.
pub(crate) fn shown(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply).replace("\r\n", " ");
    text.trim_end_matches(' ').to_string()
}

pub(crate) fn request(args: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    resp::encode::request(&mut out, args);
    out
}

/// Keys and values, in order.
pub(crate) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything an engine holds.
pub(crate) fn dump(engine: &MemoryEngine) -> Rows {
    let mut rows = Vec::new();
    engine
        .scan(
            std::ops::Bound::Unbounded,
            std::ops::Bound::Unbounded,
            &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                std::ops::ControlFlow::Continue(())
            },
        )
        .unwrap();
    rows
}
