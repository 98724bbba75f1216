//! bcrypt, also as Django writes it.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{bounded, number};
use crate::password::InvalidPasswordHash;

/// A bcrypt hash: `$2a$`, `$2b$` and `$2y$` are one and the same algorithm; the letter says which defects the program
/// that made it no longer had. `$2x$`, of the defective one, is not accepted.
///
/// bcrypt sees only the first 72 bytes of a password, and so does this, as the program that made the hash did: until the
/// account's first sign-in makes its hash Argon2id, what comes after them does not count.
#[derive(Debug)]
pub(in crate::password) struct Bcrypt {
    /// 60 characters.
    text: String,
    /// Django's `bcrypt_sha256`: what is hashed is the password's SHA-256 in hexadecimal.
    prehashed: bool,
}

impl Bcrypt {
    /// 2^16 rounds take some seconds.
    const MAX_COST: u64 = 16;

    /// `None` if it is not bcrypt's.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, InvalidPasswordHash> {
        let (text, prehashed) = match text.split_once('$') {
            Some(("bcrypt", rest)) => (rest, false),
            Some(("bcrypt_sha256", rest)) => (rest, true),
            _ => (text, false),
        };
        if !["$2a$", "$2b$", "$2y$"].iter().any(|kind| text.starts_with(kind)) {
            return Ok(None);
        }
        let cost = text.get(4..6).ok_or(InvalidPasswordHash::Form)?;
        let cost = number(cost.strip_prefix('0').unwrap_or(cost))?;
        bounded("the bcrypt cost", cost.into(), 4, Self::MAX_COST)?;
        if text.parse::<bcrypt::HashParts>().is_err() {
            return Err(InvalidPasswordHash::Form);
        }
        Ok(Some(Self {
            text: text.to_owned(),
            prehashed,
        }))
    }

    pub(super) fn matches(&self, password: &str) -> bool {
        let prehash;
        let password = if self.prehashed {
            prehash = hexadecimal(&Sha256::digest(password));
            prehash.as_bytes()
        } else {
            password.as_bytes()
        };
        // The crate compares in constant time. The text has been parsed, so there is no error.
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}

fn hexadecimal(bytes: &[u8]) -> Zeroizing<String> {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("four bits are a digit");
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}
