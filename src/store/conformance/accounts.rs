//! The clauses of [`UserStore`](crate::store::UserStore).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Subject, admin, all_at_once, assert_one_won, id_bytes, name, next, scopes, user, user_id};
use crate::clock::Timestamp;
use crate::password::PasswordHash;
use crate::store::{Conflict, MAX_PAGE, StoreError};
use crate::user::{KeptSession, PendingReset, SessionId, UserRecord};

/// A hash in the form that the real ones have.
fn password_hash() -> PasswordHash {
    serde_json::from_value(
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A".into(),
    )
    .expect("a PHC string is a hash")
}

/// Names of a page, to compare.
fn names(users: &[UserRecord]) -> Vec<&str> {
    users.iter().map(|user| user.username.as_str()).collect()
}

/// A user is found by id and by name, whole; others are not.
pub async fn what_is_created_is_found(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let juliet = UserRecord {
        password_hash: Some(password_hash()),
        session_epoch: 7,
        kept_session: Some(KeptSession {
            id: SessionId::from_bytes([9; 16]),
            epoch: 7,
        }),
        ..admin(1, "juliet")
    };
    assert_eq!(store.find(juliet.id).await, Ok(None));
    assert_eq!(store.find_by_username(&juliet.username).await, Ok(None));

    assert_eq!(store.create(&juliet, &[]).await, Ok(()));
    assert_eq!(store.find(juliet.id).await, Ok(Some(Arc::new(juliet.clone()))));
    assert_eq!(
        store.find_by_username(&juliet.username).await,
        Ok(Some(Arc::new(juliet)))
    );
    assert_eq!(store.find(user_id(2)).await, Ok(None));
    assert_eq!(store.find_by_username(&name("julie")).await, Ok(None));
}

/// Id, name and skeleton are each unique, and named in this order (W12).
pub async fn a_taken_id_name_or_skeleton_is_a_conflict(subject: &dyn Subject) {
    let store = subject.fresh().await;
    assert_eq!(store.create(&user(1, "paypal1"), &[]).await, Ok(()));
    for (other, conflict) in [
        (user(1, "paypal1"), Conflict::Id),
        (user(1, "romeo"), Conflict::Id),
        (user(2, "paypal1"), Conflict::Username),
        (user(2, "paypall"), Conflict::Confusable),
    ] {
        assert_eq!(
            store.create(&other, &[]).await,
            Err(StoreError::Conflict(conflict)),
            "{other:?}"
        );
    }
}

/// A refused user holds neither its id nor its name.
pub async fn a_refused_create_leaves_nothing(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = user(1, "paypal1");
    assert_eq!(store.create(&first, &[]).await, Ok(()));
    for refused in [user(1, "romeo"), user(2, "paypal1"), user(2, "paypall")] {
        assert!(store.create(&refused, &[]).await.is_err());
    }
    assert_eq!(store.list(None, 10).await, Ok(vec![first]));
    assert_eq!(store.find_by_username(&name("paypall")).await, Ok(None));
    assert_eq!(store.create(&user(2, "romeo"), &[]).await, Ok(()));
}

/// The old name and its skeleton are free, the new ones are not.
pub async fn a_renamed_user_is_found_by_the_new_name_only(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let old = user(1, "paypal1");
    let new = next(&old, |user| user.username = name("juliet"));
    assert_eq!(store.create(&old, &[]).await, Ok(()));
    assert_eq!(store.replace(&new, 1, &[]).await, Ok(()));
    assert_eq!(store.find_by_username(&old.username).await, Ok(None));
    assert_eq!(
        store.find_by_username(&new.username).await,
        Ok(Some(Arc::new(new.clone())))
    );
    assert_eq!(store.find(new.id).await, Ok(Some(Arc::new(new))));

    assert_eq!(
        store.create(&user(2, "juliet"), &[]).await,
        Err(StoreError::Conflict(Conflict::Username))
    );
    assert_eq!(store.create(&user(2, "paypall"), &[]).await, Ok(()));
}

/// A rename to somebody else's name, or one that looks like it, is refused whole.
pub async fn a_refused_rename_changes_nothing(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let (juliet, other) = (user(1, "juliet"), user(2, "paypal1"));
    assert_eq!(store.create(&juliet, &[]).await, Ok(()));
    assert_eq!(store.create(&other, &[]).await, Ok(()));
    for (taken, conflict) in [("paypal1", Conflict::Username), ("paypall", Conflict::Confusable)] {
        let renamed = next(&juliet, |user| user.username = name(taken));
        assert_eq!(
            store.replace(&renamed, 1, &[]).await,
            Err(StoreError::Conflict(conflict))
        );
    }
    assert_eq!(
        store.find_by_username(&juliet.username).await,
        Ok(Some(Arc::new(juliet.clone())))
    );
    assert_eq!(
        store.find_by_username(&other.username).await,
        Ok(Some(Arc::new(other.clone())))
    );
    assert_eq!(store.list(None, 10).await, Ok(vec![juliet, other]));
}

