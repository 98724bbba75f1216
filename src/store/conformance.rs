//! The contract of [`crate::store`] as tests that any store can be held to.
//!
//! Say how to make your store, and [`store_conformance!`](crate::store_conformance) makes a test of each clause:
//!
//! ```
//! use std::sync::Arc;
//!
//! use shild::store::conformance::Subject;
//! use shild::store::{MemoryStore, Store};
//!
//! struct Memory;
//!
//! #[async_trait::async_trait]
//! impl Subject for Memory {
//!     async fn fresh(&self) -> Arc<dyn Store> {
//!         Arc::new(MemoryStore::new())
//!     }
//! }
//!
//! shild::store_conformance!(memory, Memory);
//! # fn main() {}
//! ```
#![expect(
    clippy::missing_panics_doc,
    reason = "a clause panics where the store breaks the contract"
)]

mod accounts;
mod audit;
mod failures;
mod keys;
mod sessions;
mod snapshot;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

pub use self::accounts::*;
pub use self::audit::*;
pub use self::failures::*;
pub use self::keys::*;
pub use self::sessions::*;
pub use self::snapshot::*;
pub use self::whole::*;
use crate::clock::Timestamp;
use crate::session::SessionRecord;
use crate::store::{Store, StoreError};
use crate::user::{Scopes, SessionId, UserId, UserRecord, Username};

/// A store under test. Each test makes a subject of its own and calls [`Subject::fresh`] once.
#[async_trait]
pub trait Subject: Send + Sync {
    /// An empty store.
    async fn fresh(&self) -> Arc<dyn Store>;

    /// What [`Subject::fresh`] made, given up and opened again; `None` if it keeps nothing.
    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        drop(store);
        None
    }
}

/// Makes a module `$module` with a test for each clause of the store's contract. `$subject` is an
/// expression that makes a [`Subject`](crate::store::conformance::Subject); it is evaluated once in each test.
#[macro_export]
macro_rules! store_conformance {
    ($module:ident, $subject:expr) => {
        mod $module {
            use super::*;

            $crate::store_conformance! { @tests $subject;
                what_is_created_is_found
                a_taken_id_name_or_skeleton_is_a_conflict
                a_refused_create_leaves_nothing
                a_renamed_user_is_found_by_the_new_name_only
                a_refused_rename_changes_nothing
                a_user_may_take_a_name_that_looks_like_its_own
                replacing_needs_the_current_version
                a_deleted_user_is_gone_and_its_name_is_free
                deleting_needs_the_current_version
                the_last_enabled_admin_stays
                an_admin_may_go_while_another_is_enabled
                of_two_admins_going_at_once_one_stays
                users_are_listed_in_order_of_id
                users_are_listed_in_order_of_name
                what_stands_in_a_name_is_taken_by_the_letter
                every_field_of_a_user_is_kept
                limits_are_clamped
                of_many_creates_of_one_name_one_wins
                of_many_replaces_of_one_version_one_wins
                failures_are_kept_for_users_only
                failures_go_with_their_user
                a_session_is_opened_once_and_found
                every_field_of_a_session_is_kept
                sessions_are_listed_by_user_and_scanned_in_order
                replacing_a_session_needs_its_revision
                of_many_replaces_of_one_session_one_wins
                an_ended_session_never_comes_back
                a_sweep_deletes_unchanged_sessions_only
                keys_are_replaced_by_revision
                of_many_first_keys_one_wins
                events_are_listed_newest_first
                events_are_filtered
                an_event_is_added_once
                an_event_goes_with_its_change_or_neither_is_made
                a_taken_event_id_keeps_its_change_from_being_made
                events_are_trimmed_by_count
                events_are_trimmed_by_age
                guesses_push_out_guesses_only
                a_snapshot_of_an_empty_store_is_empty
                a_snapshot_shows_everything_in_order
                later_changes_do_not_show_in_a_snapshot
                a_snapshot_under_load_is_of_one_moment
                a_sound_store_verifies
                a_dropped_future_disturbs_nothing
                a_store_in_use_checks_out
                a_closed_store_takes_no_change
                everything_acknowledged_outlives_a_reopen
            }
        }
    };
    (@tests $subject:expr; $($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                let subject = $subject;
                $crate::store::conformance::block_on($crate::store::conformance::$clause(&subject));
            }
        )*
    };
}

