//! The open database: typed reads, and the changes that the writer hands over.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;

use super::change::session_key;
use super::engine::{Engine, EngineError, Frozen, Range, Write, guarded};
use super::open::Options;
use super::recent::Recent;
use super::record::{Tree, unseal};
use super::slot::Slot;
use super::transaction::Base;
use crate::session::SessionRecord;
use crate::store::StoreError;
use crate::user::{SessionId, UserId, UserRecord};

/// An open database.
pub(super) struct Database<E> {
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) engine: Slot<E>,
    pub(super) recent: Recent,
    /// Held while a change is made visible. Whoever holds it for reading sees no change between two reads.
    pub(super) changing: RwLock<()>,
    /// Held until the last user of the database is gone, so it is dropped last.
    pub(super) _lock: Arc<File>,
}

impl<E: Engine> Database<E> {
    /// The record under `key`.
    pub(super) fn get<T: DeserializeOwned>(&self, tree: Tree, key: &[u8]) -> Result<Option<T>, StoreError> {
        get(&*self.engine.get()?, tree, key)
    }

    /// The user with this id.
    pub(super) fn user(&self, id: UserId) -> Result<Option<Arc<UserRecord>>, StoreError> {
        let key = id.as_bytes();
        self.recent.users.get(key, || self.get(Tree::Users, key))
    }

    /// The session with this id of this user.
    pub(super) fn session(&self, user: UserId, id: SessionId) -> Result<Option<Arc<SessionRecord>>, StoreError> {
        let key = session_key(user, id);
        self.recent.sessions.get(&key, || self.get(Tree::Sessions, &key))
    }

    /// Hands each record of `range` with its key to `visit`, from the first on, or from the last
    /// on if `backwards`, until that says `false`. `visit` must not read from the database.
    pub(super) fn scan<T: DeserializeOwned>(
        &self,
        tree: Tree,
        range: Range<'_>,
        backwards: bool,
        mut visit: impl FnMut(&[u8], T) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.walk(tree, range, backwards, |key, record| visit(key, record?))
    }

    /// The same, and what is damaged is for `visit` to judge.
    pub(super) fn walk<T: DeserializeOwned>(
        &self,
        tree: Tree,
        range: Range<'_>,
        backwards: bool,
        mut visit: impl FnMut(&[u8], Result<T, StoreError>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let engine = self.engine.get()?;
        guarded::<E, _, _>(|| {
            engine.range(tree, range, backwards, &mut |key, record| {
                visit(key, unseal(tree, key, record))
            })
        })
    }

    /// The user with this name.
    pub(super) fn user_by_name(&self, name: &str) -> Result<Option<Arc<UserRecord>>, StoreError> {
        match self.look_up(name)? {
            LookedUp::Nobody => Ok(None),
            LookedUp::User(user) => Ok(Some(user)),
            // A change between the two reads, or damage: one look at both tells.
            LookedUp::Contradiction(_) => {
                let _nothing_changes = self.changing.read().unwrap_or_else(PoisonError::into_inner);
                match self.look_up(name)? {
                    LookedUp::Nobody => Ok(None),
                    LookedUp::User(user) => Ok(Some(user)),
                    LookedUp::Contradiction(detail) => Err(Tree::Usernames.corrupt(name.as_bytes(), detail)),
                }
            }
        }
    }

    fn look_up(&self, name: &str) -> Result<LookedUp, StoreError> {
        let Some(id) = self.get::<UserId>(Tree::Usernames, name.as_bytes())? else {
            return Ok(LookedUp::Nobody);
        };
        Ok(match self.user(id)? {
            Some(user) if user.username.as_str() == name => LookedUp::User(user),
            Some(user) => LookedUp::Contradiction(format!(
                "it leads to user {id}, whose name is {}",
                user.username.as_str()
            )),
            None => LookedUp::Contradiction(format!("it leads to user {id}, who does not exist")),
        })
    }

    /// Makes these changes, all of them or none, and puts them on disk.
    pub(super) fn commit(&self, changes: &[Write]) -> Result<(), EngineError> {
        let engine = self.engine.get()?;
        let _changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        self.recent.begin(changes);
        let outcome = guarded::<E, _, _>(|| engine.commit(changes));
        self.recent.end();
        outcome
    }

    /// These trees as they are now. For the writer, which makes no change meanwhile.
    pub(super) fn freeze(&self, trees: &[Tree]) -> Result<Vec<Box<dyn Frozen>>, StoreError> {
        let engine = self.engine.get()?;
        guarded::<E, _, _>(|| engine.freeze(trees, &self.dir))
    }
}

impl<E: Engine> Base for Database<E> {
    fn raw(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let engine = self.engine.get()?;
        guarded::<E, _, _>(|| {
            let record = engine.get(tree, key)?;
            Ok(record.map(|record| record.as_ref().to_vec()))
        })
    }
}

fn get<E: Engine, T: DeserializeOwned>(engine: &E, tree: Tree, key: &[u8]) -> Result<Option<T>, StoreError> {
    guarded::<E, _, _>(|| match engine.get(tree, key)? {
        Some(record) => unseal(tree, key, record.as_ref()).map(Some),
        None => Ok(None),
    })
}

/// What a name leads to.
enum LookedUp {
    Nobody,
    User(Arc<UserRecord>),
    /// And what is contradictory.
    Contradiction(String),
}
