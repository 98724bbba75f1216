//! What is taken, for a run that writes nothing: by users in the store, and by earlier lines of the input.
//!
//! The store is asked for ids and names, and cannot be asked for names that look alike; so the skeletons of its names are
//! remembered, as 64-bit digests under a key of this run, like all that earlier lines take. For a million users in the store
//! that is 8 MiB, for a million who would be added some 75 MiB. That two of a million share a digest has a chance of 1 in 30
//! million, and costs a wrong line in a report.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash, RandomState};

use super::apply::{confusable, is_same, namesake};
use super::formats::Candidate;
use super::report::Outcome;
use crate::error::Error;
use crate::password::PasswordHash;
use crate::store::{MAX_PAGE, Store};
use crate::user::UserRecord;

#[derive(Default)]
pub(super) struct Taken {
    key: RandomState,
    /// Of the users in the store, in order.
    stored_skeletons: Vec<u64>,
    /// These three of earlier lines.
    ids: HashSet<u64>,
    /// By name: what tells whether a namesake is the same user.
    names: HashMap<u64, Likeness>,
    skeletons: HashSet<u64>,
}

/// Digests of what [`is_same`] compares.
#[derive(Clone, Copy)]
struct Likeness {
    hash: u32,
    created_at: u32,
}

impl Taken {
    /// What the store's users have.
    pub(super) async fn in_store(store: &dyn Store) -> Result<Self, Error> {
        let mut taken = Self::default();
        let mut after = None;
        loop {
            let users = store.list(after, MAX_PAGE).await?;
            let Some(last) = users.last() else { break };
            after = Some(last.id);
            let skeletons = users.iter().map(|user| taken.key.hash_one(user.username.skeleton()));
            taken.stored_skeletons.extend(skeletons);
        }
        taken.stored_skeletons.sort_unstable();
        Ok(taken)
    }

    fn digest(&self, value: impl Hash) -> u64 {
        self.key.hash_one(value)
    }

    fn likeness(&self, user: &UserRecord) -> Likeness {
        #[expect(clippy::cast_possible_truncation, reason = "half a digest")]
        let half = |digest: u64| digest as u32;
        Likeness {
            hash: half(self.digest(user.password_hash.as_ref().map(PasswordHash::expose))),
            created_at: half(self.digest(user.created_at)),
        }
    }

    /// What would become of this user; if it would be added, it is taken from here on.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub(super) async fn add(
        &mut self,
        store: &dyn Store,
        user: &Candidate,
        record: &UserRecord,
    ) -> Result<Outcome, Error> {
        let id = self.digest(record.id);
        if self.ids.contains(&id) || store.find(record.id).await?.is_some() {
            return Ok(Outcome::Skipped);
        }
        let name = self.digest(record.username.as_str());
        let mine = self.likeness(record);
        if let Some(there) = self.names.get(&name) {
            let same_time = user.created_at.is_some() && mine.created_at == there.created_at;
            return Ok(namesake(mine.hash == there.hash || same_time));
        }
        if let Some(there) = store.find_by_username(&record.username).await? {
            return Ok(namesake(is_same(user, &there)));
        }
        let skeleton = self.digest(record.username.skeleton());
        if self.skeletons.contains(&skeleton) || self.stored_skeletons.binary_search(&skeleton).is_ok() {
            return Ok(confusable());
        }
        self.ids.insert(id);
        self.names.insert(name, mine);
        self.skeletons.insert(skeleton);
        Ok(Outcome::Added)
    }
}
