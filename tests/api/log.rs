//! The log: one line a request, and nothing in it that is secret or that the client has put there (H13, H14).

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use rocket::http::Method;
use rocket::{get, routes};
use shild::audit::AuditFilter;
use shild::log::{Format, Level, subscriber};
use shild::store::Store;

use crate::helpers::*;

thread_local! {
    /// What this test has logged: the local client does everything on the thread of the test.
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs from here on, everything there is. One subscriber for the process: whether a place in the code is of interest is
/// remembered for all threads together, so those of single threads would miss events.
fn begin() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let all = subscriber(Format::Json, Level::Trace, || Sink);
        tracing::subscriber::set_global_default(all).expect("it is the only one");
    });
}

fn logged() -> String {
    LOGGED.with_borrow(|logged| String::from_utf8(logged.clone()).unwrap())
}

#[get("/breaks")]
fn breaks() -> &'static str {
    panic!("hunter2-panic")
}

// H14
#[rocket::async_test]
async fn no_password_no_token_and_no_query_is_logged_or_audited() {
    begin();
    let app = App::beside(routes![breaks]).await;
    let alice = app.user("alice").await;
    let mut secrets = vec![PASSWORD.to_owned(), "hunter2".to_owned(), "wherefore".to_owned()];
    secrets.extend([alice.access_token().to_owned(), alice.refresh_token().to_owned()]);

    me(&alice).await.expect(200);
    me(&app.bearer("hunter2-bearer")).await.expect(401);
    app.anonymous()
        .get("/user/me?access_token=hunter2-query")
        .send()
        .await
        .expect(401);
    app.anonymous()
        .get("/nowhere/hunter2-path?token=hunter2-query")
        .send()
        .await
        .expect(404);
    app.anonymous()
        .call(Method::Put, "/shild?password=hunter2-query")
        .send()
        .await
        .expect(405);
    sign_in(&app, "alice", "hunter2-wrong").await.expect(400);
    sign_in(&app, "hunter2-in-the-wrong-field", "x").await.expect(400);
    register(&app, "bertha", "hunter2").await.expect(422);
    register(&app, "hunter2 with a space", PASSWORD).await.expect(422);
    let broken = r#"{"username":"x","password":"hunter2"#;
    app.anonymous()
        .post("/register")
        .body("application/json", broken)
        .send()
        .await
        .expect(400);
    let basic = app
        .anonymous()
        .post("/shild")
        .header("Authorization", "Basic aHVudGVyMjpodW50ZXIy");
    basic.raw_form("grant_type=password").send().await.expect(400);
    app.anonymous()
        .post("/revoke")
        .form(&[("token", "hunter2")])
        .send()
        .await
        .expect(200);
    let next = refresh(&app, alice.refresh_token()).await.expect(200);
    secrets.extend([next.text_at("access_token"), next.text_at("refresh_token")]);
    app.advance(60);
    refresh(&app, alice.refresh_token()).await.expect(400);
    app.anonymous().get("/breaks?x=hunter2-query").send().await.expect(500);

    let store: &dyn Store = &*app.store;
    let audit = store.list_events(&AuditFilter::default(), None, 100).await.unwrap();
    assert!(audit.len() >= 4, "{audit:?}");
    let audit = serde_json::to_string(&audit).unwrap();
    let log = logged();
    // Level trace: something is there to be looked through.
    assert!(log.lines().count() >= 15, "{log}");
    for secret in secrets
        .iter()
        .map(String::as_str)
        .chain(["aHVudGVyMjpodW50ZXIy", "$argon2", "k4.secret", "?"])
    {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        assert!(!audit.contains(secret), "{secret} is in the audit log:\n{audit}");
    }
}

#[rocket::async_test]
async fn a_request_is_one_line_with_its_id_route_status_and_time() {
    begin();
    let app = App::new().await;
    let id = "abc-1";
    app.anonymous()
        .get("/healthz?x=1")
        .header("X-Request-Id", id)
        .send()
        .await
        .expect(200);
    app.anonymous().delete("/keys/k4.pid.x").send().await.expect(401);
    app.anonymous().get("/nowhere").send().await.expect(404);

    let lines: Vec<serde_json::Value> = logged()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let requests: Vec<_> = lines.iter().filter(|line| line["target"] == "shild::request").collect();
    assert_eq!(requests.len(), 3);
    assert_eq!(
        (&requests[0]["id"], &requests[0]["method"]),
        (&id.into(), &"GET".into())
    );
    assert_eq!(
        (&requests[0]["route"], &requests[0]["status"]),
        (&"/healthz".into(), &200.into())
    );
    assert!(requests[0]["micros"].is_u64());
    assert_eq!(
        (&requests[1]["route"], &requests[1]["status"]),
        (&"/keys/<kid>".into(), &401.into())
    );
    assert_eq!(
        (&requests[2]["route"], &requests[2]["status"]),
        (&"-".into(), &404.into())
    );
}

// H13
#[rocket::async_test]
async fn nothing_in_a_request_makes_a_line_of_its_own() {
    begin();
    let app = App::new().await;
    let before = logged().lines().count();
    let forged = "x\n2026-01-01T00:00:00Z ERROR shild: forged";
    let call = app
        .anonymous()
        .post("/shild")
        .header("X-Request-Id", forged)
        .header("User-Agent", forged);
    let form = [
        ("grant_type", "password"),
        ("username", forged),
        ("password", forged),
        ("scope", forged),
    ];
    call.form(&form).send().await.expect(400);
    let log = logged();
    assert!(log.lines().count() > before && !log.contains("forged"), "{log}");
}

// T6, W8: a hash that nothing can be compared with
#[rocket::async_test]
async fn a_damaged_hash_is_a_wrong_password_outside_and_damage_in_the_log() {
    begin();
    let app = App::new().await;
    let alice = app.user("alice").await;
    app.user("bertha").await;
    for damaged in [
        "",
        "hunter2-damaged",
        "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$bm9oYXNo",
    ] {
        let hash = serde_json::from_value(damaged.into()).unwrap();
        app.change("alice", |user| user.password_hash = Some(hash)).await;

        let before = shild::testing::hashes(&app.shild);
        let of_alice = sign_in(&app, "alice", PASSWORD).await.expect(400).comparable();
        assert_eq!(shild::testing::hashes(&app.shild), before + 1, "{damaged}");
        let of_bertha = sign_in(&app, "bertha", "another word 7").await.comparable();
        assert_eq!((of_alice.headers, of_alice.body), (of_bertha.headers, of_bertha.body));
        let changed = change_password(&alice, PASSWORD, "another word 7 for alice").await;
        changed.expect(403);
    }
    let id = app.record("alice").await.id.to_string();
    let log = logged();
    let damage: Vec<_> = log.lines().filter(|line| line.contains("damage")).collect();
    assert_eq!(damage.len(), 6, "{log}");
    assert!(
        damage.iter().all(|line| line.contains("ERROR") && line.contains(&id)),
        "{log}"
    );
    assert!(!log.contains("hunter2") && !log.contains(PASSWORD), "{log}");

    let admin = app.admin().await;
    let token = start_reset(&admin, "alice").await;
    reset(&app, &token, "another word 7 for alice").await.expect(204);
    sign_in(&app, "alice", "another word 7 for alice").await.expect(200);
}
