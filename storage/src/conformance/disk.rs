//! What every [`Disk`] must do while nothing fails.
//!
//! A case takes a function that makes a new, empty directory. What survives a loss of power cannot
//! be checked from inside a process; the crash suite for logs checks it on the simulated disk.

use std::io::{ErrorKind, IoSlice};

use super::{Failure, Outcome, ensure, ensure_eq};
use crate::disk::{Disk, DiskFile};

/// Expands to one `#[test]` per case, for the directories that an expression makes.
#[macro_export]
macro_rules! disk_suite {
    ($new:expr) => {
        $crate::__disk_cases!(__tests, disk, $new);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __disk_cases {
    ($then:ident, $($arguments:tt)+) => {
        $crate::$then! {
            ($($arguments)+)
            what_is_written_is_read
            pieces_are_written_in_order
            a_thousand_pieces_are_written
            writing_behind_the_end_leaves_zeros
            reading_stops_at_the_end
            overwriting_changes_only_its_place
            creating_twice_is_refused
            opening_what_is_not_there_is_refused
            a_file_opened_twice_is_one_file
            list_names_what_is_there
            rename_replaces
            removed_files_are_gone
            syncing_is_possible
            a_lock_excludes
        }
    };
}

/// Runs every case on directories made by `new`.
///
/// # Errors
/// The first case that fails.
pub fn run_all<D: Disk>(mut new: impl FnMut() -> D) -> Result<(), Failure> {
    crate::__disk_cases!(__run, &mut new)
}

fn words(error: std::io::Error) -> String {
    error.to_string()
}

fn write(file: &impl DiskFile, bytes: &[u8], offset: u64) -> Outcome {
    file.write_at(&mut [IoSlice::new(bytes)], offset)
        .map_err(words)
}

fn contents(file: &impl DiskFile) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0xee; file.len().map_err(words)? as usize + 10];
    let read = file.read_at(&mut bytes, 0).map_err(words)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn kind_of<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Through the same handle, and through another after a sync.
pub fn what_is_written_is_read<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    let file = disk.create("file").map_err(words)?;
    ensure!(file.is_empty().map_err(words)?, "a new file is not empty");
    write(&file, b"hello", 0)?;
    ensure_eq!(contents(&file)?, b"hello", "read back");
    file.sync_data().map_err(words)?;
    drop(file);
    let file = disk.open("file").map_err(words)?;
    ensure_eq!(contents(&file)?, b"hello", "read after opening again");
    Ok(())
}

/// Empty ones included.
pub fn pieces_are_written_in_order<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let file = new().create("file").map_err(words)?;
    let mut pieces = [&b"one "[..], b"", b"two ", b"three", b""].map(IoSlice::new);
    file.write_at(&mut pieces, 3).map_err(words)?;
    ensure_eq!(contents(&file)?, b"\0\0\0one two three", "the pieces");
    file.write_at(&mut [], 0).map_err(words)?;
    ensure_eq!(file.len().map_err(words)?, 16, "the length");
    Ok(())
}

/// More than one `pwritev` takes.
pub fn a_thousand_pieces_are_written<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let file = new().create("file").map_err(words)?;
    let numbers: Vec<[u8; 4]> = (0..5_000_u32).map(u32::to_be_bytes).collect();
    let mut pieces: Vec<IoSlice<'_>> = numbers.iter().map(|n| IoSlice::new(n)).collect();
    file.write_at(&mut pieces, 0).map_err(words)?;
    ensure!(
        contents(&file)? == numbers.concat(),
        "5,000 pieces do not add up"
    );
    Ok(())
}

/// As on any POSIX file system.
pub fn writing_behind_the_end_leaves_zeros<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let file = new().create("file").map_err(words)?;
    write(&file, b"x", 10_000)?;
    let bytes = contents(&file)?;
    ensure_eq!(bytes.len(), 10_001, "the length");
    ensure!(
        bytes.iter().take(10_000).all(|byte| *byte == 0) && bytes.ends_with(b"x"),
        "the gap does not read as zeros"
    );
    Ok(())
}

/// Short at the end, nothing behind it.
pub fn reading_stops_at_the_end<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let file = new().create("file").map_err(words)?;
    write(&file, b"0123456789", 0)?;
    let mut buffer = [0; 8];
    ensure_eq!(
        file.read_at(&mut buffer, 6).map_err(words)?,
        4,
        "read at 6 of 10"
    );
    ensure!(buffer.starts_with(b"6789"), "the wrong bytes");
    ensure_eq!(
        file.read_at(&mut buffer, 10).map_err(words)?,
        0,
        "read at the end"
    );
    ensure_eq!(
        file.read_at(&mut buffer, 99).map_err(words)?,
        0,
        "read behind it"
    );
    Ok(())
}

