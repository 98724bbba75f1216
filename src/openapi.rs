//! The OpenAPI document: what rocket_okapi makes of the routes, and everything that it leaves to be mended.

mod examples;

use okapi::openapi3::{
    Info, License, OAuthFlows, OpenApi, Operation, Parameter, ParameterValue, PathItem, RefOr, Responses,
    SecurityRequirement, SecuritySchemeData, Tag,
};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi;
use rocket_okapi::okapi::merge::merge_specs;
use rocket_okapi::settings::OpenApiSettings;
use schemars::schema::{InstanceType, Schema, SchemaObject};
use schemars::visit::{Visitor, visit_schema_object};
use serde_json::Value;

use crate::audit::AuditKind;
use crate::error::Problem;
use crate::guard::SCHEME;
use crate::http::respond::{OAuthErrorBody, document, document_problems};
use crate::transfer::import::Format;
use crate::user::Scope;

/// The tags, in the order in which the docs page shows them.
const TAGS: [(&str, &str); 5] = [
    ("Sign up, sign in", "An account, and the tokens that stand for it."),
    ("Your account", "What whoever is signed in can see and do about itself."),
    (
        "OAuth 2",
        "The endpoints for clients and for other services: revocation (RFC 7009), introspection (RFC 7662), metadata (RFC 8414), keys.",
    ),
    (
        "Administration",
        "Other people's accounts, and the keys; needs the scope `admin`.",
    ),
    ("Operation", "For whoever runs it."),
];

const DESCRIPTION: &str = "User accounts and OAuth 2 bearer tokens. Errors are `application/problem+json` (RFC 9457) but for \
the OAuth endpoints, which answer as RFC 6749 §5.2 has it. Access tokens are PASETO v4.public; send them as \
`Authorization: Bearer <access token>` (RFC 6750).";

/// Answers in which a member without a value is `null`. Of an `Option` schemars says that the member may be missing.
const WITH_NULLS: [&str; 3] = ["AuditEvent", "Key", "Session"];

/// What has no `null`: a member without a value is left out.
const WITHOUT_NULLS: [&str; 4] = ["Introspection", "NamedToken", "Problem", "TokenRequest"];

/// Forms: parameters that are not known are passed over, and each comes once (RFC 6749 §3.2).
const FORMS: [&str; 2] = ["NamedToken", "TokenRequest"];

