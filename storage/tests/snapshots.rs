//! Snapshot files: what they hold, what damage does to them, and how they are received.

#![expect(clippy::unwrap_used, reason = "a test that unwraps asserts")]

use bytes::Bytes;
use storage::{
    Epoch, GroupId, IncomingSnapshot, MemoryDisk, OutgoingSnapshot, RowBuffer, SnapshotError,
    SnapshotId, SnapshotMeta, SnapshotReader, SnapshotWriter,
};

const GROUP: GroupId = GroupId(7);
const AT: (u64, Epoch) = (42, Epoch { round: 3, node: 1 });

type Pair = (Vec<u8>, Vec<u8>);

/// Rows that make several chunks, one of them larger than any chunk should be.
fn some_rows() -> Vec<Pair> {
    let row = |n: u32| (n.to_be_bytes().to_vec(), vec![n as u8; (n % 700) as usize]);
    let mut rows: Vec<Pair> = (0..2_000).map(row).collect();
    rows.push((b"large".to_vec(), vec![9; 600_000]));
    rows.insert(0, (Vec::new(), b"under the empty key".to_vec()));
    rows
}

fn write(disk: &MemoryDisk, rows: &[Pair]) -> SnapshotMeta {
    let membership = Bytes::from_static(b"1, 2 and 3");
    let mut writer = SnapshotWriter::begin(disk, GROUP, AT, membership).unwrap();
    for (key, value) in rows {
        writer.row(key, value).unwrap();
    }
    writer.finish(disk).unwrap()
}

fn read(disk: &MemoryDisk, id: SnapshotId) -> Result<Vec<Pair>, SnapshotError> {
    let mut reader = SnapshotReader::open(disk, GROUP, id)?;
    assert_eq!(reader.membership(), &b"1, 2 and 3"[..]);
    let mut rows = Vec::new();
    while reader.next_rows(10_000, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()))
    })? {}
    Ok(rows)
}

/// All bytes of a snapshot, in pieces of that size.
fn pieces(disk: &MemoryDisk, id: SnapshotId, size: usize) -> Vec<Bytes> {
    let outgoing = OutgoingSnapshot::open(disk, GROUP, id).unwrap();
    let mut pieces = Vec::new();
    let mut offset = 0;
    loop {
        let piece = outgoing.read(offset, size).unwrap();
        if piece.is_empty() {
            assert_eq!(offset, outgoing.meta().bytes);
            return pieces;
        }
        offset += piece.len() as u64;
        pieces.push(piece);
    }
}

fn store_all(incoming: &mut IncomingSnapshot<MemoryDisk>, pieces: &[Bytes]) {
    let mut offset = 0;
    for piece in pieces {
        incoming.store(offset, piece).unwrap();
        offset += piece.len() as u64;
    }
}

#[test]
fn what_was_written_is_read() {
    for rows in [Vec::new(), some_rows()] {
        let disk = MemoryDisk::new(1);
        let meta = write(&disk, &rows);
        assert_eq!(
            (meta.group, meta.id.index, meta.id.epoch),
            (GROUP, 42, AT.1)
        );
        assert_eq!(disk.names(), [meta.id.file()]);
        assert_eq!(disk.contents(&meta.id.file()).len() as u64, meta.bytes);
        assert!(read(&disk, meta.id).unwrap() == rows);
    }
}

#[test]
fn buffered_rows_are_the_same_snapshot() {
    let (disk, other) = (MemoryDisk::new(1), MemoryDisk::new(2));
    let meta = write(&disk, &some_rows());
    let membership = meta.membership.clone();
    let mut writer = SnapshotWriter::begin(&other, GROUP, AT, membership).unwrap();
    let mut buffer = RowBuffer::default();
    for (key, value) in some_rows() {
        buffer.push(&key, &value);
        if buffer.bytes() > 10_000 {
            writer.rows(&buffer).unwrap();
            buffer.clear();
        }
    }
    writer.rows(&buffer).unwrap();
    assert_eq!(
        writer.finish(&other).unwrap(),
        meta,
        "equal files have one id"
    );
}

