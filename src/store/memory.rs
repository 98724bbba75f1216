//! Everything in memory: for tests and for trying things out.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use async_trait::async_trait;

use crate::audit::{AuditEvent, AuditFilter, GUESSES_SHARE};
use crate::clock::Timestamp;
use crate::session::SessionRecord;
use crate::store::{
    AuditLog, Conflict, Counts, FailureStore, KeyStore, MAX_PAGE, Progress, Sections, SessionStore, Snapshot,
    SnapshotStore, Store, StoreError, UserStore, Verification, VerifyStore, page_len,
};
use crate::throttle::Failures;
use crate::token::keyring::KeyringRecord;
use crate::user::{EventId, SessionId, UserId, UserRecord, Username};

/// Keeps everything in memory, for as long as it lives.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    users: BTreeMap<UserId, Arc<UserRecord>>,
    usernames: BTreeMap<String, UserId>,
    skeletons: BTreeMap<String, UserId>,
    sessions: BTreeMap<(UserId, SessionId), Arc<SessionRecord>>,
    failures: BTreeMap<UserId, Failures>,
    keys: Option<KeyringRecord>,
    events: BTreeMap<EventId, AuditEvent>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state, to read. No panic leaves it half changed: every change looks before it writes.
    fn read(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to change.
    fn write(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.read();
        if state.closed {
            Err(StoreError::Unavailable("the store is closed".to_owned()))
        } else {
            Ok(state)
        }
    }
}

impl State {
    /// The user, provided that it has this version.
    fn current(&self, id: UserId, expected: u64) -> Result<&UserRecord, StoreError> {
        self.users
            .get(&id)
            .map(|user| &**user)
            .filter(|user| user.version == expected)
            .ok_or(StoreError::Stale)
    }

    /// Refuses to take the last enabled admin away.
    fn check_admins(&self, old: &UserRecord, new: Option<&UserRecord>) -> Result<(), StoreError> {
        let lost = old.is_enabled_admin() && !new.is_some_and(UserRecord::is_enabled_admin);
        let others = || {
            self.users
                .values()
                .any(|user| user.id != old.id && user.is_enabled_admin())
        };
        if lost && !others() {
            Err(StoreError::LastAdmin)
        } else {
            Ok(())
        }
    }

    /// Refuses a name, or one that looks like it, of somebody other than `id`.
    fn check_name(&self, name: &Username, id: UserId) -> Result<(), StoreError> {
        let taken = |owner: Option<&UserId>| owner.is_some_and(|owner| *owner != id);
        if taken(self.usernames.get(name.as_str())) {
            Err(StoreError::Conflict(Conflict::Username))
        } else if taken(self.skeletons.get(&name.skeleton())) {
            Err(StoreError::Conflict(Conflict::Confusable))
        } else {
            Ok(())
        }
    }

    fn verify(&self) -> Verification {
        let mut found = Verification::default();
        let number = |count: usize| count as u64;
        let nobody = |user: &UserId| !self.users.contains_key(user);
        found.counts = Counts {
            users: number(self.users.len()),
            enabled_admins: number(self.users.values().filter(|user| user.is_enabled_admin()).count()),
            sessions: number(self.sessions.len()),
            sessions_of_nobody: number(self.sessions.keys().filter(|(user, _)| nobody(user)).count()),
            failures: number(self.failures.len()),
            failures_of_nobody: number(self.failures.keys().filter(|user| nobody(user)).count()),
            events: number(self.events.len()),
        };
        let mut expected = [("usernames", BTreeMap::new()), ("skeletons", BTreeMap::new())];
        for user in self.users.values() {
            expected[0].1.insert(user.username.as_str().to_owned(), user.id);
            expected[1].1.insert(user.username.skeleton(), user.id);
        }
        for ((tree, expected), index) in expected.iter().zip([&self.usernames, &self.skeletons]) {
            if expected != index {
                found.found(*tree, "they do not lead to the users whose they are");
            }
        }
        found
    }

    /// Removes these events; how many they are.
    fn remove_events(&mut self, doomed: Vec<EventId>) -> usize {
        for id in &doomed {
            self.events.remove(id);
        }
        doomed.len()
    }

    /// Refuses events whose ids are taken.
    fn check_events(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        if events.iter().any(|event| self.events.contains_key(&event.id)) {
            Err(StoreError::Conflict(Conflict::Id))
        } else {
            Ok(())
        }
    }

    fn put_events(&mut self, events: &[AuditEvent]) {
        self.events.extend(events.iter().map(|event| (event.id, event.clone())));
    }

    fn put_user(&mut self, user: &UserRecord) {
        self.usernames.insert(user.username.as_str().to_owned(), user.id);
        self.skeletons.insert(user.username.skeleton(), user.id);
        self.users.insert(user.id, Arc::new(user.clone()));
    }

