//! The account page: served from the binary, with a policy that lets nothing else run. What it does is shown in a browser,
//! by `tests/browser.rs`.

use std::collections::BTreeSet;

use shild::config::{Registration, TokenPath};

use crate::helpers::*;

async fn page(app: &App) -> Answer {
    app.anonymous().get("/").send().await.expect(200)
}

// H1, H2
#[rocket::async_test]
async fn the_account_page_may_load_and_do_nothing_but_what_is_its_own() {
    let app = App::new().await;
    let page = page(&app).await;
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    let policy = page.header("Content-Security-Policy").unwrap();
    let directives: BTreeSet<_> = policy.split("; ").collect();
    let wanted = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ];
    assert_eq!(directives, BTreeSet::from(wanted));
    let text = page.text();
    // Nothing inline, which the policy would refuse, and nothing of another host.
    for bad in [
        "<style",
        " style=",
        "<script>",
        "onload",
        "onclick",
        "javascript:",
        "//",
    ] {
        assert!(!text.contains(bad), "{bad}");
    }
    assert!(!text.contains("{{"), "something is not filled in");
}

#[rocket::async_test]
async fn everything_that_the_account_page_is_made_of_is_there_and_of_its_kind() {
    let app = App::new().await;
    let mut wanted: Vec<String> = linked(page(&app).await.text());
    let mut seen = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let file = app.anonymous().get(&path).send().await.expect(200);
        let kind = match path.rsplit('.').next() {
            Some("js") => "text/javascript",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.header("Content-Type"), Some(kind), "{path}");
        let etag = file.header("ETag").unwrap();
        let again = app.anonymous().get(&path).header("If-None-Match", etag).send().await;
        again.expect(304);
        let imports = file.text().lines().filter_map(|line| line.split_once(" from './"));
        wanted.extend(imports.map(|(_, rest)| format!("/account/{}", rest.trim_end_matches("';"))));
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}

/// The files that the page itself names.
fn linked(page: &str) -> Vec<String> {
    let quoted = page.split('"').filter(|text| text.starts_with("account/"));
    quoted.map(|path| format!("/{path}")).collect()
}

#[rocket::async_test]
async fn the_account_page_knows_of_this_server_where_tokens_are_and_whether_one_may_register() {
    let usual = page(&App::new().await).await;
    assert!(
        usual
            .text()
            .contains("data-token-path=\"/shild\" data-registration=\"open\"")
    );
    let app = App::with(|settings| {
        settings.token_path = TokenPath::try_from("/oauth/token".to_owned()).unwrap();
        settings.registration = Registration::Closed;
    })
    .await;
    let other = page(&app).await;
    assert!(
        other
            .text()
            .contains("data-token-path=\"/oauth/token\" data-registration=\"closed\"")
    );
    assert_ne!(usual.header("ETag"), other.header("ETag"));
}

#[rocket::async_test]
async fn every_kind_of_event_can_be_chosen_on_the_account_page() {
    let page = page(&App::new().await).await;
    for kind in shild::audit::AuditKind::ALL {
        assert!(page.text().contains(&format!("<option value=\"{}\">", kind.as_str())));
    }
}