/// The bytes around stay.
pub fn overwriting_changes_only_its_place<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let file = new().create("file").map_err(words)?;
    write(&file, &[1; 2_000], 0)?;
    file.sync_data().map_err(words)?;
    write(&file, &[2; 100], 700)?;
    let mut expected = vec![1; 2_000];
    expected
        .iter_mut()
        .skip(700)
        .take(100)
        .for_each(|byte| *byte = 2);
    ensure!(
        contents(&file)? == expected,
        "an overwrite changed something else"
    );
    Ok(())
}

/// A log must never take an old file for a new one.
pub fn creating_twice_is_refused<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    let file = disk.create("file").map_err(words)?;
    write(&file, b"kept", 0)?;
    ensure_eq!(
        kind_of(disk.create("file")),
        Some(ErrorKind::AlreadyExists),
        "create again"
    );
    ensure_eq!(contents(&file)?, b"kept", "the first file");
    Ok(())
}

/// And makes no file.
pub fn opening_what_is_not_there_is_refused<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    ensure_eq!(
        kind_of(disk.open("file")),
        Some(ErrorKind::NotFound),
        "open"
    );
    ensure_eq!(
        kind_of(disk.remove("file")),
        Some(ErrorKind::NotFound),
        "remove"
    );
    ensure_eq!(
        kind_of(disk.rename("file", "other")),
        Some(ErrorKind::NotFound),
        "rename"
    );
    ensure_eq!(disk.list().map_err(words)?, Vec::<String>::new(), "list");
    Ok(())
}

/// What one handle writes, the other reads.
pub fn a_file_opened_twice_is_one_file<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    let one = disk.create("file").map_err(words)?;
    let other = disk.open("file").map_err(words)?;
    write(&one, b"seen", 0)?;
    ensure_eq!(contents(&other)?, b"seen", "through the other handle");
    Ok(())
}

/// All of it, in any order.
pub fn list_names_what_is_there<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    for name in ["b", "a", "c"] {
        disk.create(name).map_err(words)?;
    }
    let mut names = disk.list().map_err(words)?;
    names.sort();
    ensure_eq!(names, ["a", "b", "c"], "the names");
    Ok(())
}

/// The old file of the new name is gone; handles stay good.
pub fn rename_replaces<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    let file = disk.create("new").map_err(words)?;
    write(&file, b"new", 0)?;
    let old = disk.create("name").map_err(words)?;
    write(&old, b"old contents", 0)?;
    disk.rename("new", "name").map_err(words)?;
    ensure_eq!(disk.list().map_err(words)?, ["name"], "the names");
    let opened = disk.open("name").map_err(words)?;
    ensure_eq!(contents(&opened)?, b"new", "the contents");
    write(&file, b"NEW", 0)?;
    ensure_eq!(
        contents(&opened)?,
        b"NEW",
        "through a handle older than the rename"
    );
    Ok(())
}

/// By name; and the name is free again.
pub fn removed_files_are_gone<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    let file = disk.create("file").map_err(words)?;
    write(&file, b"contents", 0)?;
    disk.remove("file").map_err(words)?;
    ensure_eq!(
        kind_of(disk.open("file")),
        Some(ErrorKind::NotFound),
        "open"
    );
    let file = disk.create("file").map_err(words)?;
    ensure_eq!(contents(&file)?, b"", "a new file of the same name");
    Ok(())
}

/// Files, empty or not, and the directory.
pub fn syncing_is_possible<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    disk.sync_dir().map_err(words)?;
    let file = disk.create("file").map_err(words)?;
    file.sync_data().map_err(words)?;
    write(&file, b"contents", 0)?;
    file.sync_data().map_err(words)?;
    disk.sync_dir().map_err(words)?;
    ensure_eq!(contents(&file)?, b"contents", "after syncing");
    Ok(())
}

/// Until it is dropped.
pub fn a_lock_excludes<D: Disk>(new: &mut dyn FnMut() -> D) -> Outcome {
    let disk = new();
    let lock = disk.lock("lock").map_err(words)?;
    ensure_eq!(
        kind_of(disk.lock("lock")),
        Some(ErrorKind::WouldBlock),
        "lock again"
    );
    drop(lock);
    ensure_eq!(
        kind_of(disk.lock("lock")),
        None,
        "lock after it was released"
    );
    Ok(())
}
