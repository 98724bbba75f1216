//! Moving in.

use std::io::{self, BufReader, Read};

use okapi::openapi3::{MediaType, RequestBody};
use rocket::data::{Data, FromData, Outcome};
use rocket::{FromForm, Request, Route, State, post};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::request::OpenApiFromData;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{okapi, openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use schemars::schema::{InstanceType, SchemaObject};
use tokio::sync::mpsc;

use super::answer::Shown;
use super::query::{flag, once, refused};
use crate::audit::Actor;
use crate::error::Error;
use crate::guard::Administrator;
use crate::http::body::Pieces;
use crate::http::respond::failure;
use crate::origin::Origin;
use crate::shild::Shild;
use crate::transfer::import::{ImportOptions, ImportReport};

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: import_data]
}

/// What is taken in, and how.
#[derive(FromForm, JsonSchema)]
pub(crate) struct ImportQuery {
    /// Whose export it is: `shild`, `supabase`, `django`, `pocketbase` or `fastapi-users`; `shild` if it is left out.
    #[schemars(with = "Option<String>")]
    format: Vec<String>,
    /// `true`: only say what would happen.
    #[schemars(with = "Option<String>")]
    dry_run: Vec<String>,
    /// `true`: those who may do everything in the other program get the scope `admin`.
    #[schemars(with = "Option<String>")]
    admins: Vec<String>,
}

impl ImportQuery {
    fn read(&self) -> Result<ImportOptions, Error> {
        let format = once("format", &self.format)?.map(|text| {
            let allowed = "one of shild, supabase, django, pocketbase, fastapi-users";
            text.parse().map_err(|_| refused("format", allowed))
        });
        Ok(ImportOptions {
            format: format.transpose()?.unwrap_or_default(),
            dry_run: flag("dry_run", &self.dry_run)?,
            admins: flag("admins", &self.admins)?,
        })
    }
}

/// A body that is read as it comes, however long it is.
pub(crate) struct Stream<'r>(Pieces<'r>);

#[rocket::async_trait]
impl<'r> FromData<'r> for Stream<'r> {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        Outcome::Success(Self(Pieces::of(request, data)))
    }
}

impl<'r> OpenApiFromData<'r> for Stream<'r> {
    fn request_body(_: &mut OpenApiGenerator) -> rocket_okapi::Result<RequestBody> {
        let mut schema = SchemaObject {
            instance_type: Some(InstanceType::String.into()),
            // What generators know as a body that is sent as it is.
            format: Some("binary".to_owned()),
            ..SchemaObject::default()
        };
        schema.metadata().description = Some("One user a line, each at most 1 MiB.".to_owned());
        schema
            .extensions
            .insert("example".to_owned(), "{\"username\":\"juliet\"}\n".into());
        let media = MediaType {
            schema: Some(schema),
            ..MediaType::default()
        };
        Ok(RequestBody {
            description: Some(
                "The export, of any length. In place of lines it may be one JSON array, and of other programs' a CSV \
                 table with the names of its columns in the first row; the Content-Type header is not looked at. \
                 Without a body it is refused, in the report, as an input that is empty."
                    .to_owned(),
            ),
            content: okapi::map! { "application/x-ndjson".to_owned() => media },
            required: false,
            ..RequestBody::default()
        })
    }
}

failure! {
    ImportFailure: BadRequest, InvalidRequest, Unauthenticated, InvalidToken, InsufficientScope, Unavailable
}

/// # Take users in
///
/// Reads an export of shild's own or of another program and adds its users with the hashes that they have: they sign in with
/// their old passwords. What cannot be taken over is reported with its line, and the rest goes in. Doing it twice changes
/// nothing.
#[openapi(tag = "Administration", operation_id = "import_data")]
#[post("/import?<query..>", data = "<body>")]
async fn import_data(
    shild: &State<Shild>,
    admin: Administrator,
    query: ImportQuery,
    body: Stream<'_>,
    origin: Origin,
) -> Result<Shown<ImportReport>, ImportFailure> {
    let options = query.read()?;
    let (sender, receiver) = mpsc::channel(4);
    let input = BufReader::new(Received::new(receiver));
    let pieces = match admin.actor {
        Actor::Operator => body.0.unhurried(),
        _ => body.0,
    };
    let import = shild.import(input, options, admin.actor, &origin);
    let ((), report) = tokio::join!(send(pieces, sender), import);
    Ok(Shown(report?))
}

/// Hands the body over to whoever reads it, for as long as somebody does.
async fn send(mut body: Pieces<'_>, chunks: mpsc::Sender<io::Result<Vec<u8>>>) {
    while let Some(piece) = body.next().await.transpose() {
        let failed = piece.is_err();
        if chunks.send(piece).await.is_err() || failed {
            return;
        }
    }
}

/// What [`send`] sends, for a thread that may wait.
struct Received {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Received {
    fn new(chunks: mpsc::Receiver<io::Result<Vec<u8>>>) -> Self {
        Self {
            chunks,
            chunk: io::Cursor::default(),
        }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = Read::read(&mut self.chunk, buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = io::Cursor::new(chunk?),
                None => return Ok(0),
            }
        }
    }
}
