//! `shild serve`

use shild::config::{Settings, Sources, listen_address, rocket_figment};
use shild::log;

use super::Failure;

/// Runs the server until it is told to end.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let figment = rocket_figment(sources)?;
    let settings = Settings::from_figment(&figment)?;
    let address = listen_address(&figment)?;
    // Dropped last: it writes the lines that still wait.
    let _log = log::init(settings.log, settings.log_level)?;
    for warning in settings.warnings(address) {
        tracing::warn!("{warning}");
    }
    Err("internal error: serve is not connected".into())
}
