//! What the file system must do for us: replace a file atomically, create directories durably,
//! keep a second process out.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::DirectoryError;

/// The file that is locked.
pub(crate) const LOCK: &str = "lock";
/// How long a process that is just leaving is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps other processes out of a directory until it is dropped, or its process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `directory`, which exists.
    ///
    /// Blocks up to two seconds: whoever ends a node and starts it again at once is no error.
    pub(crate) fn take(directory: &Path) -> Result<Lock, DirectoryError> {
        let path = directory.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| DirectoryError::io("open", &path, source))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(DirectoryError::Locked {
                        path: directory.to_owned(),
                    });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(DirectoryError::io("lock", &path, source));
                }
            }
        }
    }
}

/// Creates `path` and what is missing above it, so that it is still there after a power cut.
pub(crate) fn create_directory(path: &Path) -> Result<(), DirectoryError> {
    let mut missing = Vec::new();
    for directory in path.ancestors() {
        // "a/b" has the ancestor "", which is the current directory.
        if directory.as_os_str().is_empty() || directory.is_dir() {
            break;
        }
        missing.push(directory);
    }
    for directory in missing.into_iter().rev() {
        fs::create_dir(directory)
            .or_else(|error| {
                if directory.is_dir() {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(|source| DirectoryError::io("create", directory, source))?;
        sync_parent(directory)?;
    }
    Ok(())
}

/// Refuses a directory with anything in it but what is `own`, and what a file system puts at its
/// root: it is somebody's data.
pub(crate) fn refuse_foreign(
    path: &Path,
    own: impl Fn(&str) -> bool,
) -> Result<(), DirectoryError> {
    let failed = |source| DirectoryError::io("read the directory", path, source);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if name != "lost+found" && !own(&name) {
            return Err(DirectoryError::NotOurs {
                path: path.to_owned(),
                found: name.into_owned(),
            });
        }
    }
    Ok(())
}

/// Replaces the file `name` in `directory` by `text`: after a crash it is the old one or the new
/// one. `new` is the name under which it is written first.
pub(crate) fn replace(
    directory: &Path,
    name: &str,
    new: &str,
    text: &str,
) -> Result<(), DirectoryError> {
    let (path, new) = (directory.join(name), directory.join(new));
    let failed = |source| DirectoryError::io("write", &new, source);
    let mut file = File::create(&new).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&new, &path).map_err(|source| DirectoryError::io("replace", &path, source))?;
    sync_parent(&path)
}

fn sync_parent(path: &Path) -> Result<(), DirectoryError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| DirectoryError::io("sync", parent, source))
}
