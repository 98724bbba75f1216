//! The user's own account: its name, its password, and the way back in when the password is lost.

use std::time::Duration;

use serde_json::json;
use shild::config::PerSourceSettings;

use crate::helpers::*;

const NEW: &str = "parting is sweet sorrow 8";
const DAY: u64 = 86_400;

#[rocket::async_test]
async fn a_new_name_holds_at_once_frees_the_old_one_and_leaves_tokens_alone() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let answer = alice.patch("/user/me", &json!({ "username": "ALICIA" })).send().await;
    let answer = answer.expect(200);
    assert_eq!(
        (&*answer.text_at("username"), answer.header("ETag")),
        ("alicia", Some("\"2\""))
    );
    assert_eq!(me(&alice).await.expect(200).json(), answer.json());
    refresh(&app, alice.refresh_token()).await.expect(200);

    sign_in(&app, "alice", PASSWORD).await.expect(400);
    sign_in(&app, "alicia", PASSWORD).await.expect(200);
    register(&app, "alice", PASSWORD).await.expect(201);
    // Somebody else's, or one that looks like it.
    for name in ["alice", "аlice"] {
        let answer = alice.patch("/user/me", &json!({ "username": name })).send().await;
        assert!(matches!(answer.status, 409 | 422), "{answer}");
        assert_eq!(answer.fault().0, "/username");
    }
    assert_eq!(me(&alice).await.text_at("username"), "alicia");
}

// H11
#[rocket::async_test]
async fn what_is_no_change_of_ones_own_account_is_refused_and_changes_nothing() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    for (body, at) in [
        (json!({ "username": null }), "/username"),
        (json!({ "username": 7 }), "/username"),
        (json!({ "username": "" }), "/username"),
        (json!({ "username": "al ice" }), "/username"),
        (json!({ "scopes": ["admin"] }), "/scopes"),
        (json!({ "disabled": false }), "/disabled"),
        (json!({ "id": "01890000-0000-7000-8000-000000000000" }), "/id"),
        (json!({ "username": "alicia", "Scopes": ["admin"] }), "/Scopes"),
        (json!([]), ""),
    ] {
        let answer = alice.patch("/user/me", &body).send().await.expect(422);
        assert_eq!(answer.fault().0, at, "{body}");
    }
    let answer = alice.patch("/user/me", &json!({})).send().await.expect(200);
    assert_eq!(answer.header("ETag"), Some("\"1\""), "nothing was changed");
    let answer = alice.patch("/user/me", &json!({ "username": "Alice" })).send().await;
    assert_eq!(
        answer.expect(200).header("ETag"),
        Some("\"1\""),
        "it is the name it had"
    );
}

// RFC 9110 §13.1.1
#[rocket::async_test]
async fn a_change_for_another_version_is_refused() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let rename = async |tag: &str, name: &str| {
        let call = alice.patch("/user/me", &json!({ "username": name }));
        call.header("If-Match", tag).send().await
    };
    rename("\"1\"", "alice2").await.expect(200);
    for stale in ["\"1\"", "W/\"2\"", "2", "\"02\"", "\"+2\"", "\"1\", \"3\"", ""] {
        let answer = rename(stale, "alice3").await.expect(412);
        assert_eq!(answer.problem(), "stale", "{stale}");
        let call = alice.delete("/user/me").header("If-Match", stale);
        assert_eq!(call.send().await.expect(412).problem(), "stale", "{stale}");
    }
    assert_eq!(me(&alice).await.text_at("username"), "alice2");
    rename("\"1\", \"2\"", "alice3").await.expect(200);
    rename("*", "alice4").await.expect(200);
    let call = alice.patch("/user/me", &json!({ "username": "alice5" }));
    let call = call.header("If-Match", "\"1\"").header("If-Match", "\"4\"");
    call.send().await.expect(200);
    let call = alice.delete("/user/me").header("If-Match", "\"5\"");
    call.send().await.expect(204);
}

// W10, T19
#[rocket::async_test]
async fn a_change_of_password_ends_the_other_sessions_and_not_this_one() {
    let app = App::new().await;
    let (here, there) = (app.user("alice").await, app.signed_in("alice", None).await);
    change_password(&here, PASSWORD, NEW).await.expect(204);
    me(&there).await.expect(401);
    refresh(&app, there.refresh_token()).await.expect(400);
    me(&here).await.expect(200);
    refresh(&app, here.refresh_token()).await.expect(200);
    sign_in(&app, "alice", PASSWORD).await.expect(400);
    sign_in(&app, "alice", NEW).await.expect(200);

    // Neither comes back by the next one.
    change_password(&here, NEW, PASSWORD).await.expect(204);
    me(&there).await.expect(401);
    refresh(&app, there.refresh_token()).await.expect(400);
    me(&here).await.expect(200);
}

