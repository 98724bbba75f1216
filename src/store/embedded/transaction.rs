//! Changes that are gathered in memory, seen by those that come after them, and then made all at once.
//!
//! Only the writer makes them, one transaction after the other, so what is read here stays true until it is committed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::EngineError;
use super::record::{Tree, seal, unseal};
use crate::store::StoreError;

/// What a transaction begins with.
pub(super) trait Base {
    /// The record under `key`, as it lies there.
    fn raw(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;
}

/// A transaction over all trees. Dropped, it leaves no trace.
pub(super) struct Transaction<'a> {
    base: &'a dyn Base,
    /// What becomes of which key that was read or written, in the order of [`Tree::ALL`]: nothing is read twice.
    touched: RefCell<[BTreeMap<Vec<u8>, Touched>; Tree::ALL.len()]>,
    writes: Cell<u64>,
}

/// A record before the transaction and after it, which may be the same.
pub(super) struct Touched {
    pub(super) before: Option<Vec<u8>>,
    pub(super) after: Option<Vec<u8>>,
}

/// Why a step inside of a transaction failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// This request is refused; the others of the transaction go on.
    Refused(StoreError),
    /// The whole transaction fails.
    Storage(EngineError),
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

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Storage(error)
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn over(base: &'a dyn Base) -> Self {
        Self {
            base,
            touched: RefCell::default(),
            writes: Cell::new(0),
        }
    }

    /// Runs one request: what refuses it becomes its answer, what breaks the database fails them all.
    pub(super) fn attempt<R>(
        &self,
        request: impl FnOnce(&Self) -> Result<R, Failure>,
    ) -> Result<Result<R, StoreError>, EngineError> {
        match request(self) {
            Ok(answer) => Ok(Ok(answer)),
            Err(Failure::Refused(error)) => Ok(Err(error)),
            Err(Failure::Storage(error)) => Err(error),
        }
    }

    /// The record under `key`.
    pub(super) fn get<T: DeserializeOwned>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, Failure> {
        let record = self.raw(tree, key)?;
        Ok(record.map(|record| unseal(tree, key, &record)).transpose()?)
    }

    /// Whether there is a record under `key`, damaged or not.
    pub(super) fn contains(&self, tree: Tree, key: &[u8]) -> Result<bool, Failure> {
        Ok(self.raw(tree, key)?.is_some())
    }

    /// Puts `value` under `key`, whatever was there.
    pub(super) fn put<T: Serialize>(&self, tree: Tree, key: &[u8], value: &T) -> Result<(), Failure> {
        self.write(tree, key, Some(seal(tree, key, value)))
    }

    /// Removes what is under `key`; whether there was anything.
    pub(super) fn remove(&self, tree: Tree, key: &[u8]) -> Result<bool, Failure> {
        if !self.contains(tree, key)? {
            return Ok(false);
        }
        self.write(tree, key, None)?;
        Ok(true)
    }

    /// How many times something was put or removed so far.
    pub(super) fn writes(&self) -> u64 {
        self.writes.get()
    }

    /// What was read and written, tree by tree in order of keys.
    pub(super) fn into_touched(self) -> impl Iterator<Item = (Tree, Vec<u8>, Touched)> {
        Tree::ALL
            .into_iter()
            .zip(self.touched.into_inner())
            .flat_map(|(tree, touched)| touched.into_iter().map(move |(key, touched)| (tree, key, touched)))
    }

    fn raw(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.touch(tree, key, |touched| touched.after.clone())
    }

    fn write(&self, tree: Tree, key: &[u8], after: Option<Vec<u8>>) -> Result<(), Failure> {
        self.writes.set(self.writes.get() + 1);
        Ok(self.touch(tree, key, |touched| touched.after = after)?)
    }

    fn touch<R>(&self, tree: Tree, key: &[u8], with: impl FnOnce(&mut Touched) -> R) -> Result<R, EngineError> {
        let mut touched = self.touched.borrow_mut();
        let touched = &mut touched[tree.index()];
        if let Some(touched) = touched.get_mut(key) {
            return Ok(with(touched));
        }
        let before = self.base.raw(tree, key)?;
        let after = before.clone();
        Ok(with(touched.entry(key.to_vec()).or_insert(Touched { before, after })))
    }
}
