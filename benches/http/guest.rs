//! What shild is compared with: this program again, as a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rocket::config::LogLevel;
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::response::content::RawJson;
use rocket::{Config, Request, State, get, routes};
use shild::Shild;
use shild::clock::{Clock, SystemClock, SystemRandom, Timestamp};
use shild::config::Settings;
use shild::guard::CurrentUser;
use shild::session::SessionRecord;
use shild::store::Store;
use shild::token::keyring::Keyring;
use shild::token::master::MasterKey;
use shild::token::verified::VerifiedTokens;
use shild::token::{Claims, Expected, issue};
use shild::user::{Scopes, SessionId, UserId, UserRecord, Username};

const ISSUER: &str = "http://127.0.0.1:8000";

fn config(port: &str) -> Config {
    Config {
        port: port.parse().expect("a port"),
        log_level: LogLevel::Off,
        ..Config::release_default()
    }
}

/// Serves `body` and nothing else.
pub(crate) fn serve_bare(port: &str, body: &str) {
    let rocket = rocket::custom(config(port))
        .manage(body.to_owned())
        .mount("/", routes![bare, healthz]);
    let ended = rocket::async_main(rocket.launch());
    assert!(ended.is_ok(), "the server does not start");
}

#[get("/")]
fn bare(body: &State<String>) -> RawJson<String> {
    RawJson(body.inner().clone())
}

#[get("/healthz")]
fn healthz() {}

/// Serves `body` behind more and more of what shild's guard does.
pub(crate) fn serve_guest(port: &str, dir: &str, body: &str) {
    let mut settings = Settings {
        data_dir: PathBuf::from(dir),
        ..Settings::default()
    };
    settings.throttle.per_source.per_minute = 1_000_000;
    settings.throttle.per_source.burst = 1_000_000;
    let ended = rocket::async_main(async {
        let shild = Shild::builder(settings).build().await.expect("a new store opens");
        rocket::custom(config(port))
            .manage(Tokens::new(&shild).await)
            .manage(body.to_owned())
            .attach(shild.stage())
            .mount("/", routes![bare, behind_token, behind_session, behind_user, token])
            .launch()
            .await
            .map(drop)
    });
    assert!(ended.is_ok(), "the server does not start");
}

#[get("/layer/token")]
fn behind_token(_me: TokenChecked, body: &State<String>) -> RawJson<String> {
    RawJson(body.inner().clone())
}

#[get("/layer/session")]
fn behind_session(_me: SessionFound, body: &State<String>) -> RawJson<String> {
    RawJson(body.inner().clone())
}

#[get("/layer/user")]
fn behind_user(_me: CurrentUser, body: &State<String>) -> RawJson<String> {
    RawJson(body.inner().clone())
}

/// A token for the first two of these routes.
#[get("/token")]
fn token(tokens: &State<Tokens>) -> String {
    tokens.token.clone()
}

/// All that it takes to check a token, and the session of one in the store.
struct Tokens {
    keyring: Arc<Keyring>,
    verified: VerifiedTokens,
    token: String,
    store: Arc<dyn Store>,
}

impl Tokens {
    async fn new(shild: &Shild) -> Self {
        let (now, random) = (SystemClock.now().truncate_to_secs(), SystemRandom);
        let keyring = Keyring::generate(now, &random, &MasterKey::generate(&random).sealing_key());
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: UserId::generate(now, &random),
            aud: ISSUER.to_owned(),
            exp: now.after(Duration::from_secs(900)),
            nbf: now,
            iat: now,
            jti: SessionId::generate(now, &random).to_string(),
            sid: SessionId::generate(now, &random),
            scope: Scopes::registered(),
            auth_time: now,
            client_id: None,
        };
        let token = issue(&keyring, &claims).expect("the claims are short");
        // Sessions of nobody are swept.
        let name = Username::parse("layer", 32).expect("it is a name");
        let user = UserRecord::new(claims.sub, name, now);
        let session = SessionRecord {
            id: claims.sid,
            user_id: claims.sub,
            revision: 1,
            epoch: user.session_epoch,
            generation: 0,
            client_id: None,
            user_agent: None,
            ip: None,
            scopes: claims.scope,
            created_at: now,
            auth_time: now,
            last_used_at: now,
            rotated_at: now,
            expires_at: claims.exp,
        };
        let store = Arc::clone(shild.store());
        store.create(&user, &[]).await.expect("the store is new");
        store.open_session(&session, &[]).await.expect("the store is new");
        Self {
            store,
            verified: VerifiedTokens::new(Settings::default().verified_tokens, &random),
            keyring: Arc::new(keyring),
            token: token.as_str().to_owned(),
        }
    }
}

/// Its signature and its times are right.
struct TokenChecked;

/// There is such a session besides.
struct SessionFound;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for TokenChecked {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match check(request) {
            Some(_) => Outcome::Success(Self),
            None => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for SessionFound {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let Some((tokens, user, session)) = check(request) else {
            return Outcome::Error((Status::Unauthorized, ()));
        };
        match tokens.store.find_session(user, session).await {
            Ok(Some(_)) => Outcome::Success(Self),
            _ => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

/// Whom a good token is of, and which session it names.
fn check<'r>(request: &'r Request<'_>) -> Option<(&'r Tokens, UserId, SessionId)> {
    let expected = Expected {
        issuer: ISSUER,
        audience: ISSUER,
    };
    let tokens = request.rocket().state::<Tokens>()?;
    let header = request.headers().get_one("Authorization")?;
    let token = header.strip_prefix("Bearer ")?;
    let now: Timestamp = SystemClock.now();
    let verified = tokens.verified.verify(&tokens.keyring, token, &expected, now).ok()?;
    let claims = verified.claims();
    Some((tokens, claims.sub, claims.sid))
}
