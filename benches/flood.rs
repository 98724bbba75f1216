//! What do others notice while thousands of clients hold connections open, or flood the sign-in?
//!
//! The release binary runs on a new sled store. A few clients ask `/user/me` at a steady pace, first alone, then while others
//! send a byte a second of a head, a byte a second of a body, or nothing at all, and then while more sign-ins come at once
//! than hashes can be made or wait. Everything is on the same cores, the load too, so what is to be believed are the ratios.
//!
//! Prints a table in Markdown. Short by default; `SHILD_FLOOD=long` takes 5,000 connections of each kind, and a minute and a half. Linux
//! only: memory is read from `/proc`.

#[path = "flood/client.rs"]
mod client;
#[path = "flood/server.rs"]
mod server;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::{Slow, Steady};
use server::Server;
use tokio::task::JoinSet;

/// Clients that ask `/user/me`, and how often each does.
const STEADY: usize = 8;
const PACE: Duration = Duration::from_millis(10);

/// How large it is.
struct Scale {
    /// Connections of each kind.
    connections: usize,
    /// How long each measurement takes.
    round: Duration,
    request_timeout: Duration,
    idle_timeout: Duration,
    /// Sign-ins at once: more than hash and wait.
    sign_ins: usize,
}

impl Scale {
    fn chosen() -> Self {
        let long = env::var("SHILD_FLOOD").is_ok_and(|scale| scale == "long");
        let seconds = Duration::from_secs;
        if long {
            Self {
                connections: 5_000,
                round: seconds(15),
                request_timeout: seconds(25),
                idle_timeout: seconds(30),
                sign_ins: 400,
            }
        } else {
            Self {
                connections: 300,
                round: seconds(2),
                request_timeout: seconds(4),
                idle_timeout: seconds(4),
                sign_ins: 400,
            }
        }
    }
}

fn main() {
    // `cargo bench` hands every program its own arguments; there is nothing to choose here.
    let scale = Scale::chosen();
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(measure(&scale));
}

async fn measure(scale: &Scale) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let server = Server::start(dir.path(), scale.request_timeout, scale.idle_timeout).await;
    let me = client::me(&server, "juliet").await;
    let steady = || Steady::run(server.address, &me, STEADY, PACE, scale.round);
    println!(
        "| measured | connections | p50 | p99 of `/user/me` | against alone | resident |\n|---|---|---|---|---|---|"
    );
    // Once to warm up.
    steady().await;
    let alone = steady().await;
    let row = |what: &str, connections: usize, seen: &Steady, resident: f64| {
        println!(
            "| {what} | {connections} | {:.2} ms | {:.2} ms | {:.1} | {resident:.0} MiB |",
            seen.millis(50),
            seen.millis(99),
            seen.millis(99) / alone.millis(99)
        );
    };
    row("alone", 0, &alone, server.resident_mib());

    for kind in [Slow::Head, Slow::Body, Slow::Nothing] {
        one_kind(scale, &server, &[kind], kind.name(), &row, &me).await;
    }
    one_kind(
        scale,
        &server,
        &[Slow::Head, Slow::Body, Slow::Nothing],
        "all of these",
        &row,
        &me,
    )
    .await;

    let (answers, refusals) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    for n in 0..scale.sign_ins {
        flood.spawn(client::sign_in_again_and_again(
            server.address,
            n,
            Arc::clone(&answers),
            Arc::clone(&refusals),
        ));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (seen, most) = tokio::join!(steady(), most_resident(&server, scale.round));
    row("sign-in flood", scale.sign_ins, &seen, most);
    flood.abort_all();
    while flood.join_next().await.is_some() {}
    println!(
        "\nOf the flood {} were answered, and {} got 503 with Retry-After.",
        answers.load(Ordering::Relaxed),
        refusals.load(Ordering::Relaxed)
    );
}

/// Measures while connections of these kinds are open, and then when they are cut.
async fn one_kind(
    scale: &Scale,
    server: &Server,
    kinds: &[Slow],
    name: &str,
    row: &impl Fn(&str, usize, &Steady, f64),
    me: &[u8],
) {
    let mut slow = JoinSet::new();
    let began = Instant::now();
    for n in 0..scale.connections * kinds.len() {
        slow.spawn(kinds[n % kinds.len()].hold(server.address));
        if n % 100 == 0 {
            // The server's backlog is not what is measured.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let connected = began.elapsed();
    let steady = Steady::run(server.address, me, STEADY, PACE, scale.round);
    let (seen, most) = tokio::join!(steady, most_resident(server, scale.round));
    row(name, slow.len(), &seen, most);
    let (mut first, mut last, mut cut) = (Duration::MAX, Duration::ZERO, 0);
    while let Some(held) = slow.join_next().await {
        let held = held.expect("no task panics").expect("the server takes the connection");
        (first, last, cut) = (first.min(held), last.max(held), cut + 1);
    }
    println!(
        "| … cut after | {cut} | {:.1} s | {:.1} s | opened in {:.1} s | {:.0} MiB |",
        first.as_secs_f64(),
        last.as_secs_f64(),
        connected.as_secs_f64(),
        server.resident_mib()
    );
}

/// The most memory that the server has meanwhile, in MiB.
async fn most_resident(server: &Server, round: Duration) -> f64 {
    let until = Instant::now() + round;
    let mut most = server.resident_mib();
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(server.resident_mib());
    }
    most
}
