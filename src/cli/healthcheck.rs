//! `shild healthcheck`

use std::time::Duration;

use shild::config::{Settings, Sources, listen_address, rocket_figment};
use shild::operator::{Credentials, reachable};

use super::Failure;

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the server whether it lives, and whether its store does.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let base = server(sources)?;
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        // A proxy in the environment is not for this machine's own server.
        .proxy(None)
        .build()
        .new_agent();
    for path in ["/healthz", "/readyz"] {
        let url = format!("{base}{path}");
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

/// Where the server is: at the address that the command line names, else where the one on the data directory says that it
/// listens, else at the address in force.
fn server(sources: &Sources) -> Result<String, Failure> {
    let figment = rocket_figment(sources)?;
    let settings = Settings::from_figment(&figment)?;
    let named = &sources.overrides;
    if named.address.is_none()
        && named.port.is_none()
        // What only the server's own user may read is no reason to call it ill.
        && let Ok(Some(running)) = Credentials::read(&settings.data_dir)
    {
        return Ok(running.address);
    }
    Ok(format!("http://{}", reachable(listen_address(&figment)?)))
}
