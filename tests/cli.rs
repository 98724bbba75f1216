//! The command line, as a user sees it: output, messages, exit codes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use tempfile::TempDir;

/// `shild` in an empty directory, without any settings of the surrounding environment.
fn shild(dir: &TempDir, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shild"));
    command
        .args(args)
        .current_dir(dir)
        .env_clear()
        .envs(environment.iter().copied());
    command.output().expect("the program can be started")
}

fn run(args: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = shild(&tempfile::tempdir().unwrap(), args, environment);
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_wrong_command_line_exits_with_2_and_one_line() {
    for (args, part) in [
        (&["--prot", "1"][..], "unexpected argument '--prot'"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (
            &["serve", "--port", "70000"],
            "invalid value '70000' for '--port <PORT>'",
        ),
        (&["--store", "redis"], "invalid value 'redis' for '--store <STORE>'"),
        (&["--port", "1", "openapi"], "belong to serve"),
        (&["key", "retire"], "required arguments were not provided: <KID>"),
        // Failed before: it ended all of them.
        (&["session", "end", "juliet", ""], "invalid value '' for '[SESSION_ID]'"),
        (&["completions", "tcsh"], "invalid value 'tcsh'"),
    ] {
        let (code, out, err) = run(args, &[]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(
            err.starts_with("shild: ") && err.contains(part) && err.lines().count() == 1,
            "{args:?}: {err}"
        );
    }
}

// Of a limit of memory: one of processes, where the start waited for ever, is not for everybody to set. At the lower ones sled
// waited for a thread of its own.
#[cfg(target_os = "linux")]
#[test]
fn more_threads_than_the_system_allows_end_the_start_with_a_message() {
    const GIB: u64 = 1 << 20;
    let refused = |workers: u32, kib: u64| {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new("timeout")
            .args([
                "-s",
                "KILL",
                "60",
                "sh",
                "-c",
                "ulimit -v $1; exec \"$0\" serve --port 0",
            ])
            .args([env!("CARGO_BIN_EXE_shild"), &kib.to_string()])
            .current_dir(&dir)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("ROCKET_WORKERS", workers.to_string())
            // Of address space, a thread: so a dozen of them count.
            .env("RUST_MIN_STACK", (256 << 20).to_string())
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{kib} KiB: {err}");
        assert!(!err.contains("panic"), "{kib} KiB: {err}");
        err
    };
    let answering =
        |workers| format!("shild: cannot start {workers} threads that answer requests (workers = {workers})");
    let err = refused(20000, 3 * GIB);
    assert!(err.contains(&answering(20000)), "{err}");
    // From where a thread or two can be had to where all but one or two can.
    for eighths in 6..28 {
        let err = refused(2, eighths * GIB / 8);
        let of_the_store = "shild: the store in data was not opened: the system allows this process no more threads";
        assert!(
            err.contains(&answering(2)) || err.contains(of_the_store),
            "{eighths}/8 GiB: {err}"
        );
    }
}

#[test]
fn a_wrong_setting_exits_with_1_and_one_line_that_names_it() {
    for verb in [
        &["serve"][..],
        &[],
        &["config"],
        &["healthcheck"],
        &["openapi"],
        &["key", "list"],
    ] {
        let (code, out, err) = run(verb, &[("SHILD_PASSWORD__MIN_LENGTH", "abc")]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{verb:?}: {err}");
        assert_eq!(
            err,
            "shild: password.min_length = \"abc\" (environment variable SHILD_PASSWORD__MIN_LENGTH); \
             allowed: a whole number from 1 to 512\n"
        );
    }
}

#[test]
fn a_file_that_is_not_there_exits_with_1() {
    let (code, _, err) = run(&["config", "--config", "nope.toml"], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        err,
        "shild: nope.toml: cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [["--help"], ["--version"]] {
        let (code, out, err) = run(&args, &[]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(out.contains("shild"), "{out}");
    }
}

#[test]
fn config_prints_a_file_that_gives_the_same_settings_again() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("SHILD_ACCESS_TOKEN_TTL", "300s"),
        ("SHILD_TRUSTED_PROXIES", "10.0.0.0/8"),
    ];
    let first = shild(
        &dir,
        &["config", "--data-dir", "elsewhere", "--port", "9000"],
        &environment,
    );
    assert_eq!(first.status.code(), Some(0));
    std::fs::write(dir.path().join("Rocket.toml"), &first.stdout).unwrap();
    let second = shild(&dir, &["config"], &[]);
    assert_eq!(
        String::from_utf8(second.stdout).unwrap(),
        String::from_utf8(first.stdout).unwrap()
    );
}

#[test]
fn what_the_command_line_says_wins_over_the_environment_and_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, port: u16| {
        let text = format!(
            "[default]
             address = \"127.0.0.2\"
             port = {port}
             [default.shild]
             store = \"sled\"
             data_dir = \"{name}\"
             registration = \"closed\"
             audience = \"{name}\""
        );
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    file("Rocket.toml", 9001);
    file("named.toml", 9002);
    file("given.toml", 9003);
    let settings = |args: &[&str], environment: &[(&str, &str)]| {
        let output = shild(&dir, &[&["config", "--json"], args].concat(), environment);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{args:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let named = [("ROCKET_CONFIG", "named.toml")];
    for (args, environment, port, from) in [
        (&[][..], &[][..], 9001, "Rocket.toml"),
        (&[], &named, 9002, "named.toml"),
        (&["--config", "given.toml"], &named, 9003, "given.toml"),
    ] {
        let found = settings(args, environment);
        assert_eq!(
            (&found["port"], &found["audience"]),
            (&port.into(), &from.into()),
            "{args:?}"
        );
    }

    let environment = [
        ("ROCKET_CONFIG", "named.toml"),
        ("ROCKET_ADDRESS", "127.0.0.3"),
        ("ROCKET_PORT", "9004"),
        ("SHILD_STORE", "memory"),
        ("SHILD_DATA_DIR", "from environment"),
        ("SHILD_AUDIENCE", "environment"),
    ];
    let flags = [
        ["--config", "given.toml"],
        ["--address", "127.0.0.4"],
        ["--port", "9005"],
        ["--data-dir", "from flag"],
        ["--store", if cfg!(feature = "redb") { "redb" } else { "sled" }],
    ];
    let found = settings(&flags.concat(), &environment);
    for (member, value) in [
        ("address", "127.0.0.4"),
        ("data_dir", "from flag"),
        ("store", flags[4][1]),
    ] {
        assert_eq!(found[member], value, "{member}");
    }
    assert_eq!(
        (&found["port"], &found["issuer"]),
        (&9005.into(), &"http://127.0.0.4:9005".into())
    );
    // What no flag says is the environment's, and what that does not say is the file's.
    assert_eq!(
        (&found["audience"], &found["registration"]),
        (&"environment".into(), &"closed".into())
    );
}

// H14
#[test]
fn config_as_json_is_one_object_with_secrets_hidden() {
    let (code, out, err) = run(
        &["config", "--json"],
        &[
            ("SHILD_METRICS_TOKEN", "hunter2hunter2hunter2"),
            ("ROCKET_PORT", "9000"),
        ],
    );
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out.lines().count(), 1);
    let settings: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(settings["metrics_token"], "***");
    assert_eq!(settings["issuer"], "http://127.0.0.1:9000");
    assert_eq!(settings["audience"], "http://127.0.0.1:9000");
    assert_eq!(settings["password"]["argon2"]["memory_kib"], 19456);
    assert!(settings["hash_threads"].as_u64() >= Some(1));
    assert!(!out.contains("hunter2"));
}

#[test]
fn completions_know_the_verbs() {
    for name in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", name], &[]);
        assert_eq!(code, Some(0));
        assert!(out.contains("healthcheck"), "{name}");
    }
}

/// A server that gives these answers to one connection each; its port.
fn answering(statuses: &'static [&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    port
}

#[test]
fn healthcheck_exits_with_0_if_the_server_is_well_and_with_1_if_not() {
    let port = answering(&["200 OK", "200 OK"]);
    // A proxy in the environment must not come between.
    let (code, out, err) = run(
        &["healthcheck", "--port", &port],
        &[("http_proxy", "http://127.0.0.1:9")],
    );
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", ""));

    let port = answering(&["200 OK", "503 Service Unavailable"]);
    let (code, _, err) = run(
        &["healthcheck"],
        &[("ROCKET_PORT", &port), ("ROCKET_ADDRESS", "0.0.0.0")],
    );
    assert_eq!(
        (code, err),
        (Some(1), format!("shild: http://127.0.0.1:{port}/readyz answers 503\n"))
    );

    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let (code, _, err) = run(&["healthcheck", "--port", &closed], &[]);
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with(&format!("shild: http://127.0.0.1:{closed}/healthz does not answer: ")),
        "{err}"
    );
}

// Failed before: it left an empty directory behind.
#[test]
fn where_there_is_no_snapshot_nothing_is_made_to_restore_it_to() {
    let dir = tempfile::tempdir().unwrap();
    let output = shild(&dir, &["restore"], &[]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("there is no sound snapshot in data/snapshots"), "{err}");
    assert!(!dir.path().join("data").exists());
}

// Failed before: each made a store and found it empty, and an export took the place of the last good one.
#[test]
fn where_there_is_no_store_nothing_but_what_fills_one_makes_it() {
    for args in [
        &["user", "list"][..],
        &["user", "show", "juliet"],
        &["user", "delete", "juliet", "--yes"],
        &["session", "list", "juliet"],
        &["key", "list"],
        &["key", "reset"],
        &["audit"],
        &["export", "kept.ndjson"],
        &["export", "-"],
        &["verify"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept.ndjson");
        std::fs::write(&kept, "the last good one").unwrap();
        let output = shild(&dir, args, &[]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {err}");
        assert!(err.contains("there is no store in data; "), "{args:?}: {err}");
        assert!(
            output.stdout.is_empty() && !dir.path().join("data").exists(),
            "{args:?}"
        );
        assert_eq!(std::fs::read(&kept).unwrap(), b"the last good one");
    }
}
