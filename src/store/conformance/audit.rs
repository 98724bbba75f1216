//! The clauses of [`AuditLog`](crate::store::AuditLog).

use std::sync::Arc;

use super::keys::ring;
use super::{Subject, id_bytes, name, next, second, session, session_id, user, user_id};
use crate::audit::{Actor, AuditEvent, AuditFilter, AuditKind};
use crate::store::{Conflict, Store, StoreError};
use crate::user::EventId;

/// Everything.
const ALL: AuditFilter = AuditFilter {
    user_id: None,
    kind: None,
};

/// An event `number` seconds after the first one, about user 1 or 2.
fn event(number: u32) -> AuditEvent {
    AuditEvent {
        id: EventId::from_bytes(id_bytes(u64::from(number))),
        at: second(number),
        kind: if number.is_multiple_of(3) {
            AuditKind::Registered
        } else {
            AuditKind::SignedIn
        },
        actor: Actor::Anonymous,
        user_id: Some(user_id(u64::from(number % 2 + 1))),
        session_id: Some(session_id(1)),
        ip: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
        request_id: Some("request".to_owned()),
        detail: None,
    }
}

/// A store with the events `0..count`, added in another order.
async fn with_events(subject: &dyn Subject, count: u32) -> Arc<dyn Store> {
    let store = subject.fresh().await;
    for number in (0..count).rev() {
        assert_eq!(store.append_event(&event(number)).await, Ok(()));
    }
    store
}

/// The numbers of the events there are, newest first.
async fn numbers(store: &dyn Store) -> Vec<i64> {
    let events = store
        .list_events(&ALL, None, 1000)
        .await
        .expect("the events are listed");
    events
        .iter()
        .map(|event| event.at.as_secs() - second(0).as_secs())
        .collect()
}

/// Page by page, each whole.
pub async fn events_are_listed_newest_first(subject: &dyn Subject) {
    let store = with_events(subject, 7).await;
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = store.list_events(&ALL, before, 3).await.expect("the events are listed");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3);
        before = Some(last.id);
        all.extend(page);
    }
    assert_eq!(all, [6, 5, 4, 3, 2, 1, 0].map(event));
}

/// By user, by kind, by both; a page is full as long as there are enough.
pub async fn events_are_filtered(subject: &dyn Subject) {
    let store = with_events(subject, 12).await;
    let user = Some(user_id(1));
    let kind = Some(AuditKind::Registered);
    for (user_id, kind, limit, expected) in [
        (user, None, 100, &[10, 8, 6, 4, 2, 0][..]),
        (None, kind, 3, &[9, 6, 3]),
        (user, kind, 100, &[6, 0]),
        (user, kind, 1, &[6]),
        (Some(super::user_id(3)), None, 100, &[]),
    ] {
        let filter = AuditFilter { user_id, kind };
        let page = store
            .list_events(&filter, None, limit)
            .await
            .expect("the events are listed");
        assert_eq!(
            page,
            expected.iter().map(|number| event(*number)).collect::<Vec<_>>(),
            "{filter:?}"
        );
    }
    let filter = AuditFilter { user_id: user, kind };
    assert_eq!(
        store.list_events(&filter, Some(event(6).id), 5).await,
        Ok(vec![event(0)])
    );
}

/// What is written in the log is not written over.
pub async fn an_event_is_added_once(subject: &dyn Subject) {
    let store = with_events(subject, 1).await;
    let other = AuditEvent {
        id: event(0).id,
        ..event(5)
    };
    assert_eq!(
        store.append_event(&other).await,
        Err(StoreError::Conflict(Conflict::Id))
    );
    assert_eq!(store.list_events(&ALL, None, 10).await, Ok(vec![event(0)]));
}

/// Each kind of change leaves its events if it is made, and none if it is refused.
pub async fn an_event_goes_with_its_change_or_neither_is_made(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let anna = user(1, "anna");
    let keys = ring(1);
    assert_eq!(store.create(&anna, &[event(0), event(1)]).await, Ok(()));
    let taken = store.create(&user(2, "anna"), &[event(20)]).await;
    assert_eq!(taken, Err(StoreError::Conflict(Conflict::Username)));
    let renamed = next(&anna, |user| user.username = name("bella"));
    assert_eq!(store.replace(&renamed, anna.version, &[event(2)]).await, Ok(()));
    let stale = store.replace(&renamed, anna.version, &[event(21)]).await;
    assert_eq!(stale, Err(StoreError::Stale));
    assert_eq!(store.open_session(&session(1, 1), &[event(3)]).await, Ok(()));
    let twice = store.open_session(&session(1, 1), &[event(22)]).await;
    assert_eq!(twice, Err(StoreError::Conflict(Conflict::Id)));
    assert_eq!(
        store.end_session(user_id(1), session_id(1), &[event(4)]).await,
        Ok(true)
    );
    assert_eq!(
        store.end_session(user_id(1), session_id(1), &[event(23)]).await,
        Ok(false)
    );
    assert_eq!(store.replace_keys(&keys, None, &[event(5)]).await, Ok(()));
    assert_eq!(
        store.replace_keys(&keys, None, &[event(24)]).await,
        Err(StoreError::Stale)
    );
    assert_eq!(store.delete(anna.id, renamed.version, &[event(6)]).await, Ok(()));
    assert_eq!(
        store.delete(anna.id, renamed.version, &[event(25)]).await,
        Err(StoreError::Stale)
    );
    assert_eq!(numbers(&*store).await, [6, 5, 4, 3, 2, 1, 0]);
}

