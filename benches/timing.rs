//! Can a stranger with a clock tell who has an account?
//!
//! Asks the binary, over loopback, one request at a time, with nothing between it and the clock: sign-ins that are all refused
//! with the same words (requirement T6), and registrations. The classes take turns in random order, so that a machine that
//! is slow for a while is slow for all of them. For each two of them it prints how often the slower of two requests,
//! one from each class, is of the one that is slower on the whole: the area under the ROC curve. 0.5 says that time
//! tells nothing; with 2,000 requests a class, chance alone stays below 0.53.
//!
//! `cargo bench --bench timing -- [REQUESTS] [DIRECTORY]`: how many requests a class (2000), and where the data is put. A
//! directory in memory, such as /dev/shm, leaves out the waiting for the disk, which may hide something. What should not be
//! told apart and is, above 0.55, makes it fail. That a free name can be told from a taken one by the answer itself is
//! said in the README (D5); their times are shown all the same.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of a request are far below 2^52"
)]

#[path = "../tests/server/mod.rs"]
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use server::{PASSWORD, Server};

const WRONG: &str = "violet-harbour-6-quilt";

/// Refused for what it is, whoever asks.
const WEAK: &str = "password1234";

/// An account is locked after so many failures here, so that it takes few to make one.
const LOCKED_AFTER: usize = 5;

/// So many of them a name can have without being held back.
const TRIES: usize = LOCKED_AFTER - 1;

/// Requests before the first one that counts.
const WARM_UP: usize = 300;

/// What two classes of sign-ins may differ by.
const AIM: f64 = 0.55;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    WrongPassword,
    Unknown,
    Locked,
    Disabled,
    RegisterFree,
    RegisterTaken,
    RefusedFree,
    RefusedTaken,
}

use Class::{Disabled, Locked, RefusedFree, RefusedTaken, RegisterFree, RegisterTaken, Unknown, WrongPassword};

/// All of them, with what they are called in the table.
const CLASSES: [(Class, &str); 8] = [
    (WrongPassword, "sign-in: wrong password"),
    (Unknown, "sign-in: unknown name"),
    (Locked, "sign-in: locked, right password"),
    (Disabled, "sign-in: disabled, right password"),
    (RegisterFree, "register: free name"),
    (RegisterTaken, "register: taken name"),
    (RefusedFree, "register: free name, weak password"),
    (RefusedTaken, "register: taken name, weak password"),
];

/// What is compared, and whether it must not be told apart.
const PAIRS: [(Class, Class, bool); 8] = [
    (WrongPassword, Unknown, true),
    (WrongPassword, Locked, true),
    (WrongPassword, Disabled, true),
    (Unknown, Locked, true),
    (Unknown, Disabled, true),
    (Locked, Disabled, true),
    (RefusedFree, RefusedTaken, true),
    (RegisterFree, RegisterTaken, false),
];

fn main() -> ExitCode {
    // `cargo bench` puts a word of its own behind the arguments.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let requests = arguments
        .next()
        .map_or(2000, |text| text.parse().expect("a number of requests"));
    let parent = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let home = tempfile::tempdir_in(&parent).expect("a directory can be made");
    let server = Subject::start(home.path());
    server.prepare(requests);
    let times = server.measure(requests);
    report(requests, &parent, &times)
}

/// The binary, with a hash that takes some milliseconds.
struct Subject {
    _server: Server,
    url: String,
    operator: String,
    agent: ureq::Agent,
}

impl Subject {
    fn start(home: &Path) -> Self {
        let settings = [
            ("SHILD_LOG_LEVEL", "warn"),
            ("SHILD_PASSWORD__ARGON2__MEMORY_KIB", "4096"),
            ("SHILD_THROTTLE__MAX_FAILURES", &LOCKED_AFTER.to_string()),
        ];
        let server = Server::start_with(home, &settings);
        let credentials = std::fs::read(home.join("data/operator.json")).expect("it lets the command line in");
        let credentials: Value = serde_json::from_slice(&credentials).expect("they are JSON");
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .new_agent();
        Self {
            url: server.url.clone(),
            operator: format!("Bearer {}", credentials["token"].as_str().expect("a token")),
            agent,
            _server: server,
        }
    }

    /// Makes the accounts: enough of those that are to be tried with a wrong password, and of each other kind.
    fn prepare(&self, requests: usize) {
        for number in 0..names(WrongPassword, requests) {
            self.create(&name(WrongPassword, number));
        }
        for number in 0..names(Disabled, requests) {
            let id = self.create(&name(Disabled, number));
            let request = self.agent.patch(format!("{}/users/{id}", self.url));
            let answer = request
                .header("Authorization", &self.operator)
                .send_json(json!({ "disabled": true }));
            assert_eq!(answer.expect("it answers").status(), 200);
        }
        for number in 0..names(Locked, requests) {
            let name = name(Locked, number);
            self.create(&name);
            for _ in 0..LOCKED_AFTER {
                assert_eq!(self.sign_in(&name, WRONG).0, 400);
            }
        }
        self.create(&name(RegisterTaken, 0));
    }

