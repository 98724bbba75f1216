//! Several routes in one OpenAPI document with shild's: a documented body and answer, a lock where there is a guard.
//!
//! `cargo run --example routes_in_your_document`, then open <http://127.0.0.1:8000/docs>. The test needs shild's feature
//! `testing`; it runs with `cargo test --example routes_in_your_document`.

#[macro_use]
extern crate rocket;

use rocket::serde::json::Json;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shild::guard::{CurrentUser, Scoped, scope::Admin};

/// A cat, and whose it is.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Cat {
    name: String,
    owner: String,
}

/// # List your cats
#[openapi(tag = "Cats", operation_id = "list_cats")]
#[get("/cats")]
fn list_cats(me: CurrentUser) -> Json<Vec<Cat>> {
    let owner = me.username().to_string();
    Json(vec![Cat {
        name: "Tybalt".to_owned(),
        owner,
    }])
}

/// # Adopt a cat for somebody
#[openapi(tag = "Cats", operation_id = "adopt_cat")]
#[post("/cats", data = "<cat>")]
fn adopt_cat(_admin: Scoped<Admin>, cat: Json<Cat>) -> Json<Cat> {
    cat
}

#[launch]
fn application() -> _ {
    let documented = openapi_get_routes_spec![list_cats, adopt_cat];
    rocket::build().attach(shild::stage().mount("/api", documented))
}

#[rocket::async_test]
async fn the_document_has_the_routes_with_their_locks() {
    use serde_json::{Value, json};

    let server = shild::testing::TestServer::start(application()).await;
    let document: Option<Value> = server.get("/openapi.json").dispatch().await.into_json().await;
    let cats = &document.expect("the document is JSON")["paths"]["/api/cats"];
    assert_eq!(cats["get"]["security"], json!([{ "oauth2": [] }]));
    assert_eq!(cats["post"]["security"], json!([{ "oauth2": ["admin"] }]));
    assert!(cats["get"]["responses"]["401"].is_object() && cats["post"]["requestBody"].is_object());
}
