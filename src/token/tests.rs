//! Issue and verify, at their edges.

use std::time::Duration;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::keyring::Keyring;
use super::paserk::{KeyId, PublicKey, SealingKey};
use super::paseto::SigningKey;
use super::refresh::RefreshKey;
use super::verified::VerifiedTokens;
use super::*;
use crate::clock::SystemRandom;
use crate::config::{Audience, Issuer};
use crate::user::{Scopes, SessionId, UserId};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const LIFE: Duration = Duration::from_secs(900);
const SECOND: Duration = Duration::from_secs(1);
const EXPECTED: Expected<'_> = Expected {
    issuer: "https://id.example",
    audience: "https://api.example",
};

fn sealing() -> SealingKey {
    SealingKey::from_bytes(Zeroizing::new([1; 32]))
}

fn keyring() -> Keyring {
    Keyring::generate(NOW, &SystemRandom, &sealing())
}

fn claims() -> Claims {
    Claims {
        iss: EXPECTED.issuer.to_owned(),
        sub: UserId::generate(NOW, &SystemRandom),
        aud: EXPECTED.audience.to_owned(),
        exp: NOW.after(LIFE),
        nbf: NOW,
        iat: NOW,
        jti: "019ab3c4".to_owned(),
        sid: SessionId::generate(NOW, &SystemRandom),
        scope: Scopes::parse("admin user").unwrap(),
        auth_time: NOW,
        client_id: None,
    }
}

fn check(keyring: &Keyring, token: &str) -> Result<Verified, InvalidToken> {
    verify(keyring, token, &EXPECTED, NOW)
}

/// The four parts of a token: `v4`, `public`, payload, footer.
fn parts(token: &str) -> [&str; 4] {
    token
        .split('.')
        .collect::<Vec<_>>()
        .try_into()
        .expect("a token has four parts")
}

fn decoded(part: &str) -> Vec<u8> {
    use base64ct::{Base64UrlUnpadded, Encoding};
    Base64UrlUnpadded::decode_vec(part).expect("a token is base64url")
}

fn encoded(bytes: &[u8]) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    Base64UrlUnpadded::encode_string(bytes)
}

#[test]
fn what_is_issued_verifies_and_says_the_same() {
    let keyring = keyring();
    for claims in [
        claims(),
        Claims {
            client_id: Some("my \"app\"".to_owned()),
            ..claims()
        },
        Claims {
            scope: Scopes::default(),
            ..claims()
        },
    ] {
        let token = issue(&keyring, &claims).unwrap();
        let verified = check(&keyring, token.as_str()).unwrap();
        assert_eq!(*verified.claims(), claims);
        assert_eq!(verified.kid(), keyring.active());
        assert_eq!(format!("{token:?}"), "AccessToken(***)");
    }
}

