//! What is answered where no route answers, or a guard has refused.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::atomic::Ordering;

use rocket::catcher::{self, Handler};
use rocket::http::uri::Segments;
use rocket::http::uri::fmt::Path;
use rocket::http::{Method, Status};
use rocket::response::{Responder, Response};
use rocket::{Catcher, Request};
use serde_json::json;

use super::is_own;
use super::passing::Passing;
use super::respond::problem_json;
use crate::bearer::Challenge;
use crate::error::{Error, Problem};
use crate::oauth::OAuthError;
use crate::shild::Shild;

/// Keeps why a guard refused the request, and gives the status to refuse it with. Rocket drops the error of a guard before it
/// calls a catcher; with nothing kept, the catcher answers the status as it is.
pub(crate) fn refuse(request: &Request<'_>, error: impl Into<Error>) -> Status {
    let error = error.into();
    let status = Status::new(error.problem().status());
    Passing::of(request).refuse(error);
    status
}

/// Keeps why the program's own server refused a request, which leads to no route then.
pub(crate) fn turn_away(request: &Request<'_>, error: Error) {
    let _ = Passing::of(request).turned_away.set(error);
}

/// The challenge that a response of this status must carry because a guard refused the request with it, whoever's
/// catcher made the response.
pub(crate) fn challenge(request: &Request<'_>, status: Status) -> Option<String> {
    let error = Passing::of(request).refusal(status)?;
    Some(error.challenge.as_ref()?.www_authenticate())
}

/// What shild answers where no route of anybody's has the method that is asked for, and its own path has others: also where the
/// application catches what nobody answers.
pub(super) async fn of_own_path<'r>(status: Status, request: &'r Request<'_>) -> Option<Response<'r>> {
    if status != Status::NotFound || request.route().is_some() || !is_own_path(request) {
        return None;
    }
    CatchAll.handle(status, request).await.ok()
}

/// The catcher for everything.
pub(crate) fn catcher() -> Catcher {
    Catcher::new(None, CatchAll)
}

#[derive(Clone)]
struct CatchAll;

#[rocket::async_trait]
impl Handler for CatchAll {
    async fn handle<'r>(&self, status: Status, request: &'r Request<'_>) -> catcher::Result<'r> {
        let allowed = if status == Status::NotFound {
            methods_of(request)
        } else {
            BTreeSet::new()
        };
        // OPTIONS is among what is allowed, but seldom has it a route.
        let options = request.method() == Method::Options && request.route().is_none();
        if allowed.is_empty() || (allowed.contains(request.method().as_str()) && !options) {
            return match error_of(status, request) {
                Some(error) => render(error, request),
                None => about_blank(status),
            };
        }
        let allow = allowed.into_iter().collect::<Vec<_>>().join(", ");
        if options {
            return Response::build()
                .status(Status::NoContent)
                .raw_header("Allow", allow)
                .ok();
        }
        let detail = format!("This path has {allow}.");
        let mut response = render(Error::new(Problem::MethodNotAllowed, detail), request)?;
        response.set_raw_header("Allow", allow);
        Ok(response)
    }
}

/// Why this is answered. `None`: for a reason that only the application knows which shild is a guest in.
fn error_of(status: Status, request: &Request<'_>) -> Option<Error> {
    let passing = Passing::of(request);
    if let Some(error) = passing.turned_away.get().cloned().or_else(|| passing.refusal(status)) {
        return Some(error);
    }
    Some(match status.code {
        400 => Error::new(Problem::BadRequest, "The request could not be read."),
        401 => Challenge::Missing.into(),
        403 => Error::new(Problem::Forbidden, "This is not allowed."),
        404 => Error::new(Problem::NotFound, "There is nothing at this path."),
        405 => Error::new(Problem::MethodNotAllowed, "This path does not have this method."),
        408 => Error::new(Problem::RequestTimeout, "The body did not come in time."),
        413 => Error::new(Problem::PayloadTooLarge, "The body is too large."),
        415 => Error::new(Problem::UnsupportedMediaType, "The body has the wrong content type."),
        422 => Error::new(Problem::Unprocessable, "The request is refused."),
        500 => Error::new(Problem::Internal, "The server could not do this."),
        503 => Error::busy("The server is too busy."),
        _ => return None,
    })
}

/// A problem of which no more is known than its status (RFC 9457 §4.2.1).
fn about_blank<'r>(status: Status) -> catcher::Result<'r> {
    let body = json!({ "type": "about:blank", "title": status.reason_lossy(), "status": status.code }).to_string();
    Response::build()
        .status(status)
        .header(problem_json())
        .raw_header("Cache-Control", "no-store")
        .sized_body(body.len(), Cursor::new(body))
        .ok()
}

/// A problem; at an OAuth endpoint, an error of RFC 6749 §5.2.
fn render<'r>(error: Error, request: &'r Request<'_>) -> catcher::Result<'r> {
    let oauth = request
        .rocket()
        .state::<Shild>()
        .is_some_and(|shild| shild.is_oauth_path(request.uri().path().as_str()));
    let response = if oauth {
        OAuthError::from(error).respond_to(request)
    } else {
        error.respond_to(request)
    };
    // Rocket answers a failed catcher with its own 500 page.
    response.or_else(|status| Response::build().status(status).sized_body(0, Cursor::new("")).ok())
}

/// Whether some route of shild's has this request's path.
pub(super) fn is_own_path(request: &Request<'_>) -> bool {
    let segments = || request.uri().path().segments();
    let mut routes = request.rocket().routes();
    routes.any(|route| is_own(route) && matches(route.uri.path(), segments()))
}

/// The methods that some route has for this request's path, with what follows from them (requirement H6).
/// Rocket alone answers 404 for all the others.
fn methods_of(request: &Request<'_>) -> BTreeSet<&'static str> {
    let path = request.uri().path();
    let routes = request
        .rocket()
        .routes()
        .filter(|route| matches(route.uri.path(), path.segments()));
    // A path that some route has literally is not, by the way, an object of another's: `/keys/rotate` is no key.
    let (literal, others): (Vec<_>, Vec<_>) = routes.partition(|route| !route.uri.path().contains('<'));
    let routes = if literal.is_empty() { others } else { literal };
    let own = routes.iter().any(|route| is_own(route));
    Passing::of(request).own.store(own, Ordering::Relaxed);
    let mut methods: BTreeSet<_> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    if !methods.is_empty() {
        methods.insert("OPTIONS");
    }
    methods
}

/// Whether a route's path, with its `<parameters>`, is that of the request.
fn matches(route: &str, request: Segments<'_, Path>) -> bool {
    let mut wanted = route.split('/').filter(|segment| !segment.is_empty());
    let mut given = request.filter(|segment| !segment.is_empty());
    loop {
        match (wanted.next(), given.next()) {
            (Some(segment), _) if segment.starts_with('<') && segment.ends_with("..>") => return true,
            (Some(segment), Some(_)) if segment.starts_with('<') => {}
            (Some(segment), Some(text)) if segment == text => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use rocket::http::uri::Origin;

    use super::*;

    #[test]
    fn a_path_matches_the_route_that_has_it() {
        let is = |route: &str, path: &str| matches(route, Origin::parse(path).unwrap().path().segments());
        assert!(is("/user/me", "/user/me"));
        assert!(is("/users/<id>", "/users/7") && is("/users/<id>/sessions", "/users/7/sessions"));
        assert!(is("/docs/<file..>", "/docs/a/b") && is("/", "/"));
        assert!(!is("/users/<id>", "/users") && !is("/users", "/users/7") && !is("/user/me", "/user/you"));
    }
}
