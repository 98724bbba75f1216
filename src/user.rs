//! Who a user is: ids, names, scopes. Each is parsed once, at the edge, and trusted from there on.

mod id;
mod scope;
mod username;

pub use id::{EventId, InvalidId, SessionId, UserId};
pub use scope::{InvalidScope, Scope, Scopes};
pub(crate) use scope::{MAX_SCOPE_LEN, MAX_SCOPES};
pub use username::{InvalidUsername, Username};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::password::PasswordHash;

/// A user as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// Immutable, never used again for somebody else (requirement P4).
    pub id: UserId,
    /// Unique among all users, and so is its confusable skeleton (requirement W12).
    pub username: Username,
    /// `None`: the account can be entered only by a password reset.
    pub password_hash: Option<PasswordHash>,
    /// What a token of this user may carry.
    pub scopes: Scopes,
    /// A disabled user cannot sign in, and its tokens are refused.
    pub disabled: bool,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the record was last changed.
    pub updated_at: Timestamp,
    /// Goes up by one with each change, from 1.
    pub version: u64,
    /// Goes up when all of the user's sessions end at once; a session opened under another epoch
    /// is dead. So that one change of one record ends them all, whole or not at all.
    pub session_epoch: u32,
    /// A password reset that has been started and not yet used.
    pub reset: Option<PendingReset>,
    /// The session that stayed when the others ended at once.
    pub kept_session: Option<KeptSession>,
}

/// A password reset that has been started: what is kept of its token tells nobody the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReset {
    /// The BLAKE2b-256 of the token's random part.
    pub digest: [u8; 32],
    /// Until when the token is good.
    pub expires_at: Timestamp,
}

/// A session that outlives the end of all the others of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptSession {
    /// Which one.
    pub id: SessionId,
    /// The user's `session_epoch` that it was kept for. Under the next one it is as dead as all others, unless it is kept
    /// again; so nobody who ends all sessions has to think of this.
    pub epoch: u32,
}

impl UserRecord {
    /// A new user, with the scopes of whoever registers and without a password.
    #[must_use]
    pub fn new(id: UserId, username: Username, now: Timestamp) -> Self {
        Self {
            id,
            username,
            password_hash: None,
            scopes: Scopes::registered(),
            disabled: false,
            created_at: now,
            updated_at: now,
            version: 1,
            session_epoch: 0,
            reset: None,
            kept_session: None,
        }
    }

    /// This user as it is after a change at `now`: the next version.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Self {
        Self {
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        }
    }

    /// What the outside may see of it.
    #[must_use]
    pub fn view(&self) -> User {
        User {
            id: self.id,
            username: self.username.clone(),
            scopes: self.scopes.clone(),
            disabled: self.disabled,
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        }
    }

    /// Ends all sessions, or all but one that is alive. It counts once the record is stored: one change, so whoever refreshes
    /// at the same time finds its session either alive or dead, and never the one that stays in between.
    pub fn end_sessions(&mut self, kept: Option<SessionId>) {
        self.session_epoch += 1;
        let epoch = self.session_epoch;
        self.kept_session = kept.map(|id| KeptSession { id, epoch });
    }

    /// Whether a session opened under `epoch` has not been ended by [`end_sessions`](Self::end_sessions).
    #[must_use]
    pub fn keeps_session(&self, id: SessionId, epoch: u32) -> bool {
        let kept = KeptSession {
            id,
            epoch: self.session_epoch,
        };
        epoch == self.session_epoch || self.kept_session == Some(kept)
    }

    /// Whether this user can administer: holds [`Scope::ADMIN`] and is not disabled.
    #[must_use]
    pub fn is_enabled_admin(&self) -> bool {
        !self.disabled && self.scopes.contains(Scope::ADMIN)
    }
}

/// A user as the outside sees it. Never a password or a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct User {
    /// Immutable id, a UUIDv7.
    pub id: UserId,
    /// The name, in the form RFC 8265 maps it to.
    pub username: Username,
    /// What a token of this user may carry.
    pub scopes: Scopes,
    /// A disabled user cannot sign in.
    pub disabled: bool,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub updated_at: Timestamp,
    /// Goes up by one with each change; also the `ETag` of the answer.
    pub version: u64,
}
