//! Clients that others have written, against the real binary.
//!
//! They are installed by `tests/clients/install`, into `target/clients` or wherever `SHILD_CLIENTS` says. A test whose client
//! is not there says `SKIPPED`, by name, and passes.

mod server;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use server::{PASSWORD, Server, member, run, shild};
use shild::config::Settings;
use shild::user::{Scopes, UserId};
use tempfile::TempDir;

/// What runs a client.
enum Tool {
    Python,
    Node,
}

fn installed() -> PathBuf {
    std::env::var_os("SHILD_CLIENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients"),
        PathBuf::from,
    )
}

/// The command that runs `script`, a client that uses `package`; `None` if that is not installed.
fn client(tool: &Tool, package: &str, script: &str) -> Option<Command> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let command = match tool {
        Tool::Python => {
            let python = installed().join("venv/bin/python");
            let mut command = Command::new(&python);
            let there = Command::new(&python)
                .args(["-c", &format!("import {package}")])
                .stderr(Stdio::null())
                .status();
            there.is_ok_and(|status| status.success()).then(|| {
                command.arg(scripts.join(script));
                command
            })
        }
        Tool::Node => {
            let there = installed().join("node_modules").join(package).is_dir()
                && Command::new("node").arg("--version").output().is_ok();
            there.then(|| {
                // Node looks for packages beside the script only.
                let copy = installed().join(script);
                std::fs::copy(scripts.join(script), &copy).expect("the script can be copied");
                let mut command = Command::new("node");
                command.arg(copy);
                command
            })
        }
    };
    if command.is_none() {
        // Not by a macro, whose output a test that passes does not show.
        let test = std::thread::current();
        let test = test.name().unwrap_or(script);
        let line = format!("SKIPPED {test}: {package} is not installed; run tests/clients/install\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    command
}

/// Runs it to a good end; its output.
#[track_caller]
fn finish(mut command: Command, input: &str) -> String {
    let mut child = command
        .env("OAUTHLIB_INSECURE_TRANSPORT", "1")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(input.as_bytes()).expect("it reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A server with the user `juliet`, and `server`, who may introspect.
fn server() -> (TempDir, Server) {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let server = Server::start(home.path());
    server.register("juliet");
    let caller = server.register("server");
    let port = server.port().to_owned();
    server.stop();
    let id = member(&caller, "id").parse().expect("an id");
    give_scope(home.path().join("data"), id, "introspect");
    let server = Server::start_on(home.path(), &port);
    (home, server)
}

fn give_scope(data_dir: PathBuf, id: UserId, scope: &str) {
    let settings = Settings {
        data_dir,
        ..Settings::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let shild = shild::Shild::builder(settings).build().await.expect("it opens");
        let mut user = shild.store().find(id).await.unwrap().expect("the user is there");
        let expected = user.version;
        user.scopes = Scopes::parse(scope).expect("a scope");
        user.version += 1;
        shild.store().replace(&user, expected).await.expect("it is stored");
        shild.close().await.expect("it closes");
    });
}

#[test]
fn requests_oauthlib_signs_in_and_refreshes_by_itself() {
    let Some(mut client) = client(&Tool::Python, "requests_oauthlib", "oauthlib_session.py") else {
        return;
    };
    let (_home, server) = server();
    client.args([&server.url, "juliet", PASSWORD]);
    assert_eq!(finish(client, ""), "ok\n");
    server.stop();
}

// T22, T20, T21
#[test]
fn oauth4webapi_drives_every_oauth_endpoint() {
    let Some(mut client) = client(&Tool::Node, "oauth4webapi", "oauth4webapi.mjs") else {
        return;
    };
    let (_home, server) = server();
    client.args([&server.url, "juliet", PASSWORD, "server"]);
    assert_eq!(finish(client, ""), "ok\n");
    server.stop();
}

/// What `GET /keys` says, and below it `count` tokens, issued before and after a rotation of the keys.
fn tokens_across_a_rotation(server: &Server, home: &Path, count: usize) -> String {
    let mut tokens = server.sign_in("juliet");
    let mut issued = String::new();
    for number in 0..count {
        if number == count / 2 {
            let (code, _, err) = run(shild(home, &["key", "rotate"]));
            assert_eq!(code, Some(0), "{err}");
        }
        let (status, next) = server.refresh(member(&tokens, "refresh_token"));
        assert_eq!(status, 200, "{next}");
        tokens = next;
        issued += member(&tokens, "access_token");
        issued.push('\n');
    }
    let (_, keys): (_, Value) = server.get("/keys", None);
    format!("{keys}\n{issued}")
}

// P10, P12
#[test]
fn pyseto_verifies_a_thousand_tokens_issued_across_a_rotation() {
    let Some(mut client) = client(&Tool::Python, "pyseto", "pyseto_verify.py") else {
        return;
    };
    let (home, server) = server();
    client.arg(&server.url);
    let input = tokens_across_a_rotation(&server, home.path(), 1000);
    assert_eq!(finish(client, &input), "1000 2\n");
    server.stop();
}

// P10, P12
#[test]
fn paseto_ts_verifies_tokens_issued_across_a_rotation() {
    let Some(mut client) = client(&Tool::Node, "paseto-ts", "paseto_ts.mjs") else {
        return;
    };
    let (home, server) = server();
    client.arg(&server.url);
    let input = tokens_across_a_rotation(&server, home.path(), 2);
    assert_eq!(finish(client, &input), "2 2\n");
    server.stop();
}
