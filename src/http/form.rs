//! `application/x-www-form-urlencoded` bodies of the OAuth endpoints, read strictly (requirements T2, T3, T5).

use std::collections::HashSet;

use okapi::openapi3::{MediaType, RequestBody};
use rocket::Request;
use rocket::data::{Data, FromData, Outcome};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi;
use rocket_okapi::request::OpenApiFromData;
use schemars::JsonSchema;
use zeroize::Zeroizing;

use super::body::{self, BodyError};
use crate::oauth::OAuthError;

/// A parameter of the body: name and value, decoded.
type Parameter = (String, Zeroizing<String>);

/// The parameters of a body. Each name stands in it once, no value is empty. Without `Debug`, which would show passwords.
pub(crate) struct Parameters(Vec<Parameter>);

impl Parameters {
    /// The value of the parameter; `None` if it is missing or empty (requirement T5).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Decodes a body.
    ///
    /// # Errors
    /// `invalid_request` for bad percent-encoding, bad UTF-8 and repeated parameters.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        let mut all = Vec::<Parameter>::new();
        // Thousands of names fit into a body.
        let mut names = HashSet::new();
        for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let name = decode(&pair[..at])?;
            let value = decode(pair.get(at + 1..).unwrap_or_default())?;
            if !names.insert(name.to_string()) {
                return Err(OAuthError::invalid_request(
                    "A parameter is repeated; each may come once",
                ));
            }
            all.push((name.to_string(), value));
        }
        all.retain(|(_, value)| !value.is_empty());
        Ok(Self(all))
    }
}

/// Decodes one name or value as RFC 6749 Appendix B has it.
pub(crate) fn decode(text: &[u8]) -> Result<Zeroizing<String>, OAuthError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        (rest, ()) = match (first, tail) {
            (b'+', _) => (tail, bytes.push(b' ')),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (after, bytes.push(hex(*high) << 4 | hex(*low)))
            }
            (b'%', _) => {
                return Err(OAuthError::invalid_request(
                    "The body has a % without two hexadecimal digits after it",
                ));
            }
            (byte, _) => (tail, bytes.push(*byte)),
        };
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(OAuthError::invalid_request("The body is not UTF-8")),
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// What the form of an endpoint is made of; its schema documents it.
pub(crate) trait OAuthForm: Sized + JsonSchema {
    /// Takes what it needs from the parameters; unknown ones are passed over (requirement T5).
    fn from_parameters(parameters: &Parameters) -> Result<Self, OAuthError>;
}

/// The form of an OAuth endpoint, or what was wrong with it: the handler decides what to do with an error,
/// so that it is answered as RFC 6749 §5.2 has it and not as a problem.
#[derive(Debug)]
pub(crate) struct Form<T>(pub(crate) Result<T, OAuthError>);

#[rocket::async_trait]
impl<'r, T: OAuthForm> FromData<'r> for Form<T> {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        let read = async {
            if !request.content_type().is_some_and(|kind| kind.is_form()) {
                return Err(OAuthError::invalid_request(
                    "The body must be application/x-www-form-urlencoded",
                ));
            }
            let bytes = body::read(request, data).await.map_err(|error| match error {
                BodyError::TooLarge => OAuthError {
                    status: 413,
                    ..OAuthError::invalid_request("The body is longer than 8 KiB")
                },
                BodyError::TooSlow => OAuthError {
                    status: 408,
                    ..OAuthError::invalid_request("The body did not come in time")
                },
                BodyError::Broken => OAuthError::invalid_request("The body could not be read"),
            })?;
            T::from_parameters(&Parameters::parse(&bytes)?)
        };
        Outcome::Success(Self(read.await))
    }
}

impl<T: OAuthForm> OpenApiFromData<'_> for Form<T> {
    fn request_body(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<RequestBody> {
        let schema = generator.json_schema::<T>();
        let media = MediaType {
            schema: Some(schema),
            ..MediaType::default()
        };
        Ok(RequestBody {
            content: okapi::map! { "application/x-www-form-urlencoded".to_owned() => media },
            required: true,
            ..RequestBody::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // T3: the example of RFC 6749 Appendix B
    #[test]
    fn the_example_of_appendix_b_decodes() {
        let parameters = Parameters::parse(b"password=+%25%26%2B%C2%A3%E2%82%AC&a=b").unwrap();
        assert_eq!(parameters.get("password"), Some(" %&+£€"));
        assert_eq!(parameters.get("a"), Some("b"));
    }

    // T3
    #[test]
    fn bad_utf8_and_bad_escapes_are_refused() {
        for body in [&b"a=%ff"[..], b"a=%C3", b"a=\xff", b"a=%", b"a=%4", b"a=%zz", b"%ff=a"] {
            assert_eq!(
                Parameters::parse(body).err().map(|error| error.code),
                Some(crate::oauth::Code::InvalidRequest),
                "{body:?}"
            );
        }
    }

    // T5
    #[test]
    fn empty_is_absent_and_repeated_is_refused() {
        let parameters = Parameters::parse(b"scope=&username&&x=1").unwrap();
        assert_eq!(
            (parameters.get("scope"), parameters.get("username"), parameters.get("x")),
            (None, None, Some("1"))
        );
        for body in [&b"a=1&a=1"[..], b"a=1&a=2", b"a=&a=1", b"a=1&%61=2"] {
            assert!(Parameters::parse(body).is_err(), "{body:?}");
        }
    }
}
