//! The verbs of administration, as whoever is on the host sees them: against the store while no server runs, and through the
//! server while one does.

mod server;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use server::{PASSWORD, Server, member, shild, skipped};
use tempfile::TempDir;

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

/// Runs it with this on standard input, which is no terminal.
fn with_input(mut command: Command, input: &str) -> Done {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program can be started");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // Who does not read it has ended already.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Done {
        code: output.status.code().expect("it ends by itself"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn run(home: &Path, line: &str) -> Done {
    with_input(shild(home, &line.split(' ').collect::<Vec<_>>()), PASSWORD)
}

/// Runs what must succeed and has nothing to complain of; its standard output.
#[track_caller]
fn good(home: &Path, line: &str) -> String {
    let Done { code, out, err } = run(home, line);
    assert_eq!((code, err.as_str()), (0, ""), "{line}: {out}");
    out
}

#[track_caller]
fn good_json(home: &Path, line: &str) -> Value {
    let out = good(home, line);
    assert_eq!(out.lines().count(), 1, "{line}: {out}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}: {out}"))
}

/// Expects a failure with this exit code, one line of complaint, and no result.
#[track_caller]
fn bad(home: &Path, line: &str, code: i32, words: &str) {
    let done = run(home, line);
    assert_eq!((done.code, done.out.as_str()), (code, ""), "{line}: {}", done.err);
    assert!(
        done.err.starts_with("shild: ") && done.err.lines().count() == 1 && done.err.contains(words),
        "{line}: {}",
        done.err
    );
}

/// The text with a word in place of each id, time, key id and token, and one space in place of many.
fn without_chance(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let word = |part: &str| {
        let (part, colon) = part.strip_suffix(':').map_or((part, ""), |part| (part, ":"));
        let time = part.len() >= 20 && part.ends_with('Z') && part.as_bytes()[10] == b'T';
        let word = match part {
            _ if part.len() == 36 && part.matches('-').count() == 4 => "ID",
            _ if time => "TIME",
            _ if part.starts_with("k4.pid.") => "KID",
            _ if part.starts_with("k4.public.") => "KEY",
            _ if part.starts_with("shp_") => "TOKEN",
            _ => part,
        };
        format!("{word}{colon}")
    };
    let (mut result, mut part) = (String::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if is_part(c) {
            part.push(c);
            continue;
        }
        result += &word(&part);
        part.clear();
        if !(c == '\0' || c == ' ' && result.ends_with(' ')) {
            result.push(c);
        }
    }
    result
}

/// All that is typed and all that comes back, from the first user to the last.
fn transcript(home: &Path) -> String {
    let mut text = String::new();
    for line in [
        "user add root --scope user --scope admin --password-stdin",
        "user add Juliet --password-stdin --json",
        "user add juliet --password-stdin",
        "user add ju(liet --password-stdin",
        "user add mercutio --password-stdin --scope a\"b",
        "user add mercutio",
        "user add mercutio hunter2",
        "user list",
        "user list --json",
        "user list --prefix jul",
        "user show JULIET",
        "user show juliet --json",
        "user show nobody",
        "user set juliet --username romeo --disabled true",
        "user set romeo --disabled false --scope user --scope invoices --json",
        "user set romeo",
        "user set romeo --disabled maybe",
        "user set root --disabled true",
        "user set root --scope user",
        "user set nobody --disabled true",
        "user reset-password romeo",
        "user reset-password nobody",
        "session list romeo",
        "session list romeo --json",
        "session list nobody",
        "session end romeo",
        "session end romeo 01890000-0000-7000-8000-000000000000",
        "session end romeo nonsense",
        "key list",
        "key list --json",
        "key rotate",
        "key retire k4.pid.nonsense",
        "user delete romeo",
        "user delete romeo --yes",
        "user delete romeo --yes",
        "user delete root --yes",
        "audit --kind nonsense",
        "audit --user nobody",
        "audit --limit 0",
        "audit --limit 0 --json",
    ] {
        let Done { code, out, err } = run(home, line);
        text += &format!(
            "$ shild {line}\n{}{}= {code}\n",
            without_chance(&out),
            without_chance(&err)
        );
        assert!(code == 0 || out.is_empty(), "{line}: {out}");
        assert!(
            code == 0 || err.starts_with("shild: ") && err.lines().count() == 1,
            "{line}: {err}"
        );
    }
    // Where it came from differs: the server knows the address of the command line.
    let events = good_json(home, "audit --json");
    for event in events.as_array().expect("an array") {
        assert_eq!(event["actor"], "operator", "{event}");
        text += &format!("{} {}\n", event["kind"], event["detail"]);
    }
    assert!(!text.contains(PASSWORD), "{text}");
    text
}

#[test]
fn every_verb_does_the_same_with_the_server_and_without() {
    let (stopped, running) = (home(), home());
    let without = transcript(stopped.path());
    let server = Server::start(running.path());
    let with = transcript(running.path());
    server.stop();
    assert_eq!(without, with);
    for (line, code) in [
        ("user add mercutio hunter2", 2),
        ("user add mercutio", 2),
        ("user delete romeo", 2),
    ] {
        assert!(with.contains(&format!("$ shild {line}\nshild: ")), "{line}");
        let after = with.split_once(&format!("$ shild {line}\n")).expect("it was typed").1;
        assert!(
            after
                .split_once("\n= ")
                .expect("it ended")
                .1
                .starts_with(&code.to_string()),
            "{after}"
        );
    }
    let kinds: Vec<_> = with.lines().rev().take_while(|line| line.starts_with('"')).collect();
    assert_eq!(kinds.last(), Some(&"\"deleted\" null"), "newest first: {with}");
    assert_eq!(
        kinds.first(),
        Some(&"\"user_created\" \"scopes: admin user\""),
        "{with}"
    );
}

#[test]
fn sessions_are_seen_and_ended_with_the_server_and_without() {
    let home = home();
    let path = home.path();
    let server = Server::start(path);
    server.register("juliet");
    let tokens: Vec<_> = (0..3).map(|_| server.sign_in("juliet")).collect();
    let refreshed = |n: usize| server.refresh(member(&tokens[n], "refresh_token")).0;
    let list = || {
        good_json(path, "session list juliet --json")
            .as_array()
            .expect("an array")
            .clone()
    };
    let sessions = list();
    assert_eq!(sessions.len(), 3);
    assert_eq!(good(path, "session list juliet").lines().count(), 3);
    let id = member(&sessions[0], "id");
    assert_eq!(good(path, &format!("session end juliet {id}")), "");
    assert_eq!(list(), sessions[1..]);
    let alive = (0..3).filter(|n| refreshed(*n) == 200).count();
    assert_eq!(alive, 2);
    let port = server.port().to_owned();
    server.stop();

    let sessions = list();
    assert_eq!(sessions.len(), 2);
    good(path, &format!("session end juliet {}", member(&sessions[0], "id")));
    assert_eq!(list().len(), 1);
    good(path, "session end juliet");
    assert!(list().is_empty());
    let server = Server::start_on(path, &port);
    for tokens in &tokens {
        assert_eq!(server.refresh(member(tokens, "refresh_token")).0, 400);
    }
    server.stop();
}

/// The way back in for whoever is locked out of everything.
#[test]
fn the_token_of_a_reset_stands_alone_and_sets_the_password() {
    let home = home();
    let path = home.path();
    good(path, "user add root --scope admin --password-stdin");
    let done = run(path, "user reset-password root");
    assert_eq!(done.code, 0);
    let token = done.out.strip_suffix('\n').expect("a line");
    assert!(
        token.starts_with("shp_") && !token.contains(char::is_whitespace),
        "{token}"
    );
    assert!(!done.err.contains(token), "{}", done.err);
    let server = Server::start(path);
    let new = "parting is sweet sorrow 8";
    let body = json!({ "reset_token": token, "new_password": new });
    assert_eq!(server.post("/password-reset", &body).0, 204);
    let fields = [("grant_type", "password"), ("username", "root"), ("password", new)];
    let (status, tokens) = server.form("/shild", &fields);
    assert_eq!((status, member(&tokens, "scope")), (200, "admin"));
    assert_eq!(server.post("/password-reset", &body).0, 422);
    server.stop();
}

/// One line end is taken off, and nothing else.
#[test]
fn a_password_is_read_from_standard_input_as_it_is() {
    let home = home();
    let path = home.path();
    for (name, input) in [
        ("a", format!("{PASSWORD}\n")),
        ("b", format!("{PASSWORD}\r\n")),
        ("c", PASSWORD.to_owned()),
    ] {
        let done = with_input(shild(path, &["user", "add", name, "--password-stdin"]), &input);
        assert_eq!((done.code, done.err.as_str()), (0, ""));
    }
    for (input, words) in [
        (String::new(), "characters"),
        ("\n".to_owned(), "characters"),
        (format!("{PASSWORD}\nsecond line"), "control"),
        (format!("{PASSWORD}\n\n"), "control"),
        ("password".to_owned(), "guess"),
        ("x".repeat(10_000), "characters"),
    ] {
        let done = with_input(shild(path, &["user", "add", "d", "--password-stdin"]), &input);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{input:?}: {}", done.err);
        assert!(done.err.contains(words), "{input:?}: {}", done.err);
        assert!(input.is_empty() || input == "\n" || !done.err.contains(input.trim_end()) || input == "password");
    }
    let server = Server::start(path);
    for name in ["a", "b", "c"] {
        server.sign_in(name);
    }
    server.stop();
}

/// Whether there is a program to make a terminal with.
fn has_terminals() -> bool {
    let script = Command::new("script").arg("--version").output();
    let has = script.is_ok_and(|output| output.status.success());
    if !has {
        skipped("cli_admin: there is no program script (util-linux) to make a terminal with");
    }
    has
}

/// Runs it on a terminal, where these keys are typed and all that is said comes out as one.
fn on_a_terminal(home: &Path, line: &str, keys: &str) -> Done {
    let mut plain = shild(home, &[]);
    let line = format!("{} {line}", env!("CARGO_BIN_EXE_shild"));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(home).env_clear();
    let variables = plain.env("TERM", "dumb").get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    with_input(command, keys)
}

/// On a terminal it is asked for twice, and not shown.
#[test]
fn a_password_is_asked_for_on_a_terminal() {
    if !has_terminals() {
        return;
    }
    let home = home();
    let typed = |name: &str, keys: &str| on_a_terminal(home.path(), &format!("user add {name}"), keys);
    let done = typed("juliet", &format!("{PASSWORD}\n{PASSWORD}\n"));
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out.contains("password for juliet: ") && done.out.contains("once more: "),
        "{done:?}"
    );
    assert!(done.out.contains("username    juliet"), "{done:?}");
    let done = typed("romeo", &format!("{PASSWORD}\n{PASSWORD}x\n"));
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("not the same"), "{done:?}");
    let names = good(home.path(), "user list");
    assert!(names.starts_with("juliet ") && names.lines().count() == 1, "{names}");
}

