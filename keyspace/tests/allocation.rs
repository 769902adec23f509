//! Nothing is allocated per command once the buffers have grown to their size.

#![expect(clippy::unwrap_used, reason = "a test that unwraps asserts")]

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use allocation_counter::measure;
use keyspace::{
    Access, ClientInfo, Host, Keyspace, KillFilter, Leadership, Outcome, Overview, Session,
    SettingError, Settings, Slot, Wait, command, table,
};
use replication::{EntryInfo, Epoch, Index, Millis, Position, Query, StateMachine};
use storage::{Engine, EngineError};

/// An engine that allocates nothing itself: every key holds the number 41.
struct Idle;

impl Engine for Idle {
    type Value<'a> = &'static [u8];

    fn get(&self, key: &[u8]) -> Result<Option<&'static [u8]>, EngineError> {
        Ok((key.first() == Some(&0)).then_some(&[0, 0, b'4', b'1']))
    }
    fn scan(
        &self,
        _: Bound<&[u8]>,
        _: Bound<&[u8]>,
        _: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        Ok(())
    }
    fn put(&mut self, _: &[u8], _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }
    fn delete(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }
    fn delete_range(&mut self, _: &[u8], _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }
    fn commit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn encoded(args: &[&[u8]]) -> Vec<u8> {
    let number = table::lookup(args[0]).unwrap().number().unwrap();
    let mut out = Vec::new();
    command::encode(&mut out, 0, number, args[1..].iter().copied());
    out
}

#[test]
fn applying_and_answering_allocate_nothing_once_warm() {
    let value = [b'v'; 256];
    let writes: Vec<Vec<u8>> = [
        &[&b"set"[..], b"key:000000000001", &value][..],
        &[b"set", b"key", b"v", b"EX", b"100", b"NX"],
        &[b"incrby", b"key", b"5"],
        &[b"mset", b"a", b"1", b"b", b"2"],
        &[b"expire", b"key", b"100"],
        &[b"append", b"key", b"more"],
        &[b"getset", b"key", b"more"],
        &[b"del", b"a", b"b"],
    ]
    .map(encoded)
    .into();
    let reads: Vec<Vec<u8>> = [
        &[&b"get"[..], b"key"][..],
        &[b"mget", b"a", b"b"],
        &[b"exists", b"a", b"b"],
        &[b"ttl", b"key"],
    ]
    .map(encoded)
    .into();
    let mut keyspace = Keyspace::open(Idle).unwrap();
    let mut reply = Vec::with_capacity(4_096);
    let mut index = 0;
    let mut round = || {
        index += 1;
        keyspace
            .begin(EntryInfo {
                position: Position {
                    index: Index(index),
                    epoch: Epoch::term(1),
                },
                stamp: Millis(index),
                semantics: replication::SEMANTICS,
                membership: None,
            })
            .unwrap();
        for write in &writes {
            reply.clear();
            keyspace.apply(write, Some(&mut reply)).unwrap();
            assert_ne!(reply.first(), Some(&b'-'));
            keyspace.apply(write, None).unwrap();
        }
        keyspace.commit().unwrap();
        for read in &reads {
            reply.clear();
            let asked = keyspace.query(read, Millis(0), &mut reply).unwrap();
            assert_eq!(asked, Query::Answered);
        }
    };
    round();
    let allocations = measure(|| (0..100).for_each(|_| round()));
    assert_eq!(allocations.count_total, 0);
}

/// A host that only remembers which slots are to be completed.
struct Quiet {
    settings: Settings,
    asked: Vec<Slot>,
}

impl Host for Quiet {
    fn submit(&mut self, slot: Slot, _: Access, _: &[u8]) {
        self.asked.push(slot);
    }
    fn wait(&mut self, _: Slot, _: Wait) {}
    fn leader(&self) -> Leadership {
        Leadership::Me
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
    fn set_setting(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        self.settings.set(name, value)
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
        Duration::ZERO
    }
}

#[test]
fn a_sessions_pipeline_allocates_nothing_once_warm() {
    for greeting in [&b"PING\r\n"[..], b"HELLO 3\r\n"] {
        let mut host = Quiet {
            settings: Settings::default(),
            asked: Vec::with_capacity(64),
        };
        let address = "127.0.0.1:1".parse().unwrap();
        let mut session = Session::new(1, address, address, &host.settings, Duration::ZERO);
        session.receive(greeting, &mut host);
        let pipeline =
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(16);
        // Replies are taken to be large until enough small ones have come.
        for _ in 0..200 {
            session.receive(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &mut host);
            for slot in host.asked.drain(..) {
                session.complete(slot, None, Outcome::Reply(b"_\r\n"));
            }
            session.output().clear();
        }
        let mut round = || {
            session.receive(b"PING\r\n", &mut host);
            let consumed = session.receive(&pipeline, &mut host);
            assert_eq!((consumed, host.asked.len()), (pipeline.len(), 32));
            for slot in host.asked.drain(..) {
                session.complete(slot, Some(1), Outcome::Reply(b"_\r\n"));
            }
            assert!(session.output().len() > 32 * 3);
            session.output().clear();
        };
        round();
        let allocations = measure(|| (0..100).for_each(|_| round()));
        assert_eq!(allocations.count_total, 0, "{greeting:?}");
    }
}
