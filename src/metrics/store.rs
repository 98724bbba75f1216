//! A store whose changes are counted and timed, whichever it is.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::Metrics;
use crate::audit::{AuditEvent, AuditFilter};
use crate::clock::Timestamp;
use crate::session::SessionRecord;
use crate::store::{
    AuditLog, FailureStore, KeyStore, Progress, Sections, SessionStore, Snapshot, SnapshotStore, Store, StoreError,
    UserStore, Verification, VerifyStore,
};
use crate::throttle::Failures;
use crate::token::keyring::KeyringRecord;
use crate::user::{EventId, SessionId, UserId, UserRecord, Username};

/// A store, as seen by the rest of the program.
///
/// Every method of every trait goes through, those with a default of their own too: a new one is to be added below.
pub(crate) struct Metered {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl Metered {
    pub(crate) const fn over(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

macro_rules! passed_on {
    ($($part:ident {
        $(read $read:ident($($asked:ident: $question:ty),*) -> $finds:ty;)*
        $(change $change:ident($($given:ident: $kind:ty),*) -> $gives:ty;)*
    })*) => {
        $(#[async_trait]
        impl $part for Metered {
            $(async fn $read(&self, $($asked: $question),*) -> Result<$finds, StoreError> {
                self.store.$read($($asked),*).await
            })*

            $(async fn $change(&self, $($given: $kind),*) -> Result<$gives, StoreError> {
                let began = Instant::now();
                let result = self.store.$change($($given),*).await;
                let failed = matches!(result, Err(StoreError::Unavailable(_) | StoreError::Corrupt { .. }));
                self.metrics.changed(stringify!($change), began.elapsed(), failed);
                result
            })*
        })*
    };
}

#[async_trait]
impl SnapshotStore for Metered {
    async fn snapshot(&self, sections: Sections) -> Result<Box<dyn Snapshot>, StoreError> {
        self.store.snapshot(sections).await
    }

    fn changes(&self) -> Option<u64> {
        self.store.changes()
    }
}

passed_on! {
    UserStore {
        read find(id: UserId) -> Option<Arc<UserRecord>>;
        read find_by_username(name: &Username) -> Option<Arc<UserRecord>>;
        read list(after: Option<UserId>, limit: usize) -> Vec<UserRecord>;
        read list_by_username(prefix: &str, after: Option<&str>, limit: usize) -> Vec<UserRecord>;
        change create(user: &UserRecord, events: &[AuditEvent]) -> ();
        change replace(user: &UserRecord, expected: u64, events: &[AuditEvent]) -> ();
        change delete(id: UserId, expected: u64, events: &[AuditEvent]) -> ();
    }
    SessionStore {
        read find_session(user: UserId, id: SessionId) -> Option<Arc<SessionRecord>>;
        read list_sessions(user: UserId, after: Option<SessionId>, limit: usize) -> Vec<SessionRecord>;
        read scan_sessions(after: Option<(UserId, SessionId)>, limit: usize) -> Vec<SessionRecord>;
        change open_session(session: &SessionRecord, events: &[AuditEvent]) -> ();
        change replace_session(session: &SessionRecord, expected: u32) -> ();
        change end_session(user: UserId, id: SessionId, events: &[AuditEvent]) -> bool;
        change sweep_sessions(dead: &[(UserId, SessionId, u32)]) -> usize;
    }
    KeyStore {
        read load_keys() -> Option<KeyringRecord>;
        change replace_keys(keys: &KeyringRecord, expected: Option<u64>, events: &[AuditEvent]) -> ();
    }
    AuditLog {
        read list_events(filter: &AuditFilter, before: Option<EventId>, limit: usize) -> Vec<AuditEvent>;
        change append_event(event: &AuditEvent) -> ();
        change trim_events(older_than: Timestamp, keep: usize, limit: usize) -> usize;
    }
    FailureStore {
        read failures(user: UserId) -> Option<Failures>;
        change put_failures(counts: &[(UserId, Option<Failures>)]) -> ();
    }
    VerifyStore {
        read verify(progress: Progress) -> Verification;
    }
    Store {
        read close() -> ();
        change check() -> ();
    }
}
