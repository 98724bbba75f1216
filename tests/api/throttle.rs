//! Guessing held back: per source and per account.

use std::pin::pin;

use rocket::futures::FutureExt as _;
use shild::config::PerSourceSettings;

use crate::helpers::*;
use crate::unreliable::Fault;

async fn strict() -> App {
    App::with(|settings| {
        settings.throttle.per_source = PerSourceSettings {
            per_minute: 60,
            burst: 3,
        };
    })
    .await
}

async fn guess(app: &App, source: &str) -> Answer {
    let form = [("grant_type", "password"), ("username", "alice"), ("password", "guess")];
    app.anonymous().post("/shild").form(&form).from(source).send().await
}

// T13, H12
#[rocket::async_test]
async fn a_source_that_asks_too_much_is_told_when_to_come_again() {
    let app = strict().await;
    for _ in 0..3 {
        guess(&app, "198.51.100.1").await.expect(400);
    }
    let answer = guess(&app, "198.51.100.1").await.expect(429);
    assert_eq!(answer.oauth_error(), "temporarily_unavailable");
    assert_eq!(answer.header("Retry-After"), Some("1"));
    guess(&app, "198.51.100.2").await.expect(400);
    app.advance(1);
    guess(&app, "198.51.100.1").await.expect(400);
    guess(&app, "198.51.100.1").await.expect(429);
}

// T13, H5, H12: one share for signing in and registering
#[rocket::async_test]
async fn registering_counts_too_and_answers_a_problem() {
    let app = strict().await;
    for name in ["alice", "bertha", "chris"] {
        register(&app, name, PASSWORD).await.expect(201);
    }
    let answer = register(&app, "dora", PASSWORD).await.expect(429);
    assert_eq!(answer.problem(), "too-many-requests");
    assert_eq!(answer.header("Retry-After"), Some("1"));
    sign_in(&app, "alice", PASSWORD).await.expect(429);
}

// T13
#[rocket::async_test]
async fn whoever_guesses_does_not_keep_others_at_its_address_from_refreshing() {
    let app = strict().await;
    let alice = app.user("alice").await;
    while sign_in(&app, "alice", "guess").await.status != 429 {}
    refresh(&app, alice.refresh_token()).await.expect(200);
}

// H8
#[rocket::async_test]
async fn forwarded_addresses_do_not_count_from_anybody() {
    let app = strict().await;
    let spoofed = async |n: usize| {
        let form = [("grant_type", "password"), ("username", "alice"), ("password", "guess")];
        let call = app.anonymous().post("/shild").form(&form);
        let call = call.header("X-Real-IP", &format!("198.51.100.{n}"));
        call.header("X-Forwarded-For", &format!("203.0.113.{n}")).send().await
    };
    for n in 1..=3 {
        spoofed(n).await.expect(400);
    }
    spoofed(4).await.expect(429);
}

/// One try for each source, which the proxy names.
async fn behind_a_proxy() -> App {
    App::with(|settings| {
        settings.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
        settings.throttle.per_source = PerSourceSettings {
            per_minute: 60,
            burst: 1,
        };
    })
    .await
}

// H8
#[rocket::async_test]
async fn a_trusted_proxy_says_who_the_source_is() {
    let app = behind_a_proxy().await;
    let through = async |header: &str, client: &str| {
        let form = [("grant_type", "password"), ("username", "alice"), ("password", "guess")];
        let call = app.anonymous().post("/shild").form(&form);
        call.header(header, client).send().await
    };
    for (header, net) in [("X-Forwarded-For", "203.0.113"), ("X-Real-IP", "198.51.100")] {
        through(header, &format!("{net}.1")).await.expect(400);
        through(header, &format!("{net}.1")).await.expect(429);
        through(header, &format!("{net}.2")).await.expect(400);
    }
    // What the client has written itself stands further left.
    through("X-Forwarded-For", "198.51.100.77, 203.0.113.1")
        .await
        .expect(429);
}

