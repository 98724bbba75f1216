//! B8: every protected operation of the document × everything that must keep somebody out.
//!
//! Nothing here names a protected route: the operations, their scopes, parameters and bodies come from the document, and the
//! document is held against the routes that are mounted. A new route without a guard fails here until it is listed as public.

use std::collections::BTreeSet;
use std::time::Duration;

use rocket::http::Method;
use serde_json::{Map, Value, json};

use crate::helpers::*;

/// What anybody may call: all other operations must say that they are protected, and be so.
const PUBLIC: [&str; 9] = [
    "authorization_server_metadata",
    "healthz",
    "issue_token",
    "list_keys",
    // For this host, or with a token of its own: tests/metrics.rs.
    "metrics",
    "readyz",
    "register",
    "reset_password",
    "revoke_token",
];

/// What every live token opens, whatever its scopes.
const ANY_SCOPE: &str = "";

/// What is mounted and not in the document: pages for people.
const PAGES: [&str; 18] = [
    // The metadata of an issuer with a path.
    "/.well-known/oauth-authorization-server/<_..>",
    "/",
    "/account/account.js",
    "/account/api.js",
    "/account/arms.js",
    "/account/audit.js",
    "/account/entrance.js",
    "/account/main.js",
    "/account/page.js",
    "/account/shield.svg",
    "/account/style.css",
    "/account/users.js",
    "/docs",
    "/docs/init.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/openapi.json",
    "/problems/<slug>",
];

/// What is mounted for the command line alone and not in the document.
const UNLISTED: &str = "/users/<user_id>/sessions/<session_id>";

/// An operation as the document describes it.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    /// With `{parameters}`.
    pub(crate) path: String,
    /// The scope that it needs, if it is protected.
    pub(crate) scope: Option<String>,
    /// Scopes of which one is enough as well.
    others: Vec<String>,
    /// Content type and an example of its body.
    pub(crate) body: Option<(String, Value)>,
}

impl Operation {
    /// Its path with values in place of the parameters.
    pub(crate) fn path_with(&self, value: impl Fn(&str) -> String) -> String {
        let parts = self.path.split('/').map(|part| {
            let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.map_or_else(|| part.to_owned(), &value)
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Whether this path is one of its.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let (mine, given): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), path.split('/').collect());
        mine.len() == given.len()
            && mine
                .iter()
                .zip(given)
                .all(|(mine, given)| mine.starts_with('{') || *mine == given)
    }

    /// Calls it with a plausible body.
    pub(crate) async fn call(&self, caller: &Caller<'_>, path: &str) -> Answer {
        let call = caller.call(self.method, path);
        match &self.body {
            None => call,
            Some((kind, body)) if kind == "application/json" => call.json(body),
            Some((kind, Value::String(text))) => call.body(kind, text.as_str()),
            Some((_, body)) => {
                let parameters = body.as_object().unwrap().iter();
                let pairs: Vec<_> = parameters
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                    .collect();
                call.form(&pairs)
            }
        }
        .send()
        .await
    }
}

/// All operations of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(shild::openapi("/shild")).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap();
            let scopes: Vec<_> = security
                .iter()
                .map(|requirement| match &requirement["oauth2"].as_array().unwrap()[..] {
                    [] => ANY_SCOPE.to_owned(),
                    [scope] => scope.as_str().unwrap().to_owned(),
                    scopes => panic!("{path} needs {scopes:?}"),
                })
                .collect();
            let content = operation["requestBody"]["content"].as_object();
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_ascii_uppercase().parse().unwrap(),
                path: path.clone(),
                scope: scopes.first().cloned(),
                others: scopes.into_iter().skip(1).collect(),
                body: content
                    .and_then(|all| all.iter().next())
                    .map(|(kind, media)| (kind.clone(), example(&document, &media["schema"]))),
            });
        }
    }
    all
}

