//! Cross-origin requests: off by default; an exact list of origins, never reflected beyond it, never with credentials
//! (requirement H4). Tokens travel in a header, so scripts need no credentials of the browser.

use rocket::http::Status;
use rocket::{Request, Response};

use super::passing::given;
use crate::shild::Shild;

/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: &str = "600";

/// Tells the browser of a script from a listed origin that it may read this answer and, where it asks first, send its
/// request.
pub(super) fn allow(request: &Request<'_>, response: &mut Response<'_>, shild: &Shild) {
    let listed = &shild.settings().cors.allow_origins;
    if listed.is_empty() {
        return;
    }
    response.adjoin_raw_header("Vary", "Origin");
    let mut origins = given(request, "Origin");
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return;
    };
    if !listed.iter().any(|allowed| allowed.as_str() == origin) {
        return;
    }
    response.set_raw_header("Access-Control-Allow-Origin", origin.to_owned());
    response.set_raw_header(
        "Access-Control-Expose-Headers",
        "ETag, Location, Retry-After, WWW-Authenticate, X-Request-Id",
    );
    let preflight = given(request, "Access-Control-Request-Method").next().is_some();
    if preflight && response.status() == Status::NoContent {
        let methods = response.headers().get_one("Allow").unwrap_or_default().to_owned();
        response.set_raw_header("Access-Control-Allow-Methods", methods);
        response.set_raw_header(
            "Access-Control-Allow-Headers",
            "Authorization, Content-Type, If-Match, X-Request-Id",
        );
        response.set_raw_header("Access-Control-Max-Age", MAX_AGE);
    }
}
