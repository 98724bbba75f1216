//! The audit log, for administrators.

use rocket::{Route, State, get};
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;

use super::answer::{Page, Shown};
use super::page::{PageQuery, page_of};
use super::query::{once, refused};
use crate::audit::{AuditEvent, AuditFilter, AuditKind};
use crate::error::Error;
use crate::guard::Administrator;
use crate::http::respond::failure;
use crate::shild::Shild;
use crate::user::EventId;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: list_audit_events]
}

/// Which events are wanted.
#[derive(rocket::FromForm, JsonSchema)]
pub(crate) struct AuditQuery {
    /// How many items at most: 1 to 200; 50 if it is left out.
    #[schemars(with = "Option<String>")]
    limit: Vec<String>,
    /// The `next` of the page before.
    #[schemars(with = "Option<String>")]
    after: Vec<String>,
    /// Only those about this user.
    #[schemars(with = "Option<String>")]
    user_id: Vec<String>,
    /// Only those of this kind.
    #[schemars(with = "Option<String>")]
    kind: Vec<String>,
}

impl AuditQuery {
    fn filter(&self) -> Result<AuditFilter, Error> {
        let user_id = once("user_id", &self.user_id)?;
        let user_id = user_id.map(|text| text.parse().map_err(|_| refused("user_id", "a user's id")));
        let kinds = || {
            AuditKind::ALL
                .iter()
                .map(|kind| kind.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let kind = once("kind", &self.kind)?;
        let kind = kind.map(|text| AuditKind::parse(text).ok_or_else(|| refused("kind", &kinds())));
        Ok(AuditFilter {
            user_id: user_id.transpose()?,
            kind: kind.transpose()?,
        })
    }
}

failure! {
    AuditFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, Unavailable
}

/// # Read the audit log
///
/// Who did what to whom, when, and from where; newest first.
#[openapi(tag = "Administration", operation_id = "list_audit_events")]
#[get("/audit?<query..>")]
async fn list_audit_events(
    shild: &State<Shild>,
    _admin: Administrator,
    query: AuditQuery,
) -> Result<Shown<Page<AuditEvent>>, AuditFailure> {
    let filter = query.filter()?;
    let (limit, before) = PageQuery::new(query.limit, query.after).read::<EventId>()?;
    let found = shild
        .store
        .list_events(&filter, before, limit + 1)
        .await
        .map_err(Error::from)?;
    Ok(Shown(page_of(found, limit, |event| event.id.to_string())))
}
