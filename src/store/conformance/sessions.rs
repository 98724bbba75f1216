//! The clauses of [`SessionStore`](crate::store::SessionStore).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Subject, all_at_once, assert_one_won, next_session, session, session_id, user_id};
use crate::clock::Timestamp;
use crate::session::SessionRecord;
use crate::store::{Conflict, StoreError};

/// Under its user only, and whole.
pub async fn a_session_is_opened_once_and_found(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = session(1, 10);
    assert_eq!(store.find_session(user_id(1), session_id(10)).await, Ok(None));
    assert_eq!(store.open_session(&first, &[]).await, Ok(()));
    assert_eq!(
        store.open_session(&next_session(&first), &[]).await,
        Err(StoreError::Conflict(Conflict::Id))
    );
    assert_eq!(
        store.find_session(user_id(1), session_id(10)).await,
        Ok(Some(Arc::new(first)))
    );
    assert_eq!(store.find_session(user_id(2), session_id(10)).await, Ok(None));
    assert_eq!(store.open_session(&session(2, 10), &[]).await, Ok(()));
}

/// However it came there, and whatever it is changed to.
pub async fn every_field_of_a_session_is_kept(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let odd = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
    let first = SessionRecord {
        revision: 3,
        epoch: 7,
        generation: 9,
        client_id: None,
        user_agent: Some("Käfer/1.0 (%_'\")".to_owned()),
        ip: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
        scopes: BTreeSet::new().try_into().expect("an empty set is one"),
        created_at: odd(1),
        auth_time: odd(2),
        last_used_at: odd(3),
        rotated_at: odd(4),
        expires_at: odd(5),
        ..session(1, 10)
    };
    assert_eq!(store.open_session(&first, &[]).await, Ok(()));
    let changes: [&dyn Fn(&mut SessionRecord); 9] = [
        &|session| session.generation = 10,
        &|session| session.client_id = Some("balcony".to_owned()),
        &|session| session.user_agent = None,
        &|session| session.ip = None,
        &|session| session.scopes = super::scopes("invoices user"),
        &|session| session.auth_time = odd(6),
        &|session| session.last_used_at = odd(7),
        &|session| session.rotated_at = odd(8),
        &|session| session.expires_at = odd(9),
    ];
    let mut now = first;
    for change in changes {
        assert_eq!(
            store.find_session(now.user_id, now.id).await,
            Ok(Some(Arc::new(now.clone())))
        );
        let mut changed = SessionRecord {
            revision: now.revision + 1,
            ..now.clone()
        };
        change(&mut changed);
        assert_eq!(store.replace_session(&changed, now.revision).await, Ok(()));
        now = changed;
    }
    assert_eq!(store.list_sessions(now.user_id, None, 10).await, Ok(vec![now.clone()]));
    assert_eq!(store.scan_sessions(None, 10).await, Ok(vec![now]));
}

/// Page by page; one user's never among another's.
pub async fn sessions_are_listed_by_user_and_scanned_in_order(subject: &dyn Subject) {
    let store = subject.fresh().await;
    for (user, number) in [(2, 11), (1, 30), (2, 10), (1, 20), (3, 5), (2, u64::MAX)] {
        assert_eq!(store.open_session(&session(user, number), &[]).await, Ok(()));
    }
    for (user, after, limit, expected) in [
        (2, None, 100, &[10, 11, u64::MAX][..]),
        (2, None, 2, &[10, 11]),
        (2, Some(10), 1, &[11]),
        (2, Some(u64::MAX), 2, &[]),
        (1, None, 0, &[20]),
        (4, None, 10, &[]),
    ] {
        let page = store
            .list_sessions(user_id(user), after.map(session_id), limit)
            .await
            .expect("a page");
        let expected: Vec<_> = expected.iter().map(|number| session(user, *number)).collect();
        assert_eq!(page, expected, "user {user} after {after:?}");
    }

    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan_sessions(after, 4).await.expect("a page");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 4);
        after = Some((last.user_id, last.id));
        all.extend(page);
    }
    let expected = [(1, 20), (1, 30), (2, 10), (2, 11), (2, u64::MAX), (3, 5)];
    assert_eq!(all, expected.map(|(user, number)| session(user, number)));
}

