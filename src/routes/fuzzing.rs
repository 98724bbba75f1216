//! What must hold of the `Authorization` header and the forms of the OAuth endpoints; see [`crate::fuzzing`].
#![expect(clippy::missing_panics_doc, reason = "a panic is how they say no")]

use std::collections::HashSet;

use base64ct::{Base64, Encoding};

use super::client;
use super::token::{NamedToken, TokenRequest};
use crate::fuzzing::assert_describable;
use crate::http::form::{OAuthForm, Parameters};
use crate::oauth::{Code, OAuthError};

/// Each line is one `Authorization` header. A client that is found has an id of RFC 6749 appendix A.1, and is found again in
/// the plainest header that names it; a header that is refused gets a challenge if it is the client that is
/// (requirements T10–T12).
pub fn basic(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match client::read(text.split('\n')) {
        Ok(None) => {}
        Ok(Some(id)) => {
            assert!((1..=128).contains(&id.len()) && id.bytes().all(|b| matches!(b, 0x20..=0x7E)));
            let encoded: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
            let header = format!("Basic {}", Base64::encode_string(format!("{encoded}:").as_bytes()));
            assert_eq!(client::read([header.as_str()].into_iter()), Ok(Some(id)));
        }
        Err(error) => {
            assert_describable(&error);
            assert_eq!(error.code == Code::InvalidClient, error.challenge.is_some());
            assert!(matches!(error.code, Code::InvalidClient | Code::InvalidRequest));
        }
    }
}

/// A form that is accepted says what a well-known lenient reader of forms finds in it; one that is refused has a fault that
/// this reader passes over; whatever comes of it can be answered (requirements T2, T3, T5, T9).
pub fn form(input: &[u8]) {
    let lenient: Vec<_> = form_urlencoded::parse(input).collect();
    let names: HashSet<_> = lenient.iter().map(|(name, _)| name).collect();
    let repeated = names.len() < lenient.len();
    match Parameters::parse(input) {
        Ok(parameters) => {
            assert!(!repeated);
            for (name, value) in &lenient {
                assert_eq!(
                    parameters.get(name),
                    Some(value.as_ref()).filter(|value| !value.is_empty())
                );
            }
            for refused in [
                TokenRequest::from_parameters(&parameters).err(),
                NamedToken::from_parameters(&parameters).err(),
            ] {
                refused.iter().for_each(assert_describable);
            }
        }
        Err(error) => {
            let not_utf8 = lenient
                .iter()
                .any(|(name, value)| [name, value].iter().any(|text| text.contains('\u{FFFD}')));
            assert!(repeated || not_utf8 || has_bad_escape(input));
            assert_describable(&error);
        }
    }
    assert_describable(&OAuthError::invalid_request(
        String::from_utf8_lossy(input).into_owned(),
    ));
}

fn has_bad_escape(form: &[u8]) -> bool {
    let digit = |at: usize| form.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..form.len()).any(|at| form[at] == b'%' && !(digit(at + 1) && digit(at + 2)))
}
