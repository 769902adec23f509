//! The beginnings of every corpus: what our own encoders write, and a few scripts.
//!
//! Made anew they are the same to the byte, so whoever changes a format sees in the corpus what that
//! changed.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::NodeId;
use replication::{Frame, Message};
use resp::{Value, encode};
use storage::{
    Epoch, GroupId, GroupWrite, LogOp, LogStore as _, MemoryDisk, Record, SegmentedLog,
    SnapshotWriter,
};
use transport::fuzzing;

use crate::log_records;
use crate::node::Node;
use crate::peer_frames;

/// The name of a seed and its bytes.
type Seed = (String, Vec<u8>);

/// The seeds of the target of that name.
#[must_use]
pub fn seeds(target: &str) -> Vec<Seed> {
    match target {
        "requests" => requests(),
        "peer_frames" => peer_frames(),
        "log_records" => log_records(),
        "snapshots" => snapshots(),
        "configuration" => configuration(),
        _ => Vec::new(),
    }
}

fn seed(name: &str, first: u8, bytes: impl AsRef<[u8]>) -> Seed {
    (name.to_owned(), [&[first], bytes.as_ref()].concat())
}

/// Scripts of that many bytes: no two alike, and always the same.
fn scripts(name: &str, first: u8, count: u8, length: usize) -> impl Iterator<Item = Seed> {
    (0..count).map(move |nth| {
        // SplitMix64.
        let mut state = u64::from(nth) << 8 | u64::from(first);
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) as u8
        })
        .take(length)
        .collect();
        seed(&format!("{name}-{nth}"), first, bytes)
    })
}

fn requests() -> Vec<Seed> {
    let request = |args: &[&str]| {
        let mut bytes = Vec::new();
        encode::request(&mut bytes, args);
        bytes
    };
    let pipeline = [
        request(&["SET", "key", "value"]),
        request(&["GET", "key"]),
        b"PING\r\n".to_vec(),
        request(&["MSET", "a", "1", "b", ""]),
    ]
    .concat();
    let scalars = [
        Value::Simple(b"OK".to_vec()),
        Value::Error(b"ERR no".to_vec()),
        Value::Integer(-42),
        Value::Bulk(b"bulk\r\n".to_vec()),
        Value::Null,
        Value::NullArray,
        Value::Boolean(true),
        Value::Double(1.5e300),
        Value::Double(f64::NAN),
        Value::BigNumber(b"123456789012345678901234567890".to_vec()),
        Value::Verbatim(*b"txt", b"text".to_vec()),
        Value::BulkError(b"ERR at length".to_vec()),
    ];
    let pairs = || vec![(Value::Simple(b"k".to_vec()), Value::Integer(1))];
    let nested = Value::Attributed(
        pairs(),
        Box::new(Value::Push(vec![
            Value::Map(pairs()),
            Value::Set(scalars.to_vec()),
            Value::Array(vec![Value::Array(Vec::new())]),
        ])),
    );
    let value = |value: &Value| {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        bytes
    };
    let mut seeds = vec![
        seed("pipeline", 0, &pipeline),
        seed("pipeline-unauthenticated", 1, &pipeline),
        seed("pipeline-tight", 2, &pipeline),
        seed(
            "inline",
            0,
            "SET \"k\\x41\\n\" 'it\\'s' bare\r\n\r\n*0\r\n*-1\r\n",
        ),
        seed("tls", 0, [0x16, 3, 1, 2, 0]),
        seed("browser", 0, "POST / HTTP/1.1\r\nHost: x\r\n"),
        seed("claims", 0, "*1048576\r\n$536870912\r\n"),
        seed("nested", 0, value(&nested)),
    ];
    let all = scalars.iter().enumerate();
    seeds.extend(all.map(|(nth, scalar)| seed(&format!("scalar-{nth}"), 0, value(scalar))));
    seeds
}

