//! Whether the head of a request says one thing, and how long the body after it is.
//!
//! What two readers could read as two requests is refused (RFC 9112 §6.3, §3.2; requirement H10), also where hyper would
//! choose one reading: a proxy in front may have chosen the other.

use std::net::Ipv6Addr;

use hyper::http::StatusCode;

/// The longest head, in bytes.
pub(super) const MAX_LEN: usize = 16 * 1024;

/// The longest target in a request line, in bytes.
const MAX_TARGET: usize = 8 * 1024;

/// The most header fields.
const MAX_FIELDS: usize = 64;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Sized(u64),
    /// So many bytes, once the client is told to go on (RFC 9110 §10.1.1).
    Announced(u64),
    /// Chunks; the connection ends with this request, so that where they end is hyper's business alone.
    Chunked,
}

/// What is there of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Not all of it.
    Partial,
    /// All of it, of this length.
    Whole(usize, Body),
    Refused(Refusal),
}

macro_rules! refusals {
    ($($name:ident = $status:ident, $detail:literal;)*) => {
        /// Why a head is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Refusal {
            $($name,)*
        }

        impl Refusal {
            const ALL: &[Self] = &[$(Self::$name),*];

            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            pub(super) const fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)* }
            }
        }
    };
}

refusals! {
    Malformed = BAD_REQUEST, "The head of the request breaks HTTP/1.1: its request line, a header field, or a line break.";
    Host = BAD_REQUEST, "A request needs exactly one Host header, with nothing but a host and a port in it, which are those of the URL where that has any.";
    ContentLength = BAD_REQUEST, "Content-Length must be one number, and come once.";
    TransferEncoding = BAD_REQUEST, "Of transfer encodings, only chunked is known; it must come once, and in HTTP/1.1.";
    TwoLengths = BAD_REQUEST, "Content-Length and Transfer-Encoding exclude each other.";
    Target = URI_TOO_LONG, "The URL is longer than 8 KiB.";
    TooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is longer than 16 KiB, or has more than 64 header fields.";
}

/// Where a request leads that stands for one that was refused. No route is there, so whoever asks for it is refused as well.
const REFUSED: &str = "/-refused-/";

impl Refusal {
    /// A head that hyper can read, in place of the one that was refused.
    pub(super) fn in_place(self, is_head: bool) -> Vec<u8> {
        // Which hyper answers without a body.
        let method = if is_head { "HEAD" } else { "GET" };
        format!(
            "{method} {REFUSED}{} HTTP/1.1\r\nConnection: close\r\n\r\n",
            self as usize
        )
        .into_bytes()
    }

    /// The refusal that a request stands for.
    pub(super) fn behind(request: &hyper::Request<hyper::Body>) -> Option<Self> {
        let number = request.uri().path().strip_prefix(REFUSED)?;
        Self::ALL.get(number.parse::<usize>().ok()?).copied()
    }
}

/// Looks at the beginning of what a client has sent.
pub(super) fn look(bytes: &[u8]) -> Head {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= MAX_LEN => match check(&request, &bytes[..len]) {
            Ok(body) => Head::Whole(len, body),
            Err(refusal) => Head::Refused(refusal),
        },
        Ok(httparse::Status::Partial) if bytes.len() < MAX_LEN => Head::Partial,
        Ok(_) if request.path.is_none_or(|path| path.len() > MAX_TARGET) => Head::Refused(Refusal::Target),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Head::Refused(Refusal::TooLarge),
        Err(_) => Head::Refused(Refusal::Malformed),
    }
}

