//! Snapshots: the file as it is read, as it is received piece by piece, and the pointer beside it.
//!
//! Checked: rows come out only as they went in, in order, and the end is announced only if all of it
//! is there; a damaged file is refused with an error that says what to do; what arrives in any pieces,
//! damaged ones among them, is in the end exactly what was sent; memory follows the file; keys are
//! opened from any rows or refused.

use std::io::IoSlice;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use consensus::{Index, Membership, NodeId, Position};
use keyspace::Keyspace;
use keyspace::command::encode;
use keyspace::table::lookup;
use replication::{EntryInfo, Millis, SEMANTICS, StateMachine as _};
use storage::{
    Disk as _, DiskFile as _, Engine as _, Epoch, GroupDirectory, GroupId, IncomingSnapshot,
    MemoryBackend, MemoryDisk, MemoryEngine, OutgoingSnapshot, SnapshotError, SnapshotMeta,
    SnapshotReader, SnapshotWriter,
};

use crate::script::Script;
use crate::seal;
use crate::within;

type Row = (Vec<u8>, Vec<u8>);

/// The first byte chooses: a file as bytes, the same with its checksums made right, one that is
/// written and then damaged, or the pointer.
pub(crate) fn run(data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    match first % 4 {
        0 => file(input.to_vec()),
        1 => {
            let mut bytes = input.to_vec();
            seal::snapshot(&mut bytes);
            file(bytes);
        }
        2 => written(Script(input)),
        _ => pointer(input),
    }
}

/// A disk that holds one file.
fn holding(name: &str, bytes: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::new(1);
    let written = disk.create(name).and_then(|file| {
        file.write_at(&mut [IoSlice::new(bytes)], 0)?;
        file.sync_data()?;
        disk.sync_dir()
    });
    assert!(written.is_ok(), "a disk in memory");
    disk
}

/// What happened, to what, and what to do.
fn explained(error: &SnapshotError) {
    let text = error.to_string();
    assert!(text.contains("the snapshot \""), "{text}");
    let advice = ["another node", "Put back", "start the version"];
    assert!(advice.iter().any(|advice| text.contains(advice)), "{text}");
}

/// The rows up to the end or to an error.
fn read(disk: &MemoryDisk, meta: &SnapshotMeta) -> (Vec<Row>, Result<(), SnapshotError>) {
    let mut rows = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| rows.push((key.to_vec(), value.to_vec()));
    let mut reader = match SnapshotReader::open(disk, meta.group, meta.id) {
        Ok(reader) => reader,
        Err(error) => return (rows, Err(error)),
    };
    loop {
        match reader.next_rows(100, &mut add) {
            Ok(true) => {}
            Ok(false) => return (rows, Ok(())),
            Err(error) => return (rows, Err(error)),
        }
    }
}

fn file(bytes: Vec<u8>) {
    let (group, id) = seal::snapshot_id(&bytes);
    let group = GroupId(group);
    let disk = holding(&id.file(), &bytes);
    let mut meta = SnapshotMeta {
        id,
        group,
        membership: Bytes::new(),
        bytes: bytes.len() as u64,
    };
    match OutgoingSnapshot::open(&disk, group, id) {
        Ok(outgoing) => {
            meta = outgoing.meta().clone();
            let whole = outgoing.read(0, usize::MAX);
            assert_eq!(whole.ok().as_deref(), Some(&bytes[..]));
        }
        Err(error) => explained(&error),
    }
    let allowed = (64 << 10) + 32 * bytes.len();
    let (rows, end) = within(allowed, || read(&disk, &meta));
    assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "rows out of order");
    match end {
        Ok(()) => {
            assert_eq!(receive(&meta, &bytes, 1000).ok(), Some(bytes));
            open_keys(&disk, &meta, &rows);
        }
        Err(error) => explained(&error),
    }
}

