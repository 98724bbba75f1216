//! What must hold of tokens that strangers send; see [`crate::fuzzing`].
#![expect(clippy::missing_panics_doc, reason = "a panic is how they say no")]

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use zeroize::Zeroizing;

use super::keyring::Keyring;
use super::paserk::{KeyId, PublicKey, SealingKey};
use super::paseto::SignedToken;
use super::refresh::{RefreshClaims, RefreshKey};
use super::{Claims, Expected, MAX_TOKEN_LEN, footer, issue, verify};
use crate::clock::{Random, Timestamp};
use crate::user::{Scopes, SessionId, UserId};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const EXPECTED: Expected<'_> = Expected {
    issuer: "https://id.example",
    audience: "https://api.example",
};

/// No randomness at all: the same keys in each run, so that the corpus can hold tokens that they have signed.
#[derive(Debug)]
struct Sevens;

impl Random for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// The keys, and the only tokens that they have signed.
struct Issued {
    keyring: Keyring,
    sealing: SealingKey,
    sealed: String,
    access: String,
    refresh: RefreshKey,
}

/// The refresh token that the corpus has.
const REFRESH: RefreshClaims = RefreshClaims {
    user_id: UserId::from_bytes([7; 16]),
    session_id: SessionId::from_bytes([7; 16]),
    generation: 7,
};

/// The texts that [`token`] accepts: an access token, a refresh token, a sealed key. A fuzzer cannot find them by itself.
pub fn accepted() -> [String; 3] {
    let issued = &*ISSUED;
    let refresh = issued.refresh.mint(&REFRESH).as_str().to_owned();
    [issued.access.clone(), refresh, issued.sealed.clone()]
}

static ISSUED: LazyLock<Issued> = LazyLock::new(|| {
    let sealing = SealingKey::from_bytes(Zeroizing::new([7; 32]));
    let keyring = Keyring::generate(NOW, &Sevens, &sealing);
    let claims = Claims {
        iss: EXPECTED.issuer.to_owned(),
        sub: UserId::from_bytes([7; 16]),
        aud: EXPECTED.audience.to_owned(),
        exp: NOW.after(std::time::Duration::from_secs(900)),
        nbf: NOW,
        iat: NOW,
        jti: "7".to_owned(),
        sid: SessionId::from_bytes([7; 16]),
        scope: Scopes::registered(),
        auth_time: NOW,
        client_id: None,
    };
    Issued {
        access: issue(&keyring, &claims).expect("it is short").as_str().to_owned(),
        sealed: sealing.wrap(&[7; 64], &Sevens),
        sealing,
        keyring,
        refresh: RefreshKey::from_bytes(Zeroizing::new([7; 32])),
    }
});

/// A text has one reading as a token, as a key or as a key's id, if it has any; and of access tokens, refresh tokens and sealed
/// keys only those are accepted that were made here, byte for byte (requirements P1, P2, P7–P9, P11, T17).
pub fn token(input: &[u8]) {
    if let Some(kid) = footer::parse(input) {
        assert_eq!(footer::of(kid).as_bytes(), input);
    }
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(signed) = SignedToken::parse(text) {
        assert!(text.len() <= MAX_TOKEN_LEN);
        let parts: Vec<_> = text
            .strip_prefix("v4.public.")
            .expect("nothing else is read")
            .split('.')
            .collect();
        assert!(matches!(parts.len(), 1 | 2));
        for part in &parts {
            let bytes = Base64UrlUnpadded::decode_vec(part).expect("it is strict base64url");
            assert_eq!(Base64UrlUnpadded::encode_string(&bytes), **part);
        }
        let last = parts
            .get(1)
            .map(|part| Base64UrlUnpadded::decode_vec(part).expect("as above"));
        assert_eq!(signed.footer(), last.unwrap_or_default());
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(kid) = text.parse::<KeyId>() {
        assert_eq!(kid.to_string(), text);
    }
    let issued = &*ISSUED;
    let accepted = verify(&issued.keyring, text, &EXPECTED, NOW).is_ok();
    assert_eq!(accepted, text == issued.access, "an access token");
    assert_eq!(
        issued.sealing.unwrap(text).is_ok(),
        text == issued.sealed,
        "a sealed key"
    );
    if let Some(claims) = issued.refresh.read(text) {
        assert_eq!(claims, REFRESH, "a refresh token");
        assert_eq!(issued.refresh.mint(&claims).as_str(), text);
    }
}

/// A signature makes no claims true: what is read of a signed payload is an object of strings, each of them known, for us, and
/// of this time (requirements P3, P5, P6).
pub fn claims(input: &[u8]) {
    if input.is_empty() {
        return;
    }
    let token = ISSUED.keyring.sign(input);
    let Ok(verified) = verify(&ISSUED.keyring, &token, &EXPECTED, NOW) else {
        return;
    };
    let claims = verified.claims();
    assert_eq!(
        (claims.iss.as_str(), claims.aud.as_str()),
        (EXPECTED.issuer, EXPECTED.audience)
    );
    assert!(NOW < claims.exp.after(super::MAX_SKEW));
    assert!(claims.nbf.max(claims.iat) <= NOW.after(super::MAX_SKEW));

    let payload: serde_json::Map<String, Value> = serde_json::from_slice(input).expect("the payload is an object");
    assert!(payload.values().all(Value::is_string));
    let written = claims.to_json();
    let again = Claims::from_json(&written).expect("it was written here");
    assert_eq!(again.to_json(), written);
    let written: serde_json::Map<String, Value> = serde_json::from_str(&written).expect("as above");
    assert!(payload.len() == written.len() && payload.keys().all(|name| written.contains_key(name)));
}
