//! How errors and answers look on the wire, and how they are documented.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use okapi::openapi3::{Header, MediaType, ParameterValue, RefOr, Response as ResponseDoc, Responses};
use rocket::Request;
use rocket::http::{ContentType, Status};
use rocket::response::{self, Responder, Response};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi;
use schemars::JsonSchema;
use schemars::schema::{InstanceType, SchemaObject};
use serde::Serialize;

use crate::error::{Error, Problem};
use crate::oauth::{Code, OAuthError};

/// A problem, as RFC 9457 has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem", deny_unknown_fields)]
pub(crate) struct ProblemBody {
    /// Which kind of problem it is; can be followed.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is to be said of this occurrence.
    detail: String,
    /// The members of the request that are at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FaultBody>>,
}

/// A member of the request that is at fault.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Fault", deny_unknown_fields)]
pub(crate) struct FaultBody {
    /// A JSON Pointer (RFC 6901) to the member.
    pointer: String,
    /// What is wrong, for programs.
    code: &'static str,
    /// What is wrong and what is allowed, for people.
    detail: String,
}

impl ProblemBody {
    fn of(error: &Error) -> Self {
        let faults = error.faults.iter().map(|fault| FaultBody {
            pointer: fault.pointer.clone(),
            code: fault.code,
            detail: fault.detail.clone(),
        });
        Self {
            kind: format!("/problems/{}", error.problem.slug()),
            title: error.problem.title(),
            status: error.problem.status(),
            detail: error.detail.to_string(),
            errors: Some(faults.collect::<Vec<_>>()).filter(|all| !all.is_empty()),
        }
    }
}

/// `application/problem+json` (RFC 9457 §3).
pub(crate) fn problem_json() -> ContentType {
    ContentType::new("application", "problem+json")
}

/// How long nearly every answer is at most.
const USUAL_BODY: usize = 512;

/// The body of an answer.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>, Status> {
    let mut body = Vec::with_capacity(USUAL_BODY);
    serde_json::to_writer(&mut body, value).map_err(|_| Status::InternalServerError)?;
    Ok(body)
}

/// Whole seconds, at least one, rounded up (RFC 9110 §10.2.3).
fn whole_seconds(wait: Duration) -> String {
    wait.as_millis().div_ceil(1000).max(1).to_string()
}

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let body = json(&ProblemBody::of(&self))?;
        let mut response = Response::build();
        response
            .status(Status::new(self.problem.status()))
            .header(problem_json())
            .raw_header("Cache-Control", "no-store")
            .sized_body(body.len(), Cursor::new(body));
        if let Some(wait) = self.retry_after {
            response.raw_header("Retry-After", whole_seconds(wait));
        }
        if let Some(challenge) = self.challenge {
            response.raw_header("WWW-Authenticate", challenge.www_authenticate());
        }
        response.ok()
    }
}

/// An error of an OAuth endpoint (RFC 6749 §5.2).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OAuthError", deny_unknown_fields)]
pub(crate) struct OAuthErrorBody {
    /// The code.
    #[schemars(schema_with = "oauth_codes")]
    error: &'static str,
    /// What is wrong, for whoever writes the client.
    error_description: String,
}

fn oauth_codes(_: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
    schemars::schema::SchemaObject {
        instance_type: Some(schemars::schema::InstanceType::String.into()),
        enum_values: Some(Code::ALL.iter().map(|code| code.as_str().into()).collect()),
        ..Default::default()
    }
    .into()
}

impl<'r> Responder<'r, 'static> for OAuthError {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let body = OAuthErrorBody {
            error: self.code.as_str(),
            error_description: self.clean_description(),
        };
        let body = json(&body)?;
        let mut response = Response::build();
        response
            .status(Status::new(self.status))
            .header(ContentType::JSON)
            .raw_header("Cache-Control", "no-store")
            .raw_header("Pragma", "no-cache")
            .sized_body(body.len(), Cursor::new(body));
        if let Some(wait) = self.retry_after {
            response.raw_header("Retry-After", whole_seconds(wait));
        }
        if let Some(challenge) = self.challenge {
            response.raw_header("WWW-Authenticate", challenge);
        }
        response.ok()
    }
}

/// A JSON answer of an OAuth endpoint that must not be kept (requirement T8).
pub(crate) struct NoStore<T>(pub(crate) T);

impl<'r, T: Serialize> Responder<'r, 'static> for NoStore<T> {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let body = json(&self.0)?;
        Response::build()
            .header(ContentType::JSON)
            .raw_header("Cache-Control", "no-store")
            .raw_header("Pragma", "no-cache")
            .sized_body(body.len(), Cursor::new(body))
            .ok()
    }
}

