//! The signing keys.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The signing keys as the store keeps them: secrets sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringRecord {
    /// Goes up by one with each change, from 1.
    pub revision: u64,
    /// Each key that can still verify something; exactly one is active, the last one made.
    pub keys: Vec<KeyRecord>,
}

/// One signing key as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its PASERK id, `k4.pid.…`.
    pub kid: String,
    /// Its public half, `k4.public.…`.
    pub public: String,
    /// Its secret half sealed under the master key, `k4.secret-wrap.pie.…`; `None` once it signs no more.
    pub sealed: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// `None` while it is active; then when its last token will have expired (requirement P12).
    pub retires_at: Option<Timestamp>,
}
