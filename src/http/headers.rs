//! The headers of every answer (requirement H1). What a route has set itself stays.
//!
//! Where the program's own server sends the answer, it adds them last: Rocket keeps headers in a map that hashes names letter by
//! letter, which took a tenth of what a request cost.

use std::sync::LazyLock;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::Error;
use rocket::http::Header;
use rocket::{Request, Response};

use super::passing::Passing;

const DEFAULTS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// Where an answer's id stands.
pub(crate) const ID: &str = "x-request-id";

/// Sets the headers, unless the server will, which calls [`all`].
pub(super) fn set(request: &Request<'_>, response: &mut Response<'_>, id: &str) {
    if Passing::of(request).by_server {
        return;
    }
    for (name, value) in DEFAULTS {
        if response.headers().get_one(name).is_none() {
            response.set_header(Header::new(name, value));
        }
    }
    response.set_raw_header(ID, id.to_owned());
}

/// The headers of an answer that the program's own server sends: those that each has, and those that this one has already,
/// values of the same name one after the other. What was set stays, but for an `id`. Without one it has what was set only.
///
/// # Errors
/// One of them cannot be sent.
pub(crate) fn all<'a>(set: impl Iterator<Item = Header<'a>>, id: Option<&str>) -> Result<HeaderMap, Error> {
    // A map is sooner copied than filled.
    static READY: LazyLock<HeaderMap> = LazyLock::new(|| {
        let ready = DEFAULTS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        ready.into_iter().collect()
    });
    let mut fields = id.map_or_else(HeaderMap::new, |_| READY.clone());
    let mut before = None;
    for field in set {
        let name = HeaderName::from_bytes(field.name().as_str().as_bytes())?;
        let value = HeaderValue::from_str(field.value())?;
        if before.as_ref() == Some(&name) {
            fields.append(&name, value);
        } else {
            fields.insert(&name, value);
        }
        before = Some(name);
    }
    if let Some(id) = id {
        fields.insert(HeaderName::from_static(ID), HeaderValue::from_str(id)?);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    // H1
    #[test]
    fn what_was_set_stays_and_what_was_not_is_added() {
        let set = [
            ("Cache-Control", "max-age=60"),
            ("WWW-Authenticate", "Bearer"),
            ("WWW-Authenticate", "Basic"),
            ("X-Request-Id", "forged"),
        ];
        let set = set.map(|(name, value)| Header::new(name, value));
        let fields = all(set.into_iter(), Some("an-id")).unwrap();
        let values = |name: &str| -> Vec<_> { fields.get_all(name).iter().collect() };
        assert_eq!(values("cache-control"), ["max-age=60"]);
        assert_eq!(values("www-authenticate"), ["Bearer", "Basic"]);
        assert_eq!(values("x-request-id"), ["an-id"]);
        for (name, value) in &DEFAULTS[..3] {
            assert_eq!(values(name), [value]);
        }
        let letters = all([Header::new("X-Name", "Zo\u{eb}")].into_iter(), None).unwrap();
        assert_eq!(letters["x-name"], "Zo\u{eb}".as_bytes());
        assert_eq!(all([].into_iter(), Some("an-id")).unwrap().len(), DEFAULTS.len() + 1);
        assert!(all([].into_iter(), None).unwrap().is_empty());
        assert!(all([Header::new("X-Name", "a\nb")].into_iter(), Some("an-id")).is_err());
        assert!(all([].into_iter(), Some("a\nb")).is_err());
    }
}
