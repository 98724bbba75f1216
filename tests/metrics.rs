//! `GET /metrics`: who may see it, what is counted, and what never stands in it.
#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use rocket::http::{ContentType, Header};
use rocket::{Build, Rocket};
use shild::Rounds;
use shild::testing::{TestServer, bearer};

const SECRET: &str = "a-token-for-scraping-1";

fn application() -> Rocket<Build> {
    rocket::build().attach(shild::stage())
}

async fn guarded() -> TestServer {
    let figment = rocket::Config::figment().merge(("shild.metrics_token", SECRET));
    TestServer::start(application().configure(figment)).await
}

/// The status, and the body, for a request from this address with these headers.
async fn ask(server: &TestServer, from: &str, host: &str, headers: &[(&str, &str)]) -> (u16, String, Option<String>) {
    let peer: SocketAddr = from.parse().expect("an address");
    let mut request = server.get("/metrics").remote(peer);
    request.add_header(Header::new("Host", host.to_owned()));
    for (name, value) in headers {
        request.add_header(Header::new((*name).to_owned(), (*value).to_owned()));
    }
    let answer = request.dispatch().await;
    let challenge = answer.headers().get_one("WWW-Authenticate").map(str::to_owned);
    (
        answer.status().code,
        answer.into_string().await.unwrap_or_default(),
        challenge,
    )
}

async fn metrics(server: &TestServer) -> String {
    let (status, text, _) = ask(server, "127.0.0.1:4000", "localhost:8000", &[]).await;
    assert_eq!(status, 200, "{text}");
    text
}

/// The value of the series that is written so.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
        .parse()
        .expect("a number")
}

#[rocket::async_test]
async fn without_a_token_of_its_own_it_is_for_this_host_alone() {
    let server = TestServer::start(application()).await;
    for (from, host) in [
        ("127.0.0.1:4000", "localhost"),
        ("[::1]:4000", "[::1]:8000"),
        // As a socket that takes both has it.
        ("[::ffff:127.0.0.1]:4000", "127.0.0.1:8000"),
    ] {
        assert_eq!(ask(&server, from, host, &[]).await.0, 200, "{from} {host}");
    }
    // From elsewhere; through a proxy on this host; by a name that leads here.
    let local = "127.0.0.1:4000";
    for (from, host, header) in [
        ("192.0.2.1:4000", "localhost", None),
        ("[2001:db8::1]:4000", "localhost", None),
        (local, "localhost", Some(("X-Forwarded-For", "127.0.0.1"))),
        (local, "localhost", Some(("Forwarded", "for=127.0.0.1"))),
        (local, "localhost", Some(("X-Forwarded-Host", "localhost"))),
        (local, "localhost", Some(("X-Forwarded-Proto", "https"))),
        (local, "localhost", Some(("X-Real-IP", "127.0.0.1"))),
        (local, "localhost", Some(("Via", "1.1 proxy"))),
        (local, "id.example.org", None),
    ] {
        let (status, body, challenge) = ask(&server, from, host, header.as_slice()).await;
        assert_eq!((status, challenge), (403, None), "{from} {host} {header:?}");
        assert!(body.contains("metrics_token"), "it says what to do: {body}");
    }
    // An administrator's token is for people.
    let admin = format!("Bearer {}", server.token_for("root", &["admin", "user"]).await);
    let from_afar = ask(&server, "192.0.2.1:4000", "h", &[("Authorization", &admin)]).await;
    assert_eq!(from_afar.0, 403);
}

