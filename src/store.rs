//! What shild keeps, and the contract of whoever keeps it.
//!
//! # The contract
//! A store implements [`UserStore`], [`SessionStore`], [`KeyStore`], [`AuditLog`], [`FailureStore`],
//! [`SnapshotStore`], [`VerifyStore`] and [`Store`]. Of every method this holds:
//! - **Atomic.** A change is made whole or not at all. [`StoreError::Conflict`], [`StoreError::Stale`] and
//!   [`StoreError::LastAdmin`] mean that nothing was changed; [`StoreError::Unavailable`] that the change may
//!   have been made or not, but never a part of it.
//! - **Audited.** The events that a change is given are written with it, in one, if it is made, and not if it is refused. One whose
//!   id is taken is [`Conflict::Id`], and the change is not made.
//! - **Durable.** When a change is acknowledged with `Ok`, it outlives a crash and a power cut, as
//!   far as the store claims to keep anything.
//! - **Linearizable.** What was acknowledged is seen by every call that begins later.
//! - **Absence is `None`, damage is not absence.** A record that cannot be read is
//!   [`StoreError::Corrupt`].
//! - **Whole, whoever waits.** A future that is dropped leaves its change made or not, never in part.
//! - **Records refer to nobody.** Sessions, events and counts of failures may name users who do not exist (any more), and stay when a
//!   user is deleted, but for the counts: no foreign keys.
//! - What is found is shared, so that a store may hand out again what it has in memory.
//! - Nothing but a [`Snapshot`] is borrowed or held open between two calls, so a database server can be behind it: of one
//!   [`Shild`](crate::Shild) at a time, for that keeps the signing keys and the counts of failures in memory as well.
//!
//! # Keeping records
//! Every record and every type in one implements serde's traits, and comes back from them as it was: a store that keeps them by
//! serde has nothing else to think of. One with columns keeps what a type's `Serialize` gives, and reads it by its `Deserialize`:
//! `Username::parse` and `PasswordHash::parse` are for what people and other programs give. A set of scopes may be empty; times have
//! milliseconds.
//!
//! [`conformance`] is the contract as a test suite that any store can be held to.

pub mod conformance;
mod embedded;
pub mod memory;
#[cfg(feature = "redb")]
pub mod redb;
pub mod sled;
mod snapshot;
mod verify;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::audit::{AuditEvent, AuditFilter};
use crate::clock::Timestamp;
use crate::session::SessionRecord;
use crate::throttle::Failures;
use crate::token::keyring::KeyringRecord;
use crate::user::{EventId, SessionId, UserId, UserRecord, Username};

pub use self::embedded::EmbeddedStore;
pub(crate) use self::embedded::{files, is_open, lock};
pub use self::memory::MemoryStore;
#[cfg(feature = "redb")]
pub use self::redb::RedbStore;
pub use self::sled::SledStore;
pub use self::snapshot::{Sections, Snapshot, SnapshotStore};
pub use self::verify::{Counts, Finding, MAX_FINDINGS, Progress, Verification, VerifyStore};

/// The most items that one page of any list may be asked for.
pub const MAX_PAGE: usize = 1000;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another record has what must be unique. Nothing was changed.
    #[error("{0}")]
    Conflict(Conflict),
    /// The record is not, or no longer, the one that the change was made for. Nothing was changed.
    #[error("the record has been changed or deleted since it was read")]
    Stale,
    /// The change would leave no enabled user with the scope `admin`. Nothing was changed.
    #[error("this is the last enabled user with the scope admin")]
    LastAdmin,
    /// A record is there but damaged.
    #[error("damaged record {record}: {detail}")]
    Corrupt {
        /// Which record, by tree and key.
        record: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The store could not be reached, read or written. The change may have been made or not, but
    /// never a part of it.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// What is taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// A user with this id exists.
    #[error("the id is taken")]
    Id,
    /// A user with this name exists.
    #[error("the username is taken")]
    Username,
    /// A user exists whose name looks the same (UTS 39 skeleton).
    #[error("the username looks like one that is taken")]
    Confusable,
}

/// Users. `id`, `username` and [`Username::skeleton`] are each unique.
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// Adds a user.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if id, name or skeleton is taken, in this order of precedence.
    async fn create(&self, user: &UserRecord, events: &[AuditEvent]) -> Result<(), StoreError>;

    /// The user with this id.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn find(&self, id: UserId) -> Result<Option<Arc<UserRecord>>, StoreError>;

    /// The user with this name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], also when the name leads to no user; [`StoreError::Unavailable`].
    async fn find_by_username(&self, name: &Username) -> Result<Option<Arc<UserRecord>>, StoreError>;

    /// At most `limit` (clamped to 1..=[`MAX_PAGE`]) users with an id greater than `after`, in order of id.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn list(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserRecord>, StoreError>;

    /// At most `limit` (clamped to 1..=[`MAX_PAGE`]) users whose names begin with `prefix`, letter by letter, and are greater
    /// than `after`, in order of the names' UTF-8 bytes. Names may have `%` and `_` in them, which mean nothing here (SQL's `LIKE`
    /// wants them escaped).
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn list_by_username(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UserRecord>, StoreError>;

    /// Puts `user` in place of the record with the same id, provided that its version is
    /// `expected`; moves the name if it changed.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if there is none or its version is another; [`StoreError::Conflict`] if the new
    /// name is taken by somebody else (the user's own old name and skeleton are no conflict);
    /// [`StoreError::LastAdmin`] if the record was of an enabled admin ([`UserRecord::is_enabled_admin`]),
    /// `user` is none, and no other user is one.
    async fn replace(&self, user: &UserRecord, expected: u64, events: &[AuditEvent]) -> Result<(), StoreError>;

    /// Deletes the user, with its name and its failure count, provided that its version is
    /// `expected`. Its name is free for somebody else at once; its id is not given to a new user, but
    /// an import may bring the old one back. Its sessions stay: without a user they are dead.
    ///
    /// # Errors
    /// [`StoreError::Stale`], [`StoreError::LastAdmin`] as in [`UserStore::replace`].
    async fn delete(&self, id: UserId, expected: u64, events: &[AuditEvent]) -> Result<(), StoreError>;
}