/// Whatever the change is, it is not made without its event.
pub async fn a_taken_event_id_keeps_its_change_from_being_made(subject: &dyn Subject) {
    const CONFLICT: StoreError = StoreError::Conflict(Conflict::Id);
    let store = with_events(subject, 1).await;
    let anna = user(1, "anna");
    let taken = &[event(1), event(0)];
    assert_eq!(store.create(&anna, taken).await, Err(CONFLICT));
    assert_eq!(store.find(anna.id).await, Ok(None));
    assert_eq!(store.create(&anna, &[]).await, Ok(()));
    let renamed = next(&anna, |user| user.username = name("bella"));
    assert_eq!(store.replace(&renamed, anna.version, taken).await, Err(CONFLICT));
    assert_eq!(store.delete(anna.id, anna.version, taken).await, Err(CONFLICT));
    assert_eq!(store.find_by_username(&anna.username).await, Ok(Some(Arc::new(anna))));
    assert_eq!(store.open_session(&session(1, 1), taken).await, Err(CONFLICT));
    assert_eq!(store.open_session(&session(1, 1), &[]).await, Ok(()));
    assert_eq!(store.end_session(user_id(1), session_id(1), taken).await, Err(CONFLICT));
    let there = store.find_session(user_id(1), session_id(1)).await;
    assert_eq!(there, Ok(Some(Arc::new(session(1, 1)))));
    assert_eq!(store.replace_keys(&ring(1), None, taken).await, Err(CONFLICT));
    assert_eq!(store.load_keys().await, Ok(None));
    assert_eq!(numbers(&*store).await, [0]);
}

/// The newest stay, and no more than asked for go at once.
pub async fn events_are_trimmed_by_count(subject: &dyn Subject) {
    let store = with_events(subject, 10).await;
    assert_eq!(store.trim_events(second(0), 10, 100).await, Ok(0));
    assert_eq!(store.trim_events(second(0), 6, 0).await, Ok(0));
    assert_eq!(store.trim_events(second(0), 6, 3).await, Ok(3));
    assert_eq!(numbers(&*store).await, [9, 8, 7, 6, 5, 4, 3]);
    assert_eq!(store.trim_events(second(0), 6, 3).await, Ok(1));
    assert_eq!(store.trim_events(second(0), 6, 3).await, Ok(0));
    assert_eq!(numbers(&*store).await, [9, 8, 7, 6, 5, 4]);
    assert_eq!(store.trim_events(second(0), 0, 100).await, Ok(6));
    assert_eq!(numbers(&*store).await, [0; 0]);
}

/// An event of exactly that age stays.
pub async fn events_are_trimmed_by_age(subject: &dyn Subject) {
    let store = with_events(subject, 6).await;
    assert_eq!(store.trim_events(second(2), usize::MAX, 100).await, Ok(2));
    assert_eq!(numbers(&*store).await, [5, 4, 3, 2]);
    assert_eq!(store.trim_events(second(4), 3, 100).await, Ok(2));
    assert_eq!(numbers(&*store).await, [5, 4]);
    assert_eq!(store.append_event(&event(0)).await, Ok(()));
    assert_eq!(store.trim_events(second(0), 2, 100).await, Ok(1));
    assert_eq!(numbers(&*store).await, [5, 4]);
}

/// Once the log is full, guesses make room first, the oldest of them, down to their share.
pub async fn guesses_push_out_guesses_only(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let kinds = [
        AuditKind::SignedIn,
        AuditKind::SignInFailed,
        AuditKind::ResetFailed,
        AuditKind::SignInFailed,
    ];
    for number in 0..12 {
        let kind = kinds[number as usize % 4];
        let event = AuditEvent { kind, ..event(number) };
        assert_eq!(store.append_event(&event).await, Ok(()));
    }
    assert_eq!(store.trim_events(second(0), 12, 100).await, Ok(0));
    assert_eq!(store.trim_events(second(0), 8, 3).await, Ok(3));
    assert_eq!(numbers(&*store).await, [11, 10, 9, 8, 7, 6, 5, 4, 0]);
    assert_eq!(store.trim_events(second(0), 8, 100).await, Ok(1));
    assert_eq!(numbers(&*store).await, [11, 10, 9, 8, 7, 6, 4, 0]);
    // Five guesses are left, and one is their share of four: the next four to go are guesses.
    assert_eq!(store.trim_events(second(0), 4, 100).await, Ok(4));
    assert_eq!(numbers(&*store).await, [11, 8, 4, 0]);
    assert_eq!(store.append_event(&event(13)).await, Ok(()));
    assert_eq!(store.trim_events(second(0), 4, 100).await, Ok(1));
    assert_eq!(numbers(&*store).await, [13, 11, 8, 4]);
    // Age comes before kind.
    assert_eq!(store.trim_events(second(9), 100, 100).await, Ok(2));
    assert_eq!(numbers(&*store).await, [13, 11]);
    assert_eq!(store.trim_events(second(0), 0, 100).await, Ok(2));
    assert_eq!(
        store.verify(Arc::new(|_, _| {})).await.map(|found| found.is_sound()),
        Ok(true)
    );
}
