//! Where a request comes from: its id, its address, its user agent.

use std::net::IpAddr;

use rocket::Request;
use rocket::http::Status;
use rocket::outcome::IntoOutcome;
use rocket::request::{FromRequest, Outcome};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::request::{OpenApiFromRequest, RequestHeaderInput};

use crate::clock::random_bytes;
use crate::origin::Origin;
use crate::shild::Shild;

struct RequestId(String);

/// The id of this request: the one it came with if that is 1–64 of `[A-Za-z0-9._-]`, else a new one
/// (requirement H13).
pub(crate) fn request_id<'r>(request: &'r Request<'_>, shild: &Shild) -> &'r str {
    let id = request.local_cache(|| {
        let given = request.headers().get_one("X-Request-Id").filter(|id| is_request_id(id));
        RequestId(given.map_or_else(|| new_id(shild), str::to_owned))
    });
    &id.0
}

fn new_id(shild: &Shild) -> String {
    format!("{:032x}", u128::from_be_bytes(random_bytes(shild.random())))
}

fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The address of the client: of the peer, or, where the peer is a trusted proxy, the last address in
/// `X-Forwarded-For` that is not one, or, without that header, the one in `X-Real-IP` (requirement H8).
pub(crate) fn client_ip(request: &Request<'_>, shild: &Shild) -> Option<IpAddr> {
    let peer = request.remote()?.ip().to_canonical();
    let headers = request.headers();
    let name = if headers.contains("X-Forwarded-For") {
        "X-Forwarded-For"
    } else {
        "X-Real-IP"
    };
    let forwarded = headers.get(name).flat_map(|line| line.split(','));
    Some(client_of(peer, &forwarded.collect::<Vec<_>>(), |ip| {
        shild.settings().trusts_proxy(ip)
    }))
}

fn client_of(peer: IpAddr, forwarded: &[&str], trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    for hop in forwarded.iter().rev() {
        if !trusted(client) {
            break;
        }
        let Ok(ip) = hop.trim().parse::<IpAddr>() else { break };
        client = ip.to_canonical();
    }
    client
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Origin {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let shild = rocket::outcome::try_outcome!(
            request
                .rocket()
                .state::<Shild>()
                .or_error((Status::InternalServerError, ()))
        );
        let user_agent = request.headers().get_one("User-Agent");
        Outcome::Success(Self {
            ip: client_ip(request, shild),
            user_agent: user_agent.map(|text| text.chars().filter(|c| !c.is_control()).take(256).collect()),
            request_id: Some(request_id(request, shild).to_owned()),
        })
    }
}

impl OpenApiFromRequest<'_> for Origin {
    fn from_request_input(_: &mut OpenApiGenerator, _: String, _: bool) -> rocket_okapi::Result<RequestHeaderInput> {
        Ok(RequestHeaderInput::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // H13
    #[test]
    fn only_harmless_ids_are_echoed() {
        assert!(is_request_id("A.b_c-9") && is_request_id(&"a".repeat(64)));
        for id in ["", "a b", "a\nb", "é", &"a".repeat(65)] {
            assert!(!is_request_id(id), "{id:?}");
        }
    }

    // H8
    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = |at: IpAddr| at == ip("10.0.0.1") || at == ip("10.0.0.2");
        assert_eq!(client_of(ip("192.0.2.1"), &["198.51.100.7"], trusted), ip("192.0.2.1"));
        assert_eq!(
            client_of(ip("10.0.0.1"), &["198.51.100.7"], trusted),
            ip("198.51.100.7")
        );
        // What the client wrote itself stands further left and is not reached.
        assert_eq!(
            client_of(ip("10.0.0.1"), &["1.1.1.1", "198.51.100.7", " 10.0.0.2"], trusted),
            ip("198.51.100.7")
        );
        assert_eq!(client_of(ip("10.0.0.1"), &["nonsense"], trusted), ip("10.0.0.1"));
        assert_eq!(client_of(ip("10.0.0.1"), &[], trusted), ip("10.0.0.1"));
    }
}
