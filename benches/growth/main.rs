//! What becomes of speed and memory as the number of users grows?
//!
//! `cargo bench --bench growth [-- SIZE… --store=NAME… --sign-ins=N --plot=FILE --hashing]`; the README's figures are of `1000
//! 10000 100000 1000000 --sign-ins=100000 --plot=benches/growth.svg`, and of `1000 1000000 --sign-ins=0 --hashing`. For each
//! store and size the release binary imports that many users and serves them. Hashes cost next to nothing, for they would hide
//! the rest, unless they are asked for: then they cost what they do by default. The servers of all sizes run side by side and
//! are loaded in turns, and each rate is the median of the rounds, so that a machine that is slow for a while is slow for all
//! of them: believe the ratios. The load comes from this process, on the same cores.
//!
//! Prints a table in Markdown, and draws a plot if it is told where. Linux only: memory is read from `/proc`.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of a round are far below 2^52"
)]

#[path = "../http/load.rs"]
#[expect(dead_code, reason = "another benchmark uses more of it")]
mod load;
mod plot;
#[path = "../http/process.rs"]
#[expect(dead_code, reason = "another benchmark uses more of it")]
mod process;
mod users;

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use load::{Caller, Client};
use plot::{Line, Panel};
use process::Server;
use tempfile::TempDir;
use users::{ADMIN, PASSWORD};

/// How many rounds there are of each rate, and how long a round is, without and with hashes.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(1);
const ROUND_OF_HASHES: Duration = Duration::from_secs(4);

/// Connections at once.
const CONNECTIONS: u64 = 64;

/// How many sessions of different users each connection of `/user/me` goes through.
const SESSIONS_EACH: u64 = 8;

/// How often each server is started.
const STARTS: usize = 5;

/// Long enough for whatever is counted and not timed.
const NO_HURRY: Duration = Duration::from_secs(24 * 60 * 60);

const RATES: [&str; 3] = ["/user/me", "sign-in", "register"];

struct Arguments {
    sizes: Vec<u64>,
    stores: Vec<String>,
    hashing: bool,
    sign_ins: u64,
    plot: Option<String>,
}

impl Arguments {
    fn read() -> Self {
        let all: Vec<String> = env::args().skip(1).collect();
        let named = |name: &str| {
            let values = all.iter().filter_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
            values.map(str::to_owned).collect::<Vec<_>>()
        };
        let or = |given: Vec<u64>, default: &[u64]| if given.is_empty() { default.to_vec() } else { given };
        let stores = named("--store");
        Self {
            sizes: or(
                all.iter().filter_map(|arg| arg.parse().ok()).collect(),
                &[1_000, 10_000],
            ),
            stores: if stores.is_empty() {
                vec!["sled".to_owned()]
            } else {
                stores
            },
            hashing: all.iter().any(|arg| arg == "--hashing"),
            sign_ins: named("--sign-ins").pop().and_then(|n| n.parse().ok()).unwrap_or(10_000),
            plot: named("--plot").pop(),
        }
    }

    const fn subject<'a>(&self, store: &'a str) -> Subject<'a> {
        Subject {
            store,
            hashing: self.hashing,
        }
    }
}

/// What is measured.
#[derive(Clone, Copy)]
struct Subject<'a> {
    store: &'a str,
    /// Whether hashes cost what they do by default.
    hashing: bool,
}

/// What was measured of one store with so many users.
struct Measured {
    users: u64,
    /// Milliseconds from the start to the first answer, after a stop and after a kill.
    start: f64,
    start_after_kill: f64,
    /// MiB after as many random look-ups as there are users.
    resident: f64,
    /// A second, in the order of [`RATES`].
    rates: [f64; 3],
}

