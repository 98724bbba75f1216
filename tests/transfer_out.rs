//! Moving out: what an export holds, on every store, over HTTP and from the command line; and walking over the store.

mod behind_the_store;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Cursor};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rocket::http::{ContentType, Header, Status};
use rocket::local::asynchronous::Client;
use shild::audit::{Actor, AuditEvent, AuditFilter, AuditKind};
use shild::clock::Timestamp;
use shild::password::PasswordHash;
use shild::session::SessionRecord;
use shild::store::conformance::block_on;
use shild::store::sled::SledOptions;
use shild::store::{MemoryStore, Sections, SledStore, Store, UserStore, VerifyStore};
use shild::transfer::import::{Added, ImportOptions, ImportReport};
use shild::transfer::line::{MAX_COUNT, MAX_VERSION};
use shild::transfer::{Export, Line};
use shild::user::{EventId, PendingReset, Scopes, SessionId, UserId, UserRecord, Username};
use shild::{Origin, Shild};
use tempfile::TempDir;

const EVERYTHING: Sections = Sections {
    sessions: true,
    events: true,
};

const PASSWORD: &str = "correct horse battery 9";

fn sled(dir: &Path) -> SledStore {
    SledStore::open(
        dir,
        SledOptions {
            cache_capacity: 1 << 20,
        },
    )
    .unwrap()
}

fn at(second: u32) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + i64::from(second) * 1001)
}

fn user(number: u64, name: &str) -> UserRecord {
    UserRecord::new(
        UserId::from_bytes(u128::from(number).to_be_bytes()),
        Username::parse(name, 64).unwrap(),
        at(0),
    )
}

/// Users, sessions and events in which every member has a value somewhere, and none somewhere else.
async fn fill(store: &dyn Store) {
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2E$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
    let rich = UserRecord {
        password_hash: Some(PasswordHash::parse(hash).unwrap()),
        scopes: Scopes::parse("admin invoices:read user").unwrap(),
        updated_at: at(9),
        version: MAX_VERSION,
        session_epoch: MAX_COUNT,
        reset: Some(PendingReset {
            digest: std::array::from_fn(|i| u8::try_from(i).unwrap()),
            expires_at: at(77),
        }),
        ..user(7, "fußball")
    };
    let disabled = UserRecord {
        disabled: true,
        ..user(8, "π")
    };
    for user in [&rich, &disabled] {
        store.create(user, &[]).await.unwrap();
    }
    for number in 1000..2200 {
        store
            .create(&user(number, &format!("user{number:05}x")), &[])
            .await
            .unwrap();
    }
    for (client_id, ip) in [(None, None), (Some("a \"client\""), Some([192, 0, 2, 1].into()))] {
        let session = SessionRecord {
            user_id: rich.id,
            id: SessionId::from_bytes([if ip.is_some() { 1 } else { 2 }; 16]),
            revision: 4,
            epoch: MAX_COUNT,
            generation: 3,
            client_id: client_id.map(str::to_owned),
            user_agent: client_id.map(|_| "agent/1 (\\)\u{2028}".to_owned()),
            ip,
            scopes: Scopes::registered(),
            created_at: at(1),
            auth_time: at(2),
            last_used_at: at(3),
            rotated_at: at(4),
            expires_at: at(5),
        };
        store.open_session(&session, &[]).await.unwrap();
    }
    for (number, actor) in (1..).zip([Actor::User(rich.id), Actor::Anonymous, Actor::Operator, Actor::System]) {
        let event = AuditEvent {
            id: EventId::from_bytes([number; 16]),
            at: at(u32::from(number)),
            kind: AuditKind::KeysRotated,
            user_id: (actor == Actor::Operator).then_some(rich.id),
            session_id: (actor == Actor::System).then_some(SessionId::from_bytes([1; 16])),
            ip: (number == 1).then_some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
            request_id: (number == 2).then(|| "request".to_owned()),
            detail: (number == 3).then(|| "a\nb".to_owned()),
            actor,
        };
        store.append_event(&event).await.unwrap();
    }
}

