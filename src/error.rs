//! What can go wrong, in one table: its status, its type, its title and its explanation.
//!
//! The responder, the page `/problems/{slug}` and the OpenAPI document all read this table, so
//! they cannot say different things. The OAuth endpoints have an error type of their own: `crate::oauth`.

use std::borrow::Cow;
use std::time::Duration;

use crate::bearer::Challenge;
use crate::store::{Conflict, StoreError};

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $slug:literal, $title:literal, $explanation:literal;)*) => {
        /// Each kind of problem that shild answers with (RFC 9457).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Problem {
            $(#[doc = $title] $name,)*
        }

        impl Problem {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The HTTP status it comes with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The last segment of its `type`, `/problems/{slug}`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// Its `title`: the same for each occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What it means and what to do, for whoever follows the `type`.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation,)* }
            }
        }
    };
}

problems! {
    BadRequest = 400, "bad-request", "The request is malformed",
        "The request could not be read: its URL, its headers or its framing break HTTP, or its JSON body is not JSON. The detail says which. Send it again in the right form.";
    InvalidRequest = 400, "invalid-request", "The credentials are malformed",
        "The Authorization header has no token, illegal characters in it, or came twice (RFC 6750 section 3.1). Send exactly one header: Authorization: Bearer <access token>.";
    Unauthenticated = 401, "unauthenticated", "Sign in first",
        "This operation needs an access token and the request had none. Get one from the token endpoint and send it as Authorization: Bearer <access token>.";
    InvalidToken = 401, "invalid-token", "The access token is not valid",
        "The access token is malformed, expired, revoked, or was not issued here; which of these is not told. Refresh it, or sign in again.";
    ReauthenticationRequired = 401, "insufficient-user-authentication", "Sign in again for this",
        "This operation needs a sign-in that is at most max_age seconds old (RFC 9470). Sign in again with the password and repeat it with the new token.";
    WrongPassword = 403, "wrong-password", "The current password is wrong",
        "The current password was not given correctly, or the account is held back after too many failures. Nothing was changed.";
    RegistrationClosed = 403, "registration-closed", "Registration is closed",
        "This service does not let people register themselves (setting registration). Ask an administrator for an account.";
    InsufficientScope = 403, "insufficient-scope", "The token lacks a scope",
        "The access token is valid but does not carry the scope that the operation needs (RFC 6750 section 3.1). The WWW-Authenticate header names it. Ask for it at the token endpoint, or ask an administrator to grant it.";
    Forbidden = 403, "forbidden", "This is not allowed",
        "The server understood the request and refuses it. The detail says why.";
    NotFound = 404, "not-found", "There is nothing here",
        "No such path, or no such object, or none that this token may see.";
    MethodNotAllowed = 405, "method-not-allowed", "The method is not allowed here",
        "The path exists but not with this method. The Allow header lists the methods that it has.";
    RequestTimeout = 408, "request-timeout", "The request came too slowly",
        "The body did not come in the time that the server waits for one (setting request_timeout). Send it again.";
    UsernameTaken = 409, "username-taken", "The username is taken",
        "Somebody has this username, or one that looks like it (UTS 39). Names are compared after the mapping of RFC 8265, so upper and lower case are the same. Choose another.";
    LastAdmin = 409, "last-admin", "This is the last administrator",
        "The change would leave no enabled user with the scope admin, and nobody could administer this service any more. Give another user the scope first.";
    Stale = 412, "stale", "It has changed in the meantime",
        "The If-Match header names a version that is not the current one. Read the object again and decide anew.";
    PayloadTooLarge = 413, "payload-too-large", "The body is too large",
        "The body is longer than this operation accepts (8 KiB unless the document says otherwise).";
    UriTooLong = 414, "uri-too-long", "The URL is too long",
        "The path and query of the request are longer than 8 KiB. No operation needs that much.";
    UnsupportedMediaType = 415, "unsupported-media-type", "The body has the wrong content type",
        "This operation reads application/json. Say so in the Content-Type header.";
    Unprocessable = 422, "invalid-body", "A member of the request is refused",
        "The request could be read, but some of it is not allowed: the array errors says which member, why, and what is allowed. Unknown and repeated members are refused, never ignored.";
    HeadTooLarge = 431, "head-too-large", "The head of the request is too large",
        "The request line and the header fields are together longer than 16 KiB, or there are more than 64 fields. Send fewer or shorter ones.";
    TooManyRequests = 429, "too-many-requests", "Too many attempts",
        "Too many attempts came from this address. Wait for as many seconds as the Retry-After header says.";
    Internal = 500, "internal", "Something broke in here",
        "The server made a mistake. It has been logged under the id in the header X-Request-Id.";
    Unavailable = 503, "unavailable", "Not possible at this moment",
        "The server is too busy, or its store cannot be read or written. Nothing that was not acknowledged can be relied on. Try again after as many seconds as the Retry-After header says.";
}

