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

#[test]
fn on_one_line_a_broken_element_costs_no_other_whosever_export_it_is() {
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import");
        fs::read_to_string(path.join(name)).unwrap()
    };
    let lines = fixture("fastapi-users.ndjson");
    let fastapi_users = format!("[{}]", lines.trim_end().replace('\n', ","));
    for (format, text) in [
        ("supabase", fixture("supabase.json")),
        ("django", fixture("django.json")),
        ("pocketbase", fixture("pocketbase.json")),
        ("fastapi-users", fastapi_users),
    ] {
        let elements: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let mut elements: Vec<_> = elements.iter().map(ToString::to_string).collect();
        let all = |elements: &[String]| {
            let home = tempfile::tempdir().unwrap();
            let array = format!("[{}]", elements.join(","));
            assert_eq!(array.lines().count(), 1);
            let (_, out, err) = import(home.path(), &array, &["--format", format, "--json"]);
            let report: serde_json::Value = serde_json::from_str(&out).unwrap();
            (report, err)
        };
        let (sound, _) = all(&elements);
        assert!(sound["added"]["users"].as_u64() > Some(0), "{sound}");
        for broken in ["{\"email\":}", "{\"email\"}", "7", ""] {
            elements.insert(1, broken.to_owned());
            let (report, err) = all(&elements);
            elements.remove(1);
            for count in ["added", "skipped"] {
                assert_eq!(report[count], sound[count], "{format} {broken}: {report}");
            }
            let refused = |report: &serde_json::Value| report["refused"].as_u64().unwrap();
            assert_eq!(refused(&report), refused(&sound) + 1, "{format} {broken}");
            let refusals = report["refusals"].as_array().unwrap();
            let place = |refusal: &serde_json::Value| (refusal["line"].as_u64(), refusal["element"].as_u64());
            assert!(
                refusals.iter().any(|one| place(one) == (Some(1), Some(2))),
                "{format} {broken}: {report}"
            );
            assert!(err.ends_with("refused\n"), "{err}");
        }
    }
}

#[test]
fn of_very_many_refusals_the_first_are_listed_and_the_rest_counted() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let wrong = |n: usize| user("a b").repeat(n);
    let refused = |text: &str, args: &[&str]| {
        let (code, out, err) = import(home, text, args);
        assert_eq!(code, Some(1), "{err}");
        let all: Vec<_> = err.lines().map(str::to_owned).collect();
        assert!(all.len() > 1000 && all[999].starts_with("shild: line 1000: /username: "));
        (out, all[1000..].to_vec())
    };
    let with = |out: &str, rest: &[&str]| (out.to_owned(), rest.iter().map(|&line| line.to_owned()).collect());
    let most = || refused(&(wrong(1000) + &user("juliet")), &[]);
    let more = || refused(&(wrong(1002) + &user("juliet")), &[]);
    let would = || refused(&wrong(1001), &["--dry-run"]);
    let check = |added: &str| {
        assert_eq!(
            most(),
            with(&format!("{added}, 1000 refused\n"), &["shild: 1000 were refused"])
        );
        let rest = ["shild: and 2 more", "shild: 1002 were refused"];
        assert_eq!(more(), with("0 added, 1 skipped, 1002 refused\n", &rest));
        let rest = ["shild: and 1 more", "shild: 1001 would be refused"];
        assert_eq!(would(), with("would be: 0 added, 0 skipped, 1001 refused\n", &rest));
    };
    check("1 added, 0 skipped");
    let server = Server::start(home);
    check("0 added, 1 skipped");
    server.stop();
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
