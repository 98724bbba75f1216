//! What the `type` of a problem leads to.

use rocket::http::ContentType;
use rocket::{Route, get, routes};

use crate::error::{Error, Problem};

pub(super) fn routes() -> Vec<Route> {
    routes![explain_problem]
}

/// The problem in words (RFC 9457 §3.1.1). Not in the OpenAPI document: it is for people.
#[get("/problems/<slug>")]
fn explain_problem(slug: &str) -> Result<(ContentType, String), Error> {
    let problem = Problem::ALL.iter().find(|problem| problem.slug() == slug);
    let problem = problem.ok_or_else(|| Error::new(Problem::NotFound, "There is no problem of this name."))?;
    let text = format!(
        "{}\n\nStatus {}.\n\n{}\n",
        problem.title(),
        problem.status(),
        problem.explanation()
    );
    Ok((ContentType::Plain, text))
}