fn peer_frames() -> Vec<Seed> {
    let config = peer_frames::config();
    let mut theirs = peer_frames::config();
    theirs.identity.node = transport::NodeId(2);
    theirs.identity.disk = transport::DiskId(8);
    // What two honest nodes say to each other, with the other's words not heard yet.
    let target = config.identity.node;
    let (_, hello) = fuzzing::dial(&theirs, target, &[]);
    let ready = fuzzing::encode(3, &[0xc0]);
    let data = fuzzing::encode(0, b"data");
    let greeting = [&hello[..], &ready, &data].concat();
    let (_, welcome) = fuzzing::accept(&theirs, &dialed_by_first());
    let mut seeds = vec![
        seed("stream", 0, &greeting),
        seed("stream-http", 0, "GET / HTTP/1.1\r\n\r\n"),
        seed("handshake", 2, &greeting),
        seed("handshake-welcome", 2, &welcome),
    ];
    seeds.extend(scripts("damaged", 1, 4, 300));
    let (steps, frames) = conversation();
    seeds.push(seed("conversation", 3, steps));
    let each = frames.into_iter().enumerate();
    seeds.extend(each.map(|(nth, step)| seed(&format!("message-{nth}"), 3, step)));
    seeds.extend(scripts("made-up", 4, 12, 400));
    seeds
}

/// What the node that is fuzzed says when it dials node 2.
fn dialed_by_first() -> Vec<u8> {
    // Node 2 listens only to those above it, so this one calls itself 3.
    let mut config = peer_frames::config();
    config.identity.node = transport::NodeId(3);
    fuzzing::dial(&config, transport::NodeId(2), &[]).1
}

/// A frame as a step of the target.
fn step(from: NodeId, pause: u8, frame: &Frame<consensus_raft::Message>) -> Vec<u8> {
    let bytes = frame.encode();
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    let from = if from == NodeId(2) { 0 } else { 1 };
    [&[from, pause], &length[..], &bytes].concat()
}

/// What the second node says to the first while they elect it and it writes, and each first message of
/// its kind and direction on its own.
fn conversation() -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut nodes = [1, 2, 3].map(|id| Node::numbered(NodeId(id)));
    let (mut steps, mut singles) = (Vec::new(), Vec::new());
    let mut kinds = Vec::new();
    for round in 0..60 {
        let mut network = VecDeque::new();
        for (id, node) in (1..).map(NodeId).zip(&mut nodes) {
            // The second is the first to stand for election.
            let pause = if id == NodeId(2) { 255 } else { 8 };
            let passed = node.pass(pause).is_continue();
            if round == 30 && node.leads() {
                let mut command = Vec::new();
                let args = [&b"key"[..], &b"value"[..]].into_iter();
                keyspace::command::encode(&mut command, 0, 1, args);
                node.submit(&command);
            }
            assert!(passed && node.settle().is_continue());
            let clock = node.wall();
            let sent = node.take_sent().into_iter();
            network.extend(sent.map(|(to, message)| (id, to, clock, message)));
        }
        for (from, to, clock, message) in network {
            let mut frame = Frame::new(clock);
            let kind = kind(&message);
            frame.messages.push((0, message));
            let step = step(from, 8, &frame);
            if !kinds.contains(&kind) {
                kinds.push(kind);
                singles.push(step.clone());
            }
            if (from, to) == (NodeId(2), NodeId(1)) && steps.len() < 2500 {
                steps.extend(step);
            }
            let receiver = nodes.get_mut(to.0 as usize - 1);
            let heard = receiver.map(|node| node.hear(from, frame, 0));
            assert!(heard.is_some_and(|heard| heard.is_continue()));
        }
    }
    (steps, singles)
}

/// The first word of how it is shown.
fn kind(message: &Message<consensus_raft::Message>) -> String {
    let shown = format!("{message:?}");
    let words = shown.split([' ', '(', '{']).filter(|word| !word.is_empty());
    words.take(2).collect()
}