    fn remove_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.usernames.remove(user.username.as_str());
            self.skeletons.remove(&user.username.skeleton());
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        f.debug_struct("MemoryStore")
            .field("users", &state.users.len())
            .field("sessions", &state.sessions.len())
            .field("events", &state.events.len())
            .finish_non_exhaustive()
    }
}

/// All keys greater than `key`, or all there are.
fn past<K>(key: Option<K>) -> (Bound<K>, Bound<K>) {
    (key.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[async_trait]
impl UserStore for MemoryStore {
    async fn create(&self, user: &UserRecord, events: &[AuditEvent]) -> Result<(), StoreError> {
        let mut state = self.write()?;
        if state.users.contains_key(&user.id) {
            return Err(StoreError::Conflict(Conflict::Id));
        }
        state.check_name(&user.username, user.id)?;
        state.check_events(events)?;
        state.put_user(user);
        state.put_events(events);
        Ok(())
    }

    async fn find(&self, id: UserId) -> Result<Option<Arc<UserRecord>>, StoreError> {
        Ok(self.read().users.get(&id).cloned())
    }

    async fn find_by_username(&self, name: &Username) -> Result<Option<Arc<UserRecord>>, StoreError> {
        let state = self.read();
        Ok(state
            .usernames
            .get(name.as_str())
            .and_then(|id| state.users.get(id))
            .cloned())
    }

    async fn list(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserRecord>, StoreError> {
        Ok(self
            .read()
            .users
            .range(past(after))
            .take(page_len(limit))
            .map(|(_, user)| UserRecord::clone(user))
            .collect())
    }

    async fn list_by_username(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UserRecord>, StoreError> {
        let state = self.read();
        let start = after
            .filter(|after| *after >= prefix)
            .map_or(Bound::Included(prefix), Bound::Excluded);
        Ok(state
            .usernames
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter_map(|(_, id)| state.users.get(id))
            .take(page_len(limit))
            .map(|user| UserRecord::clone(user))
            .collect())
    }

    async fn replace(&self, user: &UserRecord, expected: u64, events: &[AuditEvent]) -> Result<(), StoreError> {
        let mut state = self.write()?;
        let old = state.current(user.id, expected)?;
        state.check_name(&user.username, user.id)?;
        state.check_admins(old, Some(user))?;
        state.check_events(events)?;
        state.remove_user(user.id);
        state.put_user(user);
        state.put_events(events);
        Ok(())
    }

    async fn delete(&self, id: UserId, expected: u64, events: &[AuditEvent]) -> Result<(), StoreError> {
        let mut state = self.write()?;
        let old = state.current(id, expected)?;
        state.check_admins(old, None)?;
        state.check_events(events)?;
        state.remove_user(id);
        state.failures.remove(&id);
        state.put_events(events);
        Ok(())
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn open_session(&self, session: &SessionRecord, events: &[AuditEvent]) -> Result<(), StoreError> {
        let mut state = self.write()?;
        let key = (session.user_id, session.id);
        if state.sessions.contains_key(&key) {
            return Err(StoreError::Conflict(Conflict::Id));
        }
        state.check_events(events)?;
        state.sessions.insert(key, Arc::new(session.clone()));
        state.put_events(events);
        Ok(())
    }

    async fn find_session(&self, user: UserId, id: SessionId) -> Result<Option<Arc<SessionRecord>>, StoreError> {
        Ok(self.read().sessions.get(&(user, id)).cloned())
    }

    async fn list_sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let first = SessionId::from_bytes([0; 16]);
        let start = after.map_or(Bound::Included((user, first)), |id| Bound::Excluded((user, id)));
        Ok(self
            .read()
            .sessions
            .range((start, Bound::Unbounded))
            .take_while(|((owner, _), _)| *owner == user)
            .take(page_len(limit))
            .map(|(_, session)| SessionRecord::clone(session))
            .collect())
    }

    async fn scan_sessions(
        &self,
        after: Option<(UserId, SessionId)>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        Ok(self
            .read()
            .sessions
            .range(past(after))
            .take(page_len(limit))
            .map(|(_, session)| SessionRecord::clone(session))
            .collect())
    }

    async fn replace_session(&self, session: &SessionRecord, expected: u32) -> Result<(), StoreError> {
        let mut state = self.write()?;
        match state.sessions.get_mut(&(session.user_id, session.id)) {
            Some(old) if old.revision == expected => {
                *old = Arc::new(session.clone());
                Ok(())
            }
            _ => Err(StoreError::Stale),
        }
    }

    async fn end_session(&self, user: UserId, id: SessionId, events: &[AuditEvent]) -> Result<bool, StoreError> {
        let mut state = self.write()?;
        state.check_events(events)?;
        let ended = state.sessions.remove(&(user, id)).is_some();
        if ended {
            state.put_events(events);
        }
        Ok(ended)
    }

    async fn sweep_sessions(&self, dead: &[(UserId, SessionId, u32)]) -> Result<usize, StoreError> {
        let mut state = self.write()?;
        let before = state.sessions.len();
        for &(user, id, revision) in dead {
            if state
                .sessions
                .get(&(user, id))
                .is_some_and(|session| session.revision == revision)
            {
                state.sessions.remove(&(user, id));
            }
        }
        Ok(before - state.sessions.len())
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn load_keys(&self) -> Result<Option<KeyringRecord>, StoreError> {
        Ok(self.read().keys.clone())
    }

    async fn replace_keys(
        &self,
        keys: &KeyringRecord,
        expected: Option<u64>,
        events: &[AuditEvent],
    ) -> Result<(), StoreError> {
        let mut state = self.write()?;
        if state.keys.as_ref().map(|keys| keys.revision) != expected {
            return Err(StoreError::Stale);
        }
        state.check_events(events)?;
        state.keys = Some(keys.clone());
        state.put_events(events);
        Ok(())
    }
}

#[async_trait]
impl AuditLog for MemoryStore {
    async fn append_event(&self, event: &AuditEvent) -> Result<(), StoreError> {
        let events = std::slice::from_ref(event);
        let mut state = self.write()?;
        state.check_events(events)?;
        state.put_events(events);
        Ok(())
    }

    async fn list_events(
        &self,
        filter: &AuditFilter,
        before: Option<EventId>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .read()
            .events
            .range((Bound::Unbounded, end))
            .rev()
            .map(|(_, event)| event)
            .filter(|event| filter.admits(event))
            .take(page_len(limit))
            .cloned()
            .collect())
    }

    async fn trim_events(&self, older_than: Timestamp, keep: usize, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.write()?;
        let limit = limit.min(MAX_PAGE);
        let old = state.events.values().take(limit).filter(|event| event.at < older_than);
        let old: Vec<EventId> = old.map(|event| event.id).collect();
        let mut removed = state.remove_events(old);
        let over = state.events.len().saturating_sub(keep);
        if over > 0 {
            let guesses = state.events.values().filter(|event| event.kind.is_guess());
            let beyond = guesses.clone().count().saturating_sub(keep / GUESSES_SHARE).min(over);
            let first = guesses
                .take(beyond.min(limit - removed))
                .map(|event| event.id)
                .collect();
            removed += state.remove_events(first);
            let rest = (over - beyond).min(limit - removed);
            let first = state.events.keys().take(rest).copied().collect();
            removed += state.remove_events(first);
        }
        Ok(removed)
    }
}

#[async_trait]
impl FailureStore for MemoryStore {
    async fn failures(&self, user: UserId) -> Result<Option<Failures>, StoreError> {
        Ok(self.read().failures.get(&user).copied())
    }

    async fn put_failures(&self, counts: &[(UserId, Option<Failures>)]) -> Result<(), StoreError> {
        let mut state = self.write()?;
        for (user, failures) in counts {
            match failures {
                Some(failures) if state.users.contains_key(user) => {
                    state.failures.insert(*user, *failures);
                }
                Some(_) => {}
                None => {
                    state.failures.remove(user);
                }
            }
        }
        Ok(())
    }
}

/// A copy of the records that were asked for.
struct MemorySnapshot {
    users: vec::IntoIter<UserRecord>,
    sessions: vec::IntoIter<SessionRecord>,
    events: vec::IntoIter<AuditEvent>,
}

/// Copies of these records, or none of them.
fn copies<K, T: Clone>(records: &BTreeMap<K, impl Borrow<T>>, wanted: bool) -> vec::IntoIter<T> {
    let wanted = if wanted { usize::MAX } else { 0 };
    let copies: Vec<T> = records
        .values()
        .take(wanted)
        .map(|record| record.borrow().clone())
        .collect();
    copies.into_iter()
}

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn snapshot(&self, sections: Sections) -> Result<Box<dyn Snapshot>, StoreError> {
        let state = self.read();
        Ok(Box::new(MemorySnapshot {
            users: copies(&state.users, true),
            sessions: copies(&state.sessions, sections.sessions),
            events: copies(&state.events, sections.events),
        }))
    }
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    async fn next_users(&mut self) -> Result<Vec<UserRecord>, StoreError> {
        Ok(self.users.by_ref().take(MAX_PAGE).collect())
    }

    async fn next_sessions(&mut self) -> Result<Vec<SessionRecord>, StoreError> {
        Ok(self.sessions.by_ref().take(MAX_PAGE).collect())
    }

    async fn next_events(&mut self) -> Result<Vec<AuditEvent>, StoreError> {
        Ok(self.events.by_ref().take(MAX_PAGE).collect())
    }
}

#[async_trait]
impl VerifyStore for MemoryStore {
    async fn verify(&self, progress: Progress) -> Result<Verification, StoreError> {
        let found = self.read().verify();
        let records = found.counts.users + found.counts.sessions + found.counts.failures + found.counts.events;
        progress(records, records);
        Ok(found)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn check(&self) -> Result<(), StoreError> {
        self.write().map(drop)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.read().closed = true;
        Ok(())
    }
}