// W10, W5, W4
#[rocket::async_test]
async fn a_change_of_password_that_is_refused_says_why_and_leaves_the_old_one() {
    let app = App::new().await;
    let (here, there) = (app.user("alice").await, app.signed_in("alice", None).await);
    let answer = change_password(&here, "wrong", NEW).await.expect(403);
    assert_eq!(answer.problem(), "wrong-password");
    assert_eq!(answer.fault(), ("/current_password".into(), "wrong".into()));
    assert_eq!(answer.challenge(), "");
    let long = "é".repeat(129);
    for (new, code) in [
        ("short", "too_short"),
        (&*long, "too_long"),
        ("password", "too_weak"),
        ("alicealice", "too_weak"),
        ("parting\u{7}is sweet sorrow", "invalid"),
    ] {
        let answer = change_password(&here, PASSWORD, new).await.expect(422);
        assert_eq!(answer.fault(), ("/new_password".into(), code.into()), "{new}");
    }
    let body = json!({ "current_password": PASSWORD });
    let answer = here.post("/user/me/password").json(&body).send().await.expect(422);
    assert_eq!(answer.fault(), ("/new_password".into(), "missing".into()));
    me(&there).await.expect(200);
    sign_in(&app, "alice", PASSWORD).await.expect(200);
}

// W10, T13, D4
#[rocket::async_test]
async fn a_wrong_current_password_counts_like_a_failed_sign_in() {
    let app = App::with(|settings| settings.throttle.max_failures = 10).await;
    let alice = app.user("alice").await;
    for _ in 0..7 {
        change_password(&alice, "wrong", NEW).await.expect(403);
    }
    // Held back: the right one is refused here and at the sign-in, and both say what they say of a wrong one.
    let right = change_password(&alice, PASSWORD, NEW).await.expect(403);
    let wrong = change_password(&alice, "wrong", NEW).await.expect(403);
    assert_eq!(right.comparable(), wrong.comparable());
    sign_in(&app, "alice", PASSWORD).await.expect(400);
    app.advance(4);
    change_password(&alice, PASSWORD, NEW).await.expect(204);

    for _ in 0..5 {
        change_password(&alice, "wrong", PASSWORD).await.expect(403);
        sign_in(&app, "alice", "wrong").await.expect(400);
    }
    app.advance(600);
    let answer = change_password(&alice, NEW, PASSWORD).await.expect(403);
    assert_eq!(answer.problem(), "wrong-password", "locked");
    sign_in(&app, "alice", NEW).await.expect(400);
}

// W9
#[rocket::async_test]
async fn after_a_hundred_failures_the_right_password_is_refused_and_a_success_before_begins_anew() {
    let app = App::new().await;
    app.user("alice").await;
    let fail = async |times: usize| {
        for _ in 0..times {
            sign_in(&app, "alice", "wrong").await.expect(400);
        }
        app.advance(DAY);
    };
    fail(99).await;
    sign_in(&app, "alice", PASSWORD).await.expect(200);
    fail(99).await;
    sign_in(&app, "alice", PASSWORD).await.expect(200);
    fail(100).await;
    let right = sign_in(&app, "alice", PASSWORD).await.expect(400);
    let unknown = sign_in(&app, "nobody", PASSWORD).await.expect(400);
    assert_eq!(right.comparable(), unknown.comparable());
}

// D4
#[rocket::async_test]
async fn a_reset_sets_the_password_once_and_ends_the_lock() {
    let app = App::with(|settings| settings.throttle.max_failures = 3).await;
    app.admin().await;
    app.user("alice").await;
    for _ in 0..3 {
        sign_in(&app, "alice", "wrong").await.expect(400);
    }
    app.advance(DAY);
    sign_in(&app, "alice", PASSWORD).await.expect(400);
    let token = start_reset(&app.signed_in("root", None).await, "alice").await;
    reset(&app, &token, NEW).await.expect(204);
    sign_in(&app, "alice", PASSWORD).await.expect(400);
    sign_in(&app, "alice", NEW).await.expect(200);
    reset(&app, &token, PASSWORD).await.expect(422);
    sign_in(&app, "alice", NEW).await.expect(200);
}

// T19
#[rocket::async_test]
async fn a_reset_ends_sessions_that_are_alive() {
    let app = App::new().await;
    let (root, here) = (app.admin().await, app.user("alice").await);
    let there = app.signed_in("alice", None).await;
    let token = start_reset(&root, "alice").await;
    me(&here).await.expect(200);
    reset(&app, &token, NEW).await.expect(204);
    for caller in [&here, &there] {
        me(caller).await.expect(401);
        refresh(&app, caller.refresh_token()).await.expect(400);
    }
}

#[rocket::async_test]
async fn a_reset_token_is_good_for_a_day() {
    let app = App::new().await;
    app.admin().await;
    app.user("alice").await;
    let path = format!("{}/password-reset", user_path(&app, "alice").await);
    for (passed, status) in [(DAY - 1, 204), (DAY, 422), (DAY + 1, 422)] {
        let root = app.signed_in("root", None).await;
        let started = root.post(&path).send().await.expect(201).json();
        let expires_at = app.now().after(Duration::from_secs(DAY));
        assert_eq!(started["expires_at"], json!(expires_at));
        app.advance(passed);
        let token = started["reset_token"].as_str().unwrap();
        reset(&app, token, NEW).await.expect(status);
    }
}

