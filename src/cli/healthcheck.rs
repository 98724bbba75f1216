//! `shild healthcheck`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use shild::config::{Settings, Sources, listen_address, rocket_figment};

use super::Failure;

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the server at the address in force whether it lives, and whether its store does.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let figment = rocket_figment(sources)?;
    Settings::from_figment(&figment)?;
    let address = reachable(listen_address(&figment)?);
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        // A proxy in the environment is not for this machine's own server.
        .proxy(None)
        .build()
        .new_agent();
    for path in ["/healthz", "/readyz"] {
        let url = format!("http://{address}{path}");
        let status = match agent.get(&url).call() {
            Ok(response) => response.status().as_u16(),
            Err(e) => return Err(format!("{url} does not answer: {e}").into()),
        };
        if status != 200 {
            return Err(format!("{url} answers {status}").into());
        }
    }
    Ok(())
}

/// Where a server that listens on `address` can be reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
