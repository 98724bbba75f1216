//! sled. Nothing else in this crate knows it.
//!
//! sled 0.34.7 alone loses acknowledged writes in a power cut, can be kept from opening by a crash at the wrong moment, and
//! panics on damaged files. What it lacks to be an [`Engine`] is added here.

mod copy;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ::sled::transaction::{ConflictableTransactionResult, TransactionError, Transactional, TransactionalTree};

use self::copy::TreeCopy;
use super::{Engine, EngineError, Frozen, Range, Visit, Write};
use crate::store::StoreError;
use crate::store::embedded::Options;
use crate::store::embedded::files::sync_all;
use crate::store::embedded::record::Tree;

/// How often, and how far apart, opening is tried while sled's own lock is still held: its
/// background threads let go of a database a moment after it was dropped.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The embedded database sled.
pub struct Sled {
    /// In the order of [`Tree::ALL`].
    trees: Vec<::sled::Tree>,
    db: ::sled::Db,
    /// An own handle of sled's log file, for the sync that sled leaves out.
    log: File,
    /// Where sled puts a page that is too large for its log.
    blobs: PathBuf,
    /// The blobs that are known to be on disk.
    synced_blobs: Mutex<BTreeSet<OsString>>,
}

impl Engine for Sled {
    const NAME: &'static str = "sled";

    type Value = ::sled::IVec;

    fn create(home: &Path, options: Options) -> Result<Self, EngineError> {
        Self::open(home, options)
    }

    fn open(home: &Path, options: Options) -> Result<Self, EngineError> {
        remove_unfinished_snapshots(home)?;
        let (db, trees) = open_database(home, options)?;
        let sled = Self {
            trees,
            db,
            log: File::options().read(true).write(true).open(home.join("db"))?,
            blobs: home.join("blobs"),
            synced_blobs: Mutex::new(BTreeSet::new()),
        };
        sled.sync()?;
        // sled makes files that it never syncs; one of them lost in a power cut keeps it from opening.
        sync_all(home)?;
        Ok(sled)
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Self::Value>, EngineError> {
        Ok(self.trees[tree.index()].get(key)?)
    }

    fn range(&self, tree: Tree, range: Range<'_>, backwards: bool, visit: Visit<'_>) -> Result<(), StoreError> {
        let mut records = self.trees[tree.index()].range::<&[u8], _>(range);
        while let Some(found) = if backwards { records.next_back() } else { records.next() } {
            let (key, record) = found.map_err(EngineError::from)?;
            if !visit(&key, &record)? {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, changes: &[Write]) -> Result<(), EngineError> {
        let outcome = self.trees.as_slice().transaction(|trees: &Vec<TransactionalTree>| {
            for Write { tree, key, record } in changes {
                match record {
                    Some(record) => trees[tree.index()].insert(&key[..], &record[..])?,
                    None => trees[tree.index()].remove(&key[..])?,
                };
            }
            ConflictableTransactionResult::<(), ()>::Ok(())
        });
        match outcome {
            Ok(()) => self.sync(),
            Err(TransactionError::Storage(error)) => Err(error.into()),
            Err(TransactionError::Abort(())) => unreachable!("the transaction is never aborted"),
        }
    }

    fn freeze(&self, trees: &[Tree], dir: &Path) -> Result<Vec<Box<dyn Frozen>>, StoreError> {
        trees
            .iter()
            .map(|tree| Ok(Box::new(TreeCopy::of(self, *tree, dir)?) as Box<dyn Frozen>))
            .collect()
    }

    fn close(self) -> Result<(), EngineError> {
        let synced = self.sync();
        let Self { trees, db, log, .. } = self;
        drop((trees, db));
        // sled's threads let go a moment later: until then the files are not at rest.
        for _ in 0..LOCK_TRIES {
            match log.try_lock() {
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                _ => break,
            }
        }
        synced
    }
}

impl Sled {
    /// Puts on disk all that was written so far. `Db::flush` alone does not: on Linux it ends in
    /// `sync_file_range`, which leaves the file's size and the disk's own cache out.
    fn sync(&self) -> Result<(), EngineError> {
        self.db.flush()?;
        self.log.sync_data()?;
        Ok(self.sync_blobs()?)
    }

    /// Puts on disk those of sled's blob files that are not yet; nearly always there are none.
    fn sync_blobs(&self) -> io::Result<()> {
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = BTreeSet::new();
        let mut new = false;
        for entry in fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let name = entry.file_name();
            if !synced.contains(&name) {
                match File::open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    // sled removes blobs that are no longer needed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                new = true;
            }
            there.insert(name);
        }
        if new {
            File::open(&self.blobs)?.sync_all()?;
        }
        *synced = there;
        Ok(())
    }
}

impl From<::sled::Error> for EngineError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) => Self::of_io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
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

fn open_database(home: &Path, options: Options) -> Result<(::sled::Db, Vec<::sled::Tree>), EngineError> {
    // No flushing in the background: each commit is flushed. `mode` is left alone, since sled 0.34.7 reads it nowhere.
    let config = ::sled::Config::new()
        .path(home)
        .cache_capacity(options.cache_capacity)
        .use_compression(false)
        .flush_every_ms(None);
    let mut tries = 1;
    let db = loop {
        match config.open() {
            Err(::sled::Error::Io(error)) if tries < LOCK_TRIES && is_lock_error(&error) => {
                tries += 1;
                thread::sleep(LOCK_PAUSE);
            }
            outcome => break outcome?,
        }
    };
    let trees = Tree::ALL
        .iter()
        .map(|tree| db.open_tree(tree.name()))
        .collect::<Result<_, _>>()?;
    Ok((db, trees))
}

/// sled names this error only by its words.
fn is_lock_error(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}
