//! Replies on their way back: one that no frame could carry.

use std::convert::Infallible;

use consensus::{Consensus, NodeId, Position};
use consensus_raft::{Config, Raft};
use replication::local::{Answer, LocalCluster};
use replication::{EntryInfo, Failure, Millis, Query, StateMachine};

/// Replies to every command with as many bytes as it names.
#[derive(Default)]
struct Talkative {
    applied: Position,
    commands: u32,
}

impl StateMachine for Talkative {
    type Error = Infallible;

    fn applied(&self) -> Position {
        self.applied
    }
    fn begin(&mut self, entry: EntryInfo<'_>) -> Result<(), Infallible> {
        self.applied = entry.position;
        Ok(())
    }
    fn apply(&mut self, command: &[u8], reply: Option<&mut Vec<u8>>) -> Result<(), Infallible> {
        self.commands += 1;
        let bytes: usize = String::from_utf8_lossy(command).parse().unwrap_or(0);
        if let Some(reply) = reply {
            reply.resize(reply.len() + bytes, b'x');
        }
        Ok(())
    }
    fn commit(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
    fn query(&self, _: &[u8], _: Millis, _: &mut Vec<u8>) -> Result<Query, Infallible> {
        Ok(Query::Answered)
    }
}

#[test]
fn a_reply_too_large_to_travel_is_unknown_to_whoever_waits_and_was_executed() {
    let raft = |node: NodeId, recovered| Raft::new(Config::new(node), node.0, recovered);
    let mut cluster: LocalCluster<Raft, Talkative> =
        LocalCluster::new(3, raft, |_| Talkative::default());
    let leader = cluster.elect().unwrap().expect("somebody leads");
    let follower = NodeId(leader.0 % 3 + 1);
    let small = cluster.submit(follower, b"10");
    cluster.run().unwrap();
    assert_eq!(cluster.answer(small), Some(Answer::Reply(vec![b'x'; 10])));
    let large = (49 << 20).to_string();
    let asked = cluster.submit(follower, large.as_bytes());
    let local = cluster.submit(leader, large.as_bytes());
    cluster.run().unwrap();
    assert_eq!(
        cluster.answer(asked),
        Some(Answer::Failed(Failure::Unknown))
    );
    assert!(matches!(cluster.answer(local), Some(Answer::Reply(reply)) if reply.len() == 49 << 20));
    assert_eq!(
        cluster.machine(leader).map(|machine| machine.commands),
        Some(3)
    );
}
