//! A store that can be cut off: then it neither reads nor writes, as when its disk or its server is gone. And one call of it
//! can go wrong in other ways.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shild::audit::{AuditEvent, AuditFilter};
use shild::clock::Timestamp;
use shild::session::SessionRecord;
use shild::store::{
    AuditLog, FailureStore, KeyStore, MemoryStore, Progress, Sections, SessionStore, Snapshot, SnapshotStore, Store,
    StoreError, UserStore, Verification, VerifyStore,
};
use shild::throttle::Failures;
use shild::token::keyring::KeyringRecord;
use shild::user::{EventId, SessionId, UserId, UserRecord, Username};

#[derive(Debug)]
pub(crate) struct Unreliable {
    store: Arc<MemoryStore>,
    outage: Arc<AtomicBool>,
    next: Arc<Mutex<Option<Fault>>>,
}

/// What becomes of the next call of this name.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It finds that the record is damaged.
    Damage(&'static str),
    /// It never ends.
    Hang(&'static str),
    /// It does nothing until it is polled once more.
    Pause(&'static str),
}

impl Unreliable {
    /// The store, for as long as `outage` is false, but for the `next` call that there is a fault for.
    pub(crate) const fn over(
        store: Arc<MemoryStore>,
        outage: Arc<AtomicBool>,
        next: Arc<Mutex<Option<Fault>>>,
    ) -> Self {
        Self { store, outage, next }
    }

    async fn strike(&self, name: &str) -> Result<(), StoreError> {
        if self.outage.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("it has been cut off".to_owned()));
        }
        let fault = self
            .next
            .lock()
            .unwrap()
            .take_if(|(Fault::Damage(of) | Fault::Hang(of) | Fault::Pause(of))| *of == name);
        match fault {
            Some(Fault::Damage(_)) => Err(StoreError::Corrupt {
                record: name.to_owned(),
                detail: "as the test has it".to_owned(),
            }),
            Some(Fault::Hang(_)) => std::future::pending().await,
            Some(Fault::Pause(_)) => {
                tokio::task::yield_now().await;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

macro_rules! while_it_lasts {
    ($($part:ident { $(fn $name:ident($($given:ident: $kind:ty),*) -> $gives:ty;)* })*) => {
        $(#[async_trait]
        impl $part for Unreliable {
            $(async fn $name(&self, $($given: $kind),*) -> Result<$gives, StoreError> {
                self.strike(stringify!($name)).await?;
                $part::$name(&*self.store, $($given),*).await
            })*
        })*
    };
}

while_it_lasts! {
    UserStore {
        fn create(user: &UserRecord, events: &[AuditEvent]) -> ();
        fn find(id: UserId) -> Option<Arc<UserRecord>>;
        fn find_by_username(name: &Username) -> Option<Arc<UserRecord>>;
        fn list(after: Option<UserId>, limit: usize) -> Vec<UserRecord>;
        fn list_by_username(prefix: &str, after: Option<&str>, limit: usize) -> Vec<UserRecord>;
        fn replace(user: &UserRecord, expected: u64, events: &[AuditEvent]) -> ();
        fn delete(id: UserId, expected: u64, events: &[AuditEvent]) -> ();
    }
    SessionStore {
        fn open_session(session: &SessionRecord, events: &[AuditEvent]) -> ();
        fn find_session(user: UserId, id: SessionId) -> Option<Arc<SessionRecord>>;
        fn list_sessions(user: UserId, after: Option<SessionId>, limit: usize) -> Vec<SessionRecord>;
        fn scan_sessions(after: Option<(UserId, SessionId)>, limit: usize) -> Vec<SessionRecord>;
        fn replace_session(session: &SessionRecord, expected: u32) -> ();
        fn end_session(user: UserId, id: SessionId, events: &[AuditEvent]) -> bool;
        fn sweep_sessions(dead: &[(UserId, SessionId, u32)]) -> usize;
    }
    KeyStore {
        fn load_keys() -> Option<KeyringRecord>;
        fn replace_keys(keys: &KeyringRecord, expected: Option<u64>, events: &[AuditEvent]) -> ();
    }
    AuditLog {
        fn append_event(event: &AuditEvent) -> ();
        fn list_events(filter: &AuditFilter, before: Option<EventId>, limit: usize) -> Vec<AuditEvent>;
        fn trim_events(older_than: Timestamp, keep: usize, limit: usize) -> usize;
    }
    FailureStore {
        fn failures(user: UserId) -> Option<Failures>;
        fn put_failures(counts: &[(UserId, Option<Failures>)]) -> ();
    }
    SnapshotStore {
        fn snapshot(sections: Sections) -> Box<dyn Snapshot>;
    }
    VerifyStore {
        fn verify(progress: Progress) -> Verification;
    }
    Store {
        fn check() -> ();
        fn close() -> ();
    }
}
