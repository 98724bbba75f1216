//! The clauses that are about the store as a whole.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::{Subject, admin, name, next, next_session, second, session, user, user_id};
use crate::audit::{Actor, AuditEvent, AuditFilter, AuditKind};
use crate::clock::Timestamp;
use crate::store::{Conflict, StoreError};
use crate::throttle::Failures;
use crate::token::keyring::KeyringRecord;
use crate::user::EventId;

/// Polls a future once and forgets it, as a client does that goes away.
async fn start_and_drop<F: Future + Unpin>(mut future: F) {
    poll_fn(|context| {
        let _ = std::pin::Pin::new(&mut future).poll(context);
        Poll::Ready(())
    })
    .await;
}

/// What it began is made or not, whole; the store goes on.
pub async fn a_dropped_future_disturbs_nothing(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let names: Vec<String> = (0..100).map(|number| format!("user{number:03}x")).collect();
    for (number, username) in (0..).zip(&names) {
        start_and_drop(store.create(&user(number, username), &[])).await;
    }
    assert_eq!(store.check().await, Ok(()));
    for (number, username) in (0..).zip(&names) {
        // What is still under way is made or refused before this, or refused because of it.
        let created = store.create(&user(number, username), &[]).await;
        assert!(
            matches!(created, Ok(()) | Err(StoreError::Conflict(Conflict::Id))),
            "{created:?}"
        );
        let whole = Ok(Some(Arc::new(user(number, username))));
        assert_eq!(store.find(user_id(number)).await, whole);
        assert_eq!(store.find_by_username(&name(username)).await, whole);
    }
    let there = store.list(None, 1000).await.expect("the users are listed");
    assert_eq!(there.len(), names.len());
    assert_eq!(store.create(&user(1000, "juliet"), &[]).await, Ok(()));
    assert_eq!(
        store.find(user_id(1000)).await,
        Ok(Some(Arc::new(user(1000, "juliet"))))
    );
}

/// Empty, in use, and several times at once.
pub async fn a_store_in_use_checks_out(subject: &dyn Subject) {
    let store = subject.fresh().await;
    assert_eq!(store.check().await, Ok(()));
    let answers = super::all_at_once(16, |number| {
        let store = Arc::clone(&store);
        async move {
            store
                .create(&user(number, &format!("user{:02}x", number + 20)), &[])
                .await?;
            store.check().await
        }
    })
    .await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

/// Each is [`StoreError::Unavailable`]; closing twice is fine.
pub async fn a_closed_store_takes_no_change(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let juliet = user(1, "juliet");
    assert_eq!(store.create(&juliet, &[]).await, Ok(()));
    assert_eq!(store.close().await, Ok(()));
    assert_eq!(store.close().await, Ok(()));

    let keys = KeyringRecord {
        revision: 1,
        keys: Vec::new(),
    };
    let answers = [
        store.create(&user(2, "romeo"), &[]).await,
        store.replace(&next(&juliet, |_| {}), 1, &[]).await,
        store.delete(juliet.id, 1, &[]).await,
        store.open_session(&session(1, 1), &[]).await,
        store.replace_session(&next_session(&session(1, 1)), 1).await,
        store.end_session(juliet.id, session(1, 1).id, &[]).await.map(drop),
        store
            .sweep_sessions(&[(juliet.id, session(1, 1).id, 1)])
            .await
            .map(drop),
        store.replace_keys(&keys, None, &[]).await,
        store.append_event(&event()).await,
        store.trim_events(second(0), 0, 10).await.map(drop),
        store.put_failures(&[(juliet.id, None)]).await,
        store.check().await,
    ];
    for (number, answer) in answers.iter().enumerate() {
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "change {number}: {answer:?}"
        );
    }
}

fn event() -> AuditEvent {
    AuditEvent {
        id: EventId::from_bytes([1; 16]),
        at: second(0),
        kind: AuditKind::Registered,
        actor: Actor::User(user_id(1)),
        user_id: Some(user_id(1)),
        session_id: None,
        ip: None,
        request_id: None,
        detail: Some("detail".to_owned()),
    }
}

/// Records, counts and what must be unique, after a change of each kind; whether it was closed or
/// not.
pub async fn everything_acknowledged_outlives_a_reopen(subject: &dyn Subject) {
    let mut store = subject.fresh().await;
    let boss = admin(1, "boss");
    let juliet = user(2, "juliet");
    let renamed = next(&juliet, |user| user.username = name("paypal1"));
    let live = next_session(&session(1, 10));
    let keys = KeyringRecord {
        revision: 1,
        keys: Vec::new(),
    };
    let failures = Failures {
        count: 3,
        last_at: Timestamp::from_millis(1),
    };

    assert_eq!(store.create(&boss, &[]).await, Ok(()));
    assert_eq!(store.create(&juliet, &[]).await, Ok(()));
    assert_eq!(store.replace(&renamed, 1, &[]).await, Ok(()));
    assert_eq!(store.create(&user(3, "gone"), &[]).await, Ok(()));
    assert_eq!(store.delete(user_id(3), 1, &[]).await, Ok(()));
    assert_eq!(store.open_session(&session(1, 10), &[]).await, Ok(()));
    assert_eq!(store.replace_session(&live, 1).await, Ok(()));
    assert_eq!(store.open_session(&session(1, 11), &[]).await, Ok(()));
    assert_eq!(store.end_session(user_id(1), session(1, 11).id, &[]).await, Ok(true));
    assert_eq!(store.replace_keys(&keys, None, &[]).await, Ok(()));
    assert_eq!(store.append_event(&event()).await, Ok(()));
    assert_eq!(store.put_failures(&[(juliet.id, Some(failures))]).await, Ok(()));

    for close in [false, true] {
        if close {
            assert_eq!(store.close().await, Ok(()));
        }
        let Some(reopened) = subject.reopen(store).await else {
            return;
        };
        store = reopened;
        assert_eq!(store.list(None, 10).await, Ok(vec![boss.clone(), renamed.clone()]));
        assert_eq!(
            store.list_by_username("", None, 10).await,
            Ok(vec![boss.clone(), renamed.clone()])
        );
        assert_eq!(
            store.find_by_username(&renamed.username).await,
            Ok(Some(Arc::new(renamed.clone())))
        );
        assert_eq!(store.find_by_username(&juliet.username).await, Ok(None));
        assert_eq!(store.scan_sessions(None, 10).await, Ok(vec![live.clone()]));
        assert_eq!(store.load_keys().await, Ok(Some(keys.clone())));
        assert_eq!(
            store.list_events(&AuditFilter::default(), None, 10).await,
            Ok(vec![event()])
        );
        assert_eq!(store.failures(juliet.id).await, Ok(Some(failures)));

        assert_eq!(
            store.create(&user(4, "paypall"), &[]).await,
            Err(StoreError::Conflict(Conflict::Confusable))
        );
        assert_eq!(store.delete(boss.id, 1, &[]).await, Err(StoreError::LastAdmin));
        assert_eq!(store.trim_events(second(0), 1, 10).await, Ok(0));
        assert_eq!(store.check().await, Ok(()));
    }
}
