//! The program's own server: what Rocket 0.5 leaves open at the edge of HTTP/1.1 is closed here (requirements H9, H10).
//!
//! Rocket's launch binds and accepts by itself, with no time limit on a request's head, no bound on connections, and hyper's
//! leniency about framing. So here the connections are this module's: `gate` lets a head through to hyper only once it is
//! whole and says one thing, a connection that keeps the server waiting is cut, and `bridge` hands each request to Rocket by
//! its local dispatch, which is all of Rocket but the network. An application that launches a Rocket of its own
//! has none of this, and belongs behind a proxy that has.

mod bridge;
mod gate;
mod head;
mod pulse;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, mem};

use hyper::server::conn::Http;
use hyper::service::service_fn;
use rocket::config::{Config, Ident};
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, Shutdown};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub(crate) use self::bridge::Chunks;
use self::gate::{First, Gate};
use self::pulse::Pulse;
use crate::http::headers::Usual;

/// Connections that wait to be taken. Of a burst that is larger the system drops what is left, and some of those clients are never
/// told.
const BACKLOG: u32 = 4096;

/// How much of an answer, in bytes, the system keeps for a client that takes its time: it would keep megabytes, and call the
/// connection ready for more only once a third of that has been taken.
const UNSENT: u32 = 64 * 1024;

/// At the end, how long a connection is kept open for what its client still sends.
const LEAVE: Duration = Duration::from_millis(500);

/// How long accepting rests after an error that is not about one connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How often such an error is said at most.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// Descriptors that connections leave to the store, the log and all else.
const RESERVED: u64 = 64;

/// How long a client may keep the server waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the whole of a request's head, from its first byte; for the next piece of a long body, either way.
    pub request: Duration,
    /// For the first byte of a request.
    pub idle: Duration,
}

/// Makes the number of descriptors that the process may have as large as it may make it, and says how many connections
/// that is good for.
pub fn raise_descriptor_limit() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(cause = %error, "the limit of open files could not be raised");
        1024
    });
    let connections = limit.saturating_sub(RESERVED).max(limit / 2).max(1);
    usize::try_from(connections)
        .unwrap_or(usize::MAX)
        .min(Semaphore::MAX_PERMITS)
}

/// Listens on `address`.
///
/// # Errors
/// If that is refused.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As everywhere: the port of a process that has just ended is free. On Windows it would be anybody's.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Those that are accepted have it from here.
    socket.set_send_buffer_size(UNSENT)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `told_to_end`, `ready` being called once it begins to: then takes no more connections, and gives requests that are under way `grace` to be
/// answered. Whether all were.
///
/// # Errors
/// If Rocket cannot be started.
pub async fn serve(
    listener: TcpListener,
    rocket: Rocket<Build>,
    connections: usize,
    patience: Patience,
    ready: impl FnOnce(),
    told_to_end: impl Future<Output = ()>,
) -> Result<bool, Box<rocket::Error>> {
    let site = Site::of(rocket).await?;
    ready();
    let config = &site.client.rocket().config().shutdown;
    let grace = Duration::from_secs(u64::from(config.grace) + u64::from(config.mercy));
    let shutdown = site.client.rocket().shutdown();
    let (open, mut closed) = mpsc::channel::<()>(1);
    let site = Arc::new(site);
    let server = Server {
        site: Arc::clone(&site),
        patience,
        shutdown: shutdown.clone(),
        _open: open,
    };
    tokio::select! {
        () = server.accept(listener, connections) => {}
        () = told_to_end => {}
    }
    site.ending.store(true, Ordering::Relaxed);
    shutdown.notify();
    drop(server);
    Ok(tokio::time::timeout(grace, closed.recv()).await.is_ok())
}

/// What answers.
struct Site {
    client: Client,
    usual: Usual,
    /// Whether each answer is the last on its connection.
    ending: AtomicBool,
}

impl Site {
    async fn of(rocket: Rocket<Build>) -> Result<Self, rocket::Error> {
        // Rocket would look for it in each answer, and put it in.
        let ident = rocket
            .figment()
            .extract_inner::<Ident>(Config::IDENT)
            .unwrap_or_default();
        let server = ident.as_str().and_then(|ident| ident.parse().ok());
        let silent = rocket.figment().clone().merge((Config::IDENT, false));
        Ok(Self {
            client: Client::untracked(rocket.configure(silent)).await?,
            usual: Usual::with(server),
            ending: AtomicBool::new(false),
        })
    }
}

#[derive(Clone)]
struct Server {
    site: Arc<Site>,
    patience: Patience,
    shutdown: Shutdown,
    /// Closed when the last connection is.
    _open: mpsc::Sender<()>,
}

impl Server {
    /// Takes connections for ever, and at most `most` at once: others wait until there is room, and nothing else of the
    /// process runs out of descriptors because of them.
    async fn accept(&self, listener: TcpListener, most: usize) {
        let room = Arc::new(Semaphore::new(most));
        let mut said = None::<Instant>;
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(self.clone().converse(stream, peer, permit));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                        tracing::warn!(cause = %error, "no connection can be taken at this moment");
                        said = Some(Instant::now());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Serves one connection, until either side has enough of it.
    async fn converse(mut self, stream: TcpStream, peer: SocketAddr, _room: OwnedSemaphorePermit) {
        // Without it, answers are late and nothing is wrong.
        let _ = stream.set_nodelay(true);
        let pulse = Arc::new(Pulse::new());
        let mut gate = Gate::new(stream, Arc::clone(&pulse));
        let first = tokio::select! {
            biased;
            first = gate.first_request(self.patience) => first,
            // What has a head is under way.
            () = &mut self.shutdown => gate.rest_of_first(self.patience).await,
        };
        if first != First::Nothing {
            // On the heap, so that those that never get here do without.
            Box::pin(self.answer_all(gate, peer, pulse, first)).await;
        }
    }

    /// Answers what comes through the gate.
    async fn answer_all(mut self, gate: Gate, peer: SocketAddr, pulse: Arc<Pulse>, first: First) {
        let patience = self.patience;
        let mut late = first == First::Late;
        let service = service_fn(|request| {
            let site = Arc::clone(&self.site);
            bridge::answer(
                site,
                peer,
                pulse.busy(),
                patience.request,
                mem::take(&mut late),
                request,
            )
        });
        let mut connection = Http::new()
            .http1_only(true)
            .max_buf_size(head::MAX_LEN)
            // Whoever has said all that it has to say gets its answer; and hyper looks for no end while it waits for one,
            // for which it would take 8 KiB more.
            .http1_half_close(true)
            .serve_connection(gate, service);
        let mut too_long = pin!(pulse.outlasts(patience));
        let mut ending = false;
        loop {
            tokio::select! {
                // Both ends of it are the client's: an error is no news to anybody.
                _ = poll_fn(|context| connection.poll_without_shutdown(context)) => break,
                () = &mut too_long => return,
                () = &mut self.shutdown, if !ending => {
                    ending = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
        let gate = connection.into_parts().io;
        let ends = async {
            if !ending {
                self.shutdown.await;
            }
            tokio::time::sleep(LEAVE).await;
        };
        tokio::select! {
            () = gate.leave() => {}
            () = tokio::time::sleep(patience.request) => {}
            () = ends => {}
        }
    }
}

/// Whether the next connection can be taken at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