/// Whatever the rows say, keys are opened from them or refused.
fn open_keys(disk: &MemoryDisk, meta: &SnapshotMeta, rows: &[Row]) {
    let mut engine = MemoryEngine::new();
    let Ok(mut reader) = SnapshotReader::open(disk, meta.group, meta.id) else {
        panic!("it was read before");
    };
    assert!(engine.load(&mut reader).is_ok(), "it was read before");
    for (key, value) in rows {
        let found = engine.get(key).ok().flatten();
        assert_eq!(found, Some(&value[..]));
    }
    if let Err(error) = Keyspace::open(engine) {
        assert!(error.to_string().len() > 10, "{error}");
    }
}

/// Receives a file in pieces of that size.
fn receive(meta: &SnapshotMeta, bytes: &[u8], size: usize) -> Result<Vec<u8>, SnapshotError> {
    let disk = MemoryDisk::new(3);
    let mut incoming = IncomingSnapshot::open(&disk, meta.clone())?;
    for piece in bytes.chunks(size) {
        let offset = incoming.received();
        assert!(incoming.store(offset, piece)?);
    }
    incoming.finish(&disk)?;
    Ok(disk.contents(&meta.id.file()))
}

fn written(mut script: Script<'_>) {
    let disk = MemoryDisk::new(1);
    let (rows, meta) = write(&mut script, &disk);
    let whole = disk.contents(&meta.id.file());
    assert_eq!(whole.len() as u64, meta.bytes);
    let (found, end) = read(&disk, &meta);
    assert!(end.is_ok() && found == rows, "what was written is not read");
    // Sealing what is right changes nothing: it knows the format.
    let mut sealed = whole.clone();
    seal::snapshot(&mut sealed);
    assert_eq!(sealed, whole);

    transfer(&mut script, &meta, &whole);

    let mut bytes = whole.clone();
    script.damage(&mut bytes);
    while script.below(4) == 1 {
        script.damage(&mut bytes);
    }
    let disk = holding(&meta.id.file(), &bytes);
    let (found, end) = read(&disk, &meta);
    assert!(rows.starts_with(&found), "rows that were not written");
    match end {
        Ok(()) => assert_eq!(bytes, whole, "damage that is not noticed"),
        Err(error) => {
            assert_ne!(bytes, whole);
            explained(&error);
        }
    }
}

fn write(script: &mut Script<'_>, disk: &MemoryDisk) -> (Vec<Row>, SnapshotMeta) {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..script.below(12) {
        let mut value = script.bytes(40).to_vec();
        if script.below(16) == 15 {
            // A chunk of its own.
            value.resize(300 << 10, b'x');
        }
        rows.push((script.bytes(12).to_vec(), value));
    }
    rows.sort();
    rows.dedup_by(|a, b| a.0 == b.0);
    let epoch = Epoch {
        round: script.number(),
        node: script.number(),
    };
    let at = (script.number(), epoch);
    let membership = Bytes::copy_from_slice(script.bytes(30));
    let group = GroupId(script.number() as u32);
    let meta = SnapshotWriter::begin(disk, group, at, membership).and_then(|mut writer| {
        for (key, value) in &rows {
            writer.row(key, value)?;
        }
        writer.finish(disk)
    });
    match meta {
        Ok(meta) => (rows, meta),
        Err(error) => panic!("a disk in memory: {error}"),
    }
}

