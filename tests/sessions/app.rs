//! shild as the tests see it: over HTTP by Rocket's local client, on a clock that they move.

use std::sync::Arc;
use std::time::Duration;

use rocket::http::{ContentType, Header, Status};
use rocket::local::asynchronous::{Client, LocalResponse};
use rocket::tokio::task::yield_now;
use serde_json::Value;
use shild::Shild;
use shild::audit::{AuditFilter, AuditKind};
use shild::clock::{Clock as _, SystemRandom, Timestamp};
use shild::config::Settings;
use shild::store::{MemoryStore, Store};
use shild::testing::ManualClock;
use shild::token::master::MasterKey;
use shild::user::{Scopes, SessionId, UserId, UserRecord, Username};
use shild::{Origin, testing};

/// The password of every user here.
pub(crate) const PASSWORD: &str = "violet-harbour-5-quilt";

/// The skew that is allowed between clocks (requirement P6).
pub(crate) const SKEW: Duration = Duration::from_secs(30);

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A shild that answers.
pub(crate) struct App {
    pub(crate) client: Client,
    pub(crate) shild: Shild,
    pub(crate) clock: Arc<ManualClock>,
}

/// Runs all of them on threads of their own runtime, at the same time; what they gave, in order.
pub(crate) async fn at_once<T: Send + 'static>(
    works: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = works.into_iter().map(rocket::tokio::spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.expect("it does not panic"));
    }
    results
}

/// What the token endpoint grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) expires_in: u64,
    pub(crate) scope: String,
}

/// Status and `error` of a refusal.
pub(crate) type Refusal = (u16, String);

pub(crate) fn refused(error: &str) -> Result<Tokens, Refusal> {
    Err((400, error.to_owned()))
}

pub(crate) fn scopes(text: &str) -> Scopes {
    Scopes::parse(text).expect("a scope of these tests is well-formed")
}

