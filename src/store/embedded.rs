//! Stores on disk, each by an embedded database.
//!
//! `engine` says what a database has to do, and does it with each; all else is the same for all of them: `open` is the way in,
//! `writer` makes changes durable, `batch` is what it makes at once, `change` is what may follow what, `record` notices damage,
//! `recent` is what was read lately, `verify` looks at everything.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `users` | user id | user |
//! | `usernames`, `skeletons` | name, skeleton | user id |
//! | `sessions` | user id ‖ session id | session |
//! | `failures` | user id | failure count |
//! | `keys` | `keyring` | all signing keys |
//! | `audit` | event id | event |
//! | `guesses` | event id of a guess | nothing |
//! | `meta` | see `record::meta` | number |

mod batch;
mod change;
mod database;
pub(super) mod engine;
#[cfg(test)]
mod faulty;
pub(crate) mod files;
mod lock;
mod mark;
mod open;
mod recent;
mod record;
mod rest;
mod slot;
mod snapshot;
mod spare;
mod tally;
mod transaction;
mod verify;
mod writer;

use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use self::change::{Change, Trim, session_key};
use self::database::Database;
use self::engine::Engine;
use self::open::For;
pub use self::open::{OpenError, Options};
use self::record::{KEYRING, Tree, meta};
use self::snapshot::FrozenSnapshot;
use self::writer::Writer;
use crate::audit::{AuditEvent, AuditFilter};
use crate::clock::Timestamp;
use crate::session::SessionRecord;
use crate::store::{
    AuditLog, FailureStore, KeyStore, MAX_PAGE, Progress, Sections, SessionStore, Snapshot, SnapshotStore, Store,
    StoreError, UserStore, Verification, VerifyStore, page_len,
};
use crate::throttle::Failures;
use crate::token::keyring::KeyringRecord;
use crate::user::{EventId, SessionId, UserId, UserRecord, Username};

/// Keeps everything in a directory, by an embedded database.
///
/// An acknowledged change is on disk. One process at a time can have the directory open.
pub struct EmbeddedStore<E: Engine> {
    dir: PathBuf,
    /// Dropped before the database, after everything queued is done.
    writer: Writer,
    database: Arc<Database<E>>,
    /// The number of the next probe of [`Store::check`].
    probe: AtomicU64,
    /// What is wrong with it as a whole.
    doubt: Option<String>,
}

impl<E: Engine> EmbeddedStore<E> {
    /// Opens the store in `dir`, and makes it, readable for its owner only, if there is none.
    /// Takes as long as the disk does: for the start of a program, not for an asynchronous task.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_for(For::Use, dir, options)
    }

    /// As [`EmbeddedStore::open`], without refusing what is damaged as far as it can be opened at all: for
    /// [`VerifyStore::verify`], which says what is wrong. Nothing should be written to it.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open_to_look(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_for(For::Looking, dir, options)
    }

    fn open_for(purpose: For, dir: &Path, options: Options) -> Result<Self, OpenError> {
        let opened = open::open(dir, options, lock(dir)?, purpose)?;
        let database = Arc::new(opened.database);
        let transactions = opened.standing.tally.transactions;
        let writer = Writer::start(Arc::clone(&database), opened.standing)
            .map_err(|cause| OpenError::of_engine(dir, cause.into()))?;
        Ok(Self {
            dir: dir.to_owned(),
            writer,
            database,
            // More than the last process has written: what is the same is not written.
            probe: AtomicU64::new(transactions),
            doubt: opened.doubt,
        })
    }

    /// Runs a read of many records where it holds up nobody.
    async fn scan<R: Send + 'static>(
        &self,
        read: impl FnOnce(&Database<E>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || read(&database))
            .await
            .map_err(|error| StoreError::Unavailable(format!("the scan did not end: {error}")))?
    }
}

pub(crate) use self::lock::lock;

/// Whether a process, be it this one, has the store in `dir` open.
pub(crate) fn is_open(dir: &Path) -> bool {
    lock::is_locked(dir)
}

impl<E: Engine> fmt::Debug for EmbeddedStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("engine", &E::NAME)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// All keys greater than `key`, or all there are.
fn past(key: Option<&[u8]>) -> Bound<&[u8]> {
    key.map_or(Bound::Unbounded, Bound::Excluded)
}

/// At most `limit` records of `tree` in `range` for which `wanted` holds.
fn page<T: serde::de::DeserializeOwned>(
    database: &Database<impl Engine>,
    tree: Tree,
    range: engine::Range<'_>,
    backwards: bool,
    limit: usize,
    wanted: impl Fn(&T) -> bool,
) -> Result<Vec<T>, StoreError> {
    let mut items = Vec::new();
    database.scan(tree, range, backwards, |_, item: T| {
        if wanted(&item) {
            items.push(item);
        }
        Ok(items.len() < limit)
    })?;
    Ok(items)
}

