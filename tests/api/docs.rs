//! The documentation: served from the binary, and asking nobody else.

use serde_json::Value;

use crate::helpers::*;

// H2
#[rocket::async_test]
async fn the_docs_page_asks_no_other_host_for_anything() {
    let app = App::new().await;
    let page = app.anonymous().get("/docs").send().await.expect(200);
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    let policy = page.header("Content-Security-Policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split("; ").any(|directive| directive == part), "{policy}");
    }
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    assert!(
        !page.text().contains("//") && !page.text().contains("<script>"),
        "{}",
        page.text()
    );

    let linked = page.text().split('"').filter(|text| text.starts_with("docs/"));
    let mut count = 0;
    for path in linked {
        let asset = app.anonymous().get(&format!("/{path}")).send().await.expect(200);
        assert!(!asset.body.is_empty());
        count += 1;
    }
    assert_eq!(count, 3);
    let script = app.anonymous().get("/docs/init.js").send().await.expect(200);
    assert!(script.text().contains("validatorUrl: null") && !script.text().contains("//"));
}

#[rocket::async_test]
async fn assets_are_compressed_for_whoever_takes_that_and_not_sent_twice() {
    let app = App::new().await;
    let path = "/docs/swagger-ui-bundle.js";
    let plain = app.anonymous().get(path).send().await.expect(200);
    assert_eq!(plain.header("Content-Encoding"), None);
    let small = app
        .anonymous()
        .get(path)
        .header("Accept-Encoding", "br, gzip")
        .send()
        .await
        .expect(200);
    assert_eq!(small.header("Content-Encoding"), Some("gzip"));
    assert!(small.body.len() * 2 < plain.body.len());
    let etag = plain.header("ETag").unwrap();
    let kept = app
        .anonymous()
        .get(path)
        .header("If-None-Match", etag)
        .send()
        .await
        .expect(304);
    assert!(kept.body.is_empty());
}

#[rocket::async_test]
async fn the_document_served_is_the_one_that_the_library_gives() {
    let app = App::new().await;
    let served = app.anonymous().get("/openapi.json").send().await.expect(200);
    assert_eq!(served.header("Content-Type"), Some("application/json"));
    // Both through text: on the way there and back a number may lose its last bit.
    let given = serde_json::to_string(&shild::openapi("/shild")).unwrap();
    assert_eq!(served.json(), serde_json::from_str::<Value>(&given).unwrap());
}

// H5: the type of a problem can be followed
#[rocket::async_test]
async fn every_problem_is_explained() {
    let app = App::new().await;
    for problem in shild::error::Problem::ALL {
        let path = format!("/problems/{}", problem.slug());
        let page = app.anonymous().get(&path).send().await.expect(200);
        assert!(page.text().contains(&problem.status().to_string()) && page.text().contains(problem.title()));
    }
    assert_eq!(
        app.anonymous().get("/problems/none").send().await.expect(404).problem(),
        "not-found"
    );
}