async fn export(store: &dyn Store, sections: Sections) -> String {
    let mut export = Export::of(store, sections).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(lines) = export.next_lines().await.unwrap() {
        assert!(
            lines.ends_with(b"\n") && lines.len() < 1_000_000,
            "pieces are whole lines, and few"
        );
        bytes.extend(lines);
    }
    assert_eq!(export.next_lines().await, Ok(None));
    String::from_utf8(bytes).unwrap()
}

/// Puts every line of an export into a store, as it is.
async fn bring_in(store: &dyn Store, text: &str) {
    for line in text.lines() {
        match serde_json::from_str(line).unwrap() {
            Line::User(line) => {
                let user = UserRecord {
                    id: line.id.unwrap(),
                    username: Username::parse(&line.username, 64).unwrap(),
                    password_hash: line.password_hash,
                    scopes: line.scopes.unwrap(),
                    disabled: line.disabled.unwrap(),
                    created_at: line.created_at.unwrap(),
                    updated_at: line.updated_at.unwrap(),
                    version: line.version.unwrap(),
                    session_epoch: line.session_epoch.unwrap(),
                    reset: line.reset.map(PendingReset::from),
                    kept_session: line.kept_session,
                };
                store.create(&user, &[]).await.unwrap();
            }
            Line::Session(session) => store.open_session(&session.into(), &[]).await.unwrap(),
            Line::Event(event) => store.append_event(&event.into()).await.unwrap(),
            Line::Header(_) | Line::End(_) => {}
        }
    }
}

#[test]
fn from_sled_to_memory_to_sled_every_byte_stays() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    block_on(async {
        let first = sled(dirs[0].path());
        fill(&first).await;
        let original = export(&first, EVERYTHING).await;
        let lines: Vec<&str> = original.lines().collect();
        assert_eq!(lines.len(), 1 + 1202 + 2 + 4 + 1);
        assert_eq!(lines[0], r#"{"kind":"header","format":"shild","version":1}"#);
        assert_eq!(
            lines[lines.len() - 1],
            r#"{"kind":"end","users":1202,"sessions":2,"events":4}"#
        );

        let memory = MemoryStore::new();
        bring_in(&memory, &original).await;
        let second = export(&memory, EVERYTHING).await;
        assert!(second == original, "memory gives other bytes");
        let third = sled(dirs[1].path());
        bring_in(&third, &second).await;
        assert!(export(&third, EVERYTHING).await == original, "sled gives other bytes");
        assert_eq!(third.verify(Arc::new(|_, _| {})).await.unwrap().findings, []);
    });
}

async fn over(store: &Arc<dyn Store>) -> Shild {
    let shild = Shild::builder(shild::testing::settings()).store(Arc::clone(store));
    shild.build().await.unwrap()
}

/// Takes an export in as the command line does.
async fn import(shild: &Shild, text: &str) -> ImportReport {
    let input = Cursor::new(text.to_owned());
    let origin = Origin::default();
    let import = shild.import(input, ImportOptions::default(), Actor::Operator, &origin);
    import.await.unwrap()
}

#[test]
fn an_import_from_sled_to_memory_to_sled_leaves_every_byte_and_a_second_one_too() {
    const USERS_AND_SESSIONS: Sections = Sections {
        sessions: true,
        events: false,
    };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    block_on(async {
        let first = sled(dirs[0].path());
        fill(&first).await;
        let original = export(&first, USERS_AND_SESSIONS).await;
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let second: Arc<dyn Store> = Arc::new(sled(dirs[1].path()));
        for store in [&memory, &second] {
            // With the audit log, to which each import adds two entries of its own.
            let everything = export(&first, EVERYTHING).await;
            let shild = over(store).await;
            let report = import(&shild, &everything).await;
            let Added {
                users,
                sessions,
                events,
            } = report.added;
            assert_eq!((users, sessions, events, report.refused), (1202, 2, 4, 0), "{report:?}");
            assert!(export(&**store, USERS_AND_SESSIONS).await == original, "other bytes");

            let report = import(&shild, &everything).await;
            assert_eq!(
                (report.added, report.skipped, report.refused),
                (Added::default(), 1208, 0)
            );
            assert!(export(&**store, USERS_AND_SESSIONS).await == original, "other bytes");
            let events = store.list_events(&AuditFilter::default(), None, 10).await.unwrap();
            assert_eq!(events.len(), 4 + 2 * 2);
            assert_eq!(store.verify(Arc::new(|_, _| {})).await.unwrap().findings, []);
        }

        let lines: Vec<_> = original.lines().collect();
        for lost in [1, 600] {
            let text = [&lines[..lost], &lines[lost + 1..]].concat().join("\n");
            let empty: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let report = import(&over(&empty).await, &text).await;
            assert_eq!(report.refused, 1);
            assert!(report.refusals[0].reason.contains("some were lost"), "{report:?}");
        }
    });
}

