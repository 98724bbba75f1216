//! Sessions that are ended, by whatever: it bites on the next request.

use serde_json::{Value, json};
use shild::audit::AuditKind;
use shild::config::Period;
use shild::session::SessionRecord;

use crate::app::{App, Tokens, refused, scopes};

async fn assert_dead(app: &App, tokens: &Tokens) {
    assert_eq!(app.me(&tokens.access).await, 401);
    assert_eq!(app.refresh(&tokens.refresh).await, refused("invalid_grant"));
}

// T19, B8
#[tokio::test]
async fn signing_out_ends_this_session_and_no_other() {
    let app = App::new().await;
    app.register("juliet").await;
    let (tokens, other) = (app.sign_in("juliet").await, app.sign_in("juliet").await);
    assert_eq!(app.post("/logout", &tokens.access).await.0, 204);
    assert_dead(&app, &tokens).await;
    assert_eq!(app.post("/logout", &tokens.access).await.0, 401);
    assert_eq!(app.me(&other.access).await, 200);
}

// T19, B8
#[tokio::test]
async fn a_disabled_user_is_out_at_once_and_stays_out_when_enabled_again() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    app.disable(juliet.id).await;
    assert_dead(&app, &tokens).await;
    assert_eq!(app.try_sign_in("juliet", None).await, refused("invalid_grant"));
    app.enable(juliet.id).await;
    assert_dead(&app, &tokens).await;
    assert!(app.try_sign_in("juliet", None).await.is_ok());
}

// P4, T19
#[tokio::test]
async fn tokens_of_a_deleted_user_do_not_open_the_account_of_the_next_one_with_the_name() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    assert_eq!(app.delete_at("/user/me", &tokens.access).await.0, 204);
    assert_dead(&app, &tokens).await;
    let next = app.register("juliet").await;
    assert_ne!(next.id, juliet.id);
    assert_dead(&app, &tokens).await;
    let fresh = app.sign_in("juliet").await;
    assert_eq!(app.get("/user/me", &fresh.access).await.1["id"], next.id.to_string());
}

// B8
#[tokio::test]
async fn a_change_of_scopes_bites_on_the_next_request() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    app.change_user(juliet.id, |user| user.scopes = scopes("notes")).await;
    assert_eq!(app.me(&tokens.access).await, 403);
    app.change_user(juliet.id, |user| user.scopes = scopes("user notes"))
        .await;
    assert_eq!(app.me(&tokens.access).await, 200);
    // What was added later was never granted to this session.
    let refreshed = app.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(refreshed.scope, "user");
}