/// One member of a request that is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A JSON Pointer (RFC 6901) to the member.
    pub pointer: String,
    /// What is wrong, for programs.
    pub code: &'static str,
    /// What is wrong and what is allowed, for people.
    pub detail: String,
}

/// A problem as it happened.
#[derive(Clone, Debug)]
pub struct Error {
    pub(crate) problem: Problem,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) challenge: Option<Challenge>,
}

impl Error {
    /// A problem with what is to be said of this occurrence.
    pub fn new(problem: Problem, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            problem,
            detail: detail.into(),
            faults: Vec::new(),
            retry_after: None,
            challenge: None,
        }
    }

    /// A member of the request that is refused: [`Problem::Unprocessable`].
    pub fn fault(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(
            Problem::Unprocessable,
            "A member of the request body is refused; see errors.",
        )
        .at(pointer, code, detail)
    }

    /// Names one more member that is at fault.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        self.faults.push(Fault {
            pointer: pointer.into(),
            code,
            detail: detail.into(),
        });
        self
    }

    /// Not now, but after `wait`: `Retry-After` (requirement H12).
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// [`Problem::Unavailable`] for a moment.
    pub fn busy(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Problem::Unavailable, detail).retry_after(Duration::from_secs(1))
    }

    /// Which kind of problem it is.
    #[must_use]
    pub const fn problem(&self) -> Problem {
        self.problem
    }

    /// What was said of this occurrence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The members at fault.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)?;
        for fault in &self.faults {
            write!(f, " {}: {}", fault.pointer, fault.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Challenge> for Error {
    fn from(challenge: Challenge) -> Self {
        Self {
            challenge: Some(challenge.clone()),
            ..Self::new(challenge.problem(), challenge.detail())
        }
    }
}

impl From<StoreError> for Error {
    /// The cause of a store's failure is logged here, once, and not told to the client.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(Conflict::Confusable) => {
                Self::new(Problem::UsernameTaken, "A username that looks like this one is taken.").at(
                    "/username",
                    "confusable",
                    "looks like a username that is taken; choose one that cannot be mistaken for it",
                )
            }
            StoreError::Conflict(Conflict::Username) => Self::new(Problem::UsernameTaken, "The username is taken.").at(
                "/username",
                "taken",
                "is taken; choose another",
            ),
            StoreError::Stale => Self::new(Problem::Stale, "It was changed or deleted since it was read."),
            StoreError::LastAdmin => Self::new(
                Problem::LastAdmin,
                "This is the last enabled user with the scope admin.",
            ),
            StoreError::Unavailable(cause) => {
                tracing::error!(cause, "the store is unavailable");
                Self::new(
                    Problem::Unavailable,
                    "The store cannot be read or written at this moment.",
                )
                .retry_after(Duration::from_secs(2))
            }
            StoreError::Corrupt { .. } | StoreError::Conflict(Conflict::Id) => {
                tracing::error!(cause = %error, "the store is damaged");
                Self::new(Problem::Internal, "The server could not do this.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_unique_and_url_safe() {
        let mut slugs: Vec<_> = Problem::ALL.iter().map(|p| p.slug()).collect();
        assert!(
            slugs
                .iter()
                .all(|s| s.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        );
        slugs.sort_unstable();
        let count = slugs.len();
        slugs.dedup();
        assert_eq!(slugs.len(), count);
    }

    // H14
    #[test]
    fn the_cause_of_a_store_failure_is_not_told() {
        let error = Error::from(StoreError::Unavailable("/secret/path: I/O error".to_owned()));
        assert!(!error.to_string().contains("secret"));
        assert_eq!(error.problem().status(), 503);
        assert!(error.retry_after.is_some());
    }
}
