//! What clients can find out about this server by themselves (RFC 8414).

use rocket::http::uri::Origin;
use rocket::{Route, State, get};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Shown;
use crate::shild::Shild;
use crate::user::Scope;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: authorization_server_metadata, metadata_of_an_issuer_with_a_path]
}

/// The metadata of RFC 8414 §2.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// The issuer, as in the claim `iss`.
    issuer: String,
    /// The token endpoint.
    token_endpoint: String,
    /// The revocation endpoint (RFC 7009).
    revocation_endpoint: String,
    /// The introspection endpoint (RFC 7662).
    introspection_endpoint: String,
    /// The documentation for developers.
    service_documentation: String,
    /// The built-in scopes; users may have others.
    scopes_supported: Vec<&'static str>,
    /// None: there is no authorization endpoint.
    response_types_supported: Vec<&'static str>,
    /// The grants of the token endpoint.
    grant_types_supported: Vec<&'static str>,
    /// How clients authenticate at the token endpoint: not at all.
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// How clients authenticate at the revocation endpoint: not at all.
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// How callers of the introspection endpoint are authorized: by a bearer token.
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
}

/// # Read the server's metadata
///
/// Where the endpoints are and what they can do (RFC 8414).
#[openapi(tag = "OAuth 2", operation_id = "authorization_server_metadata")]
#[get("/.well-known/oauth-authorization-server")]
fn authorization_server_metadata(shild: &State<Shild>) -> Shown<Metadata> {
    metadata(shild)
}

/// Where clients look for it whose issuer has a path: that comes behind the well-known one (RFC 8414 §3.1).
#[openapi(skip)]
#[get("/.well-known/oauth-authorization-server/<_..>")]
fn metadata_of_an_issuer_with_a_path(shild: &State<Shild>, asked: &Origin<'_>) -> Option<Shown<Metadata>> {
    let (_, rest) = shild.issuer().split_once("://")?;
    let path = &rest[rest.find('/')?..];
    let asked = asked
        .path()
        .as_str()
        .strip_prefix("/.well-known/oauth-authorization-server")?;
    (asked.trim_end_matches('/') == path.trim_end_matches('/')).then(|| metadata(shild))
}

fn metadata(shild: &Shild) -> Shown<Metadata> {
    let base = shild.issuer().trim_end_matches('/');
    Shown(Metadata {
        issuer: shild.issuer().to_owned(),
        token_endpoint: format!("{base}{}", shild.settings().token_path.as_str()),
        revocation_endpoint: format!("{base}/revoke"),
        introspection_endpoint: format!("{base}/introspect"),
        service_documentation: format!("{base}/docs"),
        scopes_supported: vec![Scope::USER, Scope::ADMIN, Scope::INTROSPECT],
        response_types_supported: vec![],
        grant_types_supported: vec!["password", "refresh_token"],
        token_endpoint_auth_methods_supported: vec!["none"],
        revocation_endpoint_auth_methods_supported: vec!["none"],
        introspection_endpoint_auth_methods_supported: vec!["Bearer"],
    })
}
