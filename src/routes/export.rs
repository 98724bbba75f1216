//! Everything that is kept, for administrators: to move it elsewhere, or to keep it.

use rocket::http::ContentType;
use rocket::response::stream::ByteStream;
use rocket::response::{self, Responder, Response};
use rocket::{Request, Route, State, get};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi::openapi3::{OpenApi, Responses};
use rocket_okapi::response::OpenApiResponderInner;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;

use super::query::flag;
use crate::error::Error;
use crate::guard::Administrator;
use crate::http::respond::{document, failure};
use crate::origin::Origin;
use crate::shild::Shild;
use crate::store::Sections;
use crate::transfer::{Export, Line};

/// The media type of an export.
const NDJSON: (&str, &str) = ("application", "x-ndjson");

/// How much is sent at once.
const CHUNK: usize = 64 * 1024;

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: export_data]
}

/// What is wanted besides the users.
#[derive(rocket::FromForm, JsonSchema)]
pub(crate) struct ExportQuery {
    /// Whether the sessions are wanted too; `false` if it is left out.
    #[schemars(with = "Option<bool>")]
    sessions: Vec<String>,
    /// Whether the audit log is wanted too; `false` if it is left out.
    #[schemars(with = "Option<bool>")]
    audit: Vec<String>,
}

impl ExportQuery {
    fn read(&self) -> Result<Sections, Error> {
        Ok(Sections {
            sessions: flag("sessions", &self.sessions)?,
            events: flag("audit", &self.audit)?,
        })
    }
}

/// 200 with the lines of an export, made while they are sent.
pub(crate) struct Exported(Export);

impl<'r> Responder<'r, 'r> for Exported {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'r> {
        let Self(mut export) = self;
        // Rocket ends a body that fails like one that is whole; only the last line tells.
        let lines = ByteStream! {
            loop {
                match export.next_lines().await {
                    Ok(Some(lines)) => yield lines,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(cause = %error, "an export broke off");
                        break;
                    }
                }
            }
        };
        Response::build_from(lines.respond_to(request)?)
            .header(ContentType::new(NDJSON.0, NDJSON.1))
            .raw_header("Content-Disposition", "attachment; filename=\"shild.ndjson\"")
            .max_chunk_size(CHUNK)
            .ok()
    }
}

impl OpenApiResponderInner for Exported {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        let description =
            "One such object a line. The last line has the kind `end`: without it, the export is not whole.";
        let response = document::<Line>(generator, description, &format!("{}/{}", NDJSON.0, NDJSON.1), &[]);
        responses.responses.insert("200".to_owned(), response);
        Ok(responses)
    }
}

failure! {
    ExportFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, Unavailable
}

/// # Export all users
///
/// With the hashes of their passwords; on request with sessions and the audit log; never with keys. Everything is as it
/// was at one moment, however long it takes to send.
#[openapi(tag = "Administration", operation_id = "export_data")]
#[get("/export?<query..>")]
async fn export_data(
    shild: &State<Shild>,
    admin: Administrator,
    query: ExportQuery,
    origin: Origin,
) -> Result<Exported, ExportFailure> {
    let export = shild.export(query.read()?, admin.actor, &origin).await?;
    Ok(Exported(export))
}
