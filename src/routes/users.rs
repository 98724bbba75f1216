//! Other people's accounts, for administrators.

use rocket::{Route, State, delete, get, patch, post, routes};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Created, Done, NewUser, OneUser, Page, Shown};
use super::page::{PageQuery, page_of};
use super::query::once;
use super::sessions::Session;
use crate::clock::Timestamp;
use crate::error::{Error, Problem};
use crate::guard::Administrator;
use crate::http::json::JsonBody;
use crate::http::respond::failure;
use crate::if_match::IfMatch;
use crate::origin::Origin;
use crate::patch::present;
use crate::secret::Secret;
use crate::shild::Shild;
use crate::user::{Scopes, SessionId, User, UserId, Username};
use crate::users::{Change, NewAccount};

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![
        settings: list_users, create_user, read_user, update_user, delete_user, start_password_reset, list_user_sessions,
        end_user_sessions
    ]
}

/// What the command line alone needs; the contract, and so the document, does not have it.
pub(super) fn unlisted() -> Vec<Route> {
    routes![end_user_session]
}

/// Whose names are wanted.
#[derive(rocket::FromForm, JsonSchema)]
pub(crate) struct UsersQuery {
    /// How many items at most: 1 to 200; 50 if it is left out.
    #[schemars(with = "Option<String>")]
    limit: Vec<String>,
    /// The `next` of the page before.
    #[schemars(with = "Option<String>")]
    after: Vec<String>,
    /// Only users whose names begin with this; they come in order of name.
    #[schemars(with = "Option<String>")]
    username_prefix: Vec<String>,
}

/// A user to be made.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, example = "Self::example")]
pub(crate) struct UserCreation {
    /// The name.
    #[schemars(length(min = 1))]
    username: String,
    /// The password; without one the account can be entered only by a reset.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Secret")]
    password: Option<Secret>,
    /// What the user's tokens may carry; `user` alone if it is left out.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Scopes")]
    scopes: Option<Scopes>,
}

impl UserCreation {
    fn example() -> serde_json::Value {
        serde_json::json!({ "username": "romeo", "password": "but soft what light 9", "scopes": ["user"] })
    }
}

/// What is to be changed of a user.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, example = "Self::example")]
pub(crate) struct UserChange {
    /// A new name.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(min = 1))]
    username: Option<String>,
    /// The whole new set of scopes.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Scopes")]
    scopes: Option<Scopes>,
    /// Disabling ends all sessions.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    disabled: Option<bool>,
}

impl UserChange {
    fn example() -> serde_json::Value {
        serde_json::json!({ "disabled": true })
    }
}

/// A password reset that has been started.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct StartedReset {
    /// To be handed to the user; it is shown this once.
    reset_token: String,
    /// Until when it is good.
    expires_at: Timestamp,
}

failure! {
    ListFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, Unavailable
}

failure! {
    CreateFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, UsernameTaken,
    RequestTimeout, PayloadTooLarge, UnsupportedMediaType, Unprocessable, Unavailable
}

failure! {
    ReadFailure: InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, NotFound, Unavailable
}

failure! {
    UserListFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, NotFound, Unavailable
}

failure! {
    UpdateFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, NotFound, UsernameTaken,
    LastAdmin, Stale, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, Unprocessable, Unavailable
}

failure! {
    DeleteFailure: InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, NotFound, LastAdmin, Stale, Unavailable
}

/// An id from a path; whatever is none leads to nobody.
fn id(text: &str) -> Result<UserId, Error> {
    text.parse()
        .map_err(|_| Error::new(Problem::NotFound, "There is no such user."))
}

/// # List users
///
/// In order of id, that is, of registration; with a prefix in order of name.
#[openapi(tag = "Administration", operation_id = "list_users")]
#[get("/users?<query..>")]
async fn list_users(
    shild: &State<Shild>,
    _admin: Administrator,
    query: UsersQuery,
) -> Result<Shown<Page<User>>, ListFailure> {
    let page = PageQuery::new(query.limit, query.after);
    let prefix = once("username_prefix", &query.username_prefix)?;
    let found = if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()).map(Username::map_prefix) {
        let (limit, after) = page.read::<String>()?;
        let found = shild
            .store
            .list_by_username(&prefix, after.as_deref(), limit + 1)
            .await
            .map_err(Error::from)?;
        page_of(found, limit, |user| user.username.as_str().to_owned())
    } else {
        let (limit, after) = page.read::<UserId>()?;
        let found = shild.store.list(after, limit + 1).await.map_err(Error::from)?;
        page_of(found, limit, |user| user.id.to_string())
    };
    Ok(Shown(found.map(|user| user.view())))
}

