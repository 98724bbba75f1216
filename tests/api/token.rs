//! The token endpoint: RFC 6749 §3.2, §4.3, §5.

use base64ct::{Base64, Encoding};
use rocket::http::Method;
use shild::config::TokenPath;
use shild::testing::{hash_work, hashes};

use crate::helpers::*;

const FORM: &str = "grant_type=password&username=alice&password=wherefore+art+thou+7";

async fn with_alice() -> App {
    let app = App::new().await;
    register(&app, "alice", PASSWORD).await.expect(201);
    app
}

async fn posted(app: &App, form: &str) -> Answer {
    app.anonymous().post("/shild").raw_form(form).send().await
}

// T1, H6
#[rocket::async_test]
async fn only_post_is_answered() {
    let app = App::new().await;
    for method in [
        Method::Get,
        Method::Head,
        Method::Put,
        Method::Delete,
        Method::Trace,
        Method::Patch,
    ] {
        let answer = app.anonymous().call(method, "/shild").send().await.expect(405);
        assert_eq!(answer.header("Allow"), Some("OPTIONS, POST"), "{method}");
    }
}

// T2
#[rocket::async_test]
async fn only_urlencoded_forms_are_read() {
    let app = with_alice().await;
    let json = r#"{"grant_type":"password","username":"alice","password":"wherefore art thou 7"}"#;
    for (kind, body) in [
        ("application/json", json),
        ("multipart/form-data; boundary=x", "--x--"),
        ("text/plain", FORM),
    ] {
        let answer = app.anonymous().post("/shild").body(kind, body).send().await.expect(400);
        assert_eq!(answer.oauth_error(), "invalid_request", "{kind}");
    }
    let answer = app.anonymous().post("/shild").send().await.expect(400);
    assert_eq!(answer.oauth_error(), "invalid_request");
    let kind = "application/x-www-form-urlencoded; charset=UTF-8";
    app.anonymous().post("/shild").body(kind, FORM).send().await.expect(200);
}

// T2
#[rocket::async_test]
async fn parameters_in_the_url_are_not_read() {
    let app = with_alice().await;
    let url = format!("/shild?{FORM}");
    let answer = app.anonymous().post(&url).raw_form("").send().await.expect(400);
    assert_eq!(answer.oauth_error(), "invalid_request");
    let answer = app
        .anonymous()
        .post("/shild?scope=nonsense&password=x")
        .raw_form(FORM)
        .send()
        .await;
    answer.expect(200);
}

// T3
#[rocket::async_test]
async fn the_password_of_appendix_b_registered_as_json_signs_in_as_a_form() {
    let app = App::with(|settings| {
        settings.password.min_length = 1;
        settings.password.min_strength = 0;
    })
    .await;
    register(&app, "alice", " %&+£€").await.expect(201);
    let form = "grant_type=password&username=alice&password=+%25%26%2B%C2%A3%E2%82%AC";
    posted(&app, form).await.expect(200);
}

// T3
#[rocket::async_test]
async fn bad_utf8_and_bad_escapes_are_an_invalid_request() {
    let app = with_alice().await;
    for end in ["%ff", "%C3", "%", "%zz"] {
        let answer = posted(&app, &format!("{FORM}{end}")).await.expect(400);
        assert_eq!(answer.oauth_error(), "invalid_request", "{end}");
    }
    let raw = [FORM.as_bytes(), b"\xff"].concat();
    let kind = "application/x-www-form-urlencoded";
    let answer = app.anonymous().post("/shild").body(kind, raw).send().await.expect(400);
    assert_eq!(answer.oauth_error(), "invalid_request");
}

// T4
#[rocket::async_test]
async fn the_grant_type_must_be_there_and_be_known() {
    let app = with_alice().await;
    for (grant, code) in [
        ("", "invalid_request"),
        ("grant_type=&", "invalid_request"),
        ("grant_type=PASSWORD&", "unsupported_grant_type"),
        ("grant_type=authorization_code&", "unsupported_grant_type"),
        ("grant_type=password+&", "unsupported_grant_type"),
    ] {
        let form = format!("{grant}username=alice&password=wherefore+art+thou+7");
        assert_eq!(posted(&app, &form).await.expect(400).oauth_error(), code, "{grant}");
    }
}

