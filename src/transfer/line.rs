//! What a line may be.

use std::net::IpAddr;

use base64ct::{Base64UrlUnpadded, Encoding};
use schemars::JsonSchema;
use schemars::schema::{RootSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::audit::{Actor, AuditEvent, AuditKind};
use crate::clock::Timestamp;
use crate::password::PasswordHash;
use crate::session::SessionRecord;
use crate::user::{EventId, KeptSession, PendingReset, Scopes, SessionId, UserId, UserRecord};

/// What stands in [`Header::format`].
pub const FORMAT: &str = "shild";

/// The version of the format that is written.
pub const VERSION: u32 = 1;

/// The most that [`UserLine::version`] may be in an import: as far as JSON's numbers are exact everywhere (RFC 8259 §6).
pub const MAX_VERSION: u64 = (1 << 53) - 1;

/// The most that every other counter may be in an import: what is counted on from there never comes to the end of 32 bits.
pub const MAX_COUNT: u32 = u32::MAX / 2;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Header(Header),
    /// A user.
    User(UserLine),
    /// A session.
    Session(SessionLine),
    /// An entry of the audit log.
    Event(EventLine),
    /// The last line.
    End(End),
}

/// Says what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Always `shild`.
    pub format: String,
    /// Always 1.
    pub version: u32,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
        }
    }
}

/// Says how many there were of each kind. Where it is missing, the end is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Users.
    pub users: u64,
    /// Sessions.
    pub sessions: u64,
    /// Entries of the audit log.
    pub events: u64,
}

/// A user. What is left out besides the name gets the value of a user who is made now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserLine {
    /// Its id, by which other programs may know it.
    #[serde(default)]
    pub id: Option<UserId>,
    /// Its name.
    pub username: String,
    /// The hash of its password, as a PHC string; null if it has none and can be entered only by a reset.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password_hash: Option<PasswordHash>,
    /// What its tokens may carry.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// Whether it is kept from signing in.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// When it was created.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// When it was last changed.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    /// How many times it was written, from 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub version: Option<u64>,
    /// How many times all of its sessions were ended at once.
    #[serde(default)]
    #[schemars(range(max = 2_147_483_647))]
    pub session_epoch: Option<u32>,
    /// A password reset that was started and not yet used.
    #[serde(default)]
    pub reset: Option<ResetLine>,
    /// The session that stayed when the others ended at once.
    #[serde(default)]
    pub kept_session: Option<KeptSession>,
}

/// A password reset that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetLine {
    /// The BLAKE2b-256 of the token's random part, base64url.
    #[serde(serialize_with = "write_digest", deserialize_with = "read_digest")]
    #[schemars(with = "String")]
    pub digest: [u8; 32],
    /// Until when the token is good.
    pub expires_at: Timestamp,
}

/// A session. Its refresh tokens go on being good where the master key is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionLine {
    /// Whose it is.
    pub user_id: UserId,
    /// Its id.
    pub id: SessionId,
    /// How many times it was written, from 1.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub revision: u32,
    /// It is dead unless this is its user's `session_epoch`.
    #[schemars(range(max = 2_147_483_647))]
    pub epoch: u32,
    /// Which of its refresh tokens is the current one.
    #[schemars(range(max = 2_147_483_647))]
    pub generation: u32,
    /// The client that it was opened by, if it said so.
    #[schemars(length(max = 128), regex(pattern = r"^[\x20-\x7E]*$"))]
    pub client_id: Option<String>,
    /// The `User-Agent` that it was opened with.
    #[schemars(length(max = 256))]
    pub user_agent: Option<String>,
    /// The address that it was opened from.
    pub ip: Option<IpAddr>,
    /// What its tokens may carry at most.
    pub scopes: Scopes,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When the password was last checked.
    pub auth_time: Timestamp,
    /// When tokens were last issued for it.
    pub last_used_at: Timestamp,
    /// When its refresh token was last rotated.
    pub rotated_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventLine {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: AuditKind,
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

/// The JSON Schema (draft 7) of a line.
#[must_use]
pub fn schema() -> RootSchema {
    let mut schema = schemars::schema_for!(Line);
    schema.schema.metadata().title = Some("A line of an export of shild".to_owned());
    // schemars loses this where it joins the tag to the members.
    let kinds = schema.schema.subschemas().one_of.iter_mut().flatten();
    for kind in kinds {
        if let Schema::Object(kind) = kind {
            kind.object().additional_properties = Some(Box::new(Schema::Bool(false)));
        }
    }
    schema
}

impl From<UserRecord> for UserLine {
    fn from(user: UserRecord) -> Self {
        Self {
            id: Some(user.id),
            username: user.username.as_str().to_owned(),
            password_hash: user.password_hash,
            scopes: Some(user.scopes),
            disabled: Some(user.disabled),
            created_at: Some(user.created_at),
            updated_at: Some(user.updated_at),
            version: Some(user.version),
            session_epoch: Some(user.session_epoch),
            reset: user.reset.map(ResetLine::from),
            kept_session: user.kept_session,
        }
    }
}

impl From<PendingReset> for ResetLine {
    fn from(PendingReset { digest, expires_at }: PendingReset) -> Self {
        Self { digest, expires_at }
    }
}

impl From<ResetLine> for PendingReset {
    fn from(ResetLine { digest, expires_at }: ResetLine) -> Self {
        Self { digest, expires_at }
    }
}

/// Both ways between a record and its line, member by member.
macro_rules! alike {
    ($record:ident, $line:ident: $($of_record:ident as $of_line:ident),* $(,)?) => {
        impl From<$record> for $line {
            fn from(record: $record) -> Self {
                Self { $($of_line: record.$of_record),* }
            }
        }

        impl From<$line> for $record {
            fn from(line: $line) -> Self {
                Self { $($of_record: line.$of_line),* }
            }
        }
    };
}

alike! {
    SessionRecord, SessionLine:
    user_id as user_id, id as id, revision as revision, epoch as epoch, generation as generation,
    client_id as client_id, user_agent as user_agent, ip as ip, scopes as scopes, created_at as created_at,
    auth_time as auth_time, last_used_at as last_used_at, rotated_at as rotated_at, expires_at as expires_at,
}

alike! {
    AuditEvent, EventLine:
    id as id, at as at, kind as event, actor as actor, user_id as user_id, session_id as session_id, ip as ip,
    request_id as request_id, detail as detail,
}

fn write_digest<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Base64UrlUnpadded::encode_string(digest))
}

