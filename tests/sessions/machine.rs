//! Random histories of two users and their sessions against a small model, in memory and on sled.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestError, TestRunner};
use shild::audit::{Actor, AuditFilter, AuditKind};
use shild::clock::{SystemRandom, Timestamp};
use shild::config::{Period, Settings};
use shild::store::sled::{OpenError, SledOptions};
use shild::store::{MemoryStore, SledStore, Store};
use shild::testing::{self, ManualClock};
use shild::token::keyring::KeyView;
use shild::token::master::MasterKey;
use shild::user::{Scopes, SessionId, UserId, UserRecord};
use shild::{Origin, Rounds};
use tempfile::TempDir;

use crate::app::{App, Refusal, SKEW, Tokens, refused, scopes};

const ACCESS_TTL: Period = Period::minutes(15);
const IDLE_TTL: Period = Period::hours(2);
const SESSION_TTL: Period = Period::hours(3);
const WINDOW: Period = Period::seconds(10);

/// What happens next. An [`Index`] picks one of those that there are at that point; nothing happens if there is none.
#[derive(Clone, Debug)]
enum Step {
    SignIn {
        user: usize,
        scope: Option<&'static str>,
    },
    /// With the refresh token so many rotations old: 0 the current one, 1 a retry or a replay, more a replay.
    Refresh {
        session: Index,
        age: usize,
        scope: Option<&'static str>,
    },
    RevokeAccess(Index),
    RevokeRefresh {
        session: Index,
        age: usize,
    },
    SignOut(Index),
    EndOthers(Index),
    EndOne {
        token: Index,
        session: Index,
    },
    List(Index),
    DisableOrEnable {
        user: usize,
    },
    DeleteOrRegister {
        user: usize,
    },
    GiveOrTakeScope {
        user: usize,
    },
    RotateKeys,
    RetireKey(Index),
    Pass(Duration),
    Tend,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let user = || 0..2_usize;
    let scope = || {
        prop_oneof![
            6 => Just(None),
            2 => Just(Some("user")),
            1 => Just(Some("notes")),
            1 => Just(Some("admin")),
        ]
    };
    let age = || prop_oneof![5 => Just(0), 5 => Just(1_usize), 1 => Just(2), 1 => Just(3)];
    let second = Duration::from_secs(1);
    let span = prop_oneof![
        1 => Just(Duration::from_millis(1)),
        1 => Just(Duration::from_millis(700)),
        1 => Just(second),
        2 => Just(WINDOW.duration() - second),
        4 => Just(WINDOW.duration()),
        1 => Just(Duration::from_secs(60)),
        2 => Just(ACCESS_TTL.duration()),
        1 => Just(SKEW),
        3 => Just(IDLE_TTL.duration() / 2),
        1 => Just(IDLE_TTL.duration() - second),
        1 => Just(IDLE_TTL.duration()),
    ];
    prop_oneof![
        4 => (user(), scope()).prop_map(|(user, scope)| Step::SignIn { user, scope }),
        16 => (index(), age(), scope()).prop_map(|(session, age, scope)| Step::Refresh { session, age, scope }),
        1 => index().prop_map(Step::RevokeAccess),
        1 => (index(), age()).prop_map(|(session, age)| Step::RevokeRefresh { session, age }),
        2 => index().prop_map(Step::SignOut),
        2 => index().prop_map(Step::EndOthers),
        1 => (index(), index()).prop_map(|(token, session)| Step::EndOne { token, session }),
        1 => index().prop_map(Step::List),
        2 => user().prop_map(|user| Step::DisableOrEnable { user }),
        1 => user().prop_map(|user| Step::DeleteOrRegister { user }),
        1 => user().prop_map(|user| Step::GiveOrTakeScope { user }),
        2 => Just(Step::RotateKeys),
        1 => index().prop_map(Step::RetireKey),
        10 => span.prop_map(Step::Pass),
        1 => Just(Step::Tend),
        1 => Just(Step::Restart),
    ]
}

/// What the program should think, as simply as it can be said.
#[derive(Default)]
struct Model {
    /// Everybody who ever was.
    users: Vec<User>,
    /// Who has the first and the second name now, or had it last.
    named: [usize; 2],
    sessions: Vec<Session>,
    tokens: Vec<Token>,
    keys: Vec<Key>,
    replays: usize,
}

