//! Clients that others have written, against the real binary.
//!
//! They are installed by `tests/clients/install`, into `target/clients` or wherever `SHILD_CLIENTS` says. A test whose client
//! is not there says `SKIPPED`, by name, and passes.

mod server;
#[allow(dead_code, reason = "its main is not for here")]
#[path = "../examples/verify_elsewhere.rs"]
mod verify_elsewhere;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

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

fn python() -> PathBuf {
    installed().join("venv/bin/python")
}

/// Whether a package is installed; else says so.
fn is_installed(tool: &Tool, package: &str) -> bool {
    let there = match tool {
        Tool::Python => Command::new(python())
            .args(["-c", &format!("import {package}")])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
        Tool::Node => {
            installed().join("node_modules").join(package).is_dir()
                && Command::new("node").arg("--version").output().is_ok()
        }
    };
    if !there {
        // Not by a macro, whose output a test that passes does not show.
        let test = std::thread::current();
        let test = test.name().unwrap_or(package);
        let line = format!("SKIPPED {test}: {package} is not installed; run tests/clients/install\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    there
}

/// A copy of this file of the checkout beside the packages, the only place where Node looks for them.
fn beside_packages(file: &str) -> PathBuf {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let copy = installed().join(original.file_name().expect("it is a file"));
    std::fs::copy(original, &copy).expect("the script can be copied");
    copy
}

/// The command that runs `script`, a client that uses `package`; `None` if that is not installed.
fn client(tool: &Tool, package: &str, script: &str) -> Option<Command> {
    is_installed(tool, package).then(|| match tool {
        Tool::Python => {
            let mut command = Command::new(python());
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
            command
        }
        Tool::Node => {
            let mut command = Command::new("node");
            command.arg(beside_packages(script));
            command
        }
    })
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
        let found = shild.store().find(id).await.unwrap();
        let mut user = Arc::unwrap_or_clone(found.expect("the user is there"));
        let expected = user.version;
        user.scopes = Scopes::parse(scope).expect("a scope");
        user.version += 1;
        shild.store().replace(&user, expected, &[]).await.expect("it is stored");
        shild.close().await.expect("it closes");
    });
}

#[test]
fn requests_oauthlib_signs_in_and_refreshes_by_itself() {
    let Some(mut client) = client(&Tool::Python, "requests_oauthlib", "tests/clients/oauthlib_session.py") else {
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
    let Some(mut client) = client(&Tool::Node, "oauth4webapi", "tests/clients/oauth4webapi.mjs") else {
        return;
    };
    let (_home, server) = server();
    client.args([&server.url, "juliet", PASSWORD, "server"]);
    assert_eq!(finish(client, ""), "ok\n");
    server.stop();
}

/// So many access tokens of `juliet`, one a line, issued before and after a rotation of the keys.
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
    issued
}

/// The token with another first character in its signed part.
fn tampered(token: &str) -> String {
    let (header, body) = token.split_at("v4.public.".len());
    let first = if body.starts_with('A') { 'B' } else { 'A' };
    format!("{header}{first}{}", &body[1..])
}

/// Runs a verifier: for this audience it takes all of `count` tokens and no altered one, for another none.
fn verifies(count: usize, verifier: impl Fn() -> Command) {
    let (home, server) = server();
    let tokens = tokens_across_a_rotation(&server, home.path(), count);
    let (_, me) = server.get("/user/me", tokens.lines().next());
    let good = format!("{} \"user\"\n", member(&me, "id"));
    let command = |audience: &str| {
        let mut command = verifier();
        command.args([&server.url, audience]);
        command
    };
    assert_eq!(finish(command(&server.url), &tokens), good.repeat(count));
    for (audience, tokens) in [
        ("https://elsewhere.example", tokens.clone()),
        (
            &*server.url,
            tokens.lines().take(2).map(|token| tampered(token) + "\n").collect(),
        ),
        (
            &*server.url,
            format!("{}x\nnonsense\n", &tokens.lines().next().unwrap_or_default()),
        ),
    ] {
        let answers = finish(command(audience), &tokens);
        assert!(
            answers.lines().all(|answer| answer.starts_with("refused: ")),
            "{answers}"
        );
        assert_eq!(answers.lines().count(), tokens.lines().count());
    }
    server.stop();
}

// P10, P12
#[test]
fn pyseto_verifies_a_thousand_tokens_issued_across_a_rotation() {
    if is_installed(&Tool::Python, "pyseto") {
        let verifier = || client(&Tool::Python, "pyseto", "examples/verify.py");
        verifies(1000, || verifier().expect("it was there just now"));
    }
}

// P10, P12
#[test]
fn paseto_ts_verifies_tokens_issued_across_a_rotation() {
    if !is_installed(&Tool::Node, "paseto-ts") || !is_installed(&Tool::Node, "typescript") {
        return;
    }
    let source = beside_packages("examples/verify.mts");
    let mut compiler = Command::new("node");
    compiler.arg("node_modules/typescript/bin/tsc").current_dir(installed());
    compiler.args(["--strict", "--skipLibCheck", "--types", "node"]);
    compiler.args(["--module", "nodenext", "--target", "es2022", "verify.mts"]);
    finish(compiler, "");
    verifies(20, || {
        let mut node = Command::new("node");
        node.arg(source.with_extension("mjs"));
        node
    });
}

// P10, P12
#[test]
fn pasetors_verifies_tokens_issued_across_a_rotation() {
    let (home, server) = server();
    let tokens = tokens_across_a_rotation(&server, home.path(), 20);
    let (_, keys) = server.get("/keys", None);
    let issuer = &*server.url;
    for token in tokens.lines() {
        let claims = verify_elsewhere::verify(token, &keys, issuer, issuer).expect("a good token");
        assert_eq!(claims["scope"], "user");
        assert!(verify_elsewhere::verify(token, &keys, issuer, "https://elsewhere.example").is_err());
        assert!(verify_elsewhere::verify(token, &keys, "https://elsewhere.example", issuer).is_err());
        assert!(verify_elsewhere::verify(&tampered(token), &keys, issuer, issuer).is_err());
        assert!(verify_elsewhere::verify(token, &Value::Null, issuer, issuer).is_err());
    }
    server.stop();
}

#[test]
fn prometheus_client_reads_the_metrics() {
    let Some(client) = client(&Tool::Python, "prometheus_client", "tests/clients/metrics.py") else {
        return;
    };
    let (_home, server) = server();
    server.sign_in("juliet");
    let (status, text) = server.text("/metrics");
    assert_eq!(status, 200, "{text}");
    let read: Value = serde_json::from_str(&finish(client, &text)).expect("JSON");
    assert_eq!(read["types"]["shild_events"], "counter");
    assert_eq!(read["types"]["shild_http_request_seconds"], "histogram");
    assert_eq!(read["types"]["shild_sessions"], "gauge");
    assert_eq!(read["samples"]["shild_events_total{\"kind\": \"signed_in\"}"], 1.0);
    server.stop();
}
