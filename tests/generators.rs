//! Clients generated from the OpenAPI document, by generators that others have written, type-checked and used against the
//! real binary.
//!
//! They are installed by `tests/generators/install`, into `target/generators` or wherever `SHILD_GENERATORS` says. A test whose
//! generator is not there says `SKIPPED`, by name, and passes. Generating and checking takes a processor a quarter of a minute
//! each, so those tests run only when they are asked for: `cargo test --test generators -- --ignored`.

mod server;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use server::Server;

fn installed() -> PathBuf {
    std::env::var_os("SHILD_GENERATORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/generators"),
        PathBuf::from,
    )
}

/// Whether all of these files are installed.
fn are_there(files: &[&str]) -> bool {
    let missing = files.iter().find(|file| !installed().join(file).exists());
    if let Some(missing) = missing {
        // Not by a macro, whose output a test that passes does not show.
        let test = std::thread::current();
        let test = test.name().unwrap_or("a test");
        let line = format!("SKIPPED {test}: {missing} is not installed; run tests/generators/install\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    missing.is_none()
}

/// Runs it to a good end; its output.
#[track_caller]
fn finish(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi.json")
}

/// Generates a client by the script of this name, which type-checks it, and uses it.
#[track_caller]
fn generate(script: &str, tools: &[&str]) {
    if !are_there(tools) {
        return;
    }
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let server = Server::start(home.path());
    let work = home.path().join("client");
    std::fs::create_dir(&work).expect("a directory can be made");
    let said = finish(
        Command::new(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/generators")
                .join(script),
        )
        .arg(std::path::absolute(installed()).expect("the path can be made absolute"))
        .arg(document())
        .args([&work])
        .arg(&server.url)
        .env("NO_PROXY", "127.0.0.1"),
    );
    assert_eq!(said.lines().last(), Some("ok"), "{said}");
    server.stop();
}

#[test]
fn a_validator_of_others_finds_nothing_wrong_with_the_document() {
    let validator = "venv/bin/openapi-spec-validator";
    if are_there(&[validator]) {
        finish(
            Command::new(installed().join(validator))
                .args(["--errors", "all"])
                .arg(document()),
        );
    }
}

#[test]
#[ignore = "takes a quarter of a minute"]
fn openapi_python_client_makes_a_client_that_type_checks_and_works() {
    generate(
        "openapi_python_client",
        &["venv/bin/openapi-python-client", "venv/bin/mypy"],
    );
}

#[test]
#[ignore = "takes a quarter of a minute"]
fn openapi_ts_makes_a_client_that_type_checks_and_works() {
    generate("openapi_ts", &["node_modules/.bin/openapi-ts", "node_modules/.bin/tsc"]);
}

#[test]
#[ignore = "takes a quarter of a minute"]
fn openapi_generator_makes_a_client_that_type_checks_and_works() {
    generate(
        "openapi_generator",
        &["venv/bin/openapi-generator-cli", "venv/bin/mypy"],
    );
}
