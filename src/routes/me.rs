//! The user's own account.

use rocket::{Route, State, delete, get, patch, post};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{Done, OneUser};
use crate::guard::{Scoped, scope};
use crate::http::json::JsonBody;
use crate::http::respond::failure;
use crate::if_match::IfMatch;
use crate::origin::Origin;
use crate::patch::present;
use crate::secret::Secret;
use crate::shild::Shild;
use crate::users::Change;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![
        settings: read_current_user, update_current_user, delete_current_user, change_password, reset_password
    ]
}

/// What is to be changed of one's own account.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, example = "Self::example")]
pub(crate) struct OwnChange {
    /// A new name.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(min = 1))]
    username: Option<String>,
}

impl OwnChange {
    fn example() -> serde_json::Value {
        serde_json::json!({ "username": "juliet.capulet" })
    }
}

/// A change of password.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, example = "Self::example")]
pub(crate) struct PasswordChange {
    /// The password as it is.
    current_password: Secret,
    /// The password as it is to be.
    new_password: Secret,
}

impl PasswordChange {
    fn example() -> serde_json::Value {
        serde_json::json!({ "current_password": "wherefore art thou 7", "new_password": "parting is sweet sorrow 8" })
    }
}

/// The use of a password reset.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, example = "Self::example")]
pub(crate) struct PasswordReset {
    /// The token, as whoever started the reset has it.
    reset_token: Secret,
    /// The password as it is to be.
    new_password: Secret,
}

impl PasswordReset {
    fn example() -> serde_json::Value {
        serde_json::json!({ "reset_token": "shp_…", "new_password": "parting is sweet sorrow 8" })
    }
}

failure! {
    UpdateFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, UsernameTaken, Stale,
    RequestTimeout, PayloadTooLarge, UnsupportedMediaType, Unprocessable, TooManyRequests, Unavailable
}

failure! {
    DeleteFailure: InvalidRequest, Unauthenticated, InvalidToken, ReauthenticationRequired, InsufficientScope, LastAdmin,
    Stale, Unavailable
}

failure! {
    PasswordFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, WrongPassword,
    RequestTimeout, PayloadTooLarge, UnsupportedMediaType, Unprocessable, TooManyRequests, Unavailable
}

failure! {
    ResetFailure: BadRequest, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, Unprocessable, TooManyRequests, Unavailable
}

/// # Who am I
///
/// The user that the access token is of.
#[openapi(tag = "Your account", operation_id = "read_current_user")]
#[get("/user/me")]
fn read_current_user(me: Scoped<scope::User>) -> OneUser {
    OneUser(me.user())
}

/// # Change my name
///
/// Sessions go on. With `If-Match` only if the account is still as you know it.
#[openapi(tag = "Your account", operation_id = "update_current_user")]
#[patch("/user/me", data = "<body>")]
async fn update_current_user(
    shild: &State<Shild>,
    me: Scoped<scope::User>,
    if_match: IfMatch,
    origin: Origin,
    body: JsonBody<OwnChange>,
) -> Result<OneUser, UpdateFailure> {
    let change = Change {
        username: body.0?.username,
        ..Change::default()
    };
    Ok(OneUser(
        shild
            .update_own_account(me.signed_in(), &change, &if_match, &origin)
            .await?,
    ))
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
    if_match: IfMatch,
    origin: Origin,
) -> Result<Done, DeleteFailure> {
    shild.delete_own_account(me.signed_in(), &if_match, &origin).await?;
    Ok(Done)
}

/// # Change my password
///
/// Needs the current one. Ends all other sessions.
#[openapi(tag = "Your account", operation_id = "change_password")]
#[post("/user/me/password", data = "<body>")]
async fn change_password(
    shild: &State<Shild>,
    me: Scoped<scope::User>,
    origin: Origin,
    body: JsonBody<PasswordChange>,
) -> Result<Done, PasswordFailure> {
    let change = body.0?;
    let (current, new) = (change.current_password.expose(), change.new_password.expose());
    shild.change_password(me.signed_in(), current, new, &origin).await?;
    Ok(Done)
}

/// # Set a password with a reset token
///
/// For whoever has been given a token by an administrator. It is good once, and ends all sessions and any lock.
#[openapi(tag = "Your account", operation_id = "reset_password")]
#[post("/password-reset", data = "<body>")]
async fn reset_password(
    shild: &State<Shild>,
    origin: Origin,
    body: JsonBody<PasswordReset>,
) -> Result<Done, ResetFailure> {
    let reset = body.0?;
    shild
        .reset_password(reset.reset_token.expose(), reset.new_password.expose(), &origin)
        .await?;
    Ok(Done)
}
