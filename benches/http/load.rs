//! The load: connections that are kept alive, each of which asks again as soon as it has its answer. As little HTTP as
//! that takes.

use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::ROUND;
use crate::process::Server;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the next request of the body of the last answer; `None` if there is nothing more to ask.
type Next = Box<dyn FnMut(&str) -> Option<Vec<u8>> + Send>;

/// One connection's part of the load.
pub(crate) struct Caller {
    request: Vec<u8>,
    /// Where there is none the request stays.
    next: Option<Next>,
}

impl Caller {
    /// Always asks the same.
    pub(crate) const fn repeating(request: Vec<u8>) -> Self {
        Self { request, next: None }
    }

    /// Exchanges the refresh token of each answer, of which this is the first.
    pub(crate) fn refreshing(answer: &str) -> Self {
        Self {
            request: refresh(answer),
            next: Some(Box::new(|answer| Some(refresh(answer)))),
        }
    }

    /// Asks one after the other.
    ///
    /// # Panics
    /// If there is not one.
    pub(crate) fn asking(mut requests: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self {
            request: requests.next().expect("there is a first request"),
            next: Some(Box::new(move |_| requests.next())),
        }
    }
}

/// What came of a round.
pub(crate) struct Load {
    latencies: Vec<Duration>,
    elapsed: Duration,
    processor: Duration,
}

impl Load {
    /// Answers a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that so many of a hundred answers were within, in microseconds.
    pub(crate) fn micros(&self, percent: usize) -> f64 {
        self.latencies[self.latencies.len() * percent / 100].as_secs_f64() * 1e6
    }

    /// What an answer cost the server, in microseconds of processor time.
    pub(crate) fn processor_micros(&self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / self.latencies.len() as f64
    }
}

/// `GET path`.
pub(crate) fn get(path: &str, bearer: Option<&str>) -> Vec<u8> {
    let credentials = bearer.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{credentials}\r\n").into_bytes()
}

/// A sign-in; name and password are of characters that need no encoding but the space.
pub(crate) fn sign_in(username: &str, password: &str) -> Vec<u8> {
    let password = password.replace(' ', "+");
    post(
        "/shild",
        "application/x-www-form-urlencoded",
        &format!("grant_type=password&username={username}&password={password}"),
    )
}

fn refresh(answer: &str) -> Vec<u8> {
    let form = format!(
        "grant_type=refresh_token&refresh_token={}",
        member(answer, "refresh_token")
    );
    post("/shild", "application/x-www-form-urlencoded", &form)
}

/// A registration; name and password are of characters that JSON takes as they are.
pub(crate) fn register(username: &str, password: &str) -> Vec<u8> {
    let body = format!(r#"{{"username":"{username}","password":"{password}"}}"#);
    post("/register", "application/json", &body)
}

fn post(path: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn member(json: &str, name: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("the answer is JSON");
    value[name].as_str().expect("the answer has it").to_owned()
}

/// Asks from one thread, whatever the number of connections.
pub(crate) struct Client(Runtime);

impl Client {
    pub(crate) fn new() -> Self {
        Self(
            Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime starts"),
        )
    }

    /// Waits until the server answers.
    pub(crate) fn wait_for(&self, server: &Server) {
        let request = get("/healthz", None);
        while self.0.block_on(ask_once(server, &request)).is_err() {
            assert!(server.started.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// The body of one answer.
    pub(crate) fn ask(&self, server: &Server, request: &[u8]) -> String {
        self.0
            .block_on(ask_once(server, request))
            .unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(request)))
    }

    pub(crate) fn register(&self, server: &Server, username: &str, password: &str) {
        self.ask(server, &register(username, password));
    }

    /// An access token.
    pub(crate) fn bearer(&self, server: &Server, username: &str, password: &str) -> String {
        member(&self.ask(server, &sign_in(username, password)), "access_token")
    }

    /// One round with a connection for each caller; gives the callers back as the round left them.
    pub(crate) fn round(&self, server: &Server, callers: Vec<Caller>) -> (Load, Vec<Caller>) {
        self.load(server, callers, ROUND)
    }

    /// As long a round as it takes until no caller has anything more to ask, or as is given.
    pub(crate) fn load(&self, server: &Server, callers: Vec<Caller>, at_most: Duration) -> (Load, Vec<Caller>) {
        self.0.block_on(async {
            let mut connections = JoinSet::new();
            let processor = server.processor_time();
            let start = Instant::now();
            for caller in callers {
                connections.spawn(call(server.address, caller, start + at_most));
            }
            let (mut latencies, mut callers) = (Vec::new(), Vec::new());
            while let Some(done) = connections.join_next().await {
                let (caller, seen) = done.expect("no task panics").expect("the server answers with success");
                latencies.extend(seen);
                callers.push(caller);
            }
            let elapsed = start.elapsed();
            let processor = server.processor_time().saturating_sub(processor);
            latencies.sort_unstable();
            let load = Load {
                latencies,
                elapsed,
                processor,
            };
            (load, callers)
        })
    }
}

async fn ask_once(server: &Server, request: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(server.address).await?;
    stream.write_all(request).await?;
    answer(&mut stream, &mut Vec::new()).await
}

async fn call(
    address: std::net::SocketAddr,
    mut caller: Caller,
    until: Instant,
) -> io::Result<(Caller, Vec<Duration>)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut latencies, mut buffer) = (Vec::new(), Vec::new());
    while Instant::now() < until {
        let asked = Instant::now();
        stream.write_all(&caller.request).await?;
        let body = answer(&mut stream, &mut buffer).await?;
        latencies.push(asked.elapsed());
        if let Some(next) = &mut caller.next {
            match next(&body) {
                Some(request) => caller.request = request,
                None => break,
            }
        }
    }
    Ok((caller, latencies))
}

/// Reads one answer and gives its body. An answer that is no success, or has no length, is an error.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<String> {
    const END: &[u8] = b"\r\n\r\n";
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head_len) = buffer.windows(END.len()).position(|window| window == END) else {
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..head_len]);
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok()).flatten()
        });
        let (true, Some(length)) = (head.starts_with("HTTP/1.1 2"), length) else {
            return Err(io::Error::other(head.into_owned()));
        };
        let body = head_len + END.len();
        if buffer.len() >= body + length {
            return Ok(String::from_utf8_lossy(&buffer[body..body + length]).into_owned());
        }
    }
}