/// Sends a file in pieces, some of them damaged, twice or from elsewhere, while the receiver starts
/// again now and then. In the end it has what was sent.
fn transfer(script: &mut Script<'_>, meta: &SnapshotMeta, whole: &[u8]) {
    let disk = MemoryDisk::new(u64::from(script.byte()));
    let open = || match IncomingSnapshot::open(&disk, meta.clone()) {
        Ok(incoming) => incoming,
        Err(error) => panic!("a disk in memory: {error}"),
    };
    let mut incoming = open();
    for _ in 0..script.below(24) {
        let at = incoming.received() as usize;
        let end = whole.len().min(at + 1 + script.below(1 << 16));
        let mut piece = whole[at..end].to_vec();
        match script.below(8) {
            0 => {
                script.damage(&mut piece);
                let taken = incoming.store(at as u64, &piece);
                if let Err(error) = taken {
                    explained(&error);
                }
            }
            1 => {
                let elsewhere = incoming.store(script.number(), &piece);
                // Now and then that is where it goes on.
                if let Err(error) = elsewhere {
                    explained(&error);
                }
            }
            2 => {
                drop(incoming);
                disk.crash();
                incoming = open();
            }
            3 => assert!(incoming.sync().is_ok()),
            _ => {
                if let Err(error) = incoming.store(at as u64, &piece) {
                    // A damaged piece before it was taken, up to the end of a chunk.
                    explained(&error);
                }
            }
        }
        assert!(incoming.durable() <= incoming.received());
    }
    for _ in 0..8 {
        let at = incoming.received() as usize;
        if incoming.is_complete() || incoming.store(at as u64, &whole[at..]).is_ok() {
            break;
        }
    }
    assert!(incoming.is_complete(), "it does not get it all");
    assert!(incoming.finish(&disk).is_ok());
    assert_eq!(disk.contents(&meta.id.file()), whole);
}

/// The file that says which engine counts.
fn pointer(bytes: &[u8]) {
    let disk = holding("current", bytes);
    let directory = GroupDirectory::open(disk.clone(), "g", GroupId(0), MemoryBackend);
    assert_eq!(disk.contents("current"), bytes, "it was replaced");
    match directory {
        Ok(directory) => {
            let current = directory.current();
            assert_eq!((current.group, &*current.engine), (GroupId(0), "memory"));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("the directory of g"), "{text}");
        }
    }
}

/// A snapshot of a few keys, as a node writes it.
pub(crate) fn keys() -> Vec<u8> {
    let Ok(mut keys) = Keyspace::open(MemoryEngine::new()) else {
        panic!("an empty engine");
    };
    let position = Position {
        index: Index(1),
        epoch: consensus::Epoch::term(1),
    };
    let begun = keys.begin(EntryInfo {
        position,
        stamp: Millis(5),
        semantics: SEMANTICS,
        membership: Some(&Membership::of_voters([NodeId(1)])),
    });
    assert!(begun.is_ok(), "an engine in memory");
    for words in [
        &["SET", "key", "value"][..],
        &["SET", "due", "1", "EX", "9"],
    ] {
        let (name, args) = words.split_at(1);
        let number = name.first().and_then(|name| lookup(name.as_bytes()));
        let number = number
            .and_then(|command| command.number())
            .unwrap_or(u16::MAX);
        let mut command = Vec::new();
        encode(
            &mut command,
            0,
            number,
            args.iter().map(|arg| arg.as_bytes()),
        );
        assert!(keys.apply(&command, None).is_ok(), "an engine in memory");
    }
    assert!(keys.commit().is_ok(), "an engine in memory");

    let disk = MemoryDisk::new(1);
    let epoch = Epoch { round: 1, node: 0 };
    let Ok(mut writer) = SnapshotWriter::begin(&disk, GroupId(0), (1, epoch), Bytes::new()) else {
        panic!("a disk in memory");
    };
    let scanned = keys
        .engine()
        .scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            assert!(writer.row(key, value).is_ok(), "a disk in memory");
            ControlFlow::Continue(())
        });
    assert!(scanned.is_ok(), "an engine in memory");
    let meta = writer.finish(&disk);
    meta.map_or_else(|_| Vec::new(), |meta| disk.contents(&meta.id.file()))
}

/// What stands in a new directory's pointer.
pub(crate) fn pointer_of_a_new_directory() -> Vec<u8> {
    let disk = MemoryDisk::new(1);
    let directory = GroupDirectory::open(disk.clone(), "g", GroupId(0), MemoryBackend);
    assert!(directory.is_ok(), "a new directory");
    disk.contents("current")
}