#[rocket::async_test]
async fn with_its_token_it_is_for_whoever_has_that() {
    let server = guarded().await;
    let afar = async |headers: &[(&str, &str)]| {
        let (status, _, challenge) = ask(&server, "192.0.2.1:4000", "id.example.org", headers).await;
        (status, challenge.unwrap_or_default())
    };
    assert_eq!(afar(&[("Authorization", &format!("Bearer {SECRET}"))]).await.0, 200);
    assert_eq!(afar(&[]).await, (401, "Bearer realm=\"shild\"".to_owned()));
    let shorter = &SECRET[..SECRET.len() - 1];
    for wrong in [shorter, "x", &format!("{SECRET}x"), &SECRET.to_uppercase()] {
        let (status, challenge) = afar(&[("Authorization", &format!("Bearer {wrong}"))]).await;
        assert_eq!(status, 401, "{wrong}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    assert_eq!(afar(&[("Authorization", "Bearer ")]).await.0, 400);
    // The other way in stays.
    assert_eq!(ask(&server, "127.0.0.1:4000", "localhost", &[]).await.0, 200);
}

#[rocket::async_test]
async fn what_happens_is_counted() {
    let server = TestServer::start(application()).await;
    let before = metrics(&server).await;
    assert_eq!(value(&before, "shild_events_total{kind=\"registered\"}"), 0.0);
    assert_eq!(value(&before, "shild_events_total{kind=\"sign_in_failed\"}"), 0.0);

    let body = r#"{"username":"juliet","password":"violet-harbour-5-quilt"}"#;
    server
        .post("/register")
        .header(ContentType::JSON)
        .body(body)
        .dispatch()
        .await;
    for password in ["violet-harbour-5-quilt", "wrong", "wrong"] {
        let form = format!("grant_type=password&username=juliet&password={password}");
        server
            .post("/shild")
            .header(ContentType::Form)
            .body(form)
            .dispatch()
            .await;
    }
    let token = server.token_for("alice", &["user"]).await;
    for _ in 0..3 {
        server.get("/user/me").header(bearer(&token)).dispatch().await;
    }
    server.get("/user/me").dispatch().await;
    server.shild().step(&mut Rounds::default()).await;

    let text = metrics(&server).await;
    for (series, expected) in [
        ("shild_events_total{kind=\"registered\"}", 1.0),
        // One of them by the test kit.
        ("shild_events_total{kind=\"signed_in\"}", 2.0),
        ("shild_events_total{kind=\"sign_in_failed\"}", 2.0),
        ("shild_tokens_issued_total", 2.0),
        ("shild_hashes_total", 4.0),
        ("shild_hash_waiting", 0.0),
        ("shild_hash_running", 0.0),
        ("shild_token_cache_misses_total", 1.0),
        ("shild_token_cache_hits_total", 2.0),
        ("shild_token_cache_entries", 1.0),
        ("shild_sessions", 2.0),
        ("shild_throttled_total", 0.0),
        ("shild_store_change_seconds_count{change=\"create\"}", 2.0),
        ("shild_store_change_seconds_count{change=\"open_session\"}", 2.0),
        (
            "shild_http_requests_total{method=\"GET\",route=\"/user/me\",status=\"200\"}",
            3.0,
        ),
        (
            "shild_http_requests_total{method=\"GET\",route=\"/user/me\",status=\"401\"}",
            1.0,
        ),
        (
            "shild_http_requests_total{method=\"POST\",route=\"/shild\",status=\"400\"}",
            2.0,
        ),
        (
            "shild_http_request_seconds_count{method=\"GET\",route=\"/user/me\"}",
            4.0,
        ),
        ("shild_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert!((value(&text, series) - expected).abs() < 1e-9, "{series}\n{text}");
    }
    assert!(value(&text, "shild_hash_busy_seconds_total") > 0.0);
    assert!(value(&text, "shild_hash_threads") >= 1.0);
    if cfg!(target_os = "linux") {
        for series in [
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
        ] {
            assert!(value(&text, series) > 0.0, "{series}");
        }
    }
}

#[rocket::async_test]
async fn what_is_throttled_is_counted() {
    let shild = shild::Shild::builder(shild::config::Settings {
        throttle: shild::config::ThrottleSettings {
            per_source: shild::config::PerSourceSettings {
                per_minute: 1,
                burst: 1,
            },
            ..Default::default()
        },
        ..shild::testing::settings()
    });
    let shild = shild.build().await.expect("a store in memory opens");
    let rocket = rocket::build().attach(shild.stage());
    let client = rocket::local::asynchronous::Client::untracked(rocket)
        .await
        .expect("it launches");
    let local: SocketAddr = "127.0.0.1:4000".parse().expect("an address");
    for _ in 0..3 {
        let request = client.post("/shild").header(ContentType::Form).remote(local);
        request
            .body("grant_type=password&username=a&password=b")
            .dispatch()
            .await;
    }
    let request = client
        .get("/metrics")
        .remote(local)
        .header(Header::new("Host", "localhost"));
    let text = request.dispatch().await.into_string().await.expect("a text");
    assert_eq!(value(&text, "shild_throttled_total"), 2.0);
}

// H14
#[rocket::async_test]
async fn nothing_that_anybody_wrote_stands_in_it() {
    let server = guarded().await;
    let token = server.token_for("juliet", &["user", "capulet"]).await;
    let me = server.get("/user/me").header(bearer(&token)).dispatch().await;
    let me: serde_json::Value = me.into_json().await.expect("a user");
    server
        .get("/forward-auth?scope=capulet")
        .header(bearer(&token))
        .dispatch()
        .await;
    server
        .get(format!("/users/{}", me["id"].as_str().expect("an id")))
        .dispatch()
        .await;
    for number in 0..300 {
        server
            .get(format!("/no-{number}/such-path?q=montague"))
            .dispatch()
            .await;
        server
            .get(format!("/problems/no-such-problem-{number}"))
            .dispatch()
            .await;
        server
            .delete(format!("/user/me/sessions/tybalt-{number}"))
            .dispatch()
            .await;
    }
    let text = metrics(&server).await;
    let words = [
        "juliet",
        "capulet",
        "montague",
        "tybalt",
        "no-",
        SECRET,
        &token,
        me["id"].as_str().expect("an id"),
    ];
    for word in words {
        assert!(!text.contains(word), "{word}");
    }
    assert!(
        text.contains("route=\"/users/<user_id>\"") && text.contains("route=\"-\""),
        "{text}"
    );
    // However much is asked for: one series for each route, method and status that there was.
    let series = text
        .lines()
        .filter(|line| line.starts_with("shild_http_requests_total"))
        .count();
    assert!(series <= 12, "{series}");
}

/// Every metric that an expression of the dashboard names.
fn named_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|word| word.starts_with("shild_") || word.starts_with("process_"));
    metrics.map(str::to_owned).collect()
}

#[rocket::async_test]
async fn the_dashboard_asks_for_metrics_that_there_are() {
    let server = TestServer::start(application()).await;
    server.token_for("alice", &["user"]).await;
    metrics(&server).await;
    let text = metrics(&server).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana-dashboard.json");
    let dashboard = std::fs::read_to_string(path).expect("deploy/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked: BTreeSet<_> = targets
        .flat_map(|target| named_in(target["expr"].as_str().expect("an expression")))
        .collect();
    assert!(asked.len() > 10, "{asked:?}");
    let exposed: BTreeSet<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let process_is_known = cfg!(target_os = "linux");
    for metric in asked
        .iter()
        .filter(|name| process_is_known || name.starts_with("shild_"))
    {
        // The first failure of a change makes its series.
        assert!(
            exposed.contains(metric.as_str()) || metric == "shild_store_change_failures_total",
            "{metric} is not there"
        );
    }
}
