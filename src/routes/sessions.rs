//! The user's own sessions, and signing out.

use std::net::IpAddr;

use rocket::{Route, State, delete, get, post};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Done, Page, Shown};
use super::page::{PageQuery, page_of};
use crate::audit::Actor;
use crate::clock::Timestamp;
use crate::error::{Error, Problem};
use crate::guard::{Scoped, scope};
use crate::http::respond::failure;
use crate::origin::Origin;
use crate::session::SessionRecord;
use crate::shild::Shild;
use crate::user::{Scopes, SessionId};

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: list_sessions, end_session, end_other_sessions, logout]
}

/// One sign-in.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Session {
    /// Its id.
    id: SessionId,
    /// The client that it was opened by, if it said so.
    client_id: Option<String>,
    /// The `User-Agent` that it was opened with.
    user_agent: Option<String>,
    /// The address that it was opened from.
    #[schemars(with = "Option<String>")]
    ip: Option<IpAddr>,
    /// What its tokens may carry at most.
    scopes: Scopes,
    /// When it was opened.
    created_at: Timestamp,
    /// When tokens were last issued for it.
    last_used_at: Timestamp,
    /// When it ends whatever happens.
    expires_at: Timestamp,
    /// Whether it is the one that this request was made with.
    current: bool,
}

impl Session {
    pub(crate) fn of(session: SessionRecord, current: Option<SessionId>) -> Self {
        Self {
            current: current == Some(session.id),
            id: session.id,
            client_id: session.client_id,
            user_agent: session.user_agent,
            ip: session.ip,
            scopes: session.scopes,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        }
    }
}

failure! {
    ListFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, Unavailable
}

failure! {
    EndFailure: InvalidRequest, Unauthenticated, InvalidToken, NotFound, Unavailable
}

failure! {
    EndAllFailure: InvalidRequest, Unauthenticated, InvalidToken, Unavailable
}

/// # List my sessions
///
/// Each sign-in that is still good, in the order in which they were opened.
#[openapi(tag = "Your account", operation_id = "list_sessions")]
#[get("/user/me/sessions?<page..>")]
async fn list_sessions(
    shild: &State<Shild>,
    me: Scoped<scope::User>,
    page: PageQuery,
) -> Result<Shown<Page<Session>>, ListFailure> {
    let (limit, after) = page.read::<SessionId>()?;
    let found = shild.list_sessions(&me.signed_in().user, after, limit + 1).await?;
    let sessions = page_of(found, limit, |session| session.id.to_string());
    Ok(Shown(
        sessions.map(|session| Session::of(session, Some(me.session_id()))),
    ))
}

/// # End one of my sessions
///
/// From the next request on its tokens are refused.
#[openapi(tag = "Your account", operation_id = "end_session")]
#[delete("/user/me/sessions/<session_id>")]
async fn end_session(
    shild: &State<Shild>,
    me: Scoped<scope::User>,
    session_id: &str,
    origin: Origin,
) -> Result<Done, EndFailure> {
    let not_found = || Error::new(Problem::NotFound, "You have no session with this id.");
    let id = session_id.parse::<SessionId>().map_err(|_| not_found())?;
    let ended = shild.end_session(me.id(), id, Actor::User(me.id()), &origin).await?;
    if ended { Ok(Done) } else { Err(not_found().into()) }
}

/// # End my other sessions
///
/// All but the one that this request is made with.
#[openapi(tag = "Your account", operation_id = "end_other_sessions")]
#[delete("/user/me/sessions")]
async fn end_other_sessions(
    shild: &State<Shild>,
    me: Scoped<scope::User>,
    origin: Origin,
) -> Result<Done, EndAllFailure> {
    shild.end_other_sessions(me.signed_in(), &origin).await?;
    Ok(Done)
}

/// # Sign out
///
/// Ends the session that this request is made with: its access token is refused from the next request on.
#[openapi(tag = "Your account", operation_id = "logout")]
#[post("/logout")]
async fn logout(shild: &State<Shild>, me: Scoped<scope::User>, origin: Origin) -> Result<Done, EndAllFailure> {
    shild
        .end_session(me.id(), me.session_id(), Actor::User(me.id()), &origin)
        .await?;
    Ok(Done)
}
