//! shild as a test sees it: an application in memory, callers that stand in it, and the answers that they get.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocket::http::{Header, Method, Status};
use rocket::local::asynchronous::{Client, LocalResponse};
use serde_json::{Value, json};
use shild::Shild;
use shild::clock::{Clock as _, SystemRandom, Timestamp, random_bytes};
use shild::config::{Settings, Sources, rocket_figment};
use shild::password::{Hasher, Password, PasswordHash};
use shild::store::{MemoryStore, Store};
use shild::testing::{ManualClock, settings};
use shild::token::Claims;
use shild::token::keyring::Keyring;
use shild::token::master::MasterKey;
use shild::user::{Scopes, UserId, UserRecord};
use tokio::sync::OnceCell;

use crate::unreliable::{Fault, Unreliable};

/// Strong enough for every policy, and the same for everybody unless a test says otherwise.
pub(crate) const PASSWORD: &str = "wherefore art thou 7";

/// Where requests come from unless a test says otherwise.
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// All of shild on a store in memory, with a clock that the test moves.
pub(crate) struct App {
    pub(crate) client: Client,
    pub(crate) shild: Shild,
    /// The store itself, to look behind shild's back.
    pub(crate) store: Arc<MemoryStore>,
    /// While this is true, the store answers nothing to shild.
    pub(crate) outage: Arc<AtomicBool>,
    /// What goes wrong next in it.
    pub(crate) next_fault: Arc<Mutex<Option<Fault>>>,
    pub(crate) clock: Arc<ManualClock>,
    master: MasterKey,
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings than those for tests.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let (store, clock) = (Arc::default(), Arc::default());
        Self::start(change, store, clock, MasterKey::generate(&SystemRandom), |rocket| {
            rocket
        })
        .await
    }

    /// With more routes beside shild's.
    pub(crate) async fn beside(routes: Vec<rocket::Route>) -> Self {
        let (store, clock) = (Arc::default(), Arc::default());
        let master = MasterKey::generate(&SystemRandom);
        Self::start(|_| {}, store, clock, master, |rocket| rocket.mount("/", routes)).await
    }

    /// Stops it and starts it again over the same store, with other settings.
    pub(crate) async fn restart(self, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start(change, self.store, self.clock, self.master, |rocket| rocket).await
    }

    async fn start(
        change: impl FnOnce(&mut Settings),
        store: Arc<MemoryStore>,
        clock: Arc<ManualClock>,
        master: MasterKey,
        more: impl FnOnce(rocket::Rocket<rocket::Build>) -> rocket::Rocket<rocket::Build>,
    ) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let (outage, next_fault) = (Arc::<AtomicBool>::default(), Arc::default());
        let shild = Shild::builder(settings)
            .store(Arc::new(Unreliable::over(
                store.clone(),
                outage.clone(),
                Arc::clone(&next_fault),
            )))
            .clock(clock.clone())
            .master_key(master.clone())
            // What is done in the background would come at a moment that no test fixes.
            .untended()
            .build()
            .await
            .expect("it starts");
        let rocket = more(rocket::custom(figment()).attach(shild.clone().whole_stage()));
        Self {
            client: Client::untracked(rocket).await.expect("it launches"),
            shild,
            store,
            outage,
            next_fault,
            clock,
            master,
        }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Somebody who has not signed in.
    pub(crate) fn anonymous(&self) -> Caller<'_> {
        Caller {
            app: self,
            access_token: None,
            refresh_token: None,
        }
    }

    /// Somebody with this access token.
    pub(crate) fn bearer(&self, access_token: &str) -> Caller<'_> {
        Caller {
            access_token: Some(access_token.to_owned()),
            ..self.anonymous()
        }
    }

    /// A user like any who has registered, signed in.
    pub(crate) async fn user(&self, name: &str) -> Caller<'_> {
        self.user_with(name, "user").await
    }

    /// A user with these scopes, signed in with all of them.
    pub(crate) async fn user_with(&self, name: &str, scopes: &str) -> Caller<'_> {
        self.add_user(name, scopes).await;
        self.signed_in(name, None).await
    }

    /// A user with these scopes, who has not signed in.
    pub(crate) async fn add_user(&self, name: &str, scopes: &str) {
        let user = UserRecord {
            password_hash: Some(hash_of_password().await),
            scopes: Scopes::parse(scopes).expect("scopes"),
            ..UserRecord::new(UserId::generate(self.now(), &SystemRandom), username(name), self.now())
        };
        let store: &dyn Store = &*self.store;
        store.create(&user, &[]).await.expect("the name is free");
    }

    /// Whoever may do everything.
    pub(crate) async fn admin(&self) -> Caller<'_> {
        self.user_with("root", "admin introspect user").await
    }

    /// A user who exists, signed in once more.
    pub(crate) async fn signed_in(&self, name: &str, scope: Option<&str>) -> Caller<'_> {
        let mut form = vec![("grant_type", "password"), ("username", name), ("password", PASSWORD)];
        form.extend(scope.map(|scope| ("scope", scope)));
        let answer = self.anonymous().post("/shild").form(&form).send().await.expect(200);
        Caller {
            app: self,
            access_token: Some(answer.text_at("access_token")),
            refresh_token: Some(answer.text_at("refresh_token")),
        }
    }

    pub(crate) async fn record(&self, name: &str) -> UserRecord {
        let store: &dyn Store = &*self.store;
        let found = store.find_by_username(&username(name)).await.expect("it can be read");
        Arc::unwrap_or_clone(found.unwrap_or_else(|| panic!("there is a user {name}")))
    }

    /// Changes a user behind shild's back, as an administrator would.
    pub(crate) async fn change(&self, name: &str, change: impl FnOnce(&mut UserRecord)) {
        let old = self.record(name).await;
        let mut new = old.clone();
        change(&mut new);
        new.version += 1;
        let store: &dyn Store = &*self.store;
        store.replace(&new, old.version, &[]).await.expect("the change is made");
    }

    pub(crate) async fn delete(&self, name: &str) {
        let user = self.record(name).await;
        let store: &dyn Store = &*self.store;
        store
            .delete(user.id, user.version, &[])
            .await
            .expect("the user is deleted");
    }

    /// An access token like this one but for what is changed, signed with the true key.
    pub(crate) async fn forge(&self, access_token: &str, change: impl FnOnce(&mut Claims)) -> String {
        let signed_in = self.shild.authenticate(access_token).await.expect("a good token");
        let mut claims = signed_in.token.claims().clone();
        change(&mut claims);
        let store: &dyn Store = &*self.store;
        let record = store.load_keys().await.unwrap().expect("there are keys");
        let keys = Keyring::open(&record, &self.master.sealing_key()).expect("they can be unsealed");
        let token = shild::token::issue(&keys, &claims).expect("it is short enough");
        token.as_str().to_owned()
    }
}