fn check(request: &httparse::Request<'_, '_>, head: &[u8]) -> Result<Body, Refusal> {
    // A lone line feed ends a line for some readers, and not for others.
    if memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r') {
        return Err(Refusal::Malformed);
    }
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET {
        return Err(Refusal::Target);
    }
    // A fragment has no place there, and hyper would cut it off.
    if target.contains('#') || target.parse::<hyper::Uri>().is_err() {
        return Err(Refusal::Malformed);
    }
    let one = |name: &str, refusal| {
        let mut values = request
            .headers
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (first, None) => Ok(first.map(|field| field.value)),
            _ => Err(refusal),
        }
    };
    let is_1_1 = request.version == Some(1);
    let named = authority_of(target)?;
    match one("Host", Refusal::Host)? {
        Some(host) if is_host(host) && named.is_none_or(|named| named.eq_ignore_ascii_case(host)) => {}
        None if !is_1_1 => {}
        _ => return Err(Refusal::Host),
    }
    let length = one("Content-Length", Refusal::ContentLength)?;
    let encoding = one("Transfer-Encoding", Refusal::TransferEncoding)?;
    match (length, encoding) {
        (Some(_), Some(_)) => Err(Refusal::TwoLengths),
        (None, Some(encoding)) if is_1_1 && encoding.eq_ignore_ascii_case(b"chunked") => Ok(Body::Chunked),
        (None, Some(_)) => Err(Refusal::TransferEncoding),
        (Some(length), None) => {
            let announced = request
                .headers
                .iter()
                .any(|field| field.name.eq_ignore_ascii_case("Expect"));
            let body = if announced { Body::Announced } else { Body::Sized };
            length_of(length).map(body).ok_or(Refusal::ContentLength)
        }
        (None, None) => Ok(Body::Sized(0)),
    }
}

/// The host and the port in a target that is a whole URL (RFC 9112 §3.2.2); one that is neither that nor a path is refused.
fn authority_of(target: &str) -> Result<Option<&[u8]>, Refusal> {
    if target.starts_with('/') {
        return Ok(None);
    }
    let (scheme, rest) = target.split_once("://").ok_or(Refusal::Malformed)?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(Refusal::Malformed);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Ok(Some(&rest.as_bytes()[..end]))
}

/// Whether this is a host, by name or address, perhaps with a port; or nothing, for a target that has none (RFC 3986 §3.2.2, §3.2.3;
/// RFC 9110 §7.2).
fn is_host(text: &[u8]) -> bool {
    let is_port = |text: &[u8]| text.is_empty() || text[0] == b':' && text[1..].iter().all(u8::is_ascii_digit);
    if let Some(rest) = text.strip_prefix(b"[") {
        return std::str::from_utf8(rest)
            .ok()
            .and_then(|rest| rest.split_once(']'))
            .is_some_and(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && is_port(port.as_bytes()));
    }
    let (name, port) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte);
    name.iter().all(is_of_name) && is_port(port)
}

