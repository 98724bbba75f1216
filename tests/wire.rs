//! The edges of HTTP, tried on the running program over a socket: each requirement once, as a client sees it that keeps to no
//! library's idea of HTTP.

#[path = "wire/client.rs"]
mod client;
#[path = "wire/closing.rs"]
mod closing;
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use client::{Answer, Wire, form, get, json};
use server::{PASSWORD, Server, member, shild, skipped};
use tempfile::TempDir;

fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// What a client sends after a request to have it taken for a second one.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends this and what would be smuggled after it, and expects one refusal and the end of the connection.
#[track_caller]
fn assert_refused(server: &Server, head: &str, body: &str, status: u16) {
    let answers = Wire::to(server).all(&format!("{head}\r\n{body}{SMUGGLED}"));
    assert_eq!(
        answers.iter().map(|answer| answer.status).collect::<Vec<_>>(),
        [status],
        "{head:?}"
    );
    let answer = &answers[0];
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{head:?}"
    );
    assert_eq!(answer.header("connection"), Some("close"), "{head:?}");
    assert_framed(answer);
}

/// H1: what every answer carries.
#[track_caller]
fn assert_framed(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{answer:?}");
    assert_eq!(answer.header("server"), Some("shild"), "without a version: {answer:?}");
    assert!(
        answer
            .header("content-security-policy")
            .is_some_and(|csp| csp.contains("default-src 'none'")),
        "{answer:?}"
    );
    assert!(
        answer.header("x-request-id").is_some_and(|id| !id.is_empty()),
        "{answer:?}"
    );
    assert_eq!(answer.header("strict-transport-security"), None, "H3: there is no TLS");
    assert_eq!(answer.header("access-control-allow-origin"), None, "H4: off");
}

// H10
#[test]
fn what_two_readers_could_read_as_two_requests_is_answered_400_and_ends_the_connection() {
    let home = home();
    let server = Server::start(home.path());
    let (length, zero, chunked) = (
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
    );
    let host = "Host: a\r\n";
    for fields in [
        format!("{host}{length}{chunked}"),
        format!("{host}{chunked}{length}"),
        format!("{host}{length}{zero}"),
        format!("{host}{zero}{length}"),
        format!("{host}{length}{length}"),
        format!("{host}Content-Length: 5, 5\r\n"),
        format!("{host}{chunked}{chunked}"),
        format!("{host}Transfer-Encoding: chunked, identity\r\n"),
        format!("{host}Transfer-Encoding : chunked\r\n"),
        format!("{host}Transfer-Encoding:\u{b}chunked\r\n"),
        format!("{host}X: a\r\n {length}"),
        format!("{host}X: a\n{length}"),
        length.to_owned(),
        format!("{host}{length}Host: b\r\n"),
        format!("Host: b\r\n{length}{host}"),
        format!("{host}{host}{length}"),
    ] {
        for body in ["0\r\n\r\n", ""] {
            assert_refused(&server, &format!("POST /shild HTTP/1.1\r\n{fields}"), body, 400);
        }
    }
    // Failed before: hyper answered some of these itself, with nothing of what every answer carries, and took others.
    for target in [
        "/<>",
        "/\u{e9}",
        "/a`b",
        "/healthz?\"x\"",
        "/healthz#x",
        "healthz",
        "*",
        "a:80",
        "http://b/healthz",
        "a+b://b/healthz",
        "h-p://b/healthz",
        "ftp://a/healthz",
    ] {
        assert_refused(&server, &format!("GET {target} HTTP/1.1\r\n{host}"), "", 400);
    }
    // H6. Failed before: it came with a body.
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask_head("HEAD /healthz HTTP/1.1\r\n\r\n").status, 400);
    assert!(wire.rest().is_empty());
    let old = format!("POST /shild HTTP/1.0\r\n{chunked}");
    assert_refused(&server, &old, "0\r\n\r\n", 400);
    server.stop();
}

