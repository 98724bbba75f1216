//! What must be there: the accounts of one worker, as the acknowledged changes have left them, with the changes in doubt.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

use crate::http::Request;
use crate::rng::Rng;

/// A session must be younger than ten minutes to delete its account.
const RECENT: Duration = Duration::from_secs(8 * 60);

/// Most accounts that a worker has at once, and most sessions of one of them.
const ACCOUNTS: usize = 6;
const SESSIONS: usize = 4;

/// How many ended sessions an account remembers.
const ENDED: usize = 4;

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// How often it was refreshed.
    generation: u64,
    opened: Instant,
}

impl Session {
    /// What the answer of the token endpoint says.
    pub(crate) fn of(answer: &Value) -> Self {
        let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
        Self {
            id: session_id(&text("access_token")).unwrap_or_default(),
            access: text("access_token"),
            refresh: text("refresh_token"),
            generation: 0,
            opened: Instant::now(),
        }
    }
}

/// The claim `sid` of a PASETO v4.public, whose signature is not this program's business.
fn session_id(token: &str) -> Option<String> {
    let payload = token.strip_prefix("v4.public.")?.split('.').next()?;
    let bytes = Base64UrlUnpadded::decode_vec(payload).ok()?;
    let claims: Value = serde_json::from_slice(&bytes[..bytes.len().checked_sub(64)?]).ok()?;
    Some(claims["sid"].as_str()?.to_owned())
}

/// A change. Sessions are named by their ids.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Register { name: String, password: String },
    SignIn,
    Refresh { session: String },
    Password { by: String, new: String },
    Rename { by: String, new: String },
    EndSession { by: String, session: String },
    EndOthers { by: String },
    SignOut { session: String },
    Delete { by: String },
}

impl Change {
    /// Whether it writes the user, be it anew; all others write a session.
    const fn writes_the_user(&self) -> bool {
        matches!(
            self,
            Self::Register { .. } | Self::Password { .. } | Self::Rename { .. } | Self::EndOthers { .. }
        )
    }
}

/// What there is of each user, by its id: name, version, and of each session that is alive the generation.
pub(crate) type Users = BTreeMap<String, (String, u64, BTreeMap<String, u64>)>;

/// A change of one of the worker's accounts.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) account: u64,
    pub(crate) change: Change,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) password: String,
    /// Those that are alive.
    pub(crate) sessions: Vec<Session>,
    /// Some of those that are not.
    pub(crate) ended: Vec<Session>,
    /// A change that was asked for and not acknowledged: it has happened or not, whole.
    pub(crate) doubt: Option<Change>,
    /// How often the user itself was written.
    version: u64,
    /// Whether it was looked at since it was last changed.
    pub(crate) checked: bool,
}

impl Account {
    pub(crate) fn session(&self, id: &str) -> &Session {
        let found = self.sessions.iter().find(|session| session.id == id);
        found.expect("a change names a session that is alive")
    }

    /// The sessions for which `stays` does not hold are over.
    pub(crate) fn end(&mut self, stays: impl Fn(&Session) -> bool) {
        let (stay, end) = self.sessions.drain(..).partition(|session| stays(session));
        self.sessions = stay;
        self.ended.extend::<Vec<_>>(end);
        self.ended.drain(..self.ended.len().saturating_sub(ENDED));
    }

    fn youngest(&self) -> Option<&Session> {
        self.sessions.iter().max_by_key(|session| session.opened)
    }
}

/// The accounts of one worker, which nobody else changes.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// What its names begin with.
    prefix: String,
    names: u64,
    accounts_made: u64,
    pub(crate) accounts: BTreeMap<u64, Account>,
    /// Deleted, and not looked for since.
    pub(crate) gone: Vec<Account>,
}

/// A text of letters that look like nothing else.
fn letters(mut number: u64) -> String {
    const LETTERS: [char; 16] = [
        'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'p', 'q', 't', 'v', 'w', 'x', 'y', 'z',
    ];
    let mut text = String::new();
    loop {
        text.push(LETTERS[usize::try_from(number % 16).expect("below 16")]);
        number /= 16;
        if number == 0 {
            return text;
        }
    }
}

impl World {
    pub(crate) fn new(worker: usize) -> Self {
        Self {
            prefix: format!("a{}a", letters(worker as u64)),
            names: 0,
            accounts_made: 0,
            accounts: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("{}{}", self.prefix, letters(self.names))
    }

    /// What to do next. Accounts in doubt are left alone.
    pub(crate) fn next(&mut self, rng: &mut Rng) -> Step {
        let free: Vec<u64> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.doubt.is_none())
            .map(|(key, _)| *key)
            .collect();
        if free.len() < 3 || (self.accounts.len() < ACCOUNTS && rng.once_in(6)) {
            let account = self.accounts_made;
            self.accounts_made += 1;
            let change = Change::Register {
                name: self.name(),
                password: password(rng),
            };
            return Step { account, change };
        }
        let account = *rng.pick(&free);
        let many = self.accounts.len() >= ACCOUNTS;
        let new_name = self.name();
        let change = self.accounts[&account].next(rng, many, new_name);
        Step { account, change }
    }