// T19
#[tokio::test]
async fn ended_sessions_are_gone_from_the_list() {
    let app = App::new().await;
    app.register("juliet").await;
    let romeo = app.register("romeo").await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(app.sign_in("juliet").await);
    }
    let id_of = async |tokens: &Tokens| app.session_of(&tokens.access).await.1.to_string();
    let listed = async |tokens: &Tokens| {
        let (status, body) = app.get("/user/me/sessions", &tokens.access).await;
        assert_eq!(status, 200);
        body["items"].as_array().unwrap().clone()
    };
    let list = listed(&sessions[0]).await;
    assert_eq!(list.len(), 4);
    let current: Vec<&Value> = list.iter().filter(|item| item["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["id"], id_of(&sessions[0]).await);

    let second = format!("/user/me/sessions/{}", id_of(&sessions[1]).await);
    let other = app.sign_in("romeo").await;
    assert_eq!(app.delete_at(&second, &other.access).await.0, 404, "of somebody else");
    assert_eq!(app.delete_at(&second, &sessions[0].access).await.0, 204);
    assert_eq!(app.delete_at(&second, &sessions[0].access).await.0, 404);
    assert_eq!(
        app.delete_at("/user/me/sessions/nonsense", &sessions[0].access).await.0,
        404
    );
    assert_dead(&app, &sessions[1]).await;
    assert_eq!(listed(&sessions[0]).await.len(), 3);

    let dead = format!("/user/me/sessions/{}", id_of(&sessions[2]).await);
    assert_eq!(app.delete_at("/user/me/sessions", &sessions[0].access).await.0, 204);
    for tokens in &sessions[2..] {
        assert_dead(&app, tokens).await;
    }
    assert_eq!(listed(&sessions[0]).await.len(), 1);
    // Failed before: what had ended ended once more, and was written down.
    assert_eq!(app.delete_at(&dead, &sessions[0].access).await.0, 404);
    let revoked = app.form("/revoke", None, &[("token", &sessions[3].refresh)]).await;
    assert_eq!(revoked.0, 200);
    assert_eq!(app.count_of(AuditKind::SessionEnded).await, 1);
    let refreshed = app.refresh(&sessions[0].refresh).await.unwrap();
    assert_eq!(app.me(&refreshed.access).await, 200);
    // The one that was kept ends with the next who ends all others.
    let newer = app.sign_in("juliet").await;
    assert_eq!(app.delete_at("/user/me/sessions", &newer.access).await.0, 204);
    assert_dead(&app, &refreshed).await;
    assert_eq!(app.me(&newer.access).await, 200);
    assert_eq!(app.me(&other.access).await, 200);
    assert_eq!(app.user(romeo.id).await.session_epoch, 0);
}

// T19
#[tokio::test]
async fn a_session_that_was_kept_once_is_not_kept_for_ever() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    assert_eq!(app.delete_at("/user/me/sessions", &tokens.access).await.0, 204);
    assert_eq!(app.me(&tokens.access).await, 200);
    // Also if whoever moves the epoch on does not think of what was kept.
    app.change_user(juliet.id, |user| user.session_epoch += 1).await;
    assert_dead(&app, &tokens).await;
}

// T20
#[tokio::test]
async fn revoking_either_token_ends_the_session() {
    let app = App::new().await;
    app.register("juliet").await;
    let by_access = app.sign_in("juliet").await;
    let by_refresh = app.sign_in("juliet").await;
    let kept = app.sign_in("juliet").await;
    for (tokens, token, hint) in [
        (&by_access, &by_access.access, "refresh_token"),
        (&by_refresh, &by_refresh.refresh, "nonsense"),
    ] {
        for time in ["first", "repeated"] {
            let form = [("token", token.as_str()), ("token_type_hint", hint)];
            assert_eq!(app.form("/revoke", None, &form).await.0, 200, "{time}");
        }
        assert_dead(&app, tokens).await;
    }
    for token in ["nonsense", "shr_nonsense"] {
        assert_eq!(app.form("/revoke", None, &[("token", token)]).await.0, 200);
    }
    let (status, body) = app.form("/revoke", None, &[]).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_request")));
    assert_eq!(app.me(&kept.access).await, 200);
}

// T20, H12
#[tokio::test]
async fn a_store_that_fails_is_no_successful_revocation() {
    let app = App::new().await;
    app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    app.shild.close().await.unwrap();
    for token in [&tokens.access, &tokens.refresh] {
        let response = app
            .client
            .post("/revoke")
            .header(rocket::http::ContentType::Form)
            .body(format!("token={token}"))
            .dispatch()
            .await;
        assert_eq!(response.status().code, 503);
        assert!(response.headers().contains("Retry-After"));
    }
}

/// A user who may introspect, and a way to do it.
struct Introspector<'a> {
    app: &'a App,
    access: String,
}

impl Introspector<'_> {
    async fn ask(&self, token: &str) -> Value {
        let (status, body) = self
            .app
            .form("/introspect", Some(&self.access), &[("token", token)])
            .await;
        assert_eq!(status, 200);
        body
    }
}

