//! Whether the store can be read and written, found out at most once a second: that is a synced write, and anybody may ask.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::shild::Shild;
use crate::store::StoreError;

/// How long an outcome is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The last outcome, and when the last look at the store began.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Timestamp, Result<(), StoreError>)>>);

impl Readiness {
    fn last(&self) -> MutexGuard<'_, Option<(Timestamp, Result<(), StoreError>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shild {
    /// Whether the store can be read and written now, or could within the last second. While one caller looks, others get
    /// what was found before.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) async fn check_ready(&self) -> Result<(), StoreError> {
        let now = self.now();
        if let Some((began, outcome)) = &mut *self.readiness.last() {
            if *began <= now && now < began.after(GOOD_FOR) {
                return outcome.clone();
            }
            *began = now;
        }
        let outcome = self.store.check().await;
        *self.readiness.last() = Some((now, outcome.clone()));
        outcome
    }
}
