//! The clauses of [`SnapshotStore`](crate::store::SnapshotStore) and of [`VerifyStore`](crate::store::VerifyStore).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::{Subject, admin, all_at_once, id_bytes, name, next, second, session, session_id, user, user_id};
use crate::audit::{Actor, AuditEvent, AuditKind};
use crate::session::SessionRecord;
use crate::store::{Counts, Sections, Snapshot, Store, StoreError, Verification};
use crate::throttle::Failures;
use crate::user::{EventId, UserRecord};

const EVERYTHING: Sections = Sections {
    sessions: true,
    events: true,
};

fn event(number: u32) -> AuditEvent {
    AuditEvent {
        id: EventId::from_bytes(id_bytes(u64::from(number))),
        at: second(number),
        kind: AuditKind::Exported,
        actor: Actor::Operator,
        user_id: None,
        session_id: None,
        ip: None,
        request_id: None,
        detail: None,
    }
}

/// What is left of a snapshot.
async fn rest(mut snapshot: Box<dyn Snapshot>) -> (Vec<UserRecord>, Vec<SessionRecord>, Vec<AuditEvent>) {
    let (mut users, mut sessions, mut events) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let page = snapshot.next_users().await.expect("the users are read");
        let end = page.is_empty();
        users.extend(page);
        if end {
            break;
        }
    }
    loop {
        let page = snapshot.next_sessions().await.expect("the sessions are read");
        let end = page.is_empty();
        sessions.extend(page);
        if end {
            break;
        }
    }
    loop {
        let page = snapshot.next_events().await.expect("the events are read");
        let end = page.is_empty();
        events.extend(page);
        if end {
            break;
        }
    }
    (users, sessions, events)
}

async fn snapshot(store: &dyn Store, sections: Sections) -> Box<dyn Snapshot> {
    store.snapshot(sections).await.expect("a snapshot is taken")
}

/// And so it stays.
pub async fn a_snapshot_of_an_empty_store_is_empty(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let mut empty = snapshot(&*store, EVERYTHING).await;
    assert_eq!(store.create(&user(1, "juliet"), &[]).await, Ok(()));
    for _ in 0..2 {
        assert_eq!(empty.next_users().await, Ok(Vec::new()));
        assert_eq!(empty.next_sessions().await, Ok(Vec::new()));
        assert_eq!(empty.next_events().await, Ok(Vec::new()));
    }
}

/// More than one page of users, and what was asked for besides them, each in its order.
pub async fn a_snapshot_shows_everything_in_order(subject: &dyn Subject) {
    const USERS: u64 = 2500;
    let store = subject.fresh().await;
    let answers = all_at_once(USERS, |number| {
        let store = Arc::clone(&store);
        async move {
            store
                .create(&user(number, &format!("user{:05}x", USERS - number)), &[])
                .await
        }
    })
    .await;
    assert!(answers.iter().all(Result::is_ok));
    for (owner, number) in [(2, 1), (1, 4), (1, 3)] {
        assert_eq!(store.open_session(&session(owner, number), &[]).await, Ok(()));
    }
    for number in [2, 0, 1] {
        assert_eq!(store.append_event(&event(number)).await, Ok(()));
    }

    let (users, sessions, events) = rest(snapshot(&*store, EVERYTHING).await).await;
    assert_eq!(users.len() as u64, USERS);
    for (number, found) in (0..).zip(&users) {
        assert_eq!(*found, user(number, &format!("user{:05}x", USERS - number)));
    }
    assert_eq!(sessions, [session(1, 3), session(1, 4), session(2, 1)]);
    assert_eq!(events, [0, 1, 2].map(event));

    let (users, sessions, events) = rest(snapshot(&*store, Sections::default()).await).await;
    assert_eq!((users.len() as u64, sessions.len(), events.len()), (USERS, 0, 0));
}

/// Users, sessions and events come, go and change after it was taken, also while it is read.
pub async fn later_changes_do_not_show_in_a_snapshot(subject: &dyn Subject) {
    const USERS: u64 = 1500;
    let store = subject.fresh().await;
    let answers = all_at_once(USERS, |number| {
        let store = Arc::clone(&store);
        async move { store.create(&user(number, &format!("user{number:05}x")), &[]).await }
    })
    .await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(store.open_session(&session(1, 1), &[]).await, Ok(()));
    assert_eq!(store.append_event(&event(1)).await, Ok(()));

    let mut taken = snapshot(&*store, EVERYTHING).await;
    let first = taken.next_users().await.expect("the users are read");
    assert!(!first.is_empty());
    let last = USERS - 1;
    let renamed = next(&user(last, &format!("user{last:05}x")), |user| {
        user.username = name("romeo");
    });
    assert_eq!(store.replace(&renamed, 1, &[]).await, Ok(()));
    assert_eq!(store.delete(user_id(last - 1), 1, &[]).await, Ok(()));
    assert_eq!(store.create(&user(USERS, "mercutio"), &[]).await, Ok(()));
    assert_eq!(store.end_session(user_id(1), session_id(1), &[]).await, Ok(true));
    assert_eq!(store.open_session(&session(1, 2), &[]).await, Ok(()));
    assert_eq!(store.trim_events(second(10), 0, 10).await, Ok(1));
    assert_eq!(store.append_event(&event(2)).await, Ok(()));

    let (rest_of_users, sessions, events) = rest(taken).await;
    let users: Vec<UserRecord> = first.into_iter().chain(rest_of_users).collect();
    assert_eq!(users.len() as u64, USERS);
    for (number, found) in (0..).zip(&users) {
        assert_eq!(*found, user(number, &format!("user{number:05}x")));
    }
    assert_eq!(sessions, [session(1, 1)]);
    assert_eq!(events, [event(1)]);
}