// H10
#[test]
fn a_sound_request_before_a_refused_one_is_answered_and_none_after_it() {
    let home = home();
    let server = Server::start(home.path());
    let bad = "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let answers = Wire::to(&server).all(&format!("{SMUGGLED}{SMUGGLED}{bad}{SMUGGLED}"));
    assert_eq!(
        answers.iter().map(|answer| answer.status).collect::<Vec<_>>(),
        [200, 200, 400]
    );
    // A chunked one is the last of its connection.
    let chunked = "POST /shild HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let answers = Wire::to(&server).all(&format!("{chunked}{SMUGGLED}"));
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [400]);
    // What looks like a head in a body is none.
    let body = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask(form("/shild", body)).status, 400);
    assert_eq!(wire.ask(SMUGGLED).status, 200);
    server.stop();
}

// H9
#[test]
fn heads_and_bodies_have_a_bound() {
    let home = home();
    let server = Server::start(home.path());
    let long = "a".repeat(20_000);
    assert_refused(
        &server,
        &format!("GET /{} HTTP/1.1\r\nHost: a\r\n", &long[..9_000]),
        "",
        414,
    );
    assert_refused(&server, &format!("GET /{long} HTTP/1.1\r\nHost: a\r\n"), "", 414);
    assert_refused(&server, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n"), "", 431);
    assert_refused(
        &server,
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: a\r\n".repeat(100)),
        "",
        431,
    );
    assert_refused(&server, "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n", "", 400);

    let body = format!("username={long}");
    assert_eq!(Wire::to(&server).ask(form("/shild", &body)).status, 413);
    assert_eq!(
        Wire::to(&server)
            .ask(json("/register", &format!("{{\"username\":\"{long}\"}}"), ""))
            .status,
        413
    );
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n";
    let chunk = format!("1000\r\n{}\r\n", &long[..0x1000]);
    let chunked = format!("POST /shild HTTP/1.1\r\nHost: a\r\n{kind}\r\n{}", chunk.repeat(3));
    assert_eq!(Wire::to(&server).ask(&chunked).status, 413, "before its end");
    server.stop();
}

// H9, RFC 9112 §9.6: failed before, where head and body came one after the other, as many clients send them: the connection
// ended after the answer, and nobody was told.
#[test]
fn a_body_that_nobody_reads_ends_no_connection_unless_that_is_said() {
    let home = home();
    let server = Server::start_with(home.path(), &[("SHILD_REQUEST_TIMEOUT", "3s")]);
    let kept = |answer: &Answer| answer.header("connection") != Some("close");
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask(get("/healthz", "")).status, 200);
    for (request, status) in [
        (json("/nowhere", "{}", ""), 404),
        (json("/healthz", "{}", ""), 405),
        (json("/logout", "{}", ""), 401),
        (json("/shild", "{}", ""), 400),
        (form("/register", "a=b"), 415),
        (json("/register", "{}", ""), 422),
        (json("/nowhere", &"a".repeat(8192), ""), 404),
    ] {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        wire.send(format!("{head}\r\n\r\n"));
        // So that the two do not come as one.
        thread::sleep(Duration::from_millis(20));
        let answer = wire.ask(body);
        assert_eq!(answer.status, status, "{head}");
        assert!(kept(&answer), "{answer:?}");
        assert_eq!(wire.ask(get("/healthz", "")).status, 200, "after {head}");
    }
    // One that is not waited for: because it is long, does not come, or is asked about beforehand.
    let long = "Content-Type: application/json\r\nContent-Length: 20000\r\n";
    let short = "Content-Type: application/json\r\nContent-Length: 20\r\n";
    let asking = format!("{short}Expect: 100-continue\r\n");
    for (path, fields, status) in [
        ("/register", long, 413),
        ("/nowhere", long, 404),
        ("/register", short, 408),
        ("/nowhere", short, 404),
        ("/nowhere", &asking, 404),
    ] {
        let mut wire = Wire::to(&server);
        assert_eq!(wire.ask(get("/healthz", "")).status, 200);
        let answer = wire.ask(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(answer.status, status, "{path} {fields}");
        assert!(!kept(&answer), "{answer:?}");
        assert!(wire.rest().is_empty());
    }
    // Whoever goes on sending reads the answer all the same.
    for _ in 0..20 {
        let answers = Wire::to(&server).all(&json("/register", &"a".repeat(300_000), ""));
        assert!(
            answers.len() == 1 && answers[0].status == 413 && !kept(&answers[0]),
            "{answers:?}"
        );
    }
    server.stop();
}

// H9: failed before, by 1.6 MiB for each that wants it uncompressed.
#[cfg(target_os = "linux")]
#[test]
fn who_asks_for_a_large_file_and_does_not_read_costs_little() {
    const READERS: u64 = 200;
    let home = home();
    let server = Server::start(home.path());
    let resident_kib = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    };
    let file = get("/docs/swagger-ui-bundle.js", "");
    let whole = Wire::to(&server).ask(&file);
    assert!(whole.status == 200 && whole.body.len() > 1_000_000);
    let before = resident_kib();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut wire = Wire::to(&server);
            wire.send(&file);
            wire
        })
        .collect();
    // Whoever comes after them is answered once they have been.
    assert_eq!(Wire::to(&server).ask(&file).body, whole.body);
    let each = resident_kib().saturating_sub(before) / READERS;
    assert!(each < 60, "{each} KiB for each");
    drop(readers);
    server.stop();
}

