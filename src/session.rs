//! What a session is. What is done with it is in `crate::sessions`.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::user::{Scopes, SessionId, UserId, UserRecord};

/// A session as the store keeps it: one sign-in and the refresh tokens that follow from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose it is.
    pub user_id: UserId,
    /// Its id, in the claim `sid` of its tokens.
    pub id: SessionId,
    /// Goes up by one with each change of this record, from 1.
    pub revision: u32,
    /// The user's [`UserRecord::session_epoch`] when it was opened.
    pub epoch: u32,
    /// Which of its refresh tokens is the current one: goes up by one with each rotation.
    pub generation: u32,
    /// The client that it was opened by, if it said so.
    pub client_id: Option<String>,
    /// The `User-Agent` that it was opened with, cut to 256 characters.
    pub user_agent: Option<String>,
    /// The address that it was opened from.
    pub ip: Option<IpAddr>,
    /// What its tokens may carry at most.
    pub scopes: Scopes,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When its password was last checked: the claim `auth_time`.
    pub auth_time: Timestamp,
    /// When tokens were last issued for it.
    pub last_used_at: Timestamp,
    /// When its refresh token was last rotated, or issued first.
    pub rotated_at: Timestamp,
    /// When it ends whatever happens; rotation never extends it (requirement T18).
    pub expires_at: Timestamp,
}

impl SessionRecord {
    /// Whether it was opened by this client.
    #[must_use]
    pub fn is_of(&self, client_id: &str) -> bool {
        self.client_id.as_deref() == Some(client_id)
    }

    /// Whether it is alive: of this user, not ended together with the others, and neither idle for `idle_ttl` nor past its
    /// end (requirement T18). The instant of expiry is past it.
    #[must_use]
    pub fn is_live(&self, user: &UserRecord, now: Timestamp, idle_ttl: Duration) -> bool {
        self.user_id == user.id
            && !user.disabled
            && user.keeps_session(self.id, self.epoch)
            && now < self.expires_at
            && now < self.last_used_at.after(idle_ttl)
    }
}
