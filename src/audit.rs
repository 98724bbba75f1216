//! The audit log: who did what to whom, when, and from where. Nothing secret is in it.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::user::{EventId, SessionId, UserId};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditKind {
    /// Somebody registered.
    Registered,
    /// Somebody signed in.
    SignedIn,
    /// A sign-in failed.
    SignInFailed,
    /// An account was locked after too many failures.
    Locked,
    /// A refresh token that had been used came again; the session was ended (requirement T15).
    RefreshReused,
    /// A session was ended.
    SessionEnded,
    /// All other sessions, or all sessions, of a user were ended.
    SessionsEnded,
    /// A user was created by an admin.
    UserCreated,
    /// A user's name was changed.
    UsernameChanged,
    /// A user's scopes were changed.
    ScopesChanged,
    /// A user was disabled.
    Disabled,
    /// A disabled user was enabled again.
    Enabled,
    /// A user was deleted.
    Deleted,
    /// A user changed its password.
    PasswordChanged,
    /// A password reset was started.
    ResetStarted,
    /// A password was set by a reset.
    PasswordReset,
    /// The signing keys were rotated.
    KeysRotated,
    /// A signing key was retired at once.
    KeyRetired,
    /// Users were imported.
    Imported,
    /// The data was exported.
    Exported,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A user, through its token.
    User(UserId),
    /// Somebody who has not signed in.
    Anonymous,
    /// The command line on the host.
    Operator,
    /// The program itself.
    System,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEvent {
    /// A UUIDv7; events sort by it.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: AuditKind,
    /// Who did it.
    pub actor: Actor,
    /// Which user it was done to.
    pub user_id: Option<UserId>,
    /// Which session it was done to.
    pub session_id: Option<SessionId>,
    /// Where the request came from.
    pub ip: Option<IpAddr>,
    /// The request's `X-Request-Id`.
    pub request_id: Option<String>,
    /// More about it, in words.
    pub detail: Option<String>,
}

/// Which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Only those about this user.
    pub user_id: Option<UserId>,
    /// Only those of this kind.
    pub kind: Option<AuditKind>,
}

impl AuditFilter {
    /// Whether the event passes.
    #[must_use]
    pub fn admits(&self, event: &AuditEvent) -> bool {
        self.user_id.is_none_or(|id| event.user_id == Some(id)) && self.kind.is_none_or(|kind| event.kind == kind)
    }
}
