//! Every status that the document names is answered by some call here, and no call is answered by a status that the document does
//! not name.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rocket::http::Method;
use serde_json::json;
use shild::config::{PerSourceSettings, Registration, Secret};

use crate::helpers::*;
use crate::matrix::{Operation, able, operations, path_to, with_somebody_left};

/// What no call can bring about: it means that shild itself is broken.
const BUG: u16 = 500;

/// What no call can bring about whose body is there at once; `tests/wire.rs` has those that wait.
const LATE: u16 = 408;

type Answers = BTreeSet<(String, u16)>;

/// What the document names, but for [`BUG`] and [`LATE`].
fn named() -> Answers {
    let document = serde_json::to_value(shild::openapi("/shild")).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let mut named = Answers::new();
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap();
        let statuses = operation["responses"].as_object().unwrap().keys();
        named.extend(statuses.map(|status| (id.to_owned(), status.parse().unwrap())));
    }
    named.retain(|(_, status)| ![BUG, LATE].contains(status));
    named
}

/// What every operation answers, or every one with a body, or with an id in its path.
async fn general(seen: &mut Answers) {
    let app = with_somebody_left().await;
    let nobody = "01890000-0000-7000-8000-000000000000";
    for operation in operations() {
        let mut note = |answer: Answer| seen.insert((operation.id.clone(), answer.status));
        let (caller, path) = able(&app, &operation).await;
        let other = if operation.id == "introspect_token" {
            "user"
        } else {
            "introspect"
        };
        let narrow = app.signed_in(&operation.id, Some(other)).await;
        note(operation.call(&narrow, &path).await);
        note(operation.call(&app.anonymous(), &path).await);
        let call = app.anonymous().call(operation.method, &path);
        note(call.header("Authorization", "Bearer a b").send().await);
        if operation.path.contains('{') {
            note(
                operation
                    .call(
                        &caller,
                        &path_to(&operation, &app, nobody, nobody).replace("k4.pid.", "k4.pid.A"),
                    )
                    .await,
            );
        }
        if operation.body.is_some() {
            for (kind, body) in [
                ("text/plain", "{}".to_owned()),
                ("application/json", "{".to_owned()),
                ("application/json", json!({ "is_admin": true }).to_string()),
                ("application/json", " ".repeat(8 * 1024 + 1)),
            ] {
                note(caller.call(operation.method, &path).body(kind, body).send().await);
            }
        }
        // What was found out about the store is good for a second.
        app.advance(1);
        app.outage.store(true, Ordering::SeqCst);
        note(with_good_body(&app, &operation, &caller, &path).await);
        app.outage.store(false, Ordering::SeqCst);
        note(with_good_body(&app, &operation, &caller, &path).await);
    }
}

/// The example in the document, but for the one that no document can hold: a reset token that is good.
async fn with_good_body(app: &App, operation: &Operation, caller: &Caller<'_>, path: &str) -> Answer {
    if operation.id != "reset_password" {
        return operation.call(caller, path).await;
    }
    let outage = app.outage.swap(false, Ordering::SeqCst);
    let token = start_reset(&app.signed_in("root", None).await, &operation.id).await;
    app.outage.store(outage, Ordering::SeqCst);
    reset(app, &token, "parting is sweet sorrow 8").await
}

/// What follows from names, versions, and who is left.
async fn conflicts(seen: &mut Answers) {
    let app = App::new().await;
    let root = app.admin().await;
    let alice = app.user("alice").await;
    let root_path = user_path(&app, "root").await;
    let alice_path = user_path(&app, "alice").await;
    let taken = json!({ "username": "alice" });
    for (id, call) in [
        ("create_user", root.post("/users").json(&taken)),
        ("update_user", root.patch(&root_path, &taken)),
        ("update_current_user", root.patch("/user/me", &taken)),
        ("delete_user", root.delete(&root_path)),
        ("delete_current_user", root.delete("/user/me")),
    ] {
        seen.insert((id.to_owned(), call.send().await.expect(409).status));
    }
    for (id, method, path) in [
        ("update_user", Method::Patch, &*alice_path),
        ("delete_user", Method::Delete, &alice_path),
        ("update_current_user", Method::Patch, "/user/me"),
        ("delete_current_user", Method::Delete, "/user/me"),
    ] {
        let caller = if id.ends_with("_current_user") { &alice } else { &root };
        let call = caller.call(method, path).header("If-Match", "\"99\"");
        let call = if method == Method::Patch {
            call.json(&json!({}))
        } else {
            call
        };
        seen.insert((id.to_owned(), call.send().await.expect(412).status));
    }
}

