//! JSON bodies, read strictly (requirement H11).

use serde_json::json;

use crate::helpers::*;

async fn posted(app: &App, body: impl Into<Vec<u8>>) -> Answer {
    app.anonymous()
        .post("/register")
        .body("application/json", body)
        .send()
        .await
}

#[rocket::async_test]
async fn what_is_json_but_not_what_is_wanted_is_pointed_at() {
    let app = App::new().await;
    for (body, pointer, code) in [
        (
            r#"{"username":"a","username":"b","password":"x"}"#,
            "/username",
            "duplicate",
        ),
        (
            r#"{"username":"a","password":"x","us\u0065rname":"b"}"#,
            "/username",
            "duplicate",
        ),
        (r#"{"username":"a","password":"x","a/b":1}"#, "/a~1b", "unknown"),
        (r#"{"username":"a"}"#, "/password", "missing"),
        (r#"{"username":null,"password":"x"}"#, "/username", "type"),
        (r#"{"username":"a","password":["hunter2"]}"#, "/password", "type"),
        (r#"{"username":"a","password":"x"} {}"#, "", "trailing"),
        (r#"["a","x"]"#, "", "type"),
        ("null", "", "type"),
    ] {
        let answer = posted(&app, body).await.expect(422);
        assert_eq!(answer.problem(), "invalid-body", "{body}");
        assert_eq!(answer.fault(), (pointer.to_owned(), code.to_owned()), "{body}");
        assert!(!answer.text().contains("hunter2"), "{answer}");
    }
}

#[rocket::async_test]
async fn what_is_not_json_is_a_bad_request() {
    let app = App::new().await;
    // The object is a level too.
    let nested = |lists| format!(r#"{{"username":{}1{}}}"#, "[".repeat(lists), "]".repeat(lists));
    let deep = nested(32);
    posted(&app, nested(31)).await.expect(422);
    for body in [
        "",
        "{",
        r#"{"username":"\ud800","password":"x"}"#,
        "{'username':1}",
        "\u{feff}{}",
        &deep,
    ] {
        assert_eq!(posted(&app, body).await.expect(400).problem(), "bad-request", "{body}");
    }
    let raw = &b"{\"username\":\"\xff\",\"password\":\"x\"}"[..];
    assert_eq!(posted(&app, raw).await.expect(400).problem(), "bad-request");
}

// H5, H9
#[rocket::async_test]
async fn size_and_content_type_are_looked_at_first() {
    let app = App::new().await;
    let body = |length: usize| {
        let empty = json!({ "username": "alice", "password": PASSWORD, "x": "" })
            .to_string()
            .len();
        json!({ "username": "alice", "password": PASSWORD, "x": "x".repeat(length - empty) }).to_string()
    };
    assert_eq!(posted(&app, body(8192)).await.expect(422).fault().0, "/x");
    assert_eq!(
        posted(&app, body(8193)).await.expect(413).problem(),
        "payload-too-large"
    );
    for kind in ["text/plain", "application/x-www-form-urlencoded", "text/json"] {
        let answer = app
            .anonymous()
            .post("/register")
            .body(kind, body(100))
            .send()
            .await
            .expect(415);
        assert_eq!(answer.problem(), "unsupported-media-type", "{kind}");
    }
    let untyped = app.anonymous().post("/register").send().await.expect(415);
    assert_eq!(untyped.problem(), "unsupported-media-type");
    let kind = "application/json; charset=utf-8";
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();
    app.anonymous()
        .post("/register")
        .body(kind, body)
        .send()
        .await
        .expect(201);
}
