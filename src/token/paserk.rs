//! PASERK k4: how keys are written down (paserk specification, version 4).
//!
//! Of its types, those that something here needs: `k4.public` and `k4.pid` for what clients see, and
//! `k4.secret-wrap.pie` for secret keys at rest ([`SealingKey`]).

mod pie;

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use blake2::digest::consts::U33;
use blake2::{Blake2b, Digest};
use zeroize::Zeroizing;

pub use pie::{SealingKey, UnwrapError};

const PUBLIC: &str = "k4.public.";
const PID: &str = "k4.pid.";

/// What is wrong with a key that was handed in as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0} and unpadded base64url of the right length")]
pub struct InvalidPaserk(pub(super) &'static str);

/// An Ed25519 public key. Shown and read as `k4.public.…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key of these 32 bytes. Whether they are a point on the curve shows when it verifies.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the key (RFC 8032 §5.1.5).
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id (paserk, operations/ID).
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut hash = Blake2b::<U33>::new();
        hash.update(PID);
        hash.update(self.to_string());
        KeyId(hash.finalize().into())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPaserk;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(*decode(PUBLIC, text)?))
    }
}

/// Names a public key: a hash of it. Shown and read as `k4.pid.…`, always 51 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 33]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PID}{}", Base64UrlUnpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidPaserk;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(*decode(PID, text)?))
    }
}

/// Reads `header` and exactly `N` bytes in strict base64url: no padding, no white space, unused bits zero
/// (requirement P9). So each key has one text, and each text one key.
pub(super) fn decode<const N: usize>(header: &'static str, text: &str) -> Result<Zeroizing<[u8; N]>, InvalidPaserk> {
    let mut bytes = Zeroizing::new([0; N]);
    match text
        .strip_prefix(header)
        .map(|data| Base64UrlUnpadded::decode(data, &mut *bytes).map(<[u8]>::len))
    {
        Some(Ok(len)) if len == N => Ok(bytes),
        _ => Err(InvalidPaserk(header)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // P9
    #[test]
    fn a_key_has_one_text_only() {
        let key = PublicKey([0xA5; 32]);
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(key.id().to_string().parse(), Ok(key.id()));
        assert_eq!(key.id().to_string().len(), 51);
        let spare_bits = format!("{}V", &text[..text.len() - 1]);
        for other in [
            format!("{text}="),
            format!("{text}A"),
            format!(" {text}"),
            format!("{text}\n"),
            text.replace("k4", "k3"),
            text.replace("public", "local"),
            text[..text.len() - 1].to_owned(),
            spare_bits,
            format!("{PUBLIC}AAAA"),
            PUBLIC.to_owned(),
            String::new(),
        ] {
            assert_eq!(other.parse::<PublicKey>(), Err(InvalidPaserk(PUBLIC)), "{other:?}");
        }
    }

    // P1
    #[test]
    fn a_key_of_another_length_is_refused() {
        let sealing = SealingKey::from_bytes(Zeroizing::new([7; 32]));
        let wrapped = "k4.secret-wrap.pie.";
        for len in [31, 32, 33, 49, 127, 128, 129] {
            let data = Base64UrlUnpadded::encode_string(&vec![0xA5; len]);
            let public = format!("{PUBLIC}{data}").parse::<PublicKey>();
            assert_eq!(public.err(), (len != 32).then_some(InvalidPaserk(PUBLIC)), "{len}");
            let id = format!("{PID}{data}").parse::<KeyId>();
            assert_eq!(id.err(), (len != 33).then_some(InvalidPaserk(PID)), "{len}");
            // One of the right length is read, and was not sealed by this key.
            let expected = if len == 128 {
                UnwrapError::Tag
            } else {
                UnwrapError::Form(InvalidPaserk(wrapped))
            };
            let opened = sealing.unwrap(&format!("{wrapped}{data}"));
            assert_eq!(opened.err(), Some(expected), "{len}");
        }
    }
}