/// While eight tasks write, pass a name back and forth between users far apart, and delete: no snapshot has a name twice, none
/// has half a change, and none misses what was acknowledged before it.
pub async fn a_snapshot_under_load_is_of_one_moment(subject: &dyn Subject) {
    const TASKS: u64 = 8;
    const USERS: u64 = 2000;
    let store = subject.fresh().await;
    let answers = all_at_once(USERS, |number| {
        let store = Arc::clone(&store);
        async move {
            store
                .create(&user(1000 + number, &format!("user{number:05}x")), &[])
                .await
        }
    })
    .await;
    assert!(answers.iter().all(Result::is_ok));

    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, stop, acknowledged) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&acknowledged));
        tasks.spawn(async move {
            let pass = pass_a_name_back_and_forth(&*store, task, &stop, &acknowledged);
            pass.await.expect("nobody else has these names");
        });
    }
    for _ in 0..8 {
        let before = acknowledged.load(Ordering::SeqCst);
        let (users, _, _) = rest(snapshot(&*store, EVERYTHING).await).await;
        assert!(users.len() as u64 >= USERS + before, "{} of {before}", users.len());
        let names: BTreeSet<&str> = users.iter().map(|user| user.username.as_str()).collect();
        assert_eq!(names.len(), users.len(), "a name is there twice");
        assert!(users.is_sorted_by(|a, b| a.id < b.id));
        for user in &users {
            let whole = u64::from(user.session_epoch) + 1 == user.version;
            assert!(whole, "half a change: {user:?}");
        }
        assert_eq!(verified(&*store).await.findings, []);
        while acknowledged.load(Ordering::SeqCst) < before + TASKS {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    tasks.join_all().await;
}

/// Each round leaves one user more, which is then counted; another comes and goes; and the name `baton…` goes from the lowest id
/// to the highest one and back.
async fn pass_a_name_back_and_forth(
    store: &dyn Store,
    task: u64,
    stop: &AtomicBool,
    acknowledged: &AtomicU64,
) -> Result<(), StoreError> {
    let names = [format!("low{task:03}x"), format!("high{task:03}x")];
    let baton = format!("baton{task:03}x");
    let mut low = user(1 + task, &baton);
    let mut high = user(1_000_000 + task, &names[1]);
    store.create(&low, &[]).await?;
    store.create(&high, &[]).await?;
    for round in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        rename(store, &mut low, &names[0]).await?;
        rename(store, &mut high, &baton).await?;
        let doomed = user(2_000_000 + task, &format!("doomed{task:03}x"));
        store.create(&doomed, &[]).await?;
        store
            .create(
                &user(10_000 * (1 + task) + round, &format!("t{task:03}x{round:07}")),
                &[],
            )
            .await?;
        acknowledged.fetch_add(1, Ordering::SeqCst);
        rename(store, &mut high, &names[1]).await?;
        rename(store, &mut low, &baton).await?;
        store.delete(doomed.id, 1, &[]).await?;
    }
    Ok(())
}

async fn rename(store: &dyn Store, user: &mut UserRecord, to: &str) -> Result<(), StoreError> {
    let renamed = next(user, |user| {
        user.username = name(to);
        user.session_epoch += 1;
    });
    store.replace(&renamed, user.version, &[]).await?;
    *user = renamed;
    Ok(())
}

async fn verified(store: &dyn Store) -> Verification {
    store
        .verify(Arc::new(|_, _| {}))
        .await
        .expect("the store can be walked")
}

/// Empty and in use; what is there is counted, and what belongs to nobody is no fault.
pub async fn a_sound_store_verifies(subject: &dyn Subject) {
    let store = subject.fresh().await;
    assert_eq!(verified(&*store).await, Verification::default());

    assert_eq!(store.create(&admin(1, "boss"), &[]).await, Ok(()));
    assert_eq!(store.create(&user(2, "juliet"), &[]).await, Ok(()));
    assert_eq!(store.create(&user(3, "romeo"), &[]).await, Ok(()));
    let renamed = next(&user(2, "juliet"), |user| user.username = name("paypal1"));
    assert_eq!(store.replace(&renamed, 1, &[]).await, Ok(()));
    for (owner, number) in [(1, 1), (2, 2), (3, 3), (3, 4)] {
        assert_eq!(store.open_session(&session(owner, number), &[]).await, Ok(()));
    }
    let failures = Failures {
        count: 1,
        last_at: second(0),
    };
    assert_eq!(store.put_failures(&[(user_id(2), Some(failures))]).await, Ok(()));
    assert_eq!(store.delete(user_id(3), 1, &[]).await, Ok(()));
    assert_eq!(store.append_event(&event(1)).await, Ok(()));

    let last = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&last);
    let found = store
        .verify(Arc::new(move |done, total| {
            assert!(done <= total, "{done} of {total}");
            told.store(done, Ordering::SeqCst);
        }))
        .await;
    let counts = Counts {
        users: 2,
        enabled_admins: 1,
        sessions: 4,
        sessions_of_nobody: 2,
        failures: 1,
        failures_of_nobody: 0,
        events: 1,
    };
    assert_eq!(
        found,
        Ok(Verification {
            counts,
            ..Verification::default()
        })
    );
    assert!(last.load(Ordering::SeqCst) >= 8, "progress is told");
}
