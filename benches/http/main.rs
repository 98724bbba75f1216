//! What does shild cost over HTTP, next to a Rocket that does nothing and an Argon2id that does nothing else?
//!
//! The release binary runs on a new sled store with its default settings, but for the throttle, which would be all that
//! is measured. What it is compared with runs in processes of its own, and the two are loaded in turns, so that a
//! machine that is slow for a while is slow for both; each ratio is the median over the pairs of rounds. The load comes
//! from this process, on the same cores: it adds the same to both sides. What a request costs the server alone is
//! therefore shown as well, in processor time, which the kernel counts for each process.
//!
//! Prints a table in Markdown. Linux only: processor time and memory are read from `/proc`.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of a round are far below 2^52"
)]

mod argon2id;
mod guest;
#[expect(dead_code, reason = "another benchmark uses more of it")]
mod load;
#[expect(dead_code, reason = "another benchmark uses more of it")]
mod process;
mod table;

use std::env;
use std::time::Duration;

use load::{Caller, Client, Load};
use process::Server;
use table::{Layers, Pairs, Table};

const USERNAME: &str = "juliet";
const PASSWORD: &str = "violet gravel monsoon";

/// Pairs of rounds, and how long a round is.
const PAIRS: usize = 11;
const ROUND: Duration = Duration::from_millis(1500);

/// As long as it takes for what is still under way at its end not to count.
const ROUND_OF_SIGN_INS: Duration = Duration::from_secs(5);

/// Connections of ordinary requests, and of sign-ins.
const MANY: usize = 64;
const SIGN_INS: usize = 8;

/// Starts on an empty directory.
const STARTS: usize = 10;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", port, body] => guest::serve_bare(port, body),
        ["guest", port, dir, body] => guest::serve_guest(port, dir, body),
        _ => measure(),
    }
}

fn measure() {
    let client = Client::new();
    let mut table = Table::default();

    let starts = starts(&client);
    let dir = tempfile::tempdir().expect("a directory can be made");
    let shild = Server::shild(dir.path());
    client.wait_for(&shild);
    let idle = shild.resident_mib();

    client.register(&shild, USERNAME, PASSWORD);
    let bearer = client.bearer(&shild, USERNAME, PASSWORD);
    let me = load::get("/user/me", Some(&bearer));
    let body = client.ask(&shild, &me);
    let bare = Server::bare(&body);
    client.wait_for(&bare);

    let requests = pairs(
        || client.round(&shild, same(&me, MANY)).0,
        || client.round(&bare, same(&load::get("/", None), MANY)).0,
    );
    table.compare(
        "`/user/me`, requests/s",
        "bare Rocket route",
        "≥ 0.90",
        &requests.map(Load::per_second),
    );
    table.compare(
        "`/user/me`, p50 in µs",
        "bare Rocket route",
        "",
        &requests.map(|load| load.micros(50)),
    );
    table.compare(
        "`/user/me`, p99 in µs",
        "bare Rocket route",
        "",
        &requests.map(|load| load.micros(99)),
    );
    table.compare(
        "`/user/me`, processor µs a request",
        "bare Rocket route",
        "",
        &requests.map(Load::processor_micros),
    );
    drop(bare);
    let layers = layers(&client, &shild, &me, &body);

    let sign_in = load::sign_in(USERNAME, PASSWORD);
    let hashes = pairs(
        || {
            let (load, _) = client.load(&shild, same(&sign_in, SIGN_INS), ROUND_OF_SIGN_INS);
            load.per_second()
        },
        || argon2id::hashes_per_second(ROUND_OF_SIGN_INS),
    );
    table.compare(
        "sign-ins/s, 8 connections",
        "bare Argon2id hashes/s, all cores",
        "≥ 0.97",
        &hashes,
    );

    table.plain("refreshes/s, 64 clients", &refreshes(&client, &shild));
    table.plain("start to first answer in ms, empty store", &starts);
    table.plain("resident memory idle in MiB", &[idle]);
    table.plain("resident memory after all this in MiB", &[shild.resident_mib()]);
    table.plain("size of the binary in MiB", &[process::binary_mib()]);
    println!("{table}");
    println!("{layers}");
}

/// Rounds in turns, the second first in every other pair.
fn pairs<T>(mut ours: impl FnMut() -> T, mut theirs: impl FnMut() -> T) -> Pairs<T> {
    let pair = |number: usize| {
        if number.is_multiple_of(2) {
            let first = ours();
            (first, theirs())
        } else {
            let first = theirs();
            (ours(), first)
        }
    };
    Pairs((0..PAIRS).map(pair).collect())
}

/// Callers that repeat one request.
fn same(request: &[u8], count: usize) -> Vec<Caller> {
    (0..count).map(|_| Caller::repeating(request.to_vec())).collect()
}

/// Milliseconds from the start of the process to its first answer.
fn starts(client: &Client) -> Vec<f64> {
    let start = |_| {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let server = Server::shild(dir.path());
        client.wait_for(&server);
        server.started.elapsed().as_secs_f64() * 1e3
    };
    (0..STARTS).map(start).collect()
}

/// What each layer of a request costs: the same answer behind more and more of what shild does, round by round in turns.
fn layers(client: &Client, shild: &Server, me: &[u8], body: &str) -> Layers {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let guest = Server::guest(dir.path(), body);
    client.wait_for(&guest);
    client.register(&guest, USERNAME, PASSWORD);
    let user = client.bearer(&guest, USERNAME, PASSWORD);
    let token = client.ask(&guest, &load::get("/token", None));
    let layers = [
        ("a bare Rocket route", &guest, load::get("/", None)),
        (
            "+ the token: found among those verified, times checked",
            &guest,
            load::get("/layer/token", Some(&token)),
        ),
        (
            "+ the session, from the store",
            &guest,
            load::get("/layer/session", Some(&token)),
        ),
        (
            "+ the user, from the store: all of the guard",
            &guest,
            load::get("/layer/user", Some(&user)),
        ),
        (
            "+ JSON, headers, log line and limits: `/user/me` of `shild serve`",
            shild,
            me.to_vec(),
        ),
    ];
    let mut rounds = vec![Vec::new(); layers.len()];
    for _ in 0..PAIRS {
        for ((_, server, request), loads) in layers.iter().zip(&mut rounds) {
            let load = client.round(server, same(request, MANY)).0;
            loads.push((load.per_second(), load.processor_micros()));
        }
    }
    Layers(layers.map(|(name, ..)| name).into_iter().zip(rounds).collect())
}

/// Each client has a session of its own and uses the refresh token that it got last.
fn refreshes(client: &Client, shild: &Server) -> Vec<f64> {
    let mut callers: Vec<_> = (0..MANY)
        .map(|_| Caller::refreshing(&client.ask(shild, &load::sign_in(USERNAME, PASSWORD))))
        .collect();
    let round = |_| {
        let (load, kept) = client.round(shild, std::mem::take(&mut callers));
        callers = kept;
        load.per_second()
    };
    (0..PAIRS).map(round).collect()
}
