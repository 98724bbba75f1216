//! What an access token says.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Expected, InvalidToken};
use crate::clock::Timestamp;
use crate::user::{Scopes, SessionId, UserId};

/// How far the clocks of two machines may differ (requirement P6).
pub const MAX_SKEW: Duration = Duration::from_secs(30);

/// The claims of an access token. In the token all of them are strings (requirement P3), and times whole seconds.
///
/// A claim that is not known is refused: nothing but this program signs with these keys, so it may be one that narrows what the
/// token is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Who issued it: the setting `issuer`.
    pub iss: String,
    /// Whose it is. An id is never given to somebody else (requirement P4).
    #[serde(deserialize_with = "from_text")]
    pub sub: UserId,
    /// Whom it is for: the setting `audience`.
    pub aud: String,
    /// From this point on it is refused.
    #[serde(serialize_with = "whole_seconds")]
    pub exp: Timestamp,
    /// Before this point it is refused.
    #[serde(serialize_with = "whole_seconds")]
    pub nbf: Timestamp,
    /// When it was issued.
    #[serde(serialize_with = "whole_seconds")]
    pub iat: Timestamp,
    /// Names this one token.
    pub jti: String,
    /// The session that it belongs to.
    #[serde(deserialize_with = "from_text")]
    pub sid: SessionId,
    /// What it is good for.
    #[serde(serialize_with = "space_separated", deserialize_with = "scopes")]
    pub scope: Scopes,
    /// When the password was last checked (RFC 9470 §3).
    #[serde(serialize_with = "whole_seconds")]
    pub auth_time: Timestamp,
    /// The client that it was issued to, if it said so.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::patch::present"
    )]
    pub client_id: Option<String>,
}

impl Claims {
    /// The payload of the token.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings can be written as JSON")
    }

    /// Reads a payload whose signature was verified. Duplicate, missing, mistyped and unknown claims are refused (requirement P5).
    pub(super) fn from_json(payload: &str) -> Result<Self, InvalidToken> {
        // Serde would also read a struct from an array.
        if !payload.starts_with('{') {
            return Err(InvalidToken::Claims);
        }
        serde_json::from_str(payload).map_err(|_| InvalidToken::Claims)
    }

    /// Whether the token is one for us, now (requirements P5, P6): this depends on more than its bytes, and is checked anew
    /// at each use.
    pub(super) fn check(&self, expected: &Expected<'_>, now: Timestamp) -> Result<(), InvalidToken> {
        if self.iss != expected.issuer {
            Err(InvalidToken::Issuer)
        } else if self.aud != expected.audience {
            Err(InvalidToken::Audience)
        } else if self.exp.after(MAX_SKEW) <= now {
            Err(InvalidToken::Expired)
        } else if now.after(MAX_SKEW) < self.nbf || now.after(MAX_SKEW) < self.iat {
            Err(InvalidToken::NotYet)
        } else {
            Ok(())
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn whole_seconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    at.truncate_to_secs().serialize(serializer)
}

fn space_separated<S: Serializer>(scopes: &Scopes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(scopes)
}

fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scopes, D::Error> {
    let text = String::deserialize(deserializer)?;
    // A user may be left without any scope; RFC 6749 has no way to write that but this.
    if text.is_empty() {
        Ok(Scopes::default())
    } else {
        Scopes::parse(&text).map_err(de::Error::custom)
    }
}

/// Through the type's own strict `FromStr`: the `Deserialize` of a UUID takes several other forms.
fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}
