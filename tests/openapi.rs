//! The OpenAPI document: as it was last looked at, and what always holds of it.
//!
//! A change of the API shows in review as a change of `tests/openapi.json`; to accept one, run this test with
//! `UPDATE_SNAPSHOT=1` in the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// Every operation of the contract, by method and path.
const CONTRACT: [(&str, &str, &str); 33] = [
    ("register", "post", "/register"),
    ("issue_token", "post", "/shild"),
    ("read_current_user", "get", "/user/me"),
    ("update_current_user", "patch", "/user/me"),
    ("change_password", "post", "/user/me/password"),
    ("delete_current_user", "delete", "/user/me"),
    ("list_sessions", "get", "/user/me/sessions"),
    ("end_session", "delete", "/user/me/sessions/{session_id}"),
    ("end_other_sessions", "delete", "/user/me/sessions"),
    ("logout", "post", "/logout"),
    ("reset_password", "post", "/password-reset"),
    ("revoke_token", "post", "/revoke"),
    ("introspect_token", "post", "/introspect"),
    (
        "authorization_server_metadata",
        "get",
        "/.well-known/oauth-authorization-server",
    ),
    ("list_keys", "get", "/keys"),
    ("list_users", "get", "/users"),
    ("create_user", "post", "/users"),
    ("read_user", "get", "/users/{user_id}"),
    ("update_user", "patch", "/users/{user_id}"),
    ("delete_user", "delete", "/users/{user_id}"),
    ("start_password_reset", "post", "/users/{user_id}/password-reset"),
    ("list_user_sessions", "get", "/users/{user_id}/sessions"),
    ("end_user_sessions", "delete", "/users/{user_id}/sessions"),
    ("list_audit_events", "get", "/audit"),
    ("rotate_keys", "post", "/keys/rotate"),
    ("retire_key", "delete", "/keys/{kid}"),
    ("export_data", "get", "/export"),
    // Beyond the contract: what `shild import` and `shild verify` need of a running server.
    ("import_data", "post", "/import"),
    ("verify_store", "get", "/verify"),
    ("healthz", "get", "/healthz"),
    ("readyz", "get", "/readyz"),
    ("metrics", "get", "/metrics"),
    ("forward_auth", "get", "/forward-auth"),
];

fn document() -> Value {
    serde_json::to_value(shild::openapi("/shild")).unwrap()
}

/// Method, path and description of each operation.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

fn schema_of<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => document
            .pointer(name.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{name} is not there")),
        None => schema,
    }
}

#[test]
fn the_document_is_the_one_that_was_last_looked_at() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((n, (kept, now))) = kept.lines().zip(now.lines()).enumerate().find(|(_, (a, b))| a != b) {
        panic!(
            "line {} was {kept} and is {now}; UPDATE_SNAPSHOT=1 accepts the new document",
            n + 1
        );
    }
    assert!(
        kept == now,
        "the document has another length; UPDATE_SNAPSHOT=1 accepts it"
    );
}

#[test]
fn operation_ids_are_unique_and_those_of_the_contract() {
    let contract: BTreeMap<_, _> = CONTRACT
        .iter()
        .map(|(id, method, path)| ((*method, *path), *id))
        .collect();
    let document = document();
    let mut seen = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"]
            .as_str()
            .unwrap_or_else(|| panic!("{method} {path} has no operationId"));
        assert_eq!(contract.get(&(method, path)), Some(&id), "{method} {path}");
        assert!(seen.insert(id.to_owned()), "{id} comes twice");
    }
}

#[test]
fn every_operation_says_what_it_is_and_what_can_go_wrong() {
    let document = document();
    let tags: Vec<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(
            operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{name}"
        );
        let own = operation["tags"].as_array().unwrap();
        assert!(own.len() == 1 && tags.contains(&&own[0]), "{name}");

        let responses = operation["responses"].as_object().unwrap();
        assert!(!responses.contains_key("default"), "{name}");
        assert_eq!(
            responses.keys().filter(|status| status.starts_with('2')).count(),
            1,
            "{name}"
        );
        assert!(responses.keys().any(|status| status.starts_with(['4', '5'])), "{name}");
        for (status, response) in responses {
            assert!(
                response["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{name} {status}"
            );
            let headers = &response["headers"];
            let needed = match status.as_str() {
                "401" => Some("WWW-Authenticate"),
                "429" | "503" => Some("Retry-After"),
                "201" if path == "/register" => Some("Location"),
                _ => None,
            };
            assert!(
                needed.is_none_or(|header| headers[header].is_object()),
                "{name} {status}"
            );
        }
    }
}

