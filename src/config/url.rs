//! URLs, origins and the token path, as far as settings need them.

use std::net::{Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::values::MAX_CLAIM_LEN;

/// Why a URL, an origin or a path was refused: what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(String);

impl InvalidUrl {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// The first segments of all paths that shild answers at, besides the token endpoint.
const TAKEN: [&str; 21] = [
    ".well-known",
    "account",
    "audit",
    "docs",
    "export",
    "forward-auth",
    "healthz",
    "import",
    "introspect",
    "keys",
    "logout",
    "metrics",
    "openapi.json",
    "password-reset",
    "problems",
    "readyz",
    "register",
    "revoke",
    "user",
    "users",
    "verify",
];

/// An issuer: an absolute http(s) URL of at most 128 bytes without user information, query or fragment (RFC 8414 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Issuer(String);

impl Issuer {
    /// The issuer of a server that knows nothing but the address it listens on.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self(format!("http://{address}"))
    }

    /// The URL as it was set, to be compared character by character.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Issuer> for String {
    fn from(issuer: Issuer) -> Self {
        issuer.0
    }
}

impl TryFrom<String> for Issuer {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        let path = split_origin(&text)?.path;
        if text.len() > MAX_CLAIM_LEN {
            return Err(InvalidUrl::new("it is longer than 128 bytes"));
        }
        if let Some(c) = path
            .chars()
            .find(|c| !(is_unreserved(*c) || "/%!$&'()*+,;=:@".contains(*c)))
        {
            return Err(match c {
                '?' => InvalidUrl::new("it has a query"),
                '#' => InvalidUrl::new("it has a fragment"),
                other => InvalidUrl::new(format!("{other:?} may not stand in a URL")),
            });
        }
        Ok(Self(text))
    }
}

/// A web origin in the form that browsers send it: `scheme://host[:port]`, lower case, without the port that the
/// scheme implies (RFC 6454 §6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Origin(String);

impl Origin {
    /// The origin, to be compared with the header `Origin` byte by byte.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        let refuse = |reason: &str| Err(InvalidUrl::new(format!("{text:?} {reason}")));
        let parts = match split_origin(&text) {
            Ok(parts) => parts,
            Err(e) => return refuse(&format!("is no origin: {e}")),
        };
        if !parts.path.is_empty() {
            return refuse("has more than scheme, host and port, be it a slash at the end");
        }
        if text.chars().any(|c| c.is_ascii_uppercase()) {
            return refuse("is not in lower case");
        }
        if matches!((parts.scheme, parts.port), ("http", Some(80)) | ("https", Some(443))) {
            return refuse("names the port that its scheme implies, which no browser sends");
        }
        Ok(Self(text))
    }
}

/// The path of the token endpoint: absolute, of segments of unreserved characters (RFC 3986 §2.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TokenPath(String);

impl TokenPath {
    /// The path, with its leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TokenPath {
    fn default() -> Self {
        Self("/shild".to_owned())
    }
}

impl From<TokenPath> for String {
    fn from(path: TokenPath) -> Self {
        path.0
    }
}

impl TryFrom<String> for TokenPath {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        let Some(relative) = text.strip_prefix('/') else {
            return Err(InvalidUrl::new("it does not begin with a slash"));
        };
        if text.len() > 255 {
            return Err(InvalidUrl::new("it is too long"));
        }
        if let Some(c) = relative.chars().find(|c| !(is_unreserved(*c) || *c == '/')) {
            return Err(InvalidUrl::new(format!("{c:?} may not stand in it")));
        }
        if relative.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(InvalidUrl::new("it has an empty segment, \".\" or \"..\""));
        }
        let first = relative.split('/').next().unwrap_or_default();
        if TAKEN.contains(&first) {
            return Err(InvalidUrl::new(format!("shild uses /{first} itself")));
        }
        Ok(Self(text))
    }
}

/// RFC 3986 §2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~".contains(c)
}

/// An http(s) URL taken apart; `path` is all that follows the authority.
struct Parts<'a> {
    scheme: &'a str,
    port: Option<u16>,
    path: &'a str,
}

fn split_origin(text: &str) -> Result<Parts<'_>, InvalidUrl> {
    let (scheme, rest) = text
        .split_once("://")
        .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
        .ok_or_else(|| InvalidUrl::new("it does not begin with http:// or https://"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(InvalidUrl::new("it carries user information"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_is_right = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    };
    if !host_is_right {
        return Err(InvalidUrl::new("its host is neither a name nor an address"));
    }
    let port = match port {
        None => None,
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0') => {
                Some(port)
            }
            _ => return Err(InvalidUrl::new("its port is not a number from 1 to 65535")),
        },
    };
    Ok(Parts { scheme, port, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    // T22
    #[test]
    fn an_issuer_is_an_absolute_http_url_without_query_or_fragment() {
        for text in [
            "https://id.example",
            "http://127.0.0.1:8000",
            "https://[::1]:8443/realms/a%20b",
            "http://localhost/",
        ] {
            assert_eq!(Issuer::try_from(text.to_owned()).unwrap().as_str(), text);
        }
        for (text, reason) in [
            ("id.example", "it does not begin with http:// or https://"),
            ("ftp://id.example", "it does not begin with http:// or https://"),
            ("https://", "its host is neither a name nor an address"),
            ("https://[::1", "its host is neither a name nor an address"),
            ("https://a b", "its host is neither a name nor an address"),
            ("https://me:pw@id.example", "it carries user information"),
            ("https://id.example:0", "its port is not a number from 1 to 65535"),
            ("https://id.example:+80", "its port is not a number from 1 to 65535"),
            ("https://id.example:", "its port is not a number from 1 to 65535"),
            ("https://id.example/?a", "it has a query"),
            ("https://id.example#a", "it has a fragment"),
            ("https://id.example/\n", "'\\n' may not stand in a URL"),
        ] {
            assert_eq!(
                Issuer::try_from(text.to_owned()),
                Err(InvalidUrl::new(reason)),
                "{text}"
            );
        }
    }

    // H4
    #[test]
    fn an_origin_is_what_a_browser_sends_and_nothing_wider() {
        for text in ["https://app.example", "http://localhost:3000", "http://[::1]:3000"] {
            assert_eq!(Origin::try_from(text.to_owned()).unwrap().as_str(), text);
        }
        for text in [
            "*",
            "null",
            "",
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://*.example",
        ] {
            assert!(Origin::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_token_path_is_absolute_plain_and_not_in_use() {
        for text in ["/shild", "/token", "/oauth2/token", "/a.b~c_d-e", "/usersx"] {
            assert_eq!(TokenPath::try_from(text.to_owned()).unwrap().as_str(), text);
        }
        for text in [
            "",
            "/",
            "token",
            "/a/",
            "//a",
            "/../a",
            "/a?b",
            "/a#b",
            "/a%20b",
            "/<id>",
            "/docs",
            "/user/token",
        ] {
            assert!(TokenPath::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
