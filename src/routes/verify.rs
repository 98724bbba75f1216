//! Whether everything in the store agrees, for administrators.

use std::sync::Arc;

use rocket::{Route, State, get};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};

use super::answer::Shown;
use crate::error::Error;
use crate::guard::Administrator;
use crate::http::respond::failure;
use crate::shild::Shild;
use crate::store::Verification;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: verify_store]
}

failure! {
    VerifyFailure: InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, Unavailable
}

/// # Walk over the whole store
///
/// Looks at every record, and says which cannot be read and which contradict others. Takes seconds for a million users;
/// requests are answered meanwhile.
#[openapi(tag = "Operation", operation_id = "verify_store")]
#[get("/verify")]
async fn verify_store(shild: &State<Shild>, _admin: Administrator) -> Result<Shown<Verification>, VerifyFailure> {
    let found = shild.store.verify(Arc::new(|_, _| {})).await.map_err(Error::from)?;
    Ok(Shown(found))
}
