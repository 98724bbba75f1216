//! Refresh tokens: opaque to clients, and to whoever holds a copy of the store but not of the master key.
//!
//! A token is `shr_` and the base64url of user id (16 bytes) ‖ session id (16) ‖ generation (4, big endian) ‖ MAC (32) over
//! them. Nothing of it is stored: the session keeps the number of its current generation.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use subtle::ConstantTimeEq;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::mac::keyed32;
use crate::user::{SessionId, UserId};

const PREFIX: &str = "shr_";
const DOMAIN: &[u8] = b"shild refresh token v1";
const BODY: usize = 16 + 16 + 4;
const MAC: usize = 32;

/// Which refresh token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshClaims {
    /// Whose session.
    pub user_id: UserId,
    /// Which session.
    pub session_id: SessionId,
    /// The how manieth token of that session.
    pub generation: u32,
}

impl RefreshClaims {
    fn to_bytes(self) -> [u8; BODY] {
        let mut bytes = [0; BODY];
        bytes[..16].copy_from_slice(self.user_id.as_bytes());
        bytes[16..32].copy_from_slice(self.session_id.as_bytes());
        bytes[32..].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BODY]) -> Self {
        let (user_id, rest) = bytes.split_first_chunk().expect("36 bytes begin with 16");
        let (session_id, generation) = rest.split_first_chunk().expect("20 bytes begin with 16");
        Self {
            user_id: UserId::from_bytes(*user_id),
            session_id: SessionId::from_bytes(*session_id),
            generation: u32::from_be_bytes(generation.try_into().expect("4 bytes are left")),
        }
    }
}

/// A refresh token as the client gets it.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// The text for the client; it goes nowhere else.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(***)")
    }
}

/// Makes and reads refresh tokens. One of the sub-keys of [`MasterKey`](crate::token::master::MasterKey).
#[derive(Clone)]
pub struct RefreshKey(Zeroizing<[u8; 32]>);

impl RefreshKey {
    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The refresh token of `claims`: always the same one, so that a retry needs no stored answer.
    #[must_use]
    pub fn mint(&self, claims: &RefreshClaims) -> RefreshToken {
        let body = claims.to_bytes();
        let mut bytes = Zeroizing::new([0; BODY + MAC]);
        bytes[..BODY].copy_from_slice(&body);
        bytes[BODY..].copy_from_slice(&self.mac(&body));
        RefreshToken(format!(
            "{PREFIX}{}",
            *Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes))
        ))
    }

    /// What a token says, if [`mint`](Self::mint) made it with this key. Whether it is still good, the session knows.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<RefreshClaims> {
        let mut bytes = Zeroizing::new([0; BODY + MAC]);
        if Base64UrlUnpadded::decode(token.strip_prefix(PREFIX)?, &mut *bytes)
            .ok()?
            .len()
            != BODY + MAC
        {
            return None;
        }
        let (body, mac) = bytes.split_first_chunk::<BODY>()?;
        bool::from(self.mac(body).ct_eq(mac)).then(|| RefreshClaims::from_bytes(body))
    }

    fn mac(&self, body: &[u8; BODY]) -> [u8; MAC] {
        keyed32(&self.0, &[DOMAIN, body])
    }
}

impl fmt::Debug for RefreshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RefreshKey {
        RefreshKey::from_bytes(Zeroizing::new([byte; 32]))
    }

    fn claims() -> RefreshClaims {
        RefreshClaims {
            user_id: UserId::from_bytes([1; 16]),
            session_id: SessionId::from_bytes([2; 16]),
            generation: 0x0102_0304,
        }
    }

    // T17
    #[test]
    fn a_token_is_read_with_the_key_that_made_it_only() {
        let token = key(1).mint(&claims());
        assert!(token.as_str().starts_with("shr_"));
        assert_eq!(key(1).read(token.as_str()), Some(claims()));
        assert_eq!(key(2).read(token.as_str()), None);
        assert_eq!(token, key(1).mint(&claims()), "a retry gets the same token");
        assert_eq!(format!("{token:?} {:?}", key(1)), "RefreshToken(***) RefreshKey(***)");
    }

    // T17
    #[test]
    fn no_altered_token_is_read() {
        let token = key(1).mint(&claims());
        let token = token.as_str();
        for position in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.as_bytes().to_vec();
                bytes[position] ^= 1 << bit;
                let altered = String::from_utf8(bytes).unwrap();
                assert_eq!(key(1).read(&altered), None, "byte {position}, bit {bit}");
            }
        }
        for other in [
            format!("{token}="),
            format!("{token}A"),
            format!(" {token}"),
            token[..token.len() - 1].to_owned(),
            token.replacen("shr_", "", 1),
            String::new(),
            "shr_".to_owned(),
            "shr_AAAA".to_owned(),
        ] {
            assert_eq!(key(1).read(&other), None, "{other:?}");
        }
    }
}