// T5
#[rocket::async_test]
async fn empty_is_absent_unknown_is_ignored_and_repeated_is_refused() {
    let app = with_alice().await;
    posted(&app, &format!("{FORM}&scope=&client_id=&client_secret=&colour=green"))
        .await
        .expect(200);
    for form in [
        "grant_type=password&password=x".to_owned(),
        "grant_type=password&username=&password=x".to_owned(),
        "grant_type=password&username=alice".to_owned(),
        "grant_type=password&username=alice&password=".to_owned(),
        "grant_type=refresh_token".to_owned(),
        format!("{FORM}&username=alice"),
        format!("{FORM}&grant_type=password"),
        format!("{FORM}&colour=green&colour=green"),
        format!("{FORM}&scope=&scope=user"),
        format!("{FORM}&%75sername=alice"),
    ] {
        assert_eq!(
            posted(&app, &form).await.expect(400).oauth_error(),
            "invalid_request",
            "{form}"
        );
    }
}

// T6
#[rocket::async_test]
async fn whoever_cannot_sign_in_gets_one_and_the_same_answer() {
    let app = App::with(|settings| settings.throttle.max_failures = 1).await;
    for name in ["alice", "locked", "disabled", "deleted", "no-password"] {
        register(&app, name, PASSWORD).await.expect(201);
    }
    sign_in(&app, "locked", "wrong password").await.expect(400);
    app.change("disabled", |user| user.disabled = true).await;
    app.change("no-password", |user| user.password_hash = None).await;
    app.delete("deleted").await;

    let wrong = sign_in(&app, "alice", "wrong password").await.comparable();
    assert_eq!((wrong.status, wrong.oauth_error().as_str()), (400, "invalid_grant"));
    for (name, password) in [
        ("nobody", PASSWORD),
        ("locked", PASSWORD),
        ("disabled", PASSWORD),
        ("deleted", PASSWORD),
        ("no-password", PASSWORD),
        ("not a name", PASSWORD),
        ("alice", "\u{7}"),
        ("alice", &"long".repeat(1000)),
    ] {
        assert_eq!(sign_in(&app, name, password).await.comparable(), wrong, "{name}");
    }
}

// W8: whoever asks learns nothing from the time that it takes
#[rocket::async_test]
async fn whoever_cannot_sign_in_costs_one_hash() {
    // Not those that everybody's hashes have here by default: that would say nothing of whose settings are taken.
    let app = App::with(|settings| {
        settings.throttle.max_failures = 1;
        settings.password.argon2.memory_kib = 64;
        settings.password.argon2.iterations = 2;
    })
    .await;
    for name in ["alice", "locked", "disabled", "deleted", "no-password"] {
        register(&app, name, PASSWORD).await.expect(201);
    }
    sign_in(&app, "locked", "wrong password").await.expect(400);
    app.change("disabled", |user| user.disabled = true).await;
    app.change("no-password", |user| user.password_hash = None).await;
    app.delete("deleted").await;
    for (name, password) in [
        ("alice", PASSWORD),
        ("alice", "wrong password"),
        ("nobody", PASSWORD),
        ("locked", PASSWORD),
        ("disabled", PASSWORD),
        ("deleted", PASSWORD),
        ("no-password", PASSWORD),
        ("not a name", PASSWORD),
        ("alice", "\u{7}"),
    ] {
        let before = (hashes(&app.shild), hash_work(&app.shild));
        sign_in(&app, name, password).await;
        let cost = (hashes(&app.shild) - before.0, hash_work(&app.shild) - before.1);
        assert_eq!(cost, (1, 64 * 2), "{name} {password:?}");
    }
}

// T7
#[rocket::async_test]
async fn a_scope_must_be_well_formed_and_the_users_own() {
    let app = App::new().await;
    app.user_with("alice", "invoices user").await;
    for scope in [
        "user  invoices",
        " user",
        "user ",
        "us\"er",
        "us\\er",
        "usér",
        "admin",
        "nonsense",
        "user nonsense",
    ] {
        let answer = ask(&app, Some(scope)).await.expect(400);
        assert_eq!(answer.oauth_error(), "invalid_scope", "{scope:?}");
    }
    for (asked, granted) in [
        (None, "invoices user"),
        (Some(""), "invoices user"),
        (Some("user"), "user"),
        (Some("user invoices"), "invoices user"),
    ] {
        assert_eq!(
            ask(&app, asked).await.expect(200).text_at("scope"),
            granted,
            "{asked:?}"
        );
    }
}

