//! Sign up.

use rocket::{Route, post};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::NewUser;
use crate::http::json::JsonBody;
use crate::http::respond::failure;
use crate::origin::Origin;
use crate::secret::Secret;
use crate::shild::Shild;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: register]
}

/// Who wants an account.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, example = "Self::example")]
pub(crate) struct Registration {
    /// The name wanted. Compared after the mapping of RFC 8265: upper and lower case are the same.
    #[schemars(length(min = 1))]
    username: String,
    /// The password wanted: any characters but control characters.
    password: Secret,
}

impl Registration {
    fn example() -> serde_json::Value {
        serde_json::json!({ "username": "juliet", "password": "wherefore art thou 7" })
    }
}

failure! {
    RegisterFailure: BadRequest, RegistrationClosed, UsernameTaken, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, Unprocessable,
    TooManyRequests, Unavailable
}

/// # Register
///
/// Makes an account with the scope `user`. The password is checked for length and strength; a refusal says why and what would
/// help.
#[openapi(tag = "Sign up, sign in", operation_id = "register")]
#[post("/register", data = "<body>")]
async fn register(
    shild: &rocket::State<Shild>,
    origin: Origin,
    body: JsonBody<Registration>,
) -> Result<NewUser, RegisterFailure> {
    let wanted = body.0?;
    Ok(NewUser(
        shild
            .register(&wanted.username, wanted.password.expose(), &origin)
            .await?,
    ))
}
