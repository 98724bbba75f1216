//! User accounts and OAuth 2 bearer tokens: as one binary, or inside any Rocket application.
#![forbid(unsafe_code)]

pub mod audit;
pub mod clock;
pub mod config;
pub mod log;
pub mod password;
pub mod session;
pub mod store;
pub mod throttle;
pub mod token;
pub mod user;
