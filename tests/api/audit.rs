//! The audit log: who did what to whom, when, from where; and nothing secret.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shild::audit::AuditKind;

use crate::helpers::*;

const NEW: &str = "parting is sweet sorrow 8";

async fn events(admin: &Caller<'_>, query: &str) -> Vec<Value> {
    let page = admin
        .get(&format!("/audit?limit=200{query}"))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(page["next"], Value::Null);
    page["items"].as_array().unwrap().clone()
}

/// The kinds of the events since the last call, oldest first.
struct Watch {
    seen: usize,
}

impl Watch {
    async fn news(&mut self, admin: &Caller<'_>) -> Vec<Value> {
        let mut all = events(admin, "").await;
        all.reverse();
        let news = all.split_off(self.seen);
        self.seen += news.len();
        news
    }

    /// Checks that exactly this was written: kind, actor, whom it was done to.
    #[track_caller]
    fn check(news: &[Value], kind: &str, actor: &Value, user_id: &Value) {
        let [event] = news else {
            panic!("one event {kind}: {news:?}")
        };
        assert_eq!(
            (&event["kind"], &event["actor"], &event["user_id"]),
            (&json!(kind), actor, user_id),
            "{event}"
        );
    }
}

// H14; issue "Audit log"
#[rocket::async_test]
#[expect(clippy::too_many_lines, reason = "one thing after another, each in a line or two")]
async fn each_thing_that_is_done_is_written_once_with_who_whom_and_whence() {
    let app = App::with(|settings| settings.throttle.max_failures = 3).await;
    let root = app.admin().await;
    let mut watch = Watch { seen: 0 };
    watch.news(&root).await;
    app.advance(1);
    let mut kinds = BTreeSet::from(["signed_in"]);
    let mut expect = async |kind: &'static str, actor: &Value, user_id: &Value| {
        Watch::check(&watch.news(&root).await, kind, actor, user_id);
        kinds.insert(kind);
        app.advance(1);
    };
    let actor = |id: &Value| json!({ "user": id });
    let (admin, anonymous, nobody) = (actor(&me(&root).await.json()["id"]), json!("anonymous"), Value::Null);

    let made = register(&app, "alice", PASSWORD).await.expect(201);
    let id = made.json()["id"].clone();
    let alice_is = actor(&id);
    expect("registered", &alice_is, &id).await;
    let alice = app.signed_in("alice", None).await;
    expect("signed_in", &alice_is, &id).await;
    sign_in(&app, "alice", "wrong").await.expect(400);
    expect("sign_in_failed", &anonymous, &id).await;
    sign_in(&app, "nobody", "wrong").await.expect(400);
    expect("sign_in_failed", &anonymous, &nobody).await;
    change_password(&alice, "wrong", NEW).await.expect(403);
    expect("sign_in_failed", &alice_is, &id).await;

    alice
        .patch("/user/me", &json!({ "username": "alicia" }))
        .send()
        .await
        .expect(200);
    expect("username_changed", &alice_is, &id).await;
    change_password(&alice, PASSWORD, NEW).await.expect(204);
    expect("password_changed", &alice_is, &id).await;
    alice.delete("/user/me/sessions").send().await.expect(204);
    expect("sessions_ended", &alice_is, &id).await;
    alice.post("/logout").send().await.expect(204);
    expect("session_ended", &alice_is, &id).await;

    let again = sign_in(&app, "alicia", NEW).await.expect(200);
    expect("signed_in", &alice_is, &id).await;
    refresh(&app, &again.text_at("refresh_token")).await.expect(200);
    app.advance(60);
    refresh(&app, &again.text_at("refresh_token")).await.expect(400);
    expect("refresh_reused", &anonymous, &id).await;

    let path = user_path(&app, "alicia").await;
    for (change, kind) in [
        (json!({ "scopes": ["user", "other"] }), "scopes_changed"),
        (json!({ "disabled": true }), "disabled"),
        (json!({ "disabled": false }), "enabled"),
        (json!({ "username": "alice" }), "username_changed"),
    ] {
        root.patch(&path, &change).send().await.expect(200);
        expect(kind, &admin, &id).await;
    }
    // Nothing is done, nothing is written.
    root.patch(&path, &json!({ "disabled": false }))
        .send()
        .await
        .expect(200);
    root.patch(&path, &json!({ "disabled": true }))
        .header("If-Match", "\"1\"")
        .send()
        .await
        .expect(412);
    root.delete(&format!("{path}/sessions")).send().await.expect(204);
    expect("sessions_ended", &admin, &id).await;
    let token = start_reset(&root, "alice").await;
    expect("reset_started", &admin, &id).await;
    reset(&app, "shp_x", NEW).await.expect(422);
    expect("reset_failed", &anonymous, &nobody).await;
    reset(&app, &token, PASSWORD).await.expect(204);
    expect("password_reset", &anonymous, &id).await;
    reset(&app, &token, PASSWORD).await.expect(422);
    expect("reset_failed", &anonymous, &id).await;
    root.delete(&path).send().await.expect(204);
    expect("deleted", &admin, &id).await;

    let made = root
        .post("/users")
        .json(&json!({ "username": "bertha" }))
        .send()
        .await
        .expect(201);
    let bertha = made.json()["id"].clone();
    expect("user_created", &admin, &bertha).await;
    let kid = app.shild.public_keys()[0].kid.clone();
    root.post("/keys/rotate").send().await.expect(200);
    expect("keys_rotated", &admin, &nobody).await;
    let root = app.signed_in("root", None).await;
    expect("signed_in", &admin, &admin["user"]).await;
    root.delete(&format!("/keys/{kid}")).send().await.expect(204);

    // The third failure locks.
    for _ in 0..3 {
        sign_in(&app, "bertha", "wrong").await.expect(400);
        app.advance(1);
    }
    let last = events(&root, "").await;
    let of_kind = |kind: &str| last.iter().find(|event| event["kind"] == kind).unwrap();
    let locked = of_kind("locked");
    assert_eq!((&locked["user_id"], &locked["actor"]), (&bertha, &json!("system")));
    assert_eq!(locked["ip"], "192.0.2.1");
    assert_eq!(of_kind("key_retired")["detail"], json!(kid));
    kinds.extend(["locked", "key_retired"]);

    // Moving in and out, and back, have tests of their own.
    let all: BTreeSet<_> = AuditKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let elsewhere = BTreeSet::from(["imported", "exported", "restored"]);
    assert_eq!(all.difference(&kinds).copied().collect::<BTreeSet<_>>(), elsewhere);
}

