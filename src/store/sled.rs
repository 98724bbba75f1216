//! The embedded database sled. Nothing else in this crate knows it.
//!
//! sled 0.34.7 alone loses acknowledged writes in a power cut, can be kept from opening by a crash
//! at the wrong moment, and panics on damaged files. What is missing is added here: `open` for the
//! way in, `writer` for durability, `record` for damage.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `users` | user id | user |
//! | `usernames`, `skeletons` | name, skeleton | user id |
//! | `sessions` | user id ‖ session id | session |
//! | `failures` | user id | failure count |
//! | `keys` | `keyring` | all signing keys |
//! | `audit` | event id | event |
//! | `meta` | see `record::meta` | number |

mod change;
mod copy;
mod engine;
mod open;
mod record;
mod snapshot;
mod verify;
mod writer;

use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use self::change::{Change, Trim, session_key};
use self::engine::Engine;
pub use self::open::{OpenError, SledOptions};
use self::record::{KEYRING, Tree, meta};
use self::snapshot::SledSnapshot;
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

/// Keeps everything in a directory, by sled.
///
/// An acknowledged change is on disk. One process at a time can have the directory open.
pub struct SledStore {
    dir: PathBuf,
    /// Dropped before the engine, after everything queued is done.
    writer: Writer,
    engine: Arc<Engine>,
    /// The number of the next probe of [`Store::check`].
    probe: AtomicU64,
}

impl SledStore {
    /// Opens the store in `dir`, and makes it, readable for its owner only, if there is none.
    /// Takes as long as the disk does: for the start of a program, not for an asynchronous task.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(dir: &Path, options: SledOptions) -> Result<Self, OpenError> {
        let engine = Arc::new(open::open(dir, options, open::lock(dir)?)?);
        let writer = Writer::start(Arc::clone(&engine)).map_err(|cause| OpenError::Io {
            dir: dir.to_owned(),
            cause,
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            writer,
            engine,
            probe: AtomicU64::new(0),
        })
    }

    /// Whether a process, be it this one, has the store in `dir` open.
    pub(crate) fn is_open(dir: &Path) -> bool {
        open::is_locked(dir)
    }

    /// Runs a read of many records where it holds up nobody.
    async fn scan<R: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || read(&engine))
            .await
            .map_err(|error| StoreError::Unavailable(format!("the scan did not end: {error}")))?
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
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
    engine: &Engine,
    tree: Tree,
    range: engine::Range<'_>,
    backwards: bool,
    limit: usize,
    wanted: impl Fn(&T) -> bool,
) -> Result<Vec<T>, StoreError> {
    let mut items = Vec::new();
    engine.scan(tree, range, backwards, |_, item: T| {
        if wanted(&item) {
            items.push(item);
        }
        Ok(items.len() < limit)
    })?;
    Ok(items)
}

#[async_trait]
impl UserStore for SledStore {
    async fn create(&self, user: &UserRecord) -> Result<(), StoreError> {
        let change = Change::CreateUser {
            user: user.clone(),
            skeleton: user.username.skeleton(),
        };
        self.writer.submit(change).await.map(drop)
    }

    async fn find(&self, id: UserId) -> Result<Option<UserRecord>, StoreError> {
        self.engine.get(Tree::Users, id.as_bytes())
    }

    async fn find_by_username(&self, name: &Username) -> Result<Option<UserRecord>, StoreError> {
        self.engine.user_by_name(name.as_str())
    }

