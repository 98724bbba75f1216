//! Whether a server has what its answers promised: every acknowledged change, and of each one in doubt all or nothing.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::json;

use crate::http::{Answer, Connection, Request};
use crate::rng::Rng;
use crate::world::{self, Account, Change, Session, World};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A token or a password leads to somebody else.
    Identity,
    /// An acknowledged change is not there.
    Lost,
    /// Something is there in part.
    Half,
    /// No answer.
    Hang,
    /// The server did not start.
    Unopened,
    /// `shild verify` disagrees.
    Unsound,
    /// It takes more and more.
    Growth,
    /// An answer that nobody expects.
    Strange,
}

#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

type Outcome<T> = Result<T, Finding>;

fn finding<T>(kind: Kind, text: impl Into<String>) -> Outcome<T> {
    let text = text.into();
    Err(Finding { kind, text })
}

/// Looks at the accounts that were changed, and at one of `others` of the rest.
pub(crate) fn check(connection: &mut Connection, world: &mut World, rng: &mut Rng, others: u64) -> Vec<Finding> {
    let mut server = Asker { connection };
    let mut findings = Vec::new();
    for gone in std::mem::take(&mut world.gone) {
        findings.extend(server.gone(&gone).err());
    }
    let mut absent = Vec::new();
    for (key, account) in &mut world.accounts {
        if account.checked && !rng.once_in(others) {
            continue;
        }
        match server.account(account, rng) {
            Ok(true) => account.checked = true,
            Ok(false) => absent.push(*key),
            Err(mut finding) => {
                finding.text = format!("account {} {}: {}", account.name, account.id, finding.text);
                findings.push(finding);
                absent.push(*key);
            }
        }
    }
    for key in absent {
        world.accounts.remove(&key);
    }
    findings
}

struct Asker<'a> {
    connection: &'a mut Connection,
}