#[test]
fn files_that_differ_have_different_ids() {
    let mut rows = some_rows();
    let mut ids = vec![write(&MemoryDisk::new(1), &rows).id];
    rows[1_000].1 = b"another value".to_vec();
    ids.push(write(&MemoryDisk::new(1), &rows).id);
    rows.pop();
    ids.push(write(&MemoryDisk::new(1), &rows).id);
    let disk = MemoryDisk::new(1);
    let writer = SnapshotWriter::begin(&disk, GROUP, AT, Bytes::new()).unwrap();
    ids.push(writer.finish(&disk).unwrap().id);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_snapshot_is_durable_once_it_is_finished() {
    for seed in 0..20 {
        let disk = MemoryDisk::new(seed);
        let rows = some_rows();
        let meta = write(&disk, &rows);
        disk.crash();
        assert!(read(&disk, meta.id).unwrap() == rows, "seed {seed}");
    }
}

#[test]
fn a_crash_at_any_operation_leaves_a_whole_snapshot_or_none() {
    for after in 0.. {
        let disk = MemoryDisk::new(after);
        disk.cut_power(after);
        let act = || {
            let mut writer =
                SnapshotWriter::begin(&disk, GROUP, AT, Bytes::from_static(b"1, 2 and 3"))?;
            for (key, value) in some_rows() {
                writer.row(&key, &value)?;
            }
            writer.finish(&disk)
        };
        let finished = act();
        let expected = write(&MemoryDisk::new(9), &some_rows()).id;
        let names = disk.names();
        for name in names.iter().filter(|name| name.ends_with(".snapshot")) {
            assert_eq!(*name, expected.file());
            assert!(
                read(&disk, expected).unwrap() == some_rows(),
                "after {after}"
            );
        }
        if let Ok(meta) = finished {
            assert!(names.contains(&meta.id.file()));
            return;
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let disk = MemoryDisk::new(1);
    let rows: Vec<Pair> = some_rows().into_iter().take(40).collect();
    let meta = write(&disk, &rows);
    let name = meta.id.file();
    for offset in 0..meta.bytes {
        let bit = (offset % 8) as u8;
        disk.flip(&name, offset, bit);
        let found = read(&disk, meta.id);
        assert!(
            matches!(
                found,
                Err(SnapshotError::Corrupt { .. }
                    | SnapshotError::Version { .. }
                    | SnapshotError::Other { .. })
            ),
            "byte {offset}: {found:?}"
        );
        disk.flip(&name, offset, bit);
    }
    assert!(read(&disk, meta.id).unwrap() == rows);
}

#[test]
fn a_truncated_file_is_refused() {
    let disk = MemoryDisk::new(1);
    let rows: Vec<Pair> = some_rows().into_iter().take(10).collect();
    let meta = write(&disk, &rows);
    let whole = disk.contents(&meta.id.file());
    for length in 0..whole.len() {
        let shorter = MemoryDisk::new(1);
        put_file(&shorter, &meta.id.file(), &whole[..length]);
        let found = read(&shorter, meta.id);
        assert!(
            matches!(found, Err(SnapshotError::Corrupt { .. })),
            "{length}: {found:?}"
        );
        let outgoing = OutgoingSnapshot::open(&shorter, GROUP, meta.id);
        assert!(
            outgoing.is_err(),
            "{length} bytes of {} are offered",
            whole.len()
        );
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let mut longer = disk.contents(&meta.id.file());
    longer.push(0);
    let other = MemoryDisk::new(1);
    put_file(&other, &meta.id.file(), &longer);
    assert!(matches!(
        read(&other, meta.id),
        Err(SnapshotError::Corrupt { .. })
    ));
}

#[test]
fn swapped_chunks_are_refused() {
    let disk = MemoryDisk::new(1);
    // Two chunks of equal length: each row alone fills one.
    let rows = [(vec![1], vec![1; 300_000]), (vec![2], vec![2; 300_000])];
    let meta = write(&disk, &rows);
    let bytes = disk.contents(&meta.id.file());
    let chunk = 8 + 8 + 1 + 300_000;
    let start = bytes.len() - 40 - 2 * chunk;
    let swapped = [
        &bytes[..start],
        &bytes[start + chunk..start + 2 * chunk],
        &bytes[start..start + chunk],
        &bytes[start + 2 * chunk..],
    ];
    let other = MemoryDisk::new(1);
    put_file(&other, &meta.id.file(), &swapped.concat());
    let mut reader = SnapshotReader::open(&other, GROUP, meta.id).unwrap();
    let error = reader.next_rows(1, &mut |_, _| panic!("a row of the wrong chunk"));
    assert!(matches!(error, Err(SnapshotError::Corrupt { .. })));
}

#[test]
fn another_groups_snapshot_is_refused() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let error = SnapshotReader::open(&disk, GroupId(8), meta.id).unwrap_err();
    assert!(error.to_string().contains("is of g7 at"), "{error}");
    assert!(OutgoingSnapshot::open(&disk, GroupId(8), meta.id).is_err());
}

#[test]
fn a_snapshot_under_anothers_name_is_refused() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let wrong = SnapshotId {
        digest: meta.id.digest ^ 1,
        ..meta.id
    };
    put_file(&disk, &wrong.file(), &disk.contents(&meta.id.file()));
    assert!(matches!(
        read(&disk, wrong),
        Err(SnapshotError::Other { .. })
    ));
}

#[test]
fn a_later_format_is_told_from_damage() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    disk.damage(&meta.id.file(), 8, &2_u32.to_le_bytes());
    let error = read(&disk, meta.id).unwrap_err();
    assert!(error.to_string().contains("is of format 2"), "{error}");
}

#[test]
fn a_missing_snapshot_says_so() {
    let disk = MemoryDisk::new(1);
    let id = write(&MemoryDisk::new(2), &some_rows()).id;
    assert!(matches!(
        read(&disk, id),
        Err(SnapshotError::Missing { .. })
    ));
}

#[test]
fn a_full_disk_fails_the_snapshot_and_nothing_else() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows()[..10]);
    disk.limit(Some(meta.bytes + 300_000));
    let mut writer = SnapshotWriter::begin(&disk, GROUP, AT, Bytes::new()).unwrap();
    let outcome = some_rows()
        .iter()
        .try_for_each(|(key, value)| writer.row(key, value));
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("no storage space"), "{error}");
    assert!(error.contains("(space, kernel log)"), "{error}");
    assert_eq!(read(&disk, meta.id).unwrap(), &some_rows()[..10]);
}

