//! The user's own account and sessions.

use crate::helpers::*;

#[rocket::async_test]
async fn whoever_is_signed_in_is_told_who_it_is() {
    let app = App::new().await;
    let made = register(&app, "alice", PASSWORD).await.expect(201);
    let alice = app.signed_in("alice", None).await;
    let answer = me(&alice).await.expect(200);
    assert_eq!(answer.json(), made.json());
    assert_eq!(answer.header("ETag"), Some("\"1\""));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
}

// T19
#[rocket::async_test]
async fn signing_out_ends_this_session_at_once_and_no_other() {
    let app = App::new().await;
    let (here, there) = (app.user("alice").await, app.signed_in("alice", None).await);
    here.post("/logout").send().await.expect(204);
    me(&here).await.expect(401);
    refresh(&app, here.refresh_token()).await.expect(400);
    me(&there).await.expect(200);
}

// T19, T18
#[rocket::async_test]
async fn sessions_are_listed_and_can_be_ended() {
    let app = App::new().await;
    let (here, there) = (app.user("alice").await, app.signed_in("alice", None).await);
    let list = async || {
        let answer = here.get("/user/me/sessions").send().await.expect(200);
        assert_eq!(answer.json()["next"], serde_json::Value::Null);
        answer.json()["items"].as_array().unwrap().clone()
    };
    let items = list().await;
    let current: Vec<_> = items
        .iter()
        .map(|session| session["current"].as_bool().unwrap())
        .collect();
    assert_eq!(current.iter().filter(|current| **current).count(), 1);
    assert_eq!(items[0]["ip"], "192.0.2.1");

    let other = items.iter().find(|session| session["current"] == false).unwrap();
    let path = format!("/user/me/sessions/{}", other["id"].as_str().unwrap());
    here.delete(&path).send().await.expect(204);
    me(&there).await.expect(401);
    here.delete(&path).send().await.expect(404);
    assert_eq!(list().await.len(), 1);
}

#[rocket::async_test]
async fn a_session_tells_what_it_was_opened_with_and_when_it_was_used_last() {
    let app = App::new().await;
    app.add_user("alice", "user").await;
    let opened = app.now();
    let form = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", PASSWORD),
        ("client_id", "balcony"),
    ];
    let agent = format!("\u{1b}[31mLute\t/1\u{85} {}", "é".repeat(300));
    let call = app.anonymous().post("/shild").form(&form).header("User-Agent", &agent);
    let tokens = call.send().await.expect(200);
    let only = async |access_token: &str| {
        let list = app
            .bearer(access_token)
            .get("/user/me/sessions")
            .send()
            .await
            .expect(200);
        let items = list.json()["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 1);
        items[0].clone()
    };
    let session = only(&tokens.text_at("access_token")).await;
    let kept = format!("[31mLute/1 {}", "é".repeat(245));
    assert_eq!(kept.chars().count(), 256);
    assert_eq!(session["user_agent"], kept);
    assert_eq!(session["client_id"], "balcony");
    assert_eq!(session["created_at"], opened.to_string());
    assert_eq!(session["last_used_at"], opened.to_string());

    app.advance(60);
    // By another program, which changes nothing of what it was opened with.
    let next = refresh(&app, &tokens.text_at("refresh_token")).await.expect(200);
    let refreshed = only(&next.text_at("access_token")).await;
    assert_eq!(refreshed["last_used_at"], app.now().to_string());
    for member in ["id", "user_agent", "client_id", "created_at", "expires_at"] {
        assert_eq!(refreshed[member], session[member], "{member}");
    }
}

// T19
#[rocket::async_test]
async fn all_other_sessions_end_together() {
    let app = App::new().await;
    let (here, there) = (app.user("alice").await, app.signed_in("alice", None).await);
    here.delete("/user/me/sessions").send().await.expect(204);
    me(&there).await.expect(401);
    refresh(&app, there.refresh_token()).await.expect(400);
    me(&here).await.expect(200);
    refresh(&app, here.refresh_token()).await.expect(200);
}

#[rocket::async_test]
async fn sessions_come_in_pages() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    for _ in 0..4 {
        app.signed_in("alice", None).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/user/me/sessions?limit=2".to_owned());
    loop {
        let page = alice.get(&path).send().await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|session| session["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/user/me/sessions?limit=2&after={next}");
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    for query in ["limit=0", "limit=201", "limit=x", "after=x"] {
        let answer = alice
            .get(&format!("/user/me/sessions?{query}"))
            .send()
            .await
            .expect(400);
        assert_eq!(answer.problem(), "bad-request", "{query}");
    }
}

// RFC 9470
#[rocket::async_test]
async fn deleting_an_account_needs_a_recent_sign_in() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    app.advance(601);
    let answer = alice.delete("/user/me").send().await.expect(401);
    assert_eq!(answer.problem(), "insufficient-user-authentication");
    assert!(
        answer
            .challenge()
            .contains(r#"error="insufficient_user_authentication""#)
    );
    assert!(answer.challenge().contains(r#"max_age="600""#));
    let again = app.signed_in("alice", None).await;
    app.advance(600);
    again.delete("/user/me").send().await.expect(204);
    me(&again).await.expect(401);
    sign_in(&app, "alice", PASSWORD).await.expect(400);
}

#[rocket::async_test]
async fn the_last_administrator_cannot_leave() {
    let app = App::new().await;
    let root = app.admin().await;
    assert_eq!(root.delete("/user/me").send().await.expect(409).problem(), "last-admin");
    me(&root).await.expect(200);
}
