//! Sign-in for any program behind a reverse proxy: the proxy asks here about each request before it passes it on.
//!
//! The settings of the proxies that this was made for, tested, are in `deploy/`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::response::{self, Responder, Response};
use rocket::{Request, Route, get};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi::openapi3::{OpenApi, Parameter, Responses};
use rocket_okapi::request::{OpenApiFromRequest, RequestHeaderInput};
use rocket_okapi::response::OpenApiResponderInner;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{okapi, openapi, openapi_get_routes_spec};
use schemars::schema::{InstanceType, SchemaObject, StringValidation};

use crate::bearer::Challenge;
use crate::error::{Error, Problem};
use crate::guard::CurrentUser;
use crate::http::catch::refuse;
use crate::http::respond::{empty, failure, of_schema};
use crate::user::{MAX_SCOPE_LEN, MAX_SCOPES, Scopes};

/// One character of a scope.
const SCOPE: &str = r"[\x21\x23-\x5B\x5D-\x7E]";

/// What stands for itself in a name: what RFC 3986 §2.3 leaves unreserved, and the `@` of names that are e-mail addresses.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: forward_auth]
}

failure! {
    ForwardAuthFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, Unavailable
}

/// The scopes that `?scope=` asks for, all of them; none without it. Anything else in the query is refused: a misspelt
/// parameter must not let everybody in.
struct Wanted(Option<Scopes>);

impl Wanted {
    fn read<'a>(query: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let refused = |detail: &'static str| Error::new(Problem::BadRequest, detail);
        let mut wanted = None;
        for (name, value) in query {
            if name != "scope" || wanted.is_some() {
                return Err(refused("The query may have the parameter scope, once, and no other."));
            }
            let scopes = Scopes::parse(value)
                .map_err(|_| refused("The query parameter scope must be scopes with one space between two."))?;
            wanted = Some(scopes);
        }
        Ok(Self(wanted))
    }

    fn check(self, me: &CurrentUser) -> Result<(), Challenge> {
        match self.0 {
            Some(scopes) if !scopes.is_subset(me.scopes()) => {
                Err(Challenge::InsufficientScope(scopes.to_string().into()))
            }
            _ => Ok(()),
        }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Wanted {
    type Error = Status;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Status> {
        let query = request
            .query_fields()
            .map(|field| (field.name.source().as_str(), field.value));
        match Self::read(query) {
            Ok(wanted) => Outcome::Success(wanted),
            Err(error) => {
                let status = refuse(request, error);
                Outcome::Error((status, status))
            }
        }
    }
}

impl OpenApiFromRequest<'_> for Wanted {
    fn from_request_input(_: &mut OpenApiGenerator, _: String, _: bool) -> rocket_okapi::Result<RequestHeaderInput> {
        Ok(RequestHeaderInput::Parameter(Parameter {
            name: "scope".to_owned(),
            location: "query".to_owned(),
            description: Some("The scopes that are needed, all of them, with one space between two.".to_owned()),
            required: false,
            deprecated: false,
            allow_empty_value: false,
            value: of_schema(SchemaObject {
                instance_type: Some(InstanceType::String.into()),
                string: Some(Box::new(StringValidation {
                    // RFC 6749 section 3.3, with our bounds: a length alone would let one scope be as long as all of them.
                    pattern: Some(format!(
                        "^{SCOPE}{{1,{MAX_SCOPE_LEN}}}( {SCOPE}{{1,{MAX_SCOPE_LEN}}}){{0,{}}}$",
                        MAX_SCOPES - 1
                    )),
                    ..StringValidation::default()
                })),
                ..SchemaObject::default()
            }),
            extensions: okapi::Map::default(),
        }))
    }
}

/// 204, with who it is in headers.
struct Identity(CurrentUser);

/// A name as a header can carry it: UTF-8, with everything but letters, digits and `-._~@` of ASCII percent-encoded.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, PLAIN).to_string()
}

impl<'r> Responder<'r, 'static> for Identity {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let Self(me) = self;
        Response::build()
            .status(Status::NoContent)
            .raw_header("X-Shild-User-Id", me.id().to_string())
            .raw_header("X-Shild-Username", encoded(me.username().as_str()))
            .raw_header("X-Shild-Scopes", me.scopes().to_string())
            .ok()
    }
}

impl OpenApiResponderInner for Identity {
    fn responses(_: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let headers = [
            ("X-Shild-User-Id", "The user's id."),
            (
                "X-Shild-Username",
                "The user's name in UTF-8; all but letters, digits and `-._~@` of ASCII is percent-encoded.",
            ),
            (
                "X-Shild-Scopes",
                "The scopes that the token carries, with one space between two.",
            ),
        ];
        let mut responses = Responses::default();
        let response = empty("The request may pass; the headers say whose it is.", &headers);
        responses.responses.insert("204".to_owned(), response.into());
        Ok(responses)
    }
}

/// # May this request pass
///
/// For the sub-request of a reverse proxy, which sends the request's `Authorization` header here and passes the request on if
/// the answer is 204. Any live token will do unless `scope` asks for more.
#[openapi(tag = "Operation", operation_id = "forward_auth")]
#[get("/forward-auth")]
fn forward_auth(me: CurrentUser, wanted: Wanted) -> Result<Identity, ForwardAuthFailure> {
    wanted.check(&me)?;
    Ok(Identity(me))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Option<Option<String>> {
        let wanted = Wanted::read(query.iter().copied()).ok()?;
        Some(wanted.0.map(|scopes| scopes.to_string()))
    }

    #[test]
    fn a_query_that_is_not_understood_lets_nobody_in() {
        assert_eq!(read(&[]), Some(None));
        assert_eq!(read(&[("scope", "b a")]), Some(Some("a b".to_owned())));
        let wrong: [&[(&str, &str)]; 5] = [
            &[("scope", "")],
            &[("scope", "a  b")],
            &[("scopes", "a")],
            &[("Scope", "a")],
            &[("scope", "a"), ("scope", "b")],
        ];
        for query in wrong {
            assert_eq!(read(query), None, "{query:?}");
        }
    }

    #[test]
    fn a_name_is_one_header_value_whatever_is_in_it() {
        assert_eq!(encoded("juliet@example.com"), "juliet@example.com");
        assert_eq!(encoded("fußball"), "fu%C3%9Fball");
        assert_eq!(encoded("a+b%20,\"c\""), "a%2Bb%2520%2C%22c%22");
    }
}