#[test]
fn an_unreadable_disk_is_an_error_of_its_own() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let mut reader = SnapshotReader::open(&disk, GROUP, meta.id).unwrap();
    disk.fail_reads(true);
    let error = reader.next_rows(1 << 20, &mut |_, _| {}).unwrap_err();
    assert!(
        matches!(error, SnapshotError::Io { action: "read", .. }),
        "{error}"
    );
}

#[test]
fn a_snapshot_arrives_in_pieces_of_any_size() {
    let disk = MemoryDisk::new(1);
    let rows = some_rows();
    let meta = write(&disk, &rows);
    for size in [997, 65_536, 10_000_000] {
        let to = MemoryDisk::new(2);
        let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
        store_all(&mut incoming, &pieces(&disk, meta.id, size));
        assert!(incoming.is_complete());
        assert_eq!(incoming.finish(&to).unwrap(), meta);
        to.crash();
        assert!(read(&to, meta.id).unwrap() == rows);
    }
}

#[test]
fn duplicates_and_pieces_from_elsewhere_are_passed_over() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let pieces = pieces(&disk, meta.id, 10_000);
    let to = MemoryDisk::new(2);
    let mut incoming = IncomingSnapshot::open(&to, meta).unwrap();
    assert!(incoming.store(0, &pieces[0]).unwrap());
    assert!(!incoming.store(0, &pieces[0]).unwrap());
    assert!(!incoming.store(20_000, &pieces[2]).unwrap());
    assert!(incoming.store(10_000, &pieces[1]).unwrap());
    assert_eq!(incoming.received(), 20_000);
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_was_durable() {
    let disk = MemoryDisk::new(1);
    let rows = some_rows();
    let meta = write(&disk, &rows);
    let outgoing = OutgoingSnapshot::open(&disk, GROUP, meta.id).unwrap();
    for seed in 0..40 {
        let to = MemoryDisk::new(seed);
        let (mut sent, mut durable) = (0, 0);
        for cut in 1..=5 {
            let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
            assert!(incoming.received() >= durable, "seed {seed}, cut {cut}");
            while incoming.received() < meta.bytes * cut / 6 {
                let piece = outgoing.read(incoming.received(), 20_000).unwrap();
                sent += piece.len() as u64;
                assert!(incoming.store(incoming.received(), &piece).unwrap());
            }
            if seed % 2 == 0 {
                incoming.sync().unwrap();
            }
            durable = incoming.durable();
            to.crash();
        }
        let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
        while !incoming.is_complete() {
            let piece = outgoing.read(incoming.received(), 20_000).unwrap();
            sent += piece.len() as u64;
            incoming.store(incoming.received(), &piece).unwrap();
        }
        assert_eq!(incoming.finish(&to).unwrap(), meta);
        assert!(read(&to, meta.id).unwrap() == rows, "seed {seed}");
        // A cut costs a chunk of 256 KiB at most, and this snapshot has five: only the synced ones
        // promise anything.
        assert!(
            sent < 4 * meta.bytes,
            "seed {seed}: {sent} bytes sent of {}",
            meta.bytes
        );
    }
}

