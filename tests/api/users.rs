//! Other people's accounts, for administrators.

use rocket::futures::future::join;
use rocket::http::Method;
use serde_json::{Value, json};

use crate::helpers::*;

async fn patch(admin: &Caller<'_>, name: &str, change: Value) -> Answer {
    let path = user_path(admin.app, name).await;
    admin.patch(&path, &change).send().await
}

/// The names on all pages of a list.
async fn names(admin: &Caller<'_>, query: &str) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin
            .get(&format!("/users?limit=2{query}{after}"))
            .send()
            .await
            .expect(200)
            .json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|user| user["username"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => {
                assert_eq!(items.len(), 2, "only the last page is short");
                after = format!("&after={}", next.replace('@', "%40"));
            }
            None => return names,
        }
    }
}

#[rocket::async_test]
async fn users_come_in_pages_by_id_and_with_a_prefix_by_name() {
    let app = App::new().await;
    let root = app.admin().await;
    for name in ["zoe", "alice@b.example", "bob", "alice", "alicia", "alice@a.example"] {
        app.advance(1);
        app.user(name).await;
    }
    let by_id = [
        "root",
        "zoe",
        "alice@b.example",
        "bob",
        "alice",
        "alicia",
        "alice@a.example",
    ];
    assert_eq!(names(&root, "").await, by_id);
    assert_eq!(names(&root, "&username_prefix=").await, by_id);
    let by_name = ["alice", "alice@a.example", "alice@b.example", "alicia"];
    assert_eq!(names(&root, "&username_prefix=ali").await, by_name);
    assert_eq!(names(&root, "&username_prefix=alice%40").await, by_name[1..3]);
    assert!(names(&root, "&username_prefix=nobody").await.is_empty());
    // W11: mapped as names are.
    assert_eq!(names(&root, "&username_prefix=ALI").await, by_name);
    assert_eq!(names(&root, "&username_prefix=Alice%40").await, by_name[1..3]);
    let users = root.get("/users").send().await.expect(200);
    assert_eq!(users.json()["items"].as_array().unwrap().len(), 7);
    assert!(!users.text().contains("argon2") && !users.text().contains("password"));
    let twice = [
        "limit=2&limit=2",
        "limit=2&limit=3",
        "username_prefix=a&username_prefix=b",
    ];
    for query in ["limit=0", "limit=201", "limit=x", "after=x", "limit="]
        .into_iter()
        .chain(twice)
    {
        let answer = root.get(&format!("/users?{query}")).send().await.expect(400);
        assert_eq!(answer.problem(), "bad-request", "{query}");
    }
}

#[rocket::async_test]
async fn an_administrator_makes_users_with_what_they_may_do() {
    let app = App::new().await;
    let root = app.admin().await;
    let body = json!({ "username": "Ops", "password": PASSWORD, "scopes": ["user", "invoices"] });
    let made = root.post("/users").json(&body).send().await.expect(201);
    assert_eq!(made.json()["scopes"], json!(["invoices", "user"]));
    assert_eq!(
        (&*made.text_at("username"), made.header("ETag")),
        ("ops", Some("\"1\""))
    );
    let found = root.get(made.header("Location").unwrap()).send().await.expect(200);
    assert_eq!((found.json(), found.header("ETag")), (made.json(), Some("\"1\"")));
    let ops = app.signed_in("ops", Some("invoices")).await;
    me(&ops).await.expect(403);

    for (body, at) in [
        (json!({}), "/username"),
        (json!({ "username": "a b" }), "/username"),
        (json!({ "username": "x", "password": null }), "/password"),
        (json!({ "username": "x", "password": "short" }), "/password"),
        (json!({ "username": "x", "scopes": null }), "/scopes"),
        (json!({ "username": "x", "scopes": "admin" }), "/scopes"),
        (json!({ "username": "x", "scopes": ["a b"] }), "/scopes/0"),
        (json!({ "username": "x", "disabled": true }), "/disabled"),
        (
            json!({ "username": "x", "password_hash": "$argon2id$" }),
            "/password_hash",
        ),
    ] {
        let answer = root.post("/users").json(&body).send().await.expect(422);
        assert_eq!(answer.fault().0, at, "{body}");
    }
}

