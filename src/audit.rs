//! The audit log: who did what to whom, when, and from where. Nothing secret is in it.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::user::{EventId, SessionId, UserId};

/// Of the events that are kept, guesses ([`AuditKind::is_guess`]) are sure of one in this many. Once the log is full, those
/// beyond their share go before anything else does: so whoever guesses can push out other guesses only.
pub const GUESSES_SHARE: usize = 4;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum AuditKind {
            $($(#[$doc])* $name,)*
        }

        impl AuditKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in the log, as in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether it is a guess that failed: what anybody at all can cause, as often as the throttle lets them.
            #[must_use]
            pub const fn is_guess(self) -> bool {
                matches!(self, Self::SignInFailed | Self::ResetFailed)
            }

            /// The kind of this name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
            }
        }
    };
}

kinds! {
    /// Somebody registered.
    Registered = "registered",
    /// Somebody signed in.
    SignedIn = "signed_in",
    /// A sign-in failed, or a change of password whose current one was not given rightly.
    SignInFailed = "sign_in_failed",
    /// An account was locked after too many failures.
    Locked = "locked",
    /// A refresh token that had been used came again; the session was ended (requirement T15).
    RefreshReused = "refresh_reused",
    /// A session was ended.
    SessionEnded = "session_ended",
    /// All other sessions, or all sessions, of a user were ended.
    SessionsEnded = "sessions_ended",
    /// A user was created by an admin.
    UserCreated = "user_created",
    /// A user's name was changed.
    UsernameChanged = "username_changed",
    /// A user's scopes were changed.
    ScopesChanged = "scopes_changed",
    /// A user was disabled.
    Disabled = "disabled",
    /// A disabled user was enabled again.
    Enabled = "enabled",
    /// A user was deleted.
    Deleted = "deleted",
    /// A user changed its password.
    PasswordChanged = "password_changed",
    /// A password reset was started.
    ResetStarted = "reset_started",
    /// A password was set by a reset.
    PasswordReset = "password_reset",
    /// The signing keys were rotated.
    KeysRotated = "keys_rotated",
    /// A signing key was retired at once.
    KeyRetired = "key_retired",
    /// An import of users began, or has ended.
    Imported = "imported",
    /// The data was exported.
    Exported = "exported",
    /// A password reset was tried with a token that is not, or no longer, good.
    ResetFailed = "reset_failed",
    /// The store was brought back from a snapshot: what happened between that and this is not in the log.
    Restored = "restored",
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_everywhere() {
        for kind in AuditKind::ALL.iter().copied() {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(AuditKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(AuditKind::parse("SignedIn"), None);
    }
}