/// Digits only: no sign, no list, no space.
fn length_of(text: &[u8]) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str) -> Head {
        look(format!("POST /shild HTTP/1.1\r\n{fields}\r\nbody").as_bytes())
    }

    // H10
    #[test]
    fn a_head_that_says_one_thing_says_how_long_its_body_is() {
        for (fields, body) in [
            ("Host: a\r\n", Body::Sized(0)),
            ("host: [::1]:8000\r\ncontent-length: 12\r\n", Body::Sized(12)),
            (
                "Host: a\r\nExpect: 100-continue\r\nContent-Length: 12\r\n",
                Body::Announced(12),
            ),
            ("Host: a\r\nTransfer-Encoding: Chunked\r\n", Body::Chunked),
        ] {
            assert_eq!(of(fields), Head::Whole(24 + fields.len(), body), "{fields}");
        }
        let old = b"GET / HTTP/1.0\r\n\r\n";
        assert_eq!(look(old), Head::Whole(old.len(), Body::Sized(0)));
    }

    // H10
    #[test]
    fn what_two_readers_could_read_as_two_requests_is_refused() {
        use Refusal::{ContentLength, Host, Malformed, TransferEncoding, TwoLengths};
        let (length, chunked) = ("Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n");
        for (fields, why) in [
            (format!("{length}{chunked}"), TwoLengths),
            (format!("{chunked}{length}"), TwoLengths),
            (format!("{length}{length}"), ContentLength),
            (format!("{length}Content-Length: 5\r\n"), ContentLength),
            (format!("Content-Length: 5\r\n{length}"), ContentLength),
            ("Content-Length: 4, 4\r\n".to_owned(), ContentLength),
            ("Content-Length: +4\r\n".to_owned(), ContentLength),
            ("Content-Length: 0x4\r\n".to_owned(), ContentLength),
            ("Content-Length:\r\n".to_owned(), ContentLength),
            (format!("Content-Length: {}\r\n", "9".repeat(20)), ContentLength),
            (format!("{chunked}{chunked}"), TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n".to_owned(), TransferEncoding),
            ("Transfer-Encoding: xchunked\r\n".to_owned(), TransferEncoding),
            ("Transfer-Encoding: identity\r\n".to_owned(), TransferEncoding),
            ("Transfer-Encoding : chunked\r\n".to_owned(), Malformed),
            ("X: a\r\n folded\r\n".to_owned(), Malformed),
            ("X: a\n".to_owned(), Malformed),
            ("X: a\rContent-Length: 4\r\n".to_owned(), Malformed),
            ("X: a\0\r\n".to_owned(), Malformed),
            ("Host: b\r\n".to_owned(), Host),
        ] {
            let fields = format!("Host: a\r\n{fields}");
            assert_eq!(of(&fields), Head::Refused(why), "{fields:?}");
        }
        assert_eq!(of("Accept: */*\r\n"), Head::Refused(Host));
        assert_eq!(of("Host: a, b\r\n"), Head::Refused(Host));
        let after = |before: &str| look(format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(after("\n"), Head::Refused(Malformed));
        assert!(matches!(after("\r\n"), Head::Whole(..)), "RFC 9112 §2.2");
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(look(old.as_bytes()), Head::Refused(TransferEncoding));
    }

    // H10, RFC 9112 §3.2
    #[test]
    fn a_host_is_one_and_the_same_in_both_places() {
        let get = |target: &str, host: &str| {
            let head = look(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            match head {
                Head::Whole(..) => true,
                Head::Refused(Refusal::Host) => false,
                other => panic!("{other:?}"),
            }
        };
        for host in [
            "",
            "a",
            "a:",
            "a.example:8000",
            "127.0.0.1:1",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b-c.d~",
        ] {
            assert!(get("/", host), "{host}");
        }
        for host in [
            "a:b", "::1", "[::1", "a]b", "a:80:80", "[::1]a", "[a]", "[::1]:x", "a, b", "a b", "a/b", "u@a", "é",
        ] {
            assert!(!get("/", host), "{host}");
        }
        assert!(get("http://a.example/metrics", "A.example") && get("http://a:80?x", "a:80"));
        assert!(!get("http://evil.example/metrics", "localhost") && !get("http://u@a/", "a") && !get("http://a/", ""));
        assert!(get("/a://b", "c") && get("/?a://b", "c"));
        let old = b"GET http://a/ HTTP/1.0\r\n\r\n";
        assert_eq!(look(old), Head::Whole(old.len(), Body::Sized(0)));
    }

    // H9
    #[test]
    fn a_head_has_a_bound() {
        let get =
            |target: &str, fields: &str| look(format!("GET /{target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
        assert!(matches!(get(&"a".repeat(8000), ""), Head::Whole(..)));
        assert_eq!(get(&"a".repeat(9000), ""), Head::Refused(Refusal::Target));
        assert_eq!(
            look(format!("GET /{}", "a".repeat(MAX_LEN)).as_bytes()),
            Head::Refused(Refusal::Target)
        );
        assert_eq!(
            get("", &format!("X: {}\r\n", "a".repeat(MAX_LEN))),
            Head::Refused(Refusal::TooLarge)
        );
        assert_eq!(get("", &"X: a\r\n".repeat(64)), Head::Refused(Refusal::TooLarge));
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(MAX_LEN));
        assert_eq!(look(endless.as_bytes()), Head::Refused(Refusal::TooLarge));
        assert_eq!(look(b"GET / HTTP/1.1\r\nHost: a\r\n"), Head::Partial);
    }

    #[test]
    fn a_refusal_is_found_behind_what_stands_in_its_place() {
        for refusal in Refusal::ALL {
            let text = String::from_utf8(refusal.in_place(true)).unwrap();
            let path = text.strip_prefix("HEAD ").unwrap().split(' ').next().unwrap();
            let request = hyper::Request::builder().uri(path);
            assert_eq!(
                Refusal::behind(&request.body(hyper::Body::empty()).unwrap()),
                Some(*refusal)
            );
        }
    }
}
