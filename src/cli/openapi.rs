//! `shild openapi`

use shild::config::{Settings, Sources};

use super::{Failure, print};

/// Prints the OpenAPI document, as the server with these settings serves it.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let settings = Settings::load(sources)?;
    let document = serde_json::to_string_pretty(&shild::openapi(settings.token_path.as_str()))?;
    Ok(print(&format!("{document}\n"))?)
}
