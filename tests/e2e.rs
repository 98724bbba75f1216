//! The real binary on a fresh directory: what it does, what it keeps, and what it says when it cannot.

mod server;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use server::{PASSWORD, Server, member, run, shild, skipped};
use shild::clock::SystemRandom;
use shild::token::master::MasterKey;
use tempfile::TempDir;

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// Runs it, expects exit code 1 and one line, and gives that.
#[track_caller]
fn complaint(home: &Path, args: &[&str]) -> String {
    let (code, out, err) = run(shild(home, args));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    err
}

#[test]
fn the_four_things_of_the_tutorial_work_and_outlive_a_restart() {
    let home = home();
    let server = Server::start(home.path());
    let user = server.register("juliet");
    let tokens = server.sign_in("juliet");
    let access = member(&tokens, "access_token");
    assert_eq!(server.get("/user/me", Some(access)), (200, user.clone()));
    assert_eq!(server.get("/user/me", None).0, 401);
    let (status, page) = server.text("/docs/");
    assert!(status == 200 && page.contains("swagger"), "{status} {page}");
    let (status, document) = server.get("/openapi.json", None);
    assert_eq!(status, 200);
    assert!(document["paths"]["/shild"]["post"].is_object());
    let (_, keys) = server.get("/keys", None);

    // The issuer is where it listens, so it has to listen there again.
    let port = server.port().to_owned();
    server.stop();
    let server = Server::start_on(home.path(), &port);
    assert_eq!(
        server.get("/user/me", Some(access)),
        (200, user),
        "user and session are there"
    );
    assert_eq!(server.get("/keys", None).1, keys);
    let (status, next) = server.refresh(member(&tokens, "refresh_token"));
    assert_eq!(status, 200, "{next}");
    server.sign_in("juliet");
    server.stop();
}

#[cfg(unix)]
#[test]
fn whoever_does_not_listen_to_what_it_says_stops_no_start() {
    let home = home();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = shild(home.path(), &["serve", "--port", "0"]);
    let mut server = command.stdout(writer).spawn().unwrap();
    drop(command);
    let start = Instant::now();
    let ready = || run(shild(home.path(), &["user", "list"])).0 == Some(0);
    while !home.path().join("data/operator.json").exists() || !ready() {
        assert_eq!(server.try_wait().unwrap(), None);
        assert!(start.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(10));
    }
    assert!(
        Command::new("kill")
            .arg(server.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    assert!(server.wait().unwrap().success());
}

/// Whether this process ignores the signal of this number, as its children then do.
#[cfg(target_os = "linux")]
fn is_ignored(signal: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

// Failed before: it was killed, and the next start looked through everything.
#[cfg(target_os = "linux")]
#[test]
fn the_end_of_its_terminal_is_an_end_like_any_other_unless_that_is_ignored() {
    // In such a place a program cannot tell what it was started for.
    if is_ignored(1) {
        skipped("e2e: whoever runs the tests has SIGHUP ignored");
        return;
    }
    let home = home();
    let server = Server::start(home.path());
    let hang_up = |pid: u32| {
        let sent = Command::new("kill").args(["-HUP", &pid.to_string()]).status();
        assert!(sent.unwrap().success());
    };
    hang_up(server.pid());
    assert!(server.ended().success());
    assert!(!home.path().join("data/operator.json").exists());

    let serve = shild(home.path(), &["serve", "--port", "0"]);
    let mut command = Command::new("nohup");
    command.arg(serve.get_program()).args(serve.get_args());
    command.current_dir(home.path());
    for (name, value) in serve.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let server = Server::spawn(home.path(), command);
    hang_up(server.pid());
    server.register("juliet");
    server.stop();
}

#[cfg(unix)]
#[test]
fn the_credentials_of_the_command_line_are_its_owners_only_and_gone_at_the_end() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = home();
    let file = home.path().join("data/operator.json");
    let server = Server::start(home.path());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    server.stop();
    assert!(!file.exists());
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn hashes_are_made_in_huge_pages() {
    if !fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
        skipped("e2e: this system has no huge pages");
        return;
    }
    let home = home();
    let server = Server::start_with(home.path(), &[("SHILD_PASSWORD__ARGON2__MEMORY_KIB", "19456")]);
    let asked = || {
        let mappings = fs::read_to_string(format!("/proc/{}/smaps", server.pid())).unwrap();
        let flags = mappings.lines().filter_map(|line| line.strip_prefix("VmFlags:"));
        flags.filter(|flags| flags.split(' ').any(|flag| flag == "hg")).count()
    };
    assert_eq!(asked(), 0, "nothing else is");
    server.register("juliet");
    assert!(asked() > 0);
    server.stop();
}

#[test]
fn told_to_end_as_soon_as_it_listens_it_ends_as_at_any_other_time() {
    let home = home();
    for _ in 0..5 {
        Server::start(home.path()).stop();
        assert!(!home.path().join("data/operator.json").exists());
    }
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let home = home();
    let server = Server::start(home.path());
    server.register("juliet");
    let body = format!("grant_type=password&username=juliet&password={PASSWORD}");
    let (first, rest) = body.split_at(10);
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /shild HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .unwrap();
    // This says that the route is reading the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(first.as_bytes()).unwrap();
    server.terminate();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "nothing is answered to half a request");
    stream.set_read_timeout(None).unwrap();
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(server.ended().success());

    let (_, tokens) = answer.split_once("\r\n\r\n").unwrap();
    let tokens = serde_json::from_str(tokens).unwrap();
    let server = Server::start(home.path());
    assert_eq!(server.refresh(member(&tokens, "refresh_token")).0, 200, "it was stored");
    server.stop();
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let home = home();
    let server = Server::start(home.path());
    let line = complaint(home.path(), &["serve", "--port", "0"]);
    assert!(
        line.contains("data") && line.contains("in use by another shild"),
        "{line}"
    );
    server.register("juliet");
    server.stop();
}

#[test]
fn a_port_in_use_is_named() {
    let home = home();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let line = complaint(home.path(), &["serve", "--port", &address.port().to_string()]);
    assert!(
        line.contains(&address.to_string()) && line.contains("choose another with --address or --port"),
        "{line}"
    );
    assert!(!home.path().join("data/operator.json").exists());
}

#[test]
fn a_bad_setting_is_named_before_anything_is_made() {
    let home = home();
    let mut command = shild(home.path(), &["serve", "--port", "0"]);
    command.env("SHILD_ACCESS_TOKEN_TTL", "soon");
    let (code, _, err) = run(command);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("access_token_ttl = \"soon\"")
            && err.contains("SHILD_ACCESS_TOKEN_TTL")
            && err.lines().count() == 1,
        "{err}"
    );
    assert!(!home.path().join("data").exists());
}