/// Only who says so deletes: what is typed by mistake, or not at all, is no yes.
#[test]
fn on_a_terminal_a_user_is_deleted_after_a_yes_and_nothing_else() {
    if !has_terminals() {
        return;
    }
    let home = home();
    let path = home.path();
    good(path, "user add juliet --password-stdin");
    let question = "delete juliet for good? [y/N] ";
    for keys in ["\n", "n\n", "yy\n", "juliet\n", "\ny\n", "\u{4}"] {
        let done = on_a_terminal(path, "user delete juliet", keys);
        assert_eq!(done.code, 1, "{keys:?}: {done:?}");
        assert!(
            done.out.contains(question) && done.out.contains("nothing was deleted"),
            "{keys:?}: {done:?}"
        );
        assert!(good(path, "user list").starts_with("juliet "), "{keys:?}");
    }
    for keys in ["y\n", "yes\n"] {
        let done = on_a_terminal(path, "user delete juliet", keys);
        assert_eq!(done.code, 0, "{keys:?}: {done:?}");
        assert!(done.out.contains(question), "{keys:?}: {done:?}");
        bad(path, "user show juliet", 1, "there is no user named juliet");
        good(path, "user add juliet --password-stdin");
    }
    // With the word for it nobody is asked.
    let done = on_a_terminal(path, "user delete juliet --yes", "");
    assert!(done.code == 0 && !done.out.contains('?'), "{done:?}");
    // Nor is anybody asked about a user that is not there.
    let done = on_a_terminal(path, "user delete juliet", "y\n");
    assert!(done.code == 1 && !done.out.contains('?'), "{done:?}");
}

