//! The changes that the writer makes, each whole or not at all.
//!
//! Each looks at everything before it writes anything, so a refusal has no partial effect on the
//! transaction that it shares with others.

use std::collections::BTreeSet;

use super::record::{KEYRING, Tree, meta};
use super::transaction::{Failure, Transaction};
use crate::audit::{AuditEvent, GUESSES_SHARE};
use crate::clock::Timestamp;
use crate::session::SessionRecord;
use crate::store::{Conflict, StoreError};
use crate::throttle::Failures;
use crate::token::keyring::KeyringRecord;
use crate::user::{EventId, SessionId, UserId, UserRecord};

/// One request to the writer.
pub(super) struct Request {
    pub(super) change: Change,
    /// Written with it, if it is made.
    pub(super) events: Vec<AuditEvent>,
}

impl Request {
    /// How many records it is about; a transaction takes a limited number of them.
    pub(super) fn weight(&self) -> usize {
        self.change.weight() + self.events.len()
    }

    /// Whether it changes anything that anybody is told about.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.change, Change::Probe(_))
    }

    /// Makes the change; the number of records that it deleted, where that is asked for.
    pub(super) fn apply(&self, tx: &Transaction<'_>) -> Result<usize, Failure> {
        let log = Log::read(tx, &self.events)?;
        let done = self.change.apply(tx)?;
        if let Change::EndSession { .. } = self.change
            && done == 0
        {
            return Ok(0);
        }
        log.append(tx, &self.events)?;
        Ok(done)
    }
}

/// What is changed, by whatever name.
pub(super) enum Change {
    CreateUser {
        user: UserRecord,
        skeleton: String,
    },
    ReplaceUser {
        user: UserRecord,
        skeleton: String,
        expected: u64,
    },
    DeleteUser {
        id: UserId,
        expected: u64,
    },
    OpenSession(SessionRecord),
    ReplaceSession {
        session: SessionRecord,
        expected: u32,
    },
    EndSession {
        user: UserId,
        id: SessionId,
    },
    SweepSessions(Vec<(UserId, SessionId, u32)>),
    ReplaceKeys {
        keys: KeyringRecord,
        expected: Option<u64>,
    },
    /// Nothing: for events that no change goes with.
    EventsOnly,
    TrimEvents(Trim),
    PutFailures(Vec<(UserId, Option<Failures>)>),
    Probe(u64),
}

/// What may be trimmed from the audit log, and how far.
pub(super) struct Trim {
    /// The oldest events.
    pub(super) oldest: Vec<(EventId, Timestamp)>,
    /// The oldest guesses.
    pub(super) guesses: Vec<EventId>,
    pub(super) older_than: Timestamp,
    pub(super) keep: usize,
    pub(super) limit: usize,
}

impl Change {
    fn weight(&self) -> usize {
        match self {
            Self::SweepSessions(dead) => dead.len(),
            Self::TrimEvents(trim) => trim.limit,
            Self::PutFailures(counts) => counts.len(),
            Self::EventsOnly => 0,
            _ => 1,
        }
    }

    fn apply(&self, tx: &Transaction<'_>) -> Result<usize, Failure> {
        match self {
            Self::CreateUser { user, skeleton } => create_user(tx, user, skeleton).map(|()| 0),
            Self::ReplaceUser {
                user,
                skeleton,
                expected,
            } => replace_user(tx, user, skeleton, *expected).map(|()| 0),
            Self::DeleteUser { id, expected } => delete_user(tx, *id, *expected).map(|()| 0),
            Self::OpenSession(session) => open_session(tx, session).map(|()| 0),
            Self::ReplaceSession { session, expected } => replace_session(tx, session, *expected).map(|()| 0),
            Self::EndSession { user, id } => tx.remove(Tree::Sessions, &session_key(*user, *id)).map(usize::from),
            Self::SweepSessions(dead) => sweep_sessions(tx, dead),
            Self::ReplaceKeys { keys, expected } => replace_keys(tx, keys, *expected).map(|()| 0),
            Self::EventsOnly => Ok(0),
            Self::TrimEvents(trim) => trim_events(tx, trim),
            Self::PutFailures(counts) => put_failures(tx, counts).map(|()| 0),
            Self::Probe(number) => tx.put(Tree::Meta, meta::PROBE, number).map(|()| 0),
        }
    }
}