/// Sessions: one for each sign-in, named by user and session id.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Adds a session.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] ([`Conflict::Id`]) if it exists.
    async fn open_session(&self, session: &SessionRecord, events: &[AuditEvent]) -> Result<(), StoreError>;

    /// The session with this id of this user, whether alive or not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn find_session(&self, user: UserId, id: SessionId) -> Result<Option<Arc<SessionRecord>>, StoreError>;

    /// At most `limit` (clamped to 1..=[`MAX_PAGE`]) sessions of this user with an id greater than `after`,
    /// in order of id, whether alive or not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn list_sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError>;

    /// At most `limit` (clamped to 1..=[`MAX_PAGE`]) sessions of all users past `after`, in order of user id
    /// and session id, whether alive or not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn scan_sessions(
        &self,
        after: Option<(UserId, SessionId)>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError>;

    /// Puts `session` in place of the one with the same user and id, provided that its revision is
    /// `expected`.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if there is none or its revision is another.
    async fn replace_session(&self, session: &SessionRecord, expected: u32) -> Result<(), StoreError>;

    /// Ends a session by deleting it. `false` if there was none, and then no event is written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn end_session(&self, user: UserId, id: SessionId, events: &[AuditEvent]) -> Result<bool, StoreError>;

    /// Deletes those of these sessions that still have the revision named, in one change; the
    /// number deleted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn sweep_sessions(&self, dead: &[(UserId, SessionId, u32)]) -> Result<usize, StoreError>;
}

/// The signing keys, sealed; all of them are one record.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The keys; `None` before the first start.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn load_keys(&self) -> Result<Option<KeyringRecord>, StoreError>;

    /// Puts `keys` in place of the record with revision `expected`, or makes the first one
    /// (`None`).
    ///
    /// # Errors
    /// [`StoreError::Stale`] if the record there is has another revision, or there is one and none was expected.
    async fn replace_keys(
        &self,
        keys: &KeyringRecord,
        expected: Option<u64>,
        events: &[AuditEvent],
    ) -> Result<(), StoreError>;
}

/// Who did what to whom, when, and from where. Newest first.
#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Adds an event that no change goes with.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] ([`Conflict::Id`]) if there is one with its id; [`StoreError::Unavailable`].
    async fn append_event(&self, event: &AuditEvent) -> Result<(), StoreError>;

    /// At most `limit` (clamped to 1..=[`MAX_PAGE`]) events older than `before` that pass the filter, newest
    /// first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn list_events(
        &self,
        filter: &AuditFilter,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError>;

    /// Deletes at most `limit` events: those older than `older_than`, and as many as there are over `keep`. Of those over,
    /// the oldest guesses ([`AuditKind::is_guess`](crate::audit::AuditKind::is_guess)) go first as long as there are more than `keep /`
    /// [`GUESSES_SHARE`](crate::audit::GUESSES_SHARE) of them, then the oldest events of any kind. The number deleted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn trim_events(&self, older_than: Timestamp, keep: usize, limit: usize) -> Result<usize, StoreError>;
}

/// Counts of consecutive failed sign-ins (requirements D4, W9). They outlive a restart.
#[async_trait]
pub trait FailureStore: Send + Sync + 'static {
    /// The count of this user; `None` if there has been no failure since the last success.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`].
    async fn failures(&self, user: UserId) -> Result<Option<Failures>, StoreError>;

    /// Writes these counts, in one change; `None` clears one. A count of a user who does not exist
    /// is passed over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn put_failures(&self, counts: &[(UserId, Option<Failures>)]) -> Result<(), StoreError>;
}

/// Everything shild needs of a store.
#[async_trait]
pub trait Store:
    UserStore + SessionStore + KeyStore + AuditLog + FailureStore + SnapshotStore + VerifyStore + fmt::Debug
{
    /// Whether it can be read and written now, tried by writing and reading.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn check(&self) -> Result<(), StoreError>;

    /// Writes out whatever is not yet written, and takes no change any more: from here on they are
    /// [`StoreError::Unavailable`], [`Store::check`] is, and reads may be. Closing it once more is `Ok`. What was acknowledged is kept
    /// even if this is never called.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn close(&self) -> Result<(), StoreError>;
}

/// `limit` as every list clamps it: 1..=[`MAX_PAGE`].
pub(crate) fn page_len(limit: usize) -> usize {
    limit.clamp(1, MAX_PAGE)
}