/// Mends what rocket_okapi leaves open: who we are, tags, the token endpoint's path, the errors of the OAuth endpoints,
/// the parameters whose type it cannot see, and schemas that generators of clients stumble over.
pub(crate) fn finish(mut spec: OpenApi, token_path: &str) -> OpenApi {
    "3.0.3".clone_into(&mut spec.openapi);
    spec.info = Info {
        title: "shild".to_owned(),
        description: Some(DESCRIPTION.to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        license: Some(License {
            name: "MIT OR Apache-2.0".to_owned(),
            ..License::default()
        }),
        ..Info::default()
    };
    let tag = |(name, text): (&str, &str)| Tag {
        name: name.to_owned(),
        description: Some(text.to_owned()),
        ..Tag::default()
    };
    spec.tags = TAGS.map(tag).into();
    name_token_url(&mut spec, token_path);

    let mut generator = OpenApiGenerator::new(&OpenApiSettings::new());
    for (path, item) in &mut spec.paths {
        let oauth = path == token_path || path == "/revoke" || path == "/introspect";
        for operation in operations(item) {
            add_common_errors(&mut generator, &mut operation.responses);
            if oauth {
                use_oauth_errors(&mut generator, &mut operation.responses);
            }
            for parameter in &mut operation.parameters {
                if let RefOr::Object(parameter) = parameter {
                    type_parameter(parameter);
                }
            }
            let security = operation.security.get_or_insert_default();
            if path == "/introspect" {
                // Either scope will do, and a guard can name but one set of them.
                security.push(
                    [(SCHEME.to_owned(), vec![Scope::ADMIN.to_owned()])]
                        .into_iter()
                        .collect(),
                );
            }
        }
    }
    let made = generator.into_openapi().components.unwrap_or_default();
    let schemas = &mut spec.components.get_or_insert_default().schemas;
    schemas.extend(made.schemas);
    for (name, schema) in schemas {
        mend(name, schema);
    }
    spec
}

/// Makes of a schema what the answers are.
fn mend(name: &str, schema: &mut SchemaObject) {
    Mend.visit_schema_object(schema);
    let object = schema.object.get_or_insert_default();
    if WITH_NULLS.contains(&name) {
        object.required = object.properties.keys().cloned().collect();
    }
    if WITHOUT_NULLS.contains(&name) {
        object.properties.values_mut().for_each(forbid_null);
    }
    if FORMS.contains(&name) {
        object.additional_properties = Some(Box::new(text().into()));
    }
    if let Some(example) = examples::of(name) {
        schema.extensions.insert("example".to_owned(), example);
    }
}

/// Makes of a schema what OpenAPI 3.0 calls so.
struct Mend;

impl Visitor for Mend {
    fn visit_schema_object(&mut self, schema: &mut SchemaObject) {
        // `null` as the default says that there is none.
        if let Some(metadata) = &mut schema.metadata {
            metadata.default = metadata.default.take().filter(|default| !default.is_null());
        }
        // The formats of OpenAPI 3.0.3 §4.4 are those that generators know.
        schema.format = match schema.format.take().as_deref() {
            Some("uint16") => Some("int32".to_owned()),
            Some("uint32" | "uint64") => Some("int64".to_owned()),
            Some("ip") | None => None,
            Some(other) => Some(other.to_owned()),
        };
        join_words(schema);
        visit_schema_object(self, schema);
    }
}

/// Makes one enumeration of a choice between single words, which is what schemars makes of variants with comments of their
/// own; the comments go into the description.
fn join_words(schema: &mut SchemaObject) {
    let Some(choices) = schema
        .subschemas
        .as_ref()
        .and_then(|subschemas| subschemas.one_of.as_ref())
    else {
        return;
    };
    let word = |choice: &Schema| match choice {
        Schema::Object(choice) => match choice.enum_values.as_deref() {
            Some([Value::String(word)]) => {
                let comment = choice
                    .metadata
                    .as_ref()
                    .and_then(|metadata| metadata.description.clone());
                Some((word.clone(), comment.unwrap_or_default()))
            }
            _ => None,
        },
        Schema::Bool(_) => None,
    };
    let Some(words) = choices.iter().map(word).collect::<Option<Vec<_>>>() else {
        return;
    };
    let lines = words.iter().map(|(word, comment)| format!("- `{word}`: {comment}"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let description = &mut schema.metadata().description;
    *description = Some(format!("{}\n\n{lines}", description.as_deref().unwrap_or_default()));
    schema.subschemas = None;
    schema.instance_type = Some(InstanceType::String.into());
    schema.enum_values = Some(words.into_iter().map(|(word, _)| word.into()).collect());
}

fn text() -> SchemaObject {
    SchemaObject {
        instance_type: Some(InstanceType::String.into()),
        ..SchemaObject::default()
    }
}

fn forbid_null(schema: &mut Schema) {
    if let Schema::Object(schema) = schema {
        schema.extensions.remove("nullable");
    }
}

/// Adds the routes of the application that shild is a guest in to the finished document; the document then bears the
/// application's name and version.
///
/// # Errors
/// If a schema there and another one here have the same name: one of them would be lost.
pub(crate) fn add_guests(spec: &mut OpenApi, base: &str, guests: &OpenApi) -> Result<(), String> {
    let mut guests = guests.clone();
    hold_apart(spec, &guests)?;
    for operation in guests.paths.values_mut().flat_map(operations) {
        let security = operation.security.get_or_insert_default();
        // A guard can name but one: nobody at all, and whoever is signed in besides.
        if security.contains(&SecurityRequirement::new()) {
            security.push([(SCHEME.to_owned(), Vec::new())].into_iter().collect());
        }
    }
    guests.openapi.clone_from(&spec.openapi);
    spec.info.title.clone_from(&guests.info.title);
    spec.info.version.clone_from(&guests.info.version);
    spec.info.license.clone_from(&guests.info.license);
    let base = base.trim_end_matches('/');
    merge_specs(spec, &base, &guests).expect("the versions are the same, and nothing else is refused");
    Ok(())
}

/// Makes sure that what has the same name in both is the same, as it is where a guest answers with what is shild's.
fn hold_apart(spec: &OpenApi, guests: &OpenApi) -> Result<(), String> {
    let schemas = |spec: &OpenApi| spec.components.clone().unwrap_or_default().schemas;
    let own = schemas(spec);
    for (name, theirs) in schemas(guests) {
        let mut mended = theirs.clone();
        mend(&name, &mut mended);
        if own.get(&name).is_some_and(|own| *own != theirs && *own != mended) {
            return Err(format!(
                "the OpenAPI document has a schema {name} already, which is another than that of the routes to be mounted: give \
                 theirs another name, by #[schemars(rename = \"…\")]"
            ));
        }
    }
    Ok(())
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.patch,
        &mut item.put,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

fn name_token_url(spec: &mut OpenApi, token_path: &str) {
    let schemes = &mut spec.components.get_or_insert_default().security_schemes;
    if let Some(RefOr::Object(scheme)) = schemes.get_mut(SCHEME)
        && let SecuritySchemeData::OAuth2 {
            flows: OAuthFlows::Password {
                token_url, refresh_url, ..
            },
        } = &mut scheme.data
    {
        token_path.clone_into(token_url);
        *refresh_url = Some(token_path.to_owned());
    }
}

fn add_common_errors(generator: &mut OpenApiGenerator, responses: &mut Responses) {
    responses.default = None;
    document_problems(generator, &[Problem::Internal], responses);
}

/// Every error of an OAuth endpoint has the shape of RFC 6749 §5.2, also one that a guard or the framework answers.
fn use_oauth_errors(generator: &mut OpenApiGenerator, responses: &mut Responses) {
    let errors = responses
        .responses
        .iter_mut()
        .filter(|(status, _)| !status.starts_with('2'));
    for (_, response) in errors {
        let RefOr::Object(old) = response else { continue };
        let RefOr::Object(mut new) = document::<OAuthErrorBody>(generator, &old.description, "application/json", &[])
        else {
            continue;
        };
        new.headers.clone_from(&old.headers);
        *response = new.into();
    }
}

/// Query and path parameters are read as text, so that a bad one gets a clear error; what they may be is said here.
fn type_parameter(parameter: &mut Parameter) {
    let ParameterValue::Schema { schema, .. } = &mut parameter.value else {
        return;
    };
    schema.extensions.remove("nullable");
    if let Some(description) = schema.metadata().description.take() {
        parameter.description = Some(description);
    }
    match parameter.name.as_str() {
        "limit" => {
            *schema = SchemaObject {
                instance_type: Some(InstanceType::Integer.into()),
                ..SchemaObject::default()
            };
            schema.number().minimum = Some(1.0);
            schema.number().maximum = Some(200.0);
            schema.metadata().default = Some(50.into());
        }
        "dry_run" | "admins" | "sessions" | "audit" => {
            *schema = SchemaObject {
                instance_type: Some(InstanceType::Boolean.into()),
                ..SchemaObject::default()
            };
            schema.metadata().default = Some(false.into());
        }
        "format" => {
            schema.enum_values = Some(Format::ALL.iter().map(|format| format.as_str().into()).collect());
            schema.metadata().default = Some(Format::default().as_str().into());
        }
        "kind" => schema.enum_values = Some(AuditKind::ALL.iter().map(|kind| kind.as_str().into()).collect()),
        "session_id" | "user_id" => schema.format = Some("uuid".to_owned()),
        _ => {}
    }
    parameter.allow_empty_value = false;
}