#[rocket::async_test]
async fn an_event_says_when_from_where_and_in_which_request() {
    let app = App::new().await;
    let root = app.admin().await;
    app.user("alice").await;
    app.advance(1);
    let path = user_path(&app, "alice").await;
    let call = root.patch(&path, &json!({ "scopes": ["a", "user"], "disabled": true }));
    let call = call.from("2001:db8::7").header("X-Request-Id", "req-1");
    call.send().await.expect(200);
    let events = events(&root, "").await;
    let of_request: Vec<_> = events.iter().filter(|event| event["request_id"] == "req-1").collect();
    assert_eq!(of_request.len(), 2, "one for each change");
    for event in of_request {
        assert_eq!((&event["at"], &event["ip"]), (&json!(app.now()), &json!("2001:db8::7")));
    }
    let scopes = events.iter().find(|event| event["kind"] == "scopes_changed").unwrap();
    assert_eq!(scopes["detail"], "user to a user");
}

// H8. A socket that takes both families has IPv4 addresses in IPv6's form, and so may a proxy write them: whoever looks for one
// finds it, and a proxy is known by its own.
#[rocket::async_test]
async fn an_address_of_ipv4_is_written_in_one_way() {
    let app = App::with(|settings| settings.trusted_proxies = vec!["192.0.2.8".parse().unwrap()]).await;
    let root = app.admin().await;
    for (id, peer, client, ip) in [
        ("req-1", "::ffff:192.0.2.7", None, "192.0.2.7"),
        ("req-2", "::ffff:192.0.2.8", Some("::ffff:198.51.100.7"), "198.51.100.7"),
    ] {
        let mut call = root.post("/keys/rotate").from(peer).header("X-Request-Id", id);
        if let Some(client) = client {
            call = call.header("X-Forwarded-For", client);
        }
        call.send().await;
        let events = events(&root, "").await;
        let event = events.iter().find(|event| event["request_id"] == id).unwrap();
        assert_eq!(event["ip"], ip, "{peer}");
    }
}

