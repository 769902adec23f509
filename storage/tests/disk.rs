//! Both disks pass the suite; disks that are broken in one way each do not.

use std::io::{self, IoSlice};

use storage::conformance::disk::run_all;
use storage::{Disk, DiskFile, MemoryDisk, MemoryFile, MemoryLock, RealDisk};

mod simulated {
    use super::*;
    storage::disk_suite!(MemoryDisk::new(1));
}

mod real {
    use super::*;
    // Kept, not dropped: the directory must outlive the disk, and the test's end is soon enough.
    storage::disk_suite!(RealDisk::open(tempfile::tempdir().unwrap().keep()).unwrap());
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    WritesOnePiece,
    CreateTruncates,
    LocksNobodyOut,
    RenameCopies,
    ReadsBehindTheEnd,
    AppendsAlways,
}

struct Broken(MemoryDisk, Fault);
struct BrokenFile(MemoryFile, Fault);

impl Disk for Broken {
    type File = BrokenFile;
    type Lock = Option<MemoryLock>;

    fn create(&self, name: &str) -> io::Result<BrokenFile> {
        if self.1 == Fault::CreateTruncates {
            let _ = self.0.remove(name);
        }
        Ok(BrokenFile(self.0.create(name)?, self.1))
    }

    fn open(&self, name: &str) -> io::Result<BrokenFile> {
        Ok(BrokenFile(self.0.open(name)?, self.1))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)?;
        if self.1 == Fault::RenameCopies {
            self.0.create(from)?;
        }
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }

    fn lock(&self, name: &str) -> io::Result<Option<MemoryLock>> {
        match self.0.lock(name) {
            Err(_) if self.1 == Fault::LocksNobodyOut => Ok(None),
            other => other.map(Some),
        }
    }
}

impl DiskFile for BrokenFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buffer, offset)?;
        Ok(if self.1 == Fault::ReadsBehindTheEnd {
            buffer.len()
        } else {
            read
        })
    }

    fn write_at(&self, pieces: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let offset = if self.1 == Fault::AppendsAlways {
            self.0.len()?
        } else {
            offset
        };
        let all = pieces.len();
        let count = if self.1 == Fault::WritesOnePiece {
            all.min(1)
        } else {
            all
        };
        self.0.write_at(&mut pieces[..count], offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[test]
fn an_honest_wrapper_conforms() {
    run_all(|| Broken(MemoryDisk::new(1), Fault::None)).unwrap();
}

#[test]
fn broken_disks_are_rejected() {
    for (fault, case) in [
        (Fault::WritesOnePiece, "pieces_are_written_in_order"),
        (Fault::CreateTruncates, "creating_twice_is_refused"),
        (Fault::LocksNobodyOut, "a_lock_excludes"),
        (Fault::RenameCopies, "rename_replaces"),
        (Fault::ReadsBehindTheEnd, "what_is_written_is_read"),
        (Fault::AppendsAlways, "pieces_are_written_in_order"),
    ] {
        let failure =
            run_all(|| Broken(MemoryDisk::new(1), fault)).expect_err(&format!("{fault:?}"));
        assert_eq!(failure.case(), case, "{fault:?}: {failure}");
    }
}
