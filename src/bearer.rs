//! The `Authorization` header as RFC 6750 has it, and the challenge that answers it. Pure functions.

use std::borrow::Cow;

use crate::error::Problem;

/// The realm of every challenge.
pub(crate) const REALM: &str = "shild";

/// Stands for a header that is not text.
pub(crate) const NOT_TEXT: &str = "\u{FFFD}";

/// What a request's `Authorization` headers hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials<'a> {
    /// None, or of another scheme (requirement B1).
    Absent,
    /// One token, of whatever characters: [`refusal`] looks at those that are not accepted.
    Bearer(&'a str),
    /// Two headers, or one that is not text (requirement B4).
    Malformed,
}

/// Reads all `Authorization` headers of a request.
///
/// The scheme's case and the number of spaces after it do not matter (requirement B5).
pub(crate) fn read<'a>(mut headers: impl Iterator<Item = &'a str>) -> Credentials<'a> {
    let Some(header) = headers.next() else {
        return Credentials::Absent;
    };
    if headers.next().is_some() || header == NOT_TEXT {
        return Credentials::Malformed;
    }
    let (scheme, rest) = header.split_at(header.find(' ').unwrap_or(header.len()));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Credentials::Absent;
    }
    Credentials::Bearer(rest.trim_matches(' '))
}

/// Why a token that nobody here accepts is refused: it is not even `b64token` of RFC 6750 §2.1 (requirement B4), or it is of no use
/// (B2). No token that is accepted has other characters, so nobody need look at them before.
pub(crate) fn refusal(token: &str) -> Challenge {
    if is_b64token(token) {
        Challenge::InvalidToken
    } else {
        Challenge::InvalidRequest
    }
}

fn is_b64token(text: &str) -> bool {
    let of_b64token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(of_b64token)
}

/// Why a protected route was not entered: the `WWW-Authenticate` of RFC 6750 §3 and RFC 9470 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Challenge {
    /// No credentials (requirement B1).
    Missing,
    /// Bad, expired, revoked or foreign: one wording for all (requirement B2).
    InvalidToken,
    /// The token lacks this scope (requirement B3).
    InsufficientScope(Cow<'static, str>),
    /// Malformed credentials (requirement B4).
    InvalidRequest,
    /// The sign-in is older than this many seconds (RFC 9470).
    ReauthenticationRequired {
        /// How old the sign-in may be, in seconds.
        max_age: u64,
    },
}

impl Challenge {
    pub(crate) const fn problem(&self) -> Problem {
        match self {
            Self::Missing => Problem::Unauthenticated,
            Self::InvalidToken => Problem::InvalidToken,
            Self::InsufficientScope(_) => Problem::InsufficientScope,
            Self::InvalidRequest => Problem::InvalidRequest,
            Self::ReauthenticationRequired { .. } => Problem::ReauthenticationRequired,
        }
    }

    pub(crate) fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Missing => "This needs an access token: Authorization: Bearer <access token>.".into(),
            Self::InvalidToken => "The access token is malformed, expired, revoked, or not from here.".into(),
            Self::InsufficientScope(scope) => format!("This needs a token with the scope {scope}.").into(),
            Self::InvalidRequest => {
                "There must be exactly one Authorization header, with a token of letters, digits and -._~+/ in it."
                    .into()
            }
            Self::ReauthenticationRequired { max_age } => {
                format!("This needs a sign-in at most {max_age} seconds old. Sign in again.").into()
            }
        }
    }

    /// The value of `WWW-Authenticate`. Each attribute stands in it at most once (requirement B7).
    #[must_use]
    pub fn www_authenticate(&self) -> String {
        let with = |error: &str, description: &str| {
            format!(r#"Bearer realm="{REALM}", error="{error}", error_description="{description}""#)
        };
        match self {
            Self::Missing => format!(r#"Bearer realm="{REALM}""#),
            Self::InvalidToken => with("invalid_token", "The access token is not valid"),
            Self::InvalidRequest => with("invalid_request", "The credentials are malformed"),
            Self::InsufficientScope(scope) => {
                format!(
                    r#"{}, scope="{scope}""#,
                    with("insufficient_scope", "The token lacks a scope")
                )
            }
            Self::ReauthenticationRequired { max_age } => format!(
                r#"{}, max_age="{max_age}""#,
                with("insufficient_user_authentication", "A more recent sign-in is required")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(header: &str) -> Credentials<'_> {
        read(std::iter::once(header))
    }

    // B1
    #[test]
    fn no_header_and_another_scheme_are_absent() {
        assert_eq!(read(std::iter::empty()), Credentials::Absent);
        assert_eq!(read_one("Basic Og=="), Credentials::Absent);
        assert_eq!(read_one(""), Credentials::Absent);
        assert_eq!(read_one("Bearertoken"), Credentials::Absent);
    }

    // B4
    #[test]
    fn empty_illegal_and_double_are_malformed() {
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer   ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer é",
            "Bearer \"x\"",
        ] {
            let Credentials::Bearer(token) = read_one(header) else {
                panic!("{header}");
            };
            assert_eq!(refusal(token), Challenge::InvalidRequest, "{header}");
        }
        for token in ["a", "abc.d~e+f/g==", "-._~+/"] {
            assert_eq!(refusal(token), Challenge::InvalidToken, "{token}");
        }
        assert_eq!(read(["Bearer a", "Bearer a"].into_iter()), Credentials::Malformed);
        assert_eq!(read(["Bearer a", "Basic Og=="].into_iter()), Credentials::Malformed);
    }

    // B5
    #[test]
    fn the_scheme_is_read_in_any_case_with_any_spaces() {
        for header in [
            "Bearer abc.d~e+f/g==",
            "bEaReR abc.d~e+f/g==",
            "BEARER    abc.d~e+f/g==",
        ] {
            assert_eq!(read_one(header), Credentials::Bearer("abc.d~e+f/g=="), "{header}");
        }
    }

    // B7
    #[test]
    fn each_attribute_of_a_challenge_comes_once() {
        for challenge in [
            Challenge::Missing,
            Challenge::InvalidToken,
            Challenge::InvalidRequest,
            Challenge::InsufficientScope("admin".into()),
            Challenge::ReauthenticationRequired { max_age: 600 },
        ] {
            let header = challenge.www_authenticate();
            for attribute in ["realm=", "error=", "error_description=", "scope=", "max_age="] {
                assert!(header.matches(&format!(" {attribute}")).count() <= 1, "{header}");
            }
        }
    }
}
