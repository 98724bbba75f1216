//! Users and sessions that were read lately, as they are in memory: whoever is at work is found without the database, and
//! without decoding anything, however large the store is.
//!
//! Nothing is remembered here that the database does not hold: a change takes what it is about out before it is made, and
//! nobody who read before or meanwhile puts it back.

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::engine::Write;
use super::record::Tree;
use crate::session::SessionRecord;
use crate::store::StoreError;
use crate::user::UserRecord;

/// What a record takes besides itself and its texts: its entry, and what the allocator adds.
const ENTRY: usize = 160;

/// How many records of a kind there is room for without taking more memory: many small stores never have more at work.
const FEW: usize = 512;

/// Both kinds of records that every request with a token asks for.
pub(super) struct Recent {
    pub(super) users: Shelf<16, UserRecord>,
    pub(super) sessions: Shelf<32, SessionRecord>,
}

impl Recent {
    /// An empty one that takes up to so many bytes.
    pub(super) fn within(bytes: u64) -> Self {
        Self {
            users: Shelf::within(bytes / 2),
            sessions: Shelf::within(bytes / 2),
        }
    }

    /// These changes are about to be made.
    pub(super) fn begin(&self, changes: &[Write]) {
        self.users.begin(changes);
        self.sessions.begin(changes);
    }

    /// The changes have been made, or not; readers see the outcome.
    pub(super) fn end(&self) {
        self.users.end();
        self.sessions.end();
    }

    /// Nothing that was read until now counts any more.
    pub(super) fn forget(&self) {
        self.users.forget();
        self.sessions.forget();
    }
}

/// Where records of one tree stand, by their keys of `N` bytes.
pub(super) struct Shelf<const N: usize, T> {
    records: Cache<[u8; N], Arc<T>, Weight>,
    /// Locked for reading while a record is put in, so that it is put in either before or after a change begins.
    changes: RwLock<Changes<N>>,
}

#[derive(Default)]
struct Changes<const N: usize> {
    /// Goes up when changes begin, and when they have ended: what was read under another number is not put in.
    turn: u64,
    /// What the changes are about that are being made.
    keys: HashSet<[u8; N]>,
}

/// A record of a tree that is remembered.
pub(super) trait Remembered {
    /// Which tree.
    const TREE: Tree;

    /// Roughly how many bytes of memory it takes by itself.
    fn bytes(&self) -> usize;
}

impl Remembered for UserRecord {
    const TREE: Tree = Tree::Users;

    fn bytes(&self) -> usize {
        let hash = self.password_hash.as_ref().map_or(0, |hash| hash.expose().len());
        size_of::<Self>() + self.username.as_str().len() + hash + self.scopes.bytes()
    }
}

impl Remembered for SessionRecord {
    const TREE: Tree = Tree::Sessions;

    fn bytes(&self) -> usize {
        let texts = [&self.client_id, &self.user_agent];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        size_of::<Self>() + texts + self.scopes.bytes()
    }
}

#[derive(Clone)]
struct Weight;

impl<const N: usize, T: Remembered> Weighter<[u8; N], Arc<T>> for Weight {
    fn weight(&self, _: &[u8; N], record: &Arc<T>) -> u64 {
        (record.bytes() + ENTRY) as u64
    }
}

impl<const N: usize, T: Remembered> Shelf<N, T> {
    fn within(bytes: u64) -> Self {
        Self {
            records: Cache::with_weighter(FEW, bytes, Weight),
            changes: RwLock::default(),
        }
    }

    /// The record under `key`: the one that is remembered, or what `read` finds in the database.
    pub(super) fn get(
        &self,
        key: &[u8; N],
        read: impl FnOnce() -> Result<Option<T>, StoreError>,
    ) -> Result<Option<Arc<T>>, StoreError> {
        if let Some(record) = self.records.get(key) {
            return Ok(Some(record));
        }
        let turn = self.changes().turn;
        let Some(record) = read()?.map(Arc::new) else {
            return Ok(None);
        };
        let changes = self.changes();
        if changes.turn == turn && !changes.keys.contains(key) {
            self.records.insert(*key, Arc::clone(&record));
        }
        Ok(Some(record))
    }

    fn begin(&self, writes: &[Write]) {
        let mut changes = self.changes_mut();
        changes.turn += 1;
        for key in writes
            .iter()
            .filter(|write| write.tree == T::TREE)
            .map(|write| &write.key)
        {
            // A key of another length is of no record that could be asked for here.
            if let Ok(key) = <[u8; N]>::try_from(&key[..]) {
                self.records.remove(&key);
                changes.keys.insert(key);
            }
        }
    }

    fn end(&self) {
        let mut changes = self.changes_mut();
        changes.turn += 1;
        changes.keys.clear();
    }

    fn forget(&self) {
        let mut changes = self.changes_mut();
        changes.turn += 1;
        self.records.clear();
    }

    fn changes(&self) -> RwLockReadGuard<'_, Changes<N>> {
        self.changes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes_mut(&self) -> RwLockWriteGuard<'_, Changes<N>> {
        self.changes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;

    use super::super::engine::Before;
    use super::*;
    use crate::clock::Timestamp;
    use crate::user::{Scopes, SessionId, UserId, Username};

