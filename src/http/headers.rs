//! The headers of every answer (requirement H1). What a route has set itself stays.
//!
//! Where the program's own server sends the answer, it adds them last: Rocket keeps headers in a map that hashes names letter by
//! letter, which took a tenth of what a request cost.

use std::sync::LazyLock;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use rocket::http::Header;
use rocket::{Request, Response};

const DEFAULTS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// Where an answer's id stands.
const ID: &str = "x-request-id";

/// Whether the server adds the headers of this answer.
struct ByServer(bool);

/// Leaves the headers of the answer to the server, which calls [`add`].
pub(crate) fn leave_to_server(request: &Request<'_>) {
    request.local_cache(|| ByServer(true));
}

/// Sets the headers, unless the server will.
pub(super) fn set(request: &Request<'_>, response: &mut Response<'_>, id: &str) {
    if request.local_cache(|| ByServer(false)).0 {
        return;
    }
    for (name, value) in DEFAULTS {
        if response.headers().get_one(name).is_none() {
            response.set_header(Header::new(name, value));
        }
    }
    response.set_raw_header(ID, id.to_owned());
}

/// Adds the headers to those of an answer that is ready but for them.
pub(crate) fn add(fields: &mut HeaderMap, id: &str) {
    static READY: LazyLock<[(HeaderName, HeaderValue); 4]> = LazyLock::new(|| {
        DEFAULTS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    });
    for (name, value) in &*READY {
        fields.entry(name).or_insert_with(|| value.clone());
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        fields.insert(HeaderName::from_static(ID), id);
    }
}
