//! `shild config [--json]`

use std::net::SocketAddr;

use serde::Serialize;
use shild::config::{Audience, Settings, Sources, listen_address, rocket_figment};

use super::{Failure, print};

/// The settings in the shape of Rocket.toml.
#[derive(Serialize)]
struct File {
    default: Profile,
}

#[derive(Serialize)]
struct Profile {
    address: String,
    port: u16,
    shild: Settings,
}

/// Prints the settings in force, the defaults that depend on others filled in: as a Rocket.toml, or as one JSON object.
pub(super) fn run(sources: &Sources, json: bool) -> Result<(), Failure> {
    let figment = rocket_figment(sources)?;
    let address = listen_address(&figment)?;
    let settings = in_force(Settings::from_figment(&figment)?, address)?;
    let text = if json {
        let mut all = serde_json::to_value(&settings)?;
        all["address"] = address.ip().to_string().into();
        all["port"] = address.port().into();
        format!("{all}\n")
    } else {
        let shild = settings;
        let default = Profile {
            address: address.ip().to_string(),
            port: address.port(),
            shild,
        };
        toml::to_string(&File { default })?
    };
    Ok(print(&text)?)
}

fn in_force(mut settings: Settings, address: SocketAddr) -> Result<Settings, Failure> {
    settings.audience = Some(Audience::try_from(settings.audience_at(address))?);
    settings.issuer = Some(settings.issuer_at(address));
    settings.hash_queue = Some(settings.hash_queue());
    settings.hash_threads = Some(settings.hash_threads());
    Ok(settings)
}
