//! The page at `/`, where people look after their account and administrators after all of them.
//!
//! It is a client like any other: it can do nothing that the API does not let its user do. Plain HTML, CSS and modules, as
//! they stand in the directory `home`; what the page must know of this server's settings is written into its body's attributes.

use rocket::Route;
use rocket::http::ContentType;

use super::asset;
use crate::audit::AuditKind;
use crate::config::{Registration, Settings};

/// What the page may load and do. Nothing but the files below runs, no text becomes markup or script, and without its
/// script the page sends no form, so that no password ends up in a URL.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const PAGE: &str = include_str!("home/index.html");

macro_rules! files {
    ($($name:literal,)*) => { [$(($name, include_str!(concat!("home/", $name)))),*] };
}

/// The files of the page, each served at `/account/` and its name.
const FILES: [(&str, &str); 10] = files![
    "style.css",
    "shield.svg",
    "main.js",
    "api.js",
    "page.js",
    "arms.js",
    "entrance.js",
    "account.js",
    "users.js",
    "audit.js",
];

pub(super) fn routes(settings: &Settings) -> Vec<Route> {
    let mut all = vec![asset::file("/", ContentType::HTML, page(settings), Some(POLICY))];
    all.extend(FILES.iter().map(|(name, text)| {
        let kind = match name.rsplit('.').next() {
            Some("css") => ContentType::CSS,
            Some("svg") => ContentType::SVG,
            _ => ContentType::JavaScript,
        };
        asset::file(&format!("/account/{name}"), kind, *text, Some(POLICY))
    }));
    all
}

/// The page for a server with these settings. What is put in has no character that HTML would read: the token path is
/// unreserved characters and slashes, the kinds of events are words.
fn page(settings: &Settings) -> String {
    let registration = match settings.registration {
        Registration::Open => "open",
        Registration::Closed => "closed",
    };
    let kind = |kind: AuditKind| {
        let words = kind.as_str().replace('_', " ");
        format!("<option value=\"{}\">{words}</option>", kind.as_str())
    };
    PAGE.replace("{{token_path}}", settings.token_path.as_str())
        .replace("{{registration}}", registration)
        .replace(
            "{{audit_kinds}}",
            &AuditKind::ALL.iter().copied().map(kind).collect::<String>(),
        )
}
