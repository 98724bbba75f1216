//! A store that takes no changes: nothing is pretended to have been done (requirements H12, T20).

use shild::store::Store;

use crate::helpers::*;
use crate::unreliable::Fault;

#[rocket::async_test]
async fn what_cannot_be_stored_is_answered_503_and_when_to_come_again() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let store: &dyn Store = &*app.store;
    store.close().await.unwrap();

    let problem = |answer: Answer| {
        assert_eq!(answer.problem(), "unavailable");
        assert_eq!(answer.header("Retry-After"), Some("2"), "{answer}");
    };
    problem(register(&app, "bertha", PASSWORD).await.expect(503));
    problem(alice.post("/logout").send().await.expect(503));
    problem(alice.delete("/user/me").send().await.expect(503));
    problem(app.anonymous().get("/readyz").send().await.expect(503));

    let form = [("token", alice.access_token())];
    let revoked = app.anonymous().post("/revoke").form(&form).send().await;
    for answer in [
        sign_in(&app, "alice", PASSWORD).await,
        refresh(&app, alice.refresh_token()).await,
        revoked,
    ] {
        let answer = answer.expect(503);
        assert_eq!(answer.oauth_error(), "temporarily_unavailable");
        assert_eq!(answer.header("Retry-After"), Some("2"), "{answer}");
    }
    // The process answers, and what can be read is.
    app.anonymous().get("/healthz").send().await.expect(200);
    me(&alice).await.expect(200);
}

// Whoever carries all hashes away, or brings others, is named in the audit log beforehand.
#[rocket::async_test]
async fn what_cannot_be_written_down_is_neither_exported_nor_imported() {
    let app = App::new().await;
    let root = app.admin().await;
    let fails = || *app.next_fault.lock().unwrap() = Some(Fault::Damage("append_event"));
    let import = async || {
        let call = root.post("/import");
        let call = call.body("application/octet-stream", r#"{"username":"juliet"}"#);
        call.send().await
    };
    fails();
    let answer = root.get("/export").send().await.expect(500);
    assert!(!answer.text().contains("root"), "{answer}");
    fails();
    import().await.expect(500);
    let store: &dyn Store = &*app.store;
    assert_eq!(store.find_by_username(&username("juliet")).await, Ok(None));

    let answer = root.get("/export").send().await.expect(200);
    assert!(answer.text().contains("root"), "{answer}");
    import().await.expect(200);
}

#[rocket::async_test]
async fn whoever_asks_whether_it_is_ready_makes_it_look_once_a_second() {
    use std::sync::atomic::Ordering::SeqCst;

    let app = App::new().await;
    let ready = async |expected| app.anonymous().get("/readyz").send().await.expect(expected);
    ready(200).await;
    app.outage.store(true, SeqCst);
    ready(200).await;
    app.advance(1);
    ready(503).await;
    app.outage.store(false, SeqCst);
    ready(503).await;
    app.advance(1);
    ready(200).await;
}

// Failed before: the session of a user whose record is damaged kept all others from being swept.
#[rocket::async_test]
async fn sessions_are_swept_beside_that_of_a_damaged_user() {
    let app = App::new().await;
    for name in ["alice", "bertha", "carla"] {
        app.user(name).await;
    }
    let store: &dyn Store = &*app.store;
    let sessions = async || store.scan_sessions(None, 10).await.unwrap().len();
    assert_eq!(sessions().await, 3);
    app.advance(40 * 86_400);
    *app.next_fault.lock().unwrap() = Some(Fault::Damage("find"));
    app.shild.step(&mut shild::Rounds::default()).await;
    assert_eq!(sessions().await, 1);
    assert!(app.next_fault.lock().unwrap().is_none());
}
