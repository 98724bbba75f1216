//! Guessing held back: per source, and per account.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Consecutive failed sign-ins of one account (requirements D4, W9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many since the last success.
    pub count: u32,
    /// When the last one was.
    pub last_at: Timestamp,
}
