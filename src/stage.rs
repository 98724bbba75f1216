//! What mounts shild into a Rocket application: as a guest in somebody else's, or as all of it.

use std::fmt;
use std::net::SocketAddr;

use rocket::fairing::{self, AdHoc, Fairing, Info, Kind};
use rocket::shield::Shield;
use rocket::{Build, Orbit, Rocket, Route};
use rocket_okapi::okapi::openapi3::OpenApi;

use crate::config::{Settings, StoreKind};
use crate::http::{Frame, catch};
use crate::openapi::add_guests;
use crate::routes::{self, Mounted};
use crate::shild::Shild;

/// Mounts shild into an application, with the settings that stand in the application's own configuration (the table
/// `shild`): its routes, its docs page, the guards' state, and the catcher that answers their challenges, unless the
/// application has a default catcher at `/` of its own.
///
/// What cannot be opened stops the launch and is said in one line of the log.
pub fn stage() -> Stage {
    Stage::new(None, false)
}

impl Shild {
    /// Like [`stage`], with a shild that has been put together already, for example on a store of your own.
    pub fn stage(self) -> Stage {
        Stage::new(Some(self), false)
    }

    /// Makes all of an application shild's: every answer has its headers, every error is its own, and at `/` people
    /// find the page where they look after their account.
    pub fn whole_stage(self) -> Stage {
        Stage::new(Some(self), true)
    }
}

/// A fairing that mounts shild when the application ignites.
#[must_use = "attach it"]
pub struct Stage {
    shild: Option<Shild>,
    whole: bool,
    guests: Vec<Guests>,
}

/// Routes of the application, and what the document says of them.
#[derive(Clone)]
struct Guests {
    base: &'static str,
    routes: Vec<Route>,
    document: OpenApi,
}

impl Stage {
    const fn new(shild: Option<Shild>, whole: bool) -> Self {
        Self {
            shild,
            whole,
            guests: Vec::new(),
        }
    }

    /// Mounts routes of the application itself at `base`, and adds them to the document and to the docs page, which then
    /// have the application's name. `documented` is what `rocket_okapi::openapi_get_routes_spec!` gives.
    ///
    /// Routes that are not to be documented need no more than [`Rocket::mount`]. Schemas have one name each in the whole document:
    /// one that is called as one of shild's, and is another, stops the launch.
    pub fn mount(mut self, base: &'static str, documented: (Vec<Route>, OpenApi)) -> Self {
        let (routes, document) = documented;
        self.guests.push(Guests { base, routes, document });
        self
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("shild", &self.shild)
            .field("whole", &self.whole)
            .finish_non_exhaustive()
    }
}

#[rocket::async_trait]
impl Fairing for Stage {
    fn info(&self) -> Info {
        Info {
            name: "shild",
            kind: Kind::Ignite | Kind::Singleton,
        }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let opened = open(&rocket, self.shild.as_ref()).await;
        match opened {
            Ok(shild) => match document(&shild, &self.guests) {
                Ok(mounted) => Ok(mount(rocket, shild, self.whole, &self.guests, mounted)),
                Err(error) => Err(refused(rocket, &error)),
            },
            Err(error) => Err(refused(rocket, &error)),
        }
    }
}

/// The one of a test, before the one that was handed in, before one by the application's configuration.
async fn open(rocket: &Rocket<Build>, given: Option<&Shild>) -> Result<Shild, String> {
    #[cfg(feature = "testing")]
    if let Some(prepared) = rocket.state::<crate::testing::Prepared>() {
        return Ok(prepared.build(rocket.figment(), given.map(Shild::settings)).await);
    }
    if let Some(shild) = given {
        return Ok(shild.clone());
    }
    let settings = Settings::from_figment(rocket.figment()).map_err(|error| error.to_string())?;
    let built = Shild::builder(settings).build().await;
    built.map_err(|error| error.to_string())
}

/// The OpenAPI document, for a token endpoint at this path.
#[must_use]
pub fn openapi(token_path: &str) -> OpenApi {
    routes::api(token_path).document
}

fn refused(rocket: Rocket<Build>, error: &str) -> Rocket<Build> {
    tracing::error!("{error}");
    rocket
}

/// shild's routes, and the document with the guests' routes in it.
fn document(shild: &Shild, guests: &[Guests]) -> Result<Mounted, String> {
    let mut mounted = routes::api(shild.settings().token_path.as_str());
    for guests in guests {
        add_guests(&mut mounted.document, guests.base, &guests.document)?;
    }
    Ok(mounted)
}

fn mount(mut rocket: Rocket<Build>, shild: Shild, whole: bool, guests: &[Guests], mounted: Mounted) -> Rocket<Build> {
    let settings = shild.settings().clone();
    for guests in guests {
        rocket = rocket.mount(guests.base, guests.routes.clone());
    }
    let pages = routes::pages(&mounted.document);
    let has_catcher = rocket
        .catchers()
        .any(|catcher| catcher.code.is_none() && catcher.base == "/");
    rocket = rocket
        .mount(settings.token_path.as_str(), mounted.token)
        .mount("/", mounted.api)
        .mount("/", pages)
        .attach(Frame {
            whole,
            caught: has_catcher,
        })
        .attach(AdHoc::on_liftoff("shild: issuer and background work", move |rocket| {
            Box::pin(async move { lift_off(rocket, whole) })
        }))
        .manage(shild);
    if whole {
        // Of what Rocket's own shield would add, the frame sets all that is still of use, and stricter.
        rocket = rocket.attach(Shield::new()).mount("/", routes::front(&settings));
    } else {
        // Requests that are under way still use the store.
        rocket = rocket.attach(AdHoc::on_shutdown("shild: what is not yet written", |rocket| {
            Box::pin(async move {
                if let Some(shild) = rocket.state::<Shild>()
                    && let Err(error) = shild.write_the_rest().await
                {
                    tracing::error!(cause = %error, "counts of failed sign-ins could not be stored at the end");
                }
            })
        }));
    }
    if !has_catcher {
        rocket = rocket.register("/", vec![catch::catcher()]);
    }
    rocket
}

fn lift_off(rocket: &Rocket<Orbit>, whole: bool) {
    let Some(shild) = rocket.state::<Shild>().cloned() else {
        return;
    };
    let config = rocket.config();
    let address = SocketAddr::new(config.address, config.port);
    shild.listens_on(address, config.tls_enabled());
    if whole {
        let_operator_in(&shild, address);
    } else if shild.tended {
        for warning in shild.settings().warnings(address) {
            tracing::warn!("{warning}");
        }
    }
    let shutdown = rocket.shutdown();
    tokio::spawn(async move { shild.background(shutdown).await });
}

/// Tells the command line how to come in.
fn let_operator_in(shild: &Shild, address: SocketAddr) {
    let settings = shild.settings();
    if settings.store != StoreKind::Memory
        && let Err(error) = shild.operator.write(&settings.data_dir, address)
    {
        let dir = settings.data_dir.display();
        tracing::warn!("the command line cannot reach this server: no credentials could be written to {dir}: {error}");
    }
}
