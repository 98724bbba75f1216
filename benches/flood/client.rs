//! Those who ask at a steady pace, those who hold on to connections, and those who flood. As little HTTP as that takes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::server::Server;

const PASSWORD: &str = "violet gravel monsoon";

/// What the steady clients saw.
pub(crate) struct Steady(Vec<Duration>);

impl Steady {
    /// `count` clients ask this every `pace`, for as long as `round`.
    pub(crate) async fn run(
        address: SocketAddr,
        request: &[u8],
        count: usize,
        pace: Duration,
        round: Duration,
    ) -> Self {
        let until = Instant::now() + round;
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let request = request.to_vec();
            clients.spawn(async move {
                let mut stream = connect(address).await?;
                let mut ticks = tokio::time::interval(pace);
                let mut seen = Vec::new();
                while Instant::now() < until {
                    ticks.tick().await;
                    let asked = Instant::now();
                    stream.write_all(&request).await?;
                    let (status, _) = answer(&mut stream).await?;
                    assert_eq!(status, 200);
                    seen.push(asked.elapsed());
                }
                Ok::<_, io::Error>(seen)
            });
        }
        let mut all = Vec::new();
        while let Some(seen) = clients.join_next().await {
            all.extend(seen.expect("no task panics").expect("others are served"));
        }
        all.sort_unstable();
        Self(all)
    }

    /// The latency that so many of a hundred answers were within.
    pub(crate) fn millis(&self, percent: usize) -> f64 {
        self.0[self.0.len() * percent / 100].as_secs_f64() * 1000.0
    }
}

/// How a client holds on to its connection.
#[derive(Clone, Copy)]
pub(crate) enum Slow {
    /// A byte a second of a head.
    Head,
    /// A byte a second of a body.
    Body,
    Nothing,
}

impl Slow {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Head => "a byte a second of a head",
            Self::Body => "a byte a second of a body",
            Self::Nothing => "nothing sent",
        }
    }

    /// Holds on until the server has enough, and says how long that took.
    pub(crate) async fn hold(self, address: SocketAddr) -> io::Result<Duration> {
        let mut stream = connect(address).await?;
        let began = Instant::now();
        let start = match self {
            Self::Head => "GET / HTTP/1.1\r\nHost: a\r\nX: ",
            Self::Body => {
                "POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8000\r\n\r\n"
            }
            Self::Nothing => "",
        };
        stream.write_all(start.as_bytes()).await?;
        let (mut reader, mut writer) = stream.split();
        let trickle = async {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                if matches!(self, Self::Nothing) {
                    continue;
                }
                if writer.write_all(b"a").await.is_err() {
                    return;
                }
            }
        };
        let mut rest = [0; 1024];
        let end = async { while reader.read(&mut rest).await.is_ok_and(|n| n > 0) {} };
        tokio::select! {
            () = trickle => {}
            () = end => {}
        }
        Ok(began.elapsed())
    }
}

/// Registers somebody and gives the request for `/user/me`.
pub(crate) async fn me(server: &Server, name: &str) -> Vec<u8> {
    let body = format!(r#"{{"username":"{name}","password":"{PASSWORD}"}}"#);
    let mut stream = connect(server.address).await.expect("it listens");
    stream
        .write_all(&post("/register", "application/json", &body))
        .await
        .expect("it reads");
    assert_eq!(answer(&mut stream).await.expect("it answers").0, 201);
    stream.write_all(&sign_in(name)).await.expect("it reads");
    let (_, answer) = answer(&mut stream).await.expect("it answers");
    let body = answer.split_once("\r\n\r\n").expect("there is a body").1;
    let tokens: Value = serde_json::from_str(body).expect("it is JSON");
    let token = tokens["access_token"].as_str().expect("there is a token");
    format!("GET /user/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Signs in as one who does not exist, without end: each attempt costs a hash.
pub(crate) async fn sign_in_again_and_again(
    address: SocketAddr,
    number: usize,
    answers: Arc<AtomicUsize>,
    refusals: Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut stream = connect(address).await?;
    let request = sign_in(&format!("nobody{number}"));
    loop {
        stream.write_all(&request).await?;
        let (status, answer) = answer(&mut stream).await?;
        answers.fetch_add(1, Ordering::Relaxed);
        if status == 503 {
            assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: "), "{answer}");
            refusals.fetch_add(1, Ordering::Relaxed);
            // As impatient as it may be, a client has to look at the answer.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn sign_in(name: &str) -> Vec<u8> {
    let password = PASSWORD.replace(' ', "+");
    let form = format!("grant_type=password&username={name}&password={password}");
    post("/shild", "application/x-www-form-urlencoded", &form)
}

fn post(path: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Reads one answer: its status, and all of it.
async fn answer(stream: &mut TcpStream) -> io::Result<(u16, String)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut buffer = Vec::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = buffer.windows(END.len()).position(|window| window == END) else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..head]);
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok()).flatten()
        });
        let length = length.unwrap_or(0);
        if buffer.len() >= head + END.len() + length {
            let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
            return Ok((status, String::from_utf8_lossy(&buffer).into_owned()));
        }
    }
}
