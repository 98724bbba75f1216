use serde_json::Value;

use super::super::hash::Stored;
use super::super::memory::Memory;
use super::super::{Argon2Settings, InvalidPasswordHash, Password, PasswordHash};

/// Made by the libraries themselves: see `hashes.py` beside it.
fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/import/hashes.json")).unwrap()
}

fn stored(hash: &str) -> Stored {
    let hash = PasswordHash::parse(hash).unwrap_or_else(|error| panic!("{hash}: {error}"));
    Stored::parse(hash.expose()).unwrap()
}

fn matches(hash: &str, password: &str) -> bool {
    let password = Password::parse(password).unwrap();
    stored(hash).matches(password.expose(), &mut Memory::new(8)).unwrap()
}

// W7
#[test]
fn hashes_of_other_libraries_are_verified_and_outdated() {
    let fixture = fixture();
    let password = fixture["password"].as_str().unwrap();
    let hashes = fixture["hashes"].as_object().unwrap();
    assert!(hashes.len() >= 22);
    for (kind, hash) in hashes {
        let hash = hash.as_str().unwrap();
        assert!(matches(hash, password), "{kind}");
        assert!(!matches(hash, &password.replace("spaces", "Spaces")), "{kind}");
        assert!(!matches(hash, ""), "{kind}");
        let current = Argon2Settings::default();
        let renewed = stored(hash).is_outdated(&current);
        // Django's own default is stronger than ours.
        assert!(renewed || kind == "Django argon2", "{kind}");
    }
}

// W7
#[test]
fn bcrypt_sees_72_bytes_as_it_did_where_the_hash_was_made() {
    let fixture = fixture();
    let hash = fixture["long"]["bcrypt"].as_str().unwrap();
    let password = fixture["long"]["password"].as_str().unwrap();
    assert_eq!(password.len(), 120);
    assert!(matches(hash, password));
    assert!(matches(hash, &password[..72]));
    assert!(!matches(hash, &password[..70]));
}

// W7
#[test]
fn a_foreign_hash_that_would_exhaust_the_machine_is_refused() {
    let salt = "c29tZXNhbHRzb21lc2FsdA";
    let key = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let long = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/6d/rkQ6AutAxH+4g+cDisSwXmHtMrJDC71TVswIcaL/g";
    let bcrypt = |cost: &str| format!("$2b${cost}$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe");
    assert!(Stored::parse(&bcrypt("16")).is_ok());
    assert!(Stored::parse(&format!("$scrypt$ln=18,r=8,p=4${salt}${key}")).is_ok());
    assert!(Stored::parse(&format!("$pbkdf2-sha256$i=10000000,l=32${salt}${key}")).is_ok());
    for hash in [
        bcrypt("17"),
        bcrypt("31"),
        bcrypt("99"),
        bcrypt("03"),
        format!("$scrypt$ln=21,r=1,p=1${salt}${key}"),
        format!("$scrypt$ln=63,r=8,p=1${salt}${key}"),
        format!("$scrypt$ln=19,r=8,p=1${salt}${key}"),
        format!("$scrypt$ln=18,r=8,p=5${salt}${key}"),
        format!("$scrypt$ln=4,r=4294967295,p=1${salt}${key}"),
        format!("$scrypt$ln=4,r=1,p=65${salt}${key}"),
        format!("scrypt$2147483648$salt$8$1${key}="),
        format!("$pbkdf2-sha256$i=10000001,l=32${salt}${key}"),
        format!("$pbkdf2-sha256$i=5000001,l=64${salt}${long}"),
        format!("$pbkdf2-sha256$0${salt}${key}"),
        format!("pbkdf2_sha256$4294967295$salt${key}="),
    ] {
        let error = Stored::parse(&hash).map(drop).unwrap_err();
        assert!(matches!(error, InvalidPasswordHash::Cost { .. }), "{hash}: {error}");
    }
}

// W7
#[test]
fn what_is_no_foreign_hash_is_refused() {
    let salt = "c29tZXNhbHRzb21lc2FsdA";
    let key = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    for hash in [
        "$2b$10$".to_owned(),
        "$2b$10$€€€".to_owned(),
        "$2b$+4$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe".to_owned(),
        "$2b$10$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe\n".to_owned(),
        "$2b$10$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFp!".to_owned(),
        format!("$scrypt$ln=16,p=1,r=8${salt}${key}"),
        format!("$scrypt$ln=16,r=8${salt}${key}"),
        format!("$scrypt$ln=16,r=8,p=1${salt}"),
        format!("$scrypt$ln=16,r=8,p=1$${key}"),
        format!("scrypt$1000$salt$8$1${key}="),
        format!("scrypt:32768:8:1${salt}${key}"),
        format!("$pbkdf2-sha256$i=1000,l=31${salt}${key}"),
        format!("$pbkdf2-sha256$i=-1,l=32${salt}${key}"),
        format!("$pbkdf2-sha256$i=1000,l=32${salt}$AAAA"),
        format!("pbkdf2_sha256$+1000$salt${key}="),
        format!("pbkdf2_sha256$1000$salt${key}"),
        "!unusable".to_owned(),
    ] {
        assert_eq!(Stored::parse(&hash).map(drop), Err(InvalidPasswordHash::Form), "{hash}");
    }
    for hash in [
        "$2x$10$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
        "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
    ] {
        assert!(Stored::parse(hash).is_err(), "{hash}");
    }
}
