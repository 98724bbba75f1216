//! Moving in over HTTP: W7, and the exports of other programs as those write them (see `fixtures/import/exports.py`).

use shild::store::{SessionStore as _, Store, UserStore as _};
use shild::transfer::Line;
use shild::transfer::import::{Added, ImportReport};

use crate::helpers::*;
use crate::unreliable::Fault;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/import/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn import(caller: &Caller<'_>, query: &str, input: impl Into<Vec<u8>>) -> ImportReport {
    let call = caller
        .post(&format!("/import{query}"))
        .body("application/octet-stream", input);
    serde_json::from_value(call.send().await.expect(200).json()).expect("a report")
}

/// Added, skipped, refused.
fn counts(report: &ImportReport) -> (u64, u64, u64) {
    assert_eq!(report.refused, report.refusals.len() as u64);
    (report.added.users, report.skipped, report.refused)
}

async fn sign_in(app: &App, username: &str, password: &str) -> u16 {
    let form = [
        ("grant_type", "password"),
        ("username", username),
        ("password", password),
    ];
    app.anonymous().post("/shild").form(&form).send().await.status
}

fn hash(app: &App, name: &str) -> impl Future<Output = Option<String>> {
    let record = app.record(name);
    async { record.await.password_hash.map(|hash| hash.expose().to_owned()) }
}

/// Imports the export, and shows that those who could sign in there sign in here, with a hash of Argon2id from then on, and
/// that a second import changes nothing. The last of the numbers is how many were left out.
async fn moves_in(format: &str, file: &str, enabled: &[(&str, &str)], disabled: &[&str], left_out: u64) {
    let app = App::new().await;
    let admin = app.admin().await;
    let query = format!("?format={format}");
    let users = (enabled.len() + disabled.len()) as u64;

    let report = import(&admin, &format!("{query}&dry_run=true"), fixture(file)).await;
    assert_eq!(counts(&report), (users, left_out, 0), "{file}: {report:?}");
    assert!(report.dry_run);
    for (name, _) in enabled {
        let store: &dyn Store = &*app.store;
        assert_eq!(
            store.find_by_username(&username(name)).await,
            Ok(None),
            "a dry run wrote"
        );
    }

    let report = import(&admin, &query, fixture(file)).await;
    assert_eq!(counts(&report), (users, left_out, 0), "{file}: {report:?}");
    for (name, password) in enabled {
        assert_eq!(
            sign_in(&app, name, &password.replace("play", "pray")).await,
            400,
            "{file}: {name}"
        );
        assert_eq!(sign_in(&app, name, password).await, 200, "{file}: {name}");
        let hash = hash(&app, name).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{file}: {name}");
        assert_eq!(
            sign_in(&app, name, password).await,
            200,
            "{file}: {name}, the second time"
        );
        assert!(!app.record(name).await.scopes.contains("admin"));
    }
    for name in disabled {
        assert!(app.record(name).await.disabled, "{file}: {name}");
        assert_eq!(
            sign_in(&app, name, &format!("{name} of the play 7")).await,
            400,
            "{file}: {name}"
        );
    }

    let before = app.store.list(None, 100).await;
    let report = import(&admin, &query, fixture(file)).await;
    assert_eq!(counts(&report), (0, users + left_out, 0), "{file}: {report:?}");
    assert_eq!(app.store.list(None, 100).await, before);
}

const JULIET: (&str, &str) = ("juliet@example.com", "juliet@example.com of the play 7");
const ROMEO: (&str, &str) = ("romeo@example.com", "romeo@example.com of the play 7");
const NURSE: (&str, &str) = ("nurse@example.com", "nurse@example.com of the play 7");

// W7
#[rocket::async_test]
async fn users_of_supabase_move_in() {
    for file in ["supabase.csv", "supabase.json"] {
        moves_in(
            "supabase",
            file,
            &[JULIET, NURSE],
            &["romeo@example.com", "paris@example.com"],
            2,
        )
        .await;
    }
}

