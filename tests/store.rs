//! Every store against the contract, and what only the one on disk can get wrong.

mod behind_the_store;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use shild::audit::{Actor, AuditEvent, AuditFilter, AuditKind};
use shild::clock::Timestamp;
use shild::session::SessionRecord;
use shild::store::conformance::{Subject, block_on};
use shild::store::sled::{OpenError, SledOptions};
use shild::store::{
    AuditLog, FailureStore, KeyStore, MemoryStore, Sections, SessionStore, SledStore, SnapshotStore, Store, StoreError,
    UserStore, VerifyStore,
};
use shild::throttle::Failures;
use shild::token::keyring::KeyringRecord;
use shild::user::{EventId, Scopes, SessionId, UserId, UserRecord, Username};
use tempfile::TempDir;

struct Memory;

#[async_trait]
impl Subject for Memory {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }
}

struct Sled(TempDir);

impl Sled {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Subject for Sled {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(open(self.0.path()).unwrap())
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        drop(store);
        Some(self.fresh().await)
    }
}

shild::store_conformance!(memory, Memory);
shild::store_conformance!(sled, Sled::new());

#[cfg(feature = "redb")]
mod redb_contract {
    use super::*;
    use shild::store::RedbStore;
    use shild::store::redb::RedbOptions;

    struct Redb(TempDir);

    impl Redb {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }
    }

    #[async_trait]
    impl Subject for Redb {
        async fn fresh(&self) -> Arc<dyn Store> {
            Arc::new(RedbStore::open(self.0.path(), RedbOptions::default()).unwrap())
        }

        async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
            drop(store);
            Some(self.fresh().await)
        }
    }

    shild::store_conformance!(redb, Redb::new());

    #[test]
    fn a_store_of_the_other_kind_is_named() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()).unwrap());
        let text = RedbStore::open(dir.path(), RedbOptions::default())
            .unwrap_err()
            .to_string();
        assert!(text.contains("holds a store of the kind sled"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        drop(RedbStore::open(dir.path(), RedbOptions::default()).unwrap());
        let mode = fs::metadata(dir.path().join("redb/db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn any_flipped_byte_and_any_cut_is_refused_or_harmless() {
        let origin = tempfile::tempdir().unwrap();
        let store = RedbStore::open(origin.path(), RedbOptions::default()).unwrap();
        let users: Vec<_> = (1..=40).map(|n| user(n, &format!("user{n:02}x"))).collect();
        for user in &users {
            block_on(store.create(user, &[])).unwrap();
        }
        drop(store);
        let whole = fs::read(origin.path().join("redb/db")).unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), copy.path());
        let held = |bytes: &[u8], what: &str| {
            fs::write(copy.path().join("redb/db"), bytes).unwrap();
            fs::copy(origin.path().join("mark"), copy.path().join("mark")).unwrap();
            match RedbStore::open(copy.path(), RedbOptions::default()) {
                Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}"),
                Ok(store) => {
                    for user in &users {
                        assert_eq!(
                            block_on(store.find(user.id)),
                            Ok(Some(Arc::new(user.clone()))),
                            "{what}"
                        );
                    }
                }
            }
        };
        for at in (0..whole.len()).step_by(whole.len() / 24) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            held(&bytes, &format!("byte {at} flipped"));
            held(&whole[..at], &format!("cut to {at}"));
        }
    }
}

fn open(dir: &Path) -> Result<SledStore, OpenError> {
    SledStore::open(
        dir,
        SledOptions {
            cache_capacity: 1 << 20,
        },
    )
}

/// Opened as `shild verify` does, whatever is wrong with it.
fn look(dir: &Path) -> SledStore {
    SledStore::open_to_look(
        dir,
        SledOptions {
            cache_capacity: 1 << 20,
        },
    )
    .unwrap()
}

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}

fn at() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn name(text: &str) -> Username {
    Username::parse(text, 64).unwrap()
}

fn user(number: u8, username: &str) -> UserRecord {
    UserRecord::new(UserId::from_bytes(id(number)), name(username), at())
}

