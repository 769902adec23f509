//! Identity across starts, and every reason to refuse a directory or a disk.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;

use consensus::{DiskId, NodeId};
use tempfile::TempDir;

use super::{Directory, DirectoryError, identity};
use crate::config::setting::{Flags, Setting};
use crate::config::{Config, Layers};

fn config(dir: &Path, flags: &[(&str, &str)]) -> Config {
    let mut all = Flags::default();
    all.0.insert("node", "1".to_owned());
    all.0.insert("dir", dir.to_str().unwrap().to_owned());
    let key = |key: &str| Setting::find(key).unwrap().key;
    all.0
        .extend(flags.iter().map(|(k, v)| (key(k), (*v).to_owned())));
    Config::from_layers(&Layers::collect(None, &all, []).unwrap()).unwrap()
}

fn open(dir: &Path) -> Result<Directory, DirectoryError> {
    Directory::open(&config(dir, &[]))
}

/// An error's text without the path, which is a new one every time.
fn text(root: &TempDir, error: &DirectoryError) -> String {
    error
        .to_string()
        .replace(root.path().to_str().unwrap(), "ROOT")
}

fn edit(dir: &Path, from: &str, to: &str) {
    let path = dir.join(identity::FILE);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in:\n{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn a_disk_keeps_its_id_and_counts_its_starts() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a/b/c");
    let first = open(&dir).unwrap();
    let disk = first.disk();
    assert_ne!(disk, DiskId::default());
    assert_eq!(first.boot(), 1);
    assert_eq!(first.path(), dir);
    drop(first);
    for boot in 2..5 {
        let again = open(&dir).unwrap();
        assert_eq!((again.disk(), again.boot()), (disk, boot));
    }
    let other = open(&root.path().join("other")).unwrap();
    assert_ne!(other.disk(), disk, "ids are random");
}

#[test]
fn a_start_is_counted_before_anything_is_served() {
    let root = tempfile::tempdir().unwrap();
    let open = open(root.path()).unwrap();
    let text = fs::read_to_string(root.path().join(identity::FILE)).unwrap();
    assert!(text.contains("boot = 1\n"), "{text}");
    assert!(
        text.contains(&format!("disk = \"{}\"", open.disk())),
        "{text}"
    );
}

#[test]
fn one_process_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let held = open(root.path()).unwrap();
    let error = open(root.path()).unwrap_err();
    assert_eq!(
        text(&root, &error),
        "ROOT is in use by another process: end that one first, or give another --dir"
    );
    let boot = held.boot();
    drop(held);
    assert_eq!(
        open(root.path()).unwrap().boot(),
        boot + 1,
        "the refused start does not count"
    );
}

#[test]
fn a_process_that_is_leaving_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let held = open(root.path()).unwrap();
    let leaving = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(held);
    });
    assert_eq!(open(root.path()).unwrap().boot(), 2);
    leaving.join().unwrap();
}

#[test]
fn directories_of_others_are_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()).unwrap());
    let before = fs::read_to_string(root.path().join(identity::FILE)).unwrap();
    let refused = |flags: &[(&str, &str)]| {
        let error = Directory::open(&config(root.path(), flags)).unwrap_err();
        text(&root, &error)
    };
    assert_eq!(
        refused(&[("node", "2")]),
        "ROOT belongs to node 1, not to 2: give --node as it was, or another --dir"
    );
    let error = refused(&[("cluster", "other")]);
    assert!(
        error.starts_with("ROOT belongs to cluster lockstep ("),
        "{error}"
    );
    assert!(error.contains("), not to other ("), "{error}");
    assert_eq!(
        before,
        fs::read_to_string(root.path().join(identity::FILE)).unwrap()
    );

    edit(root.path(), "engine = \"memory\"", "engine = \"rocksdb\"");
    assert_eq!(
        refused(&[]),
        "ROOT belongs to engine rocksdb, not to memory: give --engine as it was, or another --dir"
    );
    edit(root.path(), "engine = \"rocksdb\"", "engine = \"memory\"");
    edit(root.path(), "0 = \"raft\"", "0 = \"paxos\"");
    assert_eq!(
        refused(&[]),
        "ROOT belongs to mode paxos, not to raft: give --mode as it was, or another --dir"
    );
}

#[test]
fn a_newer_format_is_refused_whatever_else_it_says() {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join(identity::FILE),
        "format = 2\nshape = \"new\"\n",
    )
    .unwrap();
    assert_eq!(
        text(&root, &open(root.path()).unwrap_err()),
        "ROOT has format 2, and this release knows formats up to 1: start it with the release \
         that wrote it or a later one"
    );
}

#[test]
fn a_damaged_identity_is_not_guessed_away() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()).unwrap());
    let path = root.path().join(identity::FILE);
    let good = fs::read_to_string(&path).unwrap();
    let disk = good
        .lines()
        .find(|line| line.starts_with("disk = "))
        .unwrap();
    let damages = [
        String::new(),
        "not toml".to_owned(),
        good[..good.len() / 2].to_owned(),
        good.replace(disk, "disk = \"no hex\""),
        good.replace(disk, "disk = \"0\""),
        good.replace("boot = 1", "boot = -1"),
        good.replace("boot = 1", "boot = 1\nextra = 1"),
    ];
    for damage in damages {
        fs::write(&path, &damage).unwrap();
        let error = open(root.path()).unwrap_err();
        assert!(
            matches!(error, DirectoryError::Damaged { .. }),
            "{damage:?}: {error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), damage);
    }
    fs::write(&path, good).unwrap();
    assert_eq!(open(root.path()).unwrap().boot(), 2);
}

