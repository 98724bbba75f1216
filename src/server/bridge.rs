//! From a request as hyper has it to Rocket's answer, and back.
//!
//! The body does not go through Rocket, whose local dispatch wants all of it beforehand: it waits in the request's local cache
//! for whoever reads it ([`body_of`]).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Bytes, HttpBody as _, Sender};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Body, Response};
use rocket::http::uri::Origin;
use rocket::http::{Header, Method};
use rocket::local::asynchronous::{Client, LocalRequest, LocalResponse};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::head::Refusal;
use super::pulse::Busy;
use crate::error::{Error, Problem};
use crate::http::origin::request_id;
use crate::http::{catch, headers};
use crate::shild::Shild;

/// A path that no route has: what was refused is answered there.
const NOWHERE: &str = "/-";

/// An answer up to this length, in bytes, is sent at once.
const PIECE: usize = 64 * 1024;

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
    client: Arc<Client>,
    peer: SocketAddr,
    busy: Busy,
    patience: Duration,
    late: bool,
    request: Request,
) -> Answering {
    let (sender, head) = oneshot::channel();
    let work = async move {
        let _busy = busy;
        let ends = request.headers().contains_key(TRANSFER_ENCODING) || Refusal::behind(&request).is_some();
        let request = to_rocket(&client, peer, late, request);
        let id = leave_headers(&client, &request);
        send(request.dispatch().await, id.as_deref(), ends, patience, sender).await;
    };
    Answering {
        work: Some(Box::pin(work)),
        head,
    }
}

/// The request as Rocket has it.
fn to_rocket(client: &Client, peer: SocketAddr, late: bool, request: Request) -> LocalRequest<'_> {
    let (target, refused) = match read(&request) {
        Ok(target) => (target, None),
        Err(error) => ((Method::Get, Origin::path_only(NOWHERE)), Some(error)),
    };
    let (method, uri) = target;
    let mut local = client.req(method, uri).remote(peer);
    for (name, value) in request.headers() {
        // As Rocket has it: a value that is not UTF-8 is none.
        if let Ok(value) = std::str::from_utf8(value.as_bytes()) {
            local.add_header(Header::new(name.as_str().to_owned(), value.to_owned()));
        }
    }
    if let Some(error) = refused {
        catch::refuse(&local, error);
    } else {
        let body = request.into_body();
        local.local_cache(|| Waiting(Mutex::new(Some(Chunks { body, late }))));
    }
    local
}

/// Has the headers that every answer carries left to [`send`]; the id that is to be among them.
fn leave_headers(client: &Client, request: &LocalRequest<'_>) -> Option<String> {
    let shild = client.rocket().state::<Shild>()?;
    headers::leave_to_server(request.inner());
    Some(request_id(request.inner(), shild).to_owned())
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
    let bad = |detail| Error::new(Problem::BadRequest, detail);
    let method = Method::from_str(request.method().as_str()).map_err(|()| bad("The method is not known."))?;
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let uri = Origin::parse_owned(target.to_owned()).map_err(|_| bad("The URL is malformed."))?;
    Ok((method, uri))
}

/// Hands over the answer: its head through `head`, and what is long of its body as the client takes it.
async fn send(
    mut answer: LocalResponse<'_>,
    id: Option<&str>,
    ends: bool,
    patience: Duration,
    head: oneshot::Sender<Response<Body>>,
) {
    let mut response = Response::builder().status(answer.status().code);
    for field in answer.headers().iter() {
        response = response.header(field.name().as_str(), field.value().as_bytes());
    }
    if let (Some(fields), Some(id)) = (response.headers_mut(), id) {
        headers::add(fields, id);
    }
    if ends {
        response = response.header(CONNECTION, HeaderValue::from_static("close"));
    }
    let len = answer.body().preset_size();
    let (rest, body) = match len {
        Some(len) if len <= PIECE => {
            let mut all = Vec::with_capacity(len);
            if answer.read_to_end(&mut all).await.is_err() {
                return;
            }
            if all.len() < len {
                // The answer to HEAD.
                response = response.header(CONTENT_LENGTH, len);
            }
            (None, Body::from(all))
        }
        _ => {
            if let Some(len) = len {
                response = response.header(CONTENT_LENGTH, len);
            }
            let (sender, body) = Body::channel();
            (Some(sender), body)
        }
    };
    let Ok(response) = response.body(body) else {
        return tracing::error!("an answer has a header that cannot be sent");
    };
    if head.send(response).is_ok()
        && let Some(sender) = rest
    {
        stream(answer, sender, patience).await;
    }
}

/// Sends a long body a piece at a time. A client that does not take the next one in time is cut off.
async fn stream(mut answer: LocalResponse<'_>, mut body: Sender, patience: Duration) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        match answer.read_buf(&mut piece).await {
            Ok(0) => return,
            Ok(_) => {
                let sent = tokio::time::timeout(patience, body.send_data(piece.into())).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return body.abort();
                }
            }
            Err(_) => return body.abort(),
        }
    }
}

/// A body that nobody has read yet.
struct Waiting(Mutex<Option<Chunks>>);

/// The body of a request that this server has taken, for whoever asks first. `None`: it is in Rocket's hands.
pub(crate) fn body_of(request: &rocket::Request<'_>) -> Option<Chunks> {
    let waiting = request.local_cache(|| Waiting(Mutex::new(None)));
    waiting.0.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A body, piece by piece.
pub(crate) struct Chunks {
    body: Body,
    late: bool,
}

impl Chunks {
    /// Whether it has been waited for long enough.
    pub(crate) const fn is_late(&self) -> bool {
        self.late
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.body.data().await.transpose().map_err(io::Error::other)
    }
}
