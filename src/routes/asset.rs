//! Files that are served from the binary, compressed and revalidated by their `ETag`: what is text here is compressed at its
//! first request, what is large stands in the binary compressed.

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

use crate::http::passing::given;

/// A route that answers with this text. `policy` is the `Content-Security-Policy` of the page that it belongs to.
pub(super) fn file(path: &str, kind: ContentType, text: impl Into<Cow<'static, str>>, policy: &'static str) -> Route {
    route(path, Source::Text(kind, text.into()), policy)
}

/// Likewise, with what gzip has made of it.
pub(super) fn compressed(path: &str, kind: ContentType, gzip: &'static [u8], policy: &'static str) -> Route {
    route(path, Source::Gzip(kind, gzip), policy)
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
    Gzip(ContentType, &'static [u8]),
}

/// A file as it is kept: compressed.
struct Kept {
    kind: ContentType,
    gzip: Cow<'static, [u8]>,
    etag: String,
}

impl Kept {
    fn of(source: &Source) -> Self {
        match source {
            Source::Text(kind, text) => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                let gzip = encoder
                    .write_all(text.as_bytes())
                    .and_then(|()| encoder.finish())
                    .expect("writing to memory does not fail");
                Self::new(kind.clone(), gzip.into())
            }
            Source::Gzip(kind, gzip) => Self::new(kind.clone(), (*gzip).into()),
        }
    }

    fn new(kind: ContentType, gzip: Cow<'static, [u8]>) -> Self {
        // The checksum and the length of what was compressed (RFC 1952 §2.3.1).
        let trailer = gzip.last_chunk().expect("a header and this are there");
        let etag = format!("\"{:016x}\"", u64::from_be_bytes(*trailer));
        Self { kind, gzip, etag }
    }

    fn answer(&self, request: &Request<'_>, policy: &'static str) -> Response<'static> {
        let mut response = Response::new();
        response.set_raw_header("ETag", self.etag.clone());
        response.set_raw_header("Cache-Control", "no-cache");
        response.set_raw_header("Vary", "Accept-Encoding");
        response.set_raw_header("Content-Security-Policy", policy);
        let is_mine = |tag: &str| tag.trim() == self.etag || tag.trim() == "*";
        if given(request, "If-None-Match")
            .flat_map(|tags| tags.split(','))
            .any(is_mine)
        {
            response.set_status(Status::NotModified);
            return response;
        }
        response.set_header(self.kind.clone());
        let accepted = given(request, "Accept-Encoding").flat_map(|all| all.split(','));
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
                .expect("it is what gzip made");
            plain.into()
        };
        response.set_sized_body(body.len(), Cursor::new(body));
        response
    }
}

#[rocket::async_trait]
impl Handler for Asset {
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        let kept = self.kept.get_or_init(|| Kept::of(&self.source));
        Outcome::Success(kept.answer(request, self.policy))
    }
}
