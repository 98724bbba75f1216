//! Every record looked at, and held against those that must agree with it.
//!
//! Works on copies of all trees as they were at one moment. Whether names and users lead to each other is told by digests of
//! the pairs: each stands once with the user and once with the name, so their sums are the same on both sides. Only if they
//! are not, the digests are held in memory, 18 bytes a user, to find which ones stand only once. A disagreement goes unseen
//! with a probability of about 2⁻⁶⁴.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde::de::DeserializeOwned;

use super::change::session_key;
use super::engine::{Frozen, Raw};
use super::record::{KEYRING, Tree, meta, unseal};
use super::tally::Tally;
use crate::audit::AuditEvent;
use crate::session::SessionRecord;
use crate::store::{Progress, StoreError, Verification};
use crate::throttle::Failures;
use crate::token::keyring::KeyringRecord;
use crate::user::{UserId, UserRecord};

/// How many records are looked at between two words of progress.
const STEP: u64 = 1000;

/// Looks at copies of all trees, in the order of [`Tree::ALL`].
pub(super) fn verify(copies: Vec<Box<dyn Frozen>>, progress: Progress) -> Result<Verification, StoreError> {
    let total = copies.iter().map(|copy| copy.records()).sum();
    let mut walk = Walk {
        copies,
        progress,
        total,
        done: 0,
        hasher: RandomState::new(),
        balance: 0,
        all_users_read: true,
        tally: Tally::default(),
        found: Verification::default(),
    };
    walk.users()?;
    walk.index(Tree::Usernames)?;
    walk.index(Tree::Skeletons)?;
    walk.name_the_unpaired()?;
    walk.sessions()?;
    walk.failures()?;
    walk.keys()?;
    walk.events()?;
    walk.numbers()?;
    (walk.progress)(total, total);
    Ok(walk.found)
}

struct Walk {
    copies: Vec<Box<dyn Frozen>>,
    progress: Progress,
    total: u64,
    done: u64,
    hasher: RandomState,
    /// The sum of the digests of (tree, name, user) as the users have them, less that as the names have them.
    balance: u64,
    all_users_read: bool,
    /// Of all records that were looked at.
    tally: Tally,
    found: Verification,
}

impl Walk {
    fn copy(&mut self, tree: Tree) -> &mut dyn Frozen {
        &mut *self.copies[tree.index()]
    }

    /// The next record of a tree, counted.
    fn next(&mut self, tree: Tree) -> Result<Option<Raw>, StoreError> {
        let raw = self.copy(tree).next_raw()?;
        if let Some(raw) = &raw {
            self.tally.add(tree, &raw.key, &raw.value);
            self.done += 1;
            if self.done.is_multiple_of(STEP) {
                (self.progress)(self.done, self.total);
            }
        }
        Ok(raw)
    }

    /// The record's value; if it cannot be read, that is a finding.
    fn read<T: DeserializeOwned>(&mut self, tree: Tree, raw: &Raw) -> Option<T> {
        match unseal(tree, &raw.key, &raw.value) {
            Ok(value) => Some(value),
            Err(StoreError::Corrupt { record, detail }) => {
                self.found.found(record, detail);
                None
            }
            Err(error) => {
                self.wrong(tree, &raw.key, error.to_string());
                None
            }
        }
    }

    fn wrong(&mut self, tree: Tree, key: &[u8], detail: impl Into<String>) {
        self.found.found(tree.record_name(key), detail);
    }

    fn digest(&self, tree: Tree, name: &[u8], user: UserId) -> u64 {
        self.hasher.hash_one((tree.index(), name, user.as_bytes()))
    }

    fn users(&mut self) -> Result<(), StoreError> {
        self.found.counts.users = self.copy(Tree::Users).records();
        while let Some(raw) = self.next(Tree::Users)? {
            let Some(user) = self.read::<UserRecord>(Tree::Users, &raw) else {
                self.all_users_read = false;
                continue;
            };
            if raw.key != user.id.as_bytes() {
                self.wrong(Tree::Users, &raw.key, format!("it is the record of user {}", user.id));
            }
            self.found.counts.enabled_admins += u64::from(user.is_enabled_admin());
            for (tree, name) in names(&user) {
                self.balance = self.balance.wrapping_add(self.digest(tree, name.as_bytes(), user.id));
            }
        }
        Ok(())
    }