async fn ask(app: &App, scope: Option<&str>) -> Answer {
    let mut form = vec![
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", PASSWORD),
    ];
    form.extend(scope.map(|scope| ("scope", scope)));
    ask_token(app, &form).await
}

// T7
#[rocket::async_test]
async fn nobody_learns_a_users_scopes_without_the_password() {
    let app = with_alice().await;
    let form = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", "wrong"),
        ("scope", "admin"),
    ];
    assert_eq!(ask_token(&app, &form).await.expect(400).oauth_error(), "invalid_grant");
}

// T8
#[rocket::async_test]
async fn a_success_has_all_its_members_and_is_not_to_be_kept() {
    let app = with_alice().await;
    let answer = posted(&app, FORM).await.expect(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(answer.header("Pragma"), Some("no-cache"));
    let json = answer.json();
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["access_token", "token_type", "expires_in", "refresh_token", "scope"]
    );
    assert_eq!(
        (&json["token_type"], &json["scope"]),
        (&"Bearer".into(), &"user".into())
    );
    assert_eq!(json["expires_in"].as_u64(), Some(900));
    assert!(answer.text_at("access_token").starts_with("v4.public."));
    assert!(answer.text_at("refresh_token").starts_with("shr_"));
}

// T8, T9
#[rocket::async_test]
async fn errors_hold_nothing_but_what_the_grammar_allows_whatever_came_in() {
    let app = with_alice().await;
    for form in [
        "grant_type=%22%5C%0A%00%C3%A9".to_owned(),
        format!("{FORM}&scope=%22%5C%0A%C3%A9"),
        "grant_type=password&username=%22%5C%0A&password=%22%5C".to_owned(),
        format!("{FORM}&client_id=%22%5C%0A"),
    ] {
        // oauth_error() looks at the description.
        let answer = posted(&app, &form).await.expect(400);
        assert!(!answer.oauth_error().is_empty());
    }
}

fn basic(pair: &str) -> String {
    format!("Basic {}", Base64::encode_string(pair.as_bytes()))
}

async fn as_client(app: &App, authorization: &str, form: &str) -> Answer {
    let call = app.anonymous().post("/shild").header("Authorization", authorization);
    call.raw_form(form).send().await
}

// T10, T11
#[rocket::async_test]
async fn a_public_client_may_name_itself_in_any_one_way() {
    let app = with_alice().await;
    let client_of = async |answer: Answer| {
        let token = answer.expect(200).text_at("access_token");
        app.shild.authenticate(&token).await.unwrap().session.client_id.clone()
    };
    assert_eq!(client_of(posted(&app, FORM).await).await, None);
    assert_eq!(
        client_of(as_client(&app, "Basic Og==", &format!("{FORM}&scope=")).await).await,
        None
    );
    let app_ = Some("my app: x".to_owned());
    assert_eq!(
        client_of(as_client(&app, &basic("my%20app%3A+x:"), FORM).await).await,
        app_
    );
    assert_eq!(
        client_of(posted(&app, &format!("{FORM}&client_id=my+app:+x")).await).await,
        app_
    );
    // Another scheme is none of the client's.
    assert_eq!(client_of(as_client(&app, "Bearer abc", FORM).await).await, None);
}

// T10
#[rocket::async_test]
async fn two_ways_at_once_are_refused() {
    let app = with_alice().await;
    for more in ["client_id=app", "client_secret=s"] {
        let answer = as_client(&app, &basic("app:"), &format!("{FORM}&{more}"))
            .await
            .expect(400);
        assert_eq!(answer.oauth_error(), "invalid_request", "{more}");
    }
    let twice = app.anonymous().post("/shild").header("Authorization", "Basic Og==");
    let twice = twice.header("Authorization", "Basic Og==").raw_form(FORM).send().await;
    assert_eq!(twice.expect(400).oauth_error(), "invalid_request");
}

