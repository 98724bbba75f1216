//! The open database: typed reads, transactions over all trees, and making them durable.

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ::sled::transaction::{
    ConflictableTransactionError, TransactionError, Transactional, TransactionalTree, UnabortableTransactionError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{Tree, seal, unseal};
use crate::store::StoreError;
use crate::user::{UserId, UserRecord};

/// Keys from one bound to another.
pub(super) type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// An open database.
pub(super) struct Engine {
    /// In the order of [`Tree::ALL`].
    pub(super) trees: Vec<::sled::Tree>,
    pub(super) db: ::sled::Db,
    /// An own handle of sled's log file, for the sync that sled leaves out.
    pub(super) log: File,
    /// Where sled puts a page that is too large for its log.
    pub(super) blobs: PathBuf,
    /// The blobs that are known to be on disk.
    pub(super) synced_blobs: Mutex<BTreeSet<OsString>>,
    /// Held until the last user of the database is gone, so it is dropped last.
    pub(super) _lock: Arc<File>,
}

/// Why a transaction or its sync failed.
pub(super) struct EngineError {
    /// What happened.
    pub(super) cause: String,
    /// Whether the database is still as it was before: then the next transaction may be tried.
    pub(super) untouched: bool,
}

impl Engine {
    /// The record under `key`.
    pub(super) fn get<T: DeserializeOwned>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, StoreError> {
        let record = guarded(|| self.trees[tree.index()].get(key).map_err(|error| unavailable(&error)))?;
        record.map(|record| unseal(tree, key, &record)).transpose()
    }

    /// Hands each record of `range` with its key to `visit`, from the first on, or from the last
    /// on if `backwards`, until that says `false`.
    pub(super) fn scan<T: DeserializeOwned>(
        &self,
        tree: Tree,
        range: Range<'_>,
        backwards: bool,
        mut visit: impl FnMut(&[u8], T) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        guarded(|| {
            let mut records = self.trees[tree.index()].range::<&[u8], _>(range);
            while let Some(found) = if backwards { records.next_back() } else { records.next() } {
                let (key, record) = found.map_err(|error| unavailable(&error))?;
                if !visit(&key, unseal(tree, &key, &record)?)? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Hands each record of a tree, as it lies there, with its key to `visit`, in order of keys.
    pub(super) fn each_raw(
        &self,
        tree: Tree,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        guarded(|| {
            for found in &self.trees[tree.index()] {
                let (key, record) = found.map_err(|error| unavailable(&error))?;
                visit(&key, &record)?;
            }
            Ok(())
        })
    }

    /// The user with this name.
    pub(super) fn user_by_name(&self, name: &str) -> Result<Option<UserRecord>, StoreError> {
        let Some(id) = self.get::<UserId>(Tree::Usernames, name.as_bytes())? else {
            return Ok(None);
        };
        match self.get::<UserRecord>(Tree::Users, id.as_bytes())? {
            Some(user) if user.username.as_str() == name => Ok(Some(user)),
            // A change between the two reads, or damage: one look at both tells.
            _ => self.user_by_name_at_once(name),
        }
    }

    /// As [`Engine::user_by_name`], with no change between reading the name and the user.
    fn user_by_name_at_once(&self, name: &str) -> Result<Option<UserRecord>, StoreError> {
        let look = |tx: &Transaction<'_>| {
            let Some(id) = tx.get::<UserId>(Tree::Usernames, name.as_bytes())? else {
                return Ok(None);
            };
            match tx.get::<UserRecord>(Tree::Users, id.as_bytes())? {
                Some(user) if user.username.as_str() == name => Ok(Some(user)),
                Some(user) => Err(Failure::corrupt(
                    Tree::Usernames,
                    name.as_bytes(),
                    format!("it leads to user {id}, whose name is {}", user.username.as_str()),
                )),
                None => Err(Failure::corrupt(
                    Tree::Usernames,
                    name.as_bytes(),
                    format!("it leads to user {id}, who does not exist"),
                )),
            }
        };
        guarded(|| {
            let (answer, _) = self
                .transact(|tx| tx.attempt(look))
                .map_err(|error| StoreError::Unavailable(error.cause))?;
            answer
        })
    }

    /// Runs `body` in a transaction over all trees; whether it wrote is the second part of the
    /// answer. sled may run it more than once: what it does outside of the transaction, it does
    /// anew each time. Not durable before [`Engine::sync`].
    pub(super) fn transact<R>(
        &self,
        body: impl Fn(&Transaction<'_>) -> Result<R, UnabortableTransactionError>,
    ) -> Result<(R, bool), EngineError> {
        let committing = Cell::new(false);
        let outcome = self.trees.as_slice().transaction(|trees: &Vec<TransactionalTree>| {
            committing.set(false);
            let tx = Transaction {
                trees,
                wrote: Cell::new(false),
            };
            let result = body(&tx)?;
            if tx.wrote.get() {
                committing.set(true);
                Ok(result)
            } else {
                // sled would log even an empty transaction; an aborted one leaves no trace.
                Err(ConflictableTransactionError::Abort(result))
            }
        });
        match outcome {
            Ok(result) => Ok((result, true)),
            Err(TransactionError::Abort(result)) => Ok((result, false)),
            Err(TransactionError::Storage(error)) => Err(EngineError {
                cause: error.to_string(),
                untouched: !committing.get(),
            }),
        }
    }

    /// Puts on disk all that was written so far. `Db::flush` alone does not: on Linux it ends in
    /// `sync_file_range`, which leaves the file's size and the disk's own cache out.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        let failed = |cause: String| EngineError {
            cause,
            untouched: false,
        };
        self.db.flush().map_err(|error| failed(error.to_string()))?;
        self.log
            .sync_data()
            .and_then(|()| self.sync_blobs())
            .map_err(|error| failed(error.to_string()))
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

/// All trees inside of a transaction.
pub(super) struct Transaction<'a> {
    trees: &'a [TransactionalTree],
    wrote: Cell<bool>,
}

/// Why a step inside of a transaction failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// This request is refused; the others of the transaction go on.
    Refused(StoreError),
    /// The whole transaction fails.
    Storage(UnabortableTransactionError),
}

impl Failure {
    pub(super) fn corrupt(tree: Tree, key: &[u8], detail: impl Into<String>) -> Self {
        Self::Refused(tree.corrupt(key, detail))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<UnabortableTransactionError> for Failure {
    fn from(error: UnabortableTransactionError) -> Self {
        Self::Storage(error)
    }
}

impl Transaction<'_> {
    /// Runs one request: what refuses it becomes its answer, what breaks sled fails them all.
    pub(super) fn attempt<R>(
        &self,
        request: impl FnOnce(&Self) -> Result<R, Failure>,
    ) -> Result<Result<R, StoreError>, UnabortableTransactionError> {
        match request(self) {
            Ok(answer) => Ok(Ok(answer)),
            Err(Failure::Refused(error)) => Ok(Err(error)),
            Err(Failure::Storage(error)) => Err(error),
        }
    }

    /// The record under `key`.
    pub(super) fn get<T: DeserializeOwned>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, Failure> {
        let record = self.trees[tree.index()].get(key)?;
        Ok(record.map(|record| unseal(tree, key, &record)).transpose()?)
    }

    /// Whether there is a record under `key`, damaged or not.
    pub(super) fn contains(&self, tree: Tree, key: &[u8]) -> Result<bool, Failure> {
        Ok(self.trees[tree.index()].get(key)?.is_some())
    }

    /// Puts `value` under `key`, whatever was there.
    pub(super) fn put<T: Serialize>(&self, tree: Tree, key: &[u8], value: &T) -> Result<(), Failure> {
        self.wrote.set(true);
        self.trees[tree.index()].insert(key, seal(tree, key, value))?;
        Ok(())
    }

    /// Removes what is under `key`; whether there was anything.
    pub(super) fn remove(&self, tree: Tree, key: &[u8]) -> Result<bool, Failure> {
        if !self.contains(tree, key)? {
            return Ok(false);
        }
        self.wrote.set(true);
        self.trees[tree.index()].remove(key)?;
        Ok(true)
    }
}

fn unavailable(error: &::sled::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Runs `read`; a panic in sled, which damage can cause, becomes an error.
fn guarded<R>(read: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        Err(StoreError::Unavailable(format!(
            "sled panicked: {}",
            panic_text(&*panic)
        )))
    })
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