/// A user's own skeleton does not stand in its way.
pub async fn a_user_may_take_a_name_that_looks_like_its_own(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let old = user(1, "paypal1");
    let new = next(&old, |user| user.username = name("paypall"));
    assert_eq!(store.create(&old, &[]).await, Ok(()));
    assert_eq!(store.replace(&new, 1, &[]).await, Ok(()));
    assert_eq!(store.find_by_username(&new.username).await, Ok(Some(Arc::new(new))));
    assert_eq!(store.find_by_username(&old.username).await, Ok(None));
    assert_eq!(
        store.create(&user(2, "paypal1"), &[]).await,
        Err(StoreError::Conflict(Conflict::Confusable))
    );
}

/// A change made for another version, or for nobody, is stale.
pub async fn replacing_needs_the_current_version(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = user(1, "juliet");
    let second = next(&first, |user| user.session_epoch = 1);
    assert_eq!(store.replace(&first, 1, &[]).await, Err(StoreError::Stale));
    assert_eq!(store.create(&first, &[]).await, Ok(()));
    assert_eq!(store.replace(&second, 2, &[]).await, Err(StoreError::Stale));
    assert_eq!(store.replace(&second, 1, &[]).await, Ok(()));
    let third = next(&second, |user| user.username = name("romeo"));
    assert_eq!(store.replace(&third, 1, &[]).await, Err(StoreError::Stale));
    assert_eq!(store.find(first.id).await, Ok(Some(Arc::new(second))));
    assert_eq!(store.find_by_username(&third.username).await, Ok(None));
}

/// Somebody else may have the name at once, under another id (P4).
pub async fn a_deleted_user_is_gone_and_its_name_is_free(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = user(1, "juliet");
    assert_eq!(store.create(&first, &[]).await, Ok(()));
    assert_eq!(store.delete(first.id, 1, &[]).await, Ok(()));
    assert_eq!(store.find(first.id).await, Ok(None));
    assert_eq!(store.find_by_username(&first.username).await, Ok(None));
    assert_eq!(store.list(None, 10).await, Ok(vec![]));
    assert_eq!(store.list_by_username("", None, 10).await, Ok(vec![]));

    let second = user(2, "juliet");
    assert_eq!(store.create(&second, &[]).await, Ok(()));
    assert_eq!(
        store.find_by_username(&first.username).await,
        Ok(Some(Arc::new(second)))
    );
    assert_eq!(store.find(first.id).await, Ok(None));
}

/// A deletion made for another version, or for nobody, is stale.
pub async fn deleting_needs_the_current_version(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let juliet = user(1, "juliet");
    assert_eq!(store.delete(juliet.id, 1, &[]).await, Err(StoreError::Stale));
    assert_eq!(store.create(&juliet, &[]).await, Ok(()));
    assert_eq!(store.delete(juliet.id, 2, &[]).await, Err(StoreError::Stale));
    assert_eq!(store.find(juliet.id).await, Ok(Some(Arc::new(juliet))));
}

/// It can be neither demoted, disabled nor deleted; other changes are free.
pub async fn the_last_enabled_admin_stays(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let boss = admin(1, "boss");
    let idle = UserRecord {
        disabled: true,
        ..admin(2, "idle")
    };
    assert_eq!(store.create(&boss, &[]).await, Ok(()));
    assert_eq!(store.create(&idle, &[]).await, Ok(()));
    assert_eq!(store.create(&user(3, "juliet"), &[]).await, Ok(()));

    let demoted = next(&boss, |user| user.scopes = scopes("user"));
    let disabled = next(&boss, |user| user.disabled = true);
    assert_eq!(store.replace(&demoted, 1, &[]).await, Err(StoreError::LastAdmin));
    assert_eq!(store.replace(&disabled, 1, &[]).await, Err(StoreError::LastAdmin));
    assert_eq!(store.delete(boss.id, 1, &[]).await, Err(StoreError::LastAdmin));
    assert_eq!(store.find(boss.id).await, Ok(Some(Arc::new(boss.clone()))));
    assert_eq!(store.delete(boss.id, 2, &[]).await, Err(StoreError::Stale));

    let renamed = next(&boss, |user| user.username = name("chief"));
    assert_eq!(store.replace(&renamed, 1, &[]).await, Ok(()));
    assert_eq!(store.delete(idle.id, 1, &[]).await, Ok(()));
    assert_eq!(store.delete(user_id(3), 1, &[]).await, Ok(()));
}

