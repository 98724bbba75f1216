//! What is taken, for a run that writes nothing: by users in the store, and by earlier lines of the input.
//!
//! Names are remembered as 64-bit digests under a key of this run, so a million users take some 100 MiB less than their names
//! would. That two names of a million share one has a chance of 1 in 30 million, and costs a wrong line in a report.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash};

use super::apply::{confusable, namesake};
use super::formats::Candidate;
use super::report::Outcome;
use crate::error::Error;
use crate::store::{MAX_PAGE, Store};
use crate::user::{UserId, UserRecord};

#[derive(Default)]
pub(super) struct Taken {
    key: RandomState,
    ids: HashSet<UserId>,
    /// By name: what tells whether a namesake is the same user.
    names: HashMap<u64, Likeness>,
    skeletons: HashSet<u64>,
}

/// Digests of what [`super::apply`] compares.
#[derive(Clone, Copy)]
struct Likeness {
    hash: u64,
    created_at: u64,
}

impl Taken {
    /// What the store's users have.
    pub(super) async fn in_store(store: &dyn Store) -> Result<Self, Error> {
        let mut taken = Self::default();
        let mut after = None;
        loop {
            let users = store.list(after, MAX_PAGE).await?;
            let Some(last) = users.last() else { return Ok(taken) };
            after = Some(last.id);
            for user in &users {
                taken.take(user);
            }
        }
    }

    fn digest(&self, value: impl Hash) -> u64 {
        self.key.hash_one(value)
    }

    fn likeness(&self, user: &UserRecord) -> Likeness {
        Likeness {
            hash: self.digest(user.password_hash.as_ref().map(crate::password::PasswordHash::expose)),
            created_at: self.digest(user.created_at),
        }
    }

    fn take(&mut self, user: &UserRecord) {
        self.ids.insert(user.id);
        let likeness = self.likeness(user);
        self.names.insert(self.digest(user.username.as_str()), likeness);
        self.skeletons.insert(self.digest(user.username.skeleton()));
    }

    /// What would become of this user; if it would be added, it is taken from here on.
    pub(super) fn add(&mut self, user: &Candidate, record: &UserRecord) -> Outcome {
        if self.ids.contains(&record.id) {
            return Outcome::Skipped;
        }
        if let Some(there) = self.names.get(&self.digest(record.username.as_str())) {
            let mine = self.likeness(record);
            let same_time = user.created_at.is_some() && mine.created_at == there.created_at;
            return namesake(mine.hash == there.hash || same_time);
        }
        if self.skeletons.contains(&self.digest(record.username.skeleton())) {
            return confusable();
        }
        self.take(record);
        Outcome::Added
    }
}