// T21
#[tokio::test]
async fn introspection_tells_what_is_live_and_nothing_of_the_rest() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    app.add_user(&juliet, "server", "introspect").await;
    let introspector = Introspector {
        access: app.sign_in("server").await.access,
        app: &app,
    };
    let tokens = app.sign_in("juliet").await;
    let now = app.now().as_secs();
    let access = introspector.ask(&tokens.access).await;
    assert_eq!(access["active"], true);
    assert_eq!(access["sub"], juliet.id.to_string());
    assert_eq!(access["username"], "juliet");
    assert_eq!(access["scope"], "user");
    assert_eq!(access["token_type"], "Bearer");
    assert_eq!(
        (&access["exp"], &access["iat"], &access["nbf"]),
        (&json!(now + 900), &json!(now), &json!(now))
    );
    let refresh = introspector.ask(&tokens.refresh).await;
    assert_eq!((&refresh["active"], &refresh["sub"]), (&json!(true), &access["sub"]));
    assert_eq!(refresh["exp"], json!(now + 7 * 24 * 3600));

    let inactive = json!({"active": false});
    let successor = app.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(introspector.ask(&tokens.refresh).await, inactive, "used");
    assert_eq!(introspector.ask("nonsense").await, inactive);
    app.post("/logout", &successor.access).await;
    for token in [&tokens.access, &successor.access, &successor.refresh] {
        assert_eq!(introspector.ask(token).await, inactive);
    }
}

// T21
#[tokio::test]
async fn introspection_is_for_callers_who_may() {
    let app = App::new().await;
    app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    let form = [("token", tokens.refresh.as_str())];
    assert_eq!(app.form("/introspect", None, &form).await.0, 401);
    assert_eq!(app.form("/introspect", Some("nonsense"), &form).await.0, 401);
    assert_eq!(app.form("/introspect", Some(&tokens.refresh), &form).await.0, 401);
    assert_eq!(app.form("/introspect", Some(&tokens.access), &form).await.0, 403);
}

/// The sessions that the store holds, alive or not.
async fn stored(app: &App) -> Vec<SessionRecord> {
    app.shild.store().scan_sessions(None, 1000).await.unwrap()
}

// T18
#[tokio::test]
async fn dead_sessions_vanish_from_the_store_in_bounded_steps() {
    let shild = shild::Shild::builder(shild::testing::settings());
    let clock = std::sync::Arc::new(shild::testing::ManualClock::default());
    let shild = shild.clock(std::sync::Arc::clone(&clock) as _).build().await.unwrap();
    // No Rocket around it, so that no step is made but those made here.
    let random = shild::clock::SystemRandom;
    let now = shild::clock::Clock::now(&*clock);
    let user = shild
        .register("juliet", crate::app::PASSWORD, &shild::Origin::default())
        .await
        .unwrap();
    let session = |life: Period| SessionRecord {
        user_id: user.id,
        id: shild::user::SessionId::generate(now, &random),
        revision: 1,
        epoch: 0,
        generation: 0,
        client_id: None,
        user_agent: None,
        ip: None,
        scopes: scopes("user"),
        created_at: now,
        auth_time: now,
        last_used_at: now,
        rotated_at: now,
        expires_at: now.after(life.duration()),
    };
    for number in 0..900 {
        let life = if number % 3 == 0 {
            Period::days(2)
        } else {
            Period::hours(1)
        };
        shild.store().open_session(&session(life), &[]).await.unwrap();
    }
    let stored = async || shild.store().scan_sessions(None, 1000).await.unwrap().len();
    let mut rounds = shild::Rounds::default();
    shild.step(&mut rounds).await;
    assert_eq!(stored().await, 900, "none is dead yet");

    clock.advance(Period::hours(1).duration());
    let mut rounds = shild::Rounds::default();
    let mut before = 900;
    for _ in 0..5 {
        shild.step(&mut rounds).await;
        let after = stored().await;
        assert!(before - after <= 200, "a step looks at 200 at most");
        before = after;
    }
    assert_eq!(before, 300, "the living stay");
    clock.advance(Period::days(2).duration());
    for _ in 0..3 {
        shild.step(&mut rounds).await;
    }
    assert_eq!(stored().await, 0);
}

// T19
#[tokio::test]
async fn sessions_of_users_who_are_gone_are_swept_too() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    app.register("romeo").await;
    app.sign_in("juliet").await;
    let kept = app.sign_in("romeo").await;
    app.delete(juliet.id).await;
    app.shild.step(&mut shild::Rounds::default()).await;
    let sessions = stored(&app).await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].id, app.session_of(&kept.access).await.1);
}
