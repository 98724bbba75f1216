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
use shild::token::keyring::Keyring;
use shild::token::master::MasterKey;
use shild::token::verified::VerifiedTokens;
use shild::token::{Claims, Expected, issue};
use shild::user::{Scopes, SessionId, UserId};

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

/// Serves one route behind shild's guard, and one behind a guard that checks the token and asks no store.
pub(crate) fn serve_guest(port: &str, dir: &str) {
    let mut settings = Settings {
        data_dir: PathBuf::from(dir),
        ..Settings::default()
    };
    settings.throttle.per_source.per_minute = 1_000_000;
    settings.throttle.per_source.burst = 1_000_000;
    let ended = rocket::async_main(async {
        let shild = Shild::builder(settings).build().await.expect("a new store opens");
        rocket::custom(config(port))
            .attach(shild.stage())
            .manage(TokensOnly::new())
            .mount("/", routes![behind_session, behind_token, token])
            .launch()
            .await
            .map(drop)
    });
    assert!(ended.is_ok(), "the server does not start");
}

#[get("/session")]
fn behind_session(me: CurrentUser) -> String {
    me.id().to_string()
}

#[get("/verified")]
fn behind_token(me: TokenOnly) -> String {
    me.0.to_string()
}

/// A token for the other route.
#[get("/token")]
fn token(tokens: &State<TokensOnly>) -> String {
    tokens.token.clone()
}

/// All that it takes to check tokens.
struct TokensOnly {
    keyring: Arc<Keyring>,
    verified: VerifiedTokens,
    token: String,
}

impl TokensOnly {
    fn new() -> Self {
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
        Self {
            verified: VerifiedTokens::new(Settings::default().verified_tokens, &random),
            keyring: Arc::new(keyring),
            token: token.as_str().to_owned(),
        }
    }
}

/// Who a token says it is of, whatever has become of it.
struct TokenOnly(UserId);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for TokenOnly {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let expected = Expected {
            issuer: ISSUER,
            audience: ISSUER,
        };
        let now: Timestamp = SystemClock.now();
        let header = request.headers().get_one("Authorization");
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        let tokens = request.rocket().state::<TokensOnly>();
        let verified = tokens.zip(token).and_then(|(tokens, token)| {
            let Ok(verified) = tokens.verified.verify(&tokens.keyring, token, &expected, now) else {
                return None;
            };
            Some(verified.claims().sub)
        });
        verified.map_or(Outcome::Error((Status::Unauthorized, ())), |sub| {
            Outcome::Success(Self(sub))
        })
    }
}