    fn index(&mut self, tree: Tree) -> Result<(), StoreError> {
        while let Some(raw) = self.next(tree)? {
            if let Some(user) = self.read::<UserId>(tree, &raw) {
                self.balance = self.balance.wrapping_sub(self.digest(tree, &raw.key, user));
            }
        }
        Ok(())
    }

    /// Says which names and users do not lead to each other. Nearly always there are none, and nothing is read again.
    fn name_the_unpaired(&mut self) -> Result<(), StoreError> {
        if self.balance == 0 {
            return Ok(());
        }
        let mut unpaired = HashSet::new();
        self.each_pair(|walk, _, tree, name, user| {
            let digest = walk.digest(tree, name, user);
            if !unpaired.remove(&digest) {
                unpaired.insert(digest);
            }
        })?;
        self.each_pair(|walk, side, tree, name, user| {
            if unpaired.contains(&walk.digest(tree, name, user)) {
                let detail = match side {
                    Side::Name => format!("it leads to user {user}, who is missing, unreadable, or has another name"),
                    Side::User => format!("it does not lead to user {user}, whose it is"),
                };
                walk.wrong(tree, name, detail);
            }
        })
    }

    /// Hands over the pairs of a name and a user: those that the names have, then those that the users have. What cannot be
    /// read has been found before.
    fn each_pair(&mut self, mut visit: impl FnMut(&mut Self, Side, Tree, &[u8], UserId)) -> Result<(), StoreError> {
        for tree in [Tree::Usernames, Tree::Skeletons] {
            self.copy(tree).rewind()?;
            while let Some(raw) = self.copy(tree).next_raw()? {
                if let Ok(user) = unseal::<UserId>(tree, &raw.key, &raw.value) {
                    visit(self, Side::Name, tree, &raw.key, user);
                }
            }
        }
        self.copy(Tree::Users).rewind()?;
        while let Some(raw) = self.copy(Tree::Users).next_raw()? {
            if let Ok(user) = unseal::<UserRecord>(Tree::Users, &raw.key, &raw.value) {
                for (tree, name) in names(&user) {
                    visit(self, Side::User, tree, name.as_bytes(), user.id);
                }
            }
        }
        Ok(())
    }

    fn sessions(&mut self) -> Result<(), StoreError> {
        self.found.counts.sessions = self.copy(Tree::Sessions).records();
        let mut owners = self.owners()?;
        while let Some(raw) = self.next(Tree::Sessions)? {
            let nobody = !owners.have(self, raw.key.get(..16).unwrap_or(&raw.key))?;
            self.found.counts.sessions_of_nobody += u64::from(nobody);
            if let Some(session) = self.read::<SessionRecord>(Tree::Sessions, &raw)
                && raw.key != session_key(session.user_id, session.id)
            {
                let detail = format!("it is session {} of user {}", session.id, session.user_id);
                self.wrong(Tree::Sessions, &raw.key, detail);
            }
        }
        Ok(())
    }