#[test]
fn sessions_and_audit_are_exported_only_on_request() {
    block_on(async {
        let store = MemoryStore::new();
        fill(&store).await;
        let counts = |sessions, events| Sections { sessions, events };
        for (sections, end) in [
            (counts(false, false), r#""sessions":0,"events":0}"#),
            (counts(true, false), r#""sessions":2,"events":0}"#),
            (counts(false, true), r#""sessions":0,"events":4}"#),
        ] {
            let text = export(&store, sections).await;
            assert!(text.trim_end().ends_with(end), "{sections:?}");
            assert_eq!(text.contains(r#"{"kind":"session""#), sections.sessions);
            assert_eq!(text.contains(r#"{"kind":"event""#), sections.events);
        }
    });
}

#[test]
fn an_export_under_load_is_whole_and_can_be_brought_in() {
    const TASKS: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let store = Arc::new(sled(dir.path()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut round = 0;
                while !stop.load(Ordering::SeqCst) {
                    shuffle(&store, task, round).await;
                    round += 1;
                }
                round
            });
        }
        let mut sizes = Vec::new();
        for _ in 0..15 {
            let text = export(&*store, EVERYTHING).await;
            let mut names = BTreeSet::new();
            for line in text.lines() {
                if let Line::User(user) = serde_json::from_str(line).unwrap() {
                    assert!(names.insert(user.username.clone()), "{} is there twice", user.username);
                }
            }
            bring_in(&MemoryStore::new(), &text).await;
            sizes.push(names.len());
        }
        stop.store(true, Ordering::SeqCst);
        let rounds = tasks.join_all().await;
        assert!(rounds.iter().all(|rounds| *rounds > 3), "{rounds:?}");
        assert!(sizes[0] < sizes[14], "{sizes:?}");
    });
}

/// One user more; the name `torch…` goes from one user to another; a third user comes and goes.
async fn shuffle(store: &SledStore, task: u64, round: u64) {
    let number = task * 1_000_000 + round * 3;
    let (torch, other) = (format!("torch{task:03}x"), format!("u{task:03}x{round:07}y"));
    let (first, last) = (user(number, &torch), user(number + 1, &other));
    let renamed = |user: &UserRecord, name: &str| UserRecord {
        username: Username::parse(name, 64).unwrap(),
        ..user.next(at(1))
    };
    store.create(&first, &[]).await.unwrap();
    store.create(&last, &[]).await.unwrap();
    store
        .replace(&renamed(&first, &format!("v{task:03}x{round:07}y")), 1, &[])
        .await
        .unwrap();
    store.replace(&renamed(&last, &torch), 1, &[]).await.unwrap();
    store.delete(last.id, 2, &[]).await.unwrap();
    store.create(&user(number + 2, &other), &[]).await.unwrap();
}

/// A client of a shild on this store, and a token with each of these scopes of a user who has signed in.
async fn client(store: Arc<dyn Store>) -> Client {
    let shild = Shild::builder(shild::testing::settings())
        .store(store)
        .build()
        .await
        .unwrap();
    Client::untracked(rocket::build().attach(shild.whole_stage()))
        .await
        .unwrap()
}

async fn token(client: &Client, store: &dyn Store, name: &str, scopes: &str) -> Header<'static> {
    let body = serde_json::json!({ "username": name, "password": PASSWORD });
    let answer = client
        .post("/register")
        .header(ContentType::JSON)
        .body(body.to_string());
    assert_eq!(answer.dispatch().await.status(), Status::Created);
    let name_of = Username::parse(name, 64).unwrap();
    let user = store.find_by_username(&name_of).await.unwrap().unwrap();
    let promoted = UserRecord {
        scopes: Scopes::parse(scopes).unwrap(),
        ..user.next(at(0))
    };
    store.replace(&promoted, user.version, &[]).await.unwrap();
    let form = format!(
        "grant_type=password&username={name}&password={}",
        PASSWORD.replace(' ', "+")
    );
    let answer = client
        .post("/shild")
        .header(ContentType::Form)
        .body(form)
        .dispatch()
        .await;
    let answer: serde_json::Value = answer.into_json().await.unwrap();
    Header::new(
        "Authorization",
        format!("Bearer {}", answer["access_token"].as_str().unwrap()),
    )
}

// B1, B3, B6
#[test]
fn only_an_administrator_exports_and_it_is_written_down() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let client = client(Arc::clone(&store)).await;
        let admin = token(&client, &*store, "boss", "admin user").await;
        let juliet = token(&client, &*store, "juliet", "user").await;
        for path in ["/export", "/verify"] {
            assert_eq!(client.get(path).dispatch().await.status(), Status::Unauthorized);
            let refused = client.get(path).header(juliet.clone()).dispatch().await;
            assert_eq!(refused.status(), Status::Forbidden);
            let challenge = refused.headers().get_one("WWW-Authenticate").unwrap();
            assert!(
                challenge.contains("insufficient_scope") && challenge.contains("admin"),
                "{challenge}"
            );
            assert_eq!(
                client.post(path).header(admin.clone()).dispatch().await.status().code,
                405
            );
        }
        let wrong = client
            .get("/export?sessions=yes")
            .header(admin.clone())
            .dispatch()
            .await;
        assert_eq!(wrong.status(), Status::BadRequest);
        let text = wrong.into_string().await.unwrap();
        assert!(
            text.contains("The query parameter sessions must be true or false."),
            "{text}"
        );

        let filter = AuditFilter {
            kind: Some(AuditKind::Exported),
            ..AuditFilter::default()
        };
        assert_eq!(store.list_events(&filter, None, 10).await.unwrap(), []);
        let answer = client
            .get("/export?sessions=true&audit=true")
            .header(admin.clone())
            .dispatch()
            .await;
        assert_eq!(answer.status(), Status::Ok);
        let header = |name: &str| answer.headers().get_one(name).unwrap_or_default().to_owned();
        assert_eq!(header("Content-Type"), "application/x-ndjson");
        assert_eq!(header("Cache-Control"), "no-store");
        let text = answer.into_string().await.unwrap();
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with(r#"{"kind":"user""#))
                .count(),
            2
        );
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with(r#"{"kind":"session""#))
                .count(),
            2
        );
        assert!(
            text.lines()
                .last()
                .unwrap()
                .starts_with(r#"{"kind":"end","users":2,"sessions":2,"#)
        );

        let events = store.list_events(&filter, None, 10).await.unwrap();
        let boss = store
            .find_by_username(&Username::parse("boss", 64).unwrap())
            .await
            .unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].actor, Actor::User(boss.unwrap().id));
        assert!(events[0].request_id.is_some());

        let answer = client.get("/verify").header(admin).dispatch().await;
        let found: serde_json::Value = answer.into_json().await.unwrap();
        assert_eq!(
            (
                found["counts"]["users"].as_u64(),
                found["counts"]["enabled_admins"].as_u64()
            ),
            (Some(2), Some(1))
        );
        assert_eq!(found["findings"], serde_json::json!([]));
    });
}