/// The documentation of one response.
pub(crate) fn document<T: JsonSchema>(
    generator: &mut OpenApiGenerator,
    description: &str,
    content_type: &str,
    headers: &[(&str, &str)],
) -> RefOr<ResponseDoc> {
    let schema = generator.json_schema::<T>();
    let mut response = empty(description, headers);
    response.content = okapi::map! {
        content_type.to_owned() => MediaType { schema: Some(schema), ..MediaType::default() }
    };
    response.into()
}

/// What the value of a parameter or of a header is, by its schema alone.
pub(crate) const fn of_schema(schema: SchemaObject) -> ParameterValue {
    ParameterValue::Schema {
        style: None,
        explode: None,
        allow_reserved: false,
        schema,
        example: None,
        examples: None,
    }
}

/// The documentation of a response without a body.
pub(crate) fn empty(description: &str, headers: &[(&str, &str)]) -> ResponseDoc {
    let header = |description: &&str| -> RefOr<Header> {
        Header {
            description: Some((*description).to_owned()),
            required: false,
            deprecated: false,
            allow_empty_value: false,
            value: of_schema(SchemaObject {
                instance_type: Some(InstanceType::String.into()),
                ..SchemaObject::default()
            }),
            extensions: okapi::Map::default(),
        }
        .into()
    };
    ResponseDoc {
        description: description.to_owned(),
        headers: headers
            .iter()
            .map(|(name, text)| ((*name).to_owned(), header(text)))
            .collect(),
        ..ResponseDoc::default()
    }
}

/// Adds to `responses` what stands in the table for each of these problems. Two of one status are
/// described together.
pub(crate) fn document_problems(generator: &mut OpenApiGenerator, problems: &[Problem], responses: &mut Responses) {
    let mut by_status = BTreeMap::<u16, Vec<Problem>>::new();
    for problem in problems {
        by_status.entry(problem.status()).or_default().push(*problem);
    }
    for (status, problems) in by_status {
        let lines = problems
            .iter()
            .map(|p| format!("`{}`: {}.", p.slug(), p.title()))
            .collect::<Vec<_>>();
        let headers: &[(&str, &str)] = match status {
            401 => &[("WWW-Authenticate", "The challenge (RFC 6750 §3).")],
            403 if problems.contains(&Problem::InsufficientScope) => &[(
                "WWW-Authenticate",
                "The challenge (RFC 6750 §3), with the scope that is needed.",
            )],
            429 | 503 => &[("Retry-After", "After how many seconds to try again.")],
            _ => &[],
        };
        let response = document::<ProblemBody>(generator, &lines.join(" "), "application/problem+json", headers);
        responses.responses.insert(status.to_string(), response);
    }
}

/// Declares the error type of a route or of a few that fail alike: which problems it can answer with, and
/// nothing else. The document reads the same list.
macro_rules! failure {
    ($(#[$doc:meta])* $name:ident: $($problem:ident),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name($crate::error::Error);

        impl $name {
            const PROBLEMS: &'static [$crate::error::Problem] = &[$($crate::error::Problem::$problem),*];
        }

        impl<E: Into<$crate::error::Error>> From<E> for $name {
            fn from(error: E) -> Self {
                let error = error.into();
                debug_assert!(
                    Self::PROBLEMS.contains(&error.problem()) || error.problem().status() >= 500,
                    "{} is not documented here",
                    error.problem().slug()
                );
                Self(error)
            }
        }

        impl<'r> rocket::response::Responder<'r, 'static> for $name {
            fn respond_to(self, request: &'r rocket::Request<'_>) -> rocket::response::Result<'static> {
                self.0.respond_to(request)
            }
        }

        impl rocket_okapi::response::OpenApiResponderInner for $name {
            fn responses(
                generator: &mut rocket_okapi::r#gen::OpenApiGenerator,
            ) -> rocket_okapi::Result<rocket_okapi::okapi::openapi3::Responses> {
                let mut responses = rocket_okapi::okapi::openapi3::Responses::default();
                $crate::http::respond::document_problems(generator, Self::PROBLEMS, &mut responses);
                Ok(responses)
            }
        }
    };
}
pub(crate) use failure;

#[cfg(test)]
mod tests {
    use super::*;

    // H12
    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        assert_eq!(whole_seconds(Duration::ZERO), "1");
        assert_eq!(whole_seconds(Duration::from_millis(1001)), "2");
    }
}
