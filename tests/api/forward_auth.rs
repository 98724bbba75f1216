//! What a reverse proxy is told about a request.

use crate::helpers::*;

async fn ask(caller: &Caller<'_>, query: &str) -> Answer {
    caller.get(&format!("/forward-auth{query}")).send().await
}

#[rocket::async_test]
async fn whoever_has_a_live_token_may_pass_and_the_headers_say_who_it_is() {
    let app = App::new().await;
    let caller = app.user_with("fußball+1%@example.com", "invoices user").await;
    let id = app.record("fußball+1%@example.com").await.id.to_string();
    for query in ["", "?scope=invoices", "?scope=user+invoices", "?scope=user%20invoices"] {
        let answer = ask(&caller, query).await.expect(204);
        assert_eq!(answer.header("X-Shild-User-Id"), Some(&*id), "{query}");
        assert_eq!(
            answer.header("X-Shild-Username"),
            Some("fu%C3%9Fball%2B1%25@example.com")
        );
        assert_eq!(answer.header("X-Shild-Scopes"), Some("invoices user"));
        assert!(answer.body.is_empty());
    }
    // What the token carries, not what its user has.
    let narrow = app.signed_in("fußball+1%@example.com", Some("user")).await;
    let answer = ask(&narrow, "").await.expect(204);
    assert_eq!(answer.header("X-Shild-Scopes"), Some("user"));
    ask(&narrow, "?scope=invoices").await.expect(403);
}

// B3
#[rocket::async_test]
async fn who_lacks_one_of_the_scopes_does_not_pass() {
    let app = App::new().await;
    let caller = app.user_with("alice", "invoices user").await;
    for (query, needed) in [
        ("?scope=admin", "admin"),
        ("?scope=user%20admin", "admin user"),
        ("?scope=admin+user", "admin user"),
    ] {
        let answer = ask(&caller, query).await.expect(403);
        assert_eq!(answer.problem(), "insufficient-scope", "{query}");
        let challenge = format!(
            r#"Bearer realm="shild", error="insufficient_scope", error_description="The token lacks a scope", scope="{needed}""#
        );
        assert_eq!(answer.challenge(), challenge, "{query}");
        assert_eq!(answer.header("X-Shild-User-Id"), None, "{query}");
    }
}

// B1
#[rocket::async_test]
async fn who_has_no_token_does_not_pass() {
    let app = App::new().await;
    let answer = ask(&app.anonymous(), "").await.expect(401);
    assert_eq!(answer.challenge(), r#"Bearer realm="shild""#);
}

#[rocket::async_test]
async fn a_query_that_is_not_understood_lets_nobody_pass() {
    let app = App::new().await;
    let caller = app.user_with("alice", "invoices user").await;
    for query in [
        "?scopes=user",
        "?scope=user&colour=green",
        "?scope=user&scope=user",
        "?scope=",
        "?scope",
    ] {
        assert_eq!(
            ask(&caller, query).await.expect(400).problem(),
            "bad-request",
            "{query}"
        );
    }
}
