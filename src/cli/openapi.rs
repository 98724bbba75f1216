//! `shild openapi`

use shild::config::{Settings, Sources};

use super::Failure;

/// Prints the OpenAPI document.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    Settings::load(sources)?;
    Err("internal error: openapi is not connected".into())
}
