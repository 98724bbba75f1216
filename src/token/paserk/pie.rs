//! `k4.secret-wrap.pie`: a secret key encrypted and authenticated under another key (paserk, operations/Wrap/pie).

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use blake2::digest::consts::U56;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20::{Key, XChaCha20, XNonce};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{InvalidPaserk, decode};
use crate::clock::{Random, random_bytes};
use crate::token::mac::{keyed, keyed32};

const HEADER: &str = "k4.secret-wrap.pie.";
const TAG: usize = 32;
const NONCE: usize = 32;
const SECRET: usize = 64;

/// Seals the signing keys (requirement P13). One of the sub-keys of [`MasterKey`](crate::token::master::MasterKey).
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Seals an Ed25519 secret key (seed, then public half) as `k4.secret-wrap.pie.…`, under a fresh nonce.
    #[must_use]
    pub fn wrap(&self, secret: &[u8; SECRET], random: &dyn Random) -> String {
        let nonce: [u8; NONCE] = random_bytes(random);
        // tag ‖ nonce ‖ ciphertext; the part not yet encrypted holds the secret.
        let mut sealed = Zeroizing::new([0; TAG + NONCE + SECRET]);
        sealed[TAG..TAG + NONCE].copy_from_slice(&nonce);
        sealed[TAG + NONCE..].copy_from_slice(secret);
        self.cipher(&nonce).apply_keystream(&mut sealed[TAG + NONCE..]);
        let tag = self.tag(&sealed[TAG..]);
        sealed[..TAG].copy_from_slice(&tag);
        format!("{HEADER}{}", Base64UrlUnpadded::encode_string(&*sealed))
    }

    /// Opens what [`wrap`](Self::wrap) sealed.
    ///
    /// # Errors
    /// [`UnwrapError::Form`] if it is not a `k4.secret-wrap.pie`, [`UnwrapError::Tag`] if it was sealed with another key, or
    /// altered: the two cannot be told apart.
    pub fn unwrap(&self, sealed: &str) -> Result<Zeroizing<[u8; SECRET]>, UnwrapError> {
        let sealed = decode::<{ TAG + NONCE + SECRET }>(HEADER, sealed)?;
        let (tag, rest) = sealed.split_at(TAG);
        if !bool::from(self.tag(rest).ct_eq(tag)) {
            return Err(UnwrapError::Tag);
        }
        let (nonce, ciphertext) = rest.split_at(NONCE);
        let mut secret = Zeroizing::new([0; SECRET]);
        secret.copy_from_slice(ciphertext);
        self.cipher(nonce).apply_keystream(&mut *secret);
        Ok(secret)
    }

    fn cipher(&self, nonce: &[u8]) -> XChaCha20 {
        let bytes = Zeroizing::new(<[u8; 56]>::from(keyed::<U56>(&self.0, &[&[0x80], nonce])));
        let key = Key::try_from(&bytes[..32]).expect("32 bytes");
        let iv = XNonce::try_from(&bytes[32..]).expect("24 bytes");
        XChaCha20::new(&key, &iv)
    }

    fn tag(&self, nonce_and_ciphertext: &[u8]) -> [u8; TAG] {
        let nonce = &nonce_and_ciphertext[..NONCE];
        let key = Zeroizing::new(keyed32(&self.0, &[&[0x81], nonce]));
        keyed32(&key, &[HEADER.as_bytes(), nonce_and_ciphertext])
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

/// Why a sealed key was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// It is no sealed key at all.
    #[error(transparent)]
    Form(#[from] InvalidPaserk),
    /// Sealed with another key, or altered.
    #[error("it was sealed with another key, or altered")]
    Tag,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    // P13
    #[test]
    fn what_was_sealed_opens_with_that_key_only_and_unaltered() {
        let key = SealingKey::from_bytes(Zeroizing::new([7; 32]));
        let other = SealingKey::from_bytes(Zeroizing::new([8; 32]));
        let sealed = key.wrap(&[42; SECRET], &SystemRandom);
        assert_eq!(*key.unwrap(&sealed).unwrap(), [42; SECRET]);
        assert_ne!(
            sealed,
            key.wrap(&[42; SECRET], &SystemRandom),
            "a fresh nonce each time"
        );
        assert_eq!(other.unwrap(&sealed), Err(UnwrapError::Tag));
        for i in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'Q' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            assert!(key.unwrap(&altered).is_err(), "position {i}");
        }
    }
}