// P3, P7, P10
#[test]
fn a_token_is_what_other_implementations_expect() {
    let keyring = keyring();
    let claims = Claims {
        exp: NOW.after(Duration::from_millis(900_999)),
        client_id: Some("app".to_owned()),
        ..claims()
    };
    let token = issue(&keyring, &claims).unwrap();
    let [version, purpose, body, footer] = parts(token.as_str());
    assert_eq!((version, purpose), ("v4", "public"));
    assert_eq!(
        decoded(footer),
        format!(r#"{{"kid":"{}"}}"#, keyring.active()).into_bytes()
    );

    let body = decoded(body);
    let payload: serde_json::Value = serde_json::from_slice(&body[..body.len() - 64]).unwrap();
    let Claims { sub, sid, .. } = claims;
    assert_eq!(
        payload,
        serde_json::json!({
            "iss": "https://id.example", "sub": sub.to_string(), "aud": "https://api.example",
            "exp": "2023-11-14T22:28:20Z", "nbf": "2023-11-14T22:13:20Z", "iat": "2023-11-14T22:13:20Z",
            "jti": "019ab3c4", "sid": sid.to_string(), "scope": "admin user",
            "auth_time": "2023-11-14T22:13:20Z", "client_id": "app",
        })
    );

    let key = *keyring.find(keyring.active(), NOW).unwrap();
    let signed = SignedToken::parse(token.as_str()).unwrap();
    assert!(signed.verify(&key, b"").is_ok());
    assert_eq!(signed.verify(&key, b"x"), Err(InvalidToken::Signature));
}

// P2
#[test]
fn other_versions_and_purposes_are_refused() {
    let keyring = keyring();
    let token = issue(&keyring, &claims()).unwrap();
    let [_, _, body, footer] = parts(token.as_str());
    for header in [
        "v1.public",
        "v2.public",
        "v3.public",
        "v4.local",
        "V4.public",
        "v4.Public",
        "v4.",
        "v4",
        "",
        "v4.public.",
    ] {
        assert_eq!(
            check(&keyring, &format!("{header}.{body}.{footer}")),
            Err(InvalidToken::Malformed),
            "{header}"
        );
    }
    for token in ["", "v4.public", "v4.public.", "v4.public..", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(check(&keyring, token), Err(InvalidToken::Malformed), "{token}");
    }
}

// P2: a signer's public key is no secret, so it must not serve as a symmetric one.
#[test]
fn a_local_token_keyed_with_the_public_key_is_refused() {
    use pasetors::keys::SymmetricKey;
    use pasetors::version4::{LocalToken, V4};

    let keyring = keyring();
    let public = keyring.find(keyring.active(), NOW).unwrap();
    let key = SymmetricKey::<V4>::from(public.as_bytes()).unwrap();
    let footer = footer::of(keyring.active());
    let token = LocalToken::encrypt(&key, claims().to_json().as_bytes(), Some(footer.as_bytes()), None).unwrap();
    assert_eq!(check(&keyring, &token), Err(InvalidToken::Malformed));
    assert_eq!(
        check(&keyring, &token.replace("local", "public")),
        Err(InvalidToken::Signature)
    );
}

// P8, P9
#[test]
fn no_single_bit_of_a_token_can_be_changed() {
    let keyring = keyring();
    let token = issue(&keyring, &claims()).unwrap();
    for position in 0..token.as_str().len() {
        for bit in 0..7 {
            let mut bytes = token.as_str().as_bytes().to_vec();
            bytes[position] ^= 1 << bit;
            let altered = String::from_utf8(bytes).unwrap();
            assert!(check(&keyring, &altered).is_err(), "byte {position}, bit {bit}");
        }
    }
    for cut in 0..token.as_str().len() {
        assert!(check(&keyring, &token.as_str()[..cut]).is_err(), "cut at {cut}");
    }
}

// P8
#[test]
fn a_footer_that_is_stripped_altered_nested_or_oversized_is_refused() {
    let keyring = keyring();
    let kid = keyring.active();
    let payload = claims().to_json();
    let token = issue(&keyring, &claims()).unwrap();
    let [_, _, body, _] = parts(token.as_str());
    assert_eq!(check(&keyring, &format!("v4.public.{body}")), Err(InvalidToken::Footer));
    assert_eq!(
        check(&keyring, &format!("v4.public.{body}.")),
        Err(InvalidToken::Footer)
    );

    // By whatever key: the footer's form is refused before its signature is looked at.
    let signing = SigningKey::generate(&SystemRandom);
    for footer in [
        "k4.pid".to_owned(),
        format!(r#"{{"kid": "{kid}"}}"#),
        format!(r#"{{"kid":"{kid}"}} "#),
        format!(r#"{{"kid":"{kid}","kid":"{kid}"}}"#),
        format!(r#"{{"kid":{{"kid":"{kid}"}}}}"#),
        format!(r#"{{"wpk":"{kid}"}}"#),
        format!(r#"{{"kid":"{kid}{}"}}"#, "A".repeat(2000)),
        "[".repeat(2000),
    ] {
        let token = signing.sign(payload.as_bytes(), footer.as_bytes());
        assert_eq!(check(&keyring, &token), Err(InvalidToken::Footer), "{footer:.80}");
    }
}

// P8
#[test]
fn an_unknown_key_fails_closed() {
    let (ours, other) = (keyring(), keyring());
    let token = issue(&other, &claims()).unwrap();
    assert_eq!(check(&ours, token.as_str()), Err(InvalidToken::Key));
    // Their signature under our key id.
    let [_, _, body, _] = parts(token.as_str());
    let forged = format!("v4.public.{body}.{}", encoded(footer::of(ours.active()).as_bytes()));
    assert_eq!(check(&ours, &forged), Err(InvalidToken::Signature));
}

// P9
#[test]
fn base64url_is_strict() {
    let keyring = keyring();
    // Payloads of three lengths in a row: one of them leaves no spare bits in its last character, two do.
    for jti in ["a", "aa", "aaa"] {
        let token = issue(
            &keyring,
            &Claims {
                jti: jti.to_owned(),
                ..claims()
            },
        )
        .unwrap();
        let token = token.as_str();
        let [_, _, body, footer] = parts(token);
        assert!(check(&keyring, token).is_ok());
        for altered in [
            format!("v4.public.{body}=.{footer}"),
            format!("v4.public.{body}==.{footer}"),
            format!("{token}="),
            format!("{token}=="),
            format!("{token}\n"),
            format!("{token} "),
            format!(" {token}"),
            format!("{token}."),
            format!("{token}.{footer}"),
            format!("v4.public.{}.{footer}", body.replace('A', "+")),
            format!("v4.public.{}\n{}.{footer}", &body[..4], &body[4..]),
        ] {
            assert!(check(&keyring, &altered).is_err(), "{altered}");
        }
        for (part, altered) in [(body, 2), (footer, 3)] {
            let mut refused = 0;
            for last in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']) {
                let mut parts = parts(token).map(str::to_owned);
                parts[altered] = format!("{}{last}", &part[..part.len() - 1]);
                refused += u32::from(check(&keyring, &parts.join(".")).is_err());
            }
            assert_eq!(refused, 63, "exactly one last character is right");
        }
    }
}

// P9: RFC 8032 §5.1.7, s must be less than the order of the group.
#[test]
fn a_non_canonical_scalar_is_refused() {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let keyring = keyring();
    let token = issue(&keyring, &claims()).unwrap();
    let [_, _, body, footer] = parts(token.as_str());
    let mut body = decoded(body);
    let at = body.len() - 32;
    let mut carry = 0;
    for (byte, l) in body[at..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(l) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "s + L fits 256 bits, so it would be the same scalar");
    let token = format!("v4.public.{}.{footer}", encoded(&body));
    assert_eq!(check(&keyring, &token), Err(InvalidToken::Signature));
}

// P11: failed before, with a long issuer: a session was opened, and then there were no tokens for it.
#[test]
fn a_token_that_carries_all_that_one_may_is_within_4_kib() {
    let scopes: Vec<_> = (0..32).map(|n| format!("{n:02}{}", "s".repeat(62))).collect();
    let most = Claims {
        iss: format!("https://{}", "i".repeat(120)),
        aud: "a".repeat(128),
        scope: Scopes::parse(&scopes.join(" ")).unwrap(),
        jti: SessionId::generate(NOW, &SystemRandom).to_string(),
        client_id: Some("\"".repeat(128)),
        ..claims()
    };
    assert!(Issuer::try_from(most.iss.clone()).is_ok() && Issuer::try_from(format!("{}i", most.iss)).is_err());
    assert!(Audience::try_from(most.aud.clone()).is_ok() && Audience::try_from(format!("{}a", most.aud)).is_err());
    assert!(Scopes::parse(&format!("{} s", most.scope)).is_err());
    issue(&keyring(), &most).unwrap();
}

// P11
#[test]
fn a_token_over_4_kib_is_neither_issued_nor_looked_at() {
    let keyring = keyring();
    let long = |len: usize| Claims {
        jti: "a".repeat(len),
        ..claims()
    };
    let longest = (0..4096)
        .rev()
        .find_map(|len| issue(&keyring, &long(len)).ok())
        .unwrap();
    assert!((4093..=4096).contains(&longest.as_str().len()));
    assert!(check(&keyring, longest.as_str()).is_ok());
    let longer = keyring.sign(long(3000).to_json().as_bytes());
    assert_eq!(check(&keyring, &longer), Err(InvalidToken::TooLong));
    assert!(
        issue(&keyring, &long(3000))
            .unwrap_err()
            .to_string()
            .contains("4096 are allowed")
    );
    // Length comes before form: this is no token at all.
    assert_eq!(check(&keyring, &"x".repeat(4097)), Err(InvalidToken::TooLong));
    assert_eq!(check(&keyring, &"x".repeat(4096)), Err(InvalidToken::Malformed));
}

// P11: as many and as long scopes as a user may have fit.
#[test]
fn all_the_scopes_there_can_be_fit_in_a_token() {
    let scopes: Vec<String> = (0..32).map(|i| format!("{i:064}")).collect();
    issue(
        &keyring(),
        &Claims {
            scope: Scopes::parse(&scopes.join(" ")).unwrap(),
            ..claims()
        },
    )
    .unwrap();
}

// P5
#[test]
fn claims_that_are_missing_mistyped_repeated_or_unknown_are_refused() {
    let keyring = keyring();
    let good = claims().to_json();
    assert!(check(&keyring, &keyring.sign(good.as_bytes())).is_ok());
    let refused = |payload: &str| {
        assert_eq!(
            check(&keyring, &keyring.sign(payload.as_bytes())),
            Err(InvalidToken::Claims),
            "{payload}"
        );
    };

    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&good).unwrap();
    for name in members.keys() {
        let mut without = members.clone();
        without.remove(name);
        refused(&serde_json::to_string(&without).unwrap());

        let member = format!("\"{name}\":{}", members[name]);
        refused(&good.replace(&member, &format!("{member},{member}")));
        refused(&good.replace(&member, &format!("{member},\"{}\":\"\"", name.to_uppercase())));

        for wrong in [
            "null",
            "1700000000",
            "true",
            "[]",
            "{}",
            &format!("[{}]", members[name]),
        ] {
            refused(&good.replace(&member, &format!("\"{name}\":{wrong}")));
        }
    }
    for (name, wrong) in [
        ("exp", "2023-11-14T22:28:20+00:00"),
        ("exp", "2023-11-14t22:28:20Z"),
        ("exp", "1700000000"),
        ("nbf", ""),
        ("iat", "now"),
        ("auth_time", "2023-11-14 22:28:20Z"),
        ("sub", "juliet"),
        ("sub", "019AB3C4-5D6E-7F80-9A1B-2C3D4E5F6071"),
        ("sub", "019ab3c45d6e7f809a1b2c3d4e5f6071"),
        ("sid", "urn:uuid:019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"),
        ("scope", " "),
        ("scope", "user  admin"),
    ] {
        let mut altered = members.clone();
        altered.insert(name.to_owned(), wrong.into());
        refused(&serde_json::to_string(&altered).unwrap());
    }
    let with = |more: &str| format!("{}{more}}}", &good[..good.len() - 1]);
    refused(&with(r#","client_id":null"#));
    refused(&with(r#","client_id":7"#));
    refused(&with(r#","client_id":"a","client_id":"a""#));
    refused(&with(r#","role":"admin""#));
    refused(&format!("{good}{good}"));
    refused(&format!(
        "[{}]",
        members.values().map(ToString::to_string).collect::<Vec<_>>().join(",")
    ));
    refused("not json");
    refused("{}");
    refused(&"[".repeat(2000));
}

// P5
#[test]
fn issuer_and_audience_must_match_exactly() {
    let keyring = keyring();
    for wrong in ["", "https://id.example/", "https://ID.example", "https://api.exampl"] {
        let token = issue(
            &keyring,
            &Claims {
                iss: wrong.to_owned(),
                ..claims()
            },
        )
        .unwrap();
        assert_eq!(check(&keyring, token.as_str()), Err(InvalidToken::Issuer), "{wrong}");
        let token = issue(
            &keyring,
            &Claims {
                aud: wrong.to_owned(),
                ..claims()
            },
        )
        .unwrap();
        assert_eq!(check(&keyring, token.as_str()), Err(InvalidToken::Audience), "{wrong}");
    }
}

// P6
#[test]
fn times_are_checked_with_30_seconds_of_skew() {
    let keyring = keyring();
    let token = issue(&keyring, &claims()).unwrap();
    let at = |now| verify(&keyring, token.as_str(), &EXPECTED, now).map(|_| ());
    let end = NOW.after(LIFE);
    assert_eq!(at(end.after(MAX_SKEW).before(SECOND)), Ok(()));
    assert_eq!(at(end.after(MAX_SKEW)), Err(InvalidToken::Expired));
    assert_eq!(at(end.after(MAX_SKEW + SECOND)), Err(InvalidToken::Expired));
    assert_eq!(at(NOW.before(MAX_SKEW).after(SECOND)), Ok(()));
    assert_eq!(at(NOW.before(MAX_SKEW)), Ok(()));
    assert_eq!(at(NOW.before(MAX_SKEW + SECOND)), Err(InvalidToken::NotYet));

    // Each of nbf and iat alone.
    for claims in [
        Claims {
            nbf: NOW.before(LIFE),
            ..claims()
        },
        Claims {
            iat: NOW.before(LIFE),
            ..claims()
        },
    ] {
        let token = issue(&keyring, &claims).unwrap();
        let at = |now| verify(&keyring, token.as_str(), &EXPECTED, now).map(|_| ());
        assert_eq!(at(NOW.before(MAX_SKEW)), Ok(()));
        assert_eq!(at(NOW.before(MAX_SKEW + SECOND)), Err(InvalidToken::NotYet));
    }
}

// P12
#[test]
fn a_thousand_tokens_issued_across_a_rotation_all_verify() {
    let first = keyring();
    let second = first.rotate(NOW, NOW.after(LIFE + MAX_SKEW), &SystemRandom, &sealing());
    let reopened = Keyring::open(&second.record(), &sealing()).unwrap();
    for i in 0..1000 {
        let token = issue(if i < 500 { &first } else { &second }, &claims()).unwrap();
        assert!(check(&reopened, token.as_str()).is_ok());
    }
}

// P12
#[test]
fn a_retired_keys_tokens_are_refused() {
    let first = keyring();
    // A token that outlives its key, as it would if the life of tokens were shortened in the settings.
    let token = issue(
        &first,
        &Claims {
            exp: NOW.after(LIFE * 10),
            ..claims()
        },
    )
    .unwrap();
    let second = first.rotate(NOW, NOW.after(LIFE), &SystemRandom, &sealing());
    assert!(verify(&second, token.as_str(), &EXPECTED, NOW.after(LIFE).before(SECOND)).is_ok());
    assert_eq!(
        verify(&second, token.as_str(), &EXPECTED, NOW.after(LIFE)),
        Err(InvalidToken::Key)
    );
    let braked = second.retire(first.active(), NOW, &SystemRandom, &sealing()).unwrap();
    assert_eq!(check(&braked, token.as_str()), Err(InvalidToken::Key));
}

// P5, P6, P12
#[test]
fn a_remembered_token_is_still_checked_for_all_that_can_change() {
    let tokens = VerifiedTokens::new(16, &SystemRandom);
    let first = keyring();
    let token = issue(&first, &claims()).unwrap();
    let token = token.as_str();
    let at = |keyring: &Keyring, expected: &Expected<'_>, now| tokens.verify(keyring, token, expected, now).map(|_| ());

    assert_eq!(at(&first, &EXPECTED, NOW), Ok(()));
    assert_eq!(tokens.len(), 1);
    assert_eq!(at(&first, &EXPECTED, NOW), Ok(()));
    assert_eq!(
        at(&first, &EXPECTED, NOW.after(LIFE + MAX_SKEW)),
        Err(InvalidToken::Expired)
    );
    assert_eq!(
        at(&first, &EXPECTED, NOW.before(MAX_SKEW + SECOND)),
        Err(InvalidToken::NotYet)
    );
    assert_eq!(
        at(
            &first,
            &Expected {
                issuer: "x",
                ..EXPECTED
            },
            NOW
        ),
        Err(InvalidToken::Issuer)
    );
    assert_eq!(
        at(
            &first,
            &Expected {
                audience: "x",
                ..EXPECTED
            },
            NOW
        ),
        Err(InvalidToken::Audience)
    );

    let rotated = first.rotate(NOW, NOW.after(SECOND), &SystemRandom, &sealing());
    assert_eq!(at(&rotated, &EXPECTED, NOW), Ok(()));
    assert_eq!(at(&rotated, &EXPECTED, NOW.after(SECOND)), Err(InvalidToken::Key));
    let braked = rotated.retire(first.active(), NOW, &SystemRandom, &sealing()).unwrap();
    assert_eq!(at(&braked, &EXPECTED, NOW), Err(InvalidToken::Key));
    assert_eq!(at(&first, &EXPECTED, NOW), Ok(()));
}

// P8, P11
#[test]
fn what_is_refused_is_not_remembered() {
    let tokens = VerifiedTokens::new(16, &SystemRandom);
    let keyring = keyring();
    let token = issue(&keyring, &claims()).unwrap();
    let altered = token.as_str().replacen("v4.public.e", "v4.public.f", 1);
    let expired = issue(
        &keyring,
        &Claims {
            exp: NOW.before(LIFE),
            ..claims()
        },
    )
    .unwrap();
    for refused in [altered.as_str(), expired.as_str(), &"x".repeat(5000), ""] {
        assert!(tokens.verify(&keyring, refused, &EXPECTED, NOW).is_err());
    }
    assert!(tokens.is_empty());
    for _ in 0..100 {
        let token = issue(&keyring, &claims()).unwrap();
        tokens.verify(&keyring, token.as_str(), &EXPECTED, NOW).unwrap();
    }
    assert!(tokens.len() <= 16, "the cache is bounded");
}

// P8, P9: what is remembered is found by the whole token, or an altered one would need no signature.
#[test]
fn nothing_but_the_very_token_is_taken_for_one_that_is_remembered() {
    let tokens = VerifiedTokens::new(16, &SystemRandom);
    let keyring = keyring();
    let token = issue(&keyring, &claims()).unwrap();
    let token = token.as_str();
    tokens.verify(&keyring, token, &EXPECTED, NOW).unwrap();
    let found = |other: &str| tokens.verify(&keyring, other, &EXPECTED, NOW).is_ok() || tokens.hits() > 0;
    for position in 0..token.len() {
        for bit in 0..7 {
            let mut bytes = token.as_bytes().to_vec();
            bytes[position] ^= 1 << bit;
            let altered = String::from_utf8(bytes).unwrap();
            assert!(!found(&altered), "byte {position}, bit {bit}");
        }
        assert!(!found(&token[..position]), "cut at {position}");
    }
    assert!(!found(&format!("{token}A")));
    assert_eq!(tokens.len(), 1);
    assert!(found(token));
}

// T17
#[test]
fn a_refresh_token_is_no_access_token_and_the_other_way_round() {
    let keyring = keyring();
    let key = RefreshKey::from_bytes(Zeroizing::new([2; 32]));
    let refresh = key.mint(&refresh::RefreshClaims {
        user_id: claims().sub,
        session_id: claims().sid,
        generation: 1,
    });
    let access = issue(&keyring, &claims()).unwrap();
    assert_eq!(check(&keyring, refresh.as_str()), Err(InvalidToken::Malformed));
    assert_eq!(key.read(access.as_str()), None);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>(), nearly in "(v4\\.public|v4\\.local|shr_|k4\\.(public|pid|secret-wrap\\.pie|local))\\.?[A-Za-z0-9_=.-]{0,200}") {
        let keyring = keyring();
        let refresh = RefreshKey::from_bytes(Zeroizing::new([2; 32]));
        for text in [text, nearly] {
            prop_assert!(check(&keyring, &text).is_err());
            prop_assert!(refresh.read(&text).is_none());
            prop_assert!(sealing().unwrap(&text).is_err());
            if let Ok(key) = text.parse::<PublicKey>() {
                prop_assert_eq!(key.to_string(), text.clone());
            }
            if let Ok(kid) = text.parse::<KeyId>() {
                prop_assert_eq!(kid.to_string(), text.clone());
            }
            if let Ok(key) = master::MasterKey::parse(&text) {
                let written = key.to_text();
                prop_assert_eq!(written.as_str(), text.trim_ascii());
            }
            prop_assert_eq!(footer::parse(text.as_bytes()), None);
        }
    }

    #[test]
    fn bytes_exchanged_anywhere_are_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), 0x20_u8..0x7f), 1..8)) {
        let keyring = keyring();
        let token = issue(&keyring, &claims()).unwrap();
        let mut bytes = token.as_str().as_bytes().to_vec();
        for (index, byte) in changes {
            let position = index.index(bytes.len());
            bytes[position] = byte;
        }
        let altered = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(check(&keyring, &altered).is_ok(), altered == token.as_str());
    }
}