fn log_records() -> Vec<Seed> {
    let disk = MemoryDisk::new(1);
    let mut seeds = Vec::new();
    let Ok(mut log) = SegmentedLog::open(disk.clone(), log_records::options()) else {
        return seeds;
    };
    for index in 1..=40_u64 {
        let epoch = Epoch { round: 1, node: 0 };
        let mut ops = vec![
            LogOp::HardState(Bytes::from(format!("state {index}"))),
            LogOp::Put(Record {
                index,
                epoch,
                kind: 1,
                payload: Bytes::from(format!("payload {index}")),
            }),
        ];
        match index {
            4 => ops.push(LogOp::TruncateFrom(3)),
            9 => ops.push(LogOp::PurgeTo { index: 2, epoch }),
            _ => {}
        }
        let group = GroupId(index as u32 % 2);
        let written = log.write(&[GroupWrite { group, ops }]);
        assert!(written.is_ok(), "a disk in memory");
    }
    drop(log);
    let segments: Vec<Vec<u8>> = (disk.names().iter())
        .filter(|name| name.ends_with(".log"))
        .map(|name| log_records::compact(&disk.contents(name)))
        .collect();
    for (name, first) in [("segments", 0), ("segments-sealed", 1)] {
        seeds.push(seed(name, first, segments.concat()));
        let one = segments.first().cloned().unwrap_or_default();
        seeds.push(seed(&format!("{name}-one"), first, one));
    }
    seeds.extend(scripts("history", 2, 16, 500));
    seeds
}

fn snapshots() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for rows in [0, 3, 20_u8] {
        let disk = MemoryDisk::new(1);
        let epoch = Epoch { round: 4, node: 0 };
        let membership = Bytes::from_static(b"members");
        let begun = SnapshotWriter::begin(&disk, GroupId(0), (17, epoch), membership);
        let meta = begun.and_then(|mut writer| {
            for row in 0..rows {
                writer.row(&[b'k', row], format!("value {row}").as_bytes())?;
            }
            writer.finish(&disk)
        });
        let Ok(meta) = meta else {
            continue;
        };
        let bytes = disk.contents(&meta.id.file());
        seeds.push(seed(&format!("file-{rows}"), 0, &bytes));
        seeds.push(seed(&format!("file-sealed-{rows}"), 1, &bytes));
    }
    let keys = crate::snapshots::keys();
    seeds.push(seed("file-keys", 0, &keys));
    seeds.push(seed("file-sealed-keys", 1, &keys));
    seeds.extend(scripts("written", 2, 12, 300));
    seeds.push(seed(
        "pointer",
        3,
        crate::snapshots::pointer_of_a_new_directory(),
    ));
    seeds
}

fn configuration() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let all: String = (crate::config::setting::SETTINGS.iter())
        .filter(|setting| !setting.default.is_empty())
        .map(|setting| format!("{} = \"{}\"\n", setting.key, setting.default))
        .collect();
    let texts = [
        ("least", "node = 1\ndir = \"d\"\n".to_owned()),
        ("defaults", format!("node = 1\ndir = \"d\"\n{all}")),
        (
            "peers",
            "node = 2\ndir = \"d\"\nrequirepass = \"open sesame for me\"\n[peers]\n\
             1 = \"10.0.0.1:7379/10.0.0.1:6379\"\n2 = \"[::1]:7379/h:6379\"\n"
                .to_owned(),
        ),
        (
            "peers-text",
            "node=1\ndir='d'\npeers='2=a:1/b:2, 3=c:3/d:4'\n".to_owned(),
        ),
        ("misspelt", "nod = 1\n".to_owned()),
        ("no-toml", "node = = 1\n".to_owned()),
        ("nested", "node = [[[[1]]]]\n".to_owned()),
    ];
    for (name, text) in texts {
        seeds.push((name.to_owned(), text.into_bytes()));
    }
    seeds
}