fn session() -> SessionRecord {
    SessionRecord {
        user_id: UserId::from_bytes(id(1)),
        id: SessionId::from_bytes(id(1)),
        revision: 1,
        epoch: 0,
        generation: 1,
        client_id: None,
        user_agent: None,
        ip: None,
        scopes: Scopes::registered(),
        created_at: at(),
        auth_time: at(),
        last_used_at: at(),
        rotated_at: at(),
        expires_at: at(),
    }
}

/// A store with one record of each kind; users 1 `juliet` and 2 `romeo`.
async fn fill(dir: &Path) {
    let store = open(dir).unwrap();
    store.create(&user(1, "juliet"), &[]).await.unwrap();
    store.create(&user(2, "romeo"), &[]).await.unwrap();
    store.open_session(&session(), &[]).await.unwrap();
    store
        .replace_keys(
            &KeyringRecord {
                revision: 1,
                keys: Vec::new(),
            },
            None,
            &[],
        )
        .await
        .unwrap();
    store
        .put_failures(&[(
            UserId::from_bytes(id(1)),
            Some(Failures {
                count: 1,
                last_at: at(),
            }),
        )])
        .await
        .unwrap();
    store.append_event(&event(1)).await.unwrap();
}

fn event(number: u8) -> AuditEvent {
    AuditEvent {
        id: EventId::from_bytes(id(number)),
        at: at(),
        kind: AuditKind::Registered,
        actor: Actor::System,
        user_id: None,
        session_id: None,
        ip: None,
        request_id: None,
        detail: None,
    }
}

/// Changes the record under `key` behind the store's back; `None` deletes it.
fn tamper(dir: &Path, tree: &str, key: &[u8], change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let db = behind_the_store::open(dir);
    let place = behind_the_store::place(tree, key);
    let record = db.get(&place).unwrap().expect("the record is there").to_vec();
    match change(record) {
        Some(record) => db.insert(place, record).unwrap(),
        None => db.remove(place).unwrap(),
    };
    db.flush().unwrap();
}

/// The record as it is under another key.
fn record_under(dir: &Path, tree: &str, key: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    tamper(dir, tree, key, |record| {
        found.clone_from(&record);
        Some(record)
    });
    found
}

fn flip_last_bit(mut record: Vec<u8>) -> Option<Vec<u8>> {
    *record.last_mut()? ^= 1;
    Some(record)
}