#[rocket::async_test]
async fn who_was_made_without_a_password_enters_by_a_reset_only() {
    let app = App::new().await;
    let root = app.admin().await;
    let made = root
        .post("/users")
        .json(&json!({ "username": "alice" }))
        .send()
        .await
        .expect(201);
    assert_eq!(made.json()["scopes"], json!(["user"]));
    let unknown = sign_in(&app, "nobody", PASSWORD).await.expect(400).comparable();
    for password in [PASSWORD, "x"] {
        assert_eq!(sign_in(&app, "alice", password).await.comparable(), unknown);
    }
    let token = start_reset(&root, "alice").await;
    reset(&app, &token, PASSWORD).await.expect(204);
    app.advance(60);
    sign_in(&app, "alice", PASSWORD).await.expect(200);
}

// H11
#[rocket::async_test]
async fn what_is_no_change_of_a_user_is_refused_and_changes_nothing() {
    let app = App::new().await;
    let root = app.admin().await;
    app.user("alice").await;
    for (change, at) in [
        (json!({ "username": null }), "/username"),
        (json!({ "scopes": null }), "/scopes"),
        (json!({ "disabled": null }), "/disabled"),
        (json!({ "disabled": "true" }), "/disabled"),
        (json!({ "scopes": [""] }), "/scopes/0"),
        (json!({ "password": PASSWORD }), "/password"),
        (json!({ "version": 9, "disabled": true }), "/version"),
    ] {
        let answer = patch(&root, "alice", change.clone()).await.expect(422);
        assert_eq!(answer.fault().0, at, "{change}");
    }
    for change in [
        json!({}),
        json!({ "disabled": false, "username": "alice", "scopes": ["user"] }),
    ] {
        let answer = patch(&root, "alice", change).await.expect(200);
        assert_eq!(answer.header("ETag"), Some("\"1\""), "nothing was changed");
    }
}

// RFC 9110 §13.1.1
#[rocket::async_test]
async fn a_change_for_another_version_is_refused() {
    let app = App::new().await;
    let root = app.admin().await;
    app.user("alice").await;
    let path = user_path(&app, "alice").await;
    let tag = root
        .get(&path)
        .send()
        .await
        .expect(200)
        .header("ETag")
        .unwrap()
        .to_owned();
    let change = async |tag: &str| {
        let call = root.patch(&path, &json!({ "disabled": true }));
        call.header("If-Match", tag).send().await
    };
    for stale in ["\"9\"", "W/\"1\"", "\"01\"", "1", ""] {
        assert_eq!(change(stale).await.expect(412).problem(), "stale", "{stale}");
        let call = root.delete(&path).header("If-Match", stale);
        assert_eq!(call.send().await.expect(412).problem(), "stale", "{stale}");
    }
    change(&tag).await.expect(200);
    change(&tag).await.expect(412);
    let call = root.delete(&path).header("If-Match", "\"7\", \"2\"");
    call.send().await.expect(204);
    root.delete(&path).header("If-Match", "*").send().await.expect(404);
}

// T19, T6
#[rocket::async_test]
async fn a_disabled_user_is_out_at_once_and_stays_out_of_its_old_sessions() {
    let app = App::new().await;
    let (root, alice) = (app.admin().await, app.user("alice").await);
    let wrong = sign_in(&app, "alice", "wrong").await.comparable();
    patch(&root, "alice", json!({ "disabled": true })).await.expect(200);
    me(&alice).await.expect(401);
    refresh(&app, alice.refresh_token()).await.expect(400);
    assert_eq!(sign_in(&app, "alice", PASSWORD).await.comparable(), wrong);

    patch(&root, "alice", json!({ "disabled": false })).await.expect(200);
    me(&alice).await.expect(401);
    refresh(&app, alice.refresh_token()).await.expect(400);
    me(&app.signed_in("alice", None).await).await.expect(200);
}

// B8
#[rocket::async_test]
async fn a_change_of_scopes_bites_on_the_next_request_and_tokens_never_gain() {
    let app = App::new().await;
    let root = app.admin().await;
    let helper = app.user_with("helper", "admin user").await;
    helper.get("/users").send().await.expect(200);
    patch(&root, "helper", json!({ "scopes": ["user"] })).await.expect(200);
    helper.get("/users").send().await.expect(403);
    me(&helper).await.expect(200);
    let narrow = app.signed_in("helper", None).await;
    patch(&root, "helper", json!({ "scopes": ["admin", "user"] }))
        .await
        .expect(200);
    helper.get("/users").send().await.expect(200);
    // What the session was opened with is the most that it ever has.
    narrow.get("/users").send().await.expect(403);
    let next = refresh(&app, narrow.refresh_token()).await.expect(200);
    assert_eq!(next.text_at("scope"), "user");
    patch(&root, "helper", json!({ "scopes": [] })).await.expect(200);
    me(&helper).await.expect(403);
}