/// What follows from forms, and from who a client says that it is.
async fn oauth(seen: &mut Answers) {
    let app = App::new().await;
    let alice = app.user_with("alice", "introspect").await;
    let mut note = |id: &str, answer: Answer| seen.insert((id.to_owned(), answer.status));
    for (id, path) in [
        ("issue_token", "/shild"),
        ("revoke_token", "/revoke"),
        ("introspect_token", "/introspect"),
    ] {
        let long = alice.post(path).raw_form(&" ".repeat(8 * 1024 + 1));
        note(id, long.send().await.expect(413));
    }
    // Good for both: what one does not know, it passes over (T5).
    let form = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", PASSWORD),
        ("token", alice.access_token()),
    ];
    for (id, path) in [("issue_token", "/shild"), ("revoke_token", "/revoke")] {
        let call = || app.anonymous().post(path).form(&form);
        note(id, call().header("Authorization", "Basic !").send().await.expect(401));
        app.outage.store(true, Ordering::SeqCst);
        note(id, call().send().await.expect(503));
        app.outage.store(false, Ordering::SeqCst);
        note(id, call().send().await.expect(200));
    }
}

/// What the settings decide, and a query.
async fn admission(seen: &mut Answers) {
    let token = "a token of sixteen letters or more".replace(' ', "-");
    let app = App::with(|settings| {
        settings.registration = Registration::Closed;
        settings.metrics_token = Some(Secret::new(token.clone()));
    })
    .await;
    let alice = app.user("alice").await;
    let mut note = |id: &str, answer: Answer| seen.insert((id.to_owned(), answer.status));
    note("register", register(&app, "bertha", PASSWORD).await.expect(403));
    let wanting = alice.get("/forward-auth?scope=admin").send().await;
    note("forward_auth", wanting.expect(403));
    for (caller, status) in [
        (app.bearer(&token), 200),
        (app.bearer("a b"), 400),
        (app.anonymous(), 401),
    ] {
        note("metrics", caller.get("/metrics").send().await.expect(status));
    }
}

/// What a list answers to a bad cursor, and who asks too much.
async fn limits(seen: &mut Answers) {
    let app = App::with(|settings| {
        settings.throttle.per_source = PerSourceSettings {
            per_minute: 60,
            burst: 2,
        };
    })
    .await;
    let root = app.admin().await;
    for (id, path) in [
        ("list_users", "/users?limit=0"),
        ("list_audit_events", "/audit?kind=other"),
        ("list_sessions", "/user/me/sessions?after=x"),
    ] {
        seen.insert((id.to_owned(), root.get(path).send().await.expect(400).status));
    }
    let name = json!({ "username": "root2" });
    let answer = root.patch("/user/me", &name).send().await.expect(200);
    seen.insert(("update_current_user".to_owned(), answer.status));
    let answer = root.patch("/user/me", &name).send().await.expect(429);
    seen.insert(("update_current_user".to_owned(), answer.status));
    app.advance(1);
    let change = json!({ "current_password": "wrong", "new_password": "parting is sweet sorrow 8" });
    root.post("/user/me/password").json(&change).send().await.expect(403);
    let answer = root.post("/user/me/password").json(&change).send().await.expect(429);
    seen.insert(("change_password".to_owned(), answer.status));
    let answer = reset(&app, "shp_x", "parting is sweet sorrow 8").await.expect(429);
    seen.insert(("reset_password".to_owned(), answer.status));
    let answer = register(&app, "bertha", PASSWORD).await.expect(429);
    seen.insert(("register".to_owned(), answer.status));
    let answer = sign_in(&app, "root2", PASSWORD).await.expect(429);
    seen.insert(("issue_token".to_owned(), answer.status));
}

// H5
#[rocket::async_test]
async fn every_status_of_the_document_is_answered_and_no_other() {
    let mut seen = Answers::new();
    general(&mut seen).await;
    conflicts(&mut seen).await;
    oauth(&mut seen).await;
    admission(&mut seen).await;
    limits(&mut seen).await;
    let named = named();
    let unseen: Vec<_> = named.difference(&seen).collect();
    let unnamed: Vec<_> = seen.difference(&named).collect();
    assert!(unseen.is_empty(), "named and never answered: {unseen:?}");
    assert!(unnamed.is_empty(), "answered and not named: {unnamed:?}");
}
