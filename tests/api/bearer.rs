//! Bearer tokens at protected routes: RFC 6750, and PASETO as it is seen from outside.

use crate::helpers::*;

const INVALID: &str =
    r#"Bearer realm="shild", error="invalid_token", error_description="The access token is not valid""#;

async fn with_authorization(app: &App, header: &str) -> Answer {
    app.anonymous()
        .get("/user/me")
        .header("Authorization", header)
        .send()
        .await
}

// B1
#[rocket::async_test]
async fn without_credentials_the_challenge_has_no_error() {
    let app = App::new().await;
    let bare = me(&app.anonymous()).await.expect(401);
    assert_eq!(bare.challenge(), r#"Bearer realm="shild""#);
    assert_eq!(bare.problem(), "unauthenticated");
    for header in ["Basic Og==", "Digest x", "Bearerabc", ""] {
        assert_eq!(
            with_authorization(&app, header).await.comparable(),
            bare.clone().comparable(),
            "{header}"
        );
    }
}

// B2
#[rocket::async_test]
async fn bad_expired_revoked_and_foreign_tokens_get_one_answer() {
    let app = App::new().await;
    let elsewhere = App::new().await.user("alice").await.access_token.unwrap();
    let revoked = app.user("bertha").await;
    revoked.post("/logout").send().await.expect(204);
    let good = app.user("alice").await;
    let expired = app
        .forge(good.access_token(), |claims| {
            claims.exp = claims.iat.before(std::time::Duration::from_secs(60));
        })
        .await;
    let answer = with_authorization(&app, "Bearer nonsense")
        .await
        .expect(401)
        .comparable();
    assert_eq!(
        (answer.challenge(), answer.problem().as_str()),
        (INVALID, "invalid-token")
    );
    for token in [&elsewhere, revoked.access_token(), &expired, good.refresh_token()] {
        assert_eq!(me(&app.bearer(token)).await.comparable(), answer, "{token}");
    }
}

// B3
#[rocket::async_test]
async fn a_token_without_the_scope_is_told_which_one() {
    let app = App::new().await;
    let caller = app.user_with("alice", "invoices").await;
    let answer = me(&caller).await.expect(403);
    assert_eq!(
        answer.challenge(),
        r#"Bearer realm="shild", error="insufficient_scope", error_description="The token lacks a scope", scope="user""#
    );
    assert_eq!(answer.problem(), "insufficient-scope");
}

// B4
#[rocket::async_test]
async fn malformed_credentials_are_a_bad_request() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    for header in [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a,b",
        "Bearer é",
        "Bearer =",
        "Bearer v4.public.a=.b",
    ] {
        let answer = with_authorization(&app, header).await.expect(400);
        assert_eq!(answer.problem(), "invalid-request", "{header}");
        assert!(answer.challenge().contains(r#"error="invalid_request""#), "{header}");
    }
    let header = format!("Bearer {}", alice.access_token());
    let twice = alice.get("/user/me").header("Authorization", &header).send().await;
    assert_eq!(twice.expect(400).problem(), "invalid-request");
}

// B5
#[rocket::async_test]
async fn the_scheme_is_read_in_any_case_with_any_spaces() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    for scheme in ["bEaReR ", "BEARER    "] {
        with_authorization(&app, &format!("{scheme}{}", alice.access_token()))
            .await
            .expect(200);
    }
}

// B6
#[rocket::async_test]
async fn a_token_in_the_url_or_in_the_body_is_not_read() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let url = format!("/user/me?access_token={}", alice.access_token());
    let answer = app.anonymous().get(&url).send().await.expect(401);
    assert_eq!(answer.challenge(), r#"Bearer realm="shild""#);
    let form = [("access_token", alice.access_token())];
    app.anonymous().post("/logout").form(&form).send().await.expect(401);
}

// B7
#[rocket::async_test]
async fn each_attribute_of_a_challenge_comes_once() {
    let app = App::new().await;
    let alice = app.user_with("alice", "invoices").await;
    for answer in [
        me(&app.anonymous()).await,
        me(&app.bearer("nonsense")).await,
        me(&alice).await,
        with_authorization(&app, "Bearer").await,
        app.anonymous().post("/introspect").send().await,
    ] {
        // challenge() sees to it that there is one header.
        let challenge = answer.challenge();
        for attribute in ["realm=", "error=", "error_description=", "scope="] {
            assert!(challenge.matches(&format!(" {attribute}")).count() <= 1, "{challenge}");
        }
    }
}

// B8: a change of scopes bites on the next request, in both directions
#[rocket::async_test]
async fn a_change_of_scopes_bites_on_the_next_request() {
    let app = App::new().await;
    let alice = app.user_with("alice", "invoices user").await;
    me(&alice).await.expect(200);
    app.change("alice", |user| {
        user.scopes = shild::user::Scopes::parse("invoices").unwrap();
    })
    .await;
    me(&alice).await.expect(403);
    app.change("alice", |user| {
        user.scopes = shild::user::Scopes::parse("admin user").unwrap();
    })
    .await;
    me(&alice).await.expect(200);
    // What the token was not given it does not get later.
    alice.post("/keys/rotate").send().await.expect(403);
}

// P2, P8, P9, P11
#[rocket::async_test]
async fn only_strict_v4_public_tokens_are_accepted() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let token = alice.access_token();
    let parts: Vec<_> = token.split('.').collect();
    let [_, _, body, footer] = parts[..] else {
        panic!("{token}")
    };
    let last = if body.ends_with('A') { 'B' } else { 'A' };
    let long = format!("v4.public.{}.{footer}", "A".repeat(4096));
    for bad in [
        format!("v2.public.{body}.{footer}"),
        format!("v3.public.{body}.{footer}"),
        format!("v4.local.{body}.{footer}"),
        format!("V4.PUBLIC.{body}.{footer}"),
        format!("v4.public.{body}"),
        format!("v4.public.{body}."),
        format!("v4.public.{body}.{footer}="),
        format!("v4.public.{body}.{footer}.{footer}"),
        format!("v4.public.{body}.e30"),
        format!("v4.public.{}{last}.{footer}", &body[..body.len() - 1]),
        long,
    ] {
        assert_eq!(me(&app.bearer(&bad)).await.expect(401).challenge(), INVALID, "{bad}");
    }
    me(&alice).await.expect(200);
}