#[track_caller]
fn assert_corrupt<T: std::fmt::Debug>(answer: Result<T, StoreError>, named: &str) {
    match answer {
        Err(StoreError::Corrupt { record, .. }) => assert_eq!(record, named),
        other => panic!("{other:?} instead of {named} being damaged"),
    }
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains("in use by another shild"), "{text}");
    drop(store);
    open(dir.path()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("data")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_new_directory_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/data");
    drop(open(&dir).unwrap());
    for path in [dir.join("sled"), dir] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_snapshot_left_half_written_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    let left_over = dir.path().join("sled/snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&left_over, "half").unwrap();
    let store = open(dir.path()).unwrap();
    assert!(!left_over.exists());
    assert!(block_on(store.find_by_username(&name("juliet"))).unwrap().is_some());
}

#[test]
fn a_damaged_record_is_named_and_never_missing() {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    let one = "01010101-0101-0101-0101-010101010101";
    tamper(dir.path(), "users", &id(1), flip_last_bit);
    tamper(dir.path(), "usernames", b"romeo", flip_last_bit);
    tamper(dir.path(), "sessions", &[1; 32], flip_last_bit);
    tamper(dir.path(), "failures", &id(1), flip_last_bit);
    tamper(dir.path(), "keys", b"keyring", flip_last_bit);
    tamper(dir.path(), "audit", &id(1), flip_last_bit);
    block_on(async {
        let store = look(dir.path());
        let (juliet, users_one) = (user(1, "juliet"), format!("users/{one}"));
        assert_corrupt(store.find(juliet.id).await, &users_one);
        assert_corrupt(store.find_by_username(&juliet.username).await, &users_one);
        assert_corrupt(store.list(None, 10).await, &users_one);
        assert_corrupt(store.list_by_username("juliet", None, 10).await, &users_one);
        assert_corrupt(store.replace(&juliet, 1, &[]).await, &users_one);
        assert_corrupt(store.delete(juliet.id, 1, &[]).await, &users_one);
        assert_corrupt(store.find_by_username(&name("romeo")).await, "usernames/romeo");
        assert_corrupt(store.list_by_username("romeo", None, 10).await, "usernames/romeo");
        assert_corrupt(store.delete(UserId::from_bytes(id(2)), 1, &[]).await, "usernames/romeo");
        let (owner, sid) = (session().user_id, session().id);
        assert_corrupt(store.find_session(owner, sid).await, &format!("sessions/{one}/{one}"));
        assert_corrupt(
            store.list_sessions(owner, None, 10).await,
            &format!("sessions/{one}/{one}"),
        );
        assert_corrupt(store.failures(owner).await, &format!("failures/{one}"));
        assert_corrupt(store.load_keys().await, "keys/keyring");
        assert_corrupt(
            store.list_events(&AuditFilter::default(), None, 10).await,
            &format!("audit/{one}"),
        );

        // Damage here and there is no reason to refuse what is sound, or to get stuck.
        assert!(store.find(UserId::from_bytes(id(2))).await.unwrap().is_some());
        assert!(store.create(&user(1, "other"), &[]).await.is_err());
        assert_eq!(store.end_session(owner, sid, &[]).await, Ok(true));
        assert_eq!(store.create(&user(3, "mercutio"), &[]).await, Ok(()));
        assert_eq!(store.check().await, Ok(()));
    });
}

// Failed before: one damaged event kept all that were older from being trimmed.
#[test]
fn events_are_trimmed_past_a_damaged_one_which_stays() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let store = open(dir.path()).unwrap();
        for number in 1..=9 {
            store.append_event(&event(number)).await.unwrap();
        }
    });
    tamper(dir.path(), "audit", &id(2), flip_last_bit);
    let store = look(dir.path());
    let later = at().after(std::time::Duration::from_millis(1));
    block_on(async {
        // Over the number that is kept, and by age.
        assert_eq!(store.trim_events(at(), 6, 100).await, Ok(3));
        assert_eq!(store.trim_events(at(), 6, 100).await, Ok(0));
        assert_eq!(store.trim_events(later, 100, 100).await, Ok(5));
    });
    drop(store);
    tamper(dir.path(), "audit", &id(2), Some);
}

#[test]
fn a_damaged_record_fails_its_own_request_only() {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    tamper(dir.path(), "users", &id(1), flip_last_bit);
    block_on(async {
        let store = Arc::new(look(dir.path()));
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..64 {
            let store = Arc::clone(&store);
            calls.spawn(async move {
                if number % 2 == 0 {
                    assert_corrupt(
                        store.replace(&user(1, "juliet"), 1, &[]).await,
                        "users/01010101-0101-0101-0101-010101010101",
                    );
                } else {
                    store
                        .create(&user(number + 100, &format!("user{number:02}x")), &[])
                        .await
                        .unwrap();
                }
            });
        }
        calls.join_all().await;
    });
}

#[test]
fn a_name_that_leads_nowhere_or_to_somebody_else_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    tamper(dir.path(), "users", &id(1), |_| None);
    let store = look(dir.path());
    assert_corrupt(block_on(store.find_by_username(&name("juliet"))), "usernames/juliet");
    assert_corrupt(block_on(store.list_by_username("", None, 10)), "usernames/juliet");
    drop(store);

    // The record of another name is good only there.
    let romeo = record_under(dir.path(), "usernames", b"romeo");
    tamper(dir.path(), "usernames", b"juliet", |_| Some(romeo));
    let store = look(dir.path());
    assert_corrupt(block_on(store.find_by_username(&name("juliet"))), "usernames/juliet");
}

/// Every file of the database, in order of names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir.join("sled"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// What is done to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

