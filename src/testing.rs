//! The test kit: your application in the test's own process, with users, sessions and keys in memory, a clock that the test moves,
//! randomness that it fixes, and password hashes that cost next to nothing. Never for a running service.
//!
//! It is behind the feature `testing`, which your tests turn on and your program does not:
//!
//! ```toml
//! [dependencies]
//! rocket = { version = "0.5.1", default-features = false }
//! shild = { path = "../shild" }
//!
//! [dev-dependencies]
//! shild = { path = "../shild", features = ["testing"] }
//! ```
//!
//! A whole test: an application as it is launched, and what happens to whoever signs in to it. In a program it stands in a
//! `#[cfg(test)] mod tests` of `src/main.rs`, and is run by `cargo test`.
//!
//! ```
//! use std::time::Duration;
//!
//! use rocket::http::Status;
//! use rocket::{Build, Rocket, get, routes};
//! use shild::guard::CurrentUser;
//! use shild::testing::{TestServer, bearer};
//!
//! #[get("/cats")]
//! fn cats(me: CurrentUser) -> String {
//!     format!("{}'s cats", me.username())
//! }
//!
//! fn application() -> Rocket<Build> {
//!     rocket::build().attach(shild::stage()).mount("/", routes![cats])
//! }
//!
//! # /*
//! #[rocket::async_test]
//! # */
//! async fn cats_are_for_those_who_signed_in() {
//!     let server = TestServer::start(application()).await;
//!     // Makes the user, if there is none of that name, and signs it in.
//!     let token = server.token_for("alice", &["user"]).await;
//!
//!     // The server is a client of Rocket's: get, post, … make requests, without a socket.
//!     let answer = server.get("/cats").header(bearer(&token)).dispatch().await;
//!     assert_eq!(answer.into_string().await.as_deref(), Some("alice's cats"));
//!     assert_eq!(server.get("/cats").dispatch().await.status(), Status::Unauthorized);
//!
//!     // Nothing sleeps: the token has expired because the test says what time it is.
//!     server.advance(Duration::from_secs(16 * 60));
//!     let answer = server.get("/cats").header(bearer(&token)).dispatch().await;
//!     assert_eq!(answer.status(), Status::Unauthorized);
//! }
//! # fn main() { rocket::execute(cats_are_for_those_who_signed_in()) }
//! ```
//!
//! The settings are those of the shild that the application has built itself, or else of its configuration, but for the store, the cost of a hash and the throttle for
//! each source ([`settings`] has what stands in their place). With one seed, ids, keys and tokens are the same in each run, as
//! long as a test makes its requests one after the other; [`TestServer::with_seed`] chooses another. [`assert_protected`] tries a
//! route with every kind of bad token; [`TestServer::shild`] leads to the store.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rocket::figment::Figment;
use rocket::http::{Header, Status};
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket};