#[test]
fn somebody_elses_directory_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.tex"), "").unwrap();
    assert_eq!(
        text(&root, &open(root.path()).unwrap_err()),
        "ROOT is not a Lockstep directory and not empty (thesis.tex is in it): give an empty or \
         new --dir"
    );
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_format_that_was_interrupted_is_begun_again() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(super::file::LOCK), "").unwrap();
    fs::write(root.path().join(identity::NEW), "form").unwrap();
    fs::create_dir(root.path().join("lost+found")).unwrap();
    assert_eq!(open(root.path()).unwrap().boot(), 1);
}

#[test]
fn a_log_without_an_identity_is_not_a_new_directory() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path()).unwrap().log();
    fs::create_dir(log).unwrap();
    fs::remove_file(root.path().join(identity::FILE)).unwrap();
    let error = open(root.path()).unwrap_err();
    assert!(
        matches!(error, DirectoryError::NotOurs { ref found, .. } if found == "log"),
        "{error}"
    );
}

#[test]
fn a_file_in_the_way_is_said() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let error = open(&root.path().join("file/sub")).unwrap_err();
    assert_eq!(
        text(&root, &error),
        "cannot create ROOT/file: File exists (os error 17); a file is in the way: give another --dir"
    );
}

#[test]
fn what_the_disk_refuses_comes_with_advice() {
    for (kind, advice) in [
        (
            ErrorKind::StorageFull,
            "; free some space on that disk, or give another --dir",
        ),
        (
            ErrorKind::QuotaExceeded,
            "; free some space on that disk, or give another --dir",
        ),
        (
            ErrorKind::PermissionDenied,
            "; let this user write there, or give another --dir",
        ),
        (
            ErrorKind::ReadOnlyFilesystem,
            "; mount it writable, or give another --dir",
        ),
    ] {
        let error = DirectoryError::io("write", Path::new("/d/f"), Error::new(kind, "no"));
        assert_eq!(error.to_string(), format!("cannot write /d/f: no{advice}"));
    }
}

#[test]
fn the_first_contact_binds_a_peers_disk_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let mut directory = open(root.path()).unwrap();
    directory.meet(NodeId(3), DiskId(7)).unwrap();
    // What a crash right now would leave behind.
    let text_now = fs::read_to_string(root.path().join(identity::FILE)).unwrap();
    assert!(
        text_now.contains("3 = \"00000000000000000000000000000007\""),
        "{text_now}"
    );
    directory.meet(NodeId(3), DiskId(7)).unwrap();
    drop(directory);

    let mut directory = open(root.path()).unwrap();
    assert_eq!(directory.identity.disks.get(&NodeId(3)), Some(&DiskId(7)));
    directory.meet(NodeId(3), DiskId(7)).unwrap();
    assert_eq!(
        directory
            .meet(NodeId(3), DiskId(8))
            .unwrap_err()
            .to_string(),
        "node 3 came with disk 00000000000000000000000000000008, known is \
         00000000000000000000000000000007: its disk was wiped or replaced; it has forgotten what it \
         acknowledged and is not let in; give it back its disk (replacing a node comes with \
         membership changes)"
    );
    directory.meet(NodeId(3), DiskId(7)).unwrap();
}

#[test]
fn copies_of_a_disk_and_no_disk_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut directory = open(root.path()).unwrap();
    directory.meet(NodeId(2), DiskId(7)).unwrap();
    let copy = directory
        .meet(NodeId(3), DiskId(7))
        .unwrap_err()
        .to_string();
    assert_eq!(
        copy,
        "node 3 came with disk 00000000000000000000000000000007, which is node 2's: its directory \
         is a copy; start it with an empty --dir"
    );
    let own = directory.disk();
    let copy = directory.meet(NodeId(3), own).unwrap_err();
    assert!(
        matches!(
            copy,
            DirectoryError::CopiedDisk {
                owner: NodeId(1),
                ..
            }
        ),
        "{copy}"
    );
    let none = directory.meet(NodeId(3), DiskId::default()).unwrap_err();
    assert_eq!(
        none.to_string(),
        "node 3 came without a disk id and is not let in"
    );
    assert_eq!(directory.identity.disks.len(), 1);
}

#[test]
fn a_binding_that_cannot_be_written_is_not_made() {
    let root = tempfile::tempdir().unwrap();
    let mut directory = open(root.path()).unwrap();
    // A directory where the new file would go: fails for root too.
    fs::create_dir(root.path().join(identity::NEW)).unwrap();
    let error = directory.meet(NodeId(2), DiskId(7)).unwrap_err();
    assert!(matches!(error, DirectoryError::Io { .. }), "{error}");
    assert!(directory.identity.disks.is_empty());
    fs::remove_dir(root.path().join(identity::NEW)).unwrap();
    directory.meet(NodeId(2), DiskId(8)).unwrap();
}