/// A change made for another revision, or for no session, is stale.
pub async fn replacing_a_session_needs_its_revision(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = session(1, 10);
    let second = next_session(&first);
    assert_eq!(store.replace_session(&second, 1).await, Err(StoreError::Stale));
    assert_eq!(store.open_session(&first, &[]).await, Ok(()));
    assert_eq!(store.replace_session(&second, 2).await, Err(StoreError::Stale));
    assert_eq!(store.replace_session(&second, 1).await, Ok(()));
    assert_eq!(store.replace_session(&second, 1).await, Err(StoreError::Stale));
    assert_eq!(
        store.find_session(user_id(1), session_id(10)).await,
        Ok(Some(Arc::new(second)))
    );
}

/// One rotation happens, whoever tries (T16).
pub async fn of_many_replaces_of_one_session_one_wins(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = session(1, 10);
    assert_eq!(store.open_session(&first, &[]).await, Ok(()));
    let answers = all_at_once(64, |_| {
        let store = Arc::clone(&store);
        let second = next_session(&first);
        async move { store.replace_session(&second, 1).await }
    })
    .await;
    assert_one_won(&answers, &StoreError::Stale);
}

/// Not even by a change that was under way when it ended (T19).
pub async fn an_ended_session_never_comes_back(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = session(1, 10);
    assert_eq!(store.end_session(first.user_id, first.id, &[]).await, Ok(false));
    assert_eq!(store.open_session(&first, &[]).await, Ok(()));
    assert_eq!(store.end_session(user_id(2), first.id, &[]).await, Ok(false));
    assert_eq!(store.end_session(first.user_id, first.id, &[]).await, Ok(true));
    assert_eq!(store.end_session(first.user_id, first.id, &[]).await, Ok(false));
    assert_eq!(
        store.replace_session(&next_session(&first), 1).await,
        Err(StoreError::Stale)
    );
    assert_eq!(store.find_session(first.user_id, first.id).await, Ok(None));

    for number in 0..32 {
        let session = session(2, number);
        assert_eq!(store.open_session(&session, &[]).await, Ok(()));
        let answers = all_at_once(2, |call| {
            let (store, session) = (Arc::clone(&store), session.clone());
            async move {
                if call == 0 {
                    assert_eq!(store.end_session(session.user_id, session.id, &[]).await, Ok(true));
                    Ok(())
                } else {
                    store.replace_session(&next_session(&session), 1).await
                }
            }
        })
        .await;
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Ok(()) | Err(StoreError::Stale))),
            "{answers:?}"
        );
        assert_eq!(store.find_session(session.user_id, session.id).await, Ok(None));
    }
}

/// One that was used in the meantime stays; the number says how many went.
pub async fn a_sweep_deletes_unchanged_sessions_only(subject: &dyn Subject) {
    let store = subject.fresh().await;
    for number in 1..=4 {
        assert_eq!(store.open_session(&session(1, number), &[]).await, Ok(()));
    }
    let used = next_session(&session(1, 2));
    assert_eq!(store.replace_session(&used, 1).await, Ok(()));
    assert_eq!(store.end_session(user_id(1), session_id(3), &[]).await, Ok(true));

    let dead = [1, 2, 3, 1].map(|number| (user_id(1), session_id(number), 1));
    assert_eq!(store.sweep_sessions(&dead).await, Ok(1));
    assert_eq!(store.sweep_sessions(&dead).await, Ok(0));
    assert_eq!(store.sweep_sessions(&[]).await, Ok(0));
    assert_eq!(
        store.list_sessions(user_id(1), None, 10).await,
        Ok(vec![used, session(1, 4)])
    );
}
