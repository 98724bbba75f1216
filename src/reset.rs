//! Password reset tokens: `shp_`, then the user's id and 256 random bits, of which the store holds a digest only.

use std::fmt;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::user::UserId;

/// How long a reset token is good: whoever starts the reset has to hand it over by other means [own].
pub(crate) const RESET_TTL: Duration = Duration::from_secs(24 * 60 * 60);

const PREFIX: &str = "shp_";

/// A token that sets a password once.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct ResetToken {
    #[zeroize(skip)]
    user_id: UserId,
    secret: [u8; 32],
}

impl fmt::Debug for ResetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetToken(***)")
    }
}

impl ResetToken {
    pub(crate) const fn new(user_id: UserId, secret: [u8; 32]) -> Self {
        Self { user_id, secret }
    }

    /// Reads a token; strict, so that each has one form only.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 48]);
        let encoded = text.strip_prefix(PREFIX)?;
        if Base64UrlUnpadded::decode(encoded, &mut *bytes).ok()?.len() != bytes.len() {
            return None;
        }
        let (id, secret) = bytes.split_at(16);
        Some(Self::new(
            UserId::from_bytes(id.try_into().ok()?),
            secret.try_into().ok()?,
        ))
    }

    /// The token's text, for whoever is to set the password.
    pub(crate) fn expose(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([self.user_id.as_bytes().as_slice(), &self.secret].concat());
        Zeroizing::new(format!(
            "{PREFIX}{}",
            *Zeroizing::new(Base64UrlUnpadded::encode_string(&bytes))
        ))
    }

    pub(crate) const fn user_id(&self) -> UserId {
        self.user_id
    }

    /// What the store keeps of it. A plain digest is enough: nobody guesses 256 random bits.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Blake2b::<U32>::digest(self.secret).into()
    }

    /// Whether this is the token of that digest, in constant time.
    pub(crate) fn matches(&self, digest: &[u8; 32]) -> bool {
        self.digest().ct_eq(digest).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_shown_and_in_no_other_form() {
        let token = ResetToken::new(UserId::from_bytes([7; 16]), [9; 32]);
        let text = token.expose();
        let again = ResetToken::parse(&text).unwrap();
        assert!(again.matches(&token.digest()) && again.user_id() == token.user_id());
        for other in [
            &text[4..],
            &text[..text.len() - 1],
            &format!("{}=", *text),
            &format!("{}A", *text),
            "shp_",
            "",
        ] {
            assert!(ResetToken::parse(other).is_none(), "{other}");
        }
        assert!(!ResetToken::new(token.user_id(), [8; 32]).matches(&token.digest()));
        assert_eq!(format!("{token:?}"), "ResetToken(***)");
    }
}
