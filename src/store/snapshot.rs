//! Everything as it was at one moment, while changes go on: what an export is made of.

use async_trait::async_trait;

use super::StoreError;
use crate::audit::AuditEvent;
use crate::session::SessionRecord;
use crate::user::UserRecord;

/// What a snapshot has besides the users, whom it always has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// The sessions, whether alive or not.
    pub sessions: bool,
    /// The audit log.
    pub events: bool,
}

/// Snapshots of a store.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Everything as it is at one moment between this call and its return. What was acknowledged before the call is in it;
    /// of a change that is under way, either all or nothing is; what is changed later does not show.
    ///
    /// Changes may have to wait while it is taken, but not while it is read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn snapshot(&self, sections: Sections) -> Result<Box<dyn Snapshot>, StoreError>;

    /// A number that is another one once anything that is kept has changed, also after a restart; `None` if there is no
    /// saying. Probes by [`Store::check`](super::Store::check) are no change.
    fn changes(&self) -> Option<u64> {
        None
    }
}

/// A snapshot, read from its beginning to its end in memory that does not grow with the store. Unlike everything else that
/// a store gives out, it is held open between calls, and lets go of what it holds when it is dropped.
#[async_trait]
pub trait Snapshot: Send {
    /// The next users, at most [`MAX_PAGE`](super::MAX_PAGE), in order of id. Empty at the end, and from there on.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`]. After one, what comes next is not defined.
    async fn next_users(&mut self) -> Result<Vec<UserRecord>, StoreError>;

    /// The next sessions, at most [`MAX_PAGE`](super::MAX_PAGE), in order of user id and session id. Empty at the end, and
    /// if they were not asked for.
    ///
    /// # Errors
    /// As [`Snapshot::next_users`].
    async fn next_sessions(&mut self) -> Result<Vec<SessionRecord>, StoreError>;

    /// The next events, at most [`MAX_PAGE`](super::MAX_PAGE), in order of id, so the oldest first. Empty at the end, and
    /// if they were not asked for.
    ///
    /// # Errors
    /// As [`Snapshot::next_users`].
    async fn next_events(&mut self) -> Result<Vec<AuditEvent>, StoreError>;
}
