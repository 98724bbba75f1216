//! Hashes that other programs have made (requirement W7): verified, never made, and replaced by Argon2id at the first
//! sign-in.
//!
//! What was imported is verified as the program that made it would, but for two things:
//! - The password is in NFC ([`super::Password`]); whatever that program hashed is not known. Whoever had a password in
//!   another form there, which is rare, needs a reset.
//! - Nothing that would cost more than a few seconds of one core or 256 MiB is accepted, so that no hash can be made to
//!   exhaust the machine. These bounds are own choices.
//!
//! Until its first sign-in an imported account can be told from others by the time that a wrong password takes:
//! requirement W8 holds for hashes by the current settings only.

mod bcrypt;
mod pbkdf2;
mod scrypt;

use base64ct::{Base64, Base64Unpadded, Encoding};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use self::bcrypt::Bcrypt;
use self::pbkdf2::Pbkdf2;
use self::scrypt::Scrypt;
use super::InvalidPasswordHash;
use super::memory::OutOfMemory;

/// A stored hash of a kind that this program never makes.
#[derive(Debug)]
pub(super) enum Foreign {
    Bcrypt(Bcrypt),
    Scrypt(Scrypt),
    Pbkdf2(Pbkdf2),
}

impl Foreign {
    /// `None` if it is none of these kinds.
    ///
    /// # Errors
    /// [`InvalidPasswordHash`] if it is of one of these kinds and cannot be used.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, InvalidPasswordHash> {
        if let Some(bcrypt) = Bcrypt::parse(text)? {
            Ok(Some(Self::Bcrypt(bcrypt)))
        } else if let Some(scrypt) = Scrypt::parse(text)? {
            Ok(Some(Self::Scrypt(scrypt)))
        } else {
            Ok(Pbkdf2::parse(text)?.map(Self::Pbkdf2))
        }
    }

    /// Whether the hash is of this password.
    pub(super) fn matches(&self, password: &str) -> Result<bool, OutOfMemory> {
        match self {
            Self::Bcrypt(stored) => Ok(stored.matches(password)),
            Self::Scrypt(stored) => stored.matches(password),
            Self::Pbkdf2(stored) => Ok(stored.matches(password)),
        }
    }
}

/// What a key derivation function gave once: salt and output.
#[derive(Debug)]
struct Derived {
    salt: Vec<u8>,
    key: Vec<u8>,
}

impl Derived {
    /// The longest salt, in bytes (own choice).
    const MAX_SALT: usize = 128;

    /// The bounds of the output's length in bytes: those of PHC strings.
    const KEY_LEN: (usize, usize) = (10, 64);

    fn new(salt: Vec<u8>, key: Vec<u8>) -> Result<Self, InvalidPasswordHash> {
        let (min, max) = Self::KEY_LEN;
        if salt.is_empty() || salt.len() > Self::MAX_SALT || !(min..=max).contains(&key.len()) {
            return Err(InvalidPasswordHash::Form);
        }
        Ok(Self { salt, key })
    }

    /// Salt and output as PHC strings have them: Base64 without padding.
    fn of_phc(salt: &str, key: &str) -> Result<Self, InvalidPasswordHash> {
        let decode = |text| Base64Unpadded::decode_vec(text).map_err(|_| InvalidPasswordHash::Form);
        Self::new(decode(salt)?, decode(key)?)
    }

    /// Salt and output as Django has them: the salt as it is, the output in Base64.
    fn of_django(salt: &str, key: &str) -> Result<Self, InvalidPasswordHash> {
        let key = Base64::decode_vec(key).map_err(|_| InvalidPasswordHash::Form)?;
        Self::new(salt.as_bytes().to_vec(), key)
    }

    /// Whether `derive`, given the salt and room for the output, comes to the same output; compared in constant time.
    fn matches(&self, derive: impl FnOnce(&[u8], &mut [u8])) -> bool {
        let mut key = Zeroizing::new(vec![0; self.key.len()]);
        derive(&self.salt, &mut key);
        key.ct_eq(&self.key).into()
    }
}

/// A number as it stands in a hash: decimal, without a sign or a leading zero.
fn number(text: &str) -> Result<u32, InvalidPasswordHash> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(InvalidPasswordHash::Form)
}

/// `given`, if it is within bounds.
fn bounded(parameter: &'static str, given: u64, min: u64, max: u64) -> Result<(), InvalidPasswordHash> {
    if (min..=max).contains(&given) {
        Ok(())
    } else {
        Err(InvalidPasswordHash::Cost {
            parameter,
            given,
            min,
            max,
        })
    }
}

#[cfg(test)]
mod tests;