/// Whoever is or becomes an enabled admin counts, and who no longer is does not.
pub async fn an_admin_may_go_while_another_is_enabled(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let (boss, juliet) = (admin(1, "boss"), user(2, "juliet"));
    assert_eq!(store.create(&boss, &[]).await, Ok(()));
    assert_eq!(store.create(&juliet, &[]).await, Ok(()));

    let promoted = next(&juliet, |user| user.scopes = scopes("admin"));
    assert_eq!(store.replace(&promoted, 1, &[]).await, Ok(()));
    assert_eq!(store.delete(boss.id, 1, &[]).await, Ok(()));
    assert_eq!(store.delete(juliet.id, 2, &[]).await, Err(StoreError::LastAdmin));

    assert_eq!(
        store
            .create(
                &UserRecord {
                    disabled: true,
                    ..admin(3, "idle")
                },
                &[]
            )
            .await,
        Ok(())
    );
    assert_eq!(store.delete(juliet.id, 2, &[]).await, Err(StoreError::LastAdmin));
    let enabled = next(&admin(3, "idle"), |_| {});
    assert_eq!(store.replace(&enabled, 1, &[]).await, Ok(()));
    assert_eq!(store.delete(juliet.id, 2, &[]).await, Ok(()));
    assert_eq!(store.delete(enabled.id, 2, &[]).await, Err(StoreError::LastAdmin));
}

/// However they go.
pub async fn of_two_admins_going_at_once_one_stays(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let mut stayed: Option<UserRecord> = None;
    for round in 0..9 {
        let pair = [
            admin(round * 2, &format!("one{round}x")),
            admin(round * 2 + 1, &format!("two{round}x")),
        ];
        for user in &pair {
            assert_eq!(store.create(user, &[]).await, Ok(()));
        }
        if let Some(old) = stayed {
            assert_eq!(store.delete(old.id, old.version, &[]).await, Ok(()));
        }
        let answers = all_at_once(2, |number| {
            let store = Arc::clone(&store);
            let going = pair[usize::from(number == 1)].clone();
            async move {
                match (round + number) % 3 {
                    0 => store.delete(going.id, 1, &[]).await,
                    1 => store.replace(&next(&going, |user| user.disabled = true), 1, &[]).await,
                    _ => {
                        store
                            .replace(&next(&going, |user| user.scopes = scopes("user")), 1, &[])
                            .await
                    }
                }
            }
        })
        .await;
        assert_one_won(&answers, &StoreError::LastAdmin);
        let mut users = store.list(None, 100).await.expect("the users are listed");
        users.retain(UserRecord::is_enabled_admin);
        assert_eq!(users.len(), 1);
        stayed = users.pop();
    }
}

/// Page by page, whatever the order of creation and of names.
pub async fn users_are_listed_in_order_of_id(subject: &dyn Subject) {
    let store = subject.fresh().await;
    for number in [3, 1, 7, 5, 300, 2] {
        assert_eq!(
            store
                .create(&user(number, &format!("user{}", 9 - number % 8)), &[])
                .await,
            Ok(())
        );
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(after, 2).await.expect("the users are listed");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.id);
        ids.extend(page.into_iter().map(|user| user.id));
    }
    assert_eq!(ids, [1, 2, 3, 5, 7, 300].map(user_id));
    // A cursor need not exist.
    let page = store.list(Some(user_id(4)), 1).await.expect("the users are listed");
    assert_eq!(page.first().map(|user| user.id), Some(user_id(5)));
}

/// In order of bytes, under a prefix, page by page.
pub async fn users_are_listed_in_order_of_name(subject: &dyn Subject) {
    let store = subject.fresh().await;
    for (number, username) in (1..).zip(["bob", "ann", "anna", "π", "annika", "an", "zoe", "ano"]) {
        assert_eq!(store.create(&user(number, username), &[]).await, Ok(()));
    }
    for (prefix, after, limit, expected) in [
        (
            "",
            None,
            100,
            &["an", "ann", "anna", "annika", "ano", "bob", "zoe", "π"][..],
        ),
        ("ann", None, 100, &["ann", "anna", "annika"]),
        ("ann", None, 2, &["ann", "anna"]),
        ("ann", Some("anna"), 2, &["annika"]),
        ("ann", Some("annb"), 2, &["annika"]),
        ("ann", Some("a"), 1, &["ann"]),
        ("ann", Some("bob"), 2, &[]),
        ("", Some("zoe"), 2, &["π"]),
        ("x", None, 2, &[]),
        ("π", None, 2, &["π"]),
    ] {
        let page = store
            .list_by_username(prefix, after, limit)
            .await
            .expect("the users are listed");
        assert_eq!(names(&page), expected, "{prefix:?} after {after:?}");
    }
}

