//! The user's own account.

use rocket::{Route, State, delete, get};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};

use super::answer::{Done, OneUser};
use crate::guard::{Scoped, scope};
use crate::http::respond::failure;
use crate::origin::Origin;
use crate::shild::Shild;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: read_current_user, delete_current_user]
}

/// # Who am I
///
/// The user that the access token is of.
#[openapi(tag = "Your account", operation_id = "read_current_user")]
#[get("/user/me")]
fn read_current_user(me: Scoped<scope::User>) -> OneUser {
    OneUser(me.user())
}

failure! {
    DeleteFailure: InvalidRequest, Unauthenticated, InvalidToken, ReauthenticationRequired, LastAdmin, Unavailable
}

/// # Delete my account
///
/// For good: the id is never used again, the name is free at once. Needs a sign-in within the last 10 minutes
/// (RFC 9470): otherwise 401 with `max_age`; sign in again and repeat it.
#[openapi(tag = "Your account", operation_id = "delete_current_user")]
#[delete("/user/me")]
async fn delete_current_user(
    shild: &State<Shild>,
    me: Scoped<scope::User>,
    origin: Origin,
) -> Result<Done, DeleteFailure> {
    shild.delete_own_account(me.signed_in(), &origin).await?;
    Ok(Done)
}