/// At most `limit` names that begin with `prefix` and are greater than `after`, which is no less than `prefix`.
fn names_after(
    database: &Database<impl Engine>,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
    // The first name past those with the prefix: no byte of UTF-8 is the greatest there is.
    let mut past = prefix.to_vec();
    if let Some(last) = past.last_mut() {
        *last += 1;
    }
    let end = if past.is_empty() {
        Bound::Unbounded
    } else {
        Bound::Excluded(&past[..])
    };
    let mut names = Vec::new();
    database.scan(Tree::Usernames, (start, end), false, |name, _: UserId| {
        let text = std::str::from_utf8(name).map_err(|_| Tree::Usernames.corrupt(name, "the name is not UTF-8"))?;
        names.push(text.to_owned());
        Ok(names.len() < limit)
    })?;
    Ok(names)
}

#[async_trait]
impl<E: Engine> UserStore for EmbeddedStore<E> {
    async fn create(&self, user: &UserRecord, events: &[AuditEvent]) -> Result<(), StoreError> {
        let change = Change::CreateUser {
            user: user.clone(),
            skeleton: user.username.skeleton(),
        };
        self.writer.submit(change, events).await.map(drop)
    }

    async fn find(&self, id: UserId) -> Result<Option<Arc<UserRecord>>, StoreError> {
        self.database.user(id)
    }

    async fn find_by_username(&self, name: &Username) -> Result<Option<Arc<UserRecord>>, StoreError> {
        self.database.user_by_name(name.as_str())
    }

    async fn list(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserRecord>, StoreError> {
        self.scan(move |database| {
            let start = past(after.as_ref().map(|id| &id.as_bytes()[..]));
            page(
                database,
                Tree::Users,
                (start, Bound::Unbounded),
                false,
                page_len(limit),
                |_| true,
            )
        })
        .await
    }

    async fn list_by_username(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UserRecord>, StoreError> {
        let prefix = prefix.as_bytes().to_vec();
        let after = after
            .map(|name| name.as_bytes().to_vec())
            .filter(|after| *after >= prefix);
        self.scan(move |database| {
            let limit = page_len(limit);
            let mut users = Vec::new();
            let mut after = after;
            loop {
                let names = names_after(database, &prefix, after.as_deref(), limit - users.len())?;
                for name in &names {
                    // None: renamed or deleted since the name was read.
                    users.extend(database.user_by_name(name)?.map(Arc::unwrap_or_clone));
                }
                match names.into_iter().next_back() {
                    Some(last) if users.len() < limit => after = Some(last.into_bytes()),
                    _ => return Ok(users),
                }
            }
        })
        .await
    }

    async fn replace(&self, user: &UserRecord, expected: u64, events: &[AuditEvent]) -> Result<(), StoreError> {
        let change = Change::ReplaceUser {
            user: user.clone(),
            skeleton: user.username.skeleton(),
            expected,
        };
        self.writer.submit(change, events).await.map(drop)
    }

    async fn delete(&self, id: UserId, expected: u64, events: &[AuditEvent]) -> Result<(), StoreError> {
        let change = Change::DeleteUser { id, expected };
        self.writer.submit(change, events).await.map(drop)
    }
}

#[async_trait]
impl<E: Engine> SessionStore for EmbeddedStore<E> {
    async fn open_session(&self, session: &SessionRecord, events: &[AuditEvent]) -> Result<(), StoreError> {
        let change = Change::OpenSession(session.clone());
        self.writer.submit(change, events).await.map(drop)
    }

    async fn find_session(&self, user: UserId, id: SessionId) -> Result<Option<Arc<SessionRecord>>, StoreError> {
        self.database.session(user, id)
    }

    async fn list_sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.scan(move |database| {
            let first = session_key(user, SessionId::from_bytes([0; 16]));
            let last = session_key(user, SessionId::from_bytes([0xFF; 16]));
            let after = after.map(|id| session_key(user, id));
            let start = after
                .as_ref()
                .map_or(Bound::Included(&first[..]), |key| Bound::Excluded(&key[..]));
            page(
                database,
                Tree::Sessions,
                (start, Bound::Included(&last)),
                false,
                page_len(limit),
                |_| true,
            )
        })
        .await
    }

    async fn scan_sessions(
        &self,
        after: Option<(UserId, SessionId)>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.scan(move |database| {
            let after = after.map(|(user, id)| session_key(user, id));
            let start = past(after.as_ref().map(|key| &key[..]));
            page(
                database,
                Tree::Sessions,
                (start, Bound::Unbounded),
                false,
                page_len(limit),
                |_| true,
            )
        })
        .await
    }

    async fn replace_session(&self, session: &SessionRecord, expected: u32) -> Result<(), StoreError> {
        let change = Change::ReplaceSession {
            session: session.clone(),
            expected,
        };
        self.writer.submit(change, &[]).await.map(drop)
    }

    async fn end_session(&self, user: UserId, id: SessionId, events: &[AuditEvent]) -> Result<bool, StoreError> {
        let change = Change::EndSession { user, id };
        self.writer.submit(change, events).await.map(|ended| ended > 0)
    }

    async fn sweep_sessions(&self, dead: &[(UserId, SessionId, u32)]) -> Result<usize, StoreError> {
        let change = Change::SweepSessions(dead.to_vec());
        self.writer.submit(change, &[]).await
    }
}

#[async_trait]
impl<E: Engine> KeyStore for EmbeddedStore<E> {
    async fn load_keys(&self) -> Result<Option<KeyringRecord>, StoreError> {
        self.database.get(Tree::Keys, KEYRING)
    }