/// Neither wildcards nor what a language's order passes over.
pub async fn what_stands_in_a_name_is_taken_by_the_letter(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let all = ["a%b", "a-c", "a.b", "a1b", "a_b", "ab", "a~b"];
    for (number, username) in (1..).zip(all) {
        assert_eq!(store.create(&user(number, username), &[]).await, Ok(()));
    }
    for (prefix, expected) in [
        ("", &all[..]),
        ("a", &all),
        ("a_", &["a_b"]),
        ("a%", &["a%b"]),
        ("%", &[]),
        ("a-", &["a-c"]),
    ] {
        let page = store.list_by_username(prefix, None, 100).await;
        assert_eq!(names(&page.expect("the users are listed")), expected, "{prefix:?}");
    }
}

/// However it came there, and whatever it is changed to.
pub async fn every_field_of_a_user_is_kept(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let odd = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
    let reset = |byte, millis| PendingReset {
        digest: [byte; 32],
        expires_at: odd(millis),
    };
    let kept = |number, epoch| {
        let id = SessionId::from_bytes(id_bytes(number));
        KeptSession { id, epoch }
    };
    let first = UserRecord {
        password_hash: Some(password_hash()),
        scopes: BTreeSet::new().try_into().expect("an empty set is one"),
        created_at: odd(1),
        updated_at: odd(2),
        session_epoch: 7,
        reset: Some(reset(1, 3)),
        kept_session: Some(kept(1, 7)),
        ..user(1, "juliet")
    };
    assert_eq!(store.create(&first, &[]).await, Ok(()));
    let mut now = first;
    let changes: [&dyn Fn(&mut UserRecord); 10] = [
        &|user| user.password_hash = None,
        &|user| user.password_hash = Some(password_hash()),
        &|user| user.scopes = scopes("invoices user"),
        &|user| user.disabled = true,
        &|user| user.updated_at = odd(999),
        &|user| user.session_epoch = u32::MAX / 2,
        &|user| user.reset = Some(reset(2, 4)),
        &|user| user.reset = None,
        &|user| user.kept_session = Some(kept(2, 8)),
        &|user| user.kept_session = None,
    ];
    for change in changes {
        assert_eq!(store.find(now.id).await, Ok(Some(Arc::new(now.clone()))));
        assert_eq!(store.list(None, 10).await, Ok(vec![now.clone()]));
        let changed = next(&now, change);
        assert_eq!(store.replace(&changed, now.version, &[]).await, Ok(()));
        now = changed;
    }
    assert_eq!(
        store.find_by_username(&now.username).await,
        Ok(Some(Arc::new(now.clone())))
    );
    assert_eq!(store.list_by_username("", None, 10).await, Ok(vec![now]));
}

/// To 1..=[`MAX_PAGE`].
pub async fn limits_are_clamped(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let count = MAX_PAGE as u64 + 1;
    let answers = all_at_once(count, |number| {
        let store = Arc::clone(&store);
        async move { store.create(&user(number, &format!("user{number:05}x")), &[]).await }
    })
    .await;
    assert!(
        answers.iter().all(Result::is_ok),
        "{:?}",
        answers.iter().find(|answer| answer.is_err())
    );
    for (limit, expected) in [(0, 1), (1, 1), (usize::MAX, MAX_PAGE)] {
        assert_eq!(store.list(None, limit).await.map(|users| users.len()), Ok(expected));
        assert_eq!(
            store
                .list_by_username("user", None, limit)
                .await
                .map(|users| users.len()),
            Ok(expected)
        );
    }
}

/// And the user who won is whole (W12).
pub async fn of_many_creates_of_one_name_one_wins(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let answers = all_at_once(64, |number| {
        let store = Arc::clone(&store);
        async move { store.create(&user(number, "juliet"), &[]).await }
    })
    .await;
    assert_one_won(&answers, &StoreError::Conflict(Conflict::Username));
    let users = store.list(None, 100).await.expect("the users are listed");
    assert_eq!(users.len(), 1);
    assert_eq!(
        store.find_by_username(&name("juliet")).await,
        Ok(users.first().cloned().map(Arc::new))
    );
}

/// And what it wrote is what is there.
pub async fn of_many_replaces_of_one_version_one_wins(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let first = user(1, "juliet");
    assert_eq!(store.create(&first, &[]).await, Ok(()));
    let answers = all_at_once(64, |number| {
        let store = Arc::clone(&store);
        let username = name(&format!("juliet{:02}x", number + 20));
        let renamed = next(&first, |user| user.username = username);
        async move { store.replace(&renamed, 1, &[]).await }
    })
    .await;
    assert_one_won(&answers, &StoreError::Stale);
    let users = store
        .list_by_username("juliet", None, 100)
        .await
        .expect("the users are listed");
    assert_eq!(users.len(), 1);
    assert_eq!(users[0].version, 2);
    assert_eq!(store.find(first.id).await, Ok(Some(Arc::new(users[0].clone()))));
}