#[test]
fn damaged_files_are_an_error_or_the_truth_but_never_a_panic_or_a_lie() {
    let origin = tempfile::tempdir().unwrap();
    block_on(fill(origin.path()));
    // Opened once more, so that there is a snapshot too.
    drop(open(origin.path()).unwrap());
    let damages: [(&str, Damage); 6] = [
        ("emptied", Vec::clear),
        ("cut to its first half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut by a byte", |bytes| bytes.truncate(bytes.len().saturating_sub(1))),
        ("zeroed", |bytes| bytes.fill(0)),
        ("with its first bit flipped", |bytes| bytes[0] ^= 1),
        ("with every 97th byte changed", |bytes| {
            bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55);
        }),
    ];
    for file in files(origin.path()) {
        for (what, damage) in damages {
            let copy = tempfile::tempdir().unwrap();
            fs::create_dir_all(copy.path().join("sled/blobs")).unwrap();
            for file in files(origin.path()) {
                fs::copy(&file, copy.path().join("sled").join(file.file_name().unwrap())).unwrap();
            }
            fs::copy(origin.path().join("mark"), copy.path().join("mark")).unwrap();
            let target = copy.path().join("sled").join(file.file_name().unwrap());
            let mut bytes = fs::read(&target).unwrap();
            damage(&mut bytes);
            fs::write(&target, bytes).unwrap();

            match open(copy.path()) {
                Err(error) => assert!(
                    error.to_string().contains(&copy.path().display().to_string()),
                    "{error}"
                ),
                Ok(store) => {
                    for expected in [user(1, "juliet"), user(2, "romeo")] {
                        let found = block_on(store.find_by_username(&expected.username));
                        assert_eq!(found, Ok(Some(Arc::new(expected))), "{} {what}", file.display());
                    }
                }
            }
        }
    }
}

/// What [`fill`] made, damaged, opened and walked: which records were found, and what is wrong with them.
fn findings_after(damage: impl FnOnce(&Path)) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    damage(dir.path());
    let found = block_on(look(dir.path()).verify(Arc::new(|_, _| {}))).unwrap();
    found
        .findings
        .into_iter()
        .map(|finding| (finding.record, finding.detail))
        .collect()
}

#[track_caller]
fn assert_found(damage: impl FnOnce(&Path), expected: &[(&str, &str)]) {
    let found = findings_after(damage);
    let as_expected = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|((record, detail), (expected, words))| record == expected && detail.contains(words));
    assert!(as_expected, "{found:#?} instead of {expected:#?}");
}

const ONE: &str = "01010101-0101-0101-0101-010101010101";

#[test]
fn an_undamaged_store_has_no_findings() {
    assert_found(|_| {}, &[]);
}

#[test]
fn every_unreadable_record_is_found() {
    let session = format!("sessions/{ONE}/{ONE}");
    let records: [(&str, &[u8], String); 8] = [
        ("users", &id(1), format!("users/{ONE}")),
        ("usernames", b"juliet", "usernames/juliet".to_owned()),
        ("skeletons", b"juliet", "skeletons/juliet".to_owned()),
        ("sessions", &[1; 32], session),
        ("failures", &id(1), format!("failures/{ONE}")),
        ("keys", b"keyring", "keys/keyring".to_owned()),
        ("audit", &id(1), format!("audit/{ONE}")),
        ("meta", b"events", "meta/events".to_owned()),
    ];
    for (tree, key, record) in records {
        let found = findings_after(|dir| tamper(dir, tree, key, flip_last_bit));
        assert!(
            found
                .iter()
                .any(|(found, detail)| *found == record && detail == "the checksum does not match"),
            "{record}: {found:?}"
        );
    }
}

#[test]
fn names_and_users_that_do_not_lead_to_each_other_are_found() {
    assert_found(
        |dir| tamper(dir, "usernames", b"juliet", |_| None),
        &[("usernames/juliet", "it does not lead to user 01010101")],
    );
    assert_found(
        |dir| tamper(dir, "skeletons", b"rorneo", |_| None),
        &[("skeletons/rorneo", "it does not lead to user 02020202")],
    );
    assert_found(
        |dir| tamper(dir, "users", &id(1), |_| None),
        &[
            ("usernames/juliet", "it leads to user 01010101"),
            ("skeletons/juliet", "it leads to user 01010101"),
        ],
    );
}