// H9: failed before, when a head that came slowly was looked at again only after the time for idle connections.
#[test]
fn a_slow_head_is_cut_off_long_before_an_idle_connection() {
    let home = home();
    let server = Server::start_with(
        home.path(),
        &[("SHILD_REQUEST_TIMEOUT", "1s"), ("SHILD_IDLE_TIMEOUT", "1h")],
    );
    let half = "GET /healthz HTTP/1.1\r\nHost: a\r\n";
    assert!(Wire::to(&server).all(half).is_empty());
    let answers = Wire::to(&server).all(&format!("{}{half}", get("/healthz", "")));
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200]);
    server.stop();
}

// H9
#[test]
fn a_client_that_lets_the_server_wait_is_cut_off() {
    let home = home();
    let server = Server::start_with(
        home.path(),
        &[("SHILD_REQUEST_TIMEOUT", "1s"), ("SHILD_IDLE_TIMEOUT", "1s")],
    );
    let half_a_body = |path: &str, kind: &str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\nhalf");
        Wire::to(&server).all(&head)
    };
    for sent in ["", "G", "GET /healthz HTTP/1.1\r\nHost: a\r\n"] {
        assert!(Wire::to(&server).all(sent).is_empty(), "{sent:?}");
    }
    let answers = Wire::to(&server).all(&format!("{SMUGGLED}GET"));
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200]);
    let answers = half_a_body("/register", "application/json");
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].status, answers[0].header("content-type")),
        (408, Some("application/problem+json"))
    );
    let answers = half_a_body("/shild", "application/x-www-form-urlencoded");
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].status, answers[0].json()["error"].as_str()),
        (408, Some("invalid_request"))
    );
    // Whoever waits for leave to send a body is given it.
    let asks = "POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
    let answers = Wire::to(&server).all(asks);
    assert_eq!(
        answers.iter().map(|answer| answer.status).collect::<Vec<_>>(),
        [100, 408]
    );
    server.stop();
}

/// The server with no more descriptors than these at first, and at most.
#[cfg(unix)]
fn with_descriptors(home: &Path, soft: u32, hard: u32, idle_timeout: &str) -> Server {
    let mut command = Command::new("sh");
    let plain = shild(home, &[]);
    // In this order: the hard limit cannot be set below the soft one. Where one cannot be set, no server starts.
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" serve --port 0");
    command
        .args(["-c", &script])
        .arg(plain.get_program())
        .current_dir(home)
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("SHILD_IDLE_TIMEOUT", idle_timeout);
    Server::spawn(home, command)
}

// H9, with a tenth of the connections and of the descriptors: what a test may have itself is less than 5,000 on many systems.
#[cfg(unix)]
#[test]
fn idle_connections_keep_nobody_out_and_are_kept_themselves() {
    const IDLE: usize = 500;
    if rlimit::increase_nofile_limit(2048).unwrap_or_default() < 1500 {
        skipped("wire: this process may not have the descriptors for 500 idle connections beside those of other tests");
        return;
    }
    let home = home();
    // Nobody is cut off, so nobody can have waited for that.
    let server = with_descriptors(home.path(), 100, 600, "1h");
    let mut idle: Vec<_> = (0..IDLE).map(|_| Wire::to(&server)).collect();
    // One half has never said anything, the other is kept after an answer.
    for wire in &mut idle[IDLE / 2..] {
        assert_eq!(wire.ask(SMUGGLED).status, 200);
    }
    server.register("juliet");
    server.sign_in("juliet");
    assert_eq!(server.get("/readyz", None).0, 200);
    let mut others: Vec<_> = (0..20).map(|_| Wire::to(&server)).collect();
    for wire in others.iter_mut().chain(&mut idle) {
        assert_eq!(wire.ask(SMUGGLED).status, 200);
    }
    server.stop();
}