#[test]
fn a_damaged_store_stops_the_start_with_what_to_do() {
    let home = home();
    let server = Server::start(home.path());
    server.register("juliet");
    server.stop();
    fs::write(home.path().join("data/sled/conf"), "not what sled wrote").unwrap();
    let line = complaint(home.path(), &["serve", "--port", "0"]);
    assert!(line.contains("the store in data is damaged"), "{line}");
    assert!(line.contains("bring back a backup"), "{line}");
}

// Failed before: the program left out of its log what its store says.
#[test]
fn what_becomes_of_the_store_is_in_the_log() {
    let home = home();
    let server = Server::start_with(home.path(), &[("SHILD_THROTTLE__PER_SOURCE__BURST", "1000")]);
    let blobs = home.path().join("data/sled/blobs");
    fs::remove_dir(&blobs).unwrap();
    let (status, _) = server.post("/register", &json!({ "username": "juliet", "password": PASSWORD }));
    assert_eq!(status, 503);
    fs::create_dir(&blobs).unwrap();
    let start = Instant::now();
    while server
        .post("/register", &json!({ "username": "romeo", "password": PASSWORD }))
        .0
        == 503
    {
        assert!(start.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(50));
    }
    server.stop();
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    let said = |level: &str, text: &str| {
        log.lines()
            .any(|line| line.contains(&format!("{level} shild::store")) && line.contains(text))
    };
    assert!(said("ERROR", "nothing is written until"), "{log}");
    assert!(said("WARN", "the store was opened again and is written again"), "{log}");
}

