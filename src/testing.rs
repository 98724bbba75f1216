//! The test kit: a clock that the test moves, randomness that it fixes, and settings under which a password hash costs
//! nothing. Never for a running service.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rocket::http::{Header, Status};
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket};

use crate::Shild;
use crate::clock::{Clock, Random, Timestamp};
use crate::config::{Argon2Settings, PerSourceSettings, Settings, StoreKind};
use crate::origin::Origin;
use crate::user::{Scopes, Username};

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

/// A client of an application that shild is attached to: on the memory store, with hashes that cost next to nothing,
/// whatever the application's configuration says.
///
/// # Panics
/// If the application does not launch.
pub async fn client(rocket: Rocket<Build>) -> Client {
    let cheap = settings();
    let figment = rocket.figment().clone();
    let figment = figment
        .merge(("shild.store", cheap.store))
        .merge(("shild.password.argon2", cheap.password.argon2))
        .merge(("shild.throttle.per_source", cheap.throttle.per_source));
    Client::untracked(rocket.configure(figment))
        .await
        .expect("the application launches")
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
    shild.store().create(&user).await.expect("the name is free");
    let token = shild.open_session(&user, scopes, None, &Origin::default()).await;
    let token = token.expect("the memory store takes it");
    Header::new("Authorization", format!("Bearer {}", token.access_token))
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
