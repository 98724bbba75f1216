//! What is known of a request while it passes through.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rocket::Request;

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
    /// Why a guard refused it.
    pub(super) refusal: OnceLock<Error>,
    /// The body that the program's own server has taken, until somebody reads it.
    body: Mutex<Option<Chunks>>,
}

impl Passing {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            by_server: false,
            id: OnceLock::new(),
            refusal: OnceLock::new(),
            body: Mutex::new(None),
        }
    }

    /// What is known of a request.
    pub(super) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::new)
    }

    /// Begins with a request of the program's own server, which adds the headers with this `id` to the answer if there is one.
    /// To be called before anything else of this crate sees the request.
    pub(crate) fn begin(request: &Request<'_>, id: Option<String>, body: Option<Chunks>) {
        request.local_cache(|| Self {
            by_server: id.is_some(),
            id: id.map_or_else(OnceLock::new, OnceLock::from),
            body: Mutex::new(body),
            ..Self::new()
        });
    }

    /// The body that the program's own server has taken, for whoever asks first. `None`: it is in Rocket's hands.
    pub(crate) fn take_body(&self) -> Option<Chunks> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
