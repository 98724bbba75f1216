//! `shild serve`

use rocket::error::ErrorKind;
use shild::config::{Settings, Sources, listen_address, rocket_figment};
use shild::{Shild, log};

use super::{Failure, runtime};

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
    runtime()?.block_on(async {
        let shild = Shild::builder(settings).build().await?;
        let rocket = rocket::custom(figment).attach(shild.clone().whole_stage());
        let ended = match rocket.launch().await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::Bind(cause) => {
                    Err(format!("cannot listen on {address}: {cause}; choose another with --address or --port").into())
                }
                ErrorKind::Shutdown(..) => {
                    tracing::warn!("some requests were not answered in time before the end");
                    Ok(())
                }
                kind => Err(Failure::from(format!("cannot start: {kind}"))),
            },
        };
        shild.close().await?;
        ended
    })
}