impl App {
    /// In memory, with the settings of the test kit.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// In memory, with other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = testing::settings();
        change(&mut settings);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        Self::on(
            settings,
            store,
            &MasterKey::generate(&SystemRandom),
            Arc::new(ManualClock::default()),
        )
        .await
    }

    /// On this store.
    pub(crate) async fn on(
        settings: Settings,
        store: Arc<dyn Store>,
        master: &MasterKey,
        clock: Arc<ManualClock>,
    ) -> Self {
        let shild = Shild::builder(settings)
            .store(store)
            .master_key(master.clone())
            .clock(Arc::clone(&clock) as _)
            .build()
            .await
            .expect("shild starts");
        let config = rocket::Config {
            log_level: rocket::config::LogLevel::Off,
            ..rocket::Config::debug_default()
        };
        let rocket = rocket::custom(config).attach(shild.clone().whole_stage());
        let client = Client::untracked(rocket).await.expect("Rocket starts");
        Self { client, shild, clock }
    }

    /// Ends it as a server ends; when this returns, nothing holds the store any more, on a runtime of one thread.
    pub(crate) async fn stop(self) {
        let Self { client, shild, .. } = self;
        shild.close().await.expect("the store can be written");
        let store = Arc::downgrade(shild.store());
        client.rocket().shutdown().notify();
        drop((client, shild));
        while store.strong_count() > 0 {
            yield_now().await;
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Moves the clock to `span` after `start`.
    pub(crate) fn set(&self, start: Timestamp, span: Duration) {
        self.clock.set(start.after(span));
    }

    pub(crate) async fn register(&self, name: &str) -> UserRecord {
        let user = self
            .shild
            .register(name, PASSWORD, &Origin::default())
            .await
            .expect("a new user");
        self.user(user.id).await
    }

    /// A user with these scopes and the password of `like`.
    pub(crate) async fn add_user(&self, like: &UserRecord, name: &str, scope: &str) -> UserRecord {
        let user = UserRecord {
            id: UserId::generate(self.now(), &SystemRandom),
            username: Username::parse(name, 64).expect("a name of these tests is well-formed"),
            scopes: scopes(scope),
            ..like.clone()
        };
        self.shild.store().create(&user, &[]).await.expect("a new user");
        user
    }

    pub(crate) async fn user(&self, id: UserId) -> UserRecord {
        let found = self.shild.store().find(id).await.expect("the store can be read");
        Arc::unwrap_or_clone(found.expect("the user is there"))
    }

    /// Changes a user as an administrator does.
    pub(crate) async fn change_user(&self, id: UserId, change: impl Fn(&mut UserRecord)) {
        loop {
            let user = self.user(id).await;
            let mut changed = user.clone();
            changed.version += 1;
            change(&mut changed);
            match self.shild.store().replace(&changed, user.version, &[]).await {
                Ok(()) => return,
                Err(shild::store::StoreError::Stale) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Disables a user: all its sessions end.
    pub(crate) async fn disable(&self, id: UserId) {
        self.change_user(id, |user| {
            user.disabled = true;
            user.end_sessions(None);
        })
        .await;
    }

    pub(crate) async fn enable(&self, id: UserId) {
        self.change_user(id, |user| user.disabled = false).await;
    }

    pub(crate) async fn delete(&self, id: UserId) {
        let version = self.user(id).await.version;
        self.shild
            .store()
            .delete(id, version, &[])
            .await
            .expect("it is deleted");
    }

    /// How many events of this kind the audit log has.
    pub(crate) async fn count_of(&self, kind: AuditKind) -> usize {
        let filter = AuditFilter {
            kind: Some(kind),
            ..AuditFilter::default()
        };
        let events = self.shild.store().list_events(&filter, None, 1000).await;
        events.expect("the audit log can be read").len()
    }

    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Result<Tokens, Refusal> {
        let (status, body) = self.form("/shild", None, form).await;
        if status != 200 {
            let error = body["error"].as_str().expect("errors have a code");
            return Err((status, error.to_owned()));
        }
        let text = |name: &str| body[name].as_str().expect("RFC 6749 §5.1").to_owned();
        Ok(Tokens {
            access: text("access_token"),
            refresh: text("refresh_token"),
            expires_in: body["expires_in"].as_u64().expect("an integer"),
            scope: text("scope"),
        })
    }

    /// Signs in by the client of this id.
    pub(crate) async fn sign_in_by(&self, name: &str, client_id: &str) -> Tokens {
        let form = [
            ("grant_type", "password"),
            ("username", name),
            ("password", PASSWORD),
            ("client_id", client_id),
        ];
        self.token(&form).await.expect("name and password are right")
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Tokens {
        self.try_sign_in(name, None).await.expect("a sign-in")
    }

    pub(crate) async fn try_sign_in(&self, name: &str, scope: Option<&str>) -> Result<Tokens, Refusal> {
        let mut form = vec![("grant_type", "password"), ("username", name), ("password", PASSWORD)];
        form.extend(scope.map(|scope| ("scope", scope)));
        self.token(&form).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<Tokens, Refusal> {
        self.refresh_for(token, None).await
    }

    pub(crate) async fn refresh_for(&self, token: &str, scope: Option<&str>) -> Result<Tokens, Refusal> {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        form.extend(scope.map(|scope| ("scope", scope)));
        self.token(&form).await
    }

    /// Posts a form; status and JSON, `null` for an empty body.
    pub(crate) async fn form(&self, path: &str, bearer: Option<&str>, form: &[(&str, &str)]) -> (u16, Value) {
        let body: Vec<_> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace(' ', "+")))
            .collect();
        let mut request = self.client.post(path).header(ContentType::Form).body(body.join("&"));
        if let Some(token) = bearer {
            request = request.header(authorization(token));
        }
        json(request.dispatch().await).await
    }

    pub(crate) async fn get(&self, path: &str, bearer: &str) -> (u16, Value) {
        json(self.client.get(path).header(authorization(bearer)).dispatch().await).await
    }

    pub(crate) async fn post(&self, path: &str, bearer: &str) -> (u16, Value) {
        json(self.client.post(path).header(authorization(bearer)).dispatch().await).await
    }

    pub(crate) async fn delete_at(&self, path: &str, bearer: &str) -> (u16, Value) {
        json(self.client.delete(path).header(authorization(bearer)).dispatch().await).await
    }

    /// The status that `GET /user/me` answers to this access token.
    pub(crate) async fn me(&self, access: &str) -> u16 {
        self.get("/user/me", access).await.0
    }

    /// Which session an access token that is good now belongs to.
    pub(crate) async fn session_of(&self, access: &str) -> (UserId, SessionId) {
        let signed_in = self.shild.authenticate(access).await.expect("a good token");
        (signed_in.user.id, signed_in.session.id)
    }
}

pub(crate) fn authorization(token: &str) -> Header<'static> {
    Header::new("Authorization", format!("Bearer {token}"))
}

async fn json(response: LocalResponse<'_>) -> (u16, Value) {
    let Status { code } = response.status();
    let body = response.into_string().await.unwrap_or_default();
    (code, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The program on this store, for tests that race on several threads.
pub(crate) async fn on(store: Arc<dyn Store>) -> Arc<App> {
    let master = MasterKey::generate(&SystemRandom);
    let clock = Arc::new(ManualClock::default());
    Arc::new(App::on(testing::settings(), store, &master, clock).await)
}

/// Makes a test of each of these functions for each store.
macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)] async fn $name() {
                super::$name($crate::app::on(std::sync::Arc::new(shild::store::MemoryStore::new())).await).await;
            })*
        }
        mod sled {
            use shild::store::SledStore;
            use shild::store::sled::SledOptions;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)] async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
                super::$name($crate::app::on(std::sync::Arc::new(store)).await).await;
            })*
        }
        mod redb {
            use shild::store::RedbStore;
            use shild::store::redb::RedbOptions;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)] async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let store = RedbStore::open(dir.path(), RedbOptions::default()).unwrap();
                super::$name($crate::app::on(std::sync::Arc::new(store)).await).await;
            })*
        }
    };
}
pub(crate) use on_every_store;