#[test]
fn after_a_server_was_killed_the_command_line_works_on_the_store() {
    let home = home();
    let path = home.path();
    let server = Server::start(path);
    server.register("juliet");
    let left = path.join("data/operator.json");
    assert!(left.exists());
    // As by kill -9.
    drop(server);
    assert!(left.exists(), "nobody could take it away");
    assert!(good(path, "user list").starts_with("juliet "));
    assert!(!left.exists(), "it says nothing any more");
    let server = Server::start(path);
    assert!(good(path, "user list").starts_with("juliet "));
    server.stop();
}

/// Whoever listens where a killed server listened is told nothing: no credential, and no password either.
#[test]
fn a_stranger_at_the_address_of_a_killed_server_is_told_nothing() {
    let home = home();
    let path = home.path();
    let server = Server::start(path);
    drop(server);
    let stranger = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = format!("http://{}", stranger.local_addr().expect("it is bound"));
    let left = path.join("data/operator.json");
    let text = fs::read_to_string(&left).expect("it was left behind");
    let mut credentials: Value = serde_json::from_str(&text).expect("JSON");
    credentials["address"] = json!(address);
    fs::write(&left, credentials.to_string()).expect("it can be written");

    let added = run(path, "user add juliet --password-stdin");
    assert_eq!((added.code, added.err.as_str()), (0, ""));
    assert!(good(path, "user list").starts_with("juliet "));
    stranger.set_nonblocking(true).expect("it can be made so");
    if let Ok((mut connection, _)) = stranger.accept() {
        let mut told = String::new();
        drop(connection.read_to_string(&mut told));
        panic!("somebody called: {told}");
    }
}

