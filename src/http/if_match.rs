//! [`IfMatch`] as a guard.

use std::convert::Infallible;

use okapi::openapi3::Parameter;
use rocket::Request;
use rocket::request::{FromRequest, Outcome};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi;
use rocket_okapi::request::{OpenApiFromRequest, RequestHeaderInput};

use crate::http::passing::given;
use crate::http::respond::of_schema;
use crate::if_match::IfMatch;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for IfMatch {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        Outcome::Success(Self::read(given(request, "If-Match")))
    }
}

impl OpenApiFromRequest<'_> for IfMatch {
    fn from_request_input(
        generator: &mut OpenApiGenerator,
        _: String,
        _: bool,
    ) -> rocket_okapi::Result<RequestHeaderInput> {
        Ok(RequestHeaderInput::Parameter(Parameter {
            name: "If-Match".to_owned(),
            location: "header".to_owned(),
            description: Some(
                "The ETag of the version that the change is meant for; 412 if it is not the current one.".to_owned(),
            ),
            required: false,
            deprecated: false,
            allow_empty_value: false,
            value: of_schema(generator.json_schema::<String>()),
            extensions: okapi::Map::default(),
        }))
    }
}
