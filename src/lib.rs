//! User accounts and OAuth 2 bearer tokens: as one binary, or inside any Rocket application.
//!
//! Data flows one way: [`guard`] and the routes speak HTTP; [`Shild`] says what the program does and knows nothing of
//! Rocket; [`store`] keeps it.
//!
//! # In an application of your own
//!
//! shild is on no registry: name the place of your checkout.
//!
//! ```toml
//! [dependencies]
//! rocket = { version = "0.5.1", default-features = false }
//! shild = { path = "../shild" }
//! ```
//!
//! This is the whole of `src/main.rs`; sign up and sign in at `/docs`:
//!
//! ```no_run
//! use rocket::{get, launch, routes};
//! use shild::guard::CurrentUser;
//!
//! #[get("/cats")]
//! fn cats(me: CurrentUser) -> String {
//!     format!("{}'s cats", me.username())
//! }
//!
//! #[launch]
//! fn application() -> _ {
//!     rocket::build().attach(shild::stage()).mount("/", routes![cats])
//! }
//! ```
//!
//! What of other crates stands in this one's interface: Rocket 0.5, for [`Stage::mount`] `rocket_okapi` 0.9 with `schemars` 0.8, and for
//! a [`store`] of your own `async-trait` 0.1, which is `rocket::async_trait` as well.
//!
//! Settings stand in the application's own `Rocket.toml`, in the table `[default.shild]`; the directory `data` is made where the
//! application is started. What shild has to say, such as why it cannot be opened, goes to the application's log. To show
//! your routes in the OpenAPI document, see [`Stage::mount`]; to test them, the module `testing` behind the feature of that name.
#![forbid(unsafe_code)]

mod accounts;
pub mod audit;
mod background;
pub mod bearer;
pub mod clock;
pub mod config;
pub mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod guard;
mod http;
mod if_match;
mod json;
mod keys;
pub mod log;
mod metrics;
mod oauth;
mod openapi;
#[doc(hidden)]
pub mod operator;
mod origin;
pub mod password;
mod patch;
mod ready;
mod request_ids;
mod reset;
mod routes;
mod secret;
#[doc(hidden)]
pub mod server;
pub mod session;
mod sessions;
mod shild;
mod snapshots;
mod stage;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[doc(hidden)]
pub mod threads;
pub mod throttle;
pub mod token;
pub mod transfer;
pub mod user;
mod users;

pub use background::Rounds;
pub use keys::reset_keys;
pub use origin::Origin;
pub use sessions::SignedIn;
pub use shild::{Builder, Shild, StartError, find_store, verify_store};
pub use snapshots::Manifest;
pub use snapshots::restore::{RestoreError, Restored, restore};
pub use stage::{Stage, openapi, stage};
pub use users::NewAccount;