#[rocket::async_test]
async fn a_new_name_given_by_an_administrator_holds_at_once() {
    let app = App::new().await;
    let (root, alice) = (app.admin().await, app.user("alice").await);
    app.user("bertha").await;
    let answer = patch(&root, "alice", json!({ "username": "Bertha" })).await.expect(409);
    assert_eq!(
        (answer.problem(), answer.fault().1),
        ("username-taken".into(), "taken".into())
    );
    patch(&root, "alice", json!({ "username": "alicia" })).await.expect(200);
    assert_eq!(me(&alice).await.expect(200).text_at("username"), "alicia");
    patch(&root, "bertha", json!({ "username": "alice" })).await.expect(200);
    assert_eq!(me(&alice).await.expect(200).text_at("username"), "alicia");
}

// P4
#[rocket::async_test]
async fn a_deleted_user_is_gone_and_its_name_leads_to_nobody_else() {
    let app = App::new().await;
    let (root, alice) = (app.admin().await, app.user("alice").await);
    let path = user_path(&app, "alice").await;
    root.delete(&path).send().await.expect(204);
    me(&alice).await.expect(401);
    refresh(&app, alice.refresh_token()).await.expect(400);
    sign_in(&app, "alice", PASSWORD).await.expect(400);
    let gone = json!({});
    for call in [root.get(&path), root.delete(&path), root.patch(&path, &gone)] {
        assert_eq!(call.send().await.expect(404).problem(), "not-found");
    }
    register(&app, "alice", PASSWORD).await.expect(201);
    me(&alice).await.expect(401);
    assert_ne!(user_path(&app, "alice").await, path);
}

#[rocket::async_test]
async fn the_last_enabled_administrator_stays_one() {
    let app = App::new().await;
    let root = app.admin().await;
    let other = app.user_with("other", "admin").await;
    patch(&root, "other", json!({ "disabled": true })).await.expect(200);
    let path = user_path(&app, "root").await;
    for change in [
        json!({ "scopes": ["user"] }),
        json!({ "disabled": true }),
        json!({ "scopes": [] }),
    ] {
        let answer = root.patch(&path, &change).send().await.expect(409);
        assert_eq!(answer.problem(), "last-admin", "{change}");
    }
    assert_eq!(root.delete(&path).send().await.expect(409).problem(), "last-admin");
    assert_eq!(root.delete("/user/me").send().await.expect(409).problem(), "last-admin");
    let user = root.get(&path).send().await.expect(200);
    assert_eq!(user.header("ETag"), Some("\"1\""), "nothing was changed");

    // With somebody else left it may go; then the other is the last.
    patch(&root, "other", json!({ "disabled": false })).await.expect(200);
    other.get("/users").send().await.expect(401);
    let other = app.signed_in("other", None).await;
    root.delete("/user/me").send().await.expect(204);
    let answer = patch(&other, "other", json!({ "disabled": true })).await.expect(409);
    assert_eq!(answer.problem(), "last-admin");
}

// T19
#[rocket::async_test]
async fn an_administrator_sees_and_ends_a_users_sessions() {
    let app = App::new().await;
    let (root, here) = (app.admin().await, app.user("alice").await);
    let there = app.signed_in("alice", Some("user")).await;
    let path = format!("{}/sessions", user_path(&app, "alice").await);
    let list = root.get(&path).send().await.expect(200).json();
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), &list["next"]), (2, &Value::Null));
    assert!(
        items
            .iter()
            .all(|session| session["current"] == false && session["ip"] == "192.0.2.1")
    );
    let page = root.get(&format!("{path}?limit=1")).send().await.expect(200).json();
    let rest = root.get(&format!("{path}?limit=1&after={}", page["next"].as_str().unwrap()));
    assert_eq!(rest.send().await.expect(200).json()["items"][0], items[1]);

    root.delete(&path).send().await.expect(204);
    for caller in [&here, &there] {
        me(caller).await.expect(401);
        refresh(&app, caller.refresh_token()).await.expect(400);
    }
    assert_eq!(root.get(&path).send().await.expect(200).json()["items"], json!([]));
    me(&root).await.expect(200);
}

