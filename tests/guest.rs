//! shild as a guest in somebody else's application.

use rocket::{Build, Rocket, get};
use rocket_okapi::{openapi, openapi_get_routes_spec};
use serde_json::Value;
use shild::guard::{CurrentUser, ScopeName, Scoped};
use shild::testing::{assert_protected, client, sign_in};

enum Invoices {}

impl ScopeName for Invoices {
    const NAME: &'static str = "invoices";
}

#[openapi(tag = "Shop")]
#[get("/cart")]
fn cart(me: CurrentUser) -> String {
    me.username().to_string()
}

#[openapi(tag = "Shop")]
#[get("/invoices")]
fn invoices(_me: Scoped<Invoices>) -> &'static str {
    "none"
}

#[openapi(tag = "Shop")]
#[get("/open")]
fn open() -> &'static str {
    "come in"
}

fn shop() -> Rocket<Build> {
    rocket::build().attach(shild::stage().mount("/shop", openapi_get_routes_spec![cart, invoices, open]))
}

// B1, B2, T19
#[rocket::async_test]
async fn a_guard_protects_the_application_s_own_routes() {
    assert_protected(shop(), "/shop/cart", "user").await;
    assert_protected(shop(), "/shop/invoices", "user invoices").await;
}

#[rocket::async_test]
#[should_panic(expected = "without a token")]
async fn a_route_without_a_guard_is_found_out() {
    assert_protected(shop(), "/shop/open", "user").await;
}

// B3
#[rocket::async_test]
async fn a_scope_that_is_missing_is_named() {
    let client = client(shop()).await;
    let me = sign_in(&client, "juliet", "user").await;
    let answer = client.get("/shop/invoices").header(me).dispatch().await;
    assert_eq!(answer.status().code, 403);
    let challenge = answer.headers().get_one("WWW-Authenticate").unwrap_or_default();
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"invoices\""),
        "{challenge}"
    );
}

#[rocket::async_test]
async fn the_application_s_routes_stand_in_the_document_with_their_lock() {
    let client = client(shop()).await;
    let document: Value = client
        .get("/openapi.json")
        .dispatch()
        .await
        .into_json()
        .await
        .expect("the document is JSON");
    let invoices = &document["paths"]["/shop/invoices"]["get"];
    assert_eq!(invoices["security"][0]["oauth2"][0], "invoices");
    for status in ["200", "400", "401", "403"] {
        assert!(invoices["responses"][status].is_object(), "{status}");
    }
    assert_eq!(document["paths"]["/shop/cart"]["get"]["tags"][0], "Shop");
    assert!(document["paths"]["/user/me"]["get"].is_object());
    let flow = &document["components"]["securitySchemes"]["oauth2"]["flows"]["password"];
    assert_eq!(flow["tokenUrl"], "/shild");
}
