//! From a directory to an open database.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::engine::{Engine, Failure, panic_text};
use super::record::{Tree, meta};

/// The version of the whole layout: trees, keys, and what is in the records.
const FORMAT: u64 = 1;

/// How often, and how far apart, opening is tried while sled's own lock is still held: its
/// background threads let go of a database a moment after it was dropped.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Settings of [`SledStore`](super::SledStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SledOptions {
    /// Bytes of memory for pages that were read or written lately. sled counts a page as it lies on disk, which is
    /// half of what it takes in memory, and holds some ten thousand pages more; those it has not are read from the
    /// operating system's own cache in microseconds.
    pub cache_capacity: u64,
}

impl Default for SledOptions {
    /// 8 MiB.
    fn default() -> Self {
        Self {
            cache_capacity: 8 * 1024 * 1024,
        }
    }
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it, or this one already.
    #[error(
        "the data directory {dir} is in use by another shild: stop that one, or choose another directory",
        dir = dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The operating system refused something.
    #[error(
        "the data directory {dir} cannot be used: {cause}: check that it exists or can be made, that it can be written, and that the disk is not full",
        dir = dir.display()
    )]
    Io {
        /// The data directory.
        dir: PathBuf,
        /// What was refused.
        cause: io::Error,
    },
    /// It was written by another version of shild.
    #[error(
        "the data directory {dir} has format {found}, and this shild reads format {FORMAT} only: use the shild that wrote it",
        dir = dir.display()
    )]
    Format {
        /// The data directory.
        dir: PathBuf,
        /// The format found.
        found: u64,
    },
    /// What is in it is damaged. Nothing was changed by shild.
    #[error(
        "the store in {dir} is damaged: {detail}: keep a copy of the directory, then bring back a backup",
        dir = dir.display()
    )]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What was found.
        detail: String,
    },
}

/// Makes the data directory if it is missing, for its owner's eyes only, and locks it.
pub(super) fn lock(dir: &Path) -> Result<Arc<File>, OpenError> {
    let refused = |cause| OpenError::Io {
        dir: dir.to_owned(),
        cause,
    };
    make_private(dir).map_err(refused)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(dir.join("lock")).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(refused(cause)),
    }
}

/// Whether a process has locked the directory.
pub(super) fn is_locked(dir: &Path) -> bool {
    File::open(dir.join("lock")).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Opens the database in a directory that [`lock`] has locked, and makes it if there is none.
pub(super) fn open(dir: &Path, options: SledOptions, lock: Arc<File>) -> Result<Engine, OpenError> {
    let refused = |cause| OpenError::Io {
        dir: dir.to_owned(),
        cause,
    };
    let home = dir.join("sled");
    make_private(&home).map_err(refused)?;
    remove_unfinished_snapshots(&home).map_err(refused)?;

    let (db, trees) = open_database(&home, options).map_err(|failure| failure.at(dir))?;
    let blobs = home.join("blobs");
    let log = File::options()
        .read(true)
        .write(true)
        .open(home.join("db"))
        .map_err(refused)?;
    let engine = Engine {
        trees,
        db,
        log,
        blobs,
        synced_blobs: Mutex::new(BTreeSet::new()),
        _lock: lock,
    };
    check_format(&engine, dir)?;
    engine.sync().map_err(|error| refused(io::Error::other(error.cause)))?;
    // sled makes files that it never syncs; one of them lost in a power cut keeps it from opening.
    sync_all(&home).and_then(|()| sync_dir(dir)).map_err(refused)?;
    // The entry of the directory itself lies in its parent, which may be out of reach.
    let _ = dir.canonicalize().map(|dir| dir.parent().map(sync_dir));
    Ok(engine)
}

/// Makes a directory, with those above it, that only its owner can look into.
fn make_private(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// sled takes a snapshot that a crash left half written for the newest one, and then refuses to
/// open. Without it, it reads the log again.
fn remove_unfinished_snapshots(home: &Path) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Why sled did not open.
enum SledFailure {
    Error(::sled::Error),
    Panic(String),
}

impl SledFailure {
    fn at(self, dir: &Path) -> OpenError {
        let dir = dir.to_owned();
        match self {
            Self::Error(::sled::Error::Io(cause)) => OpenError::Io { dir, cause },
            Self::Error(error) => OpenError::Damaged {
                dir,
                detail: error.to_string(),
            },
            Self::Panic(text) => OpenError::Damaged {
                dir,
                detail: format!("sled panicked: {text}"),
            },
        }
    }
}

fn open_database(home: &Path, options: SledOptions) -> Result<(::sled::Db, Vec<::sled::Tree>), SledFailure> {
    // No flushing in the background: the writer flushes what it acknowledges. `mode` is left
    // alone, since sled 0.34.7 reads it nowhere.
    let config = ::sled::Config::new()
        .path(home)
        .cache_capacity(options.cache_capacity)
        .use_compression(false)
        .flush_every_ms(None);
    let open = || {
        let db = config.open()?;
        let trees = Tree::ALL
            .iter()
            .map(|tree| db.open_tree(tree.name()))
            .collect::<Result<_, _>>()?;
        Ok((db, trees))
    };
    let mut tries = 1;
    loop {
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Err(::sled::Error::Io(error))) if tries < LOCK_TRIES && is_lock_error(&error) => {
                tries += 1;
                thread::sleep(LOCK_PAUSE);
            }
            Ok(outcome) => return outcome.map_err(SledFailure::Error),
            Err(panic) => return Err(SledFailure::Panic(panic_text(&*panic).to_owned())),
        }
    }
}

