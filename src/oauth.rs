//! The errors of the OAuth endpoints, as RFC 6749 §5.2 has them.

use std::borrow::Cow;
use std::time::Duration;

use crate::bearer::{Challenge, REALM};
use crate::error::{Error, Problem};
use crate::store::StoreError;

/// The codes that shild uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnsupportedGrantType,
    InvalidScope,
    /// Of RFC 6750 §3.1, for the caller of `/introspect`.
    InvalidToken,
    /// Likewise.
    InsufficientScope,
    /// Not of RFC 6749 §5.2 but of §4.1.2.1: for 429 and 503.
    TemporarilyUnavailable,
    /// Likewise, for 500.
    ServerError,
}

impl Code {
    pub(crate) const ALL: [Self; 9] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::InvalidToken,
        Self::InsufficientScope,
        Self::TemporarilyUnavailable,
        Self::ServerError,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// An error of an OAuth endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) code: Code,
    pub(crate) status: u16,
    pub(crate) description: Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
    /// The value of `WWW-Authenticate` (requirements T12, T21).
    pub(crate) challenge: Option<String>,
}

impl OAuthError {
    pub(crate) const fn new(code: Code, status: u16, description: Cow<'static, str>) -> Self {
        Self {
            code,
            status,
            description,
            retry_after: None,
            challenge: None,
        }
    }

    pub(crate) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, 400, description.into())
    }

    /// T6: one and the same answer, whatever the reason.
    pub(crate) const fn invalid_grant() -> Self {
        Self::new(
            Code::InvalidGrant,
            400,
            Cow::Borrowed("The username or the password is wrong"),
        )
    }

    /// T14: one and the same answer for a refresh token that is unknown, expired, revoked or another client's.
    pub(crate) const fn invalid_refresh_token() -> Self {
        Self::new(Code::InvalidGrant, 400, Cow::Borrowed("The refresh token is not valid"))
    }

    /// RFC 7009 §2.1: a token is its own client's to revoke.
    pub(crate) const fn anothers_token() -> Self {
        Self::new(
            Code::InvalidGrant,
            400,
            Cow::Borrowed("The token was not issued to this client"),
        )
    }

    pub(crate) fn invalid_scope(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidScope, 400, description.into())
    }

    pub(crate) fn invalid_client(description: &'static str) -> Self {
        let challenge = Some(format!(r#"Basic realm="{REALM}""#));
        Self {
            challenge,
            ..Self::new(Code::InvalidClient, 401, Cow::Borrowed(description))
        }
    }

    pub(crate) fn temporarily_unavailable(
        status: u16,
        description: impl Into<Cow<'static, str>>,
        wait: Duration,
    ) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(Code::TemporarilyUnavailable, status, description.into())
        }
    }

    /// The description with nothing in it but what RFC 6749 §5.2 allows (requirement T9).
    pub(crate) fn clean_description(&self) -> String {
        let allowed = |c: char| matches!(c, '\x20'..='\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E');
        self.description
            .chars()
            .map(|c| if allowed(c) { c } else { '?' })
            .collect()
    }
}

impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        let wait = error.retry_after.unwrap_or(Duration::from_secs(1));
        let description = error.detail.clone();
        if let Some(challenge) = error.challenge {
            let code = match challenge {
                Challenge::InsufficientScope(_) => Code::InsufficientScope,
                Challenge::InvalidToken => Code::InvalidToken,
                _ => Code::InvalidRequest,
            };
            return Self {
                challenge: Some(challenge.www_authenticate()),
                ..Self::new(code, error.problem.status(), description)
            };
        }
        match error.problem {
            Problem::TooManyRequests => Self::temporarily_unavailable(429, description, wait),
            Problem::Unavailable => Self::temporarily_unavailable(503, description, wait),
            Problem::Internal => Self::new(Code::ServerError, 500, description),
            problem => Self::new(Code::InvalidRequest, problem.status(), description),
        }
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

/// What a `client_id` is, in words.
pub(crate) const CLIENT_ID_RULE: &str = "A client_id is at most 128 printable ASCII characters";

/// Whether this can name a client: RFC 6749 Appendix A.1, `*VSCHAR`; the length is an own choice.
pub(crate) fn is_client_id(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|byte| matches!(byte, 0x20..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    // T9
    #[test]
    fn a_description_holds_only_what_the_grammar_allows() {
        let error = OAuthError::invalid_request("a \"quoted\" back\\slash, é, \n and \u{7f}".to_owned());
        assert_eq!(error.clean_description(), "a ?quoted? back?slash, ?, ? and ?");
    }
}
