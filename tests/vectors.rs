//! The official PASETO v4 and PASERK k4 vectors (requirement P1).
//!
//! They are read from `../shared/vectors`, or from the folder that `SHILD_VECTORS` names. Where they are not to be found, the
//! tests are counted as ignored, and it is said why.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Trial};
use serde::Deserialize;
use zeroize::Zeroizing;

use shild::clock::Random;
use shild::token::paserk::{PublicKey, SealingKey};
use shild::token::paseto::SignedToken;

type Test = fn(&Path);

fn main() {
    let folder = std::env::var_os("SHILD_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors")),
        PathBuf::from,
    );
    let tests: [(&str, Test); 4] = [
        ("v4.json", paseto_v4),
        ("k4.public.json", k4_public),
        ("k4.pid.json", k4_pid),
        ("k4.secret-wrap.pie.json", k4_secret_wrap_pie),
    ];
    let trials = tests.map(|(file, test)| {
        let path = folder.join(file);
        let missing = !path.is_file();
        if missing {
            eprintln!(
                "IGNORED: official vectors not found at {}; set SHILD_VECTORS to their folder",
                path.display()
            );
        }
        Trial::test(file, move || {
            test(&path);
            Ok(())
        })
        .with_ignored_flag(missing)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}

#[derive(Deserialize)]
struct File<T> {
    tests: Vec<T>,
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let text = fs::read_to_string(path).expect("the vectors can be read");
    let file: File<T> = serde_json::from_str(&text).expect("the vectors are JSON");
    assert!(!file.tests.is_empty());
    file.tests
}

/// `None` for whatever is not hex of exactly `N` bytes: a key of another size does not fit our types.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PasetoVector {
    name: String,
    expect_fail: bool,
    key: Option<String>,
    public_key: Option<String>,
    token: String,
    payload: Option<String>,
    footer: String,
    implicit_assertion: String,
}

// P1: the three public ones verify; all others, local ones included, are refused.
fn paseto_v4(path: &Path) {
    let mut verified = 0;
    for vector in read::<PasetoVector>(path) {
        let key = vector.public_key.or(vector.key).expect("each vector has a key");
        let key = PublicKey::from_bytes(hex(&key).expect("a key of 32 bytes"));
        let result = SignedToken::parse(&vector.token).and_then(|token| {
            let payload = token.verify(&key, vector.implicit_assertion.as_bytes())?;
            Ok((payload, token.footer().to_vec()))
        });
        if vector.token.starts_with("v4.public.") && !vector.expect_fail {
            let (payload, footer) = result.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            assert_eq!(Some(payload), vector.payload, "{}", vector.name);
            assert_eq!(footer, vector.footer.as_bytes(), "{}", vector.name);
            verified += 1;
        } else {
            assert!(result.is_err(), "{} must be refused", vector.name);
        }
    }
    assert_eq!(verified, 3);
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeyVector {
    name: String,
    expect_fail: bool,
    key: String,
    paserk: Option<String>,
}

fn k4_public(path: &Path) {
    for vector in read::<KeyVector>(path) {
        let key = hex(&vector.key).map(PublicKey::from_bytes);
        assert_eq!(key.is_none(), vector.expect_fail, "{}", vector.name);
        assert_eq!(key.map(|key| key.to_string()), vector.paserk, "{}", vector.name);
        if let Some(paserk) = vector.paserk {
            assert_eq!(paserk.parse().ok(), key, "{}", vector.name);
        }
    }
}

fn k4_pid(path: &Path) {
    for vector in read::<KeyVector>(path) {
        let kid = hex(&vector.key).map(|key| PublicKey::from_bytes(key).id());
        assert_eq!(kid.is_none(), vector.expect_fail, "{}", vector.name);
        assert_eq!(kid.map(|kid| kid.to_string()), vector.paserk, "{}", vector.name);
        if let Some(paserk) = vector.paserk {
            assert_eq!(paserk.parse().ok(), kid, "{}", vector.name);
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WrapVector {
    name: String,
    expect_fail: bool,
    unwrapped: Option<String>,
    wrapping_key: String,
    paserk: String,
}

/// Gives the nonce of a vector, so that wrapping can be compared too.
struct Nonce([u8; 32]);

impl Random for Nonce {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0);
    }
}

fn k4_secret_wrap_pie(path: &Path) {
    use base64ct::{Base64UrlUnpadded, Encoding};

    for vector in read::<WrapVector>(path) {
        let key = hex(&vector.wrapping_key).expect("a wrapping key of 32 bytes");
        let key = SealingKey::from_bytes(Zeroizing::new(key));
        let unwrapped = key.unwrap(&vector.paserk);
        assert_eq!(unwrapped.is_err(), vector.expect_fail, "{}", vector.name);
        let Ok(unwrapped) = unwrapped else { continue };
        assert_eq!(
            Some(*unwrapped),
            vector.unwrapped.as_deref().and_then(hex),
            "{}",
            vector.name
        );

        let data = vector.paserk.rsplit('.').next().expect("a PASERK has data");
        let data = Base64UrlUnpadded::decode_vec(data).expect("a PASERK is base64url");
        let nonce = Nonce(data[32..64].try_into().expect("32 bytes"));
        assert_eq!(key.wrap(&unwrapped, &nonce), vector.paserk, "{}", vector.name);
    }
}