// H8. A proxy that writes one of them hands on the other as the client wrote it, which would be anybody at each try.
#[rocket::async_test]
async fn where_two_headers_disagree_about_the_source_it_is_the_proxy() {
    let app = behind_a_proxy().await;
    let through = async |listed: &str, forwarded: &str| {
        let form = [("grant_type", "password"), ("username", "alice"), ("password", "guess")];
        let call = app.anonymous().post("/shild").form(&form);
        let call = call.header("X-Forwarded-For", listed).header("Forwarded", forwarded);
        call.header("X-Real-IP", listed).send().await
    };
    through("203.0.113.1", "for=198.51.100.1").await.expect(400);
    for (listed, forwarded) in [
        ("203.0.113.2", "for=198.51.100.1"),
        ("203.0.113.1", "for=198.51.100.2"),
        ("203.0.113.3", "proto=https"),
        ("unknown", "for=198.51.100.3"),
    ] {
        through(listed, forwarded).await.expect(429);
    }
    through("203.0.113.4", "for=203.0.113.4").await.expect(400);
    through("203.0.113.4", "for=203.0.113.4").await.expect(429);
    // One address, written in two ways.
    through("203.0.113.5", "for=\"[::ffff:203.0.113.5]\"").await.expect(400);
}

// T13: the sixth failure begins the delay
#[rocket::async_test]
async fn after_some_failures_the_right_password_is_refused_until_the_delay_is_over() {
    let app = App::new().await;
    register(&app, "alice", PASSWORD).await.expect(201);
    let wrong = sign_in(&app, "alice", "wrong").await.expect(400).comparable();
    for _ in 2..=5 {
        sign_in(&app, "alice", "wrong").await.expect(400);
    }
    sign_in(&app, "alice", PASSWORD).await.expect(200);

    for _ in 1..=7 {
        sign_in(&app, "alice", "wrong").await.expect(400);
    }
    assert_eq!(sign_in(&app, "alice", PASSWORD).await.comparable(), wrong);
    app.advance(1);
    assert_eq!(sign_in(&app, "alice", PASSWORD).await.comparable(), wrong);
    app.advance(1);
    sign_in(&app, "alice", PASSWORD).await.expect(200);
    // The success has reset the count.
    sign_in(&app, "alice", "wrong").await.expect(400);
    sign_in(&app, "alice", PASSWORD).await.expect(200);
}

// Failed before: one mistake held the right password back until the clock had caught up.
#[rocket::async_test]
async fn a_clock_that_was_ahead_holds_no_account_back() {
    let app = App::new().await;
    register(&app, "alice", PASSWORD).await.expect(201);
    let now = app.now();
    app.advance(3600);
    guess(&app, "198.51.100.1").await.expect(400);
    app.clock.set(now);
    sign_in(&app, "alice", PASSWORD).await.expect(200);
}

// D4, W9
#[rocket::async_test]
async fn so_many_failures_lock_the_account_for_good_and_across_a_restart() {
    let limit = |settings: &mut shild::config::Settings| settings.throttle.max_failures = 10;
    let app = App::with(limit).await;
    register(&app, "alice", PASSWORD).await.expect(201);
    for _ in 0..9 {
        sign_in(&app, "alice", "wrong").await.expect(400);
    }
    app.advance(86_400);
    sign_in(&app, "alice", PASSWORD).await.expect(200);
    for _ in 0..10 {
        sign_in(&app, "alice", "wrong").await.expect(400);
        app.advance(86_400);
    }
    sign_in(&app, "alice", PASSWORD).await.expect(400);
    app.shild.step(&mut shild::Rounds::default()).await;
    let app = app.restart(limit).await;
    assert_eq!(
        sign_in(&app, "alice", PASSWORD).await.expect(400).oauth_error(),
        "invalid_grant"
    );
}

// D4, W9. Failed before: for a second, both were in memory only.
#[rocket::async_test]
async fn a_lock_and_its_end_outlast_a_crash_right_after_them() {
    let limit = |settings: &mut shild::config::Settings| settings.throttle.max_failures = 3;
    let app = App::with(limit).await;
    register(&app, "alice", PASSWORD).await.expect(201);
    for _ in 0..3 {
        app.advance(86_400);
        sign_in(&app, "alice", "wrong").await.expect(400);
    }
    let app = app.restart(limit).await;
    app.advance(86_400);
    sign_in(&app, "alice", PASSWORD).await.expect(400);
    let token = start_reset(&app.admin().await, "alice").await;
    reset(&app, &token, "a rose by any other 9").await.expect(204);
    let app = app.restart(limit).await;
    sign_in(&app, "alice", "a rose by any other 9").await.expect(200);
}

