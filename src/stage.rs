//! What mounts shild into a Rocket application: as a guest in somebody else's, or as all of it.

use std::net::SocketAddr;

use rocket::fairing::AdHoc;
use rocket::{Build, Orbit, Rocket};
use rocket_okapi::okapi::openapi3::OpenApi;

use crate::config::{Settings, StoreKind};
use crate::http::{Frame, catch};
use crate::routes;
use crate::shild::Shild;

/// Mounts shild into an application, with the settings that stand in the application's own configuration (the table
/// `shild`): its routes, its docs page, the guards' state, and the catcher that answers their challenges, unless the
/// application has a default catcher at `/` of its own.
///
/// What cannot be opened stops the launch and is said in one line of the log.
#[must_use]
pub fn stage() -> AdHoc {
    AdHoc::try_on_ignite("shild", |rocket| async move {
        let opened = match Settings::from_figment(rocket.figment()) {
            Ok(settings) => Shild::builder(settings)
                .build()
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok(shild) => Ok(mount(rocket, shild, false)),
            Err(error) => {
                tracing::error!("{error}");
                Err(rocket)
            }
        }
    })
}

impl Shild {
    /// Like [`stage`], with a shild that has been put together already, for example on a store of your own.
    #[must_use]
    pub fn stage(self) -> AdHoc {
        AdHoc::on_ignite("shild", |rocket| async move { mount(rocket, self, false) })
    }

    /// Makes all of an application shild's: every answer has its headers, every error is its own, `/` leads to the docs
    /// page.
    #[must_use]
    pub fn whole_stage(self) -> AdHoc {
        AdHoc::on_ignite("shild", |rocket| async move { mount(rocket, self, true) })
    }
}

/// The OpenAPI document, for a token endpoint at this path.
#[must_use]
pub fn openapi(token_path: &str) -> OpenApi {
    routes::api(token_path).document
}

fn mount(rocket: Rocket<Build>, shild: Shild, whole: bool) -> Rocket<Build> {
    let token_path = shild.settings().token_path.clone();
    let mounted = routes::api(token_path.as_str());
    let pages = routes::pages(&mounted.document);
    let has_catcher = rocket
        .catchers()
        .any(|catcher| catcher.code.is_none() && catcher.base == "/");
    let mut rocket = rocket
        .mount(token_path.as_str(), mounted.token)
        .mount("/", mounted.api)
        .mount("/", pages)
        .attach(Frame { whole })
        .attach(AdHoc::on_liftoff("shild: issuer and background work", move |rocket| {
            Box::pin(lift_off(rocket, whole))
        }))
        .manage(shild);
    if whole {
        rocket = rocket.mount("/", routes::front());
    }
    if !has_catcher {
        rocket = rocket.register("/", vec![catch::catcher()]);
    }
    rocket
}

async fn lift_off(rocket: &Rocket<Orbit>, whole: bool) {
    let Some(shild) = rocket.state::<Shild>().cloned() else {
        return;
    };
    let config = rocket.config();
    let address = SocketAddr::new(config.address, config.port);
    shild.listens_on(address);
    if whole {
        announce(&shild, address);
    }
    let shutdown = rocket.shutdown();
    tokio::spawn(async move {
        tokio::select! {
            () = shild.background() => {}
            () = shutdown => {}
        }
    });
}

/// Tells people where it is, and the command line how to come in.
fn announce(shild: &Shild, address: SocketAddr) {
    println!("shild listens on http://{address}; documentation at http://{address}/docs");
    let settings = shild.settings();
    if settings.store == StoreKind::Memory {
        return;
    }
    if let Err(error) = shild.operator.write(&settings.data_dir, address) {
        let dir = settings.data_dir.display();
        tracing::warn!("the command line cannot reach this server: no credentials could be written to {dir}: {error}");
    }
}
