//! What the records of each program's export mean.

mod django;
mod fastapi_users;
mod fields;
mod pocketbase;
mod shild;
mod supabase;

use std::fmt;
use std::str::FromStr;

use self::fields::Fields;
use super::ImportOptions;
use super::records::Content;
use crate::audit::AuditEvent;
use crate::clock::{Random, Timestamp};
use crate::error::{Error, Problem};
use crate::json;
use crate::password::PasswordHash;
use crate::session::SessionRecord;
use crate::transfer::line::End;
use crate::user::{KeptSession, PendingReset, Scope, Scopes, UserId, UserRecord, Username};

/// Whose export it is.
///
/// Of other programs' users this is taken over: the name to sign in with, the hash, whether they may sign in, and when they were
/// made. Their ids are kept where they are UUIDs, so that other tables still match; others get new ones. They have the
/// scope `user`. Columns and members that say nothing of these are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// shild's own export: one JSON object a line; unknown members are refused. Of a user only `username` is needed.
    #[default]
    Shild,
    /// Supabase: the table `auth.users` as CSV or JSON. The name is the e-mail address, else the telephone number. Banned
    /// users and those who have never confirmed their address are disabled; deleted and anonymous ones are left out.
    /// `is_super_admin` makes an admin.
    Supabase,
    /// Django: `manage.py dumpdata auth.user`, or the table as CSV. The name is `username`, else `email`. Inactive users are
    /// disabled; an unusable password leaves the account to be entered by a reset. Other models in the dump are left
    /// out. `is_superuser` makes an admin.
    Django,
    /// PocketBase: the table of an auth collection from its SQLite file, as CSV or JSON (`sqlite3 -json`). The name is the
    /// e-mail address, else `username`. Records that say that they are of the collection `_superusers` make admins.
    PocketBase,
    /// fastapi-users: the table `user` as CSV or JSON. The name is the e-mail address. Inactive users are disabled.
    /// `is_superuser` makes an admin.
    FastapiUsers,
}

impl Format {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Shild,
        Self::Supabase,
        Self::Django,
        Self::PocketBase,
        Self::FastapiUsers,
    ];

    /// Its name on the command line and in a query.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shild => "shild",
            Self::Supabase => "supabase",
            Self::Django => "django",
            Self::PocketBase => "pocketbase",
            Self::FastapiUsers => "fastapi-users",
        }
    }

    pub(super) const fn may_be_csv(self) -> bool {
        !matches!(self, Self::Shild)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No format has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a format is one of shild, supabase, django, pocketbase, fastapi-users")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .iter()
            .copied()
            .find(|format| format.as_str() == text)
            .ok_or(UnknownFormat)
    }
}

/// What a record means.
#[derive(Debug)]
pub(super) enum Item {
    User(Box<Candidate>),
    Session(Box<SessionRecord>),
    Event(Box<AuditEvent>),
    /// The first line of an export of shild's own.
    Header,
    /// Its last line.
    End(End),
    /// Not to be taken over.
    LeftOut,
}

/// A user as it is to be: checked, and what the export does not say is `None`.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: Option<UserId>,
    pub(super) username: Username,
    pub(super) password_hash: Option<PasswordHash>,
    pub(super) scopes: Scopes,
    pub(super) disabled: bool,
    pub(super) created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    version: u64,
    session_epoch: u32,
    kept_session: Option<KeptSession>,
    reset: Option<PendingReset>,
}

impl Candidate {
    /// A user of another program's.
    fn foreign(id: Option<UserId>, username: Username, password_hash: Option<PasswordHash>) -> Self {
        Self {
            id,
            username,
            password_hash,
            scopes: Scopes::registered(),
            disabled: false,
            created_at: None,
            updated_at: None,
            version: 1,
            session_epoch: 0,
            kept_session: None,
            reset: None,
        }
    }

    /// What is stored of it.
    pub(super) fn record(&self, now: Timestamp, random: &dyn Random) -> UserRecord {
        let created_at = self.created_at.unwrap_or(now);
        UserRecord {
            id: self.id.unwrap_or_else(|| UserId::generate(now, random)),
            username: self.username.clone(),
            password_hash: self.password_hash.clone(),
            scopes: self.scopes.clone(),
            disabled: self.disabled,
            created_at,
            updated_at: self.updated_at.unwrap_or(created_at),
            version: self.version,
            session_epoch: self.session_epoch,
            kept_session: self.kept_session,
            reset: self.reset.clone(),
        }
    }
}

/// Makes items of records.
pub(super) struct Reader {
    pub(super) options: ImportOptions,
    /// The setting `username.max_length`.
    pub(super) max_username: usize,
    pub(super) now: Timestamp,
}

impl Reader {
    /// # Errors
    /// What is wrong with the record. None of it repeats a value.
    pub(super) fn read(&self, content: Content) -> Result<Item, String> {
        let members = match content {
            Content::Json(bytes) => json::object(&bytes).map_err(|error| words(&error))?,
            Content::Row(members) => members,
        };
        if self.options.format == Format::Shild {
            return shild::read(self, members);
        }
        let fields = Fields::new(&members);
        let user = match self.options.format {
            Format::Supabase => supabase::read(self, &fields),
            Format::Django => django::read(self, &fields),
            Format::PocketBase => pocketbase::read(self, &fields),
            Format::Shild | Format::FastapiUsers => fastapi_users::read(self, &fields).map(Some),
        }?;
        Ok(user.map_or(Item::LeftOut, |user| Item::User(Box::new(user))))
    }

    /// A name as it may be here, from the member that it stands in.
    fn username(&self, pointer: &str, name: &str) -> Result<Username, String> {
        Username::parse(name, self.max_username).map_err(|error| format!("{pointer}: {error}"))
    }

    /// The scopes of a user of another program's.
    fn scopes(&self, is_admin: bool) -> Scopes {
        if is_admin && self.options.admins {
            let both = [Scope::USER, Scope::ADMIN].join(" ");
            Scopes::parse(&both).expect("two good scopes")
        } else {
            Scopes::registered()
        }
    }
}

/// The hash as it may be here; `None` for an empty one.
fn password_hash(pointer: &str, text: Option<&str>) -> Result<Option<PasswordHash>, String> {
    text.map(|text| PasswordHash::parse(text).map_err(|error| format!("{pointer}: {error}")))
        .transpose()
}

/// An error of a record, which is no request and has no body.
fn words(error: &Error) -> String {
    if error.problem() == Problem::BadRequest {
        return "is not a JSON object: it breaks the syntax, is not UTF-8, or is nested too deep".to_owned();
    }
    let faults = error.faults().iter().map(|fault| {
        if fault.pointer.is_empty() {
            fault.detail.clone()
        } else {
            format!("{}: {}", fault.pointer, fault.detail)
        }
    });
    faults.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