/// A hash of [`PASSWORD`], made once: judging the strength of a password takes a debug build its time.
async fn hash_of_password() -> PasswordHash {
    static HASH: OnceCell<PasswordHash> = OnceCell::const_new();
    let make = async || {
        let hasher = Hasher::new(settings().password.argon2, None, 1).unwrap();
        hasher
            .hash(Password::parse(PASSWORD).unwrap(), random_bytes(&SystemRandom))
            .await
            .unwrap()
    };
    HASH.get_or_init(make).await.clone()
}

/// Rocket's configuration as the binary has it where nothing is set.
pub(crate) fn figment() -> rocket::figment::Figment {
    let figment = rocket_figment(&Sources::default()).expect("the defaults are right");
    figment.merge(("log_level", "off"))
}

pub(crate) fn username(name: &str) -> shild::user::Username {
    shild::user::Username::parse(name, 64).expect("a good name")
}

/// Whoever makes requests.
pub(crate) struct Caller<'a> {
    pub(crate) app: &'a App,
    pub(crate) access_token: Option<String>,
    pub(crate) refresh_token: Option<String>,
}

impl<'a> Caller<'a> {
    pub(crate) fn access_token(&self) -> &str {
        self.access_token.as_deref().expect("signed in")
    }

    pub(crate) fn refresh_token(&self) -> &str {
        self.refresh_token.as_deref().expect("signed in with a password")
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'a> {
        let mut headers = Vec::new();
        if let Some(token) = &self.access_token {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        Call {
            app: self.app,
            method,
            path: path.to_owned(),
            headers,
            body: Vec::new(),
            source: HOME,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Call<'a> {
        self.call(Method::Get, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'a> {
        self.call(Method::Post, path)
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Call<'a> {
        self.call(Method::Patch, path).json(body)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'a> {
        self.call(Method::Delete, path)
    }
}

/// A request that is being made.
#[must_use = "send() it"]
pub(crate) struct Call<'a> {
    app: &'a App,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    source: IpAddr,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn form(self, parameters: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        self.raw_form(&pairs.join("&"))
    }

    /// A form that is encoded already, rightly or wrongly.
    pub(crate) fn raw_form(self, body: &str) -> Self {
        self.body("application/x-www-form-urlencoded", body)
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    /// From this address instead of the one where all requests come from.
    pub(crate) fn from(mut self, source: &str) -> Self {
        self.source = source.parse().expect("an address");
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let mut request = self
            .app
            .client
            .req(self.method, self.path)
            .remote(SocketAddr::new(self.source, 49152))
            .body(self.body);
        for (name, value) in self.headers {
            request.add_header(Header::new(name, value));
        }
        Answer::read(request.dispatch().await).await
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Sorted by name, which is in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(response: LocalResponse<'_>) -> Self {
        let Status { code } = response.status();
        let headers = response.headers().iter();
        let mut headers: Vec<_> = headers
            .map(|header| (header.name().as_str().to_ascii_lowercase(), header.value().to_owned()))
            .collect();
        headers.sort();
        Self {
            status: code,
            headers,
            body: response.into_bytes().await.unwrap_or_default(),
        }
    }

    /// Itself, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self
            .headers
            .iter()
            .filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let first = all.next();
        assert!(all.next().is_none(), "{name} comes twice: {self}");
        first.map(|(_, value)| value.as_str())
    }

    pub(crate) fn challenge(&self) -> &str {
        self.header("WWW-Authenticate").unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    #[track_caller]
    pub(crate) fn text_at(&self, member: &str) -> String {
        let json = self.json();
        let text = json[member].as_str();
        text.unwrap_or_else(|| panic!("no text at {member}: {self}")).to_owned()
    }

    /// The kind of the problem (RFC 9457), after checks of all that every problem must have.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"), "{self}");
        assert_eq!(self.json()["status"], self.status, "{self}");
        assert_eq!(self.header("Cache-Control"), Some("no-store"), "{self}");
        assert!(!self.text_at("title").is_empty() && !self.text_at("detail").is_empty());
        let kind = self.text_at("type");
        kind.strip_prefix("/problems/")
            .expect("a type that can be followed")
            .to_owned()
    }

    /// Pointer and code of the first member at fault.
    #[track_caller]
    pub(crate) fn fault(&self) -> (String, String) {
        let fault = &self.json()["errors"][0];
        let text = |member: &str| fault[member].as_str().unwrap_or_else(|| panic!("{self}")).to_owned();
        (text("pointer"), text("code"))
    }

    /// The code of an OAuth error (RFC 6749 §5.2), after checks of all that every such error must have (T8, T9).
    #[track_caller]
    pub(crate) fn oauth_error(&self) -> String {
        assert_eq!(self.header("Content-Type"), Some("application/json"), "{self}");
        assert_eq!(self.header("Cache-Control"), Some("no-store"), "{self}");
        assert_eq!(self.header("Pragma"), Some("no-cache"), "{self}");
        let allowed = |c: char| matches!(c, '\x20'..='\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E');
        assert!(self.text_at("error_description").chars().all(allowed), "{self}");
        self.text_at("error")
    }

    /// Without what may differ between two answers to one request.
    pub(crate) fn comparable(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "x-request-id");
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

pub(crate) async fn register(app: &App, name: &str, password: &str) -> Answer {
    let body = json!({ "username": name, "password": password });
    app.anonymous().post("/register").json(&body).send().await
}

pub(crate) async fn sign_in(app: &App, name: &str, password: &str) -> Answer {
    ask_token(
        app,
        &[("grant_type", "password"), ("username", name), ("password", password)],
    )
    .await
}

pub(crate) async fn refresh(app: &App, token: &str) -> Answer {
    ask_token(app, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

pub(crate) async fn ask_token(app: &App, form: &[(&str, &str)]) -> Answer {
    app.anonymous().post("/shild").form(form).send().await
}

pub(crate) async fn me(caller: &Caller<'_>) -> Answer {
    caller.get("/user/me").send().await
}

/// Where administrators find this user.
pub(crate) async fn user_path(app: &App, name: &str) -> String {
    format!("/users/{}", app.record(name).await.id)
}

pub(crate) async fn change_password(caller: &Caller<'_>, current: &str, new: &str) -> Answer {
    let body = json!({ "current_password": current, "new_password": new });
    caller.post("/user/me/password").json(&body).send().await
}

/// Has an administrator start a password reset; the token for it.
pub(crate) async fn start_reset(admin: &Caller<'_>, name: &str) -> String {
    let path = format!("{}/password-reset", user_path(admin.app, name).await);
    let started = admin.post(&path).send().await.expect(201);
    started.text_at("reset_token")
}

pub(crate) async fn reset(app: &App, token: &str, new: &str) -> Answer {
    let body = json!({ "reset_token": token, "new_password": new });
    app.anonymous().post("/password-reset").json(&body).send().await
}