struct User {
    id: UserId,
    name: String,
    exists: bool,
    disabled: bool,
    scopes: Scopes,
}

struct Session {
    user: usize,
    id: SessionId,
    ended: bool,
    scopes: Scopes,
    /// All that there were; the last one is the current one.
    refresh: Vec<String>,
    refreshed_at: Timestamp,
    expires_at: Timestamp,
}

/// An access token.
struct Token {
    text: String,
    session: usize,
    kid: String,
    scopes: Scopes,
    expires_at: Timestamp,
}

struct Key {
    kid: String,
    retires_at: Option<Timestamp>,
}

impl Model {
    fn is_live(&self, session: usize, now: Timestamp) -> bool {
        let session = &self.sessions[session];
        let user = &self.users[session.user];
        !session.ended
            && user.exists
            && !user.disabled
            && now < session.expires_at
            && now < session.refreshed_at.after(IDLE_TTL.duration())
    }

    /// What this token opens now, if it is good.
    fn opens(&self, token: &Token, now: Timestamp) -> Option<Scopes> {
        let session = &self.sessions[token.session];
        let has_key = self
            .keys
            .iter()
            .any(|key| key.kid == token.kid && key.retires_at.is_none_or(|end| now < end));
        let good = self.is_live(token.session, now) && has_key && now < token.expires_at.after(SKEW);
        let user = &self.users[session.user];
        good.then(|| {
            token
                .scopes
                .clone()
                .intersection(&user.scopes)
                .intersection(&session.scopes)
        })
    }

    /// The status that a route of the user's own account answers to this token; 204 where it does what it is there for.
    fn own_account(&self, token: usize, now: Timestamp) -> u16 {
        match self.opens(&self.tokens[token], now) {
            None => 401,
            Some(scopes) if scopes.contains("user") => 204,
            Some(_) => 403,
        }
    }

    fn end_sessions(&mut self, user: usize, kept: Option<usize>) {
        for (number, session) in self.sessions.iter_mut().enumerate() {
            if session.user == user && Some(number) != kept {
                session.ended = true;
            }
        }
    }
}

/// A running program, and what it takes to start it again. One for all histories, each of which has users of its own.
struct World {
    app: Option<App>,
    /// Where its store is; in memory if there is none.
    dir: Option<TempDir>,
    master: MasterKey,
    clock: Arc<ManualClock>,
    /// A user whose password all others have.
    like: UserRecord,
    histories: usize,
}

fn settings() -> Settings {
    let mut settings = testing::settings();
    settings.access_token_ttl = ACCESS_TTL;
    settings.refresh_idle_ttl = IDLE_TTL;
    settings.session_ttl = SESSION_TTL;
    settings.refresh_retry_window = WINDOW;
    settings
}

