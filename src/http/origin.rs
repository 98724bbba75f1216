//! Where a request comes from: its id, its address, its user agent.

use std::net::IpAddr;

use rocket::Request;
use rocket::http::Status;
use rocket::outcome::IntoOutcome;
use rocket::request::{FromRequest, Outcome};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::request::{OpenApiFromRequest, RequestHeaderInput};

use super::passing::{Passing, given, given_in_parts};
use crate::origin::{MAX_USER_AGENT, Origin};
use crate::shild::Shild;

/// The id of this request: the one it came with if that is 1–64 of `[A-Za-z0-9._-]`, else a new one
/// (requirement H13).
pub(crate) fn request_id<'r>(request: &'r Request<'_>, shild: &Shild) -> &'r str {
    let given = || given(request, "X-Request-Id").next();
    Passing::of(request).id.get_or_init(|| shild.request_ids.of(given()))
}

/// The address of the client: of the peer, or, where the peer is a trusted proxy, the last address that is not one in
/// `X-Forwarded-For` or `Forwarded` (RFC 7239), or, without both, the one in `X-Real-IP` (requirement H8).
///
/// A proxy that writes one of the first two may hand on the other as the client wrote it: so where they disagree neither counts,
/// and whoever does that shares the throttle of the proxy's own address.
pub(crate) fn client_ip(request: &Request<'_>, shild: &Shild) -> Option<IpAddr> {
    let peer = request.remote()?.ip().to_canonical();
    // What a client wrote before it may not be UTF-8, and a proxy's own is there all the same.
    let client = |name, hop: fn(&str) -> &str| {
        let lines: Vec<_> = given_in_parts(request, name).collect();
        let hops: Vec<_> = lines.iter().flat_map(|line| line.split(',')).map(hop).collect();
        let trusted = |ip| shild.settings().trusts_proxy(ip);
        (!hops.is_empty()).then(|| client_of(peer, &hops, trusted))
    };
    let listed = client("X-Forwarded-For", |address| address);
    let forwarded = client("Forwarded", forwarded_for);
    Some(match (listed, forwarded) {
        (Some(listed), Some(forwarded)) if listed != forwarded => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => client("X-Real-IP", |address| address).unwrap_or(peer),
    })
}

/// The address in the parameter `for` of an element of `Forwarded`, without port, quotes and brackets; empty if there is none,
/// or it is repeated.
fn forwarded_for(element: &str) -> &str {
    let mut nodes = element.split(';').filter_map(|pair| {
        let (name, node) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(node)
    });
    let (Some(node), None) = (nodes.next(), nodes.next()) else {
        return "";
    };
    let node = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'))
        .unwrap_or(node);
    match node.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => node.split(':').next().unwrap_or_default(),
    }
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
        let user_agent = given_in_parts(request, "User-Agent").next();
        Outcome::Success(Self {
            ip: client_ip(request, shild),
            user_agent: user_agent.map(|text| text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect()),
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

    // H8
    #[test]
    fn an_element_of_forwarded_names_an_address_or_none() {
        for (element, address) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            (" For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https; for=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("for=_hidden", "_hidden"),
            ("for=192.0.2.1;for=192.0.2.2", ""),
            ("by=192.0.2.1", ""),
            ("", ""),
        ] {
            assert_eq!(forwarded_for(element), address, "{element}");
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
