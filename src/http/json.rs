//! JSON bodies.

use okapi::openapi3::{MediaType, RequestBody};
use rocket::Request;
use rocket::data::{Data, FromData, Outcome};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi;
use rocket_okapi::request::OpenApiFromData;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::body::{self, BodyError};
use crate::error::{Error, Problem};
use crate::json;

/// A JSON body, or what was wrong with it.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) Result<T, Error>);

#[rocket::async_trait]
impl<'r, T: DeserializeOwned + Send> FromData<'r> for JsonBody<T> {
    type Error = std::convert::Infallible;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        let read = async {
            if !request.content_type().is_some_and(|kind| kind.is_json()) {
                let given = if request.content_type().is_some() {
                    "another type"
                } else {
                    "no type"
                };
                return Err(Error::new(
                    Problem::UnsupportedMediaType,
                    format!("The body must be application/json; the Content-Type header says {given}."),
                ));
            }
            let bytes = body::read(request, data).await.map_err(|error| match error {
                BodyError::TooLarge => Error::new(
                    Problem::PayloadTooLarge,
                    format!("The body is longer than {} bytes.", body::LIMIT),
                ),
                BodyError::TooSlow => Error::new(Problem::RequestTimeout, "The body did not come in time."),
                BodyError::Broken => Error::new(Problem::BadRequest, "The body could not be read to its end."),
            })?;
            json::parse(&bytes)
        };
        Outcome::Success(Self(read.await))
    }
}

impl<T: DeserializeOwned + Send + JsonSchema> OpenApiFromData<'_> for JsonBody<T> {
    fn request_body(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<RequestBody> {
        let schema = generator.json_schema::<T>();
        let media = MediaType {
            schema: Some(schema),
            ..MediaType::default()
        };
        Ok(RequestBody {
            content: okapi::map! { "application/json".to_owned() => media },
            required: true,
            ..RequestBody::default()
        })
    }
}
