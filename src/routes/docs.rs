//! The document, and the page that shows it: Swagger UI, with nothing fetched from any other host (requirement H2).

use std::io::{Cursor, Read, Write};
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rocket::http::{ContentType, Method, Status};
use rocket::response::{Redirect, Response};
use rocket::route::{Handler, Outcome};
use rocket::{Data, Request, Route, get, routes};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::swagger_ui::{SwaggerUIConfig, make_swagger_ui};

/// What the page may load: only from here. Swagger UI writes style attributes and has its icons inline.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/init.js");

/// What rocket_okapi brings that the page needs.
const BUNDLED: [&str; 2] = ["/swagger-ui-bundle.js", "/swagger-ui.css"];

pub(super) fn routes(document: &OpenApi) -> Vec<Route> {
    let json = rocket::serde::json::to_pretty_string(document).expect("the document is made of strings and numbers");
    let ready = |path: &str, kind: ContentType, bytes: &[u8]| {
        let kept = OnceLock::from(Kept::new(kind, bytes));
        Route::new(
            Method::Get,
            path,
            Asset {
                source: None,
                kept: Arc::new(kept),
            },
        )
    };
    let mut all = vec![
        ready("/openapi.json", ContentType::JSON, json.as_bytes()),
        ready("/docs", ContentType::HTML, PAGE.as_bytes()),
        ready("/docs/init.js", ContentType::JavaScript, SCRIPT.as_bytes()),
    ];
    let bundled: Vec<Route> = make_swagger_ui(&SwaggerUIConfig::default()).into();
    for route in bundled.into_iter().filter(|route| BUNDLED.contains(&route.uri.path())) {
        let path = format!("/docs{}", route.uri.path());
        all.push(Route::new(
            Method::Get,
            &path,
            Asset {
                source: Some(route.handler),
                kept: Arc::default(),
            },
        ));
    }
    all
}

pub(super) fn front() -> Vec<Route> {
    routes![to_docs]
}

#[get("/")]
fn to_docs() -> Redirect {
    Redirect::to("/docs")
}

/// A file from the binary. Those of rocket_okapi are taken from its own handler at the first request.
#[derive(Clone)]
struct Asset {
    source: Option<Box<dyn Handler>>,
    kept: Arc<OnceLock<Kept>>,
}

/// A file as it is kept: compressed.
struct Kept {
    kind: ContentType,
    gzip: Vec<u8>,
    etag: String,
}

impl Kept {
    fn new(kind: ContentType, bytes: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder
            .write_all(bytes)
            .and_then(|()| encoder.finish())
            .expect("writing to memory does not fail");
        let etag = format!("\"{:08x}-{:x}\"", crc32fast::hash(bytes), bytes.len());
        Self { kind, gzip, etag }
    }

    fn answer(&self, request: &Request<'_>) -> Response<'static> {
        let mut response = Response::new();
        response.set_raw_header("ETag", self.etag.clone());
        response.set_raw_header("Cache-Control", "no-cache");
        response.set_raw_header("Vary", "Accept-Encoding");
        response.set_raw_header("Content-Security-Policy", PAGE_POLICY);
        let is_mine = |tag: &str| tag.trim() == self.etag || tag.trim() == "*";
        if request
            .headers()
            .get("If-None-Match")
            .flat_map(|tags| tags.split(','))
            .any(is_mine)
        {
            response.set_status(Status::NotModified);
            return response;
        }
        response.set_header(self.kind.clone());
        let accepted = request.headers().get("Accept-Encoding").flat_map(|all| all.split(','));
        let body = if accepted
            .map(str::trim)
            .any(|coding| coding.eq_ignore_ascii_case("gzip") || coding.starts_with("gzip;"))
        {
            response.set_raw_header("Content-Encoding", "gzip");
            self.gzip.clone()
        } else {
            let mut plain = Vec::new();
            GzDecoder::new(&*self.gzip)
                .read_to_end(&mut plain)
                .expect("it was compressed here");
            plain
        };
        response.set_sized_body(body.len(), Cursor::new(body));
        response
    }
}

#[rocket::async_trait]
impl Handler for Asset {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        if let Some(kept) = self.kept.get() {
            return Outcome::Success(kept.answer(request));
        }
        let Some(source) = &self.source else {
            return Outcome::Error(Status::InternalServerError);
        };
        match source.handle(request, data).await {
            Outcome::Success(mut response) => {
                let kind = response.content_type().unwrap_or(ContentType::Binary);
                let Ok(bytes) = response.body_mut().to_bytes().await else {
                    return Outcome::Error(Status::InternalServerError);
                };
                Outcome::Success(self.kept.get_or_init(|| Kept::new(kind, &bytes)).answer(request))
            }
            other => other,
        }
    }
}
