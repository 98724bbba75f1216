//! PASETO v4.public: payload and footer signed and verified. What they mean is not known here.

use std::fmt;

use ed25519_compact::{KeyPair, Seed};
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::{Public, UntrustedToken};
use pasetors::version4::{PublicToken, V4};
use zeroize::Zeroizing;

use super::InvalidToken;
use super::paserk::PublicKey;
use crate::clock::{Random, random_bytes};

/// The longest token that is looked at, or issued, in bytes (requirement P11).
pub const MAX_TOKEN_LEN: usize = 4096;

/// A token taken apart; nothing in it can be trusted before [`verify`](Self::verify).
pub struct SignedToken(UntrustedToken<Public, V4>);

impl SignedToken {
    /// Takes `v4.public.payload[.footer]` apart. No cryptography is done.
    ///
    /// # Errors
    /// [`InvalidToken::TooLong`] over [`MAX_TOKEN_LEN`], [`InvalidToken::Malformed`] for any other version or purpose (P2), and
    /// for all but strict base64url (P9).
    pub fn parse(token: &str) -> Result<Self, InvalidToken> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(InvalidToken::TooLong);
        }
        UntrustedToken::try_from(token)
            .map(Self)
            .map_err(|_| InvalidToken::Malformed)
    }

    /// The footer as it was sent; empty if there is none.
    #[must_use]
    pub fn footer(&self) -> &[u8] {
        self.0.untrusted_footer()
    }

    /// The payload, if `key` signed it together with the footer and `implicit_assertion`.
    ///
    /// # Errors
    /// [`InvalidToken::Signature`], also for a non-canonical one (P9).
    pub fn verify(&self, key: &PublicKey, implicit_assertion: &[u8]) -> Result<String, InvalidToken> {
        let key = AsymmetricPublicKey::from(key.as_bytes()).map_err(|_| InvalidToken::Signature)?;
        PublicToken::verify(&key, &self.0, None, Some(implicit_assertion))
            .map(|trusted| trusted.payload().to_owned())
            .map_err(|_| InvalidToken::Signature)
    }
}

/// An Ed25519 secret key.
#[derive(Clone)]
pub(super) struct SigningKey(AsymmetricSecretKey<V4>);

impl SigningKey {
    pub(super) fn generate(random: &dyn Random) -> Self {
        let seed = Zeroizing::new(random_bytes::<32>(random));
        let pair = KeyPair::try_from_seed(Seed::new(*seed)).expect("random bytes are not all zero");
        Self(AsymmetricSecretKey::from(&*pair.sk).expect("a key pair just made is consistent"))
    }

    /// The key of these bytes: seed, then public half. `None` if the halves do not belong together.
    pub(super) fn from_bytes(bytes: &[u8; 64]) -> Option<Self> {
        // No key has this seed, and pasetors panics at it.
        if bytes[..32] == [0; 32] {
            return None;
        }
        AsymmetricSecretKey::from(bytes).ok().map(Self)
    }

    /// Seed, then public half.
    pub(super) fn as_bytes(&self) -> &[u8; 64] {
        self.0.as_bytes().try_into().expect("a v4 secret key is 64 bytes")
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey::from_bytes(self.as_bytes()[32..].try_into().expect("the second half is 32 bytes"))
    }

    /// The token of `payload`, which is not empty, and `footer`; the implicit assertion is empty (requirement P10).
    pub(super) fn sign(&self, payload: &[u8], footer: &[u8]) -> String {
        PublicToken::sign(&self.0, payload, Some(footer), None).expect("a valid key signs whatever is not empty")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn a_secret_key_whose_halves_do_not_belong_together_is_refused() {
        let key = SigningKey::generate(&SystemRandom);
        let same = SigningKey::from_bytes(key.as_bytes()).unwrap();
        assert_eq!(same.as_bytes(), key.as_bytes());
        assert_eq!(format!("{key:?}"), "SigningKey(***)");
        for position in [0, 31, 32, 63] {
            let mut bytes = *key.as_bytes();
            bytes[position] ^= 1;
            assert!(SigningKey::from_bytes(&bytes).is_none(), "byte {position}");
        }
        assert!(SigningKey::from_bytes(&[0; 64]).is_none());
    }
}
