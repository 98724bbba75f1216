//! Whether everything in a store agrees with everything else.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// The most findings that are told one by one; the rest is counted.
pub const MAX_FINDINGS: usize = 1000;

/// Told now and then how many records have been looked at, and how many there are to look at.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// A store that can be checked as a whole.
#[async_trait]
pub trait VerifyStore: Send + Sync + 'static {
    /// Looks at every record as it is at one moment, and says which cannot be read and which contradict others. Changes
    /// that are made meanwhile are no contradiction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the records cannot be walked at all. Damage is not an error here but a finding.
    async fn verify(&self, progress: Progress) -> Result<Verification, StoreError>;
}

/// What a walk over the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Verification {
    /// What there is.
    pub counts: Counts,
    /// What disagrees: at most 1000 findings, in the order of the walk.
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub more: u64,
}

/// How many records of each kind there are, damaged ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Counts {
    /// Users.
    pub users: u64,
    /// Enabled users with the scope `admin`.
    pub enabled_admins: u64,
    /// Sessions, whether alive or not.
    pub sessions: u64,
    /// Those of them whose user is gone: they are dead, and are swept in time.
    pub sessions_of_nobody: u64,
    /// Counts of failed sign-ins.
    pub failures: u64,
    /// Those of them whose user is gone.
    pub failures_of_nobody: u64,
    /// Events in the audit log.
    pub events: u64,
}

/// A record that cannot be read, or that contradicts another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Finding {
    /// Which record: its kind and its key.
    pub record: String,
    /// What is wrong with it.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.record, self.detail)
    }
}

impl Verification {
    /// Whether nothing disagrees.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds a finding; past [`MAX_FINDINGS`] only to the count, so that a ruined store takes no more memory than a sound one.
    pub fn found(&mut self, record: impl Into<String>, detail: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                record: record.into(),
                detail: detail.into(),
            });
        } else {
            self.more += 1;
        }
    }
}
