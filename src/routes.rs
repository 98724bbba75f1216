//! All routes, put together; each module below has one resource.

pub(crate) mod answer;
mod asset;
mod audit;
mod client;
mod docs;
mod export;
mod forward_auth;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod home;
mod import;
mod keys;
mod me;
mod metadata;
mod metrics;
mod page;
mod problems;
mod query;
mod register;
mod sessions;
mod token;
mod users;
mod verify;

use rocket::Route;
use rocket_okapi::okapi::merge::merge_specs;
use rocket_okapi::okapi::openapi3::OpenApi;
use rocket_okapi::settings::OpenApiSettings;

use crate::config::Settings;
use crate::http::own;
use crate::openapi;

/// Where the routes are mounted and what the document says of them.
pub(crate) struct Mounted {
    /// The token endpoint, to be mounted at the setting `token_path`.
    pub(crate) token: Vec<Route>,
    /// All others that the document knows, to be mounted at `/`.
    pub(crate) api: Vec<Route>,
    /// The document, finished.
    pub(crate) document: OpenApi,
}

/// The routes of the API and their document.
pub(crate) fn api(token_path: &str) -> Mounted {
    // okapi remarks at length that a route and its guard both document a status, as they must: the route's entry wins.
    let level = ::log::max_level();
    ::log::set_max_level(::log::LevelFilter::Off);
    let mounted = compose(token_path);
    ::log::set_max_level(level);
    mounted
}

fn compose(token_path: &str) -> Mounted {
    let settings = OpenApiSettings::new();
    let (token, mut document) = token::token_routes(&settings);
    document.paths = document
        .paths
        .into_iter()
        .map(|(_, item)| (token_path.to_owned(), item))
        .collect();
    let mut api = Vec::new();
    let modules = [
        register::routes,
        token::routes,
        me::routes,
        sessions::routes,
        users::routes,
        audit::routes,
        export::routes,
        import::routes,
        keys::routes,
        metadata::routes,
        health::routes,
        forward_auth::routes,
        metrics::routes,
        verify::routes,
    ];
    for module in modules {
        let (routes, spec) = module(&settings);
        api.extend(routes);
        merge_specs(&mut document, &"", &spec).expect("no two routes of this crate have the same path and method");
    }
    Mounted {
        token: own(token),
        api: own(api),
        document: openapi::finish(document, token_path),
    }
}

/// The pages: documentation, and what problems mean.
pub(crate) fn pages(document: &OpenApi) -> Vec<Route> {
    own([docs::routes(document), problems::routes(), users::unlisted()].concat())
}

/// What only an application that is all shild's has: the account page at `/`.
pub(crate) fn front(settings: &Settings) -> Vec<Route> {
    own(home::routes(settings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenPath;

    // Failed before: two first segments could be taken for the token endpoint, and nobody could sign in.
    #[test]
    fn the_token_endpoint_takes_no_path_of_another_route() {
        let Mounted { api, document, .. } = api("/shild");
        let routes = [api, pages(&document), front(&Settings::default())].concat();
        for route in routes {
            let path = route.uri.path();
            let first = path.split('/').nth(1).unwrap_or_default();
            for taken in [format!("/{first}"), format!("/{first}/shild")] {
                assert!(TokenPath::try_from(taken).is_err(), "{path}");
            }
        }
    }
}
