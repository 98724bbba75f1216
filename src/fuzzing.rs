//! What must hold of everything that reads what strangers send, whatever they send.
//!
//! Each function takes one input and panics if its property does not hold of it. `fuzz/` drives them with inputs of its own
//! making, `tests/corpus.rs` with those that were worth keeping. They stand beside what they are about; those of the
//! crate's root stand here.

use serde_json::Value;

use crate::bearer::{self, Challenge, Credentials};
use crate::error::Problem;
use crate::json;
use crate::oauth::OAuthError;
use crate::password::PasswordHash;
use crate::user::{Scopes, Username};

pub use crate::routes::fuzzing::{basic, form};
pub use crate::token::fuzzing::{accepted, claims, token};
pub use crate::transfer::import::fuzzing::import;

/// A function that an input is given to, by the name of its target and of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("basic", basic),
    ("bearer", bearer),
    ("claims", claims),
    ("form", form),
    ("hash", hash),
    ("import", import),
    ("json", json),
    ("scope", scope),
    ("token", token),
    ("username", username),
];

/// The longest name that is looked for: the default of the setting.
const MAX_USERNAME: usize = Username::DEFAULT_MAX_LENGTH;

/// Each line is one `Authorization` header. A token that is found is the whole of what stands in the one header, is found again in the
/// plainest header that carries it, and is refused as malformed unless it is one of RFC 6750 §2.1 (requirements B1, B4, B5).
pub fn bearer(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let headers: Vec<_> = text.split('\n').collect();
    let is_bearer = |header: &str| {
        let scheme = header.split(' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("Bearer")
    };
    match bearer::read(headers.iter().copied()) {
        Credentials::Absent => assert!(headers.len() == 1 && !is_bearer(headers[0])),
        Credentials::Malformed => assert!(headers.len() > 1),
        Credentials::Bearer(token) => {
            assert!(headers.len() == 1 && is_bearer(headers[0]));
            assert!(headers[0].trim_end_matches(' ').ends_with(token));
            let strange = |b: u8| !b.is_ascii_alphanumeric() && !b"-._~+/=".contains(&b);
            if token.is_empty() || token.bytes().any(strange) {
                assert_eq!(bearer::refusal(token), Challenge::InvalidRequest);
            }
            let plain = format!("Bearer {token}");
            assert_eq!(bearer::read([plain.as_str()].into_iter()), Credentials::Bearer(token));
        }
    }
}

/// A name that is accepted is its own mapped form, has nothing in it that could be taken for something else, and can be kept and
/// read again; a refusal can be shown on a terminal (requirement W11).
pub fn username(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let name = match Username::parse(text, MAX_USERNAME) {
        Ok(name) => name,
        Err(error) => return assert_printable(&error.to_string()),
    };
    assert_eq!(
        Username::parse(name.as_str(), MAX_USERNAME),
        Ok(name.clone()),
        "mapped again"
    );
    assert!((1..=MAX_USERNAME).contains(&name.as_str().chars().count()));
    assert!(name.as_str().len() <= Username::MAX_BYTES);
    assert!(
        !name
            .as_str()
            .contains(|c: char| c.is_control() || c.is_whitespace() || c.is_ascii_uppercase())
    );
    assert_eq!(name.skeleton(), name.skeleton());
    assert!(!name.skeleton().is_empty());
    let kept = serde_json::to_string(&name).expect("a name is a string");
    assert_eq!(
        serde_json::from_str::<Username>(&kept).expect("it was written here"),
        name
    );
}

/// Scopes that are accepted are a set that can be written and read again, and hold nothing but RFC 6749 §3.3 allows; a refusal
/// can be an `error_description` (requirements T7, T9).
pub fn scope(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match Scopes::parse(text) {
        Ok(scopes) => {
            assert!(!scopes.is_empty());
            assert_eq!(Scopes::parse(&scopes.to_string()), Ok(scopes.clone()));
            assert!(text.split(' ').all(|scope| scopes.contains(scope)));
            assert!(
                text.bytes()
                    .all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
            );
        }
        Err(error) => assert_describable(&OAuthError::invalid_scope(error.to_string())),
    }
}

/// A hash that is accepted is kept as a text that is accepted, and is nowhere shown (requirements W7, H14).
pub fn hash(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match PasswordHash::parse(text) {
        Ok(hash) => {
            assert!(text.ends_with(hash.expose()));
            let again = PasswordHash::parse(hash.expose()).expect("what is kept can be read");
            assert_eq!(again.expose(), hash.expose());
            assert_eq!(format!("{hash:?}"), "***");
        }
        Err(error) => assert_printable(&error.to_string()),
    }
}

/// What the strict reader accepts is an object and says what `serde_json` reads in it; what it refuses is refused for a reason
/// that holds (requirement H11).
pub fn json(input: &[u8]) {
    let lenient = serde_json::from_slice::<Value>(input);
    match json::object(input) {
        Ok(members) => {
            let lenient = lenient.expect("it is JSON to others too");
            assert_eq!(lenient, Value::Object(members.clone()));
            assert!(depth(&lenient) <= 32);
            let written = serde_json::to_vec(&members).expect("JSON can be written");
            let again = json::object(&written).expect("it was written here");
            let whole = |members| without_fractions(Value::Object(members));
            assert_eq!(whole(again), whole(members));
        }
        Err(error) if error.problem() == Problem::BadRequest => {
            assert!(lenient.is_err() || lenient.is_ok_and(|value| depth(&value) > 32));
        }
        Err(error) => {
            assert_eq!(error.problem(), Problem::Unprocessable);
            let fault = error.faults().first().expect("the fault is pointed at");
            assert_printable(&fault.detail);
            match fault.code {
                "type" => assert!(!lenient.expect("it is JSON to others too").is_object()),
                "trailing" => assert!(lenient.is_err()),
                // The rest of the body has not been looked at, so it need not be JSON.
                code => assert_eq!(code, "duplicate"),
            }
        }
    }
}

/// The value with nothing in place of its fractions. No request has any, and `serde_json` may miss the last bit of one.
fn without_fractions(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::Null,
        Value::Array(items) => items.into_iter().map(without_fractions).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, without_fractions(value)))
            .collect(),
        other => other,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// It forges no line and moves no cursor, wherever it is shown (requirement H13).
pub(crate) fn assert_printable(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}

/// RFC 6749 §5.2 allows every character of it (requirement T9).
pub(crate) fn assert_describable(error: &OAuthError) {
    let description = error.clean_description();
    assert!(
        description
            .bytes()
            .all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E)),
        "{description:?}"
    );
}
