//! What every request and every response goes through: ids, addresses, headers, the log line, and what is
//! answered where no route answers.

pub(crate) mod body;
pub(crate) mod catch;
mod cors;
pub(crate) mod form;
pub(crate) mod headers;
pub(crate) mod if_match;
pub(crate) mod json;
pub(crate) mod origin;
pub(crate) mod passing;
pub(crate) mod respond;

use std::sync::atomic::Ordering;
use std::time::Duration;

use rocket::fairing::{Fairing, Info, Kind};
use rocket::http::Method;
use rocket::{Data, Request, Response, Route};

use self::passing::Passing;
use crate::shild::Shild;

/// How names of shild's own routes begin.
const OWN: &str = "shild:";

/// Marks routes as shild's own: only their answers get shild's headers when it is a guest in another application.
pub(crate) fn own(routes: Vec<Route>) -> Vec<Route> {
    let mark = |mut route: Route| {
        route.name = Some(format!("{OWN}{}", route.name.as_deref().unwrap_or_default()).into());
        route
    };
    routes.into_iter().map(mark).collect()
}

fn is_own(route: &Route) -> bool {
    route.name.as_deref().is_some_and(|name| name.starts_with(OWN))
}

/// The fairing around every request.
pub(crate) struct Frame {
    /// Whether all of the application is shild's, so that every answer is to be framed and logged.
    pub(crate) whole: bool,
    /// Whether the application has a catcher of its own for everything.
    pub(crate) caught: bool,
}

#[rocket::async_trait]
impl Fairing for Frame {
    fn info(&self) -> Info {
        Info {
            name: "shild: request ids, headers, log",
            kind: Kind::Request | Kind::Response,
        }
    }

    async fn on_request(&self, request: &mut Request<'_>, data: &mut Data<'_>) {
        // What the program's own server has read is not in Rocket's hands, so there is nothing that it could take for a method.
        if !Passing::of(request).by_server {
            undo_method_override(request, data, self.whole).await;
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(shild) = request.rocket().state::<Shild>() else {
            return;
        };
        if self.caught
            && let Some(own) = catch::of_own_path(response.status(), request).await
        {
            *response = own;
        }
        let took = Passing::of(request).began.elapsed();
        let route = request.route().map_or("-", |route| route.uri.path());
        let (method, status) = (request.method().as_str(), response.status().code);
        shild.metrics.answered(method, route, status, took);
        if let Some(challenge) = catch::challenge(request, response.status())
            && !response.headers().contains("WWW-Authenticate")
        {
            response.set_raw_header("WWW-Authenticate", challenge);
        }
        // A browser asks with OPTIONS, which no route has, whether it may ask.
        let of_own_path = || Passing::of(request).own.load(Ordering::Relaxed);
        if !self.whole && !request.route().map_or_else(of_own_path, is_own) {
            return;
        }
        let id = origin::request_id(request, shild);
        headers::set(request, response, id);
        cors::allow(request, response, shild);
        if self.whole {
            log(request, response, id, took);
        }
    }
}

/// Rocket takes a form that begins with `_method=…` for a request with that method, before any fairing runs. No form
/// of shild's has such a parameter, so it is taken back (requirement H7). A true request of another method that carries
/// such a form becomes a POST, which no route but the right one answers. In somebody else's application, where not the `whole` is
/// shild's, it is what that wants for its own paths.
async fn undo_method_override(request: &mut Request<'_>, data: &mut Data<'_>, whole: bool) {
    if request.content_type().is_some_and(|kind| kind.is_form())
        && request.method() != Method::Post
        && (whole || catch::is_own_path(request))
        && rocket::form::Form::values(&String::from_utf8_lossy(data.peek(32).await))
            .next()
            .is_some_and(|field| field.name == "_method")
    {
        request.set_method(Method::Post);
    }
}

/// One line a request: nothing in it comes from the client but what is one of a few words or has been checked.
fn log(request: &Request<'_>, response: &Response<'_>, id: &str, took: Duration) {
    tracing::info!(
        target: "shild::request",
        id,
        method = request.method().as_str(),
        route = request.route().map_or("-", |route| route.uri.as_str()),
        status = response.status().code,
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    );
}
