//! Files that are served from the binary, compressed and revalidated by their `ETag`: what is text here is compressed at its
//! first request, what is large stands in the binary compressed.

use std::borrow::Cow;
use std::io::{Cursor, Read, Write};
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use rocket::http::{ContentType, Method, Status};
use rocket::response::Response;
use rocket::route::{Handler, Outcome};
use rocket::{Data, Request, Route};

use crate::http::passing::given;

/// A route that answers with this text. `policy` is the `Content-Security-Policy` of the page that it belongs to; without one it
/// has that of all other answers.
pub(super) fn file(
    path: &str,
    kind: ContentType,
    text: impl Into<Cow<'static, str>>,
    policy: Option<&'static str>,
) -> Route {
    route(path, Source::Text(kind, text.into()), policy)
}

/// Likewise, with what gzip has made of it.
pub(super) fn compressed(path: &str, kind: ContentType, gzip: &'static [u8], policy: Option<&'static str>) -> Route {
    route(path, Source::Gzip(kind, gzip), policy)
}

fn route(path: &str, source: Source, policy: Option<&'static str>) -> Route {
    let kept = Arc::default();
    Route::new(Method::Get, path, Asset { source, kept, policy })
}

#[derive(Clone)]
struct Asset {
    source: Source,
    kept: Arc<OnceLock<Kept>>,
    policy: Option<&'static str>,
}

/// Where the file comes from at its first request.
#[derive(Clone)]
enum Source {
    Text(ContentType, Cow<'static, str>),
    Gzip(ContentType, &'static [u8]),
}

/// A file as it is kept: compressed, and as it is from the first request on that wants it so. All who read it share it, however
/// slowly they do.
struct Kept {
    kind: ContentType,
    gzip: Bytes,
    plain: OnceLock<Bytes>,
    /// Names what is in it.
    tag: String,
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
            Source::Gzip(kind, gzip) => Self::new(kind.clone(), Bytes::from_static(gzip)),
        }
    }

    fn new(kind: ContentType, gzip: Bytes) -> Self {
        // The checksum and the length of what was compressed (RFC 1952 §2.3.1).
        let trailer = gzip.last_chunk().expect("a header and this are there");
        Self {
            kind,
            tag: format!("{:016x}", u64::from_be_bytes(*trailer)),
            gzip,
            plain: OnceLock::new(),
        }
    }

    fn plain(&self) -> &Bytes {
        self.plain.get_or_init(|| {
            let mut plain = Vec::new();
            GzDecoder::new(&*self.gzip)
                .read_to_end(&mut plain)
                .expect("it is what gzip made");
            plain.into()
        })
    }

    fn answer(&self, request: &Request<'_>, policy: Option<&'static str>) -> Response<'static> {
        let mut response = Response::new();
        let compressed = accepts_gzip(given(request, "Accept-Encoding"));
        // Each form has a tag of its own (RFC 9110 §8.8.3.3).
        let etag = format!("\"{}{}\"", self.tag, if compressed { "-gzip" } else { "" });
        response.set_raw_header("Cache-Control", "no-cache");
        response.set_raw_header("Vary", "Accept-Encoding");
        if let Some(policy) = policy {
            response.set_raw_header("Content-Security-Policy", policy);
        }
        // Weakly compared (RFC 9110 §13.1.2).
        let is_known = given(request, "If-None-Match")
            .flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag);
        response.set_raw_header("ETag", etag);
        if is_known {
            response.set_status(Status::NotModified);
            return response;
        }
        response.set_header(self.kind.clone());
        let body = if compressed {
            response.set_raw_header("Content-Encoding", "gzip");
            &self.gzip
        } else {
            self.plain()
        };
        response.set_sized_body(body.len(), Cursor::new(body.clone()));
        response
    }
}

/// Whether gzip is named, and not with the weight 0 (RFC 9110 §12.5.3).
fn accepts_gzip<'a>(accepted: impl Iterator<Item = &'a str>) -> bool {
    accepted.flat_map(|all| all.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=');
        name.trim().eq_ignore_ascii_case("gzip") && !weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0)
    })
}

#[rocket::async_trait]
impl Handler for Asset {
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> Outcome<'r> {
        let kept = self.kept.get_or_init(|| Kept::of(&self.source));
        Outcome::Success(kept.answer(request, self.policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Failed before: with the weight 0, which refuses it, it was sent all the same.
    #[test]
    fn gzip_is_for_those_who_accept_it() {
        let accepts = |field: &str| accepts_gzip(std::iter::once(field));
        for field in [
            "gzip",
            "br, GZIP",
            "gzip;q=0.5",
            "gzip ; q=1.000",
            "identity;q=0, gzip;q=0.001",
        ] {
            assert!(accepts(field), "{field}");
        }
        for field in [
            "",
            "br",
            "gzip;q=0",
            "gzip; q=0.000",
            "GZIP;Q=0",
            "gzipped",
            "identity",
            "deflate, br;q=1",
        ] {
            assert!(!accepts(field), "{field}");
        }
    }
}