/// The key of a session: sessions of one user lie together, in order of their ids.
pub(super) fn session_key(user: UserId, id: SessionId) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(user.as_bytes());
    key[16..].copy_from_slice(id.as_bytes());
    key
}

fn create_user(tx: &Transaction<'_>, user: &UserRecord, skeleton: &str) -> Result<(), Failure> {
    let (id, name) = (user.id.as_bytes(), user.username.as_str().as_bytes());
    for (tree, key, conflict) in [
        (Tree::Users, &id[..], Conflict::Id),
        (Tree::Usernames, name, Conflict::Username),
        (Tree::Skeletons, skeleton.as_bytes(), Conflict::Confusable),
    ] {
        if tx.contains(tree, key)? {
            return Err(StoreError::Conflict(conflict).into());
        }
    }
    let admins = admins_after(tx, None, Some(user))?;
    tx.put(Tree::Users, id, user)?;
    tx.put(Tree::Usernames, name, &user.id)?;
    tx.put(Tree::Skeletons, skeleton.as_bytes(), &user.id)?;
    put_admins(tx, admins)
}

fn replace_user(tx: &Transaction<'_>, user: &UserRecord, skeleton: &str, expected: u64) -> Result<(), Failure> {
    let old = current_user(tx, user.id, expected)?;
    let old_skeleton = old.username.skeleton();
    let renamed = user.username != old.username;
    let reshaped = skeleton != old_skeleton;
    if renamed && tx.contains(Tree::Usernames, user.username.as_str().as_bytes())? {
        return Err(StoreError::Conflict(Conflict::Username).into());
    }
    if reshaped && tx.contains(Tree::Skeletons, skeleton.as_bytes())? {
        return Err(StoreError::Conflict(Conflict::Confusable).into());
    }
    let admins = admins_after(tx, Some(&old), Some(user))?;
    if renamed {
        tx.remove(Tree::Usernames, old.username.as_str().as_bytes())?;
        tx.put(Tree::Usernames, user.username.as_str().as_bytes(), &user.id)?;
    }
    if reshaped {
        tx.remove(Tree::Skeletons, old_skeleton.as_bytes())?;
        tx.put(Tree::Skeletons, skeleton.as_bytes(), &user.id)?;
    }
    tx.put(Tree::Users, user.id.as_bytes(), user)?;
    put_admins(tx, admins)
}

fn delete_user(tx: &Transaction<'_>, id: UserId, expected: u64) -> Result<(), Failure> {
    let old = current_user(tx, id, expected)?;
    let admins = admins_after(tx, Some(&old), None)?;
    tx.remove(Tree::Users, id.as_bytes())?;
    tx.remove(Tree::Usernames, old.username.as_str().as_bytes())?;
    tx.remove(Tree::Skeletons, old.username.skeleton().as_bytes())?;
    tx.remove(Tree::Failures, id.as_bytes())?;
    put_admins(tx, admins)
}

/// The user, provided that it has this version and that its name and skeleton lead to it.
fn current_user(tx: &Transaction<'_>, id: UserId, expected: u64) -> Result<UserRecord, Failure> {
    let user = match tx.get::<UserRecord>(Tree::Users, id.as_bytes())? {
        Some(user) if user.version == expected => user,
        _ => return Err(StoreError::Stale.into()),
    };
    let skeleton = user.username.skeleton();
    for (tree, key) in [
        (Tree::Usernames, user.username.as_str().as_bytes()),
        (Tree::Skeletons, skeleton.as_bytes()),
    ] {
        if tx.get::<UserId>(tree, key)? != Some(id) {
            return Err(Failure::corrupt(
                tree,
                key,
                format!("it does not lead to user {id}, whose it is"),
            ));
        }
    }
    Ok(user)
}

