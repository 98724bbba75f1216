//! The signing keys: public to everybody, changed by administrators.

use rocket::{Route, State, delete, get, post};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Done, Shown};
use crate::guard::Administrator;
use crate::http::respond::failure;
use crate::origin::Origin;
use crate::shild::Shild;
use crate::token::keyring::KeyView;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: list_keys, rotate_keys, retire_key]
}

/// The public keys that access tokens can be verified with.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct KeyList {
    /// Each key that has signed something which may still be good.
    keys: Vec<KeyView>,
}

failure! {
    RotateFailure: InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, Unavailable
}

failure! {
    RetireFailure: InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, NotFound, Unavailable
}

/// # List the signing keys
///
/// Whoever wants to check access tokens without asking takes the public keys from here. A key stays listed until the last
/// token it signed has expired.
#[openapi(tag = "OAuth 2", operation_id = "list_keys")]
#[get("/keys")]
fn list_keys(shild: &State<Shild>) -> Shown<KeyList> {
    Shown(KeyList {
        keys: shild.public_keys(),
    })
}

/// # Rotate the signing keys
///
/// Makes a new key and signs with it from now on. Nobody is signed out.
#[openapi(tag = "Administration", operation_id = "rotate_keys")]
#[post("/keys/rotate")]
async fn rotate_keys(
    shild: &State<Shild>,
    admin: Administrator,
    origin: Origin,
) -> Result<Shown<KeyList>, RotateFailure> {
    shild.rotate_keys(admin.actor, &origin).await?;
    Ok(Shown(KeyList {
        keys: shild.public_keys(),
    }))
}

/// # Retire a signing key at once
///
/// The emergency brake: what the key has signed is refused from the next request on. Sessions go on; their clients refresh.
#[openapi(tag = "Administration", operation_id = "retire_key")]
#[delete("/keys/<kid>")]
async fn retire_key(
    shild: &State<Shild>,
    admin: Administrator,
    kid: &str,
    origin: Origin,
) -> Result<Done, RetireFailure> {
    shild.retire_key(kid, admin.actor, &origin).await?;
    Ok(Done)
}
