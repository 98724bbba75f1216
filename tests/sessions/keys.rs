//! Signing keys that rotate without anybody noticing, and metadata that tells where everything is.

use std::sync::Arc;

use serde_json::{Value, json};
use shild::audit::Actor;
use shild::clock::SystemRandom;
use shild::config::Period;
use shild::store::{MemoryStore, Store};
use shild::testing::{self, ManualClock};
use shild::token::master::MasterKey;
use shild::{Origin, Rounds};

use crate::app::{App, SECOND, SKEW};

async fn rotate(app: &App) {
    app.shild.rotate_keys(Actor::System, &Origin::default()).await.unwrap();
}

/// The ids of the keys listed, the active one last.
async fn listed(app: &App) -> Vec<String> {
    let (status, body) = app.get("/keys", "").await;
    assert_eq!(status, 200);
    let keys = body["keys"].as_array().unwrap();
    let kids = keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned());
    kids.collect()
}

// P12
#[tokio::test]
async fn a_thousand_tokens_issued_across_rotations_are_good_until_they_expire() {
    let app = App::new().await;
    app.register("juliet").await;
    let mut tokens = app.sign_in("juliet").await;
    let mut issued = Vec::new();
    for number in 0..1000_u32 {
        if number % 250 == 125 {
            rotate(&app).await;
        }
        // Half a second apart: what is issued first is half way to its end when the last is issued.
        app.advance(SECOND / 2);
        tokens = app.refresh(&tokens.refresh).await.unwrap();
        issued.push((tokens.access.clone(), app.now()));
    }
    assert_eq!(listed(&app).await.len(), 5);
    for (token, _) in &issued {
        assert_eq!(app.me(token).await, 200);
    }
    let life = Period::minutes(15).duration() + SKEW;
    for (token, at) in issued.iter().step_by(50) {
        // A token counts in whole seconds.
        let end = at.truncate_to_secs().after(life);
        app.clock.set(end.before(SECOND));
        assert_eq!(app.me(token).await, 200, "rotation costs no token its life");
        app.clock.set(end);
        assert_eq!(app.me(token).await, 401);
    }
}

// Failed before: a change of the keys that failed and was made all the same stopped every later one until a restart.
#[tokio::test]
async fn a_change_of_the_keys_that_was_made_although_it_failed_counts() {
    let app = App::new().await;
    let store = app.shild.store();
    let mut made = store.load_keys().await.unwrap().unwrap();
    let known = made.revision;
    made.revision += 1;
    store.replace_keys(&made, Some(known), &[]).await.unwrap();
    rotate(&app).await;
    assert_eq!(listed(&app).await.len(), 2);
    assert_eq!(store.load_keys().await.unwrap().unwrap().revision, known + 2);
}

// Failed before: whoever tried once more was told that there is no such key, and its tokens were good here until then.
#[tokio::test]
async fn a_key_that_was_retired_although_that_failed_is_retired() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let master = MasterKey::generate(&SystemRandom);
    let clock = Arc::<ManualClock>::default();
    let on = async || App::on(testing::settings(), Arc::clone(&store), &master, Arc::clone(&clock)).await;
    let app = on().await;
    app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    let kid = listed(&app).await[0].clone();
    let retire = async |app: &App| app.shild.retire_key(&kid, Actor::System, &Origin::default()).await;
    // What came of the try that failed, as far as this one knows.
    retire(&on().await).await.unwrap();
    retire(&app).await.unwrap();
    assert!(!listed(&app).await.contains(&kid));
    assert_eq!(app.me(&tokens.access).await, 401);
    assert!(retire(&app).await.is_err(), "now there is none");
}

// P12
#[tokio::test]
async fn tokens_of_a_key_that_is_retired_die_at_once_and_sessions_go_on() {
    let app = App::new().await;
    app.register("juliet").await;
    let first = app.sign_in("juliet").await;
    rotate(&app).await;
    let second = app.refresh(&first.refresh).await.unwrap();
    let kids = listed(&app).await;
    app.shild
        .retire_key(&kids[0], Actor::System, &Origin::default())
        .await
        .unwrap();
    assert_eq!(listed(&app).await, kids[1..]);
    assert_eq!(app.me(&first.access).await, 401);
    assert_eq!(app.me(&second.access).await, 200);

    app.shild
        .retire_key(&kids[1], Actor::System, &Origin::default())
        .await
        .unwrap();
    let left = listed(&app).await;
    assert!(left.len() == 1 && left[0] != kids[1], "another key took its place");
    assert_eq!(app.me(&second.access).await, 401);
    let third = app.refresh(&second.refresh).await.unwrap();
    assert_eq!(app.me(&third.access).await, 200);
}

