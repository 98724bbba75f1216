//! Passwords: what is accepted, and how it is kept.
//!
//! [`Password::parse`] normalises what a client sent, [`PasswordPolicy`] says whether it may become a new password, and a
//! [`Hasher`] turns it into a [`PasswordHash`] or compares it with one, on threads of its own.

mod foreign;
mod hash;
mod hasher;
mod memory;
mod policy;
mod pool;

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

pub use self::hash::{Argon2Settings, InvalidArgon2Settings, InvalidPasswordHash};
pub use self::hasher::{HashError, Hasher, HasherLoad, HasherStats, NewPasswordError, Verdict};
#[doc(hidden)]
pub use self::memory::TellOfMemory;
pub use self::policy::{PasswordPolicy, WeakPassword};

/// A password in Unicode's form NFC, so that `é` is one password however a keyboard sends it (decision D3,
/// requirement W3). Nothing else is changed: it is never trimmed, cut, or folded (NFKC). Wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Normalises a password. The empty one is a password too: it is for [`PasswordPolicy`] to refuse it.
    ///
    /// # Errors
    /// [`InvalidPassword`] if it has a control character (C0 or DEL), which a form cannot carry
    /// (RFC 6749 appendix A.16; requirement W4).
    pub fn parse(raw: &str) -> Result<Self, InvalidPassword> {
        if raw.bytes().any(|b| b.is_ascii_control()) {
            return Err(InvalidPassword);
        }
        // NFC makes UTF-8 at most three times as long (Unicode FAQ, normalization), so the buffer
        // never moves and leaves no copy behind.
        let mut normal = Zeroizing::new(String::with_capacity(raw.len() * 3));
        normal.extend(raw.nfc());
        Ok(Self(normal))
    }

    /// No password at all: for whoever needs one that was never set.
    pub(crate) fn empty() -> Self {
        Self(Zeroizing::default())
    }

    /// The normalised password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is wrong with a password that no rule of strength could mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the password has a control character (a tab, a line break, or another of U+0000 to U+001F and U+007F); every other \
     character is allowed, spaces too"
)]
pub struct InvalidPassword;

/// A hash: a PHC string of Argon2id, or what another program has made and nobody has signed in with since (requirement
/// W7). Shown nowhere but in an export.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes over a hash that was made elsewhere. Of Argon2's it keeps the PHC string, without the word that Django puts
    /// before it.
    ///
    /// # Errors
    /// [`InvalidPasswordHash`] if it is not of a kind that [`Hasher::verify`] can check, at a bearable cost.
    pub fn parse(text: &str) -> Result<Self, InvalidPasswordHash> {
        let phc = text.strip_prefix("argon2").filter(|rest| rest.starts_with('$'));
        let text = phc.unwrap_or(text);
        hash::Stored::parse(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The text of the hash.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Drop for PasswordHash {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // W3, D3
    #[test]
    fn composed_and_decomposed_letters_are_one_password() {
        let nfc = Password::parse("caf\u{e9} cr\u{e8}me").unwrap();
        let nfd = Password::parse("cafe\u{301} cre\u{300}me").unwrap();
        assert_eq!(nfc.expose(), nfd.expose());
    }

    // W2, D3
    #[test]
    fn nothing_but_the_composition_is_changed() {
        let ascii: String = (' '..='~').collect();
        let long = "a".repeat(1000);
        for raw in [
            ascii.as_str(),
            "  spaces  ",
            "ﬁ ① Ａ ² \u{a0}",
            "pÀss😀\u{85}",
            "",
            &long,
        ] {
            assert_eq!(Password::parse(raw).unwrap().expose(), raw);
        }
    }

    // W4
    #[test]
    fn control_characters_are_refused() {
        for c in ('\0'..='\x1f').chain(['\x7f']) {
            assert_eq!(
                Password::parse(&format!("good{c}password")).err(),
                Some(InvalidPassword)
            );
        }
    }

    #[test]
    fn normalising_never_moves_the_buffer() {
        // U+1D160, which NFC makes three times as long: the worst there is.
        let password = Password::parse(&"\u{1d160}".repeat(50)).unwrap();
        assert_eq!(password.expose().len(), 600);
        assert!(password.0.capacity() >= 600 && password.0.capacity() < 900);
    }

    // H14
    #[test]
    fn nothing_secret_is_in_debug_output() {
        let password = Password::parse("trés secret").unwrap();
        let hash = PasswordHash("$argon2id$…".to_owned());
        assert_eq!(format!("{password:?} {hash:?}"), "*** ***");
    }
}
