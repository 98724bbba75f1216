//! The document, and the page that shows it: Swagger UI, with nothing fetched from any other host (requirement H2).

use rocket::Route;
use rocket::http::ContentType;
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::swagger_ui::{SwaggerUIConfig, make_swagger_ui};

use super::asset;

/// What the page may load: only from here. Swagger UI writes style attributes and has its icons inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/init.js");

/// What rocket_okapi brings that the page needs.
const BUNDLED: [&str; 2] = ["/swagger-ui-bundle.js", "/swagger-ui.css"];

pub(super) fn routes(document: &OpenApi) -> Vec<Route> {
    let json = rocket::serde::json::to_pretty_string(document).expect("the document is made of strings and numbers");
    let mut all = vec![
        asset::file("/openapi.json", ContentType::JSON, json, POLICY),
        asset::file("/docs", ContentType::HTML, PAGE, POLICY),
        asset::file("/docs/init.js", ContentType::JavaScript, SCRIPT, POLICY),
    ];
    let bundled: Vec<Route> = make_swagger_ui(&SwaggerUIConfig::default()).into();
    for route in bundled {
        if BUNDLED.contains(&route.uri.path()) {
            let path = format!("/docs{}", route.uri.path());
            all.push(asset::taken_from(route, &path, POLICY));
        }
    }
    all
}