// W7
#[rocket::async_test]
async fn users_of_django_move_in() {
    let app = App::new().await;
    let admin = app.admin().await;
    let report = import(&admin, "?format=django&admins=true", fixture("django.json")).await;
    // The group is left out.
    assert_eq!(counts(&report), (5, 1, 0), "{report:?}");
    for name in ["juliet", "romeo", "nurse"] {
        assert_eq!(
            sign_in(&app, name, &format!("{name} of the play 7")).await,
            200,
            "{name}"
        );
        assert!(hash(&app, name).await.unwrap().starts_with("$argon2id$"), "{name}");
        assert_eq!(app.record(name).await.scopes.contains("admin"), name == "juliet");
    }
    assert!(app.record("paris").await.disabled);
    assert_eq!(hash(&app, "tybalt").await, None);
    let report = import(&admin, "?format=django", fixture("django.json")).await;
    assert_eq!(counts(&report), (0, 6, 0), "{report:?}");
}

// W7
#[rocket::async_test]
async fn users_of_pocketbase_move_in() {
    moves_in("pocketbase", "pocketbase.json", &[JULIET, ROMEO, NURSE], &[], 0).await;
    let romeo = ("romeo", ROMEO.1);
    moves_in(
        "pocketbase",
        "pocketbase-before-0.23.csv",
        &[JULIET, romeo, NURSE],
        &[],
        0,
    )
    .await;
}

// W7
#[rocket::async_test]
async fn users_of_fastapi_users_move_in() {
    for file in ["fastapi-users.csv", "fastapi-users.ndjson"] {
        moves_in("fastapi-users", file, &[JULIET, ROMEO], &["nurse@example.com"], 0).await;
    }
}

#[rocket::async_test]
async fn a_broken_line_is_reported_with_its_number_and_the_others_go_in() {
    let app = App::new().await;
    let admin = app.admin().await;
    let lines = [
        r#"{"kind":"header","format":"shild","version":1}"#,
        r#"{"kind":"user","username":"juliet"}"#,
        r#"{"kind":"user","username":"romeo""#,
        "",
        r#"{"username":"foo bar"}"#,
        r#"{"username":"nurse","password":"hunter2"}"#,
        r#"{"username":"paris","scopes":["user","reports"],"disabled":true}"#,
        r#"{"username":"JULIET","created_at":"2024-03-01T00:00:00Z","password_hash":"$2b$04$1xhaO2n6Np/Gu/fTbrM0/.bRNRYuX3JtGnKIWo7r1/PHOn5fhFhPq"}"#,
        r#"{"username":"ju1iet"}"#,
        r#"{"kind":"end","users":7,"sessions":0,"events":0}"#,
    ];
    for dry_run in ["?dry_run=true", ""] {
        let report = import(&admin, dry_run, lines.join("\n")).await;
        assert_eq!(counts(&report), (2, 0, 5), "{report:?}");
        let reasons: Vec<_> = report.refusals.iter().map(|it| (it.line, &*it.reason)).collect();
        assert_eq!(reasons[0].0, 3);
        assert!(reasons[0].1.starts_with("is not a JSON object"), "{reasons:?}");
        assert!(
            reasons[1].0 == 5 && reasons[1].1.starts_with("/username: "),
            "{reasons:?}"
        );
        assert!(
            reasons[2].0 == 6 && reasons[2].1.starts_with("/password: "),
            "{reasons:?}"
        );
        assert_eq!(reasons[3], (8, "the username is taken by another user"));
        assert_eq!(reasons[4], (9, "the username looks like one that is taken"));
    }
    assert_eq!(app.record("paris").await.scopes.to_string(), "reports user");
    assert!(app.record("paris").await.disabled);
}

#[rocket::async_test]
async fn an_export_that_was_cut_off_is_noticed() {
    let app = App::new().await;
    let admin = app.admin().await;
    let lines = "{\"kind\":\"header\",\"format\":\"shild\",\"version\":1}\n{\"username\":\"juliet\"}\n";
    let report = import(&admin, "", lines).await;
    assert_eq!(counts(&report), (1, 0, 1));
    assert!(report.refusals[0].reason.contains("cut off"), "{report:?}");
}

