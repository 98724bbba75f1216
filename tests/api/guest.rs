//! shild as a guest: the guards in somebody else's application.
#![expect(clippy::needless_pass_by_value, reason = "Rocket hands guards over by value")]

use std::sync::Arc;

use rocket::fairing::AdHoc;
use rocket::http::{ContentType, Header, Method, Status};
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, catch, catchers, get, routes};
use shild::config::{Period, Registration, Settings, StoreKind};
use shild::guard::{CurrentUser, MaybeUser, ScopeName, Scoped};
use shild::store::{MemoryStore, Store};
use shild::testing::{TestServer, settings};
use shild::{Origin, Shild};

use crate::helpers::*;

enum Invoices {}

impl ScopeName for Invoices {
    const NAME: &'static str = "invoices";
}

#[get("/hello")]
fn hello(user: CurrentUser) -> String {
    format!("hello {}", user.username())
}

#[get("/invoices")]
fn invoices(user: Scoped<Invoices>) -> String {
    format!("invoices of {}", user.username())
}

#[get("/greeting")]
fn greeting(user: MaybeUser) -> String {
    match user {
        MaybeUser::SignedIn(user) => format!("welcome back {}", user.username()),
        MaybeUser::Anonymous => "welcome".to_owned(),
    }
}

#[get("/open")]
fn open() -> &'static str {
    "open"
}

#[catch(default)]
fn theirs() -> &'static str {
    "theirs"
}

// H4. Failed before: the answer to the question did not say so.
#[rocket::async_test]
async fn a_listed_origin_may_ask_a_guest_and_not_its_host() {
    let mut settings = settings();
    let listed = "https://app.example";
    settings.cors.allow_origins = vec![listed.to_owned().try_into().unwrap()];
    let stage = Shild::builder(settings).build().await.expect("it starts").stage();
    let client = launched(their_app().attach(stage)).await;
    for (path, allowed) in [("/user/me", Some(listed)), ("/hello", None), ("/nowhere", None)] {
        let request = client.options(path).header(Header::new("Origin", listed));
        let asked = request.header(Header::new("Access-Control-Request-Method", "GET"));
        let answer = Answer::read(asked.dispatch().await).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{path}");
        assert_eq!(
            answer.header("access-control-allow-headers").is_some(),
            allowed.is_some(),
            "{path}"
        );
    }
}

// Failed before: it was looked for in a directory that nobody had made.
#[rocket::async_test]
async fn with_a_store_that_is_handed_in_no_file_is_needed() {
    let home = tempfile::tempdir().unwrap();
    let settings = Settings {
        data_dir: home.path().join("nowhere"),
        store: StoreKind::Sled,
        ..settings()
    };
    let build = || {
        let store = Arc::new(MemoryStore::new());
        Shild::builder(settings.clone()).store(store).build()
    };
    build().await.expect("it starts");
    assert!(!settings.data_dir.exists());
    let wrong = Settings {
        access_token_ttl: Period::minutes(0),
        ..settings
    };
    let refused = Shild::builder(wrong).build().await.unwrap_err();
    assert!(refused.to_string().contains("access_token_ttl"), "{refused}");
}

// Failed before: what a guest had counted in the last second was lost, and no snapshot was taken.
#[rocket::async_test]
async fn at_the_end_a_guest_writes_what_is_not_written_yet() {
    let home = tempfile::tempdir().unwrap();
    let settings = Settings {
        data_dir: home.path().to_owned(),
        store: StoreKind::Redb,
        ..settings()
    };
    let shild = Shild::builder(settings).build().await.expect("it starts");
    let figment = figment().merge(("port", 0)).merge(("address", "127.0.0.1"));
    let stops = AdHoc::on_liftoff("stops", |rocket| Box::pin(async { rocket.shutdown().notify() }));
    let rocket = rocket::custom(figment).attach(shild.clone().stage()).attach(stops);
    let rocket = rocket.ignite().await.expect("it ignites");
    shild
        .register("alice", PASSWORD, &Origin::default())
        .await
        .expect("she is new");
    rocket.launch().await.expect("it launches and ends");
    assert_eq!(std::fs::read_dir(home.path().join("snapshots")).unwrap().count(), 1);
}