// H14
#[rocket::async_test]
async fn nothing_secret_is_in_the_audit_log() {
    let app = App::new().await;
    let (root, alice) = (app.admin().await, app.user("alice").await);
    let mut secrets = vec![PASSWORD.to_owned(), NEW.to_owned(), "hunter2".to_owned()];
    for caller in [&root, &alice] {
        secrets.extend([caller.access_token().to_owned(), caller.refresh_token().to_owned()]);
    }
    change_password(&alice, "hunter2", NEW).await.expect(403);
    change_password(&alice, PASSWORD, "hunter2").await.expect(422);
    change_password(&alice, PASSWORD, NEW).await.expect(204);
    let token = start_reset(&root, "alice").await;
    reset(&app, &token, "hunter2").await.expect(422);
    reset(&app, &token, PASSWORD).await.expect(204);
    reset(&app, "shp_hunter2", PASSWORD).await.expect(422);
    secrets.push(token);
    let body = json!({ "username": "bertha", "password": NEW });
    root.post("/users").json(&body).send().await.expect(201);
    let operator = app.bearer(app.shild.operator_token());
    operator
        .delete(&user_path(&app, "bertha").await)
        .send()
        .await
        .expect(204);
    secrets.push(app.shild.operator_token().to_owned());

    let events = events(&root, "").await;
    assert!(events.len() >= 8);
    assert!(events.iter().any(|event| event["actor"] == "operator"));
    let text = Value::Array(events).to_string();
    for secret in secrets
        .iter()
        .map(String::as_str)
        .chain(["$argon2", "shp_", "sho_", "shr_", "v4.public"])
    {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

#[rocket::async_test]
async fn events_are_found_by_user_and_kind_newest_first_in_pages() {
    let app = App::new().await;
    let root = app.admin().await;
    for name in ["alice", "bertha"] {
        register(&app, name, PASSWORD).await.expect(201);
        for _ in 0..3 {
            app.advance(1);
            sign_in(&app, name, PASSWORD).await.expect(200);
        }
    }
    let alice = app.record("alice").await.id;
    let all = events(&root, "").await;
    let ids: Vec<_> = all.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older));
    assert_eq!(events(&root, &format!("&user_id={alice}")).await.len(), 4);
    assert_eq!(events(&root, "&kind=registered").await.len(), 2);
    let both = events(&root, &format!("&kind=signed_in&user_id={alice}")).await;
    assert_eq!(both.len(), 3);
    assert!(
        both.iter()
            .all(|event| event["kind"] == "signed_in" && event["user_id"] == json!(alice))
    );
    assert!(events(&root, "&kind=deleted").await.is_empty());

    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = root
            .get(&format!("/audit?limit=2&kind=signed_in{after}"))
            .send()
            .await
            .expect(200)
            .json();
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(paged, events(&root, "&kind=signed_in").await);

    for query in [
        "kind=SignedIn",
        "kind=",
        "user_id=alice",
        "user_id=",
        "after=x",
        "limit=0",
    ] {
        let answer = root.get(&format!("/audit?{query}")).send().await.expect(400);
        assert_eq!(answer.problem(), "bad-request", "{query}");
    }
}