// H9
#[cfg(unix)]
#[test]
fn more_connections_than_descriptors_end_nothing() {
    let home = home();
    let server = with_descriptors(home.path(), 48, 96, "2s");
    server.register("juliet");
    let idle: Vec<_> = (0..120).map(|_| Wire::to(&server)).collect();
    // It waits for its turn until the idle ones are cut.
    assert_eq!(Wire::to(&server).ask(SMUGGLED).status, 200);
    drop(idle);
    server.sign_in("juliet");
    assert_eq!(server.get("/readyz", None).0, 200);
    server.stop();
}

// H10 (RFC 9112 §9.6: the end of what a client sends is no end of what it reads). Had no answer before.
#[test]
fn who_has_said_all_is_answered_and_the_connection_ends() {
    let home = home();
    let server = Server::start(home.path());
    server.register("juliet");
    let sign_in = form(
        "/shild",
        &format!(
            "grant_type=password&username=juliet&password={}",
            PASSWORD.replace(' ', "+")
        ),
    );
    for sent in [sign_in.clone(), format!("{SMUGGLED}{sign_in}")] {
        let mut wire = Wire::to(&server);
        wire.send(&sent);
        wire.end();
        let answers = wire.rest();
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert!(
            answers
                .last()
                .is_some_and(|last| last.json()["access_token"].is_string()),
            "{answers:?}"
        );
    }
    // Half a request is none, and is not waited for.
    let mut wire = Wire::to(&server);
    wire.send(&sign_in[..sign_in.len() / 2]);
    wire.end();
    assert!(wire.rest().iter().all(|answer| answer.status == 400));
    server.stop();
}

// H1
#[test]
fn what_the_server_calls_itself_can_be_set() {
    for (ident, said) in [("Proteus", Some("Proteus")), ("false", None)] {
        let home = home();
        let server = Server::spawn(home.path(), {
            let mut command = shild(home.path(), &["serve", "--port", "0"]);
            command.env("ROCKET_IDENT", ident);
            command
        });
        let answer = Wire::to(&server).ask(SMUGGLED);
        assert_eq!(answer.header("server"), said);
        server.stop();
    }
}