/// Runs a clause to its end, on a runtime of its own with several threads.
pub fn block_on<F: Future>(clause: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime can be made")
        .block_on(clause)
}

/// Runs `count` calls at once, each handed its number; their answers in any order.
async fn all_at_once<F>(count: u64, call: impl Fn(u64) -> F) -> Vec<Result<(), StoreError>>
where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for number in 0..count {
        calls.spawn(call(number));
    }
    calls.join_all().await
}

/// Asserts that one of these succeeded and all others failed with `error`.
#[track_caller]
fn assert_one_won(answers: &[Result<(), StoreError>], error: &StoreError) {
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(won, 1, "{answers:?}");
    let lost = answers
        .iter()
        .filter(|answer| answer.as_ref().err() == Some(error))
        .count();
    assert_eq!(lost, answers.len() - 1, "{answers:?}");
}

/// 16 bytes that sort as the numbers do.
fn id_bytes(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

fn user_id(number: u64) -> UserId {
    UserId::from_bytes(id_bytes(number))
}

fn session_id(number: u64) -> SessionId {
    SessionId::from_bytes(id_bytes(number))
}

/// A point in time some seconds after a fixed one.
fn second(number: u32) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + i64::from(number) * 1000)
}

fn name(text: &str) -> Username {
    Username::parse(text, 64).expect("the suite's names are good ones")
}

fn scopes(text: &str) -> Scopes {
    Scopes::parse(text).expect("the suite's scopes are good ones")
}

/// An ordinary user of version 1.
fn user(number: u64, username: &str) -> UserRecord {
    UserRecord::new(user_id(number), name(username), second(0))
}

/// An enabled admin of version 1.
fn admin(number: u64, username: &str) -> UserRecord {
    UserRecord {
        scopes: scopes("admin user"),
        ..user(number, username)
    }
}

/// `user` as the next version, after `change`.
fn next(user: &UserRecord, change: impl FnOnce(&mut UserRecord)) -> UserRecord {
    let mut user = UserRecord {
        version: user.version + 1,
        ..user.clone()
    };
    change(&mut user);
    user
}

/// A session of revision 1.
fn session(user: u64, number: u64) -> SessionRecord {
    SessionRecord {
        user_id: user_id(user),
        id: session_id(number),
        revision: 1,
        epoch: 0,
        generation: 1,
        client_id: Some("suite".to_owned()),
        user_agent: None,
        ip: Some([192, 0, 2, 1].into()),
        scopes: scopes("user"),
        created_at: second(0),
        auth_time: second(0),
        last_used_at: second(0),
        rotated_at: second(0),
        expires_at: second(3600),
    }
}

/// `session` as the next revision.
fn next_session(session: &SessionRecord) -> SessionRecord {
    SessionRecord {
        revision: session.revision + 1,
        generation: session.generation + 1,
        ..session.clone()
    }
}

#[cfg(test)]
mod tests {
    /// So that no clause is written and never run.
    #[test]
    fn the_macro_names_every_clause() {
        let clauses = [
            include_str!("conformance/accounts.rs"),
            include_str!("conformance/failures.rs"),
            include_str!("conformance/sessions.rs"),
            include_str!("conformance/keys.rs"),
            include_str!("conformance/audit.rs"),
            include_str!("conformance/snapshot.rs"),
            include_str!("conformance/whole.rs"),
        ];
        let written = clauses
            .iter()
            .flat_map(|file| file.lines())
            .filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
        let listed: Vec<&str> = include_str!("conformance.rs").lines().map(str::trim).collect();
        let mut count = 0;
        for clause in written {
            assert!(listed.contains(&clause), "{clause} is in no list");
            count += 1;
        }
        assert!(count > 30, "only {count} clauses were found");
    }
}
