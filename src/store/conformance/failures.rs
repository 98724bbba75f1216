//! The clauses of [`FailureStore`](crate::store::FailureStore).

use super::{Subject, name, next, second, user, user_id};
use crate::throttle::Failures;

/// Counts are written and cleared; those of nobody are passed over.
pub async fn failures_are_kept_for_users_only(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let failures = |count| Failures {
        count,
        last_at: second(count),
    };
    for number in [1, 2] {
        assert_eq!(
            store.create(&user(number, &format!("user{}x", number + 20)), &[]).await,
            Ok(())
        );
    }
    assert_eq!(store.failures(user_id(1)).await, Ok(None));
    let counts = [1, 2, 3].map(|number| (user_id(u64::from(number)), Some(failures(number))));
    assert_eq!(store.put_failures(&counts).await, Ok(()));
    assert_eq!(store.failures(user_id(1)).await, Ok(Some(failures(1))));
    assert_eq!(store.failures(user_id(2)).await, Ok(Some(failures(2))));
    assert_eq!(store.failures(user_id(3)).await, Ok(None));

    let counts = [(user_id(1), None), (user_id(2), Some(failures(9))), (user_id(3), None)];
    assert_eq!(store.put_failures(&counts).await, Ok(()));
    assert_eq!(store.failures(user_id(1)).await, Ok(None));
    assert_eq!(store.failures(user_id(2)).await, Ok(Some(failures(9))));
    assert_eq!(store.put_failures(&[]).await, Ok(()));
}

/// Renaming keeps them, deleting does not.
pub async fn failures_go_with_their_user(subject: &dyn Subject) {
    let store = subject.fresh().await;
    let failures = Failures {
        count: 5,
        last_at: second(5),
    };
    let juliet = user(1, "juliet");
    assert_eq!(store.create(&juliet, &[]).await, Ok(()));
    assert_eq!(store.put_failures(&[(juliet.id, Some(failures))]).await, Ok(()));
    assert_eq!(
        store
            .replace(&next(&juliet, |user| user.username = name("romeo")), 1, &[])
            .await,
        Ok(())
    );
    assert_eq!(store.failures(juliet.id).await, Ok(Some(failures)));
    assert_eq!(store.delete(juliet.id, 2, &[]).await, Ok(()));
    assert_eq!(store.failures(juliet.id).await, Ok(None));
}
