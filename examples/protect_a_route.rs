//! From an empty Rocket application to a protected, documented and tested route in ten lines.
//!
//! `cargo run --example protect_a_route`, then open <http://127.0.0.1:8000/docs>: register, authorize, say hello. The test
//! needs shild's feature `testing`; it runs with `cargo test --example protect_a_route`.

#[macro_use]
extern crate rocket;

// Added, lines 1 to 5: the guard lets nobody in without a live token, `openapi` documents it with its lock.
#[rocket_okapi::openapi(tag = "Greetings")]
#[get("/hello")]
fn hello(me: shild::guard::CurrentUser) -> String {
    format!("Hello, {}!", me.username())
}

#[launch]
fn application() -> _ {
    rocket::build()
        // Added, line 6.
        .attach(shild::stage().mount("/", rocket_okapi::openapi_get_routes_spec![hello]))
}

// Added, lines 7 to 10.
#[rocket::async_test]
async fn hello_is_for_those_who_signed_in() {
    shild::testing::assert_protected(application(), "/hello", "user").await;
}
