//! Sessions, refresh tokens and signing keys, through the API and on a clock that the tests move.

mod app;
mod ending;
mod expiry;
mod keys;
mod machine;
mod races;
mod rotation;
