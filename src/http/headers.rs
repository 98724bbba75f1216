//! The headers of every answer (requirement H1). What a route has set itself stays.
//!
//! Where the program's own server sends the answer, it adds them last: Rocket keeps headers in a map that hashes names letter by
//! letter, which took a tenth of what a request cost.

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, SERVER};
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
const ID: &str = "x-request-id";

/// Sets the headers, unless the server will, which has [`Usual`].
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

/// What each answer of the program's own server has.
pub(crate) struct Usual(HeaderMap);

impl Usual {
    /// All of it; `server` is what the program calls itself (RFC 9110 §10.2.4).
    pub(crate) fn with(server: Option<HeaderValue>) -> Self {
        let defaults = DEFAULTS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let server = server.map(|server| (SERVER, server));
        let room = ROOM.map(|name| (name, HeaderValue::from_static("")));
        Self(defaults.into_iter().chain(server).chain(room).collect())
    }

    /// The headers of an answer: those that each has, and those that this one has already, values of the same name one after the
    /// other. What was set stays, but for an `id`. Without one it has what was set only.
    ///
    /// # Errors
    /// One of them cannot be sent.
    pub(crate) fn and<'a>(
        &self,
        set: impl Iterator<Item = Header<'a>>,
        id: Option<String>,
    ) -> Result<HeaderMap, Error> {
        // A map is sooner copied than filled.
        let mut fields = id.as_ref().map_or_else(HeaderMap::new, |_| self.0.clone());
        let mut before = None;
        for field in set {
            let name = HeaderName::from_bytes(field.name().as_str().as_bytes())?;
            let value = value(field.value())?;
            if before.as_ref() == Some(&name) {
                fields.append(&name, value);
            } else {
                fields.insert(&name, value);
            }
            before = Some(name);
        }
        if let Some(id) = id {
            fields.insert(ID_NAME, id.try_into()?);
        }
        for name in ROOM {
            if fields.get(&name).is_some_and(HeaderValue::is_empty) {
                fields.remove(name);
            }
        }
        Ok(fields)
    }
}

/// What nearly each answer has besides, each with a value of its own: a copy has no room for more than it was copied with, and would
/// be copied again.
const ROOM: [HeaderName; 3] = [ID_NAME, CONTENT_TYPE, ETAG];

/// Its name.
pub(crate) const ID_NAME: HeaderName = HeaderName::from_static(ID);

fn value(text: &str) -> Result<HeaderValue, Error> {
    const JSON: &str = "application/json";
    if text == JSON {
        return Ok(HeaderValue::from_static(JSON));
    }
    Ok(HeaderValue::from_str(text)?)
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
        let usual = Usual::with(Some(HeaderValue::from_static("shild")));
        let id = || Some("an-id".to_owned());
        let fields = usual.and(set.into_iter(), id()).unwrap();
        let values = |name: &str| -> Vec<_> { fields.get_all(name).iter().collect() };
        assert_eq!(values("cache-control"), ["max-age=60"]);
        assert_eq!(values("www-authenticate"), ["Bearer", "Basic"]);
        assert_eq!(values("x-request-id"), ["an-id"]);
        assert_eq!(values("server"), ["shild"]);
        for (name, value) in &DEFAULTS[..3] {
            assert_eq!(values(name), [value]);
        }
        let letters = usual
            .and([Header::new("X-Name", "Zo\u{eb}")].into_iter(), None)
            .unwrap();
        assert_eq!(letters["x-name"], "Zo\u{eb}".as_bytes());
        let with = |headers: &[(&'static str, &'static str)], id| {
            let headers = headers.iter().map(|(name, value)| Header::new(*name, *value));
            usual.and(headers, id)
        };
        // None is left without a value.
        assert_eq!(with(&[], id()).unwrap().len(), DEFAULTS.len() + 2);
        let json = with(&[("Content-Type", "application/json"), ("ETag", "\"7\"")], id()).unwrap();
        assert_eq!(
            (&json["content-type"], &json["etag"]),
            (&"application/json".parse().unwrap(), &"\"7\"".parse().unwrap())
        );
        assert_eq!(json.len(), DEFAULTS.len() + 4);
        assert!(with(&[], None).unwrap().is_empty());
        assert!(with(&[("X-Name", "a\nb")], id()).is_err());
        assert!(with(&[], Some("a\nb".to_owned())).is_err());
        assert_eq!(
            Usual::with(None).and([].into_iter(), id()).unwrap().len(),
            DEFAULTS.len() + 1
        );
    }
}
