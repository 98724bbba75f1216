//! What is counted, for Prometheus.

use std::io::Cursor;
use std::net::IpAddr;

use rocket::http::Status;
use rocket::http::uri::Host;
use rocket::request::{FromRequest, Outcome};
use rocket::response::{self, Responder, Response};
use rocket::{Request, Route, State, get};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi::openapi3::{OpenApi, Responses};
use rocket_okapi::request::{OpenApiFromRequest, RequestHeaderInput};
use rocket_okapi::response::OpenApiResponderInner;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use subtle::ConstantTimeEq as _;

use crate::bearer::{self, Challenge, Credentials};
use crate::error::{Error, Problem};
use crate::http::catch::refuse;
use crate::http::passing::{given, given_in_parts};
use crate::http::respond::{document, failure};
use crate::shild::Shild;

/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a proxy adds to a request that it passes on.
const FORWARDING: [&str; 6] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Via",
];

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: metrics]
}

failure! {
    MetricsFailure: InvalidRequest, Unauthenticated, InvalidToken, Forbidden
}

/// Whoever may see the metrics: a program on this host, or one that has the setting `metrics_token`.
struct Scraper;

fn admit(request: &Request<'_>) -> Result<Scraper, Error> {
    if is_local(request) {
        return Ok(Scraper);
    }
    let shild = request.rocket().state::<Shild>();
    let Some(token) = shild.and_then(|shild| shild.settings().metrics_token.as_ref()) else {
        return Err(Error::new(
            Problem::Forbidden,
            "The metrics are for programs on the server's own host. For others, set metrics_token and send it as a bearer token.",
        ));
    };
    match bearer::read(given(request, "Authorization")) {
        Credentials::Absent => Err(Challenge::Missing.into()),
        Credentials::Malformed => Err(Challenge::InvalidRequest.into()),
        Credentials::Bearer(given) if bool::from(given.as_bytes().ct_eq(token.expose().as_bytes())) => Ok(Scraper),
        Credentials::Bearer(given) => Err(bearer::refusal(given).into()),
    }
}

/// Whether a program on this host asks on its own behalf. A proxy on this host comes from loopback too, but says that it passes
/// something on, or keeps the name that was asked for; and so does a browser here whose page has its name lead to loopback.
fn is_local(request: &Request<'_>) -> bool {
    let peer = request
        .remote()
        .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let forwarded = FORWARDING
        .iter()
        .any(|name| given_in_parts(request, name).next().is_some());
    // Rocket's own reading of this header is there only where Rocket has the connection.
    let asked_for = given(request, "Host").next();
    let asked_for = asked_for.and_then(|host| Host::parse(host).ok());
    peer && !forwarded && asked_for.is_some_and(|host| is_loopback_name(host.domain().as_str()))
}

fn is_loopback_name(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Scraper {
    type Error = Status;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Status> {
        match admit(request) {
            Ok(scraper) => Outcome::Success(scraper),
            Err(error) => {
                let status = refuse(request, error);
                Outcome::Error((status, status))
            }
        }
    }
}

impl OpenApiFromRequest<'_> for Scraper {
    fn from_request_input(_: &mut OpenApiGenerator, _: String, _: bool) -> rocket_okapi::Result<RequestHeaderInput> {
        Ok(RequestHeaderInput::None)
    }
}

/// 200 with metrics.
struct Exposition(String);

impl<'r> Responder<'r, 'static> for Exposition {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build()
            .raw_header("Content-Type", TEXT_FORMAT)
            .sized_body(self.0.len(), Cursor::new(self.0))
            .ok()
    }
}

impl OpenApiResponderInner for Exposition {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        let text = document::<String>(
            generator,
            "The metrics, in the text format of Prometheus.",
            "text/plain",
            &[],
        );
        responses.responses.insert("200".to_owned(), text);
        Ok(responses)
    }
}

/// # Read the metrics
///
/// In the text format of Prometheus, version 0.0.4. Open to programs on the server's own host; to others with the setting
/// `metrics_token` as a bearer token, which is not one of the access tokens that are issued here.
#[openapi(tag = "Operation", operation_id = "metrics")]
#[get("/metrics")]
fn metrics(shild: &State<Shild>, _scraper: Scraper) -> Result<Exposition, MetricsFailure> {
    Ok(Exposition(shild.metrics_text()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_host_are_local() {
        for name in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback_name(name), "{name}");
        }
        for name in [
            "id.example.org",
            "localhost.example.org",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "",
        ] {
            assert!(!is_loopback_name(name), "{name}");
        }
    }
}