// P4: a deleted user's sessions must not come back to life with its id.
#[rocket::async_test]
async fn an_id_that_was_deleted_and_is_imported_again_has_no_sessions() {
    let app = App::new().await;
    let admin = app.admin().await;
    let juliet = app.user("juliet").await;
    let record = app.record("juliet").await;
    app.delete("juliet").await;
    let line = serde_json::json!({ "id": record.id, "username": "juliet" }).to_string();
    let report = import(&admin, "", line).await;
    assert_eq!(counts(&report), (1, 0, 0));
    assert_eq!(app.record("juliet").await.id, record.id);
    assert_eq!(juliet.get("/user/me").send().await.status, 401);
}

// T19: nor an ended session with an export that was made before.
#[rocket::async_test]
async fn sessions_go_in_with_their_users_and_never_alone() {
    let app = App::new().await;
    let admin = app.admin().await;
    let juliet = app.user("juliet").await;
    let user = app.record("juliet").await;
    let sessions = app.store.scan_sessions(None, 10).await.unwrap();
    let session = sessions.iter().find(|session| session.user_id == user.id).unwrap();
    let lines = [Line::User(user.clone().into()), Line::Session(session.clone().into())];
    let lines = lines.map(|line| serde_json::to_string(&line).unwrap()).join("\n");

    juliet.post("/logout").send().await.expect(204);
    let report = import(&admin, "", lines.clone()).await;
    assert_eq!((report.added, report.skipped), (Added::default(), 2), "{report:?}");
    assert_eq!(juliet.get("/user/me").send().await.status, 401);

    let elsewhere = App::new().await;
    let report = import(&elsewhere.admin().await, "", lines).await;
    assert_eq!((report.added.users, report.added.sessions), (1, 1), "{report:?}");
    assert_eq!(elsewhere.record("juliet").await, user);
}

// Failed before: one that broke off left no trace.
#[rocket::async_test]
async fn an_import_is_audited_when_it_begins_and_when_it_has_ended_and_a_dry_run_is_not() {
    let app = App::new().await;
    let admin = app.admin().await;
    let details = async || {
        let page = admin.get("/audit?kind=imported").send().await.expect(200).json();
        let items = page["items"].as_array().unwrap().clone();
        let mut details: Vec<_> = items.iter().map(|event| event["detail"].clone()).collect();
        // Events of the same millisecond are in no order.
        details.sort_by_key(ToString::to_string);
        details
    };
    let line = "{\"username\":\"juliet\"}";
    import(&admin, "?dry_run=true", line).await;
    assert!(details().await.is_empty());
    *app.next_fault.lock().unwrap() = Some(Fault::Damage("create"));
    let broken_off = admin.post("/import").body("application/x-ndjson", line);
    broken_off.send().await.expect(500);
    let begun = "format shild: begun";
    assert_eq!(details().await, [begun]);
    import(&admin, "", line).await;
    let ended = "format shild: 1 added, 0 skipped, 0 refused";
    assert_eq!(details().await, [ended, begun, begun]);
}

// Failed before: who could sign in, and was exported, was refused.
#[rocket::async_test]
async fn a_name_from_before_the_setting_was_lowered_comes_back_and_no_other() {
    let app = App::new().await;
    let admin = app.admin().await;
    let name = "j".repeat(100);
    let own = import(&admin, "", format!("{{\"username\":\"{name}\"}}")).await;
    assert_eq!(counts(&own), (1, 0, 0), "{own:?}");
    let table = format!("[{{\"email\":\"{name}k\",\"hashed_password\":\"x\"}}]");
    let others = import(&admin, "?format=fastapi-users", table).await;
    assert_eq!(counts(&others), (0, 0, 1), "{others:?}");
}

#[rocket::async_test]
async fn a_wrong_parameter_is_refused_before_anything_is_read() {
    let app = App::new().await;
    let admin = app.admin().await;
    for query in ["?format=excel", "?dry_run=yes", "?admins=1"] {
        let answer = admin
            .post(&format!("/import{query}"))
            .body("text/plain", "{\"username\":\"juliet\"}");
        assert_eq!(answer.send().await.status, 400, "{query}");
    }
    let store: &dyn Store = &*app.store;
    assert_eq!(store.find_by_username(&username("juliet")).await, Ok(None));
}
