//! Methods: each path of the document with all those that it does not have (requirement H6), and `_method` (H7).

use std::collections::{BTreeMap, BTreeSet};

use rocket::http::Method;

use crate::helpers::*;
use crate::matrix::{Operation, operations};

const ALL: [Method; 9] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Patch,
    Method::Delete,
    Method::Options,
    Method::Trace,
    Method::Connect,
];

/// For each path, with something in place of its parameters, the methods that the document has.
fn paths() -> BTreeMap<String, BTreeSet<&'static str>> {
    let all = operations();
    let concrete = |operation: &Operation| operation.path_with(|_| "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071".to_owned());
    let mut paths = BTreeMap::<_, BTreeSet<_>>::new();
    for operation in &all {
        let path = concrete(operation);
        // What a path allows is what the document has for it, not what it has for objects that could have such a name.
        let matching = all
            .iter()
            .filter(|other| other.matches(&path) && (other.path == operation.path || operation.path.contains('{')));
        paths
            .entry(path.clone())
            .or_default()
            .extend(matching.map(|other| other.method.as_str()));
    }
    for methods in paths.values_mut() {
        methods.insert("OPTIONS");
        if methods.contains("GET") {
            methods.insert("HEAD");
        }
    }
    paths
}

#[rocket::async_test]
async fn every_other_method_of_every_path_is_refused_with_what_is_allowed() {
    let app = App::new().await;
    let admin = app.admin().await;
    let all = operations();
    for (path, methods) in paths() {
        let allow = methods.iter().copied().collect::<Vec<_>>().join(", ");
        let routed = |method: Method| all.iter().any(|other| other.matches(&path) && other.method == method);
        for method in ALL
            .into_iter()
            .filter(|method| !methods.contains(method.as_str()) && !routed(*method))
        {
            // Signing in does not change it.
            for caller in [&app.anonymous(), &admin] {
                let answer = caller.call(method, &path).send().await.expect(405);
                assert_eq!(answer.header("Allow"), Some(&*allow), "{method} {path}");
                if method == Method::Head {
                    assert!(answer.body.is_empty(), "{path}");
                } else if ["/shild", "/revoke", "/introspect"].contains(&&*path) {
                    answer.oauth_error();
                } else {
                    assert_eq!(answer.problem(), "method-not-allowed", "{method} {path}");
                }
            }
        }
    }
}

#[rocket::async_test]
async fn options_tells_the_truth() {
    let app = App::new().await;
    for (path, methods) in paths() {
        let answer = app.anonymous().call(Method::Options, &path).send().await.expect(204);
        let allow = methods.into_iter().collect::<Vec<_>>().join(", ");
        assert_eq!(answer.header("Allow"), Some(&*allow), "{path}");
    }
    app.anonymous()
        .call(Method::Options, "/nowhere")
        .send()
        .await
        .expect(404);
}

#[rocket::async_test]
async fn head_is_get_without_a_body() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    for path in [
        "/user/me",
        "/user/me/sessions",
        "/healthz",
        "/docs",
        "/openapi.json",
        "/keys",
        "/nowhere",
    ] {
        let mut get = alice.get(path).send().await.comparable();
        let head = alice.call(Method::Head, path).send().await.comparable();
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        get.body.clear();
        assert_eq!(head, get, "{path}");
    }
}

// H7
#[rocket::async_test]
async fn a_form_cannot_change_the_method() {
    let app = App::new().await;
    let alice = app.user("alice").await;
    let there = app.signed_in("alice", None).await;
    for method in ["DELETE", "delete", "GET", "PUT"] {
        for form in [
            format!("_method={method}"),
            format!("_method={method}&x=1"),
            format!("%5Fmethod={method}"),
        ] {
            for path in ["/user/me/sessions", "/user/me"] {
                let answer = alice.post(path).raw_form(&form).send().await.expect(405);
                assert_eq!(answer.problem(), "method-not-allowed", "{form}");
            }
        }
        let form = format!("_method={method}&grant_type=password&username=alice&password=wherefore+art+thou+7");
        app.anonymous().post("/shild").raw_form(&form).send().await.expect(200);
    }
    me(&there).await.expect(200);
}
