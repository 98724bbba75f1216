//! H4: off by default, an exact list, never with credentials.

use rocket::http::Method;

use crate::helpers::*;

const LISTED: &str = "https://app.example";

async fn listing(origin: &str) -> App {
    let origin = origin.to_owned().try_into().expect("an origin");
    App::with(|settings| settings.cors.allow_origins = vec![origin]).await
}

#[rocket::async_test]
async fn no_origin_is_allowed_unless_it_is_listed() {
    let app = App::new().await;
    let answer = app.anonymous().get("/healthz").header("Origin", LISTED).send().await;
    assert!(answer.header("access-control-allow-origin").is_none());
    let app = listing(LISTED).await;
    for other in [
        "https://app.example.evil",
        "http://app.example",
        "https://APP.example",
        "null",
        "*",
        "",
    ] {
        let answer = app.anonymous().get("/healthz").header("Origin", other).send().await;
        assert!(answer.header("access-control-allow-origin").is_none(), "{other}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{other}");
    }
}

#[rocket::async_test]
async fn a_listed_origin_may_ask_and_read_but_not_with_credentials() {
    let app = listing(LISTED).await;
    let answer = app
        .anonymous()
        .get("/user/me")
        .header("Origin", LISTED)
        .send()
        .await
        .expect(401);
    assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
    assert!(answer.header("access-control-allow-credentials").is_none());
    let preflight = app
        .anonymous()
        .call(Method::Options, "/user/me")
        .header("Origin", LISTED);
    let answer = preflight
        .header("Access-Control-Request-Method", "PATCH")
        .send()
        .await
        .expect(204);
    assert!(
        answer
            .header("access-control-allow-methods")
            .is_some_and(|all| all.contains("PATCH"))
    );
    assert!(
        answer
            .header("access-control-allow-headers")
            .is_some_and(|all| all.contains("Authorization"))
    );
    assert!(answer.header("access-control-allow-credentials").is_none());
}

// What a proxy adds may not be what the browser said: of two origins neither counts.
#[rocket::async_test]
async fn of_two_origins_none_is_allowed() {
    let app = listing(LISTED).await;
    for other in [LISTED, "https://evil.example"] {
        let call = app.anonymous().get("/healthz").header("Origin", LISTED);
        let answer = call.header("Origin", other).send().await.expect(200);
        assert!(answer.header("access-control-allow-origin").is_none(), "{other}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{other}");
    }
}

// What a refusal or another method's answer said would hold for ten minutes.
#[rocket::async_test]
async fn only_the_answer_to_a_preflight_says_what_may_be_sent() {
    let app = listing(LISTED).await;
    for (method, path, status) in [
        (Method::Options, "/nowhere", 404),
        (Method::Get, "/healthz", 200),
        (Method::Post, "/healthz", 405),
    ] {
        let call = app.anonymous().call(method, path).header("Origin", LISTED);
        let call = call.header("Access-Control-Request-Method", "DELETE");
        let answer = call.send().await.expect(status);
        for name in ["methods", "headers"] {
            let name = format!("access-control-allow-{name}");
            assert!(answer.header(&name).is_none(), "{method} {path}: {answer}");
        }
        assert!(answer.header("access-control-max-age").is_none(), "{method} {path}");
    }
}