    async fn list(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserRecord>, StoreError> {
        self.scan(move |engine| {
            let start = past(after.as_ref().map(|id| &id.as_bytes()[..]));
            page(
                engine,
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
        self.scan(move |engine| {
            let start = after.as_deref().map_or(Bound::Included(&prefix[..]), Bound::Excluded);
            let mut users = Vec::new();
            engine.scan(Tree::Usernames, (start, Bound::Unbounded), false, |name, _: UserId| {
                if !name.starts_with(&prefix) {
                    return Ok(false);
                }
                let name =
                    std::str::from_utf8(name).map_err(|_| Tree::Usernames.corrupt(name, "the name is not UTF-8"))?;
                // None: renamed or deleted since the name was read.
                users.extend(engine.user_by_name(name)?);
                Ok(users.len() < page_len(limit))
            })?;
            Ok(users)
        })
        .await
    }

    async fn replace(&self, user: &UserRecord, expected: u64) -> Result<(), StoreError> {
        let change = Change::ReplaceUser {
            user: user.clone(),
            skeleton: user.username.skeleton(),
            expected,
        };
        self.writer.submit(change).await.map(drop)
    }

    async fn delete(&self, id: UserId, expected: u64) -> Result<(), StoreError> {
        self.writer.submit(Change::DeleteUser { id, expected }).await.map(drop)
    }
}

#[async_trait]
impl SessionStore for SledStore {
    async fn open_session(&self, session: &SessionRecord) -> Result<(), StoreError> {
        self.writer.submit(Change::OpenSession(session.clone())).await.map(drop)
    }

    async fn find_session(&self, user: UserId, id: SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.engine.get(Tree::Sessions, &session_key(user, id))
    }

    async fn list_sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.scan(move |engine| {
            let first = session_key(user, SessionId::from_bytes([0; 16]));
            let last = session_key(user, SessionId::from_bytes([0xFF; 16]));
            let after = after.map(|id| session_key(user, id));
            let start = after
                .as_ref()
                .map_or(Bound::Included(&first[..]), |key| Bound::Excluded(&key[..]));
            page(
                engine,
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
        self.scan(move |engine| {
            let after = after.map(|(user, id)| session_key(user, id));
            let start = past(after.as_ref().map(|key| &key[..]));
            page(
                engine,
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
        self.writer
            .submit(Change::ReplaceSession {
                session: session.clone(),
                expected,
            })
            .await
            .map(drop)
    }

    async fn end_session(&self, user: UserId, id: SessionId) -> Result<bool, StoreError> {
        self.writer
            .submit(Change::EndSession { user, id })
            .await
            .map(|ended| ended > 0)
    }

    async fn sweep_sessions(&self, dead: &[(UserId, SessionId, u32)]) -> Result<usize, StoreError> {
        self.writer.submit(Change::SweepSessions(dead.to_vec())).await
    }
}

#[async_trait]
impl KeyStore for SledStore {
    async fn load_keys(&self) -> Result<Option<KeyringRecord>, StoreError> {
        self.engine.get(Tree::Keys, KEYRING)
    }

    async fn replace_keys(&self, keys: &KeyringRecord, expected: Option<u64>) -> Result<(), StoreError> {
        self.writer
            .submit(Change::ReplaceKeys {
                keys: keys.clone(),
                expected,
            })
            .await
            .map(drop)
    }
}

#[async_trait]
impl AuditLog for SledStore {
    async fn append_event(&self, event: &AuditEvent) -> Result<(), StoreError> {
        self.writer.submit(Change::AppendEvent(event.clone())).await.map(drop)
    }

    async fn list_events(
        &self,
        filter: &AuditFilter,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let filter = *filter;
        self.scan(move |engine| {
            let end = past(before.as_ref().map(|id| &id.as_bytes()[..]));
            page(
                engine,
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
            .scan(move |engine| {
                let all = (Bound::Unbounded, Bound::Unbounded);
                let events: Vec<AuditEvent> = page(engine, Tree::Audit, all, false, limit, |_| true)?;
                let mut guesses = Vec::new();
                engine.scan(Tree::Guesses, all, false, |key, ()| {
                    let id = key
                        .try_into()
                        .map_err(|_| Tree::Guesses.corrupt(key, "the key is not an id"))?;
                    guesses.push(EventId::from_bytes(id));
                    Ok(guesses.len() < limit)
                })?;
                let oldest = events.iter().map(|event| (event.id, event.at)).collect();
                Ok((oldest, guesses))
            })
            .await?;
        self.writer
            .submit(Change::TrimEvents(Trim {
                oldest,
                guesses,
                older_than,
                keep,
                limit,
            }))
            .await
    }
}

#[async_trait]
impl FailureStore for SledStore {
    async fn failures(&self, user: UserId) -> Result<Option<Failures>, StoreError> {
        self.engine.get(Tree::Failures, user.as_bytes())
    }

    async fn put_failures(&self, counts: &[(UserId, Option<Failures>)]) -> Result<(), StoreError> {
        self.writer.submit(Change::PutFailures(counts.to_vec())).await.map(drop)
    }
}

#[async_trait]
impl SnapshotStore for SledStore {
    async fn snapshot(&self, sections: Sections) -> Result<Box<dyn Snapshot>, StoreError> {
        let copies = self.writer.copy(snapshot::trees(sections), &self.dir).await?;
        Ok(Box::new(SledSnapshot::new(copies)))
    }
}

#[async_trait]
impl VerifyStore for SledStore {
    async fn verify(&self, progress: Progress) -> Result<Verification, StoreError> {
        let copies = self.writer.copy(Tree::ALL.to_vec(), &self.dir).await?;
        self.scan(move |_| verify::verify(copies, progress)).await
    }
}

#[async_trait]
impl Store for SledStore {
    async fn check(&self) -> Result<(), StoreError> {
        let number = self.probe.fetch_add(1, Ordering::Relaxed);
        self.writer.submit(Change::Probe(number)).await?;
        // Another check may have written since: that there is a sound record is what counts.
        match self.engine.get::<u64>(Tree::Meta, meta::PROBE)? {
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