// P13
#[test]
fn no_key_is_ever_exported() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let client = client(Arc::clone(&store)).await;
        token(&client, &*store, "boss", "admin user").await;
        let text = export(&*store, EVERYTHING).await;
        for key in &store.load_keys().await.unwrap().unwrap().keys {
            assert!(!text.contains(&key.kid) && !text.contains(&key.public));
            assert!(!text.contains(key.sealed.as_deref().unwrap()));
        }
        assert!(!text.contains("k4."));
    });
}

/// Makes the second page of users unreadable.
fn damage(dir: &Path) {
    let db = behind_the_store::open(dir);
    let users = behind_the_store::place("users", b"");
    let (place, mut record) = db.scan_prefix(users).nth(1100).unwrap().unwrap();
    *record.last_mut().unwrap() ^= 1;
    db.insert(place, record).unwrap();
    db.flush().unwrap();
}

#[test]
fn an_export_that_breaks_off_has_no_last_line() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async { fill(&sled(dir.path())).await });
    damage(dir.path());
    block_on(async {
        // As the verification opens it: a start refuses it.
        let options = SledOptions::default();
        let store: Arc<dyn Store> = Arc::new(SledStore::open_to_look(dir.path(), options).unwrap());
        let client = client(Arc::clone(&store)).await;
        let admin = token(&client, &*store, "boss", "admin user").await;
        let text = client
            .get("/export")
            .header(admin)
            .dispatch()
            .await
            .into_string()
            .await
            .unwrap();
        assert_eq!(text.lines().count(), 1001);
        assert!(!text.contains(r#"{"kind":"end""#));

        let mut export = Export::of(&*store, EVERYTHING).await.unwrap();
        while let Ok(Some(_)) = export.next_lines().await {}
        assert_eq!(export.next_lines().await, Ok(None), "nothing follows an error");
    });
}

fn shild(dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shild"));
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    command
}

fn run(dir: &TempDir, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = shild(dir).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A server that ends with the test.
struct Running(Child);

impl Running {
    fn in_dir(dir: &TempDir) -> Self {
        let mut child = shild(dir)
            .args(["serve", "--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("listens on"), "{line}");
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn users_of(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with(r#"{"kind":"user""#))
        .collect()
}

#[test]
fn the_command_line_exports_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async { fill(&sled(&dir.path().join("data"))).await });
    let (code, out, err) = run(&dir, &["export", "stopped.ndjson", "--sessions", "--audit"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "1202 users, 2 sessions, 4 events\n", "")
    );
    let stopped = fs::read_to_string(dir.path().join("stopped.ndjson")).unwrap();
    let (code, piped, err) = run(&dir, &["export", "-"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(users_of(&piped) == users_of(&stopped));

    let _server = Running::in_dir(&dir);
    let (code, out, err) = run(&dir, &["export", "running.ndjson"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "1202 users, 0 sessions, 0 events\n", "")
    );
    let running = fs::read_to_string(dir.path().join("running.ndjson")).unwrap();
    assert!(users_of(&running) == users_of(&stopped));
    let (code, out, err) = run(&dir, &["verify"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    // The server may have swept the sessions, which are long dead, and trimmed the old events.
    assert!(out.starts_with("1202 users (1 enabled admins), "), "{out}");
    assert!(out.ends_with(" events\neverything agrees\n"), "{out}");
}

#[test]
fn a_damaged_store_is_not_exported_over_the_old_file_and_verify_says_what_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async { fill(&sled(&dir.path().join("data"))).await });
    damage(&dir.path().join("data"));
    fs::write(dir.path().join("backup"), "old").unwrap();
    let (code, out, err) = run(&dir, &["export", "backup"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("the store in data is damaged"), "{err}");
    assert_eq!(fs::read_to_string(dir.path().join("backup")).unwrap(), "old");

    let (code, out, err) = run(&dir, &["verify", "--json"]);
    assert_eq!((code, err.as_str()), (Some(1), "shild: 3 records disagree\n"));
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    let record = found["findings"][0]["record"].as_str().unwrap();
    assert!(record.starts_with("users/00000000-0000-0000-0000-"), "{record}");
    assert_eq!(found["findings"][0]["detail"], "the checksum does not match");
    let (code, out, _) = run(&dir, &["verify"]);
    assert_eq!((code, out.lines().count()), (Some(1), 4), "{out}");
}

#[test]
fn the_schema_is_printed_and_a_file_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = run(&dir, &["export", "--schema"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(5));
    assert!(!dir.path().join("data").exists(), "nothing is opened for it");
    for args in [&["export"][..], &["export", "--schema", "file"]] {
        assert_eq!(run(&dir, args).0, Some(2), "{args:?}");
    }
    fs::write(dir.path().join("nobody"), "[]").unwrap();
    assert_eq!(run(&dir, &["import", "nobody"]).0, Some(0));
    let (code, _, err) = run(&dir, &["export", "no/such/dir/file"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("shild: no/such/dir/file cannot be written: "), "{err}");
}