/// The number of enabled admins once `old` has become `new`; `None` if it stays.
fn admins_after(
    tx: &Transaction<'_>,
    old: Option<&UserRecord>,
    new: Option<&UserRecord>,
) -> Result<Option<u64>, Failure> {
    let [was, is] = [old, new].map(|user| user.is_some_and(UserRecord::is_enabled_admin));
    if was == is {
        return Ok(None);
    }
    let now = count(tx, meta::ENABLED_ADMINS)?;
    match (is, now) {
        (true, _) => Ok(Some(now + 1)),
        (false, 0) => Err(Failure::corrupt(
            Tree::Meta,
            meta::ENABLED_ADMINS,
            "it is 0 while there is an admin",
        )),
        (false, 1) => Err(StoreError::LastAdmin.into()),
        (false, _) => Ok(Some(now - 1)),
    }
}

fn put_admins(tx: &Transaction<'_>, admins: Option<u64>) -> Result<(), Failure> {
    admins.map_or(Ok(()), |admins| tx.put(Tree::Meta, meta::ENABLED_ADMINS, &admins))
}

/// A count, written when the database was made.
fn count(tx: &Transaction<'_>, key: &[u8]) -> Result<u64, Failure> {
    tx.get(Tree::Meta, key)?
        .ok_or_else(|| Failure::corrupt(Tree::Meta, key, "it is missing"))
}

fn open_session(tx: &Transaction<'_>, session: &SessionRecord) -> Result<(), Failure> {
    let key = session_key(session.user_id, session.id);
    if tx.contains(Tree::Sessions, &key)? {
        return Err(StoreError::Conflict(Conflict::Id).into());
    }
    tx.put(Tree::Sessions, &key, session)
}

fn replace_session(tx: &Transaction<'_>, session: &SessionRecord, expected: u32) -> Result<(), Failure> {
    let key = session_key(session.user_id, session.id);
    match tx.get::<SessionRecord>(Tree::Sessions, &key)? {
        Some(old) if old.revision == expected => tx.put(Tree::Sessions, &key, session),
        _ => Err(StoreError::Stale.into()),
    }
}

fn sweep_sessions(tx: &Transaction<'_>, dead: &[(UserId, SessionId, u32)]) -> Result<usize, Failure> {
    let mut keys = Vec::with_capacity(dead.len());
    for &(user, id, revision) in dead {
        let key = session_key(user, id);
        if tx
            .get::<SessionRecord>(Tree::Sessions, &key)?
            .is_some_and(|session| session.revision == revision)
        {
            keys.push(key);
        }
    }
    remove_all(tx, Tree::Sessions, &keys)
}

/// Removes these records; the number of them that there were.
fn remove_all<K: AsRef<[u8]>>(tx: &Transaction<'_>, tree: Tree, keys: &[K]) -> Result<usize, Failure> {
    let mut removed = 0;
    for key in keys {
        removed += usize::from(tx.remove(tree, key.as_ref())?);
    }
    Ok(removed)
}

fn replace_keys(tx: &Transaction<'_>, keys: &KeyringRecord, expected: Option<u64>) -> Result<(), Failure> {
    let current = tx.get::<KeyringRecord>(Tree::Keys, KEYRING)?;
    if current.map(|keys| keys.revision) != expected {
        return Err(StoreError::Stale.into());
    }
    tx.put(Tree::Keys, KEYRING, keys)
}

/// The audit log's counts, read before anything is written.
struct Log {
    events: u64,
    guesses: u64,
}

impl Log {
    /// Refuses events whose ids are taken.
    fn read(tx: &Transaction<'_>, events: &[AuditEvent]) -> Result<Self, Failure> {
        if events.is_empty() {
            return Ok(Self { events: 0, guesses: 0 });
        }
        for event in events {
            if tx.contains(Tree::Audit, event.id.as_bytes())? {
                return Err(StoreError::Conflict(Conflict::Id).into());
            }
        }
        Ok(Self {
            events: count(tx, meta::EVENTS)?,
            guesses: guesses(tx)?,
        })
    }

