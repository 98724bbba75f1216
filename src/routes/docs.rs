//! The document, and the page that shows it: Swagger UI, with nothing fetched from any other host (requirement H2).

use rocket::Route;
use rocket::http::ContentType;
use rocket_okapi::okapi::openapi3::OpenApi;

use super::asset;

/// What the page may load: only from here. Swagger UI writes style attributes and has its icons inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/init.js");

/// Swagger UI (Apache-2.0, `swagger-ui-dist` on npm), of the version that rocket_okapi brings: byte for byte what that has,
/// after `gzip --best --no-name`. Its own copy would stand in the binary uncompressed, with files that the page does not use.
const BUNDLE: &[u8] = include_bytes!("docs/swagger-ui-bundle.js.gz");
const STYLE: &[u8] = include_bytes!("docs/swagger-ui.css.gz");

pub(super) fn routes(document: &OpenApi) -> Vec<Route> {
    let json = rocket::serde::json::to_pretty_string(document).expect("the document is made of strings and numbers");
    vec![
        asset::file("/openapi.json", ContentType::JSON, json, None),
        asset::file("/docs", ContentType::HTML, PAGE, Some(POLICY)),
        asset::file("/docs/init.js", ContentType::JavaScript, SCRIPT, Some(POLICY)),
        asset::compressed(
            "/docs/swagger-ui-bundle.js",
            ContentType::JavaScript,
            BUNDLE,
            Some(POLICY),
        ),
        asset::compressed("/docs/swagger-ui.css", ContentType::CSS, STYLE, Some(POLICY)),
    ]
}

#[cfg(test)]
mod tests {
    use rocket::local::asynchronous::Client;
    use rocket_okapi::swagger_ui::{SwaggerUIConfig, make_swagger_ui};

    use super::*;

    #[rocket::async_test]
    async fn the_page_s_files_are_those_that_rocket_okapi_brings() {
        let rocket = rocket::custom(rocket::Config::debug_default())
            .mount("/", routes(&OpenApi::new()))
            .mount("/theirs", make_swagger_ui(&SwaggerUIConfig::default()));
        let client = Client::untracked(rocket).await.expect("it ignites");
        for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
            let ours = client.get(format!("/docs/{name}")).dispatch().await;
            let theirs = client.get(format!("/theirs/{name}")).dispatch().await;
            assert_eq!(ours.content_type(), theirs.content_type(), "{name}");
            let (ours, theirs) = (ours.into_bytes().await, theirs.into_bytes().await);
            assert!(ours.is_some() && ours == theirs, "{name}");
        }
    }
}
