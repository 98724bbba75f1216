//! A scope of the application's own: administrators give it to users, and a route asks for it.
//!
//! On the same host `shild user add clerk --scope user --scope invoices`, then `cargo run --example scopes_of_your_own`: the clerk
//! reads invoices, everybody else gets a 403 that names the scope. The test needs shild's feature `testing`; it runs with
//! `cargo test --example scopes_of_your_own`.

#[macro_use]
extern crate rocket;

use shild::guard::{MaybeUser, ScopeName, Scoped};

/// The scope `invoices`, as it stands in tokens.
enum Invoices {}

impl ScopeName for Invoices {
    const NAME: &'static str = "invoices";
}

#[get("/invoices")]
fn invoices(clerk: Scoped<Invoices>) -> String {
    format!("the invoices, for {}", clerk.username())
}

/// One route for all, with something more for those who may.
#[get("/")]
fn shop(visitor: MaybeUser) -> &'static str {
    match visitor {
        MaybeUser::SignedIn(user) if user.scopes().contains(Invoices::NAME) => "the shop, with a link to the invoices",
        MaybeUser::SignedIn(_) | MaybeUser::Anonymous => "the shop",
    }
}

#[launch]
fn application() -> _ {
    rocket::build()
        .attach(shild::stage())
        .mount("/shop", routes![shop, invoices])
}

#[rocket::async_test]
async fn invoices_are_for_clerks() {
    use shild::testing::{TestServer, assert_protected, bearer};

    assert_protected(application(), "/shop/invoices", "user invoices").await;

    let server = TestServer::start(application()).await;
    let visitor = server.token_for("juliet", &["user"]).await;
    let refused = server.get("/shop/invoices").header(bearer(&visitor)).dispatch().await;
    assert_eq!(refused.status().code, 403);
    let challenge = refused.headers().get_one("WWW-Authenticate").unwrap_or_default();
    assert!(challenge.contains("scope=\"invoices\""), "{challenge}");

    let clerk = server.token_for("nurse", &["user", "invoices"]).await;
    let page = server.get("/shop").header(bearer(&clerk)).dispatch().await;
    assert!(page.into_string().await.is_some_and(|text| text.contains("invoices")));
}