impl Asker<'_> {
    fn ask(&mut self, request: &Request) -> Outcome<Answer> {
        match self.connection.ask(request) {
            Ok(answer) => Ok(answer),
            Err(error) => finding(Kind::Hang, format!("no answer: {error}")),
        }
    }

    /// A new session, if this is a name with its password.
    fn sign_in(&mut self, name: &str, password: &str) -> Outcome<Option<Session>> {
        let answer = self.ask(&world::sign_in(name, password))?;
        match answer.status {
            200 => Ok(Some(Session::of(&answer.body))),
            400 if answer.text("error") == "invalid_grant" => Ok(None),
            status => finding(Kind::Strange, format!("a sign-in answers {status} {}", answer.body)),
        }
    }

    fn sign_in_or(&mut self, kind: Kind, name: &str, password: &str, text: &str) -> Outcome<Session> {
        match self.sign_in(name, password)? {
            Some(session) => Ok(session),
            None => finding(kind, text),
        }
    }

    /// Whose token this is: id and name; nobody's if it is refused.
    fn whose(&mut self, session: &Session) -> Outcome<Option<(String, String)>> {
        let answer = self.ask(&Request::new("GET", "/user/me", Some(&session.access)).empty())?;
        match answer.status {
            200 => Ok(Some((answer.text("id").to_owned(), answer.text("username").to_owned()))),
            401 => Ok(None),
            status => finding(Kind::Strange, format!("/user/me answers {status} {}", answer.body)),
        }
    }

    /// The id that a registration gives, if the name is free.
    fn register(&mut self, name: &str, password: &str) -> Outcome<Option<String>> {
        let answer = self.ask(&world::register(name, password))?;
        match answer.status {
            201 => Ok(Some(answer.text("id").to_owned())),
            409 => Ok(None),
            status => finding(
                Kind::Strange,
                format!("a registration answers {status} {}", answer.body),
            ),
        }
    }

    fn expect(&mut self, status: u16, request: &Request, what: &str) -> Outcome<Answer> {
        let answer = self.ask(request)?;
        if answer.status == status {
            return Ok(answer);
        }
        finding(
            Kind::Strange,
            format!("{what} answers {} {}", answer.status, answer.body),
        )
    }

    /// A name that leads to nobody can be taken; it is given back.
    fn free(&mut self, name: &str) -> Outcome<()> {
        let password = "violet-harbour-5-quilt";
        if self.register(name, password)?.is_none() {
            return finding(Kind::Half, format!("the name {name} leads to nobody and is taken"));
        }
        let session = self.sign_in_or(Kind::Lost, name, password, "just registered, it cannot sign in")?;
        let delete = Request::new("DELETE", "/user/me", Some(&session.access)).empty();
        self.expect(204, &delete, "deleting an account").map(drop)
    }

    /// A deleted account is gone in every way.
    fn gone(&mut self, account: &Account) -> Outcome<()> {
        if self.sign_in(&account.name, &account.password)?.is_some() {
            return finding(Kind::Lost, format!("{} was deleted and can sign in", account.name));
        }
        self.over(&account.ended)?;
        self.free(&account.name)
    }

    /// The tokens of these sessions are refused.
    fn over(&mut self, sessions: &[Session]) -> Outcome<()> {
        for session in sessions {
            if self.whose(session)?.is_some() {
                return finding(Kind::Lost, format!("session {} was ended and is alive", session.id));
            }
            let answer = self.ask(&world::refresh(&session.refresh))?;
            if answer.status >= 500 {
                return finding(
                    Kind::Strange,
                    format!("a refresh answers {} {}", answer.status, answer.body),
                );
            }
            if answer.status != 400 {
                return finding(Kind::Lost, format!("session {} was ended and refreshes", session.id));
            }
        }
        Ok(())
    }

    /// Whether the account is there, as it must be. What was in doubt is settled in it.
    fn account(&mut self, account: &mut Account, rng: &mut Rng) -> Outcome<bool> {
        let doubt = account.doubt.take();
        let unknown_session = matches!(doubt, Some(Change::SignIn));
        let Some(fresh) = self.settle(account, doubt)? else {
            return Ok(false);
        };
        self.sessions(account, &fresh, unknown_session)?;
        if !account.sessions.is_empty() {
            let index = rng.index(account.sessions.len());
            let session = &mut account.sessions[index];
            let answer = self.ask(&world::refresh(&session.refresh))?;
            if answer.status != 200 {
                let kind = if answer.status == 400 {
                    Kind::Lost
                } else {
                    Kind::Strange
                };
                let text = format!(
                    "a refresh of session {} answers {} {}",
                    session.id, answer.status, answer.body
                );
                return finding(kind, text);
            }
            let next = Session::of(&answer.body);
            (session.access, session.refresh) = (next.access, next.refresh);
        }
        let path = format!("/user/me/sessions/{}", fresh.id);
        let end = Request::new("DELETE", &path, Some(&fresh.access)).empty();
        self.expect(204, &end, "ending a session")?;
        Ok(true)
    }

    /// Finds out what came of a change in doubt; a new session of the account, or `None` if there is no account.
    fn settle(&mut self, account: &mut Account, doubt: Option<Change>) -> Outcome<Option<Session>> {
        let (name, password) = (account.name.clone(), account.password.clone());
        let fresh = match doubt {
            Some(Change::Register { .. }) => {
                let Some(session) = self.sign_in(&name, &password)? else {
                    self.free(&name)?;
                    return Ok(None);
                };
                match self.whose(&session)? {
                    Some((id, _)) => account.id = id,
                    None => return finding(Kind::Half, "it signs in and its token is refused"),
                }
                session
            }
            Some(Change::Delete { .. }) => {
                let Some(session) = self.sign_in(&name, &password)? else {
                    account.end(|_| false);
                    self.over(&account.ended)?;
                    self.free(&name)?;
                    return Ok(None);
                };
                session
            }
            Some(Change::Password { by, new }) => {
                if let Some(session) = self.sign_in(&name, &password)? {
                    session
                } else {
                    account.password = new;
                    account.end(|session| session.id == by);
                    let text = "neither the password of before nor the one of after signs in";
                    self.sign_in_or(Kind::Lost, &name, &account.password, text)?
                }
            }
            Some(Change::Rename { new, .. }) => {
                let (session, other) = if let Some(session) = self.sign_in(&name, &password)? {
                    (session, new)
                } else {
                    account.name = new;
                    let text = "neither the name of before nor the one of after signs in";
                    (self.sign_in_or(Kind::Lost, &account.name, &password, text)?, name)
                };
                self.free(&other)?;
                session
            }
            other => {
                let session = self.sign_in_or(Kind::Lost, &name, &password, "it cannot sign in")?;
                self.settle_sessions(account, other)?;
                session
            }
        };
        Ok(Some(fresh))
    }

    fn settle_sessions(&mut self, account: &mut Account, doubt: Option<Change>) -> Outcome<()> {
        match doubt {
            Some(Change::EndSession { session, .. } | Change::SignOut { session }) => {
                let alive = self.whose(account.session(&session))?.is_some();
                account.end(|known| alive || known.id != session);
            }
            Some(Change::EndOthers { by }) => {
                let mut alive = Vec::new();
                for session in account.sessions.iter().filter(|session| session.id != by) {
                    alive.push(self.whose(session)?.is_some());
                }
                if alive.windows(2).any(|pair| pair[0] != pair[1]) {
                    return finding(Kind::Half, "some of the other sessions were ended, some not");
                }
                if alive.first() == Some(&false) {
                    account.end(|session| session.id == by);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The sessions are those that must be there, with the one that has just been opened, and each is this account's.
    fn sessions(&mut self, account: &Account, fresh: &Session, unknown_session: bool) -> Outcome<()> {
        let list = Request::new("GET", "/user/me/sessions?limit=200", Some(&fresh.access)).empty();
        let answer = self.expect(200, &list, "the list of sessions")?;
        let items = answer.body["items"].as_array().cloned().unwrap_or_default();
        let listed: BTreeSet<&str> = items.iter().filter_map(|item| item["id"].as_str()).collect();
        let known = account.sessions.iter().chain([fresh]);
        let known: BTreeSet<&str> = known.map(|session| session.id.as_str()).collect();
        if let Some(lost) = known.difference(&listed).next() {
            return finding(Kind::Lost, format!("session {lost} is not listed"));
        }
        let unknown: Vec<_> = listed.difference(&known).collect();
        if unknown.len() > usize::from(unknown_session) {
            return finding(Kind::Lost, format!("sessions {unknown:?} were ended and are listed"));
        }
        for id in unknown {
            let end = Request::new("DELETE", &format!("/user/me/sessions/{id}"), Some(&fresh.access)).empty();
            self.expect(204, &end, "ending a session")?;
        }
        let whole = (account.id.clone(), account.name.clone());
        for session in account.sessions.iter().chain([fresh]) {
            match self.whose(session)? {
                Some(found) if found == whole => {}
                Some(found) if found.0 == whole.0 => {
                    return finding(Kind::Lost, format!("its name is {}", found.1));
                }
                Some(found) => return finding(Kind::Identity, format!("its token is that of {found:?}")),
                None => return finding(Kind::Lost, format!("session {} is refused", session.id)),
            }
        }
        self.over(&account.ended)
    }
}

/// Whether the server takes changes: one is made.
pub(crate) fn takes_changes(connection: &mut Connection, name: &str) -> bool {
    let request =
        Request::new("POST", "/register", None).json(&json!({"username": name, "password": "violet-harbour-5-quilt"}));
    connection.ask(&request).is_ok_and(|answer| answer.status == 201)
}
