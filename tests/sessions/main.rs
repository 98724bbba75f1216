//! Sessions, refresh tokens and signing keys, through the API and on a clock that the tests move.
#![expect(
    clippy::unchecked_time_subtraction,
    reason = "a test that goes below zero is wrong, and panics"
)]

mod administration;
mod app;
mod ending;
mod expiry;
mod keys;
mod machine;
mod races;
mod rotation;