async fn stage() -> shild::Stage {
    Shild::builder(settings()).build().await.expect("it starts").stage()
}

fn their_app() -> Rocket<Build> {
    rocket::custom(figment()).mount("/", routes![hello, invoices, greeting, open])
}

async fn launched(rocket: Rocket<Build>) -> Client {
    Client::untracked(rocket).await.expect("it launches")
}

async fn get(client: &Client, path: &str, token: Option<&str>) -> Answer {
    let mut request = client.get(path.to_owned());
    if let Some(token) = token {
        request.add_header(Header::new("Authorization", format!("Bearer {token}")));
    }
    Answer::read(request.dispatch().await).await
}

/// Alice's token, with the scope `user` only.
async fn token(client: &Client) -> String {
    let body = serde_json::json!({ "username": "alice", "password": PASSWORD });
    let request = client
        .post("/register")
        .header(rocket::http::ContentType::JSON)
        .body(body.to_string());
    Answer::read(request.dispatch().await).await.expect(201);
    let form = "grant_type=password&username=alice&password=wherefore+art+thou+7";
    let request = client.post("/shild").header(rocket::http::ContentType::Form).body(form);
    Answer::read(request.dispatch().await)
        .await
        .expect(200)
        .text_at("access_token")
}

// B1–B3
#[rocket::async_test]
async fn one_parameter_protects_a_route_of_somebody_elses() {
    let client = launched(their_app().attach(stage().await)).await;
    let token = token(&client).await;
    let hello = get(&client, "/hello", Some(&token)).await.expect(200);
    assert_eq!(hello.text(), "hello alice");

    let bare = get(&client, "/hello", None).await.expect(401);
    assert_eq!(
        (bare.challenge(), bare.problem().as_str()),
        (r#"Bearer realm="shild""#, "unauthenticated")
    );
    let bad = get(&client, "/hello", Some("nonsense")).await.expect(401);
    assert!(bad.challenge().contains(r#"error="invalid_token""#));
    let narrow = get(&client, "/invoices", Some(&token)).await.expect(403);
    assert!(narrow.challenge().ends_with(r#"scope="invoices""#));
}

#[rocket::async_test]
async fn optional_sign_in_lets_nobody_in_and_refuses_a_bad_token() {
    let client = launched(their_app().attach(stage().await)).await;
    let token = token(&client).await;
    assert_eq!(get(&client, "/greeting", None).await.expect(200).text(), "welcome");
    assert_eq!(
        get(&client, "/greeting", Some(&token)).await.expect(200).text(),
        "welcome back alice"
    );
    let bad = get(&client, "/greeting", Some("nonsense")).await.expect(401);
    assert!(bad.challenge().contains(r#"error="invalid_token""#));
    get(&client, "/greeting", Some("a b")).await.expect(400);
}

#[rocket::async_test]
async fn their_own_routes_keep_their_own_headers() {
    let alone = launched(rocket::custom(figment()).mount("/", routes![open])).await;
    let with_shild = launched(their_app().attach(stage().await)).await;
    assert_eq!(get(&with_shild, "/open", None).await, get(&alone, "/open", None).await);
    let mine = get(&with_shild, "/keys", None).await.expect(200);
    assert_eq!(mine.header("Cache-Control"), Some("no-store"));
    // The front page is theirs to have.
    get(&with_shild, "/", None).await.expect(404);
}

#[rocket::async_test]
async fn their_default_catcher_is_left_in_its_place_and_the_challenge_is_there_all_the_same() {
    let client = launched(their_app().register("/", catchers![theirs]).attach(stage().await)).await;
    assert_eq!(get(&client, "/nowhere", None).await.expect(404).text(), "theirs");
    let bare = get(&client, "/hello", None).await.expect(401);
    assert_eq!((bare.text(), bare.challenge()), ("theirs", r#"Bearer realm="shild""#));
    let bad = get(&client, "/user/me", Some("nonsense")).await.expect(401);
    assert!(bad.challenge().contains(r#"error="invalid_token""#));
}

#[get("/either")]
fn either(user: Result<CurrentUser, Status>) -> Status {
    user.map_or(Status::NotFound, |_| Status::Ok)
}

#[get("/status/<code>")]
fn status(code: u16) -> Status {
    Status::new(code)
}

// Failed before: whatever an application made of a refusal was answered as the refusal.
#[rocket::async_test]
async fn whoever_goes_on_after_a_refusal_answers_for_itself() {
    let client = launched(
        rocket::custom(figment())
            .mount("/", routes![either])
            .attach(stage().await),
    )
    .await;
    for token in [None, Some("nonsense")] {
        let answer = get(&client, "/either", token).await.expect(404);
        assert_eq!(answer.json()["type"], "/problems/not-found");
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

// Failed before: all that shild itself does not answer became 400 or 500.
#[rocket::async_test]
async fn a_status_of_theirs_stays_what_it_is() {
    let client = launched(
        rocket::custom(figment())
            .mount("/", routes![status])
            .attach(stage().await),
    )
    .await;
    for code in [
        400, 401, 403, 404, 406, 409, 410, 412, 418, 429, 499, 500, 501, 502, 503, 504,
    ] {
        let answer = get(&client, &format!("/status/{code}"), None).await.expect(code);
        assert_eq!(answer.json()["status"], code);
    }
    assert_eq!(get(&client, "/status/409", None).await.json()["type"], "about:blank");
}

#[rocket::post("/nothing")]
const fn nothing() -> Option<&'static str> {
    None
}

async fn ask(client: &Client, method: Method, path: &'static str) -> Answer {
    Answer::read(client.req(method, path).dispatch().await).await
}

/// What a guest's answers have and its host's have not: of what else H1 asks for, a host has some from Rocket.
fn is_framed(answer: &Answer) -> bool {
    let names = ["content-security-policy", "referrer-policy", "x-request-id"];
    let there = names.map(|name| answer.header(name).is_some());
    assert!(there == [true; 3] || there == [false; 3], "{answer}");
    there[0]
}

// H6, H1
#[rocket::async_test]
async fn methods_are_answered_truthfully_for_both_and_a_guest_frames_its_own() {
    let client = launched(their_app().mount("/", routes![nothing]).attach(stage().await)).await;
    for (path, allow, own) in [
        ("/open", "GET, HEAD, OPTIONS", false),
        ("/hello", "GET, HEAD, OPTIONS", false),
        ("/nothing", "OPTIONS, POST", false),
        ("/keys", "GET, HEAD, OPTIONS", true),
        ("/user/me", "DELETE, GET, HEAD, OPTIONS, PATCH", true),
        ("/docs", "GET, HEAD, OPTIONS", true),
        ("/shild", "OPTIONS, POST", true),
    ] {
        let options = ask(&client, Method::Options, path).await.expect(204);
        assert_eq!(options.header("allow"), Some(allow), "{path}");
        assert_eq!(is_framed(&options), own, "{path}");
        for method in [Method::Get, Method::Post, Method::Put, Method::Trace] {
            let answer = ask(&client, method, path).await;
            assert_eq!(is_framed(&answer), own, "{method} {path}");
            if allow.contains(method.as_str()) {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
            if path == "/shild" {
                answer.expect(405).oauth_error();
            } else {
                assert_eq!(answer.expect(405).problem(), "method-not-allowed", "{method} {path}");
            }
        }
        let head = ask(&client, Method::Head, path).await.comparable();
        let mut get = ask(&client, Method::Get, path).await.comparable();
        assert!(head.body.is_empty(), "{path}");
        get.body.clear();
        assert_eq!(head, get, "{path}");
    }
    assert!(!is_framed(&get(&client, "/nowhere", None).await.expect(404)));
}

// H6: nor is it a path without this method.
#[rocket::async_test]
async fn a_route_of_theirs_that_finds_nothing_is_not_found() {
    let client = launched(
        rocket::custom(figment())
            .mount("/", routes![nothing, status])
            .attach(stage().await),
    )
    .await;
    for (method, path, own) in [
        (Method::Post, "/nothing", false),
        (Method::Get, "/status/404", false),
        (Method::Get, "/problems/nothing", true),
    ] {
        let answer = ask(&client, method, path).await.expect(404);
        assert_eq!(answer.problem(), "not-found", "{path}");
        assert_eq!(answer.header("allow"), None, "{path}");
        assert_eq!(is_framed(&answer), own, "{path}");
    }
    let head = ask(&client, Method::Head, "/status/404").await.expect(404);
    assert!(head.body.is_empty() && head.header("allow").is_none(), "{head}");
}

/// Where the application answers by itself all that no route answers, it does so for a wrong method too.
#[rocket::async_test]
async fn with_a_default_catcher_of_theirs_a_wrong_method_of_theirs_is_theirs_to_answer() {
    let client = launched(their_app().register("/", catchers![theirs]).attach(stage().await)).await;
    for method in [Method::Options, Method::Put] {
        let answer = ask(&client, method, "/open").await.expect(404);
        assert_eq!((answer.text(), answer.header("allow")), ("theirs", None), "{method}");
    }
    for (path, own) in [("/open", false), ("/keys", true)] {
        let head = ask(&client, Method::Head, path).await.expect(200);
        assert!(head.body.is_empty() && is_framed(&head) == own, "{path}: {head}");
    }
}

#[rocket::delete("/theirs")]
fn delete_theirs() -> &'static str {
    "deleted"
}

// H7. Failed before: a form made a sign-out, or an end of all sessions, of a POST.
#[rocket::async_test]
async fn a_guest_takes_no_form_for_another_method_and_leaves_that_to_its_host() {
    let client = launched(
        rocket::custom(figment())
            .mount("/", routes![delete_theirs])
            .attach(stage().await),
    )
    .await;
    let post = |path| client.post(path).header(ContentType::Form).body("_method=DELETE");
    let own = Answer::read(post("/user/me/sessions").dispatch().await).await;
    assert_eq!(
        (own.status, own.header("allow")),
        (405, Some("DELETE, GET, HEAD, OPTIONS"))
    );
    assert_eq!(
        Answer::read(post("/theirs").dispatch().await).await.expect(200).text(),
        "deleted"
    );
}

// Failed before: whoever used it before the launch made this the issuer for good.
#[rocket::async_test]
async fn what_is_done_before_the_launch_does_not_choose_the_issuer() {
    let shild = Shild::builder(settings()).build().await.expect("it starts");
    shild
        .register("alice", PASSWORD, &Origin::default())
        .await
        .expect("she is new");
    let figment = figment().merge(("port", 9321));
    let client = launched(rocket::custom(figment).attach(shild.stage())).await;
    let path = "/.well-known/oauth-authorization-server";
    assert_eq!(get(&client, path, None).await.json()["issuer"], "http://127.0.0.1:9321");
}

// Failed before: it started with a key of its own, and said that the keys there are damaged or of another.
#[tokio::test]
async fn a_store_with_keys_wants_the_master_key_that_they_are_under() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let start = |settings: Settings| Shild::builder(settings).store(Arc::clone(&store)).build();
    start(settings()).await.expect("there are none yet");
    let error = start(settings()).await.unwrap_err().to_string();
    assert!(error.contains("set master_key"), "{error}");
}

enum Spaced {}

impl ScopeName for Spaced {
    const NAME: &'static str = "read invoices";
}

#[get("/spaced")]
fn spaced(_user: Scoped<Spaced>) {}

// Failed before: it was tested with the settings of its configuration, and these were passed over.
#[rocket::async_test]
async fn a_shild_that_the_application_has_built_is_tested_with_its_settings() {
    let mut settings = Settings {
        registration: Registration::Closed,
        ..Settings::default()
    };
    settings.throttle.max_failures = 3;
    let shild = Shild::builder(settings)
        .store(Arc::new(MemoryStore::new()))
        .build()
        .await;
    let shild = shild.expect("it starts");
    let server = TestServer::start(their_app().attach(shild.stage())).await;
    let used = server.shild().settings();
    assert_eq!(
        (used.registration, used.throttle.max_failures),
        (Registration::Closed, 3)
    );
    assert_eq!(used.password.argon2, shild::testing::settings().password.argon2);
    assert_eq!(used.store, StoreKind::Memory);
}

#[rocket::async_test]
async fn a_scope_that_is_none_stops_the_launch() {
    let rocket = rocket::custom(figment())
        .mount("/", routes![spaced])
        .attach(stage().await);
    let error = Client::untracked(rocket).await.expect_err("it must not launch");
    assert!(
        matches!(error.kind(), rocket::error::ErrorKind::SentinelAborts(_)),
        "{error:?}"
    );
}

mod namesakes {
    use rocket::get;
    use rocket::serde::json::Json;
    use rocket_okapi::{openapi, openapi_get_routes_spec};

    #[derive(serde::Serialize, schemars::JsonSchema)]
    pub(super) struct User {
        cats: u8,
    }

    #[openapi]
    #[get("/owner")]
    fn owner() -> Json<User> {
        Json(User { cats: 3 })
    }

    #[openapi]
    #[get("/me")]
    fn me(me: shild::guard::CurrentUser) -> Json<shild::user::User> {
        Json(me.user())
    }

    #[openapi]
    #[get("/welcome")]
    fn welcome(_user: shild::guard::MaybeUser) -> &'static str {
        "welcome"
    }

    pub(super) fn another() -> super::Documented {
        openapi_get_routes_spec![owner]
    }

    pub(super) fn the_same() -> super::Documented {
        openapi_get_routes_spec![me, welcome]
    }
}

type Documented = (Vec<rocket::Route>, rocket_okapi::okapi::openapi3::OpenApi);

// H4, H6. Failed before: their catcher answered for shild's paths, and a browser could call none of them.
#[rocket::async_test]
async fn their_default_catcher_does_not_answer_who_asks_for_methods_of_paths_of_shilds() {
    let mut settings = settings();
    let listed = "https://app.example";
    settings.cors.allow_origins = vec![listed.to_owned().try_into().unwrap()];
    let stage = Shild::builder(settings).build().await.expect("it starts").stage();
    let client = launched(their_app().register("/", catchers![theirs]).attach(stage)).await;
    let request = client.options("/user/me").header(Header::new("Origin", listed));
    let asked = request.header(Header::new("Access-Control-Request-Method", "PATCH"));
    let answer = Answer::read(asked.dispatch().await).await.expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(listed));
    let wrong = Answer::read(client.put("/user/me").dispatch().await).await.expect(405);
    assert!(
        wrong.header("allow").is_some_and(|allow| allow.contains("PATCH")),
        "{wrong}"
    );
    assert_eq!(wrong.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(get(&client, "/user/nobody", None).await.expect(404).text(), "theirs");
}

#[rocket::options("/asked")]
const fn asked() -> Option<()> {
    None
}

// Failed before: it was answered with what may be asked for there.
#[rocket::async_test]
async fn a_route_of_theirs_has_options_for_itself() {
    let client = launched(their_app().mount("/", routes![asked]).attach(stage().await)).await;
    Answer::read(client.options("/asked").dispatch().await)
        .await
        .expect(404);
}

// Failed before: theirs had the members of shild's.
#[rocket::async_test]
async fn a_schema_of_the_same_name_is_the_same_or_stops_the_launch() {
    let rocket = rocket::custom(figment()).attach(stage().await.mount("/api", namesakes::another()));
    let error = Client::untracked(rocket).await.expect_err("it must not launch");
    assert!(
        matches!(error.kind(), rocket::error::ErrorKind::FailedFairings(_)),
        "{error:?}"
    );
    let rocket = rocket::custom(figment()).attach(stage().await.mount("/api", namesakes::the_same()));
    let client = launched(rocket).await;
    let document = get(&client, "/openapi.json", None).await.json();
    let schema = &document["paths"]["/api/me"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/User");
}

// Failed before: the document said that one must be signed in, and that 401 says so.
#[rocket::async_test]
async fn who_may_be_signed_in_is_documented_so() {
    let rocket = rocket::custom(figment()).attach(stage().await.mount("/api", namesakes::the_same()));
    let document = get(&launched(rocket).await, "/openapi.json", None).await.json();
    let security = &document["paths"]["/api/welcome"]["get"]["security"];
    assert_eq!(security, &serde_json::json!([{}, { "oauth2": [] }]));
}

#[rocket::async_test]
async fn without_the_stage_a_guarded_route_stops_the_launch() {
    for routes in [routes![hello], routes![invoices], routes![greeting]] {
        let rocket = rocket::custom(figment()).mount("/", routes);
        let error = Client::untracked(rocket).await.expect_err("it must not launch");
        assert!(
            matches!(error.kind(), rocket::error::ErrorKind::SentinelAborts(_)),
            "{error:?}"
        );
    }
}