#[rocket::async_test]
async fn whatever_is_wrong_with_a_reset_token_is_said_in_one_way() {
    let app = App::new().await;
    let root = app.admin().await;
    for name in ["alice", "bertha", "chris", "dora", "emil"] {
        app.user(name).await;
    }
    let used = start_reset(&root, "alice").await;
    reset(&app, &used, NEW).await.expect(204);
    let replaced = start_reset(&root, "bertha").await;
    let good = start_reset(&root, "bertha").await;
    let of_the_deleted = start_reset(&root, "chris").await;
    app.delete("chris").await;
    // Whoever changes the password has it: nobody else is to set it any more.
    let overtaken = start_reset(&root, "emil").await;
    change_password(&app.signed_in("emil", None).await, PASSWORD, NEW)
        .await
        .expect(204);
    let expired = start_reset(&root, "dora").await;
    let mut altered = expired.clone();
    altered.replace_range(30..31, if altered.as_bytes()[30] == b'A' { "B" } else { "A" });

    let void = reset(&app, "nonsense", NEW).await.expect(422);
    assert_eq!(void.fault(), ("/reset_token".into(), "invalid".into()));
    let void = void.comparable();
    let upper = expired.to_uppercase();
    for token in [
        &*used,
        &replaced,
        &of_the_deleted,
        &overtaken,
        &altered,
        &upper,
        "",
        root.access_token(),
        root.refresh_token(),
    ] {
        assert_eq!(reset(&app, token, NEW).await.comparable(), void, "{token}");
    }
    app.advance(DAY);
    for token in [&expired, &good] {
        assert_eq!(reset(&app, token, NEW).await.comparable(), void);
    }
    for (name, password) in [("alice", NEW), ("bertha", PASSWORD), ("dora", PASSWORD), ("emil", NEW)] {
        sign_in(&app, name, password).await.expect(200);
    }
}

// W5
#[rocket::async_test]
async fn a_refused_password_does_not_use_the_token_up() {
    let app = App::new().await;
    let root = app.admin().await;
    app.user("alice").await;
    let token = start_reset(&root, "alice").await;
    for (new, code) in [
        ("short", "too_short"),
        ("alicealice", "too_weak"),
        ("parting\nis sweet sorrow", "invalid"),
    ] {
        let answer = reset(&app, &token, new).await.expect(422);
        assert_eq!(answer.fault(), ("/new_password".into(), code.into()), "{new}");
    }
    reset(&app, &token, NEW).await.expect(204);
}

#[rocket::async_test]
async fn a_reset_does_not_enable_a_disabled_user() {
    let app = App::new().await;
    let root = app.admin().await;
    app.user("alice").await;
    let token = start_reset(&root, "alice").await;
    let path = user_path(&app, "alice").await;
    root.patch(&path, &json!({ "disabled": true })).send().await.expect(200);
    reset(&app, &token, NEW).await.expect(204);
    sign_in(&app, "alice", NEW).await.expect(400);
    root.patch(&path, &json!({ "disabled": false }))
        .send()
        .await
        .expect(200);
    sign_in(&app, "alice", NEW).await.expect(200);
}

// T13, H12: one share with signing in and registering
#[rocket::async_test]
async fn changing_and_resetting_passwords_count_for_the_source() {
    let app = App::with(|settings| {
        settings.throttle.per_source = PerSourceSettings {
            per_minute: 60,
            burst: 4,
        };
    })
    .await;
    let alice = app.user("alice").await;
    change_password(&alice, "wrong", NEW).await.expect(403);
    reset(&app, "shp_x", NEW).await.expect(422);
    sign_in(&app, "alice", "wrong").await.expect(400);
    for answer in [
        change_password(&alice, PASSWORD, NEW).await,
        reset(&app, "shp_x", NEW).await,
    ] {
        assert_eq!(answer.expect(429).problem(), "too-many-requests");
    }
    let answer = change_password(&alice, PASSWORD, NEW).await.expect(429);
    assert_eq!(answer.header("Retry-After"), Some("1"));
    app.advance(1);
    change_password(&alice, PASSWORD, NEW).await.expect(204);
}

// D5: whether a name is taken is told as often as by registering
#[rocket::async_test]
async fn asking_for_a_new_name_counts_for_the_source() {
    let app = App::with(|settings| {
        settings.throttle.per_source = PerSourceSettings {
            per_minute: 60,
            burst: 3,
        };
    })
    .await;
    let alice = app.user("alice").await;
    app.user("bertha").await;
    let rename = async |name: &str| alice.patch("/user/me", &json!({ "username": name })).send().await;
    rename("bertha").await.expect(409);
    let answer = rename("chris").await.expect(429);
    assert_eq!(answer.problem(), "too-many-requests");
    assert_eq!(answer.header("Retry-After"), Some("1"));
    alice.patch("/user/me", &json!({})).send().await.expect(200);
    assert_eq!(me(&alice).await.text_at("username"), "alice");
}