// D4. Failed before: the counts were taken for written once writing them had begun.
#[rocket::async_test]
async fn failures_outlast_a_write_that_was_cut_short() {
    let limit = |settings: &mut shild::config::Settings| settings.throttle.max_failures = 3;
    let app = App::with(limit).await;
    register(&app, "alice", PASSWORD).await.expect(201);
    for _ in 0..2 {
        sign_in(&app, "alice", "wrong").await.expect(400);
        app.advance(86_400);
    }
    *app.next_fault.lock().unwrap() = Some(Fault::Hang("put_failures"));
    let mut rounds = shild::Rounds::default();
    assert!(app.shild.step(&mut rounds).now_or_never().is_none());
    app.shild.step(&mut rounds).await;
    let app = app.restart(limit).await;
    // The third.
    sign_in(&app, "alice", "wrong").await.expect(400);
    app.advance(86_400);
    sign_in(&app, "alice", PASSWORD).await.expect(400);
}

/// Has so many users fail to sign in once, and the first of them once more while that is being written; then lets the counts
/// be written again, and starts anew from them.
async fn assert_counted_while_counts_are_written(users: usize) {
    let limit = |settings: &mut shild::config::Settings| settings.throttle.max_failures = 3;
    let app = App::with(limit).await;
    for n in 0..users {
        let name = format!("user{n}");
        app.add_user(&name, "user").await;
        sign_in(&app, &name, "wrong").await.expect(400);
    }
    *app.next_fault.lock().unwrap() = Some(Fault::Pause("put_failures"));
    let mut rounds = shild::Rounds::default();
    {
        let mut step = pin!(app.shild.step(&mut rounds));
        assert!(step.as_mut().now_or_never().is_none());
        sign_in(&app, "user0", "wrong").await.expect(400);
        step.await;
    }
    app.shild.step(&mut rounds).await;
    let app = app.restart(limit).await;
    app.advance(86_400);
    // The third.
    sign_in(&app, "user0", "wrong").await.expect(400);
    app.advance(86_400);
    sign_in(&app, "user0", PASSWORD).await.expect(400);
}

// D4, W9
#[rocket::async_test]
async fn a_failure_that_comes_while_counts_are_written_is_stored_with_the_next() {
    assert_counted_while_counts_are_written(1).await;
}

// D4, W9: past 4,096 counts those that are in the store are forgotten, and no others.
#[rocket::async_test]
async fn a_failure_that_comes_while_very_many_counts_are_written_is_stored_with_the_next() {
    assert_counted_while_counts_are_written(4097).await;
}

// T13: names that differ only before mapping are one account
#[rocket::async_test]
async fn failures_count_for_the_account_not_for_the_spelling() {
    let app = App::with(|settings| settings.throttle.max_failures = 3).await;
    register(&app, "alice", PASSWORD).await.expect(201);
    for name in ["alice", "ALICE", "Ａｌｉｃｅ"] {
        sign_in(&app, name, "wrong").await.expect(400);
    }
    sign_in(&app, "alice", PASSWORD).await.expect(400);
}

// W6, H12
#[rocket::async_test]
async fn more_hashes_than_can_wait_are_told_to_come_again() {
    let app = App::with(|settings| {
        settings.hash_threads = Some(1);
        settings.hash_queue = Some(1);
    })
    .await;
    let names: Vec<_> = (0..16).map(|n| format!("user{n}")).collect();
    let all = names.iter().map(|name| register(&app, name, PASSWORD));
    let answers = rocket::futures::future::join_all(all).await;
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!busy.is_empty() && answers.iter().all(|answer| matches!(answer.status, 201 | 503)));
    for answer in busy {
        assert_eq!(answer.problem(), "unavailable");
        assert_eq!(answer.header("Retry-After"), Some("1"));
    }
}