// H14
#[test]
fn what_runs_on_the_host_leaves_no_secret_in_the_log() {
    let home = home();
    let path = home.path();
    let server = Server::start(path);
    good(path, "user add juliet --password-stdin");
    let token = run(path, "user reset-password juliet").out;
    let credentials = fs::read_to_string(path.join("data/operator.json")).expect("it is there");
    let credentials: Value = serde_json::from_str(&credentials).expect("JSON");
    let operator = member(&credentials, "token").to_owned();
    let body = json!({ "reset_token": token.trim_end(), "new_password": "parting is sweet sorrow 8" });
    assert_eq!(server.post("/password-reset", &body).0, 204);
    server.stop();
    let log = fs::read_to_string(path.join("log")).expect("there is a log");
    assert!(log.contains("/users"), "{log}");
    for secret in [PASSWORD, "sweet sorrow", token.trim_end(), &operator, "juliet"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

/// A change that nobody could ever see must not be reported as made.
#[test]
fn a_store_in_memory_is_not_reached_and_not_pretended_to_be() {
    let home = home();
    for line in [
        "user add root --scope admin --password-stdin",
        "user list",
        "audit",
        "key rotate",
    ] {
        let mut command = shild(home.path(), &line.split(' ').collect::<Vec<_>>());
        command.env("SHILD_STORE", "memory");
        let done = with_input(command, PASSWORD);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{line}");
        assert!(done.err.starts_with("shild: store = \"memory\": "), "{}", done.err);
    }
}

#[test]
fn what_needs_no_store_makes_none() {
    let home = home();
    let path = home.path();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            good(path, &format!("completions {shell}")).contains("reset-password"),
            "{shell}"
        );
    }
    let manual = good(path, "completions man");
    assert!(
        manual.contains(".TH shild 1") && manual.contains("healthcheck"),
        "{manual}"
    );
    let document: Value = serde_json::from_str(&good(path, "openapi")).expect("JSON");
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3."))
    );
    good(path, "config");
    assert!(good_json(path, "config --json").is_object());
    bad(path, "healthcheck --port 1", 1, "does not answer");
    assert!(!path.join("data").exists());
    let server = Server::start(path);
    assert_eq!(good(path, &format!("healthcheck --port {}", server.port())), "");
    // It listens where no setting says; its own file in the data directory does.
    assert_eq!(good(path, "healthcheck"), "");
    bad(path, "healthcheck --port 1", 1, "does not answer");
    server.stop();
}

#[test]
fn a_wrong_use_says_what_is_wrong_and_does_nothing() {
    let home = home();
    let path = home.path();
    for (line, words) in [
        ("user", "requires a subcommand"),
        ("key", "rotate"),
        ("session", "end"),
        ("user add", "<NAME>"),
        ("user add juliet --password hunter2", "--password"),
        ("user show", "<NAME>"),
        ("user set juliet --disabled yes", "--disabled"),
        ("session end", "<NAME>"),
        ("key retire", "<KID>"),
        ("audit --limit x", "--limit"),
        ("audit --kind x", "--kind"),
        ("completions tcsh", "tcsh"),
    ] {
        bad(path, line, 2, words);
    }
    assert!(!path.join("data").exists());
    // The store has no such thing.
    good(path, "user add root --password-stdin");
    for (line, words) in [
        ("user show juliet", "there is no user named juliet"),
        ("user show a/b", "a/b"),
        ("user delete juliet --yes", "there is no user named juliet"),
        ("key retire k4.pid.x", "no signing key"),
    ] {
        bad(path, line, 1, words);
    }
}

// Failed before: there was no way from the command line to what had happened to somebody who is gone.
#[test]
fn whoever_was_deleted_is_found_in_the_audit_log_by_id() {
    let home = home();
    let path = home.path();
    let user: Value = serde_json::from_str(&good(path, "user add juliet --password-stdin --json")).expect("JSON");
    good(path, "user add romeo --password-stdin");
    good(path, "user delete juliet --yes");
    let events = good_json(path, &format!("audit --json --user {}", member(&user, "id")));
    let kinds: Vec<_> = events
        .as_array()
        .expect("an array")
        .iter()
        .map(|it| member(it, "kind"))
        .collect();
    assert_eq!(kinds, ["deleted", "user_created"]);
    let Done { code, err, .. } = run(path, "audit --user juliet");
    assert!(code == 1 && err.contains("by its id"), "{err}");
}