// T12
#[rocket::async_test]
async fn a_malformed_client_and_a_secret_are_an_invalid_client() {
    let app = with_alice().await;
    for header in [
        "Basic !!!",
        "Basic",
        &basic("nocolon"),
        &basic("app:secret"),
        &basic("%zz:"),
    ] {
        let answer = as_client(&app, header, FORM).await.expect(401);
        assert_eq!(answer.oauth_error(), "invalid_client", "{header}");
        assert_eq!(answer.challenge(), "Basic realm=\"shild\"", "{header}");
    }
    let answer = posted(&app, &format!("{FORM}&client_id=app&client_secret=s"))
        .await
        .expect(401);
    assert_eq!(answer.oauth_error(), "invalid_client");
    assert_eq!(answer.challenge(), "Basic realm=\"shild\"");
}

// H9
#[rocket::async_test]
async fn a_form_over_8_kib_is_too_large() {
    let app = with_alice().await;
    let padded = |length: usize| format!("{FORM}&x={}", "x".repeat(length - FORM.len() - 3));
    posted(&app, &padded(8192)).await.expect(200);
    assert_eq!(
        posted(&app, &padded(8193)).await.expect(413).oauth_error(),
        "invalid_request"
    );
}

// T14
#[rocket::async_test]
async fn a_refresh_token_is_exchanged_once() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let next = refresh(&app, alice.refresh_token()).await.expect(200);
    me(&app.bearer(&next.text_at("access_token"))).await.expect(200);
    app.advance(11);
    let again = refresh(&app, alice.refresh_token()).await.expect(400);
    assert_eq!(again.oauth_error(), "invalid_grant");
    let unknown = refresh(&app, "shr_nonsense").await.expect(400);
    assert_eq!(unknown.comparable(), again.comparable());
}

// T17
#[rocket::async_test]
async fn an_access_token_is_no_refresh_token() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let answer = refresh(&app, alice.access_token()).await.expect(400);
    assert_eq!(answer.oauth_error(), "invalid_grant");
}

// Failed before: whoever has a longer name than new ones may have was out.
#[rocket::async_test]
async fn a_setting_about_new_names_locks_nobody_out() {
    let app = App::new().await;
    register(&app, "penthesilea", PASSWORD).await.expect(201);
    let app = app.restart(|settings| settings.username.max_length = 6).await;
    sign_in(&app, "penthesilea", PASSWORD).await.expect(200);
    register(&app, "achilles", PASSWORD).await.expect(422);
}

#[rocket::async_test]
async fn the_token_endpoint_is_where_the_setting_says() {
    let app = App::with(|settings| settings.token_path = TokenPath::try_from("/oauth/token".to_owned()).unwrap()).await;
    register(&app, "alice", PASSWORD).await.expect(201);
    app.anonymous()
        .post("/oauth/token")
        .raw_form(FORM)
        .send()
        .await
        .expect(200);
    assert_eq!(posted(&app, FORM).await.expect(404).problem(), "not-found");
    let document = app.anonymous().get("/openapi.json").send().await.json();
    assert!(document["paths"]["/oauth/token"]["post"].is_object() && document["paths"]["/shild"].is_null());
    let flow = &document["components"]["securitySchemes"]["oauth2"]["flows"]["password"];
    assert_eq!(flow["tokenUrl"], "/oauth/token");
    let path = "/.well-known/oauth-authorization-server";
    let metadata = app.anonymous().get(path).send().await.expect(200);
    assert!(metadata.text_at("token_endpoint").ends_with("/oauth/token"));
    let wrong = app.anonymous().post("/oauth/token").send().await.expect(400);
    assert_eq!(wrong.oauth_error(), "invalid_request");
    // A slash at the end leads to the same route.
    let refused = app.anonymous().post("/introspect").send().await.expect(401);
    let slash = app.anonymous().post("/introspect/").send().await.expect(401);
    assert_eq!(slash.oauth_error(), refused.oauth_error());
    let get = app.anonymous().get("/oauth/token").send().await.expect(405);
    assert_eq!(get.oauth_error(), "invalid_request");
}