    /// The request that asks for it, which has begun.
    pub(crate) fn request(&self, step: &Step) -> Request {
        let account = &self.accounts[&step.account];
        let access = |id: &str| account.session(id).access.as_str();
        let to = |method, path: &str, by| Request::new(method, path, Some(access(by)));
        match &step.change {
            Change::Register { name, password } => register(name, password),
            Change::SignIn => sign_in(&account.name, &account.password),
            Change::Refresh { session } => refresh(&account.session(session).refresh),
            Change::Password { by, new } => to("POST", "/user/me/password", by)
                .json(&json!({"current_password": account.password, "new_password": new})),
            Change::Rename { by, new } => to("PATCH", "/user/me", by).json(&json!({ "username": new })),
            Change::EndSession { by, session } => to("DELETE", &format!("/user/me/sessions/{session}"), by).empty(),
            Change::EndOthers { by } => to("DELETE", "/user/me/sessions", by).empty(),
            Change::SignOut { session } => to("POST", "/logout", session).empty(),
            Change::Delete { by } => to("DELETE", "/user/me", by).empty(),
        }
    }

    /// It is asked for, and in doubt from here on.
    pub(crate) fn begin(&mut self, step: &Step) {
        if let Change::Register { name, password } = &step.change {
            let made = Account {
                name: name.clone(),
                password: password.clone(),
                ..Account::default()
            };
            self.accounts.insert(step.account, made);
        }
        let account = self.account(step.account);
        account.doubt = Some(step.change.clone());
        account.checked = false;
    }

    /// It was acknowledged with this answer.
    pub(crate) fn acknowledged(&mut self, step: &Step, answer: &Value) {
        let account = self.account(step.account);
        account.doubt = None;
        account.version += u64::from(step.change.writes_the_user());
        match &step.change {
            Change::Register { .. } => answer["id"].as_str().unwrap_or_default().clone_into(&mut account.id),
            Change::SignIn => account.sessions.push(Session::of(answer)),
            Change::Refresh { session } => {
                let next = Session::of(answer);
                let found = account.sessions.iter_mut().find(|known| known.id == *session);
                let known = found.expect("it was alive when it was refreshed");
                known.access = next.access;
                known.refresh = next.refresh;
                known.generation += 1;
            }
            Change::Password { by, new } => {
                account.password.clone_from(new);
                account.end(|session| session.id == *by);
            }
            Change::Rename { new, .. } => account.name.clone_from(new),
            Change::EndSession { session, .. } | Change::SignOut { session } => {
                account.end(|known| known.id != *session);
            }
            Change::EndOthers { by } => account.end(|session| session.id == *by),
            Change::Delete { .. } => {
                account.end(|_| false);
                let gone = self.accounts.remove(&step.account).expect("it is there");
                self.gone.push(gone);
            }
        }
    }

    /// As an export would show them.
    pub(crate) fn users(&self) -> Users {
        let accounts = self.accounts.values();
        let users = accounts.map(|account| {
            let sessions = account.sessions.iter();
            let sessions = sessions
                .map(|session| (session.id.clone(), session.generation))
                .collect();
            (account.id.clone(), (account.name.clone(), account.version, sessions))
        });
        users.collect()
    }

    fn account(&mut self, key: u64) -> &mut Account {
        self.accounts
            .get_mut(&key)
            .expect("a step is about an account that is known")
    }
}

impl Account {
    fn next(&self, rng: &mut Rng, many: bool, new_name: String) -> Change {
        let Some(session) = self.sessions.get(rng.index(self.sessions.len().max(1))) else {
            return Change::SignIn;
        };
        let by = session.id.clone();
        match rng.below(20) {
            0..4 if self.sessions.len() < SESSIONS => Change::SignIn,
            0..9 => Change::Refresh { session: by },
            9..11 => Change::Password { by, new: password(rng) },
            11..13 => Change::Rename { by, new: new_name },
            13..15 => Change::EndSession {
                by,
                session: rng.pick(&self.sessions).id.clone(),
            },
            15 => Change::EndOthers { by },
            16..18 => Change::SignOut { session: by },
            _ if !many => Change::SignIn,
            _ => match self.youngest().filter(|session| session.opened.elapsed() < RECENT) {
                Some(session) => Change::Delete { by: session.id.clone() },
                None => Change::SignIn,
            },
        }
    }
}

fn password(rng: &mut Rng) -> String {
    format!("{:08x}", rng.below(1 << 32))
}

pub(crate) fn register(name: &str, password: &str) -> Request {
    Request::new("POST", "/register", None).json(&json!({"username": name, "password": password}))
}

pub(crate) fn sign_in(name: &str, password: &str) -> Request {
    let fields = [("grant_type", "password"), ("username", name), ("password", password)];
    Request::new("POST", "/shild", None).form(&fields)
}

pub(crate) fn refresh(token: &str) -> Request {
    Request::new("POST", "/shild", None).form(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}
