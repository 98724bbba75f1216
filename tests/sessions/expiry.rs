//! Every expiry, one second before and after it.

use shild::config::Period;

use crate::app::{App, SECOND, SKEW, refused};

/// Ten minutes: how recent a sign-in must be for an account to be deleted.
const RECENT: std::time::Duration = std::time::Duration::from_secs(600);

// P6
#[tokio::test]
async fn an_access_token_is_good_until_its_end_and_the_skew() {
    let app = App::new().await;
    app.register("juliet").await;
    let start = app.now();
    let tokens = app.sign_in("juliet").await;
    assert_eq!(tokens.expires_in, 900);
    let end = Period::minutes(15).duration() + SKEW;
    for (at, status) in [(end - SECOND, 200), (end, 401), (end + SECOND, 401)] {
        app.set(start, at);
        assert_eq!(app.me(&tokens.access).await, status, "{at:?} after it was issued");
    }
}

// P6
#[tokio::test]
async fn an_access_token_is_good_from_its_issue_less_the_skew() {
    let app = App::new().await;
    app.register("juliet").await;
    let start = app.now();
    let tokens = app.sign_in("juliet").await;
    for (before, status) in [(SKEW - SECOND, 200), (SKEW, 200), (SKEW + SECOND, 401)] {
        app.clock.set(start.before(before));
        assert_eq!(app.me(&tokens.access).await, status, "{before:?} before it was issued");
    }
}

// T18
#[tokio::test]
async fn a_session_ends_when_it_was_not_refreshed_for_the_idle_time() {
    let idle = Period::minutes(10);
    for (at, good) in [
        (idle.duration() - SECOND, true),
        (idle.duration(), false),
        (idle.duration() + SECOND, false),
    ] {
        let app = App::with(|settings| settings.refresh_idle_ttl = idle).await;
        app.register("juliet").await;
        let start = app.now();
        let first = app.sign_in("juliet").await;
        app.set(start, at);
        // Failed before: it said that it is good for longer, which whoever checks it alone believes.
        assert_eq!(first.expires_in, idle.duration().as_secs());
        assert_eq!(app.me(&first.access).await, if good { 200 } else { 401 }, "{at:?}");
        let refreshed = app.refresh(&first.refresh).await;
        if !good {
            assert_eq!(refreshed, refused("invalid_grant"), "{at:?}");
            continue;
        }
        // A refresh begins the idle time anew, and nothing else does.
        let second = refreshed.unwrap();
        let again = app.now();
        app.set(again, idle.duration() - SECOND);
        assert_eq!(app.me(&second.access).await, 200);
        app.set(again, idle.duration());
        assert_eq!(app.me(&second.access).await, 401);
        assert_eq!(app.refresh(&second.refresh).await, refused("invalid_grant"));
    }
}

// T18
#[tokio::test]
async fn a_session_ends_at_its_absolute_end_however_often_it_is_refreshed() {
    let life = Period::hours(1).duration();
    let app = App::with(|settings| settings.session_ttl = Period::hours(1)).await;
    app.register("juliet").await;
    let start = app.now();
    let mut tokens = app.sign_in("juliet").await;
    let end = start.after(life).to_string();
    for minutes in [10, 20, 30, 40, 50] {
        app.set(start, Period::minutes(minutes).duration());
        tokens = app.refresh(&tokens.refresh).await.unwrap();
        let (_, list) = app.get("/user/me/sessions", &tokens.access).await;
        assert_eq!(list["items"][0]["expires_at"], end, "rotation never extends it");
    }
    assert_eq!(tokens.expires_in, 600, "no token outlives its session");
    app.set(start, life - SECOND);
    assert_eq!(app.me(&tokens.access).await, 200);
    let last = app.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(last.expires_in, 1);
    assert_eq!(app.me(&last.access).await, 200);
    for at in [life, life + SECOND] {
        app.set(start, at);
        // The skew is for clocks that differ, and a session has only one.
        assert_eq!(app.me(&last.access).await, 401);
        assert_eq!(app.refresh(&last.refresh).await, refused("invalid_grant"));
    }
}

// T15, T16
#[tokio::test]
async fn a_refresh_can_be_repeated_until_the_window_ends() {
    let window = Period::seconds(10).duration();
    for (at, good) in [(window - SECOND, true), (window, false), (window + SECOND, false)] {
        let app = App::new().await;
        app.register("juliet").await;
        let first = app.sign_in("juliet").await;
        app.advance(Period::minutes(5).duration());
        let start = app.now();
        let second = app.refresh(&first.refresh).await.unwrap();
        // A retry does not lengthen the window.
        app.set(start, window / 2);
        assert_eq!(app.refresh(&first.refresh).await.unwrap().refresh, second.refresh);
        app.set(start, at);
        let again = app.refresh(&first.refresh).await;
        assert_eq!(again.is_ok(), good, "{at:?}");
        if good {
            assert_eq!(again.unwrap().refresh, second.refresh);
        } else {
            assert_eq!(again, refused("invalid_grant"));
        }
        assert_eq!(app.me(&second.access).await, if good { 200 } else { 401 }, "{at:?}");
        assert_eq!(app.refresh(&second.refresh).await.is_ok(), good, "{at:?}");
    }
}

// RFC 9470
#[tokio::test]
async fn an_account_is_deleted_only_soon_after_the_sign_in() {
    for (at, good) in [(RECENT - SECOND, true), (RECENT, true), (RECENT + SECOND, false)] {
        let app = App::new().await;
        app.register("juliet").await;
        let start = app.now();
        let first = app.sign_in("juliet").await;
        app.set(start, at);
        // A refresh shows no password, so it makes no sign-in more recent.
        let tokens = app.refresh(&first.refresh).await.unwrap();
        let request = app
            .client
            .delete("/user/me")
            .header(crate::app::authorization(&tokens.access));
        let response = request.dispatch().await;
        let challenge = response.headers().get_one("WWW-Authenticate").unwrap_or_default();
        if good {
            assert_eq!(response.status().code, 204, "{at:?}");
            assert_eq!(app.me(&tokens.access).await, 401);
        } else {
            assert_eq!(response.status().code, 401, "{at:?}");
            assert!(
                challenge.contains("error=\"insufficient_user_authentication\"")
                    && challenge.contains("max_age=\"600\""),
                "{challenge}"
            );
            assert_eq!(app.me(&tokens.access).await, 200, "nothing happened");
        }
    }
}

// P12
#[tokio::test]
async fn a_retiring_key_stays_listed_until_its_last_token_has_expired() {
    let app = App::new().await;
    app.register("juliet").await;
    let start = app.now();
    let tokens = app.sign_in("juliet").await;
    let old = app.shild.public_keys().remove(0).kid;
    app.shild
        .rotate_keys(shild::audit::Actor::System, &shild::Origin::default())
        .await
        .unwrap();
    let end = Period::minutes(15).duration() + SKEW;
    for (at, listed) in [(end - SECOND, true), (end, false), (end + SECOND, false)] {
        app.set(start, at);
        let (_, body) = app.get("/keys", "").await;
        let keys = body["keys"].as_array().unwrap();
        assert_eq!(keys.iter().any(|key| key["kid"] == old.as_str()), listed, "{at:?}");
        assert_eq!(app.me(&tokens.access).await, if listed { 200 } else { 401 }, "{at:?}");
    }
    // Gone from the store as well, once it is tended to.
    app.shild.step(&mut shild::Rounds::default()).await;
    let kept = app.shild.store().load_keys().await.unwrap().unwrap().keys;
    assert!(kept.len() == 1 && kept[0].kid != old);
}
