//! What administrators do while users sign in: on many threads, in memory and on sled. No token outlives what ends it, and an
//! administrator is always left.

use std::sync::Arc;

use rocket::http::{ContentType, Method};
use serde_json::{Value, json};
use shild::clock::SystemRandom;
use shild::store::SledStore;
use shild::store::sled::SledOptions;
use shild::testing::{self, ManualClock};
use shild::token::master::MasterKey;
use shild::user::UserRecord;

use crate::app::{App, PASSWORD, Tokens, at_once, authorization, on_every_store, refused};

/// How often a race is run: each time it may come out another way.
const ROUNDS: usize = 4;

const NEW: &str = "parting is sweet sorrow 8";

on_every_store! {
    of_the_last_two_administrators_one_stays
    no_token_of_a_sign_in_outlives_the_end_of_its_user
    no_token_of_a_sign_in_outlives_the_old_password
    of_changes_of_a_password_at_once_in_one_session_one_is_made
    a_reset_token_that_comes_many_times_at_once_is_good_once
}

/// As the operator, unless there is a bearer.
async fn send(app: &App, bearer: Option<&str>, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let token = bearer.unwrap_or_else(|| app.shild.operator_token());
    let request = app.client.req(method, path.to_owned()).header(authorization(token));
    let response = request
        .header(ContentType::JSON)
        .body(body.to_string())
        .dispatch()
        .await;
    let status = response.status().code;
    let body = response.into_string().await.unwrap_or_default();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

async fn as_operator(app: Arc<App>, method: Method, path: String, body: Value) -> u16 {
    send(&app, None, method, &path, &body).await.0
}

fn path_of(user: &UserRecord) -> String {
    format!("/users/{}", user.id)
}

async fn of_the_last_two_administrators_one_stays(app: Arc<App>) {
    let like = app.register("juliet").await;
    let ways = [
        (Method::Patch, json!({ "scopes": ["user"] })),
        (Method::Patch, json!({ "disabled": true })),
        (Method::Delete, json!({})),
    ];
    let pairs = (0..ways.len()).flat_map(|one| (0..ways.len()).map(move |other| (one, other)));
    let mut left = app.add_user(&like, "first", "admin").await;
    for (number, (one, other)) in pairs.enumerate() {
        let new = app.add_user(&like, &format!("admin-{number}"), "admin").await;
        let both = [(&left, &ways[one]), (&new, &ways[other])];
        let requests =
            both.map(|(user, (method, body))| as_operator(Arc::clone(&app), *method, path_of(user), body.clone()));
        let statuses = at_once(requests).await;
        assert!(
            matches!(statuses[..], [200 | 204, 409] | [409, 200 | 204]),
            "{statuses:?}"
        );
        if statuses[1] == 409 {
            left = new;
        }
        assert!(app.user(left.id).await.is_enabled_admin());
    }
}

/// Signs in as often as it can; all tokens that it got.
async fn keep_signing_in(app: Arc<App>, name: &'static str, times: usize) -> Vec<Tokens> {
    let mut all = Vec::new();
    for _ in 0..times {
        match app.try_sign_in(name, None).await {
            Ok(tokens) => all.push(tokens),
            Err(refusal) => assert_eq!(Err(refusal), refused("invalid_grant")),
        }
    }
    all
}

async fn assert_all_dead(app: &App, tokens: &[Tokens]) {
    for tokens in tokens {
        assert_eq!(app.me(&tokens.access).await, 401);
        assert_eq!(app.refresh(&tokens.refresh).await, refused("invalid_grant"));
    }
}

// T19
async fn no_token_of_a_sign_in_outlives_the_end_of_its_user(app: Arc<App>) {
    let juliet = app.register("juliet").await;
    for _ in 0..ROUNDS {
        let signing_in = (0..8).map(|_| keep_signing_in(Arc::clone(&app), "juliet", 4));
        let disabling = as_operator(
            Arc::clone(&app),
            Method::Patch,
            path_of(&juliet),
            json!({ "disabled": true }),
        );
        let (got, status) = tokio::join!(at_once(signing_in), disabling);
        assert_eq!(status, 200);
        assert_all_dead(&app, &got.concat()).await;
        let enabled = as_operator(
            Arc::clone(&app),
            Method::Patch,
            path_of(&juliet),
            json!({ "disabled": false }),
        )
        .await;
        assert_eq!(enabled, 200);
        assert_all_dead(&app, &got.concat()).await;
    }
    for _ in 0..ROUNDS {
        let romeo = app.add_user(&juliet, "romeo", "user").await;
        let signing_in = (0..8).map(|_| keep_signing_in(Arc::clone(&app), "romeo", 4));
        let deleting = as_operator(Arc::clone(&app), Method::Delete, path_of(&romeo), json!({}));
        let (got, status) = tokio::join!(at_once(signing_in), deleting);
        assert_eq!(status, 204);
        assert_all_dead(&app, &got.concat()).await;
        // Nor does somebody else of this name give them life (P4).
        let other = app.add_user(&juliet, "romeo", "user").await;
        assert_all_dead(&app, &got.concat()).await;
        app.delete(other.id).await;
    }
}

// T19
async fn no_token_of_a_sign_in_outlives_the_old_password(app: Arc<App>) {
    let juliet = app.register("juliet").await;
    // By a reset.
    let romeo = app.add_user(&juliet, "romeo", "user").await;
    let (_, started) = send(
        &app,
        None,
        Method::Post,
        &format!("{}/password-reset", path_of(&romeo)),
        &json!({}),
    )
    .await;
    let body = json!({ "reset_token": started["reset_token"], "new_password": NEW });
    let signing_in = (0..8).map(|_| keep_signing_in(Arc::clone(&app), "romeo", 8));
    let resetting = as_operator(Arc::clone(&app), Method::Post, "/password-reset".to_owned(), body);
    let (got, status) = tokio::join!(at_once(signing_in), resetting);
    assert_eq!(status, 204);
    assert_all_dead(&app, &got.concat()).await;
    assert_eq!(app.try_sign_in("romeo", None).await, refused("invalid_grant"));

    // By a change, which one of several at once makes: the session that made it stays.
    let sessions = keep_signing_in(Arc::clone(&app), "juliet", 3).await;
    let signing_in = (0..8).map(|_| keep_signing_in(Arc::clone(&app), "juliet", 8));
    let changes = sessions.clone().into_iter().enumerate().map(|(n, tokens)| {
        let app = Arc::clone(&app);
        async move {
            let body = json!({ "current_password": PASSWORD, "new_password": format!("{NEW} {n}") });
            send(&app, Some(&tokens.access), Method::Post, "/user/me/password", &body)
                .await
                .0
        }
    });
    let (got, statuses) = tokio::join!(at_once(signing_in), at_once(changes));
    assert_eq!(
        statuses.iter().filter(|status| **status == 204).count(),
        1,
        "{statuses:?}"
    );
    assert_all_dead(&app, &got.concat()).await;
    for (tokens, status) in sessions.iter().zip(statuses) {
        let alive = if status == 204 { 200 } else { 401 };
        assert_eq!(app.me(&tokens.access).await, alive);
    }
}

// W10: whoever is told that it was done signs in with the new one.
async fn of_changes_of_a_password_at_once_in_one_session_one_is_made(app: Arc<App>) {
    app.register("juliet").await;
    let own = app.sign_in("juliet").await;
    let mut current = PASSWORD.to_owned();
    for round in 0..ROUNDS {
        let wanted: Vec<_> = (0..4).map(|n| format!("{NEW} {round}{n}")).collect();
        let changes = wanted.clone().into_iter().map(|new| {
            let (app, own, current) = (Arc::clone(&app), own.clone(), current.clone());
            async move {
                let body = json!({ "current_password": current, "new_password": new });
                send(&app, Some(&own.access), Method::Post, "/user/me/password", &body)
                    .await
                    .0
            }
        });
        let statuses = at_once(changes).await;
        let made = statuses.iter().position(|status| *status == 204);
        current.clone_from(&wanted[made.expect("one is made")]);
        let others = statuses.iter().filter(|status| **status == 403).count();
        assert_eq!(others, 3, "{statuses:?}");
        assert_eq!(app.me(&own.access).await, 200);
    }
}

async fn a_reset_token_that_comes_many_times_at_once_is_good_once(app: Arc<App>) {
    let juliet = app.register("juliet").await;
    let (_, started) = send(
        &app,
        None,
        Method::Post,
        &format!("{}/password-reset", path_of(&juliet)),
        &json!({}),
    )
    .await;
    let resets = (0..4).map(|n| {
        let body = json!({ "reset_token": started["reset_token"], "new_password": format!("{NEW} {n}") });
        as_operator(Arc::clone(&app), Method::Post, "/password-reset".to_owned(), body)
    });
    let statuses = at_once(resets).await;
    assert_eq!(
        statuses.iter().filter(|status| **status == 204).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| matches!(status, 204 | 422)),
        "{statuses:?}"
    );
}

// W9
#[tokio::test]
async fn failures_outlive_the_end_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (master, clock) = (MasterKey::generate(&SystemRandom), Arc::new(ManualClock::default()));
    let start = async || {
        let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
        let mut settings = testing::settings();
        settings.throttle.max_failures = 7;
        App::on(settings, Arc::new(store), &master, Arc::clone(&clock)).await
    };
    let app = start().await;
    app.register("juliet").await;
    for _ in 0..7 {
        let form = [
            ("grant_type", "password"),
            ("username", "juliet"),
            ("password", "wrong"),
        ];
        assert_eq!(app.token(&form).await, refused("invalid_grant"));
    }
    app.advance(crate::app::SECOND * 86_400);
    app.stop().await;
    let app = start().await;
    assert_eq!(app.try_sign_in("juliet", None).await, refused("invalid_grant"));
    app.stop().await;
}
