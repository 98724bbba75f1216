//! Client authentication at the OAuth endpoints (RFC 6749 §2.3; requirements T10–T12). There are no confidential
//! clients, so what is found out is only which public client it is, if it says so.

use base64ct::{Base64, Encoding};
use rocket::Request;
use rocket::request::{FromRequest, Outcome};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::request::{OpenApiFromRequest, RequestHeaderInput};

use crate::bearer::NOT_TEXT;
use crate::http::form::decode;
use crate::http::passing::given;
use crate::oauth::{CLIENT_ID_RULE, OAuthError, is_client_id};

/// What the `Authorization` header says of the client, or what is wrong with it.
pub(crate) struct BasicClient(Result<Option<String>, OAuthError>);

impl BasicClient {
    /// The client's id, from the header or the body.
    ///
    /// # Errors
    /// `invalid_request` if both name one; `invalid_client` for a malformed header, and for any secret (requirement T12).
    pub(crate) fn or_in_body(self, id: Option<&str>, secret: Option<&str>) -> Result<Option<String>, OAuthError> {
        let in_header = self.0?;
        match (in_header, id) {
            (Some(_), Some(_)) => Err(OAuthError::invalid_request(
                "The client is named both in the header and in the body",
            )),
            (Some(_), None) if secret.is_some() => Err(OAuthError::invalid_request(
                "The client is authenticated both in the header and in the body",
            )),
            (_, _) if secret.is_some() => Err(no_such_client()),
            (Some(id), None) => Ok(Some(id)),
            (None, Some(id)) => Ok(Some(client_id(id)?)),
            (None, None) => Ok(None),
        }
    }
}

fn no_such_client() -> OAuthError {
    OAuthError::invalid_client("There are no confidential clients here: send no client secret")
}

/// The client that a parameter names.
pub(super) fn client_id(text: &str) -> Result<String, OAuthError> {
    if !is_client_id(text) {
        return Err(OAuthError::invalid_request(CLIENT_ID_RULE));
    }
    Ok(text.to_owned())
}

/// Reads all `Authorization` headers; another scheme than Basic is no client authentication.
pub(super) fn read<'a>(mut headers: impl Iterator<Item = &'a str>) -> Result<Option<String>, OAuthError> {
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(OAuthError::invalid_request(
            "There is more than one Authorization header",
        ));
    }
    let malformed = || OAuthError::invalid_client("The Basic credentials are malformed");
    if header == NOT_TEXT {
        return Err(malformed());
    }
    let (scheme, rest) = header.split_at(header.find(' ').unwrap_or(header.len()));
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Ok(None);
    }
    let pair = zeroize::Zeroizing::new(Base64::decode_vec(rest.trim_matches(' ')).map_err(|_| malformed())?);
    let colon = pair.iter().position(|b| *b == b':').ok_or_else(malformed)?;
    let id = decode(&pair[..colon]).map_err(|_| malformed())?;
    let secret = decode(&pair[colon + 1..]).map_err(|_| malformed())?;
    match (id.as_str(), secret.as_str()) {
        // Swagger UI sends this when no client is filled in (requirement T11).
        ("", "") => Ok(None),
        (id, "") => client_id(id).map(Some).map_err(|_| malformed()),
        _ => Err(no_such_client()),
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for BasicClient {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self(read(given(request, "Authorization"))))
    }
}

impl OpenApiFromRequest<'_> for BasicClient {
    fn from_request_input(_: &mut OpenApiGenerator, _: String, _: bool) -> rocket_okapi::Result<RequestHeaderInput> {
        Ok(RequestHeaderInput::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Code;

    fn basic(pair: &str) -> Result<Option<String>, Code> {
        let header = format!("Basic {}", Base64::encode_string(pair.as_bytes()));
        read(std::iter::once(header.as_str())).map_err(|error| error.code)
    }

    // T11
    #[test]
    fn empty_is_no_client_and_an_empty_secret_is_a_public_one() {
        assert_eq!(read(std::iter::once("Basic Og==")).unwrap(), None);
        assert_eq!(basic("app:"), Ok(Some("app".to_owned())));
        assert_eq!(basic("my%20app%3A+x:"), Ok(Some("my app: x".to_owned())));
    }

    // T12
    #[test]
    fn malformed_and_secret_are_an_invalid_client() {
        for pair in ["app:secret", ":secret", "nocolon", "a%zz:", "%ff:", "a\u{1}:"] {
            assert_eq!(basic(pair), Err(Code::InvalidClient), "{pair}");
        }
        for header in ["Basic", "Basic ", "Basic !!!", "basic YTo=x"] {
            assert_eq!(
                read(std::iter::once(header)).unwrap_err().code,
                Code::InvalidClient,
                "{header}"
            );
        }
        let error = read(std::iter::once("Basic !!!")).unwrap_err();
        assert!(error.challenge.unwrap().starts_with("Basic ") && error.status == 401);
    }

    // T10
    #[test]
    fn two_ways_at_once_are_refused() {
        let client = |id: Option<&str>| BasicClient(Ok(id.map(str::to_owned)));
        let code = |result: Result<_, OAuthError>| result.map_err(|error| error.code);
        assert_eq!(
            code(client(Some("a")).or_in_body(Some("a"), None)),
            Err(Code::InvalidRequest)
        );
        assert_eq!(
            code(client(Some("a")).or_in_body(None, Some("s"))),
            Err(Code::InvalidRequest)
        );
        assert_eq!(
            code(client(None).or_in_body(Some("a"), Some("s"))),
            Err(Code::InvalidClient)
        );
        assert_eq!(code(client(None).or_in_body(Some("a"), None)), Ok(Some("a".to_owned())));
        assert_eq!(code(client(Some("a")).or_in_body(None, None)), Ok(Some("a".to_owned())));
        assert_eq!(code(client(None).or_in_body(None, None)), Ok(None));
        assert_eq!(
            read(["Basic Og==", "Basic Og=="].into_iter()).unwrap_err().code,
            Code::InvalidRequest
        );
    }
}