/// sled names this error only by its words.
fn is_lock_error(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// Refuses another format, and makes an empty database one of this format.
fn check_format(engine: &Engine, dir: &Path) -> Result<(), OpenError> {
    let damaged = |detail: String| OpenError::Damaged {
        dir: dir.to_owned(),
        detail,
    };
    match engine.get::<u64>(Tree::Meta, meta::FORMAT) {
        Ok(Some(FORMAT)) => return Ok(()),
        Ok(Some(found)) => {
            return Err(OpenError::Format {
                dir: dir.to_owned(),
                found,
            });
        }
        Ok(None) => {}
        Err(error) => return Err(damaged(error.to_string())),
    }
    if let Some(tree) = Tree::ALL
        .into_iter()
        .find(|tree| !engine.trees[tree.index()].is_empty())
    {
        return Err(damaged(format!("there are {}, but no format version", tree.name())));
    }
    let made = catch_unwind(AssertUnwindSafe(|| {
        engine.transact(|tx| {
            tx.attempt(|tx| {
                tx.put(Tree::Meta, meta::FORMAT, &FORMAT)?;
                tx.put(Tree::Meta, meta::ENABLED_ADMINS, &0_u64)?;
                tx.put(Tree::Meta, meta::EVENTS, &0_u64)?;
                tx.put(Tree::Meta, meta::GUESSES, &0_u64)?;
                Ok::<_, Failure>(())
            })
        })
    }));
    match made {
        Ok(Ok((Ok(()), _))) => Ok(()),
        Ok(Ok((Err(error), _))) => Err(damaged(error.to_string())),
        Ok(Err(error)) => Err(OpenError::Io {
            dir: dir.to_owned(),
            cause: io::Error::other(error.cause),
        }),
        Err(panic) => Err(damaged(format!("sled panicked: {}", panic_text(&*panic)))),
    }
}

/// Puts every file below `dir`, and every directory, on disk.
fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

/// Puts the names in `dir` on disk.
fn sync_dir(dir: &Path) -> io::Result<()> {
    // Only Unix lets a directory be opened and synced; elsewhere the file system does it.
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::record::seal;

    /// Opens, puts `record` where the format version is, and opens again.
    fn reopen_with_format(record: Option<Vec<u8>>, user_there: bool) -> Result<Engine, OpenError> {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path(), SledOptions::default(), lock(dir.path())?)?;
        let meta_tree = &engine.trees[Tree::Meta.index()];
        match record {
            Some(record) => meta_tree.insert(meta::FORMAT, record).unwrap(),
            None => meta_tree.remove(meta::FORMAT).unwrap(),
        };
        if user_there {
            engine.trees[Tree::Users.index()].insert([1; 16], &[1]).unwrap();
        }
        engine.sync().map_err(|error| error.cause).unwrap();
        drop(engine);
        open(dir.path(), SledOptions::default(), lock(dir.path())?)
    }

    #[test]
    fn another_format_is_refused() {
        let other = seal(Tree::Meta, meta::FORMAT, &2_u64);
        let error = reopen_with_format(Some(other), false).err().unwrap();
        assert!(matches!(error, OpenError::Format { found: 2, .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("has format 2, and this shild reads format 1 only"),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_or_missing_format_is_damage() {
        for (record, user_there) in [(Some(b"1".to_vec()), false), (None, true), (None, false)] {
            let error = reopen_with_format(record, user_there).err().unwrap();
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        }
    }
}
