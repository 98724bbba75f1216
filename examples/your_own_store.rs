//! A store of your own, and the suite that holds it to the contract. This one has another do the work and can be closed for
//! maintenance: it is read, and takes no change. `cargo run --example your_own_store`; `cargo test --example your_own_store`.
#![allow(clippy::wildcard_imports, reason = "a store names nearly everything that there is")]

use std::sync::{Arc, atomic::*};

use shild::{audit::*, clock::*, config::*, session::*, store::*, throttle::*, token::keyring::*, user::*};

#[derive(Debug, Default)]
struct Maintained(MemoryStore, AtomicBool);

macro_rules! store {
    ($($part:ident { $($what:ident $name:ident($($given:ident: $kind:ty),*) -> $gives:ty;)* })*) => {
        $(#[async_trait::async_trait] impl $part for Maintained {
            $(async fn $name(&self, $($given: $kind),*) -> Result<$gives, StoreError> {
                if stringify!($what) == "change" && self.1.load(Ordering::SeqCst) {
                    return Err(StoreError::Unavailable("it is being maintained".to_owned()));
                }
                self.0.$name($($given),*).await
            })*
        })*
    };
}

store! {
    UserStore { change create(user: &UserRecord, events: &[AuditEvent]) -> (); read find(id: UserId) -> Option<Arc<UserRecord>>;
        read find_by_username(name: &Username) -> Option<Arc<UserRecord>>; change delete(id: UserId, expected: u64, events: &[AuditEvent]) -> ();
        read list(after: Option<UserId>, limit: usize) -> Vec<UserRecord>; change replace(user: &UserRecord, expected: u64, events: &[AuditEvent]) -> ();
        read list_by_username(prefix: &str, after: Option<&str>, limit: usize) -> Vec<UserRecord>; }
    SessionStore { change open_session(session: &SessionRecord, events: &[AuditEvent]) -> (); change end_session(user: UserId, id: SessionId, events: &[AuditEvent]) -> bool;
        read find_session(user: UserId, id: SessionId) -> Option<Arc<SessionRecord>>;
        read list_sessions(user: UserId, after: Option<SessionId>, limit: usize) -> Vec<SessionRecord>;
        read scan_sessions(after: Option<(UserId, SessionId)>, limit: usize) -> Vec<SessionRecord>;
        change replace_session(session: &SessionRecord, expected: u32) -> ();
        change sweep_sessions(dead: &[(UserId, SessionId, u32)]) -> usize; }
    KeyStore { read load_keys() -> Option<KeyringRecord>; change replace_keys(keys: &KeyringRecord, expected: Option<u64>, events: &[AuditEvent]) -> (); }
    AuditLog { change append_event(event: &AuditEvent) -> (); change trim_events(older: Timestamp, keep: usize, limit: usize) -> usize;
        read list_events(filter: &AuditFilter, before: Option<EventId>, limit: usize) -> Vec<AuditEvent>; }
    FailureStore { read failures(user: UserId) -> Option<Failures>; change put_failures(counts: &[(UserId, Option<Failures>)]) -> (); }
    SnapshotStore { read snapshot(sections: Sections) -> Box<dyn Snapshot>; }
    VerifyStore { read verify(progress: Progress) -> Verification; }
    Store { change check() -> (); read close() -> (); }
}

/// A store that outlives the process wants the same master key at each start: in the settings, or by `Builder::master_key`.
#[rocket::launch]
async fn application() -> _ {
    let shild = shild::Shild::builder(Settings::default()).store(Arc::new(Maintained::default()));
    rocket::build().attach(shild.build().await.expect("it opens").stage())
}

#[cfg(test)]
#[async_trait::async_trait]
impl conformance::Subject for Maintained {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(Self::default())
    }
}

#[cfg(test)]
shild::store_conformance!(contract, Maintained::default());