// H6, H7, H5
#[test]
fn methods_are_answered_truthfully() {
    let home = home();
    let server = Server::start(home.path());
    let mut wire = Wire::to(&server);
    let whole = wire.ask(get("/healthz", ""));
    let head = wire.ask_head("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), whole.header("content-length"));
    let allowed = |answer: &Answer| -> BTreeSet<String> {
        answer
            .header("allow")
            .unwrap_or_default()
            .split(", ")
            .map(str::to_owned)
            .collect()
    };
    let methods = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    for (method, path, status, allow) in [
        ("OPTIONS", "/user/me", 204, "DELETE GET HEAD OPTIONS PATCH"),
        ("OPTIONS", "/shild", 204, "OPTIONS POST"),
        ("GET", "/shild", 405, "OPTIONS POST"),
        ("TRACE", "/user/me", 405, "DELETE GET HEAD OPTIONS PATCH"),
        ("PUT", "/healthz", 405, "GET HEAD OPTIONS"),
        ("BREW", "/healthz", 405, "GET HEAD OPTIONS"),
        ("get", "/healthz", 405, "GET HEAD OPTIONS"),
        ("delete", "/user/me", 405, "DELETE GET HEAD OPTIONS PATCH"),
    ] {
        let answer = wire.ask(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(allowed(&answer), methods(allow), "{method} {path}");
        assert_framed(&answer);
    }
    let taken_for = wire.ask(form("/user/me", "_method=DELETE"));
    assert_eq!(taken_for.status, 405, "{taken_for:?}");
    let nowhere = wire.ask(get("/nowhere", ""));
    assert_eq!(
        (nowhere.status, nowhere.json()["type"].as_str()),
        (404, Some("/problems/not-found"))
    );
    server.stop();
}

// Failed before: what a proxy keeps from the public as /metrics was there as //metrics as well.
#[test]
fn no_path_leads_around_the_rule_of_a_proxy() {
    let home = home();
    let server = Server::start(home.path());
    let mut wire = Wire::to(&server);
    for path in ["//metrics", "//healthz", "/user//me", "/healthz//", "http://a//healthz"] {
        let answer = wire.ask(get(path, ""));
        assert_eq!(answer.status, 404, "{path}");
        assert_framed(&answer);
    }
    // Failed before: without the name of the one, all were deleted.
    let all = "DELETE /user/me/sessions/ HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(wire.ask(all).status, 404);
    assert_eq!(wire.ask(all.replace("/ ", "/?a=b ")).status, 404);
    assert_eq!(wire.ask(get("/docs/", "")).status, wire.ask(get("/docs", "")).status);
    assert_eq!(wire.ask(get("/healthz?of=//healthz", "")).status, 200);
    assert_eq!(wire.ask(get("http://a/healthz", "")).status, 200);
    server.stop();
}

/// How often of so many sign-ins with these headers, the name unknown, the source has had its share.
fn throttled(server: &Server, headers: &[&str]) -> usize {
    let body = "grant_type=password&username=nobody&password=wrong";
    let ask =
        |more: &&str| Wire::to(server).ask(form("/shild", body).replace("Host: a\r\n", &format!("Host: a\r\n{more}")));
    headers
        .iter()
        .map(ask)
        .filter(|answer| answer.status == 429 && answer.header("retry-after").is_some())
        .count()
}

// H8, T13, H12
#[test]
fn what_says_for_whom_a_request_is_counts_only_from_trusted_proxies() {
    let few = [
        ("SHILD_THROTTLE__PER_SOURCE__PER_MINUTE", "1"),
        ("SHILD_THROTTLE__PER_SOURCE__BURST", "2"),
    ];
    let four =
        |name: &str, rest: &str| -> Vec<String> { (1..=4).map(|n| format!("{name}192.0.2.{n}{rest}\r\n")).collect() };
    let headers = [
        four("X-Forwarded-For: ", ""),
        four("X-Real-IP: ", ""),
        four("Forwarded: for=", ";proto=http"),
    ];
    for trusted in [false, true] {
        for lines in &headers {
            let home = home();
            let mut settings = few.to_vec();
            if trusted {
                settings.push(("SHILD_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"));
            }
            let server = Server::start_with(home.path(), &settings);
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            assert_eq!(throttled(&server, &lines), if trusted { 0 } else { 2 }, "{lines:?}");
            if trusted {
                // The last one that is no proxy is the client, whatever the client wrote before.
                let forged: Vec<_> = (5..=8)
                    .map(|n| format!("X-Forwarded-For: 198.51.100.{n}, 203.0.113.1, 10.0.0.1\r\n"))
                    .collect();
                assert_eq!(
                    throttled(&server, &forged.iter().map(String::as_str).collect::<Vec<_>>()),
                    2
                );
            }
            server.stop();
        }
    }
}

// H8. Counted for none before, and what the client had written instead of the proxy's word counted for the proxy's.
#[test]
fn what_is_not_text_hides_nothing_of_what_a_proxy_says() {
    let home = home();
    let settings = [
        ("SHILD_THROTTLE__PER_SOURCE__PER_MINUTE", "1"),
        ("SHILD_THROTTLE__PER_SOURCE__BURST", "2"),
        ("SHILD_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let server = Server::start_with(home.path(), &settings);
    let ask = |request: &str| {
        let bytes: Vec<u8> = request.bytes().map(|b| if b == b'?' { 0xFF } else { b }).collect();
        let mut wire = Wire::to(&server);
        wire.send(bytes);
        wire.end();
        wire.rest().pop().expect("an answer")
    };
    let throttled = |name: &str, of_proxy: &str| {
        let tries = (1..=4).map(|n| {
            let fields = format!("Host: a\r\n{name}: ?, {of_proxy}\r\nX-Real-IP: 198.51.100.{n}\r\n");
            let body = "grant_type=password&username=nobody&password=wrong";
            ask(&form("/shild", body).replace("Host: a\r\n", &fields)).status
        });
        tries.filter(|status| *status == 429).count()
    };
    assert_eq!(throttled("X-Forwarded-For", "203.0.113.1"), 2);
    assert_eq!(throttled("Forwarded", "for=203.0.113.2"), 2);
    let metrics = |fields: &str| ask(&format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).status;
    assert_eq!(metrics(""), 200);
    for name in ["Via", "X-Forwarded-For", "Forwarded"] {
        assert_eq!(metrics(&format!("{name}: ?\r\n")), 403, "{name}");
    }
    server.stop();
}

// W9, D4, W8
#[test]
fn a_restart_lifts_no_lock() {
    let home = home();
    let strict = [("SHILD_THROTTLE__MAX_FAILURES", "3")];
    let server = Server::start_with(home.path(), &strict);
    server.register("juliet");
    let fields = |name: &'static str, password: &'static str| {
        [("grant_type", "password"), ("username", name), ("password", password)]
    };
    let wrong = server.form("/shild", &fields("juliet", "wrong"));
    assert_eq!(
        wrong,
        server.form("/shild", &fields("nobody", "wrong")),
        "T6: told apart by nothing"
    );
    for _ in 0..2 {
        server.form("/shild", &fields("juliet", "wrong"));
    }
    assert_eq!(server.form("/shild", &fields("juliet", PASSWORD)), wrong);
    server.stop();
    let server = Server::start_with(home.path(), &strict);
    assert_eq!(server.form("/shild", &fields("juliet", PASSWORD)), wrong);
    server.stop();
}

// B4, B6, P8, P11
#[test]
fn credentials_that_are_none_are_refused_as_the_standard_says() {
    let home = home();
    let server = Server::start(home.path());
    server.register("juliet");
    let tokens = server.sign_in("juliet");
    let token = member(&tokens, "access_token");
    let mut wire = Wire::to(&server);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let mut me = |fields: &str| wire.ask(get("/user/me", fields));
    let good = bearer(token);
    assert_eq!(me(&good).status, 200);
    assert_eq!(me(&good.replace("Bearer", "bEaReR  ")).status, 200, "B5");
    for (fields, status, error) in [
        (String::new(), 401, None),
        ("Authorization: Basic Og==\r\n".to_owned(), 401, None),
        (bearer(""), 400, Some("invalid_request")),
        (bearer("a,b"), 400, Some("invalid_request")),
        (format!("{good}{good}"), 400, Some("invalid_request")),
        (
            bearer(&format!("{token}{}", "a".repeat(5_000))),
            401,
            Some("invalid_token"),
        ),
        (
            bearer(&format!("v4.public.{}", "A".repeat(5_000))),
            401,
            Some("invalid_token"),
        ),
        (bearer(token.rsplit_once('.').unwrap().0), 401, Some("invalid_token")),
        (
            bearer(&format!("{}.e30", token.rsplit_once('.').unwrap().0)),
            401,
            Some("invalid_token"),
        ),
        (
            bearer(&format!("{token}.{}", "W1tb".repeat(200))),
            401,
            Some("invalid_token"),
        ),
    ] {
        let answer = me(&fields);
        assert_eq!(answer.status, status, "{fields}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer realm=\"shild\""), "{challenge}");
        let said = challenge
            .split_once("error=\"")
            .map(|(_, rest)| rest.split('"').next().unwrap());
        assert_eq!(said, error, "{fields}");
    }
    let in_url = wire.ask(get(&format!("/user/me?access_token={token}"), ""));
    assert_eq!(in_url.status, 401);
    server.stop();
}

// B4, T12: one that is there, and is not text, was taken for one that is not there.
#[test]
fn what_is_not_text_stands_for_no_header_that_is_not_there() {
    let home = home();
    let server = Server::start(home.path());
    server.register("juliet");
    let tokens = server.sign_in("juliet");
    let mut wire = Wire::to(&server);
    let not_text = |text: String| {
        let bytes: Vec<u8> = text.chars().map(|c| if c == '§' { 0xFF } else { c as u8 }).collect();
        bytes
    };
    let good = format!("Authorization: Bearer {}\r\n", member(&tokens, "access_token"));
    for fields in [
        "Authorization: Bearer §\r\n".to_owned(),
        format!("{good}Authorization: Bearer §\r\n"),
    ] {
        let answer = wire.ask(not_text(get("/user/me", &fields)));
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(
            answer.status == 400 && challenge.contains("\"invalid_request\""),
            "{answer:?}"
        );
    }
    let basic = form("/shild", "grant_type=password&username=juliet&password=x").replacen(
        "Host: a",
        "Host: a\r\nAuthorization: Basic §",
        1,
    );
    let answer = wire.ask(not_text(basic));
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (401, Some("invalid_client"))
    );
    for tag in ["\"1§\"", "\"1\"§", "§"] {
        let fields = format!("{good}If-Match: {tag}\r\n");
        let answer = wire.ask(not_text(get("/user/me", &fields).replacen("GET", "DELETE", 1)));
        assert_eq!(answer.status, 412, "{tag}: {answer:?}");
    }
    assert_eq!(wire.ask(get("/user/me", &good)).status, 200, "and is still there");
    server.stop();
}

// H11
#[test]
fn json_that_can_be_read_in_two_ways_is_refused() {
    let home = home();
    let server = Server::start(home.path());
    let mut wire = Wire::to(&server);
    for body in [
        r#"{"username":"a","username":"juliet","password":"wherefore art thou 7"}"#,
        r#"{"username":"juliet","password":"wherefore art thou 7","scopes":["admin"]}"#,
        r#"{"username":"\ud800","password":"wherefore art thou 7"}"#,
        r#"{"username":"juliet","password":"wherefore art thou 7"} {}"#,
        &format!("{}{}", "[".repeat(2_000), "]".repeat(2_000)),
    ] {
        let answer = wire.ask(json("/register", body, ""));
        assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{body}"
        );
    }
    assert_eq!(
        server.get("/users?limit=1&limit=2", None).0,
        401,
        "before anything is looked at"
    );
    server.stop();
}

// H13, H14, H2
#[test]
fn nothing_secret_and_no_forged_line_gets_into_the_log() {
    let home = home();
    let server = Server::start(home.path());
    server.register("juliet");
    let tokens = server.sign_in("juliet");
    let (access, refresh) = (member(&tokens, "access_token"), member(&tokens, "refresh_token"));
    let mut wire = Wire::to(&server);
    let echoed = wire.ask(get("/healthz", "X-Request-Id: A.b_c-9\r\n"));
    assert_eq!(echoed.header("x-request-id"), Some("A.b_c-9"));
    for forged in ["id status=200", "a\tb", &"a".repeat(65), "\"quoted\""] {
        let answer = wire.ask(get("/healthz", &format!("X-Request-Id: {forged}\r\n")));
        assert_ne!(answer.header("x-request-id"), Some(forged));
    }
    wire.ask(get(
        &format!("/user/me?access_token={access}&q=confidential"),
        &format!("Authorization: Bearer {access}\r\n"),
    ));
    wire.ask(form(
        "/shild",
        &format!("grant_type=refresh_token&refresh_token={refresh}"),
    ));
    wire.ask(json(
        "/register",
        &format!("{{\"username\":\"confidential\",\"password\":\"{PASSWORD}\",\"x\":1}}"),
        "",
    ));
    let docs = wire.ask(get("/docs/", ""));
    assert!(
        docs.header("content-security-policy")
            .is_some_and(|csp| csp.contains("script-src 'self'")),
        "{docs:?}"
    );
    server.stop();
    let log = fs::read_to_string(home.path().join("log")).unwrap();
    assert!(log.contains("A.b_c-9"), "{log}");
    for secret in [PASSWORD, access, refresh, "confidential", "id status=200"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

// H9, H10: what a client gets that goes away, or says nothing more
#[test]
fn a_connection_that_is_closed_in_the_middle_disturbs_nobody() {
    let home = home();
    let server = Server::start(home.path());
    for sent in [
        "",
        "GET",
        "POST /shild HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
    ] {
        let mut stream = std::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        // It may be reset as well as closed.
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    assert_eq!(server.get("/healthz", None).0, 200);
    server.stop();
}
