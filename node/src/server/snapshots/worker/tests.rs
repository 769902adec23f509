//! The worker, job by job, on a disk that fails when it should.

use bytes::Bytes;
use consensus::{Epoch, Index, Membership, NodeId};
use replication::{InstallFailure, Position, SnapshotId, SnapshotMeta, SnapshotTask};
use storage::{GroupDirectory, GroupId, MemoryBackend, MemoryDisk, MemoryEngine, RowBuffer};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Job, SnapshotEvent, Worker};

/// Rows of a snapshot; a few chunks of them.
const ROWS: u32 = 10_000;
const PIECE: usize = 100_000;

struct Bench {
    worker: Worker<MemoryDisk, MemoryBackend>,
    events: UnboundedReceiver<SnapshotEvent<MemoryEngine>>,
    disk: MemoryDisk,
}

fn rows() -> RowBuffer {
    let mut rows = RowBuffer::default();
    (0..ROWS).for_each(|n| rows.push(&n.to_be_bytes(), &[n as u8; 100]));
    rows
}

fn begin(index: u64) -> Job {
    let at = Position {
        index: Index(index),
        epoch: Epoch::term(1),
    };
    Job::Begin(at, Membership::of_voters([NodeId(1)]))
}

impl Bench {
    fn new() -> Bench {
        let disk = MemoryDisk::new(1);
        let directory = GroupDirectory::open(disk.clone(), "", GroupId(0), MemoryBackend);
        let (outgoing, events) = unbounded_channel();
        Bench {
            worker: Worker::new(directory.unwrap(), outgoing),
            events,
            disk,
        }
    }

    /// What comes of these jobs, and of all that takes longer.
    fn seen(&mut self, jobs: impl IntoIterator<Item = Job>) -> Vec<String> {
        let events = self.events(jobs);
        events.iter().map(name).collect()
    }

    fn events(&mut self, jobs: impl IntoIterator<Item = Job>) -> Vec<SnapshotEvent<MemoryEngine>> {
        for job in jobs {
            self.worker.carry_out(job);
        }
        while self.worker.has_work() {
            self.worker.go_on();
        }
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            events.push(event);
        }
        events
    }

    /// A complete snapshot.
    fn write(&mut self, index: u64) -> SnapshotMeta {
        let events = self.events([begin(index), Job::Rows(rows()), Job::Finish]);
        match events.into_iter().last() {
            Some(SnapshotEvent::Written(meta)) => meta,
            other => panic!("{:?}", other.as_ref().map(name)),
        }
    }

    fn task(&mut self, task: SnapshotTask) -> Vec<String> {
        self.seen([Job::Task(task)])
    }

    fn read(&mut self, id: SnapshotId, offset: u64, len: usize) -> Bytes {
        let to = NodeId(2);
        let task = SnapshotTask::Read {
            to,
            id,
            offset,
            len,
        };
        match self.events([Job::Task(task)]).pop() {
            Some(SnapshotEvent::Read {
                bytes: Some(bytes), ..
            }) => bytes,
            other => panic!("{:?}", other.as_ref().map(name)),
        }
    }

    /// The ends of the names of all files but the directory's own.
    fn files(&self) -> Vec<String> {
        let names = self.disk.names().into_iter();
        let endings = names.filter_map(|name| Some(name.rsplit_once('.')?.1.to_owned()));
        endings.collect()
    }
}

fn name(event: &SnapshotEvent<MemoryEngine>) -> String {
    match event {
        SnapshotEvent::Taken(_) => "taken".to_owned(),
        SnapshotEvent::Written(meta) => format!("written {}", meta.index()),
        SnapshotEvent::WriteFailed => "write failed".to_owned(),
        SnapshotEvent::Read { bytes, .. } => format!("read {:?}", bytes.as_ref().map(Bytes::len)),
        SnapshotEvent::Opened(_, at) => format!("opened at {at}"),
        SnapshotEvent::Stored(_, upto) => format!("stored to {upto}"),
        SnapshotEvent::Spoiled(_, good) => format!("spoiled after {good}"),
        SnapshotEvent::ReceiveFailed(_) => "receive failed".to_owned(),
        SnapshotEvent::Installed(meta, _) => format!("installed {}", meta.index()),
        SnapshotEvent::InstallFailed(_, why) => format!("install failed: {why:?}"),
        SnapshotEvent::Lost(id) => format!("lost {}", id.at.index),
        SnapshotEvent::Fatal(_) => "fatal".to_owned(),
    }
}