/// Serves with this store, ends, damages its file, and expects that the start says so and that a restore brings everything
/// back, sign-ins too.
#[track_caller]
fn assert_restores(store: &str) {
    let home = home();
    fs::write(
        home.path().join("Rocket.toml"),
        format!("[default.shild]\nstore = \"{store}\""),
    )
    .unwrap();
    let server = Server::start(home.path());
    server.register("juliet");
    let tokens = server.sign_in("juliet");
    let access = member(&tokens, "access_token");
    let port = server.port().to_owned();
    let busy = complaint(home.path(), &["restore"]);
    assert!(busy.contains("stop it first"), "{busy}");
    server.stop();
    // Failed before: whoever refreshed after the snapshot was out, and suspected of theft.
    let server = Server::start_on(home.path(), &port);
    let mut newest = tokens.clone();
    for _ in 0..3 {
        let (status, next) = server.refresh(member(&newest, "refresh_token"));
        assert_eq!(status, 200, "{next}");
        newest = next;
    }
    drop(server);

    let file = home.path().join(format!("data/{store}/db"));
    let bytes = fs::read(&file).unwrap();
    // sled's file is mostly room for what is to come: all that is in it so far lies at its beginning.
    fs::write(&file, &bytes[..1024]).unwrap();
    let line = complaint(home.path(), &["serve", "--port", &port]);
    assert!(
        line.contains("damaged") && line.contains("`shild restore`") && !line.contains("panicked at"),
        "{line}"
    );

    let (code, out, err) = run(shild(home.path(), &["restore"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.contains("1 users, 1 sessions") && out.contains("is kept in data/damaged-"),
        "{out}"
    );
    let (code, out, _) = run(shild(home.path(), &["audit", "--kind", "restored", "--json"]));
    assert!(code == Some(0) && out.contains(r#""actor":"operator""#), "{out}");
    assert!(out.contains(r#""detail":"as of "#), "{out}");
    let server = Server::start_on(home.path(), &port);
    assert_eq!(
        server.get("/user/me", Some(access)).0,
        200,
        "nobody has to sign in again"
    );
    let (status, next) = server.refresh(member(&newest, "refresh_token"));
    assert_eq!(status, 200, "{next}");
    assert_eq!(server.get("/user/me", Some(member(&next, "access_token"))).0, 200);
    // And theft is noticed as before.
    assert_eq!(server.refresh(member(&tokens, "refresh_token")).0, 400);
    assert_eq!(server.refresh(member(&next, "refresh_token")).0, 400);
    server.stop();
    let (code, out, _) = run(shild(home.path(), &["verify"]));
    assert_eq!(code, Some(0), "{out}");
}

// Failed before: the store became one of the other kind, and the server did not start with it.
#[cfg(feature = "redb")]
#[test]
fn a_restore_with_the_setting_of_another_store_is_refused() {
    let home = home();
    let redb = [("SHILD_STORE", "redb")];
    let server = Server::start_with(home.path(), &redb);
    server.register("juliet");
    server.stop();
    let line = complaint(home.path(), &["restore"]);
    assert!(
        line.contains("of the kind redb") && line.contains("the setting store is sled"),
        "{line}"
    );
    assert!(!home.path().join("data/sled").exists());
    let server = Server::start_with(home.path(), &redb);
    server.sign_in("juliet");
    server.stop();
}

#[test]
fn snapshots_are_taken_when_something_has_changed_and_the_newest_three_are_kept() {
    let home = home();
    let taken = || {
        let entries = fs::read_dir(home.path().join("data/snapshots")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let mut seen = Vec::new();
    for name in ["juliet", "romeo", "nurse", "tybalt"] {
        let server = Server::start(home.path());
        server.register(name);
        server.stop();
        assert!(taken().len() <= 3 && taken().last() > seen.last(), "{:?}", taken());
        seen = taken();
        // Nothing has changed.
        Server::start(home.path()).stop();
        assert_eq!(taken(), seen);
    }
}

#[test]
fn a_damaged_sled_is_restored_from_the_snapshot_of_the_last_stop() {
    assert_restores("sled");
}

#[cfg(feature = "redb")]
#[test]
fn a_damaged_redb_is_restored_from_the_snapshot_of_the_last_stop() {
    assert_restores("redb");
}

/// Makes a server, does this to its master key, and expects that the start says so, that a reset of the keys makes it start
/// again, that all tokens of before are refused, and that the account is still there.
#[track_caller]
fn assert_recovers(harm: impl FnOnce(&Path), said: &str) {
    let home = home();
    let server = Server::start(home.path());
    server.register("juliet");
    let tokens = server.sign_in("juliet");
    let port = server.port().to_owned();
    server.stop();

    let file = home.path().join("data/master.key");
    let lost = fs::read(&file).unwrap();
    harm(&file);
    let line = complaint(home.path(), &["serve", "--port", &port]);
    assert!(line.contains(said), "{line}");
    assert!(line.contains("`shild key reset`"), "it says what to do: {line}");

    let (code, out, err) = run(shild(home.path(), &["key", "reset"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("everybody has to sign in again"), "{out}");
    assert_ne!(fs::read(&file).unwrap(), lost, "the lost key opens nothing any more");
    let (code, out, _) = run(shild(home.path(), &["audit", "--kind", "keys_rotated", "--json"]));
    let events: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, events.as_array().map(Vec::len)), (Some(0), Some(1)), "{out}");
    assert_eq!(
        (&events[0]["detail"], &events[0]["actor"]),
        (&"reset".into(), &"operator".into())
    );
    let server = Server::start_on(home.path(), &port);
    assert_eq!(server.get("/user/me", Some(member(&tokens, "access_token"))).0, 401);
    assert_eq!(server.refresh(member(&tokens, "refresh_token")).0, 400);
    server.sign_in("juliet");
    server.stop();
}

// P13
#[test]
fn a_missing_master_key_costs_sign_ins_and_no_account() {
    assert_recovers(
        |file| fs::remove_file(file).unwrap(),
        "there is no master key at data/master.key",
    );
}

// P13
#[test]
fn a_wrong_master_key_costs_sign_ins_and_no_account() {
    let other = MasterKey::generate(&SystemRandom).to_text();
    assert_recovers(
        |file| fs::write(file, other.as_bytes()).unwrap(),
        "the master key is not the one that sealed it",
    );
}

// P13
#[test]
fn a_damaged_master_key_costs_sign_ins_and_no_account() {
    assert_recovers(
        |file| fs::write(file, "k4.local.half").unwrap(),
        "data/master.key holds no master key",
    );
}

// P13
#[cfg(unix)]
#[test]
fn a_master_key_that_others_may_have_read_can_be_replaced() {
    use std::os::unix::fs::PermissionsExt as _;

    assert_recovers(
        |file| fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap(),
        "so others may get at it",
    );
}

fn keys(home: &Path, args: &[&str]) -> Vec<String> {
    let (code, out, err) = run(shild(home, &[&["key"], args].concat()));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
    out.lines()
        .map(|line| line.split_whitespace().next().expect("a kid").to_owned())
        .collect()
}

// P12
#[test]
fn keys_are_managed_with_the_server_and_without() {
    let home = home();
    // Of nobody: a store is made all the same.
    assert_eq!(
        run(shild(home.path(), &["import", "-"])).0,
        Some(1),
        "nobody was to be taken in, but there is a store"
    );
    let first = keys(home.path(), &["list"]);
    assert_eq!(first.len(), 1, "made on the spot");
    let both = keys(home.path(), &["rotate"]);
    assert!(both.len() == 2 && both[0] == first[0]);

    let server = Server::start(home.path());
    server.register("juliet");
    let tokens = server.sign_in("juliet");
    let access = member(&tokens, "access_token");
    assert_eq!(keys(home.path(), &["list"]), both);
    let three = keys(home.path(), &["rotate"]);
    assert_eq!(three[..2], both);
    assert_eq!(server.get("/user/me", Some(access)).0, 200);
    // The listing as JSON is what the server says.
    let (_, json, _) = run(shild(home.path(), &["key", "list", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, server.get("/keys", None).1["keys"]);
    assert_eq!(keys(home.path(), &["retire", &both[1]]), [first[0].as_str(), &three[2]]);
    assert_eq!(server.get("/user/me", Some(access)).0, 401);
    assert!(complaint(home.path(), &["key", "retire", &both[1]]).contains("no signing key with this id"));
    assert!(complaint(home.path(), &["key", "reset"]).contains("stop it first"));
    let port = server.port().to_owned();
    server.stop();

    let left = keys(home.path(), &["retire", &three[2]]);
    assert!(left.len() == 2 && left[0] == first[0] && !three.contains(&left[1]));
    assert!(complaint(home.path(), &["key", "retire", "nonsense"]).contains("no signing key with this id"));
    let server = Server::start_on(home.path(), &port);
    let (status, next) = server.refresh(member(&tokens, "refresh_token"));
    assert_eq!(status, 200, "sessions go on: {next}");
    assert_eq!(keys(home.path(), &["list"]), left);
    server.stop();
}