// P12
#[tokio::test]
async fn keys_are_changed_by_administrators_only() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    app.add_user(&juliet, "nurse", "user admin").await;
    let (user, admin) = (app.sign_in("juliet").await, app.sign_in("nurse").await);
    let kid = listed(&app).await.remove(0);
    let key = format!("/keys/{kid}");
    assert_eq!(app.post("/keys/rotate", &user.access).await.0, 403);
    assert_eq!(app.delete_at(&key, &user.access).await.0, 403);
    assert_eq!(app.delete_at(&key, "nonsense").await.0, 401);
    assert_eq!(listed(&app).await, [kid.as_str()]);
    let (status, body) = app.post("/keys/rotate", &admin.access).await;
    assert_eq!((status, body["keys"].as_array().map(Vec::len)), (200, Some(2)));
    assert_eq!(app.delete_at("/keys/k4.pid.nonsense", &admin.access).await.0, 404);
    assert_eq!(app.delete_at(&key, &admin.access).await.0, 204);
    assert_eq!(app.me(&admin.access).await, 401);
}

// P12
#[tokio::test]
async fn keys_rotate_by_themselves_at_the_age_of_the_setting() {
    let app = App::with(|settings| settings.key_rotation = Some(Period::hours(1))).await;
    let start = app.now();
    let mut rounds = Rounds::default();
    let first = listed(&app).await;
    app.set(start, Period::hours(1).duration() - SECOND);
    app.shild.step(&mut rounds).await;
    assert_eq!(listed(&app).await, first);
    app.set(start, Period::hours(1).duration());
    app.shild.step(&mut rounds).await;
    let both = listed(&app).await;
    assert!(both.len() == 2 && both[0] == first[0]);
    app.shild.step(&mut rounds).await;
    assert_eq!(listed(&app).await, both, "once");
}

// P12
#[tokio::test]
async fn the_list_of_keys_shows_public_halves_and_when_they_go() {
    let app = App::new().await;
    rotate(&app).await;
    let (_, body) = app.get("/keys", "").await;
    let keys = body["keys"].as_array().unwrap();
    for (key, status) in keys.iter().zip(["retiring", "active"]) {
        let members: Vec<&String> = key.as_object().unwrap().keys().collect();
        assert_eq!(members, ["kid", "paserk", "status", "retires_at"]);
        assert!(key["kid"].as_str().unwrap().starts_with("k4.pid."));
        assert!(key["paserk"].as_str().unwrap().starts_with("k4.public."));
        assert_eq!(key["status"], status);
    }
    let end = app.now().after(Period::minutes(15).duration() + SKEW);
    assert_eq!(keys[0]["retires_at"], end.to_string());
    assert_eq!(keys[1]["retires_at"], Value::Null);
}

// T22, D6
#[tokio::test]
async fn the_metadata_tells_the_issuer_of_the_tokens_and_every_endpoint() {
    let app =
        App::with(|settings| settings.issuer = Some("https://id.example/base".to_owned().try_into().unwrap())).await;
    app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    let claims = app.shild.authenticate(&tokens.access).await.unwrap().token;
    let (status, body) = app.get("/.well-known/oauth-authorization-server", "").await;
    assert_eq!(status, 200);
    assert_eq!(body["issuer"], claims.claims().iss);
    assert_eq!(body["token_endpoint"], "https://id.example/base/shild");
    assert_eq!(body["revocation_endpoint"], "https://id.example/base/revoke");
    assert_eq!(body["introspection_endpoint"], "https://id.example/base/introspect");
    assert_eq!(body["response_types_supported"], json!([]));
    assert_eq!(body["grant_types_supported"], json!(["password", "refresh_token"]));
    // Clients are public (T12); whoever introspects is a user with a token.
    for (endpoint, methods) in [
        ("token", ["none"]),
        ("revocation", ["none"]),
        ("introspection", ["Bearer"]),
    ] {
        let member = format!("{endpoint}_endpoint_auth_methods_supported");
        assert_eq!(body[&member], json!(methods), "{member}");
    }
    assert_eq!(body.get("jwks_uri"), None);
}

// T22, RFC 8414 §3.1. Failed before: a client of an issuer with a path found nothing.
#[tokio::test]
async fn the_metadata_of_an_issuer_with_a_path_are_where_its_clients_look_for_them() {
    let well_known = "/.well-known/oauth-authorization-server";
    let at =
        |issuer: &'static str| App::with(move |settings| settings.issuer = Some(issuer.to_owned().try_into().unwrap()));
    let app = at("https://id.example/base/of").await;
    let (status, body) = app.get(&format!("{well_known}/base/of"), "").await;
    assert_eq!((status, &body["issuer"]), (200, &json!("https://id.example/base/of")));
    for other in ["/base", "/base/of/it", "/of", "//base/of"] {
        assert_eq!(app.get(&format!("{well_known}{other}"), "").await.0, 404, "{other}");
    }
    let app = at("https://id.example").await;
    assert_eq!(app.get(&format!("{well_known}/base"), "").await.0, 404);
}