#[test]
fn an_installation_ends_what_is_being_written() {
    let mut bench = Bench::new();
    let meta = bench.write(9);
    assert_eq!(bench.seen([begin(5), Job::Rows(rows())]), ["taken"]);
    assert_eq!(bench.task(SnapshotTask::Install { meta }), ["installed 9"]);
    // The loop has not heard of it yet.
    let late = [Job::Rows(rows()), Job::Finish, begin(6), Job::Finish];
    assert!(bench.seen(late).is_empty());
    assert_eq!(bench.files(), ["snapshot"]);
    bench.seen([Job::Retire(Box::new(()))]);
    assert_eq!(bench.write(12).index(), Index(12));
}

#[test]
fn what_a_full_disk_has_no_room_for_leaves_no_file() {
    let mut bench = Bench::new();
    bench.write(9);
    bench.disk.limit(Some(1_500_000));
    let seen = bench.seen([begin(10), Job::Rows(rows()), Job::Finish]);
    assert_eq!(seen, ["write failed", "taken"]);
    assert_eq!(bench.files(), ["snapshot"]);
    bench.disk.limit(None);
    bench.write(11);
}

#[test]
fn a_piece_that_is_sent_corrupt_is_said_to_be_and_what_is_before_it_stays() {
    let mut sender = Bench::new();
    let meta = sender.write(9);
    let file = format!("{}.snapshot", replication::to_snapshot_id(meta.id));
    let mut receiver = Bench::new();
    let id = meta.id;
    let open = SnapshotTask::Open { meta: meta.clone() };
    assert_eq!(receiver.task(open), ["opened at 0"]);
    let mut store = |sender: &mut Bench, offset: u64| {
        let left = (meta.bytes - offset) as usize;
        let bytes = sender.read(id, offset, PIECE.min(left));
        receiver.task(SnapshotTask::Store { id, offset, bytes })
    };
    let mut at = 0;
    while at < 400_000 {
        store(&mut sender, at);
        at += PIECE as u64;
    }
    sender.disk.flip(&file, at + 7, 3);
    // The chunk it is in is only told from damage at its end.
    let seen = loop {
        let seen = store(&mut sender, at);
        at += PIECE as u64;
        if seen.iter().any(|seen| seen.starts_with("spoiled")) {
            break seen;
        }
    };
    let good: u64 = seen[0].rsplit(' ').next().unwrap().parse().unwrap();
    assert!((200_000..400_000).contains(&good), "{seen:?}");
    sender.disk.flip(&file, 400_007, 3);
    let mut at = good;
    while at < meta.bytes {
        at += PIECE as u64;
        assert!(!store(&mut sender, at - PIECE as u64).is_empty());
    }
    assert_eq!(
        receiver.task(SnapshotTask::Install { meta }),
        ["installed 9"]
    );
}

#[test]
fn a_suspected_snapshot_is_verified() {
    let mut bench = Bench::new();
    let id = bench.write(9).id;
    let suspect = SnapshotTask::Suspect { id };
    assert!(bench.task(suspect.clone()).is_empty(), "it is right");
    let file = format!("{}.snapshot", replication::to_snapshot_id(id));
    bench.disk.flip(&file, 500_000, 1);
    assert_eq!(bench.task(suspect.clone()), ["lost 9"]);
    assert!(bench.files().is_empty());
    assert_eq!(bench.task(suspect.clone()), ["lost 9"], "it is not there");
    let id = bench.write(9).id;
    bench.disk.fail_reads(true);
    assert_eq!(bench.task(SnapshotTask::Suspect { id }), ["lost 9"]);
}

#[test]
fn a_received_snapshot_that_cannot_be_read_is_fetched_anew() {
    let mut bench = Bench::new();
    let meta = bench.write(9);
    bench.disk.fail_reads(true);
    let why = InstallFailure::Corrupt;
    let seen = bench.task(SnapshotTask::Install { meta: meta.clone() });
    assert_eq!(seen, [format!("install failed: {why:?}")]);
    bench.disk.fail_reads(false);
    bench.task(SnapshotTask::Discard { id: meta.id });
    assert_eq!(bench.task(SnapshotTask::Open { meta }), ["opened at 0"]);
}

#[test]
fn what_is_thrown_away_is_gone_in_part_too() {
    let mut sender = Bench::new();
    let meta = sender.write(9);
    let mut receiver = Bench::new();
    let open = SnapshotTask::Open { meta: meta.clone() };
    receiver.task(open);
    assert_eq!(receiver.files(), ["part"]);
    receiver.task(SnapshotTask::Discard { id: meta.id });
    assert!(receiver.files().is_empty());
}
