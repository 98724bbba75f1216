//! Files that are served from the binary: compressed at their first request, revalidated by their `ETag`.

use std::borrow::Cow;
use std::io::{Cursor, Read, Write};
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rocket::http::{ContentType, Method, Status};
use rocket::response::Response;
use rocket::route::{Handler, Outcome};
use rocket::{Data, Request, Route};

/// A route that answers with this text. `policy` is the `Content-Security-Policy` of the page that it belongs to.
pub(super) fn file(path: &str, kind: ContentType, text: impl Into<Cow<'static, str>>, policy: &'static str) -> Route {
    route(path, Source::Text(kind, text.into()), policy)
}

/// A route that answers with what another one gives.
pub(super) fn taken_from(other: Route, path: &str, policy: &'static str) -> Route {
    route(path, Source::Other(other.handler), policy)
}

fn route(path: &str, source: Source, policy: &'static str) -> Route {
    let kept = Arc::default();
    Route::new(Method::Get, path, Asset { source, kept, policy })
}

#[derive(Clone)]
struct Asset {
    source: Source,
    kept: Arc<OnceLock<Kept>>,
    policy: &'static str,
}

/// Where the file comes from at its first request.
#[derive(Clone)]
enum Source {
    Text(ContentType, Cow<'static, str>),
    Other(Box<dyn Handler>),
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

    fn answer(&self, request: &Request<'_>, policy: &'static str) -> Response<'static> {
        let mut response = Response::new();
        response.set_raw_header("ETag", self.etag.clone());
        response.set_raw_header("Cache-Control", "no-cache");
        response.set_raw_header("Vary", "Accept-Encoding");
        response.set_raw_header("Content-Security-Policy", policy);
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
            return Outcome::Success(kept.answer(request, self.policy));
        }
        let made = match &self.source {
            Source::Text(kind, text) => Kept::new(kind.clone(), text.as_bytes()),
            Source::Other(handler) => match handler.handle(request, data).await {
                Outcome::Success(mut response) => {
                    let kind = response.content_type().unwrap_or(ContentType::Binary);
                    let Ok(bytes) = response.body_mut().to_bytes().await else {
                        return Outcome::Error(Status::InternalServerError);
                    };
                    Kept::new(kind, &bytes)
                }
                other => return other,
            },
        };
        Outcome::Success(self.kept.get_or_init(|| made).answer(request, self.policy))
    }
}
