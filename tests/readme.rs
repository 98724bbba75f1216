//! The README's terminal sessions, run as they stand there: first with a server, then without, in one directory.
#![cfg(unix)]

mod server;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use server::{Server, run, shild, skipped};

/// The address that the README's server listens on.
const ADDRESS: &str = "http://127.0.0.1:8000";

/// How the README marks the one command that needs a terminal, and how it is told what it asks there.
const ASKS: &str = "# asks for the password; or: --password-stdin";
const TOLD: &str = "--password-stdin <<< 'come hither nurse 7'";

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The shell commands between a heading and the next one.
fn commands_below(heading: &str) -> String {
    let readme = readme();
    let mut lines = readme
        .lines()
        .skip_while(|line| line.trim_start_matches('#') != format!(" {heading}"));
    assert!(lines.next().is_some(), "the README has no heading {heading}");
    let (mut commands, mut inside) = (String::new(), false);
    for line in lines {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => commands.extend([line, "\n"]),
            _ if line.starts_with('#') => break,
            _ => {}
        }
    }
    assert!(!commands.is_empty(), "the README has no commands below {heading}");
    commands
}

/// Runs these in the directory `home` with shild on the `PATH`, up to the first that fails; what they print.
fn type_in(home: &Path, commands: &str) -> String {
    let program = shild(home, &[]);
    let path = env::var("PATH").unwrap_or_default();
    let path = format!(
        "{}:{path}",
        Path::new(program.get_program()).parent().unwrap().display()
    );
    let typed = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", commands])
        .current_dir(home)
        .env_clear()
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .expect("bash can be started");
    let told = String::from_utf8_lossy(&typed.stderr);
    assert!(typed.status.success(), "{commands}\n{}:\n{told}", typed.status);
    String::from_utf8(typed.stdout).unwrap()
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// What the section Administration says to type, with everybody's password handed in where there is no terminal.
fn administer(home: &Path) {
    let commands = commands_below("Administration");
    assert_eq!(commands.matches(ASKS).count(), 1, "{commands}");
    let said = type_in(home, &commands.replace(ASKS, TOLD));
    for word in ["nurse", "admin", "disabled", "reset_started", "active", "retiring"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
}

fn may_run() -> bool {
    let may = is_there("bash");
    if !may {
        skipped("readme: there is no bash");
    }
    may
}

#[test]
fn first_steps_and_administration_go_as_the_readme_says_with_a_server() {
    if !may_run() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path());
    if is_there("curl") {
        let said = type_in(
            home.path(),
            &commands_below("First steps").replace(ADDRESS, &server.url),
        );
        let answers: Vec<_> = said.split_inclusive('}').collect();
        let marks = [
            r#""username":"juliet""#,
            r#""username":"juliet""#,
            "access_token",
            "401",
        ];
        assert_eq!(answers.len(), marks.len(), "{said}");
        for (answer, mark) in answers.iter().zip(marks) {
            assert!(answer.contains(mark), "no {mark} in {answer}");
        }
    } else {
        skipped("readme: First steps, there is no curl");
        server.register("juliet");
    }
    administer(home.path());
    server.stop();
    let said = type_in(home.path(), &commands_below("Snapshots, and the way back"));
    assert!(
        said.contains("the store is as of") && said.contains("2 users"),
        "{said}"
    );
}

#[test]
fn administration_and_moving_go_as_the_readme_says_without_a_server() {
    if !may_run() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    type_in(
        home,
        "shild user add juliet --password-stdin <<< 'wherefore art thou 7'",
    );
    administer(home);

    let django = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/import/django.json");
    fs::copy(django, home.join("dump.json")).unwrap();
    let said = type_in(home, &commands_below("Moving in, moving out"));
    for words in [
        "2 users",
        "2 added, 0 skipped, 0 refused",
        "everything agrees",
        "would be: 5 added",
    ] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    let list = |dir: &str| run(shild(home, &["--data-dir", dir, "user", "list", "--json"]));
    assert_eq!(list("elsewhere"), list("data"));
}

/// The names of the tables of dependencies in the manifest.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let (mut names, mut inside) = (Vec::new(), false);
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| inside) {
            names.push(name.to_owned());
        }
    }
    assert!(names.len() > 50, "{names:?}");
    names
}

#[test]
fn every_dependency_is_accounted_for() {
    let readme = readme();
    let section = readme.split_once("\n## Dependencies\n").unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let unnamed: Vec<_> = dependencies()
        .into_iter()
        .filter(|name| !section.contains(&format!("**{name}**")))
        .collect();
    assert!(unnamed.is_empty(), "README, Dependencies: {unnamed:?}");
    let named = section.matches("**").count() / 2;
    assert_eq!(
        named,
        dependencies().len(),
        "README, Dependencies, names others as well"
    );
}
