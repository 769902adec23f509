//! Groups that share a node: what they have in common must not cost them twice.

use consensus::{Consensus as _, Membership, Recovered};
use consensus_raft::Raft;
use keyspace::command::encode;
use keyspace::{Keyspace, table};
use replication::Replica;
use storage::{LogOptions, MemoryEngine, RealDisk, SegmentedLog};
use transport::memory::{MemoryNetwork, MemoryTransport};

use super::*;
use crate::server::log_thread::{self, LogEvents};

const GROUPS: [GroupId; 2] = [GroupId(0), GroupId(1)];

/// How many replies came.
#[derive(Default)]
struct Counted(usize);

impl Replies<u64> for Counted {
    fn reply(&mut self, _: u64, _: Option<Index>, reply: &[u8]) {
        assert_eq!(reply, b"+OK\r\n");
        self.0 += 1;
    }
    fn fail(&mut self, _: u64, failure: Failure) {
        panic!("{failure:?}");
    }
    fn held(&mut self, _: u64, _: Held) {}
}

struct Node {
    hosting: Hosting<Raft, Keyspace<MemoryEngine>, u64>,
    log: LogEvents,
    transport: MemoryTransport,
    replies: Counted,
    _dir: tempfile::TempDir,
}

impl Node {
    /// Node 1 is in a hurry to lead, in every group.
    fn start(network: &MemoryNetwork, id: NodeId) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let log = SegmentedLog::open(disk, LogOptions::default()).unwrap();
        let (requests, events) = log_thread::start(log).unwrap();
        let members = Membership::of_voters([1, 2, 3].map(NodeId));
        let mut config = consensus_raft::Config::new(id);
        if id != NodeId(1) {
            config.election_timeout = Micros::from_millis(20_000);
        }
        let group = |_| {
            let core = Raft::new(config.clone(), id.0, Recovered::fresh(members.clone()));
            let driver = replication::Config::new(id, 1);
            let replica = Replica::new(core, driver, members.clone(), Index::ZERO);
            Group::new(replica, Keyspace::open(MemoryEngine::default()).unwrap())
        };
        let identity = transport::Identity {
            cluster: transport::ClusterId(1),
            node: transport::NodeId(id.0),
            disk: transport::DiskId(u128::from(id.0)),
            boot: 1,
        };
        let mut transport = network.transport(identity);
        let addresses = [1, 2, 3].map(|peer| (transport::NodeId(peer), String::new()));
        transport.set_peers(addresses.into());
        Node {
            hosting: Hosting::new(GROUPS.map(group).into(), requests),
            log: events,
            transport,
            replies: Counted::default(),
            _dir: dir,
        }
    }

    /// Takes in what there is and ends a turn.
    async fn round(&mut self, now: Micros) {
        let (mut peers, mut log) = (Vec::new(), Vec::new());
        tokio::select! {
            biased;
            () = self.transport.receive(&mut peers) => {}
            () = std::future::ready(()) => {}
        }
        self.log.take(&mut log);
        self.hosting.take_log_events(now, &mut log).unwrap();
        self.hosting.take_peer_events(now, &mut peers);
        let wall = Millis(1_000_000);
        self.hosting
            .turn(now, wall, &mut self.transport, &mut self.replies)
            .unwrap();
    }

    /// Whether in every group everything is on the disk, applied, and known to whoever leads.
    fn has_settled(&self) -> bool {
        let mut groups = self.hosting.groups();
        groups.all(|(_, group)| {
            let status = group.view().status();
            let last = status.last.index;
            let mut peers = status.peers.iter();
            last > Index::ZERO
                && [status.persisted, status.applied] == [last; 2]
                && peers.all(|peer| peer.matched == last)
        })
    }

    fn submit(&mut self, group: GroupId) {
        let mut command = Vec::new();
        let set = table::lookup(b"set").unwrap();
        encode(
            &mut command,
            0,
            set.number().unwrap(),
            [&b"key"[..], b"value"].into_iter(),
        );
        let replica = self.hosting.group(group).unwrap().replica();
        replica.submit(Micros(0), 0, &command);
    }
}

/// Lets the nodes run until there is nothing left to do, a millisecond a round.
async fn settle(nodes: &mut [Node], now: &mut Micros) {
    for _ in 0..20_000 {
        for node in &mut *nodes {
            node.round(*now).await;
        }
        if nodes.iter().all(Node::has_settled) {
            return;
        }
        *now = *now + Micros::from_millis(1);
        // Their disks are real.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("they do not come to rest");
}

#[tokio::test(flavor = "current_thread")]
async fn two_groups_share_fsyncs_and_frames() {
    let network = MemoryNetwork::default();
    let mut nodes = [1, 2, 3].map(|id| Node::start(&network, NodeId(id)));
    let mut now = Micros(0);
    settle(&mut nodes, &mut now).await;
    assert!(
        nodes[0]
            .hosting
            .groups()
            .all(|(_, group)| group.view().leads())
    );

    // What was due by now is done, so what they write and say follows from these commands alone.
    let fsyncs = [0, 1, 2].map(|nth: usize| nodes[nth].hosting.fsyncs());
    let frames = nodes[0].hosting.frames();
    GROUPS.iter().for_each(|group| nodes[0].submit(*group));
    nodes[0].round(now).await;
    let said = nodes[0].hosting.frames() - frames;
    assert_eq!(said, 2, "one frame per peer for both groups");

    settle(&mut nodes, &mut now).await;
    assert_eq!(nodes[0].replies.0, GROUPS.len());
    let now_fsyncs = [0, 1, 2].map(|nth: usize| nodes[nth].hosting.fsyncs());
    let more = [0, 1, 2].map(|nth| now_fsyncs[nth] - fsyncs[nth]);
    assert_eq!(more, [1; 3], "one fsync per node for both groups");
}
