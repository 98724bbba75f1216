//! Access tokens: PASETO v4.public, issued and verified. Pure functions of keys, time and claims.

mod claims;
mod footer;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub mod keyring;
pub(crate) mod mac;
pub mod master;
pub mod paserk;
pub mod paseto;
pub mod refresh;
pub mod verified;

#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::ZeroizeOnDrop;

pub use claims::{Claims, MAX_SKEW};

use crate::clock::Timestamp;
use keyring::Keyring;
use paserk::KeyId;
use paseto::{MAX_TOKEN_LEN, SignedToken};

/// An access token as the client gets it.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct AccessToken(String);

impl AccessToken {
    /// The text for the client; it goes nowhere else.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// Signs `claims` with the active key.
///
/// # Errors
/// If the token would be longer than [`MAX_TOKEN_LEN`], so that [`verify`] would refuse it (requirement P11).
pub fn issue(keyring: &Keyring, claims: &Claims) -> Result<AccessToken, TokenTooLong> {
    let token = keyring.sign(claims.to_json().as_bytes());
    if token.len() > MAX_TOKEN_LEN {
        Err(TokenTooLong(token.len()))
    } else {
        Ok(AccessToken(token))
    }
}

/// The claims together are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token would have {0} bytes, {MAX_TOKEN_LEN} are allowed: ask for fewer scopes")]
pub struct TokenTooLong(usize);

/// Who must have issued a token, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The only `iss` that is accepted.
    pub issuer: &'a str,
    /// The only `aud` that is accepted.
    pub audience: &'a str,
}

/// A token whose signature and claims are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    kid: KeyId,
    claims: Claims,
}

impl Verified {
    /// The key that signed it.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        self.kid
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Checks all that can change while the token's bytes do not: its key may be gone, it may have expired.
    fn check(&self, keyring: &Keyring, expected: &Expected<'_>, now: Timestamp) -> Result<(), InvalidToken> {
        keyring.find(self.kid, now).ok_or(InvalidToken::Key)?;
        self.claims.check(expected, now)
    }
}

/// Whether `token` is an access token of ours that is good now: in this order length, form, key, signature, claims, issuer,
/// audience, time. Whether its session and its user are still there, the store knows.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(
    keyring: &Keyring,
    token: &str,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Verified, InvalidToken> {
    let signed = SignedToken::parse(token)?;
    let kid = footer::parse(signed.footer()).ok_or(InvalidToken::Footer)?;
    let key = keyring.find(kid, now).ok_or(InvalidToken::Key)?;
    let payload = signed.verify(key, b"")?;
    let claims = Claims::from_json(&payload)?;
    claims.check(expected, now)?;
    Ok(Verified { kid, claims })
}

/// Why an access token was refused. For logs: a client is told the same whatever it is (requirement B2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// P11.
    #[error("longer than {MAX_TOKEN_LEN} bytes")]
    TooLong,
    /// P2, P9.
    #[error("not a v4.public PASETO in strict base64url")]
    Malformed,
    /// P7, P8.
    #[error("its footer is not exactly {{\"kid\":\"k4.pid.…\"}}")]
    Footer,
    /// P8, P12.
    #[error("signed with a key that is not known, or retired")]
    Key,
    /// P9.
    #[error("its signature is wrong")]
    Signature,
    /// P5.
    #[error("a claim is missing, mistyped, repeated or unknown")]
    Claims,
    /// P5.
    #[error("issued by somebody else")]
    Issuer,
    /// P5.
    #[error("meant for somebody else")]
    Audience,
    /// P6.
    #[error("expired")]
    Expired,
    /// P6.
    #[error("issued for a time that has not come yet")]
    NotYet,
}
