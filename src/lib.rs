//! User accounts and OAuth 2 bearer tokens: as one binary, or inside any Rocket application.
//!
//! Data flows one way: [`guard`] and the routes speak HTTP; [`Shild`] says what the program does and knows nothing of
//! Rocket; [`store`] keeps it.
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
pub mod throttle;
pub mod token;
pub mod transfer;
pub mod user;
mod users;

pub use background::Rounds;
pub use keys::reset_keys;
pub use origin::Origin;
pub use shild::{Builder, Shild, StartError, verify_store};
pub use snapshots::Manifest;
pub use snapshots::restore::{RestoreError, Restored, restore};
pub use stage::{Stage, openapi, stage};