/// The example of a schema; else one made from its required members.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return example(document, document.pointer(name.trim_start_matches('#')).unwrap());
    }
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let member = |name: &Value| {
                let name = name.as_str().unwrap();
                (name.to_owned(), example(document, &schema["properties"][name]))
            };
            Value::Object(required.iter().map(member).collect::<Map<_, _>>())
        }
        Some("array") => json!([]),
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(1),
        _ => json!("plausible"),
    }
}

fn protected() -> Vec<Operation> {
    let all: Vec<_> = operations()
        .into_iter()
        .filter(|operation| operation.scope.is_some())
        .collect();
    assert!(all.len() >= 9, "the document names its protected operations");
    all
}

/// A path of the operation whose parameters name what belongs to `owner`.
pub(crate) fn path_to(operation: &Operation, app: &App, user_id: &str, session_id: &str) -> String {
    operation.path_with(|name| match name {
        "user_id" => user_id.to_owned(),
        "session_id" => session_id.to_owned(),
        "kid" => app.shild.public_keys()[0].kid.clone(),
        other => panic!("{}: a value for the new parameter {other} is needed here", operation.id),
    })
}

async fn path_of(operation: &Operation, owner: &Caller<'_>) -> String {
    let signed_in = owner.app.shild.authenticate(owner.access_token()).await.unwrap();
    let (user, session) = (signed_in.user.id.to_string(), signed_in.session.id.to_string());
    path_to(operation, owner.app, &user, &session)
}

/// Who can administer throughout, so that the last one never goes.
pub(crate) async fn with_somebody_left() -> App {
    let app = App::new().await;
    app.admin().await;
    app
}

/// A new user, named like the operation, who may do everything, and the path of the operation with an object of its own.
pub(crate) async fn able<'a>(app: &'a App, operation: &Operation) -> (Caller<'a>, String) {
    let caller = app.user_with(&operation.id, "admin introspect user").await;
    let path = path_of(operation, &caller).await;
    (caller, path)
}

#[track_caller]
fn assert_refused(operation: &Operation, answer: &Answer, status: u16, error: Option<&str>) {
    let id = &operation.id;
    assert_eq!(answer.status, status, "{id}: {answer}");
    let expected = error.map_or_else(
        || "Bearer realm=\"shild\"".to_owned(),
        |error| format!("Bearer realm=\"shild\", error=\"{error}\", "),
    );
    assert!(answer.challenge().starts_with(&expected), "{id}: {answer}");
    assert!(error.is_some() || answer.challenge() == expected, "{id}: {answer}");
}

/// A token that was good for everything, and then `spoil` was done.
async fn spoilt(spoil: impl AsyncFn(&App, &str, &Caller<'_>) -> String) {
    let app = with_somebody_left().await;
    for operation in protected() {
        let (caller, path) = able(&app, &operation).await;
        let token = spoil(&app, &operation.id, &caller).await;
        let answer = operation.call(&app.bearer(&token), &path).await;
        assert_refused(&operation, &answer, 401, Some("invalid_token"));
    }
}

#[test]
fn whatever_is_not_listed_as_public_says_that_it_is_protected() {
    for operation in operations() {
        let public = PUBLIC.contains(&&*operation.id);
        assert_eq!(
            operation.scope.is_none(),
            public,
            "{} {}",
            operation.method,
            operation.path
        );
    }
}

#[rocket::async_test]
async fn every_route_that_is_mounted_is_in_the_document_or_a_page() {
    let app = App::new().await;
    let mut documented: BTreeSet<_> = operations()
        .iter()
        .map(|operation| {
            (
                operation.method.as_str(),
                operation.path.replace('{', "<").replace('}', ">"),
            )
        })
        .collect();
    // For the command line alone; refused below like the rest.
    documented.insert(("DELETE", UNLISTED.to_owned()));
    let mut mounted = BTreeSet::new();
    for route in app.client.rocket().routes() {
        let path = route.uri.path().to_owned();
        if !PAGES.contains(&&*path) {
            mounted.insert((route.method.as_str(), path));
        }
    }
    assert_eq!(mounted, documented);
}

#[rocket::async_test]
async fn what_is_for_the_command_line_alone_is_refused_to_others() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let admin = app.admin().await;
    let session = me_sessions(&admin).await;
    let user = me(&admin).await.text_at("id");
    let path = UNLISTED.replace("<user_id>", &user).replace("<session_id>", &session);
    app.anonymous().delete(&path).send().await.expect(401);
    alice.delete(&path).send().await.expect(403);
    me(&admin).await.expect(200);
    admin.delete(&path).send().await.expect(204);
    me(&admin).await.expect(401);
}