    fn append(self, tx: &Transaction<'_>, events: &[AuditEvent]) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        let mut guesses = self.guesses;
        for event in events {
            tx.put(Tree::Audit, event.id.as_bytes(), event)?;
            if event.kind.is_guess() {
                tx.put(Tree::Guesses, event.id.as_bytes(), &())?;
                guesses += 1;
            }
        }
        if guesses > self.guesses {
            tx.put(Tree::Meta, meta::GUESSES, &guesses)?;
        }
        tx.put(Tree::Meta, meta::EVENTS, &(self.events + events.len() as u64))
    }
}

/// How many guesses are in the index; none were counted in a database from before there was one.
fn guesses(tx: &Transaction<'_>) -> Result<u64, Failure> {
    Ok(tx.get(Tree::Meta, meta::GUESSES)?.unwrap_or(0))
}

/// The rule is applied here, not where the candidates were read: since then others may have been
/// deleted.
fn trim_events(tx: &Transaction<'_>, trim: &Trim) -> Result<usize, Failure> {
    let (events, guesses) = (count(tx, meta::EVENTS)?, guesses(tx)?);
    let mut doomed = Doomed {
        tx,
        ids: BTreeSet::new(),
        guesses: 0,
        limit: trim.limit,
    };
    for (id, at) in &trim.oldest {
        if *at < trim.older_than {
            doomed.add(*id)?;
        }
    }
    let keep = trim.keep as u64;
    let over = events.saturating_sub(doomed.ids.len() as u64).saturating_sub(keep);
    let share = keep / GUESSES_SHARE as u64;
    let beyond = guesses.saturating_sub(share + doomed.guesses).min(over);
    doomed.add_some(trim.guesses.iter().copied(), beyond)?;
    doomed.add_some(trim.oldest.iter().map(|(id, _)| *id), over - beyond)?;
    doomed.remove(events, guesses)
}

/// The events that are going to be removed.
struct Doomed<'a> {
    tx: &'a Transaction<'a>,
    ids: BTreeSet<EventId>,
    /// How many of them are in the index of guesses.
    guesses: u64,
    limit: usize,
}

impl Doomed<'_> {
    /// Adds an event, if it is still there and there is room; whether it was.
    fn add(&mut self, id: EventId) -> Result<bool, Failure> {
        if self.ids.len() >= self.limit || self.ids.contains(&id) || !self.tx.contains(Tree::Audit, id.as_bytes())? {
            return Ok(false);
        }
        self.guesses += u64::from(self.tx.contains(Tree::Guesses, id.as_bytes())?);
        self.ids.insert(id);
        Ok(true)
    }

    /// Adds the first `count` of these that can be.
    fn add_some(&mut self, candidates: impl Iterator<Item = EventId>, count: u64) -> Result<(), Failure> {
        let mut left = count;
        for id in candidates {
            if left == 0 {
                break;
            }
            left -= u64::from(self.add(id)?);
        }
        Ok(())
    }

    /// Removes them from a log with these counts.
    fn remove(self, events: u64, guesses: u64) -> Result<usize, Failure> {
        if self.ids.is_empty() {
            return Ok(0);
        }
        let less = |key, kept: u64, removed: u64| {
            let left = kept.checked_sub(removed);
            left.ok_or_else(|| Failure::corrupt(Tree::Meta, key, "it is less than there are"))
        };
        let events = less(meta::EVENTS, events, self.ids.len() as u64)?;
        let guesses = less(meta::GUESSES, guesses, self.guesses)?;
        for id in &self.ids {
            self.tx.remove(Tree::Audit, id.as_bytes())?;
            self.tx.remove(Tree::Guesses, id.as_bytes())?;
        }
        self.tx.put(Tree::Meta, meta::EVENTS, &events)?;
        self.tx.put(Tree::Meta, meta::GUESSES, &guesses)?;
        Ok(self.ids.len())
    }
}

fn put_failures(tx: &Transaction<'_>, counts: &[(UserId, Option<Failures>)]) -> Result<(), Failure> {
    for (user, failures) in counts {
        match failures {
            Some(failures) if tx.contains(Tree::Users, user.as_bytes())? => {
                tx.put(Tree::Failures, user.as_bytes(), failures)?;
            }
            Some(_) => {}
            None => {
                tx.remove(Tree::Failures, user.as_bytes())?;
            }
        }
    }
    Ok(())
}