/// # Create a user
#[openapi(tag = "Administration", operation_id = "create_user")]
#[post("/users", data = "<body>")]
async fn create_user(
    shild: &State<Shild>,
    admin: Administrator,
    origin: Origin,
    body: JsonBody<UserCreation>,
) -> Result<NewUser, CreateFailure> {
    let UserCreation {
        username,
        password,
        scopes,
    } = body.0?;
    let wanted = NewAccount {
        username: &username,
        password: password.as_ref().map(Secret::expose),
        scopes,
    };
    Ok(NewUser(shild.create_user(wanted, admin.actor, &origin).await?))
}

/// # Read a user
#[openapi(tag = "Administration", operation_id = "read_user")]
#[get("/users/<user_id>")]
async fn read_user(shild: &State<Shild>, _admin: Administrator, user_id: &str) -> Result<OneUser, ReadFailure> {
    Ok(OneUser(shild.read_user(id(user_id)?).await?.view()))
}

/// # Change a user
///
/// Name, scopes, or whether it is disabled; what is left out stays as it is. Disabling ends all its sessions, a change of scopes
/// holds from the next request on.
#[openapi(tag = "Administration", operation_id = "update_user")]
#[patch("/users/<user_id>", data = "<body>")]
async fn update_user(
    shild: &State<Shild>,
    admin: Administrator,
    user_id: &str,
    if_match: IfMatch,
    origin: Origin,
    body: JsonBody<UserChange>,
) -> Result<OneUser, UpdateFailure> {
    let UserChange {
        username,
        scopes,
        disabled,
    } = body.0?;
    let change = Change {
        username,
        scopes,
        disabled,
    };
    Ok(OneUser(
        shild
            .update_user(id(user_id)?, &change, &if_match, admin.actor, &origin)
            .await?,
    ))
}

/// # Delete a user
///
/// For good: the id is never used again. Its sessions end.
#[openapi(tag = "Administration", operation_id = "delete_user")]
#[delete("/users/<user_id>")]
async fn delete_user(
    shild: &State<Shild>,
    admin: Administrator,
    user_id: &str,
    if_match: IfMatch,
    origin: Origin,
) -> Result<Done, DeleteFailure> {
    shild.delete_user(id(user_id)?, &if_match, admin.actor, &origin).await?;
    Ok(Done)
}

/// # Start a password reset
///
/// Gives a token with which its holder sets a new password, once, within a day. Nobody chooses another's password.
#[openapi(tag = "Administration", operation_id = "start_password_reset")]
#[post("/users/<user_id>/password-reset")]
async fn start_password_reset(
    shild: &State<Shild>,
    admin: Administrator,
    user_id: &str,
    origin: Origin,
) -> Result<Created<StartedReset>, ReadFailure> {
    let (token, expires_at) = shild.start_password_reset(id(user_id)?, admin.actor, &origin).await?;
    Ok(Created(StartedReset {
        reset_token: token.expose().to_string(),
        expires_at,
    }))
}

/// # List a user's sessions
#[openapi(tag = "Administration", operation_id = "list_user_sessions")]
#[get("/users/<user_id>/sessions?<page..>")]
async fn list_user_sessions(
    shild: &State<Shild>,
    _admin: Administrator,
    user_id: &str,
    page: PageQuery,
) -> Result<Shown<Page<Session>>, UserListFailure> {
    let (limit, after) = page.read::<SessionId>()?;
    let user = shild.read_user(id(user_id)?).await?;
    let found = shild.list_sessions(&user, after, limit + 1).await?;
    let sessions = page_of(found, limit, |session| session.id.to_string());
    Ok(Shown(sessions.map(|session| Session::of(session, None))))
}

/// # End a user's sessions
///
/// All of them, from the next request on.
#[openapi(tag = "Administration", operation_id = "end_user_sessions")]
#[delete("/users/<user_id>/sessions")]
async fn end_user_sessions(
    shild: &State<Shild>,
    admin: Administrator,
    user_id: &str,
    origin: Origin,
) -> Result<Done, ReadFailure> {
    shild.end_user_sessions(id(user_id)?, admin.actor, &origin).await?;
    Ok(Done)
}

/// Ends one session of a user.
#[delete("/users/<user_id>/sessions/<session_id>")]
async fn end_user_session(
    shild: &State<Shild>,
    admin: Administrator,
    user_id: &str,
    session_id: &str,
    origin: Origin,
) -> Result<Done, ReadFailure> {
    let none = || Error::new(Problem::NotFound, "This user has no session with this id.");
    let session = session_id.parse().map_err(|_| none())?;
    let ended = shild.end_session(id(user_id)?, session, admin.actor, &origin).await?;
    if ended { Ok(Done) } else { Err(none().into()) }
}