fn read_digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut digest = [0; 32];
    match Base64UrlUnpadded::decode(&text, &mut digest) {
        Ok(bytes) if bytes.len() == 32 => Ok(digest),
        _ => Err(de::Error::custom("expected 32 bytes as 43 characters of base64url")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Line, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    const ID: &str = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";

    #[test]
    fn every_line_is_written_as_it_was_read() {
        let lines = [
            r#"{"kind":"header","format":"shild","version":1}"#.to_owned(),
            format!(
                r#"{{"kind":"user","id":"{ID}","username":"juliet","password_hash":"$argon2id$…","scopes":["admin","user"],"disabled":false,"created_at":"2023-11-14T22:13:20.123Z","updated_at":"2023-11-14T22:13:20Z","version":18446744073709551615,"session_epoch":2,"reset":{{"digest":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc","expires_at":"2023-11-14T22:13:20Z"}},"kept_session":{{"id":"{ID}","epoch":2}}}}"#
            ),
            format!(
                r#"{{"kind":"session","user_id":"{ID}","id":"{ID}","revision":1,"epoch":0,"generation":3,"client_id":null,"user_agent":"a \"b\"","ip":"2001:db8::1","scopes":["user"],"created_at":"2023-11-14T22:13:20Z","auth_time":"2023-11-14T22:13:20Z","last_used_at":"2023-11-14T22:13:20Z","rotated_at":"2023-11-14T22:13:20Z","expires_at":"2023-11-14T22:13:20Z"}}"#
            ),
            format!(
                r#"{{"kind":"event","id":"{ID}","at":"2023-11-14T22:13:20Z","event":"signed_in","actor":{{"user":"{ID}"}},"user_id":"{ID}","session_id":null,"ip":null,"request_id":"r","detail":null}}"#
            ),
            r#"{"kind":"end","users":1,"sessions":1,"events":1}"#.to_owned(),
        ];
        for text in lines {
            let line = read(&text).unwrap();
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
        }
    }

    #[test]
    fn a_user_needs_nothing_but_a_name() {
        let Ok(Line::User(user)) = read(r#"{"kind":"user","username":"juliet"}"#) else {
            panic!("not a user");
        };
        assert_eq!((user.username.as_str(), user.id, user.version), ("juliet", None, None));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, words) in [
            (r#"{"kind":"user","username":"juliet","admin":true}"#, "admin"),
            (r#"{"kind":"user"}"#, "username"),
            (r#"{"kind":"key"}"#, "key"),
            (r#"{"username":"juliet"}"#, "kind"),
            (
                r#"{"kind":"user","username":"a","reset":{"digest":"BwcH","expires_at":"2023-11-14T22:13:20Z"}}"#,
                "43 characters",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    // H14
    #[test]
    fn hashes_are_not_in_debug_output() {
        let line = read(r#"{"kind":"user","username":"juliet","password_hash":"$argon2id$secret"}"#).unwrap();
        assert!(!format!("{line:?}").contains("secret"));
    }

    #[test]
    fn the_schema_knows_every_kind_and_nothing_else() {
        let schema = serde_json::to_value(schema()).unwrap();
        let kinds = schema["oneOf"].as_array().unwrap().iter().map(|kind| {
            assert_eq!(kind["additionalProperties"], false, "{kind}");
            kind["properties"]["kind"]["enum"][0].as_str().unwrap()
        });
        assert_eq!(kinds.collect::<Vec<_>>(), ["header", "user", "session", "event", "end"]);
    }
}