    async fn replace_keys(
        &self,
        keys: &KeyringRecord,
        expected: Option<u64>,
        events: &[AuditEvent],
    ) -> Result<(), StoreError> {
        let change = Change::ReplaceKeys {
            keys: keys.clone(),
            expected,
        };
        self.writer.submit(change, events).await.map(drop)
    }
}

#[async_trait]
impl<E: Engine> AuditLog for EmbeddedStore<E> {
    async fn append_event(&self, event: &AuditEvent) -> Result<(), StoreError> {
        let events = std::slice::from_ref(event);
        self.writer.submit(Change::EventsOnly, events).await.map(drop)
    }

    async fn list_events(
        &self,
        filter: &AuditFilter,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let filter = *filter;
        self.scan(move |database| {
            let end = past(before.as_ref().map(|id| &id.as_bytes()[..]));
            page(
                database,
                Tree::Audit,
                (Bound::Unbounded, end),
                true,
                page_len(limit),
                |event| filter.admits(event),
            )
        })
        .await
    }

    async fn trim_events(&self, older_than: Timestamp, keep: usize, limit: usize) -> Result<usize, StoreError> {
        let limit = limit.min(MAX_PAGE);
        if limit == 0 {
            return Ok(0);
        }
        let (oldest, guesses) = self
            .scan(move |database| {
                let all = (Bound::Unbounded, Bound::Unbounded);
                let mut oldest = Vec::new();
                database.walk(Tree::Audit, all, false, |_, event: Result<AuditEvent, _>| {
                    // What is damaged stays, for whoever looks into it, and keeps nothing else.
                    oldest.extend(event.map(|event| (event.id, event.at)));
                    Ok(oldest.len() < limit)
                })?;
                let mut guesses = Vec::new();
                database.scan(Tree::Guesses, all, false, |key, ()| {
                    let id = key
                        .try_into()
                        .map_err(|_| Tree::Guesses.corrupt(key, "the key is not an id"))?;
                    guesses.push(EventId::from_bytes(id));
                    Ok(guesses.len() < limit)
                })?;
                Ok((oldest, guesses))
            })
            .await?;
        let change = Change::TrimEvents(Trim {
            oldest,
            guesses,
            older_than,
            keep,
            limit,
        });
        self.writer.submit(change, &[]).await
    }
}

#[async_trait]
impl<E: Engine> FailureStore for EmbeddedStore<E> {
    async fn failures(&self, user: UserId) -> Result<Option<Failures>, StoreError> {
        self.database.get(Tree::Failures, user.as_bytes())
    }

    async fn put_failures(&self, counts: &[(UserId, Option<Failures>)]) -> Result<(), StoreError> {
        self.writer
            .submit(Change::PutFailures(counts.to_vec()), &[])
            .await
            .map(drop)
    }
}

#[async_trait]
impl<E: Engine> SnapshotStore for EmbeddedStore<E> {
    async fn snapshot(&self, sections: Sections) -> Result<Box<dyn Snapshot>, StoreError> {
        let frozen = self.writer.freeze(snapshot::trees(sections)).await?;
        Ok(Box::new(FrozenSnapshot::new(frozen)))
    }

    fn changes(&self) -> Option<u64> {
        Some(self.writer.changes())
    }
}

#[async_trait]
impl<E: Engine> VerifyStore for EmbeddedStore<E> {
    async fn verify(&self, progress: Progress) -> Result<Verification, StoreError> {
        let frozen = self.writer.freeze(Tree::ALL.to_vec()).await?;
        let mut found = self.scan(move |_| verify::verify(frozen, progress)).await?;
        if let Some(doubt) = &self.doubt {
            found.found("the store", doubt);
        }
        Ok(found)
    }
}

#[async_trait]
impl<E: Engine> Store for EmbeddedStore<E> {
    async fn check(&self) -> Result<(), StoreError> {
        let number = self.probe.fetch_add(1, Ordering::Relaxed);
        self.writer.submit(Change::Probe(number), &[]).await?;
        // Another check may have written since: that there is a sound record is what counts.
        match self.database.get::<u64>(Tree::Meta, meta::PROBE)? {
            Some(_) => Ok(()),
            None => Err(StoreError::Unavailable(
                "what was written cannot be read back".to_owned(),
            )),
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.writer.close().await
    }
}