#[test]
fn a_damaged_piece_is_refused_and_asked_for_again() {
    let disk = MemoryDisk::new(1);
    let rows = some_rows();
    let meta = write(&disk, &rows);
    let outgoing = OutgoingSnapshot::open(&disk, GROUP, meta.id).unwrap();
    for at in (0..meta.bytes).step_by(9_973).chain([meta.bytes - 1]) {
        let to = MemoryDisk::new(at);
        let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
        let (mut damaged, mut refused) = (false, 0);
        while !incoming.is_complete() {
            let offset = incoming.received();
            let mut piece = outgoing.read(offset, 500_000).unwrap().to_vec();
            if !damaged && at >= offset && at < offset + piece.len() as u64 {
                piece[(at - offset) as usize] ^= 4;
                damaged = true;
            }
            refused += u32::from(incoming.store(offset, &piece).is_err());
            assert!(refused < 3, "byte {at}");
        }
        assert!(
            damaged && refused == 1,
            "byte {at}: refused {refused} times"
        );
        incoming.finish(&to).unwrap();
        assert!(read(&to, meta.id).unwrap() == rows, "byte {at}");
    }
}

#[test]
fn another_snapshot_than_announced_is_refused() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let pieces = pieces(&disk, meta.id, 1 << 20);
    let wrong = [
        SnapshotMeta {
            group: GroupId(8),
            ..meta.clone()
        },
        SnapshotMeta {
            membership: Bytes::from_static(b"4"),
            ..meta.clone()
        },
        SnapshotMeta {
            bytes: meta.bytes - 1,
            ..meta.clone()
        },
        SnapshotMeta {
            bytes: meta.bytes + 1,
            ..meta.clone()
        },
        SnapshotMeta {
            id: SnapshotId {
                digest: 1,
                ..meta.id
            },
            ..meta.clone()
        },
    ];
    for announced in wrong {
        let to = MemoryDisk::new(1);
        let mut incoming = IncomingSnapshot::open(&to, announced.clone()).unwrap();
        let mut offset = 0;
        let refused = pieces.iter().any(|piece| {
            let stored = incoming.store(offset, piece);
            offset += piece.len() as u64;
            stored.is_err()
        });
        assert!(refused, "{announced:?}");
        assert!(incoming.finish(&to).is_err());
    }
}

#[test]
fn a_failed_sync_of_a_part_is_not_healed_by_opening_it_again() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let pieces = pieces(&disk, meta.id, 1 << 20);
    for seed in 0..20 {
        let to = MemoryDisk::new(seed);
        let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
        store_all(&mut incoming, &pieces);
        to.fail_sync(0);
        incoming.sync().unwrap_err();
        to.kill();
        let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
        assert_eq!(incoming.received(), 0, "what the disk never got counts");
        store_all(&mut incoming, &pieces);
        incoming.finish(&to).unwrap();
        to.crash();
        assert!(read(&to, meta.id).unwrap() == some_rows(), "seed {seed}");
    }
}

#[test]
fn a_part_that_cannot_be_synced_when_it_is_opened_begins_anew() {
    let disk = MemoryDisk::new(1);
    let meta = write(&disk, &some_rows());
    let pieces = pieces(&disk, meta.id, 1 << 20);
    for seed in 0..20 {
        let to = MemoryDisk::new(seed);
        let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
        store_all(&mut incoming, &pieces);
        // Only the page cache has it.
        to.kill();
        to.fail_sync(0);
        IncomingSnapshot::open(&to, meta.clone()).unwrap_err();
        let mut incoming = IncomingSnapshot::open(&to, meta.clone()).unwrap();
        assert_eq!(incoming.received(), 0, "what the disk never got counts");
        store_all(&mut incoming, &pieces);
        incoming.finish(&to).unwrap();
        to.crash();
        assert!(read(&to, meta.id).unwrap() == some_rows(), "seed {seed}");
    }
}

/// A file as somebody else left it.
fn put_file(disk: &MemoryDisk, name: &str, bytes: &[u8]) {
    use storage::{Disk, DiskFile};
    let file = disk.create(name).unwrap();
    file.write_at(&mut [std::io::IoSlice::new(bytes)], 0)
        .unwrap();
    file.sync_data().unwrap();
    disk.sync_dir().unwrap();
}