// P4
#[rocket::async_test]
async fn who_registers_a_deleted_name_again_is_somebody_else() {
    let app = App::new().await;
    let old = app.user("alice").await;
    let id = me(&old).await.text_at("id");
    app.delete("alice").await;
    let new = app.user("alice").await;
    assert_ne!(me(&new).await.expect(200).text_at("id"), id);
    assert_eq!(me(&old).await.expect(401).challenge(), INVALID);
    assert_eq!(
        refresh(&app, old.refresh_token()).await.expect(400).oauth_error(),
        "invalid_grant"
    );
}

// P5
#[rocket::async_test]
async fn tokens_for_others_are_refused_though_the_signature_is_good() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let bertha = app.user("bertha").await;
    let other = app.shild.authenticate(bertha.access_token()).await.unwrap();
    let token = alice.access_token();
    me(&app.bearer(&app.forge(token, |_| {}).await)).await.expect(200);
    for forged in [
        app.forge(token, |claims| claims.iss.push('/')).await,
        app.forge(token, |claims| claims.aud = "somebody".to_owned()).await,
        app.forge(token, |claims| claims.sub = other.user.id).await,
        app.forge(token, |claims| claims.sid = other.session.id).await,
    ] {
        assert_eq!(me(&app.bearer(&forged)).await.expect(401).challenge(), INVALID);
    }
}

// P6
#[rocket::async_test]
async fn a_token_lives_as_long_as_it_says_and_30_seconds_of_skew() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    app.advance(900 + 29);
    me(&alice).await.expect(200);
    app.advance(1);
    me(&alice).await.expect(401);
}

// P6
#[rocket::async_test]
async fn a_token_from_the_future_is_good_up_to_30_seconds_ahead() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let ahead = |seconds| move |at: shild::clock::Timestamp| at.after(std::time::Duration::from_secs(seconds));
    for (seconds, status) in [(29, 200), (30, 200), (31, 401)] {
        let ahead = ahead(seconds);
        let nbf = app
            .forge(alice.access_token(), |claims| claims.nbf = ahead(claims.nbf))
            .await;
        let iat = app
            .forge(alice.access_token(), |claims| claims.iat = ahead(claims.iat))
            .await;
        me(&app.bearer(&nbf)).await.expect(status);
        me(&app.bearer(&iat)).await.expect(status);
    }
}

// B1–B3 at an OAuth endpoint: the challenge is the same, the body is that of RFC 6749 §5.2
#[rocket::async_test]
async fn introspection_answers_its_callers_challenges_as_an_oauth_endpoint() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let answer = app
        .anonymous()
        .post("/introspect")
        .form(&[("token", "x")])
        .send()
        .await
        .expect(401);
    assert_eq!(answer.challenge(), r#"Bearer realm="shild""#);
    answer.oauth_error();
    let answer = alice
        .post("/introspect")
        .form(&[("token", "x")])
        .send()
        .await
        .expect(403);
    assert_eq!(answer.oauth_error(), "insufficient_scope");
    assert!(answer.challenge().ends_with(r#"scope="introspect""#));
}