fn store_in(dir: &TempDir) -> Arc<dyn Store> {
    loop {
        match SledStore::open(dir.path(), SledOptions::default()) {
            Ok(store) => return Arc::new(store),
            // A scan of the background work may still have held it when the rest was gone.
            Err(OpenError::InUse { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

impl World {
    async fn new(on_disk: bool) -> Self {
        let dir = on_disk.then(|| tempfile::tempdir().expect("a temporary directory"));
        let store = dir.as_ref().map_or_else(|| Arc::new(MemoryStore::new()) as _, store_in);
        let (master, clock) = (MasterKey::generate(&SystemRandom), Arc::new(ManualClock::default()));
        let app = App::on(settings(), store, &master, Arc::clone(&clock)).await;
        let like = app.register("like").await;
        Self {
            app: Some(app),
            dir,
            master,
            clock,
            like,
            histories: 0,
        }
    }

    fn app(&self) -> &App {
        self.app.as_ref().expect("it runs")
    }

    async fn restart(&mut self) {
        let app = self.app.take().expect("it runs");
        let store = if let Some(dir) = &self.dir {
            app.stop().await;
            store_in(dir)
        } else {
            // A store in memory is not closed: what it holds is there as long as it is.
            let store = Arc::clone(app.shild.store());
            app.client.rocket().shutdown().notify();
            drop(app);
            while Arc::strong_count(&store) > 1 {
                tokio::task::yield_now().await;
            }
            store
        };
        self.app = Some(App::on(settings(), store, &self.master, Arc::clone(&self.clock)).await);
    }

    async fn add_user(&self, model: &mut Model, name: String) -> usize {
        let scope = "notes user";
        let user = self.app().add_user(&self.like, &name, scope).await;
        model.users.push(User {
            id: user.id,
            name,
            exists: true,
            disabled: false,
            scopes: scopes(scope),
        });
        model.users.len() - 1
    }

    async fn history(&mut self, steps: Vec<Step>) {
        let number = self.histories;
        self.histories += 1;
        let keys = self.app().shild.public_keys();
        let mut model = Model {
            keys: keys.into_iter().map(Key::of).collect(),
            ..Model::default()
        };
        for (slot, letter) in ["a", "b"].into_iter().enumerate() {
            model.named[slot] = self.add_user(&mut model, format!("user{number}{letter}")).await;
        }
        // So that the first steps have something to go by.
        let first = model.named[0];
        self.sign_in(&mut model, first, None).await;
        for step in steps {
            self.take(&mut model, &step).await;
            self.compare(&model, &step).await;
        }
        self.compare_refresh_tokens(&mut model).await;
        self.compare_audit(&model).await;
    }

    #[expect(clippy::too_many_lines, reason = "a list of all that can happen")]
    async fn take(&mut self, model: &mut Model, step: &Step) {
        let app = self.app();
        let now = app.now();
        match step {
            Step::SignIn { user, scope } => self.sign_in(model, model.named[*user], *scope).await,
            Step::Refresh { session, age, scope } if !model.sessions.is_empty() => {
                let session = session.index(model.sessions.len());
                self.refresh(model, session, *age, *scope).await;
            }
            Step::RevokeAccess(token) if !model.tokens.is_empty() => {
                let token = token.index(model.tokens.len());
                let (status, _) = app.form("/revoke", None, &[("token", &model.tokens[token].text)]).await;
                assert_eq!(status, 200);
                if model.opens(&model.tokens[token], now).is_some() {
                    let session = model.tokens[token].session;
                    model.sessions[session].ended = true;
                }
            }
            Step::RevokeRefresh { session, age } if !model.sessions.is_empty() => {
                let session = session.index(model.sessions.len());
                let session = &mut model.sessions[session];
                let (token, _) = session.token_of_age(*age);
                assert_eq!(app.form("/revoke", None, &[("token", token)]).await.0, 200);
                session.ended = true;
            }
            Step::SignOut(token) if !model.tokens.is_empty() => {
                let token = token.index(model.tokens.len());
                let (status, _) = app.post("/logout", &model.tokens[token].text).await;
                assert_eq!(status, model.own_account(token, now));
                if status == 204 {
                    let session = model.tokens[token].session;
                    model.sessions[session].ended = true;
                }
            }
            Step::EndOthers(token) if !model.tokens.is_empty() => {
                let token = token.index(model.tokens.len());
                let (status, _) = app.delete_at("/user/me/sessions", &model.tokens[token].text).await;
                assert_eq!(status, model.own_account(token, now));
                if status == 204 {
                    let kept = model.tokens[token].session;
                    model.end_sessions(model.sessions[kept].user, Some(kept));
                }
            }
            Step::EndOne { token, session } if !model.tokens.is_empty() => {
                let token = token.index(model.tokens.len());
                let target = session.index(model.sessions.len());
                let path = format!("/user/me/sessions/{}", model.sessions[target].id);
                let (status, _) = app.delete_at(&path, &model.tokens[token].text).await;
                let expected = model.own_account(token, now);
                if expected != 204 {
                    assert_eq!(status, expected);
                } else if model.sessions[target].user != model.sessions[model.tokens[token].session].user {
                    assert_eq!(status, 404, "somebody else's");
                } else {
                    // A dead one may or may not have been swept out already.
                    assert!(status == 204 || (status == 404 && !model.is_live(target, now)));
                    model.sessions[target].ended = true;
                }
            }
            Step::List(token) if !model.tokens.is_empty() => {
                let token = token.index(model.tokens.len());
                let (status, body) = app.get("/user/me/sessions", &model.tokens[token].text).await;
                match model.own_account(token, now) {
                    204 => assert_eq!(listed(&body), self.live_sessions(model, token)),
                    refusal => assert_eq!(status, refusal),
                }
            }
            Step::DisableOrEnable { user } if model.users[model.named[*user]].exists => {
                let user = model.named[*user];
                if model.users[user].disabled {
                    app.enable(model.users[user].id).await;
                } else {
                    app.disable(model.users[user].id).await;
                    model.end_sessions(user, None);
                }
                model.users[user].disabled ^= true;
            }
            Step::DeleteOrRegister { user } => {
                let current = &mut model.users[model.named[*user]];
                if current.exists {
                    app.delete(current.id).await;
                    current.exists = false;
                } else {
                    // The same name for somebody new (requirement P4).
                    let name = current.name.clone();
                    model.named[*user] = self.add_user(model, name).await;
                }
            }
            Step::GiveOrTakeScope { user } if model.users[model.named[*user]].exists => {
                let user = &mut model.users[model.named[*user]];
                user.scopes = scopes(if user.scopes.contains("notes") {
                    "user"
                } else {
                    "notes user"
                });
                app.change_user(user.id, |record| record.scopes = user.scopes.clone())
                    .await;
            }
            Step::RotateKeys => {
                app.shild.rotate_keys(Actor::System, &Origin::default()).await.unwrap();
                let end = now.after(ACCESS_TTL.duration() + SKEW);
                for key in &mut model.keys {
                    key.retires_at.get_or_insert(end);
                }
                model.learn_new_key(&app.shild.public_keys());
            }
            Step::RetireKey(key) => {
                let listed = app.shild.public_keys();
                let kid = &key.get(&listed).kid;
                app.shild
                    .retire_key(kid, Actor::System, &Origin::default())
                    .await
                    .unwrap();
                model.keys.retain(|key| key.kid != *kid);
                model.learn_new_key(&app.shild.public_keys());
            }
            Step::Pass(span) => app.advance(*span),
            Step::Tend => app.shild.step(&mut Rounds::default()).await,
            Step::Restart => self.restart().await,
            // There is nothing yet to do it with.
            _ => {}
        }
    }

    async fn sign_in(&self, model: &mut Model, user: usize, scope: Option<&str>) {
        let app = self.app();
        let now = app.now();
        let who = &model.users[user];
        let answer = app.try_sign_in(&who.name, scope).await;
        if !who.exists || who.disabled {
            assert_eq!(answer, refused("invalid_grant"));
            return;
        }
        let Some(granted) = granted(scope, &who.scopes) else {
            assert_eq!(answer, refused("invalid_scope"));
            return;
        };
        let tokens = answer.expect("a sign-in");
        let (_, id) = app.session_of(&tokens.access).await;
        model.sessions.push(Session {
            user,
            id,
            ended: false,
            scopes: granted.clone(),
            refresh: vec![tokens.refresh.clone()],
            refreshed_at: now,
            expires_at: now.after(SESSION_TTL.duration()),
        });
        model.issued(model.sessions.len() - 1, tokens, granted, now);
    }

    async fn refresh(&self, model: &mut Model, session: usize, age: usize, scope: Option<&str>) {
        let app = self.app();
        let now = app.now();
        let live = model.is_live(session, now);
        let was = &mut model.sessions[session];
        let (token, age) = was.token_of_age(age);
        let answer: Result<Tokens, Refusal> = app.refresh_for(token, scope).await;
        let is_retry = age == 1 && now < was.refreshed_at.after(WINDOW.duration());
        if !live {
            assert_eq!(answer, refused("invalid_grant"));
            return;
        }
        if age > 0 && !is_retry {
            assert_eq!(answer, refused("invalid_grant"));
            was.ended = true;
            model.replays += 1;
            return;
        }
        let Some(granted) = granted(scope, &was.scopes.clone().intersection(&model.users[was.user].scopes)) else {
            assert_eq!(answer, refused("invalid_scope"));
            return;
        };
        let tokens = answer.expect("new tokens");
        if is_retry {
            assert_eq!(was.refresh.last(), Some(&tokens.refresh), "the same successor");
        } else {
            assert!(!was.refresh.contains(&tokens.refresh), "a new one");
            was.refresh.push(tokens.refresh.clone());
            was.refreshed_at = now;
        }
        model.issued(session, tokens, granted, now);
    }

    fn live_sessions(&self, model: &Model, token: usize) -> Vec<String> {
        let now = self.app().now();
        let user = model.sessions[model.tokens[token].session].user;
        let mut live: Vec<_> = (0..model.sessions.len())
            .filter(|number| model.sessions[*number].user == user && model.is_live(*number, now))
            .map(|number| model.sessions[number].id.to_string())
            .collect();
        live.sort();
        live
    }

    /// Exactly the model's tokens are accepted, and its keys are listed.
    async fn compare(&self, model: &Model, after: &Step) {
        let app = self.app();
        let now = app.now();
        for (number, token) in model.tokens.iter().enumerate() {
            let accepted = app.shild.authenticate(&token.text).await.ok().map(|found| found.scopes);
            assert_eq!(
                accepted,
                model.opens(token, now),
                "access token {number} after {after:?}"
            );
        }
        let listed: Vec<_> = app.shild.public_keys().into_iter().map(|key| key.kid).collect();
        let expected: Vec<_> = model
            .keys
            .iter()
            .filter(|key| key.retires_at.is_none_or(|end| now < end))
            .map(|key| key.kid.clone())
            .collect();
        assert_eq!(listed, expected, "after {after:?}");
    }

    /// Exactly the refresh tokens of the model's live sessions are good.
    async fn compare_refresh_tokens(&self, model: &mut Model) {
        for session in 0..model.sessions.len() {
            self.refresh(model, session, 0, None).await;
        }
    }

    async fn compare_audit(&self, model: &Model) {
        let mut found = 0;
        for user in &model.users {
            let filter = AuditFilter {
                user_id: Some(user.id),
                kind: Some(AuditKind::RefreshReused),
            };
            let events = self.app().shild.store().list_events(&filter, None, 1000).await;
            found += events.unwrap().len();
        }
        assert_eq!(found, model.replays, "each replay is in the audit log");
    }
}

impl Model {
    fn issued(&mut self, session: usize, tokens: Tokens, granted: Scopes, now: Timestamp) {
        let issued = now.truncate_to_secs();
        let end = issued
            .after(ACCESS_TTL.duration())
            .min(self.sessions[session].expires_at);
        let expires_at = end.truncate_to_secs();
        assert_eq!(tokens.scope, granted.to_string());
        assert_eq!(tokens.expires_in, expires_at.since(issued).as_secs());
        self.tokens.push(Token {
            text: tokens.access,
            session,
            kid: self.keys.last().expect("there is an active key").kid.clone(),
            scopes: granted,
            expires_at,
        });
    }

    fn learn_new_key(&mut self, listed: &[KeyView]) {
        let active = listed.last().expect("there is an active key");
        if self.keys.iter().all(|key| key.kid != active.kid) {
            self.keys.push(Key::of(active.clone()));
        }
    }
}

impl Key {
    fn of(view: KeyView) -> Self {
        Self {
            kid: view.kid,
            retires_at: view.retires_at,
        }
    }
}

impl Session {
    /// The refresh token so many rotations old, or the oldest one; and how old that is.
    fn token_of_age(&self, age: usize) -> (&str, usize) {
        let age = age.min(self.refresh.len() - 1);
        (&self.refresh[self.refresh.len() - 1 - age], age)
    }
}

fn granted(asked: Option<&str>, available: &Scopes) -> Option<Scopes> {
    match asked.map(scopes) {
        None => Some(available.clone()),
        Some(asked) => asked.is_subset(available).then_some(asked),
    }
}

fn listed(body: &serde_json::Value) -> Vec<String> {
    let items = body["items"].as_array().expect("a list");
    let ids = items.iter().map(|item| item["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

/// Runs so many histories, or as many as `PROPTEST_CASES` says.
fn run(cases: u32, longest: usize, on_disk: bool) {
    // Of one thread, so that whoever let go of a store has dropped it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = RefCell::new(None);
    let mut config = Config {
        source_file: Some(file!()),
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&prop::collection::vec(step(), 1..longest), |steps| {
        // One that a history has failed in is not used again.
        let mut current = match world.take() {
            Some(current) => current,
            None => runtime.block_on(World::new(on_disk)),
        };
        runtime.block_on(current.history(steps));
        world.replace(Some(current));
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => panic!("{why}\nafter {steps:#?}"),
        Err(abort) => panic!("{abort}"),
    }
}

// T14-T19, P4, P12
#[test]
fn seven_hundred_histories_in_memory_are_as_the_model_says() {
    run(700, 30, false);
}

// T14-T19, P4, P12
#[test]
fn three_hundred_histories_on_sled_are_as_the_model_says() {
    run(300, 12, true);
}
