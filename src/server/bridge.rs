//! From a request as hyper has it to Rocket's answer, and back.
//!
//! The body does not go through Rocket, whose local dispatch wants all of it beforehand: it waits in the request's local cache
//! for whoever reads it ([`Passing::take_body`]). So do the header fields, but for those that Rocket goes by itself.

use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, future, io};

use hyper::body::{Bytes, HttpBody as _, Sender};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, TRANSFER_ENCODING};
use hyper::{Body, Response, StatusCode};
use rocket::http::uri::Origin;
use rocket::http::{Header, Method};
use rocket::local::asynchronous::{Client, LocalRequest, LocalResponse};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Site;
use super::head::Refusal;
use super::pulse::Busy;
use crate::error::{Error, Problem};
use crate::http::body::LIMIT;
use crate::http::catch;
use crate::http::headers::{self, Usual};
use crate::http::passing::Passing;
use crate::shild::Shild;

/// A path that no route has: what was refused is answered there.
const NOWHERE: &str = "/-";

/// An answer up to this length, in bytes, is sent at once.
const AT_ONCE: usize = 16 * 1024;

/// The length of the pieces, in bytes, that a longer one is sent in. For a client that takes its time two are kept.
const PIECE: usize = 8 * 1024;

/// How long what nobody has read of a body is waited for, so that the connection can go on behind it.
const REST: Duration = Duration::from_secs(1);

type Request = hyper::Request<Body>;

/// A request that is being answered.
///
/// The connection does that itself, which costs less than a task for each request. Whatever is left when this is dropped goes on
/// in a task of its own: a long body after its head, and what a client that has left had begun.
pub(super) struct Answering {
    /// `None` once it is done.
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    head: oneshot::Receiver<Response<Body>>,
}

