//! `shild serve`

use std::io;

use rocket::error::ErrorKind;
use rocket::{Build, Ignite, Rocket};
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
        let told_to_end = told_to_end()?;
        let shild = Shild::builder(settings).build().await?;
        let rocket = rocket::custom(figment).attach(shild.clone().whole_stage());
        let ended = match launch(rocket, told_to_end).await {
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

/// Launches it, and shuts it down when it is told to end.
async fn launch(
    rocket: Rocket<Build>,
    told_to_end: impl Future<Output = ()> + Send + 'static,
) -> Result<Rocket<Ignite>, rocket::Error> {
    let rocket = rocket.ignite().await?;
    let shutdown = rocket.shutdown();
    tokio::spawn(async move {
        told_to_end.await;
        shutdown.notify();
    });
    rocket.launch().await
}

/// Done when the process is told to end, at any time from this call on: Rocket listens for signals only once it is up, and
/// before that one would kill the process.
#[cfg(unix)]
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Done when the process is told to end.
#[cfg(not(unix))]
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without it, there is no way to be told.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