#[test]
fn a_record_in_the_place_of_another_is_found() {
    assert_found(
        |dir| {
            let other = record_under(dir, "users", &id(2));
            tamper(dir, "users", &id(1), |_| Some(other));
        },
        &[
            (&format!("users/{ONE}"), "the checksum does not match"),
            ("usernames/juliet", "it leads to user 01010101"),
            ("skeletons/juliet", "it leads to user 01010101"),
        ],
    );
}

#[test]
fn numbers_that_are_not_what_was_counted_are_found() {
    assert_found(
        |dir| tamper(dir, "audit", &id(1), |_| None),
        &[("meta/events", "it says 1, and there are 0")],
    );
    assert_found(
        |dir| tamper(dir, "meta", b"enabled_admins", |_| None),
        &[("meta/enabled_admins", "it is missing")],
    );
}

#[test]
fn a_snapshot_names_the_record_that_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    tamper(dir.path(), "users", &id(2), flip_last_bit);
    block_on(async {
        let store = look(dir.path());
        let mut snapshot = store.snapshot(Sections::default()).await.unwrap();
        assert_corrupt(
            snapshot.next_users().await,
            "users/02020202-0202-0202-0202-020202020202",
        );
    });
}

#[test]
fn a_snapshot_leaves_nothing_in_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        fill(dir.path()).await;
        let names = || {
            let mut names: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        let store = open(dir.path()).unwrap();
        let before = names();
        let snapshot = store.snapshot(Sections::default()).await.unwrap();
        #[cfg(unix)]
        assert_eq!(names(), before, "while it is read");
        drop(snapshot);
        assert_eq!(names(), before);
    });
}

#[track_caller]
fn assert_refused(dir: &Path, words: &str) {
    let text = open(dir).unwrap_err().to_string();
    assert!(
        text.contains(words) && text.contains(&dir.display().to_string()),
        "{text}"
    );
}

#[test]
fn a_store_with_a_damaged_or_missing_record_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    let sound = record_under(dir.path(), "sessions", &[1; 32]);
    tamper(dir.path(), "sessions", &[1; 32], flip_last_bit);
    assert_refused(dir.path(), "the checksum does not match");
    tamper(dir.path(), "sessions", &[1; 32], |_| Some(sound));
    open(dir.path()).unwrap();
    tamper(dir.path(), "sessions", &[1; 32], |_| None);
    assert_refused(dir.path(), "it says 1 sessions, and there are 0");
}

/// Copies a directory with all that is in it.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_store_that_has_gone_back_is_refused_and_one_ahead_of_its_mark_is_not() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    block_on(fill(dir.path()));
    copy_dir(dir.path(), old.path());
    let store = open(dir.path()).unwrap();
    block_on(store.create(&user(3, "mercutio"), &[])).unwrap();
    drop(store);

    // The crash was between the transaction and its mark.
    let ahead = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), ahead.path());
    fs::copy(old.path().join("mark"), ahead.path().join("mark")).unwrap();
    let store = open(ahead.path()).unwrap();
    assert!(block_on(store.find_by_username(&name("mercutio"))).unwrap().is_some());
    drop(store);

    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    copy_dir(&old.path().join("sled"), &dir.path().join("sled"));
    assert_refused(dir.path(), "it has gone back to transaction");
    let found = block_on(look(dir.path()).verify(Arc::new(|_, _| {}))).unwrap();
    assert_eq!(found.findings.len(), 1, "{found:?}");
}

#[test]
fn a_missing_store_is_never_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    block_on(fill(dir.path()));
    let aside = dir.path().join("aside");
    fs::rename(dir.path().join("sled"), &aside).unwrap();
    assert_refused(dir.path(), "the store sled in");
    assert!(!dir.path().join("sled").exists());
    fs::rename(&aside, dir.path().join("sled")).unwrap();
    open(dir.path()).unwrap();
    fs::remove_file(dir.path().join("mark")).unwrap();
    assert_refused(dir.path(), "is missing");
}