use crate::Shild;
use crate::clock::{Clock, Random, Timestamp};
use crate::config::{Argon2Settings, PasswordSettings, PerSourceSettings, Settings, StoreKind, ThrottleSettings};
use crate::origin::Origin;
use crate::user::{Scopes, UserRecord, Username};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at this point.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_millis()))
    }

    /// Moves on by `span`.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().after(span));
    }

    /// Moves to this point, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Stands at 2023-11-14T22:13:20Z.
    fn default() -> Self {
        Self::at(Timestamp::from_millis(1_700_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that follow from a seed (SplitMix64): the same in each run, and no secret.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// The bytes of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        for chunk in buffer.chunks_mut(8) {
            let mut word = self.0.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Settings for tests: the memory store, hashes that cost next to nothing, and no throttle for each source.
#[must_use]
pub fn settings() -> Settings {
    let mut settings = Settings {
        store: StoreKind::Memory,
        ..Settings::default()
    };
    settings.password.argon2 = Argon2Settings {
        memory_kib: 8,
        iterations: 1,
        lanes: 1,
    };
    settings.throttle.per_source = PerSourceSettings {
        per_minute: 1_000_000,
        burst: 1_000_000,
    };
    settings
}

/// What the stage of an application under test makes its shild with, whatever it would else have opened.
pub(crate) struct Prepared {
    clock: Arc<ManualClock>,
    seed: u64,
}

impl Prepared {
    /// With the settings of the shild that the application has made itself, or else those of its configuration.
    pub(crate) async fn build(&self, figment: &Figment, given: Option<&Settings>) -> Shild {
        let settings = match given {
            Some(given) => given.clone(),
            None => Settings::from_figment(figment).expect("the application's settings are right"),
        };
        let cheap = self::settings();
        let settings = Settings {
            store: cheap.store,
            password: PasswordSettings {
                argon2: cheap.password.argon2,
                ..settings.password
            },
            throttle: ThrottleSettings {
                per_source: cheap.throttle.per_source,
                ..settings.throttle
            },
            ..settings
        };
        let shild = Shild::builder(settings)
            .clock(Arc::clone(&self.clock) as Arc<dyn Clock>)
            .random(Arc::new(SeededRandom::new(self.seed)))
            // What is done in the background would come at a moment that no test fixes.
            .untended()
            .build();
        shild.await.expect("a store in memory opens")
    }
}

/// An application that shild is attached to, in the test's own process. Requests are made with the methods of Rocket's
/// [`Client`], which it is too.
#[derive(Debug)]
pub struct TestServer {
    client: Client,
    clock: Arc<ManualClock>,
}

impl TestServer {
    /// Launches the application, with everything in memory and with the seed 0.
    ///
    /// # Panics
    /// If the application does not launch.
    pub async fn start(application: Rocket<Build>) -> Self {
        Self::with_seed(application, 0).await
    }

    /// Likewise, with ids, keys and tokens that follow from this seed.
    ///
    /// # Panics
    /// If the application does not launch.
    pub async fn with_seed(application: Rocket<Build>, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::default());
        let prepared = Prepared {
            clock: Arc::clone(&clock),
            seed,
        };
        let client = Client::untracked(application.manage(prepared)).await;
        let client = client.expect("the application launches");
        assert!(
            client.rocket().state::<Shild>().is_some(),
            "shild is not attached: rocket::build().attach(shild::stage())"
        );
        Self { client, clock }
    }

    /// An access token of the user of this name with these scopes, fresh from a sign-in of its own. The user is made if there is
    /// none, and given the scopes that it lacks.
    ///
    /// # Panics
    /// If the name or a scope is malformed, or the name is refused because it looks like another user's.
    pub async fn token_for(&self, username: &str, scopes: &[&str]) -> String {
        let shild = self.shild();
        let username = Username::parse(username, 64).unwrap_or_else(|error| panic!("{username}: {error}"));
        let scopes = Scopes::parse(&scopes.join(" ")).expect("at least one scope, and none with a space in it");
        let found = shild.store().find_by_username(&username).await;
        let user = match found.expect("a store in memory can be read") {
            None => {
                let user = shild.new_user(username, None, scopes.clone());
                shild
                    .store()
                    .create(&user, &[])
                    .await
                    .expect("no other name looks like it");
                Arc::new(user)
            }
            Some(user) if scopes.is_subset(&user.scopes) => user,
            Some(user) => {
                let all = Scopes::parse(&format!("{} {scopes}", user.scopes)).expect("scopes, side by side");
                let widened = UserRecord {
                    scopes: all,
                    version: user.version + 1,
                    ..UserRecord::clone(&user)
                };
                let replaced = shild.store().replace(&widened, user.version, &[]).await;
                replaced.expect("nobody else changes the user meanwhile");
                Arc::new(widened)
            }
        };
        let token = shild.open_session(&user, scopes, None, &Origin::default()).await;
        token.expect("a store in memory takes it").access_token
    }

    /// Moves the clock on by `span`.
    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// The clock, which stands still until it is moved.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The shild behind the guards: its store and settings.
    ///
    /// # Panics
    /// Never: it was there at the start.
    pub fn shild(&self) -> &Shild {
        let shild = self.client.rocket().state();
        shild.expect("it was looked for at the start")
    }
}

impl Deref for TestServer {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The header that carries an access token.
#[must_use]
pub fn bearer(access_token: &str) -> Header<'static> {
    Header::new("Authorization", format!("Bearer {access_token}"))
}

/// A client of an application that shild is attached to, as [`TestServer`] has it.
///
/// # Panics
/// If the application does not launch.
pub async fn client(rocket: Rocket<Build>) -> Client {
    TestServer::start(rocket).await.client
}

/// Makes a user of this name with these scopes (one space between two), signs it in, and gives the header that its
/// requests carry.
///
/// # Panics
/// If the name cannot be had or the scopes are malformed.
pub async fn sign_in(client: &Client, username: &str, scopes: &str) -> Header<'static> {
    let shild = client.rocket().state::<Shild>().expect("shild is attached");
    let username = Username::parse(username, 64).expect("a good name");
    let scopes = Scopes::parse(scopes).expect("good scopes");
    let user = shild.new_user(username, None, scopes.clone());
    shild.store().create(&user, &[]).await.expect("the name is free");
    let token = shild.open_session(&user, scopes, None, &Origin::default()).await;
    let token = token.expect("the memory store takes it");
    bearer(&token.access_token)
}

/// Shows that `GET path` serves those who have signed in with these scopes, and nobody else: not without a token, not with
/// an altered one, and no more once the session has ended.
///
/// # Panics
/// If it does not.
pub async fn assert_protected(rocket: Rocket<Build>, path: &str, scopes: &str) {
    let client = client(rocket).await;
    let me = sign_in(&client, "juliet", scopes).await;
    let altered = Header::new("Authorization", me.value().replace("v4.public.", "v4.public.A"));
    let status = async |headers: &[&Header<'static>]| {
        let request = headers
            .iter()
            .fold(client.get(path), |request, header| request.header((*header).clone()));
        request.dispatch().await.status()
    };
    assert_eq!(status(&[]).await, Status::Unauthorized, "without a token");
    assert_eq!(status(&[&altered]).await, Status::Unauthorized, "with an altered token");
    assert!(status(&[&me]).await.class().is_success(), "with a good token");
    client.post("/logout").header(me.clone()).dispatch().await;
    assert_eq!(status(&[&me]).await, Status::Unauthorized, "after the sign-out");
}

/// How many password hashes this shild has computed: what an attempt costs, without a stopwatch (requirement W8).
#[must_use]
pub fn hashes(shild: &Shild) -> u64 {
    shild.hasher.stats().hashes
}

/// What those of Argon2 have cost: the memory of each in KiB, times its iterations.
#[must_use]
pub fn hash_work(shild: &Shild) -> u64 {
    shild.hasher.stats().work_kib
}