    /// The times of each class, in nanoseconds.
    fn measure(&self, requests: usize) -> BTreeMap<Class, Vec<f64>> {
        for number in 0..WARM_UP {
            self.sign_in(&format!("nobody{number:06}"), WRONG);
        }
        let mut turns: Vec<_> = CLASSES
            .iter()
            .flat_map(|(class, _)| (0..requests).map(|n| (*class, n)))
            .collect();
        shuffle(&mut turns);
        let mut times = BTreeMap::<_, Vec<_>>::new();
        for (class, number) in turns {
            let name = name(class, number % names(class, requests));
            let (status, nanoseconds) = match class {
                WrongPassword | Unknown => self.sign_in(&name, WRONG),
                Locked | Disabled => self.sign_in(&name, PASSWORD),
                RegisterFree | RegisterTaken => self.register(&name, PASSWORD),
                RefusedFree | RefusedTaken => self.register(&name, WEAK),
            };
            let expected = match class {
                WrongPassword | Unknown | Locked | Disabled => 400,
                RegisterFree => 201,
                RegisterTaken => 409,
                RefusedFree | RefusedTaken => 422,
            };
            assert_eq!(status, expected, "{class:?}");
            times.entry(class).or_default().push(nanoseconds);
        }
        times
    }

    fn create(&self, name: &str) -> String {
        let request = self.agent.post(format!("{}/users", self.url));
        let answer = request
            .header("Authorization", &self.operator)
            .send_json(json!({ "username": name, "password": PASSWORD }));
        let user: Value = answer.expect("it answers").body_mut().read_json().expect("a user");
        user["id"].as_str().expect("an id").to_owned()
    }

    fn sign_in(&self, name: &str, password: &str) -> (u16, f64) {
        let form = format!("grant_type=password&username={name}&password={password}");
        self.timed("/shild", "application/x-www-form-urlencoded", form)
    }

    fn register(&self, name: &str, password: &str) -> (u16, f64) {
        let body = json!({ "username": name, "password": password });
        self.timed("/register", "application/json", body.to_string())
    }

    /// Status, and nanoseconds up to the last byte of the answer.
    fn timed(&self, path: &str, content_type: &str, body: String) -> (u16, f64) {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("Content-Type", content_type);
        let begin = Instant::now();
        let mut answer = request.send(body).expect("it answers");
        let read = answer.body_mut().read_to_vec();
        let nanoseconds = begin.elapsed().as_nanos() as f64;
        read.expect("the answer can be read");
        (answer.status().as_u16(), nanoseconds)
    }
}

/// How many names the requests of a class are spread over. A wrong password may be tried a few times only before the account is
/// held back; a free name is free once.
fn names(class: Class, requests: usize) -> usize {
    match class {
        WrongPassword | Disabled => requests.div_ceil(TRIES),
        Unknown | RegisterFree | RefusedFree => requests,
        Locked => 20,
        RegisterTaken | RefusedTaken => 1,
    }
}

/// All names are of one length.
fn name(class: Class, number: usize) -> String {
    let kind = match class {
        WrongPassword => "known",
        Unknown => "nosuc",
        Locked => "lockd",
        Disabled => "disab",
        RegisterFree => "newco",
        RegisterTaken | RefusedTaken => "taken",
        RefusedFree => "avail",
    };
    format!("{kind}{number:06}")
}

/// Fisher and Yates, with a fixed SplitMix64: the same order in each run.
fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x005E_ED0F_u64;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^= word >> 31;
        let other = word % (last as u64 + 1);
        items.swap(last, usize::try_from(other).expect("it is an index"));
    }
}

/// The area under the ROC curve, from 0.5 up: the share of pairs, one from each side, in which the larger is of the side that is
/// larger on the whole (Mann and Whitney's U). Equal times count half.
fn told_apart(ones: &[f64], others: &[f64]) -> f64 {
    let mut others = others.to_vec();
    others.sort_by(f64::total_cmp);
    let wins: f64 = ones
        .iter()
        .map(|time| {
            let below = others.partition_point(|other| other < time);
            let not_above = others.partition_point(|other| other <= time);
            (below + not_above) as f64 / 2.0
        })
        .sum();
    let share = wins / (ones.len() * others.len()) as f64;
    share.max(1.0 - share)
}

fn median_ms(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2] / 1e6
}

fn report(requests: usize, directory: &Path, times: &BTreeMap<Class, Vec<f64>>) -> ExitCode {
    println!("{requests} requests a class, data in {}", directory.display());
    println!("| request | median ms |\n|---|---|");
    for (class, label) in CLASSES {
        println!("| {label} | {:.3} |", median_ms(&times[&class]));
    }
    println!("\n| told apart by time | AUC | aim |\n|---|---|---|");
    let label = |class| {
        CLASSES
            .iter()
            .find(|(other, _)| *other == class)
            .expect("all are listed")
            .1
    };
    let mut missed = false;
    for (one, other, must) in PAIRS {
        let auc = told_apart(&times[&one], &times[&other]);
        let aim = if must { "≤ 0.55" } else { "the answer tells" };
        missed |= must && auc > AIM;
        println!("| {} / {} | {auc:.3} | {aim} |", label(one), label(other));
    }
    ExitCode::from(u8::from(missed))
}