impl Future for Answering {
    /// An error says that there is no answer, because it broke off.
    type Output = io::Result<Response<Body>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(work) = &mut self.work
            && work.as_mut().poll(cx).is_ready()
        {
            self.work = None;
        }
        Pin::new(&mut self.head).poll(cx).map_err(io::Error::other)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

/// Answers a request; `late` says that its body has been waited for long enough.
pub(super) fn answer(
    site: Arc<Site>,
    peer: SocketAddr,
    busy: Busy,
    patience: Duration,
    late: bool,
    request: Request,
) -> Answering {
    let (sender, head) = oneshot::channel();
    let work = async move {
        let busy = busy;
        let headers = request.headers();
        // Who has asked whether to send the body sends none once there is an answer.
        let asks = headers.contains_key(EXPECT);
        let ends = late || headers.contains_key(TRANSFER_ENCODING) || Refusal::behind(&request).is_some();
        let (request, id, mut body) = to_rocket(&site.client, peer, late, request);
        let response = request.dispatch().await;
        let unread = !body.is_read() && (asks || !body.take_rest().await);
        let ends = ends || unread || site.ending.load(Ordering::Relaxed);
        if !send(response, &site.usual, id, ends, patience, sender).await {
            busy.cut();
        }
    };
    Answering {
        work: Some(Box::pin(work)),
        head,
    }
}

/// The request as Rocket has it, its id, which [`send`] adds to the answer with the other headers that each has, and its body, of
/// which something may be left when it is answered.
fn to_rocket(
    client: &Client,
    peer: SocketAddr,
    late: bool,
    request: Request,
) -> (LocalRequest<'_>, Option<String>, Chunks) {
    let (target, refused) = match read(&request) {
        Ok(target) => (target, None),
        Err(error) => ((Method::Get, Origin::path_only(NOWHERE)), Some(error)),
    };
    let (method, uri) = target;
    let mut local = client.req(method, Target(uri));
    local.inner_mut().set_remote(peer);
    let shild = client.rocket().state::<Shild>();
    let id = shild.map(|shild| shild.request_ids.of(given_id(&request)));
    let (head, body) = request.into_parts();
    // What it chooses a route by.
    for name in [ACCEPT, CONTENT_TYPE] {
        for value in head.headers.get_all(&name) {
            // As Rocket has it: a value that is not UTF-8 is none.
            if let Ok(value) = std::str::from_utf8(value.as_bytes()) {
                local.add_header(Header::new(name.as_str().to_owned(), value.to_owned()));
            }
        }
    }
    let body = Chunks::of(body, late);
    Passing::begin(
        &local,
        id.clone(),
        head.headers,
        refused.is_none().then(|| body.clone()),
    );
    if let Some(error) = refused {
        catch::turn_away(&local, error);
    }
    (local, id, body)
}

/// A target that has been read. Rocket keeps whatever it is given in words as well, for the error that this cannot be.
struct Target(Origin<'static>);

impl fmt::Display for Target {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl From<Target> for Origin<'static> {
    fn from(target: Target) -> Self {
        target.0
    }
}

/// The id that the request came with.
fn given_id(request: &Request) -> Option<&str> {
    let mut given = request.headers().get_all(headers::ID_NAME).iter();
    given.find_map(|id| std::str::from_utf8(id.as_bytes()).ok())
}

/// Method and target.
fn read(request: &Request) -> Result<(Method, Origin<'static>), Error> {
    if let Some(refusal) = Refusal::behind(request) {
        let problem = match refusal.status().as_u16() {
            414 => Problem::UriTooLong,
            431 => Problem::HeadTooLarge,
            _ => Problem::BadRequest,
        };
        return Err(Error::new(problem, refusal.detail()));
    }
    // Rocket would pass over it; a proxy that keeps paths from the public need not. And whoever has left out the last name wants
    // to delete one thing, and not all. To read, a slash at the end does no harm.
    let path = request.uri().path();
    let reads = matches!(request.method().as_str(), "GET" | "HEAD" | "OPTIONS");
    if path.contains("//") || path.len() > 1 && path.ends_with('/') && !reads {
        let detail = "A path here has no empty segment: one / between two names, and none at the end.";
        return Err(Error::new(Problem::NotFound, detail));
    }
    let bad = |detail| Error::new(Problem::BadRequest, detail);
    // Letter by letter (RFC 9110 §9.1). No route has TRACE, so it stands for all that none has.
    let name = request.method().as_str();
    let known = Method::from_str(name).ok().filter(|method| method.as_str() == name);
    let method = known.unwrap_or(Method::Trace);
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let uri = Origin::parse_owned(target.to_owned()).map_err(|_| bad("The URL is malformed."))?;
    Ok((method, uri))
}

/// Hands over the answer: its head through `head`, and what is long of its body as the client takes it; whether it did in time.
async fn send(
    mut answer: LocalResponse<'_>,
    usual: &Usual,
    id: Option<String>,
    ends: bool,
    patience: Duration,
    head: oneshot::Sender<Response<Body>>,
) -> bool {
    let Ok(fields) = usual.and(answer.headers().iter(), id) else {
        tracing::error!("an answer has a header that cannot be sent");
        return true;
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(answer.status().code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = fields;
    if ends {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let len = answer.body().preset_size();
    let rest = match len {
        Some(len) if len <= AT_ONCE => {
            let mut all = Vec::with_capacity(len);
            if answer.read_to_end(&mut all).await.is_err() {
                return true;
            }
            if all.len() < len {
                // The answer to HEAD.
                response.headers_mut().insert(CONTENT_LENGTH, len.into());
            }
            *response.body_mut() = all.into();
            None
        }
        _ => {
            if let Some(len) = len {
                response.headers_mut().insert(CONTENT_LENGTH, len.into());
            }
            let (sender, body) = Body::channel();
            *response.body_mut() = body;
            Some(sender)
        }
    };
    // Who has left wants none.
    let sent = head.send(response).is_ok();
    match rest {
        Some(sender) if sent => stream(answer, sender, patience).await,
        _ => true,
    }
}

/// Sends a long body a piece at a time; whether the client took each in time. One that does not is cut off.
async fn stream(mut answer: LocalResponse<'_>, mut body: Sender, patience: Duration) -> bool {
    loop {
        let room = future::poll_fn(|context| body.poll_ready(context));
        let Ok(room) = tokio::time::timeout(patience, room).await else {
            body.abort();
            return false;
        };
        let mut piece = Vec::with_capacity(PIECE);
        let read = match room {
            Ok(()) => answer.read_buf(&mut piece).await,
            Err(error) => Err(io::Error::other(error)),
        };
        match read {
            Ok(0) => return true,
            Ok(_) if body.try_send_data(piece.into()).is_ok() => {}
            _ => {
                body.abort();
                return true;
            }
        }
    }
}

/// A body, piece by piece.
#[derive(Clone)]
pub(crate) struct Chunks {
    /// `None`: it is empty.
    body: Option<Arc<Mutex<Body>>>,
    late: bool,
}

impl Chunks {
    fn of(body: Body, late: bool) -> Self {
        let body = (!body.is_end_stream()).then(|| Arc::new(Mutex::new(body)));
        Self { body, late }
    }

    fn body(&self) -> Option<MutexGuard<'_, Body>> {
        let body = self.body.as_ref()?;
        Some(body.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many bytes of it are still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.body().map_or(Some(0), |body| body.size_hint().exact())
    }

    fn is_read(&self) -> bool {
        self.body().is_none_or(|body| body.is_end_stream())
    }

    /// Reads what nobody has, if it is short and there in time; whether it is read to its end.
    async fn take_rest(&mut self) -> bool {
        if self.left().is_none_or(|left| left > LIMIT as u64) {
            return false;
        }
        let rest = async { while matches!(self.next().await, Ok(Some(_))) {} };
        // Too late is seen by what is left.
        let _ = tokio::time::timeout(REST, rest).await;
        self.is_read()
    }

    /// Whether it has been waited for long enough.
    pub(crate) const fn is_late(&self) -> bool {
        self.late
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let piece = future::poll_fn(|context| {
            self.body()
                .map_or(Poll::Ready(None), |mut body| Pin::new(&mut *body).poll_data(context))
        });
        piece.await.transpose().map_err(io::Error::other)
    }
}
