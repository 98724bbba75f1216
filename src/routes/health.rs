//! Whether the process answers, and whether it can do its work.

use rocket::{Route, State, get};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Shown;
use crate::http::respond::failure;
use crate::shild::Shild;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: healthz, readyz]
}

/// How it is.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Health {
    /// Always `ok`: otherwise the answer is another.
    status: &'static str,
}

failure! {
    ReadyFailure: Unavailable
}

/// # Does the process answer
#[openapi(tag = "Operation", operation_id = "healthz")]
#[get("/healthz")]
fn healthz() -> Shown<Health> {
    Shown(Health { status: "ok" })
}

/// # Can the store be read and written
#[openapi(tag = "Operation", operation_id = "readyz")]
#[get("/readyz")]
async fn readyz(shild: &State<Shild>) -> Result<Shown<Health>, ReadyFailure> {
    shild.check_ready().await?;
    Ok(Shown(Health { status: "ok" }))
}
