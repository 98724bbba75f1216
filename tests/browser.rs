//! The docs page and the account page in Chromium, served by the real binary. What is done there stands in
//! `tests/browser/*.mjs`; each of them watches that no request leaves the host, and that neither the console nor the
//! page's policy has anything to report.
//!
//! Needs Debian's package `chromium` (or `SHILD_CHROMIUM`, the path of another one), and what `tests/browser/install` installs
//! into `target/browser` (or wherever `SHILD_BROWSER` says). A test that misses one of them says `SKIPPED`, by name, and passes.

mod server;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use server::{PASSWORD, Server, run, shild};
use tempfile::TempDir;

fn from_environment(name: &str, or: impl Into<PathBuf>) -> PathBuf {
    std::env::var_os(name).map_or_else(|| or.into(), PathBuf::from)
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The command that runs `script` in a browser; `None` if something that it needs is missing.
fn script(name: &str) -> Option<Command> {
    let installed = from_environment("SHILD_BROWSER", checkout().join("target/browser"));
    let chromium = from_environment("SHILD_CHROMIUM", "/usr/bin/chromium");
    let missing = if !chromium.is_file() {
        format!("there is no {}; install the package chromium", chromium.display())
    } else if !installed.join("node_modules/playwright-core").is_dir() {
        "playwright-core is not installed; run tests/browser/install".to_owned()
    } else if Command::new("node").arg("--version").output().is_err() {
        "there is no node".to_owned()
    } else {
        let mut command = Command::new("node");
        command.arg(checkout().join("tests/browser").join(name));
        command.env("SHILD_BROWSER", installed).env("SHILD_CHROMIUM", chromium);
        return Some(command);
    };
    // Not by a macro, whose output a test that passes does not show.
    let test = std::thread::current();
    let test = test.name().unwrap_or(name);
    drop(std::io::stderr().write_all(format!("SKIPPED {test}: {missing}\n").as_bytes()));
    None
}

/// A server with the administrator `nurse`.
fn server() -> (TempDir, Server) {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    add_user(home.path(), "nurse", &["--scope", "admin", "--scope", "user"]);
    let server = Server::start(home.path());
    (home, server)
}

fn add_user(home: &Path, name: &str, more: &[&str]) {
    let mut command = shild(home, &[&["user", "add", name, "--password-stdin"], more].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    writeln!(stdin, "{PASSWORD}").expect("it reads its input");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

/// Runs the script against the server to its good end.
#[track_caller]
fn finish(mut script: Command, server: Server, more: &[&str]) {
    let output = script
        .arg(&server.url)
        .args(more)
        .output()
        .expect("node can be started");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success() && output.stdout.ends_with(b"ok\n"),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    server.stop();
}

// H2
#[test]
fn on_the_docs_page_one_signs_in_and_reads_ones_own_name() {
    let Some(script) = script("docs.mjs") else { return };
    let (_home, server) = server();
    finish(script, server, &[]);
}

// H2, T15, T18
#[test]
fn on_the_account_page_one_does_all_that_a_user_can() {
    let Some(script) = script("account.mjs") else { return };
    let (home, server) = server();
    server.register("locked-out");
    let (code, token, err) = run(shild(home.path(), &["user", "reset-password", "locked-out"]));
    assert_eq!(code, Some(0), "{err}");
    let token = token.lines().last().expect("the token is on the last line");
    finish(script, server, &[token]);
}

#[test]
fn on_the_account_page_an_administrator_looks_after_all_users() {
    let Some(script) = script("admin.mjs") else { return };
    let (_home, server) = server();
    finish(script, server, &[]);
}

#[test]
fn the_account_page_needs_no_mouse() {
    let Some(script) = script("keyboard.mjs") else { return };
    let (_home, server) = server();
    finish(script, server, &[]);
}

#[test]
fn every_view_of_the_account_page_is_accessible_in_light_and_dark_and_fits_a_phone() {
    let Some(script) = script("views.mjs") else { return };
    let (_home, server) = server();
    finish(script, server, &[]);
}

// H2, T15
#[test]
fn the_account_page_shows_what_others_write_as_text_and_loses_no_session() {
    let Some(script) = script("hostile.mjs") else { return };
    let (_home, server) = server();
    finish(script, server, &[]);
}

#[test]
fn the_account_page_follows_the_settings_and_works_below_a_path() {
    let Some(script) = script("settings.mjs") else { return };
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let settings = "[default.shild]\ntoken_path = \"/oauth/token\"\nregistration = \"closed\"\n";
    std::fs::write(home.path().join("Rocket.toml"), settings).expect("a file can be written");
    add_user(home.path(), "nurse", &["--scope", "admin", "--scope", "user"]);
    let server = Server::start(home.path());
    finish(script, server, &[]);
}

/// Not a test: writes the pictures of the README into `tests/browser`, with the fonts that this machine has.
#[test]
#[ignore = "writes into the checkout"]
fn pictures_for_the_readme() {
    let directory = checkout().join("tests/browser");
    let Some(pictures) = script("pictures.mjs") else { return };
    let (_home, running) = server();
    finish(pictures, running, &[&directory.to_string_lossy()]);
    let Some(docs) = script("docs.mjs") else { return };
    let (_home, running) = server();
    finish(docs, running, &[&directory.to_string_lossy()]);
}