#[test]
fn protected_operations_name_their_scope_and_their_refusals() {
    let document = document();
    let scheme = &document["components"]["securitySchemes"]["oauth2"];
    assert_eq!(scheme["type"], "oauth2");
    let known = scheme["flows"]["password"]["scopes"].as_object().unwrap();
    for (method, path, operation) in operations(&document) {
        for requirement in operation["security"].as_array().unwrap() {
            let scopes = requirement["oauth2"].as_array().unwrap();
            // A proxy says itself which scope is needed.
            assert!(!scopes.is_empty() || path == "/forward-auth", "{method} {path}");
            assert!(
                scopes.iter().all(|scope| known.contains_key(scope.as_str().unwrap())),
                "{method} {path}"
            );
            for status in ["400", "401", "403", "500", "503"] {
                assert!(operation["responses"][status].is_object(), "{method} {path}: {status}");
            }
        }
    }
}

#[test]
fn errors_are_problems_and_those_of_the_oauth_endpoints_are_oauth_errors() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let oauth = ["/shild", "/revoke", "/introspect"].contains(&path);
        let (kind, name) = if oauth {
            ("application/json", "#/components/schemas/OAuthError")
        } else {
            ("application/problem+json", "#/components/schemas/Problem")
        };
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with('2')) {
            assert_eq!(
                response["content"][kind]["schema"]["$ref"], name,
                "{method} {path} {status}"
            );
            assert_eq!(
                response["content"].as_object().unwrap().len(),
                1,
                "{method} {path} {status}"
            );
        }
    }
}

// Unknown members are refused, and the document says so; unknown parameters of a form are ignored (T5).
#[test]
fn bodies_are_json_objects_without_unknown_members_or_urlencoded_forms_or_lines() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let Some(content) = operation["requestBody"]["content"].as_object() else {
            continue;
        };
        for (kind, media) in content {
            let schema = schema_of(&document, &media["schema"]);
            // A file may be empty.
            let required = operation["requestBody"]["required"] == true;
            assert_eq!(required, kind != "application/x-ndjson", "{method} {path}");
            match kind.as_str() {
                "application/json" => {
                    assert_eq!(schema["additionalProperties"], false, "{method} {path}");
                    assert!(schema["example"].is_object(), "{method} {path} has no example");
                }
                "application/x-www-form-urlencoded" => {
                    assert_eq!(schema["type"], "object", "{method} {path}");
                    assert!(schema["example"].is_object(), "{method} {path} has no example");
                }
                "application/x-ndjson" => assert!(schema["example"].is_string(), "{method} {path} has no example"),
                other => panic!("{method} {path} reads {other}"),
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        schema_of(document, value);
        match value {
            Value::Object(members) => members.values().for_each(|member| walk(document, member)),
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

// OpenAPI 3.0.3 §4.4 names the formats; `uuid` and `password` are known to every generator that was tried.
#[test]
fn schemas_say_nothing_that_generators_stumble_over() {
    fn walk(schema: &Value) {
        if let Some(format) = schema["format"].as_str() {
            let known = ["int32", "int64", "date-time", "password", "uuid"];
            assert!(known.contains(&format), "{format}");
        }
        if let Some(members) = schema.as_object() {
            assert!(
                members.get("default").is_none_or(|default| !default.is_null()),
                "{schema}"
            );
        }
        match schema {
            Value::Object(members) => members.values().for_each(walk),
            Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    let mut document = document();
    // What an example says is not a schema.
    for schema in document["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        schema.as_object_mut().unwrap().remove("example");
    }
    walk(&document["components"]["schemas"]);
    for (_, _, operation) in operations(&document) {
        walk(&operation["parameters"]);
    }
}

// A member that may be missing and one that may be `null` are two things to a generated client.
#[test]
fn members_are_missing_or_null_as_they_are_in_answers() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for name in ["Session", "AuditEvent", "Key"] {
        let members = schemas[name]["properties"].as_object().unwrap().len();
        assert_eq!(schemas[name]["required"].as_array().unwrap().len(), members, "{name}");
    }
    for name in ["Introspection", "Problem", "TokenRequest", "NamedToken", "Refusal"] {
        let members = schemas[name]["properties"].as_object().unwrap();
        assert!(members.values().all(|member| member["nullable"].is_null()), "{name}");
    }
    assert_eq!(schemas["Introspection"]["required"], serde_json::json!(["active"]));
}

// No schema that leaves the program has a password or a hash in it.
#[test]
fn no_answer_has_a_password_in_its_schema() {
    let document = document();
    for name in ["User", "Session", "Introspection"] {
        let properties = document["components"]["schemas"][name]["properties"]
            .as_object()
            .unwrap();
        let secret = properties
            .keys()
            .find(|key| key.contains("password") || key.contains("hash"));
        assert_eq!(secret, None, "{name}");
    }
}