/// Whoever is no administrator gets nothing of an administrator's, however it asks.
#[rocket::async_test]
async fn nobody_makes_itself_an_administrator() {
    let app = App::new().await;
    app.admin().await;
    let alice = app.user("alice").await;
    let path = user_path(&app, "alice").await;
    let grant = json!({ "scopes": ["admin", "user"] });

    // By members of bodies.
    let body = json!({ "username": "bertha", "password": PASSWORD, "scopes": ["admin"] });
    app.anonymous().post("/register").json(&body).send().await.expect(422);
    alice.patch("/user/me", &grant).send().await.expect(422);
    // By a scope that is not the user's, in other words.
    for scope in ["admin", "user admin", "ADMIN"] {
        let form = [
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", PASSWORD),
            ("scope", scope),
        ];
        assert_eq!(
            ask_token(&app, &form).await.expect(400).oauth_error(),
            "invalid_scope",
            "{scope}"
        );
    }
    // By other ways to the same routes. What a wrong body would be told comes after who asks.
    for body in [
        json!({}),
        grant.clone(),
        json!({ "nonsense": 1 }),
        json!({ "username": "root" }),
    ] {
        for path in [
            &*path,
            &path.replace("/users", "//users"),
            &format!("{path}/"),
            "/users/me",
            "/users/x",
        ] {
            let answer = alice.patch(path, &body).send().await;
            assert!(matches!(answer.status, 403 | 404), "{path}: {answer}");
            assert_eq!(alice.get(path).send().await.status, answer.status, "{path}");
        }
    }
    for path in [
        "/Users",
        "/USERS",
        "/users/",
        "/%75sers",
        "/user/me/../../users",
        "/users?scope=admin",
        "/users;x",
    ] {
        let answer = alice.get(path).send().await;
        assert!(matches!(answer.status, 400 | 403 | 404), "{path}: {answer}");
    }
    // By another method than that of the request.
    for (name, value) in [
        ("X-HTTP-Method-Override", "PATCH"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "PUT"),
    ] {
        let answer = alice.post(&path).header(name, value).json(&grant).send().await;
        assert!(matches!(answer.status, 403..=405), "{answer}");
    }
    let call = alice.call(Method::Post, &path).raw_form("_method=DELETE");
    assert_eq!(call.send().await.status, 405);
    let call = alice
        .call(Method::Post, "/user/me")
        .raw_form("_method=PATCH&scopes=admin");
    assert_eq!(call.send().await.status, 405);

    let user = me(&alice).await.expect(200);
    assert_eq!(
        (user.header("ETag"), &user.json()["scopes"]),
        (Some("\"1\""), &json!(["user"]))
    );
    assert_eq!(names(&app.signed_in("root", None).await, "").await.len(), 2);
}

/// Whether somebody exists is not told to those who may not know: by no status, no body, no header.
#[rocket::async_test]
async fn who_exists_is_told_to_administrators_only() {
    let app = App::new().await;
    app.admin().await;
    let alice = app.user("alice").await;
    let there = user_path(&app, "root").await;
    let not_there = "/users/01890000-0000-7000-8000-000000000000";
    for method in [Method::Get, Method::Delete, Method::Patch] {
        for tail in [
            "",
            "/sessions",
            "/password-reset",
            "/sessions/01890000-0000-7000-8000-000000000000",
        ] {
            for caller in [&alice, &app.anonymous()] {
                let ask = async |path: &str| {
                    let call = caller.call(method, &format!("{path}{tail}")).json(&json!({}));
                    call.header("If-Match", "\"1\"").send().await.comparable()
                };
                let (one, other) = join(ask(&there), ask(not_there)).await;
                assert_eq!(one, other, "{method} {tail}");
                assert!(matches!(one.status, 401 | 403 | 405), "{one}");
            }
        }
    }
}

/// What the command line on the host has opens administration and nothing else.
#[rocket::async_test]
async fn the_operators_token_is_nobodys_account() {
    let app = App::new().await;
    app.user("alice").await;
    let operator = app.bearer(app.shild.operator_token());
    operator.get("/users").send().await.expect(200);
    for operation in crate::matrix::operations() {
        if matches!(operation.scope.as_deref(), Some("user" | "introspect")) {
            let path = operation.path_with(|_| "01890000-0000-7000-8000-000000000000".to_owned());
            let answer = operation.call(&operator, &path).await;
            assert_eq!(answer.status, 401, "{}: {answer}", operation.id);
        }
    }
    // It is neither a refresh token nor to be revoked, and not another one by its case or length.
    refresh(&app, app.shild.operator_token()).await.expect(400);
    let form = [("token", app.shild.operator_token())];
    app.anonymous().post("/revoke").form(&form).send().await.expect(200);
    operator.get("/users").send().await.expect(200);
    let token = app.shild.operator_token();
    for other in [
        &token[..token.len() - 1],
        &token.to_uppercase(),
        &format!("{token}A"),
        "sho_",
    ] {
        app.bearer(other).get("/users").send().await.expect(401);
    }
    let token = token.to_owned();
    let next = app.restart(|_| {}).await;
    assert_ne!(next.shild.operator_token(), token);
}