    fn user(version: u64) -> UserRecord {
        let name = Username::parse("juliet", 64).unwrap();
        UserRecord {
            version,
            ..UserRecord::new(UserId::from_bytes([7; 16]), name, Timestamp::from_millis(0))
        }
    }

    fn session(revision: u32) -> SessionRecord {
        let at = Timestamp::from_millis(0);
        SessionRecord {
            user_id: UserId::from_bytes([7; 16]),
            id: SessionId::from_bytes([7; 16]),
            revision,
            epoch: 0,
            generation: 0,
            client_id: None,
            user_agent: None,
            ip: None,
            scopes: Scopes::registered(),
            created_at: at,
            auth_time: at,
            last_used_at: at,
            rotated_at: at,
            expires_at: at,
        }
    }

    fn change() -> [Write; 1] {
        [Write {
            tree: Tree::Users,
            key: vec![7; 16],
            before: Before::Unknown,
            record: None,
        }]
    }

    fn version(shelf: &Shelf<16, UserRecord>, in_database: u64) -> u64 {
        let found = shelf.get(&[7; 16], || Ok(Some(user(in_database))));
        found.unwrap().unwrap().version
    }

    #[test]
    fn a_record_is_read_once_until_it_is_changed() {
        let recent = Recent::within(1 << 20);
        assert_eq!(version(&recent.users, 1), 1);
        assert_eq!(version(&recent.users, 2), 1, "it is remembered");
        recent.begin(&change());
        assert_eq!(version(&recent.users, 1), 1, "the change is not visible yet");
        assert_eq!(version(&recent.users, 3), 3, "and now it is");
        recent.end();
        assert_eq!(version(&recent.users, 4), 4, "nothing was remembered meanwhile");
        assert_eq!(version(&recent.users, 5), 4);
        recent.forget();
        assert_eq!(version(&recent.users, 6), 6);
    }

    // T19: one that was ended would be alive.
    #[test]
    fn a_session_is_remembered_no_longer_than_a_user_is() {
        let recent = Recent::within(1 << 20);
        let revision = |in_database| {
            let found = recent.sessions.get(&[7; 32], || Ok(Some(session(in_database))));
            found.unwrap().unwrap().revision
        };
        assert_eq!((revision(1), revision(2)), (1, 1));
        let [mut end] = change();
        (end.tree, end.key) = (Tree::Sessions, vec![7; 32]);
        recent.begin(&[end]);
        assert_eq!(revision(2), 2);
        recent.end();
        assert_eq!((revision(3), revision(4)), (3, 3));
        recent.forget();
        assert_eq!(revision(5), 5);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_put_in_after_it_began() {
        let recent = Recent::within(1 << 20);
        let during = |what: &dyn Fn(&Recent)| {
            let read = recent.users.get(&[7; 16], || {
                let read = user(1);
                what(&recent);
                Ok(Some(read))
            });
            assert_eq!(read.unwrap().unwrap().version, 1);
            assert_eq!(version(&recent.users, 2), 2, "what was read before the change stayed");
            recent.forget();
        };
        during(&|recent| {
            recent.begin(&change());
            recent.end();
        });
        during(&|recent| recent.forget());
        recent.begin(&change());
        during(&|recent| recent.end());
        during(&|recent| recent.begin(&change()));
    }

    #[test]
    fn other_changes_that_are_being_made_keep_nothing_out() {
        let recent = Recent::within(1 << 20);
        let [mut other] = change();
        other.key = vec![8; 16];
        recent.begin(&[other]);
        assert_eq!(version(&recent.users, 1), 1);
        assert_eq!(version(&recent.users, 2), 1);
    }

    #[test]
    fn what_is_absent_or_unreadable_is_asked_for_again() {
        let recent = Recent::within(1 << 20);
        let asked = Cell::new(0);
        for _ in 0..2 {
            let absent = recent.users.get(&[7; 16], || {
                asked.set(asked.get() + 1);
                Ok(None)
            });
            assert!(absent.unwrap().is_none());
            let unreadable = recent
                .users
                .get(&[7; 16], || Err(StoreError::Unavailable(String::new())));
            assert!(unreadable.is_err());
        }
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn it_stays_within_its_room() {
        let recent = Recent::within(64 << 10);
        for number in 0..10_000_u32 {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&number.to_le_bytes());
            recent.users.get(&key, || Ok(Some(user(1)))).unwrap();
        }
        let (held, weight) = (recent.users.records.len(), recent.users.records.weight());
        assert!(held > 10 && weight <= 32 << 10, "{held} records, {weight} bytes");
    }

    // Whoever begins to read after a change was acknowledged sees it.
    #[test]
    fn nobody_reads_what_was_before_an_acknowledged_change() {
        let recent = Recent::within(1 << 20);
        let (database, acknowledged, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let least = acknowledged.load(Ordering::SeqCst);
                        let found = recent
                            .users
                            .get(&[7; 16], || Ok(Some(user(database.load(Ordering::SeqCst)))));
                        assert!(found.unwrap().unwrap().version >= least);
                    }
                });
            }
            for version in 1..=20_000 {
                recent.begin(&change());
                database.store(version, Ordering::SeqCst);
                recent.end();
                acknowledged.store(version, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
    }
}