async fn me_sessions(caller: &Caller<'_>) -> String {
    let sessions = caller.get("/user/me/sessions").send().await.expect(200).json();
    sessions["items"][0]["id"].as_str().expect("a session").to_owned()
}

// The control: without this, the refusals below could have any reason.
#[rocket::async_test]
async fn with_a_good_token_nobody_is_kept_out() {
    let app = with_somebody_left().await;
    for operation in protected() {
        let (caller, path) = able(&app, &operation).await;
        let answer = operation.call(&caller, &path).await;
        assert!(!matches!(answer.status, 401 | 403), "{}: {answer}", operation.id);
    }
}

#[rocket::async_test]
async fn each_scope_that_the_document_names_is_enough() {
    let app = with_somebody_left().await;
    for operation in protected() {
        for scope in operation
            .scope
            .iter()
            .chain(&operation.others)
            .filter(|scope| *scope != ANY_SCOPE)
        {
            let name = format!("{}-{scope}", operation.id);
            let path = path_of(&operation, &app.user_with(&name, "admin introspect user").await).await;
            let answer = operation.call(&app.signed_in(&name, Some(scope)).await, &path).await;
            assert!(
                !matches!(answer.status, 401 | 403),
                "{} by {scope}: {answer}",
                operation.id
            );
        }
    }
}

#[rocket::async_test]
async fn nobody_enters_without_a_token() {
    let app = App::new().await;
    for operation in protected() {
        let (_, path) = able(&app, &operation).await;
        let answer = operation.call(&app.anonymous(), &path).await;
        assert_refused(&operation, &answer, 401, None);
    }
}

#[rocket::async_test]
async fn nobody_enters_with_an_expired_token() {
    spoilt(async |app, _, caller| {
        app.advance(15 * 60 + 30);
        caller.access_token().to_owned()
    })
    .await;
}

#[rocket::async_test]
async fn nobody_enters_with_a_revoked_token() {
    spoilt(async |app, _, caller| {
        let form = [("token", caller.access_token())];
        app.anonymous().post("/revoke").form(&form).send().await.expect(200);
        caller.access_token().to_owned()
    })
    .await;
}

#[rocket::async_test]
async fn nobody_enters_with_a_token_of_an_ended_session() {
    spoilt(async |_, _, caller| {
        caller.post("/logout").send().await.expect(204);
        caller.access_token().to_owned()
    })
    .await;
}

#[rocket::async_test]
async fn nobody_enters_with_a_token_of_an_idle_session() {
    spoilt(async |app, _, caller| {
        app.advance(7 * 86_400);
        let now = app.now();
        // Expired long ago, made to last: only the session tells.
        let old = caller.access_token();
        app.clock.set(now.before(Duration::from_secs(7 * 86_400)));
        let token = app
            .forge(old, |claims| claims.exp = now.after(Duration::from_secs(60)))
            .await;
        app.clock.set(now);
        token
    })
    .await;
}

#[rocket::async_test]
async fn nobody_enters_with_a_tampered_token() {
    spoilt(async |_, _, caller| {
        let token = caller.access_token();
        let flipped = if token.as_bytes()[20] == b'A' { "B" } else { "A" };
        format!("{}{flipped}{}", &token[..20], &token[21..])
    })
    .await;
}

