//! Moving in by the command line, with a server and without (W7).

mod server;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use server::{Server, run, shild};
use shild::audit::Actor;
use shild::config::{Settings, StoreKind};
use shild::transfer::import::ImportOptions;
use shild::{Origin, Shild};

/// Takes these users in from a file: exit code, what is printed, what is complained about.
fn import(home: &Path, text: &str, args: &[&str]) -> (Option<i32>, String, String) {
    fs::write(home.join("users.ndjson"), text).unwrap();
    run(shild(home, &[&["import", "users.ndjson"], args].concat()))
}

fn user(name: &str) -> String {
    format!("{{\"username\":\"{name}\"}}\n")
}

/// What an import without refusals comes to.
fn good(added: u32, skipped: u32) -> (Option<i32>, String, String) {
    let words = format!("{added} added, {skipped} skipped, 0 refused\n");
    (Some(0), words, String::new())
}

#[test]
fn users_are_taken_in_with_the_server_and_without() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (juliet, romeo) = (user("juliet"), user("romeo"));
    // More than any other request may be.
    let many: String = (0..2_000).map(|n| user(&format!("user{n:05}x"))).collect();

    let (code, out, err) = import(home, &juliet, &["--dry-run"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, "would be: 1 added, 0 skipped, 0 refused\n");
    assert_eq!(import(home, &juliet, &[]), good(1, 0), "a dry run wrote");
    assert_eq!(import(home, &juliet, &[]), good(0, 1));

    let server = Server::start(home);
    assert_eq!(import(home, &(juliet + &romeo), &[]), good(1, 1));
    assert_eq!(import(home, &many, &[]), good(2_000, 0));
    let (code, out, err) = import(home, &format!("{romeo}{{\"username\":\"a b\"}}\n"), &[]);
    assert_eq!((code, out.as_str()), (Some(1), "0 added, 1 skipped, 1 refused\n"));
    let complaints: Vec<_> = err.lines().collect();
    assert!(complaints[0].starts_with("shild: line 2: /username: "), "{err}");
    assert_eq!(complaints[1..], ["shild: 1 was refused"]);
    let (code, out, _) = import(home, &romeo, &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["skipped"].as_u64()), (Some(0), Some(1)));
    server.stop();

    assert_eq!(import(home, &many, &[]), good(0, 2_000));
}

// Failed before: the server cut it off after the time that strangers have for each piece.
#[test]
fn a_program_that_takes_its_time_is_waited_for_with_the_server_as_without() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start_with(home.path(), &[("SHILD_REQUEST_TIMEOUT", "1s")]);
    let mut slow = shild(home.path(), &["import", "-"]);
    let mut slow = slow.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = slow.stdin.take().unwrap();
    input.write_all(user("juliet").as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(1500));
    input.write_all(user("romeo").as_bytes()).unwrap();
    drop(input);
    let done = slow.wait_with_output().unwrap();
    assert_eq!(done.stdout, b"2 added, 0 skipped, 0 refused\n");
    server.stop();
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_schema_needs_none() {
    let home = tempfile::tempdir().unwrap();
    let (code, _, err) = run(shild(home.path(), &["import", "nowhere"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("nowhere: cannot be read: "), "{err}");
    let (code, out, _) = run(shild(home.path(), &["import", "--schema"]));
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &schema["title"]),
        (Some(0), &"A line of an export of shild".into())
    );
}

// Failed before: it made a store, and the next start found one.
#[test]
fn a_dry_run_leaves_nothing_behind_where_there_is_no_store() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, err) = import(home.path(), &user("juliet"), &["--dry-run"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, "would be: 1 added, 0 skipped, 0 refused\n");
    assert!(!home.path().join("data").exists());
}

// Failed before: all was well.
#[test]
fn an_input_that_is_empty_is_no_success() {
    let home = tempfile::tempdir().unwrap();
    let without = import(home.path(), "", &[]);
    let server = Server::start(home.path());
    assert_eq!(import(home.path(), "", &[]), without);
    server.stop();
    let (code, out, err) = without;
    assert_eq!((code, out.as_str()), (Some(1), "0 added, 0 skipped, 1 refused\n"));
    assert!(err.starts_with("shild: line 1: the input is empty"), "{err}");
}

#[test]
fn on_one_line_the_element_says_who_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (_, _, err) = import(home.path(), "[{\"username\":\"juliet\"},{\"username\":\"a b\"}]", &[]);
    assert!(err.starts_with("shild: line 1, element 2: /username: "), "{err}");
}

// Failed before: what read the input kept the only such thread, and waited for what the store needed it for.
#[test]
fn one_thread_that_may_block_is_enough_for_an_import() {
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let settings = Settings {
        data_dir: home.path().to_owned(),
        store: StoreKind::Sled,
        ..shild::testing::settings()
    };
    let many: String = (0..5_000).map(|n| user(&format!("user{n:05}x"))).collect();
    let report = runtime.block_on(async {
        let shild = Shild::builder(settings).build().await.unwrap();
        let input = std::io::Cursor::new(many);
        let origin = Origin::default();
        let import = shild.import(input, ImportOptions::default(), Actor::Operator, &origin);
        let report = tokio::time::timeout(Duration::from_secs(60), import).await;
        shild.close().await.unwrap();
        report.expect("it does not wait for itself").unwrap()
    });
    assert_eq!(report.added.users, 5_000);
}
