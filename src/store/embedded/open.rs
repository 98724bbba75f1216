//! From a directory to an open database.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::database::Database;
use super::engine::{Engine, EngineError, Write, guarded};
use super::files::{make_private, sync_all, sync_dir};
use super::record::{Tree, meta, seal, unseal};

/// The version of the whole layout: trees, keys, and what is in the records.
const FORMAT: u64 = 1;

/// Settings of an [`EmbeddedStore`](super::EmbeddedStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of memory for pages that were read or written lately. sled counts a page as it lies on disk, which is
    /// half of what it takes in memory, and holds some ten thousand pages more; those it has not are read from the
    /// operating system's own cache in microseconds.
    pub cache_capacity: u64,
}

impl Default for Options {
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

impl OpenError {
    pub(super) fn of_engine(dir: &Path, error: EngineError) -> Self {
        let dir = dir.to_owned();
        match error {
            EngineError::Io(cause) => Self::Io { dir, cause },
            EngineError::Damaged(detail) => Self::Damaged { dir, detail },
        }
    }
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
pub(super) fn open<E: Engine>(dir: &Path, options: Options, lock: Arc<File>) -> Result<Database<E>, OpenError> {
    let refused = |error| OpenError::of_engine(dir, error);
    let home = dir.join(E::NAME);
    if !home.exists() {
        guarded::<E, _, _>(|| create::<E>(dir, &home, options)).map_err(refused)?;
    }
    let engine = guarded::<E, _, _>(|| E::open(&home, options)).map_err(refused)?;
    check_format(&engine, dir)?;
    sync_dir(dir).map_err(|error| refused(error.into()))?;
    // The entry of the directory itself lies in its parent, which may be out of reach.
    let _ = dir.canonicalize().map(|dir| dir.parent().map(sync_dir));
    Ok(Database {
        dir: dir.to_owned(),
        engine,
        changing: RwLock::new(()),
        _lock: lock,
    })
}

/// Makes an empty database aside, and puts it in its place when it is whole and on disk: so what is there can be opened,
/// whenever the first start was interrupted.
fn create<E: Engine>(dir: &Path, home: &Path, options: Options) -> Result<(), EngineError> {
    let draft = dir.join(format!("{}.new", E::NAME));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    make_private(&draft)?;
    let engine = E::create(&draft, options)?;
    let first = [
        (meta::FORMAT, FORMAT),
        (meta::ENABLED_ADMINS, 0),
        (meta::EVENTS, 0),
        (meta::GUESSES, 0),
    ];
    engine.commit(&first.map(|(key, number)| Write {
        tree: Tree::Meta,
        key: key.to_vec(),
        record: Some(seal(Tree::Meta, key, &number)),
    }))?;
    engine.close()?;
    sync_all(&draft)?;
    fs::rename(&draft, home)?;
    Ok(sync_dir(dir)?)
}

/// Refuses another format.
fn check_format<E: Engine>(engine: &E, dir: &Path) -> Result<(), OpenError> {
    let damaged = |detail: String| OpenError::Damaged {
        dir: dir.to_owned(),
        detail,
    };
    let record = guarded::<E, _, _>(|| engine.get(Tree::Meta, meta::FORMAT))
        .map_err(|error| OpenError::of_engine(dir, error))?
        .ok_or_else(|| damaged("it says no format version".to_owned()))?;
    match unseal::<u64>(Tree::Meta, meta::FORMAT, record.as_ref()) {
        Ok(FORMAT) => Ok(()),
        Ok(found) => Err(OpenError::Format {
            dir: dir.to_owned(),
            found,
        }),
        Err(error) => Err(damaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::engine::sled::Sled;

    fn open_in(dir: &Path) -> Result<Database<Sled>, OpenError> {
        open(dir, Options::default(), lock(dir)?)
    }

    /// Opens, puts `record` where the format version is, and opens again.
    fn reopen_with_format(record: Option<Vec<u8>>) -> OpenError {
        let dir = tempfile::tempdir().unwrap();
        let format = Write {
            tree: Tree::Meta,
            key: meta::FORMAT.to_vec(),
            record,
        };
        open_in(dir.path()).unwrap().commit(&[format]).unwrap();
        open_in(dir.path()).err().unwrap()
    }

    #[test]
    fn another_format_is_refused() {
        let other = seal(Tree::Meta, meta::FORMAT, &2_u64);
        let error = reopen_with_format(Some(other));
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
        for record in [Some(b"1".to_vec()), None] {
            let error = reopen_with_format(record);
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        }
    }
}
