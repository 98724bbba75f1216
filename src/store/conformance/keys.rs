//! The clauses of [`KeyStore`](crate::store::KeyStore).

use std::sync::Arc;

use super::{Subject, all_at_once, assert_one_won, second};
use crate::store::StoreError;
use crate::token::keyring::{KeyRecord, KeyringRecord};

/// A ring with a key for each revision so far.
pub(super) fn ring(revision: u64) -> KeyringRecord {
    let key = |number: u64| KeyRecord {
        kid: format!("k4.pid.{number}"),
        public: format!("k4.public.{number}"),
        sealed: (number == revision).then(|| format!("k4.secret-wrap.pie.{number}")),
        created_at: second(0),
        retires_at: (number != revision).then(|| second(1)),
    };
    KeyringRecord {
        revision,
        keys: (1..=revision).map(key).collect(),
    }
}

/// A change made for another revision is stale; so is a first ring where there is one.
pub async fn keys_are_replaced_by_revision(subject: &dyn Subject) {
    let store = subject.fresh().await;
    assert_eq!(store.load_keys().await, Ok(None));
    assert_eq!(store.replace_keys(&ring(2), Some(1), &[]).await, Err(StoreError::Stale));
    assert_eq!(store.replace_keys(&ring(1), None, &[]).await, Ok(()));
    assert_eq!(store.load_keys().await, Ok(Some(ring(1))));
    assert_eq!(store.replace_keys(&ring(1), None, &[]).await, Err(StoreError::Stale));
    assert_eq!(store.replace_keys(&ring(3), Some(2), &[]).await, Err(StoreError::Stale));
    assert_eq!(store.replace_keys(&ring(2), Some(1), &[]).await, Ok(()));
    assert_eq!(store.load_keys().await, Ok(Some(ring(2))));
}

/// Two first starts do not make two sets of keys.
pub async fn of_many_first_keys_one_wins(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let answers = all_at_once(16, |_| {
        let store = Arc::clone(&store);
        async move { store.replace_keys(&ring(1), None, &[]).await }
    })
    .await;
    assert_one_won(&answers, &StoreError::Stale);
}
