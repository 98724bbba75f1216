//! The shapes of answers that several routes share.

use std::io::Cursor;

use rocket::Request;
use rocket::http::{ContentType, Status};
use rocket::response::{self, Responder, Response};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi::openapi3::Responses;
use rocket_okapi::response::OpenApiResponderInner;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::respond::{document, empty, json};
use crate::user::User;

/// 201 with a user that has just been made, where to find it, and its version.
pub(crate) struct NewUser(pub(crate) User);

/// 200 with one user and its version.
pub(crate) struct OneUser(pub(crate) User);

/// 204: done, and nothing to say.
pub(crate) struct Done;

fn etag(user: &User) -> String {
    format!("\"{}\"", user.version)
}

impl<'r> Responder<'r, 'static> for OneUser {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let body = json(&self.0)?;
        Response::build()
            .header(ContentType::JSON)
            .raw_header("ETag", etag(&self.0))
            .sized_body(body.len(), Cursor::new(body))
            .ok()
    }
}

impl<'r> Responder<'r, 'static> for NewUser {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let location = format!("/users/{}", self.0.id);
        Response::build_from(OneUser(self.0).respond_to(request)?)
            .status(Status::Created)
            .raw_header("Location", location)
            .ok()
    }
}

impl<'r> Responder<'r, 'static> for Done {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build().status(Status::NoContent).ok()
    }
}

impl OpenApiResponderInner for OneUser {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        let response = document::<User>(
            generator,
            "The user.",
            "application/json",
            &[("ETag", "The version, for If-Match.")],
        );
        responses.responses.insert("200".to_owned(), response);
        Ok(responses)
    }
}

impl OpenApiResponderInner for NewUser {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        let headers = [
            ("ETag", "The version, for If-Match."),
            ("Location", "Where the user is found."),
        ];
        let response = document::<User>(generator, "The new user.", "application/json", &headers);
        responses.responses.insert("201".to_owned(), response);
        Ok(responses)
    }
}

impl OpenApiResponderInner for Done {
    fn responses(_: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        responses.responses.insert("204".to_owned(), empty("Done.", &[]).into());
        Ok(responses)
    }
}

/// 201 with `body` as JSON.
pub(crate) struct Created<T>(pub(crate) T);

impl<'r, T: Serialize> Responder<'r, 'static> for Created<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        Response::build_from(Shown(self.0).respond_to(request)?)
            .status(Status::Created)
            .ok()
    }
}

impl<T: Serialize + JsonSchema> OpenApiResponderInner for Created<T> {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        responses.responses.insert(
            "201".to_owned(),
            document::<T>(generator, "Made.", "application/json", &[]),
        );
        Ok(responses)
    }
}

/// 200 with `body` as JSON.
pub(crate) struct Shown<T>(pub(crate) T);

impl<'r, T: Serialize> Responder<'r, 'static> for Shown<T> {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let body = json(&self.0)?;
        Response::build()
            .header(ContentType::JSON)
            .sized_body(body.len(), Cursor::new(body))
            .ok()
    }
}

impl<T: Serialize + JsonSchema> OpenApiResponderInner for Shown<T> {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        responses.responses.insert(
            "200".to_owned(),
            document::<T>(generator, "Found.", "application/json", &[]),
        );
        Ok(responses)
    }
}

/// One page of a list.
#[derive(Serialize)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// What to give as `after` for the next page; `null` on the last one.
    pub(crate) next: Option<String>,
}

impl<T: JsonSchema> JsonSchema for Page<T> {
    fn schema_name() -> String {
        format!("{}Page", T::schema_name())
    }

    fn json_schema(generator: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
        use schemars::schema::{InstanceType, Schema, SchemaObject};
        let mut schema = SchemaObject {
            instance_type: Some(InstanceType::Object.into()),
            ..SchemaObject::default()
        };
        let object = schema.object();
        object
            .properties
            .insert("items".to_owned(), <Vec<T>>::json_schema(generator));
        object
            .properties
            .insert("next".to_owned(), generator.subschema_for::<Option<String>>());
        object.required = ["items", "next"].map(str::to_owned).into_iter().collect();
        object.additional_properties = Some(Box::new(Schema::Bool(false)));
        schema.metadata().description =
            Some("One page of a list; `next` is what to give as `after` for the next one.".to_owned());
        schema.into()
    }
}