    fn failures(&mut self) -> Result<(), StoreError> {
        self.found.counts.failures = self.copy(Tree::Failures).records();
        let mut owners = self.owners()?;
        while let Some(raw) = self.next(Tree::Failures)? {
            let nobody = !owners.have(self, &raw.key)?;
            self.found.counts.failures_of_nobody += u64::from(nobody);
            self.read::<Failures>(Tree::Failures, &raw);
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<(), StoreError> {
        while let Some(raw) = self.next(Tree::Keys)? {
            if raw.key == KEYRING {
                self.read::<KeyringRecord>(Tree::Keys, &raw);
            } else {
                self.wrong(Tree::Keys, &raw.key, "no such record is known");
            }
        }
        Ok(())
    }

    fn events(&mut self) -> Result<(), StoreError> {
        self.found.counts.events = self.copy(Tree::Audit).records();
        let mut guess = self.next(Tree::Guesses)?;
        while let Some(raw) = self.next(Tree::Audit)? {
            let event = self.read::<AuditEvent>(Tree::Audit, &raw);
            if let Some(event) = &event
                && raw.key != event.id.as_bytes()
            {
                self.wrong(Tree::Audit, &raw.key, format!("it is event {}", event.id));
            }
            while let Some(listed) = guess.take_if(|listed| listed.key <= raw.key) {
                let unlike = event.as_ref().is_some_and(|event| !event.kind.is_guess());
                self.guess(&listed, listed.key == raw.key && !unlike);
                guess = self.next(Tree::Guesses)?;
            }
        }
        while let Some(listed) = guess {
            self.guess(&listed, false);
            guess = self.next(Tree::Guesses)?;
        }
        Ok(())
    }

    /// One that is listed as a guess.
    fn guess(&mut self, listed: &Raw, is_one: bool) {
        self.read::<()>(Tree::Guesses, listed);
        if !is_one {
            self.wrong(Tree::Guesses, &listed.key, "there is no event of a guess with this id");
        }
    }

    /// The numbers that are kept must be those that were counted. Of admins there is no saying while users are unreadable.
    fn numbers(&mut self) -> Result<(), StoreError> {
        let counts = self.found.counts;
        let guesses = self.copy(Tree::Guesses).records();
        let mut tally = None;
        let mut missing = vec![meta::FORMAT, meta::ENABLED_ADMINS, meta::EVENTS, meta::TALLY];
        while let Some(raw) = self.next(Tree::Meta)? {
            missing.retain(|key| *key != raw.key);
            if raw.key == meta::TALLY {
                tally = self.read::<Tally>(Tree::Meta, &raw);
                continue;
            }
            let Some(kept) = self.read::<u64>(Tree::Meta, &raw) else {
                continue;
            };
            let counted = match raw.key.as_slice() {
                meta::ENABLED_ADMINS if self.all_users_read => counts.enabled_admins,
                meta::EVENTS => counts.events,
                meta::GUESSES => guesses,
                _ => kept,
            };
            if kept != counted {
                let detail = format!("it says {kept}, and there are {counted}");
                self.wrong(Tree::Meta, &raw.key, detail);
            }
        }
        for key in missing {
            self.wrong(Tree::Meta, key, "it is missing");
        }
        // Whatever has been found by now disturbs the tally too.
        if self.found.is_sound()
            && let Some(disagreement) = tally.and_then(|tally| tally.disagreement(&self.tally))
        {
            self.wrong(Tree::Meta, meta::TALLY, disagreement);
        }
        Ok(())
    }

    /// The users once more from the first on, for records that are in order of users too.
    fn owners(&mut self) -> Result<Owners, StoreError> {
        self.copy(Tree::Users).rewind()?;
        Ok(Owners {
            next: self.copy(Tree::Users).next_raw()?.map(|raw| raw.key),
        })
    }
}

/// Who says that a name and a user belong together.
#[derive(Clone, Copy)]
enum Side {
    Name,
    User,
}

/// What leads to a user, and by which name.
fn names(user: &UserRecord) -> [(Tree, String); 2] {
    [
        (Tree::Usernames, user.username.as_str().to_owned()),
        (Tree::Skeletons, user.username.skeleton()),
    ]
}

/// Where a second walk over the users has come to.
struct Owners {
    next: Option<Vec<u8>>,
}

impl Owners {
    /// Whether there is a user with this key; keys must come in order.
    fn have(&mut self, walk: &mut Walk, key: &[u8]) -> Result<bool, StoreError> {
        while self.next.as_deref().is_some_and(|next| next < key) {
            self.next = walk.copy(Tree::Users).next_raw()?.map(|raw| raw.key);
        }
        Ok(self.next.as_deref() == Some(key))
    }
}
