//! What is known of a request while it passes through.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use hyper::HeaderMap;
use rocket::Request;
use rocket::http::Status;

use crate::bearer::NOT_TEXT;
use crate::error::Error;
use crate::server::Chunks;

/// All of it in one place: whatever is kept with a request of Rocket's costs a box, an entry in a map, and a look-up each time.
pub(crate) struct Passing {
    /// When it began.
    pub(super) began: Instant,
    /// Whether the program's own server sends the answer, and adds the headers that each has.
    pub(super) by_server: bool,
    /// Its id, once somebody has asked for it.
    pub(super) id: OnceLock<String>,
    /// Why the program's own server refused it: then it leads to no route.
    pub(super) turned_away: OnceLock<Error>,
    /// Why a guard refused it; of several, the one asked last.
    refusal: Mutex<Option<Error>>,
    /// Whether it is for a path of shild's, although for no route.
    pub(super) own: AtomicBool,
    /// The header fields that the program's own server has read. `None`: they are in Rocket's hands.
    fields: Option<HeaderMap>,
    /// The body that the program's own server has taken, until somebody reads it.
    body: Mutex<Option<Chunks>>,
}

impl Passing {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            by_server: false,
            id: OnceLock::new(),
            turned_away: OnceLock::new(),
            refusal: Mutex::new(None),
            own: AtomicBool::new(false),
            fields: None,
            body: Mutex::new(None),
        }
    }

    /// What is known of a request.
    pub(super) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::new)
    }

    /// Begins with a request of the program's own server, which adds the headers with this `id` to the answer if there is one.
    /// To be called before anything else of this crate sees the request.
    pub(crate) fn begin(request: &Request<'_>, id: Option<String>, fields: HeaderMap, body: Option<Chunks>) {
        request.local_cache(|| Self {
            by_server: id.is_some(),
            id: id.map_or_else(OnceLock::new, OnceLock::from),
            fields: Some(fields),
            body: Mutex::new(body),
            ..Self::new()
        });
    }

    /// Keeps why a guard refused it.
    pub(super) fn refuse(&self, error: Error) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Why a guard refused it, if what is answered has the status of that: whoever has taken a refusal for an answer, and gone
    /// on, may have come to something else.
    pub(super) fn refusal(&self, status: Status) -> Option<Error> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.clone().filter(|error| error.problem().status() == status.code)
    }

    /// The body that the program's own server has taken, for whoever asks first. `None`: it is in Rocket's hands.
    pub(crate) fn take_body(&self) -> Option<Chunks> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The values of the header fields of this name that a request came with, in their order; [`NOT_TEXT`] for one that is not
/// UTF-8, so that none is taken for one that is not there. Where Rocket has the connection, it leaves such a one out.
///
/// Rocket knows only those that it goes by itself where the program's own server has read them: each costs a search of a map that
/// hashes names letter by letter, and a copy.
pub(crate) fn given<'r>(request: &'r Request<'_>, name: &'r str) -> impl Iterator<Item = &'r str> {
    let taken = Passing::of(request).fields.as_ref();
    let rockets = taken.is_none().then(|| request.headers().get(name));
    let taken = taken.into_iter().flat_map(move |fields| fields.get_all(name));
    taken
        .map(|value| std::str::from_utf8(value.as_bytes()).unwrap_or(NOT_TEXT))
        .chain(rockets.into_iter().flatten())
}

/// As [`given`], with what is not UTF-8 replaced letter by letter: for whoever looks for something in it.
pub(crate) fn given_in_parts<'r>(request: &'r Request<'_>, name: &'r str) -> impl Iterator<Item = Cow<'r, str>> {
    let taken = Passing::of(request).fields.as_ref();
    let rockets = taken.is_none().then(|| request.headers().get(name));
    let taken = taken.into_iter().flat_map(move |fields| fields.get_all(name));
    taken
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .chain(rockets.into_iter().flatten().map(Cow::Borrowed))
}