#[rocket::async_test]
async fn nobody_enters_with_a_refresh_token() {
    spoilt(async |_, _, caller| caller.refresh_token().to_owned()).await;
}

#[rocket::async_test]
async fn nobody_enters_as_a_deleted_user() {
    spoilt(async |app, name, caller| {
        app.delete(name).await;
        caller.access_token().to_owned()
    })
    .await;
}

#[rocket::async_test]
async fn nobody_enters_as_a_disabled_user() {
    spoilt(async |app, name, caller| {
        app.change(name, |user| user.disabled = true).await;
        caller.access_token().to_owned()
    })
    .await;
}

#[rocket::async_test]
async fn nobody_enters_with_a_key_that_was_retired() {
    spoilt(async |app, _, caller| {
        let kid = app.shild.public_keys()[0].kid.clone();
        caller.delete(&format!("/keys/{kid}")).send().await.expect(204);
        caller.access_token().to_owned()
    })
    .await;
}

/// Everything but the scope of the operation: not in the token, then not in the user any more.
#[rocket::async_test]
async fn nobody_enters_without_the_scope() {
    let app = with_somebody_left().await;
    for operation in protected() {
        let scope = operation.scope.as_deref().unwrap();
        if scope == ANY_SCOPE {
            continue;
        }
        let enough = |given: &&str| *given == scope || operation.others.iter().any(|other| other == given);
        let without: Vec<_> = ["admin", "introspect", "other", "user"]
            .into_iter()
            .filter(|given| !enough(given))
            .collect();
        let without = &without.join(" ");
        let (_, path) = able(&app, &operation).await;
        let name = format!("{}-alice", operation.id);
        let wide = app.user_with(&name, "admin introspect other user").await;
        let narrow = app.signed_in(&name, Some(without)).await;
        let answer = operation.call(&narrow, &path).await;
        assert_refused(&operation, &answer, 403, Some("insufficient_scope"));
        assert!(answer.challenge().ends_with(&format!("scope=\"{scope}\"")), "{answer}");

        let scopes = shild::user::Scopes::parse(without).unwrap();
        app.change(&name, |user| user.scopes = scopes).await;
        let answer = operation.call(&wide, &path).await;
        assert_refused(&operation, &answer, 403, Some("insufficient_scope"));
    }
}

/// Another's object: for an administrator alone where it is named among all of its kind, and not to be found where each has its own,
/// not even by an administrator. No answer says whether there is such an object, and it is left as it is.
#[rocket::async_test]
async fn nobody_reaches_another_users_object() {
    let (app, mut owned) = (with_somebody_left().await, 0);
    let admin = app.signed_in("root", None).await;
    let nobody = "01890000-0000-7000-8000-000000000000";
    for operation in protected().iter().filter(|operation| operation.path.contains('{')) {
        let owner = app.user(&operation.id).await;
        let path = path_of(operation, &owner).await;
        let stranger = app.user(&format!("{}-stranger", operation.id)).await;
        let before = app.record(&operation.id).await;
        let mut enough = operation.scope.iter().chain(&operation.others);
        let may_call = enough.any(|scope| ["user", ANY_SCOPE].contains(&scope.as_str()));
        if may_call {
            for caller in [&stranger, &admin] {
                let answer = operation.call(caller, &path).await.expect(404);
                let of_none = path_to(operation, &app, nobody, nobody);
                let of_none = operation.call(caller, &of_none).await;
                assert_eq!(answer.comparable(), of_none.comparable(), "{}", operation.id);
            }
        } else {
            let answer = operation.call(&stranger, &path).await;
            assert_refused(operation, &answer, 403, Some("insufficient_scope"));
        }
        me(&owner).await.expect(200);
        assert_eq!(app.record(&operation.id).await, before, "{}", operation.id);
        if may_call {
            // The control: whoever owns it reaches it there.
            let answer = operation.call(&owner, &path).await;
            assert!(answer.status < 300, "{}: {answer}", operation.id);
            owned += 1;
        }
    }
    assert!(owned > 0);
}
