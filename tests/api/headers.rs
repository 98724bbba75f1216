//! What every response carries, whatever it answers.

use rocket::http::Method;
use rocket::{Route, get, routes};

use crate::helpers::*;

#[get("/breaks")]
fn breaks() -> &'static str {
    panic!("the password is hunter2")
}

fn broken() -> Vec<Route> {
    routes![breaks]
}

/// A name, and an answer of each kind that there is.
async fn answers(app: &App) -> Vec<(&'static str, Answer)> {
    let anonymous = app.anonymous();
    let alice = app.user("alice").await;
    let mut all = Vec::new();
    for (name, method, path) in [
        ("a page", Method::Get, "/docs"),
        ("an asset", Method::Get, "/docs/swagger-ui.css"),
        ("the document", Method::Get, "/openapi.json"),
        ("the account page", Method::Get, "/"),
        ("an asset", Method::Get, "/account/main.js"),
        ("without a body", Method::Head, "/user/me"),
        ("health", Method::Get, "/healthz"),
        ("metadata", Method::Get, "/.well-known/oauth-authorization-server"),
        ("a problem explained", Method::Get, "/problems/not-found"),
        ("401", Method::Get, "/user/me"),
        ("404", Method::Get, "/nowhere"),
        ("404 below", Method::Get, "/user/me/nowhere"),
        ("405", Method::Put, "/user/me"),
        ("options", Method::Options, "/user/me"),
        ("trace", Method::Trace, "/user/me"),
        ("413 or 415", Method::Post, "/register"),
        ("an OAuth error", Method::Post, "/shild"),
        ("a panic", Method::Get, "/breaks"),
    ] {
        all.push((name, anonymous.call(method, path).send().await));
    }
    all.push(("a user", me(&alice).await));
    all.push(("tokens", sign_in(app, "alice", PASSWORD).await));
    all.push(("nothing to say", alice.post("/logout").send().await));
    all
}

// H1
#[rocket::async_test]
async fn every_response_carries_the_security_headers() {
    let app = App::beside(broken()).await;
    for (name, answer) in answers(&app).await {
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{name}");
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"), "{name}");
        let policy = answer.header("Content-Security-Policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{name}: {policy}"
        );
        let server = answer.header("Server").unwrap_or_default();
        assert!(!server.bytes().any(|b| b.is_ascii_digit()), "{name}: {server}");
        assert_eq!(answer.header("X-Request-Id").map(str::len), Some(32), "{name}");
        let kept = answer.header("Cache-Control").unwrap_or_default();
        let public = ["a page", "the account page", "an asset", "the document"].contains(&name);
        assert_eq!(kept, if public { "no-cache" } else { "no-store" }, "{name}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{name}");
    }
}

// H5, H14
#[rocket::async_test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    let app = App::beside(broken()).await;
    let answer = app.anonymous().get("/breaks").send().await.expect(500);
    assert_eq!(answer.problem(), "internal");
    assert!(
        !answer.to_string().contains("hunter2") && !answer.text().contains(".rs"),
        "{answer}"
    );
}

// H13
#[rocket::async_test]
async fn a_request_id_is_echoed_only_if_it_is_harmless() {
    let app = App::new().await;
    let id_for = async |given: &str| {
        let call = app.anonymous().get("/healthz").header("X-Request-Id", given);
        call.send().await.header("X-Request-Id").unwrap().to_owned()
    };
    let longest = "a".repeat(64);
    for id in ["1", "A.b_c-9", &longest] {
        assert_eq!(id_for(id).await, id);
    }
    for id in ["", "a b", "a;b", "a\nb", "é", "<script>", &"a".repeat(65)] {
        let made = id_for(id).await;
        assert!(
            made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id:?} became {made}"
        );
    }
    assert_ne!(id_for("").await, id_for("").await);
}

// H5
#[rocket::async_test]
async fn what_is_not_found_is_a_problem() {
    let app = App::new().await;
    for path in [
        "/nowhere",
        "/user",
        "/user/me/me",
        "/register/x",
        "/docs/../etc/passwd",
        "/%00",
        "/keys/a/b",
    ] {
        assert_eq!(
            app.anonymous().get(path).send().await.expect(404).problem(),
            "not-found",
            "{path}"
        );
    }
}