fn main() {
    let arguments = Arguments::read();
    let client = Client::new();
    println!(
        "| store | users | start to first answer | after kill -9 | resident after as many look-ups | {} |",
        RATES.join(" | ")
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut lines = Vec::new();
    for store in &arguments.stores {
        let subject = arguments.subject(store);
        let measured = measure(&client, subject, &arguments.sizes);
        let least = measured[0].rates;
        for Measured {
            users,
            start,
            start_after_kill,
            resident,
            rates,
        } in &measured
        {
            let rates = rates
                .iter()
                .zip(least)
                .map(|(rate, least)| format!("{rate:.0}/s ({:.2})", rate / least));
            let rates = rates.collect::<Vec<_>>().join(" | ");
            println!("| {store} | {users} | {start:.0} ms | {start_after_kill:.0} ms | {resident:.0} MiB | {rates} |");
        }
        lines.push((store.clone(), measured));
    }
    for store in arguments.stores.iter().filter(|_| arguments.sign_ins > 0) {
        let subject = arguments.subject(store);
        let [few, many] = after_sign_ins(&client, subject, arguments.sign_ins);
        let ratio = many / few;
        println!(
            "\n{store}: resident after 1000 sign-ins {few:.1} MiB, after {} {many:.1} MiB: {ratio:.2}",
            arguments.sign_ins
        );
    }
    if let Some(path) = &arguments.plot {
        std::fs::write(path, plot::svg(&panels(&lines))).expect("the plot can be written");
    }
}

fn measure(client: &Client, subject: Subject<'_>, sizes: &[u64]) -> Vec<Measured> {
    let homes: Vec<TempDir> = sizes.iter().map(|size| with_users(subject, *size)).collect();
    let starts = homes
        .iter()
        .map(|home| starts(client, home.path(), subject))
        .collect::<Vec<_>>();
    let servers: Vec<Server> = homes.iter().map(|home| start(client, home.path(), subject)).collect();
    let resident: Vec<f64> = servers
        .iter()
        .zip(sizes)
        .map(|(server, size)| look_up(client, server, *size))
        .collect();
    let round = if subject.hashing { ROUND_OF_HASHES } else { ROUND };
    let rates = rates(client, &servers, sizes, round);
    (0..sizes.len())
        .map(|index| Measured {
            users: sizes[index],
            start: starts[index].0,
            start_after_kill: starts[index].1,
            resident: resident[index],
            rates: rates[index],
        })
        .collect()
}

/// A directory with a store of so many users.
fn with_users(subject: Subject<'_>, users: u64) -> TempDir {
    let home = tempfile::tempdir().expect("a directory can be made");
    let file = home.path().join("users.ndjson");
    users::write(&file, users, subject.hashing).expect("the users can be written");
    let imported = Command::new(env!("CARGO_BIN_EXE_shild"))
        .args(["--data-dir", "data", "import", "users.ndjson"])
        .current_dir(home.path())
        .env_clear()
        .envs(settings(subject))
        .stdout(Stdio::null())
        .status();
    assert!(imported.is_ok_and(|status| status.success()), "the import failed");
    std::fs::remove_file(file).expect("it is there");
    home
}

fn settings(subject: Subject<'_>) -> Vec<(&str, &str)> {
    let cheap = [
        ("SHILD_PASSWORD__ARGON2__MEMORY_KIB", "8"),
        ("SHILD_PASSWORD__ARGON2__ITERATIONS", "1"),
    ];
    let cheap = cheap.into_iter().filter(|_| !subject.hashing);
    [("SHILD_STORE", subject.store)].into_iter().chain(cheap).collect()
}

fn start(client: &Client, home: &Path, subject: Subject<'_>) -> Server {
    let server = Server::shild_with(home, &settings(subject));
    client.wait_for(&server);
    server
}

/// Medians after a stop and after a kill.
fn starts(client: &Client, home: &Path, subject: Subject<'_>) -> (f64, f64) {
    let started = |server: &Server| server.started.elapsed().as_secs_f64() * 1e3;
    let (mut after_stop, mut after_kill) = (Vec::new(), Vec::new());
    start(client, home, subject).stop();
    for _ in 0..STARTS {
        let server = start(client, home, subject);
        after_stop.push(started(&server));
        drop(server);
        let server = start(client, home, subject);
        after_kill.push(started(&server));
        server.stop();
    }
    (median(after_stop), median(after_kill))
}

/// Has an administrator look up as many random users as there are; the memory after it.
fn look_up(client: &Client, server: &Server, users: u64) -> f64 {
    let bearer = client.bearer(server, ADMIN, PASSWORD);
    let callers = (0..CONNECTIONS).map(|connection| {
        let bearer = bearer.clone();
        let numbers = (0..users.div_ceil(CONNECTIONS)).map(move |n| users::any(users, n * CONNECTIONS + connection));
        Caller::asking(numbers.map(move |number| load::get(&format!("/users/{}", users::id(number)), Some(&bearer))))
    });
    client.load(server, callers.collect(), NO_HURRY);
    server.resident_mib()
}

/// For each server the median of each rate.
fn rates(client: &Client, servers: &[Server], sizes: &[u64], length: Duration) -> Vec<[f64; 3]> {
    let sessions: Vec<Vec<String>> = servers
        .iter()
        .zip(sizes)
        .map(|(server, size)| {
            let names = (0..CONNECTIONS * SESSIONS_EACH).map(|n| users::name(users::any(*size, n)));
            names.map(|name| client.bearer(server, &name, PASSWORD)).collect()
        })
        .collect();
    let mut seen = vec![[const { Vec::new() }; 3]; servers.len()];
    for round in 0..ROUNDS as u64 {
        for (rate, what) in RATES.into_iter().enumerate() {
            for (index, server) in servers.iter().enumerate() {
                let callers =
                    (0..CONNECTIONS).map(|connection| caller(what, round, connection, sizes[index], &sessions[index]));
                let (load, _) = client.load(server, callers.collect(), length);
                seen[index][rate].push(load.per_second());
            }
        }
    }
    seen.into_iter().map(|rates| rates.map(median)).collect()
}

/// One connection's part of a round; no two of them register the same name.
fn caller(what: &str, round: u64, connection: u64, users: u64, sessions: &[String]) -> Caller {
    let numbers = (0..).map(move |n| (round << 48) + (connection << 40) + n);
    match what {
        "/user/me" => {
            let mine = sessions
                .iter()
                .skip(usize::try_from(connection * SESSIONS_EACH).expect("a few hundred"));
            let mine: Vec<_> = mine.map(|bearer| load::get("/user/me", Some(bearer))).take(8).collect();
            Caller::asking(mine.into_iter().cycle())
        }
        "sign-in" => Caller::asking(numbers.map(move |n| load::sign_in(&users::name(users::any(users, n)), PASSWORD))),
        _ => Caller::asking(numbers.map(|n| load::register(&format!("new{n:016x}"), PASSWORD))),
    }
}

/// Resident memory after 1000 and after so many sign-ins of a thousand users.
fn after_sign_ins(client: &Client, subject: Subject<'_>, sign_ins: u64) -> [f64; 2] {
    let home = with_users(subject, 1_000);
    let server = start(client, home.path(), subject);
    let sign_in = |first: u64, last: u64| {
        let callers = (0..CONNECTIONS).map(|connection| {
            let numbers = (first..last)
                .skip(usize::try_from(connection).expect("a few"))
                .step_by(64);
            Caller::asking(numbers.map(|n| load::sign_in(&users::name(users::any(1_000, n)), PASSWORD)))
        });
        client.load(&server, callers.collect(), NO_HURRY);
        server.resident_mib()
    };
    [sign_in(0, 1_000), sign_in(1_000, sign_ins)]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What is drawn of it: a panel for each question, a line for each store.
fn panels(measured: &[(String, Vec<Measured>)]) -> Vec<Panel> {
    let panel = |title: &str, value: &dyn Fn(&Measured, &Measured) -> f64| Panel {
        title: title.to_owned(),
        lines: measured
            .iter()
            .map(|(store, sizes)| Line {
                name: store.clone(),
                points: sizes.iter().map(|size| (size.users, value(size, &sizes[0]))).collect(),
            })
            .collect(),
    };
    let mut panels = vec![
        panel("start to first answer, ms", &|size, _| size.start),
        panel("resident after look-ups, MiB", &|size, _| size.resident),
    ];
    for (rate, name) in RATES.iter().enumerate() {
        let title = format!("{name}, rate against the fewest users'");
        panels.push(panel(&title, &|size, least| size.rates[rate] / least.rates[rate]));
    }
    panels
}
