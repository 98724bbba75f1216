//! Register, and sign in.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::audit::{Actor, AuditEvent, AuditKind};
use crate::config::Registration;
use crate::error::{Error, Problem};
use crate::oauth::OAuthError;
use crate::origin::Origin;
use crate::password::{HashError, NewPasswordError, Password, PasswordHash, Verdict, WeakPassword};
use crate::shild::Shild;
use crate::store::StoreError;
use crate::user::{EventId, Scopes, User, UserId, UserRecord, Username};

/// What a sign-in is asked with.
pub(crate) struct SignIn<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    /// The scopes asked for; all of the user's if there are none.
    pub(crate) scope: Option<Scopes>,
    pub(crate) client_id: Option<String>,
}

/// The answer of the token endpoint (RFC 6749 §5.1).
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Token {
    /// A PASETO v4.public.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// How many seconds the access token lives.
    pub expires_in: u64,
    /// Good for one use.
    pub refresh_token: String,
    /// The scopes that the access token carries, with one space between two.
    pub scope: String,
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::busy("Too many passwords are being checked at this moment."),
            error => {
                tracing::error!(cause = %error, "a password could not be hashed");
                Self::new(Problem::Internal, "The server could not do this.")
            }
        }
    }
}

impl Shild {
    /// Makes an account for somebody who asks for one.
    ///
    /// # Errors
    /// [`Problem::RegistrationClosed`], [`Problem::TooManyRequests`], [`Problem::Unprocessable`] with what is wrong with
    /// the name or the password, [`Problem::UsernameTaken`], [`Problem::Unavailable`].
    pub async fn register(&self, username: &str, password: &str, origin: &Origin) -> Result<User, Error> {
        if self.settings.registration == Registration::Closed {
            return Err(Error::new(
                Problem::RegistrationClosed,
                "Registration is closed; ask an administrator.",
            ));
        }
        self.admit(origin)?;
        let (username, password) = self.parse_credentials(username, password)?;
        let hash = self.accept_password(&username, password, "/password").await?;
        let user = self.new_user(username, Some(hash), Scopes::registered());
        let registered = self.event_about(user.id, AuditKind::Registered, Actor::User(user.id), origin);
        self.store.create(&user, slice::from_ref(&registered)).await?;
        self.happened(&[registered]);
        Ok(user.view())
    }

    /// Opens a session for whoever knows the password.
    ///
    /// A wrong password, an unknown, a locked, a disabled and a deleted user are one and the same `invalid_grant`
    /// (requirement T6), and each costs one hash (W8).
    pub(crate) async fn sign_in(&self, asked: SignIn<'_>, origin: &Origin) -> Result<Token, OAuthError> {
        self.admit(origin)?;
        // The setting is about new names: whoever has a longer one goes on with it.
        let found = match Username::parse(asked.username, usize::MAX) {
            Ok(name) => self.store.find_by_username(&name).await?,
            Err(_) => None,
        };
        let subject = found.as_ref().map(|user| user.id);
        let verdict = self.check_password(found.as_deref(), asked.password).await?;
        let Some(user) = self.judge(found, &verdict, origin).await? else {
            self.audit_failed_sign_in(Actor::Anonymous, subject, origin).await;
            return Err(OAuthError::invalid_grant());
        };
        let granted = match asked.scope {
            None => user.scopes.clone(),
            Some(scope) if scope.is_subset(&user.scopes) => scope,
            Some(_) => {
                self.audit_failed_sign_in(Actor::Anonymous, subject, origin).await;
                return Err(OAuthError::invalid_scope(
                    "A scope that was asked for is not one of this user's",
                ));
            }
        };
        if verdict == Verdict::RightOutdated {
            self.rehash(&user, asked.password).await;
        }
        self.open_session(&user, granted, asked.client_id, origin).await
    }

    /// Whether this is the user's password, at the cost of one hash whoever it is, and whatever is wrong with it (W8). A
    /// stored hash that cannot be used is damage that only the log tells of: it is nobody's password (T6), and a reset mends
    /// it.
    pub(crate) async fn check_password(&self, user: Option<&UserRecord>, password: &str) -> Result<Verdict, Error> {
        let hash = user.and_then(|user| user.password_hash.clone());
        // A password that could never have been set is as wrong as any other.
        let verdict = match Password::parse(password) {
            Ok(password) => self.hasher.verify(password, hash).await,
            Err(_) => self.hasher.verify(Password::empty(), None).await,
        };
        match verdict {
            Err(HashError::Stored(cause)) => {
                let user = user.map(|user| user.id.to_string()).unwrap_or_default();
                tracing::error!(%user, %cause, "damage: a stored password hash cannot be used; reset this user's password");
                Ok(Verdict::Wrong)
            }
            verdict => Ok(verdict?),
        }
    }

    /// Whoever may go on with this verdict: an enabled user with the right password who is not held back. Counts the
    /// failure or clears the count.
    async fn judge(
        &self,
        found: Option<Arc<UserRecord>>,
        verdict: &Verdict,
        origin: &Origin,
    ) -> Result<Option<Arc<UserRecord>>, Error> {
        let Some(user) = found else { return Ok(None) };
        let right = *verdict != Verdict::Wrong;
        let admitted = self.count_attempt(user.id, right, origin).await?;
        Ok(Some(user).filter(|user| right && admitted && !user.disabled))
    }

    /// Stores a hash of the same password by the parameters of today (requirement W6). The sign-in does not depend on it.
    async fn rehash(&self, user: &UserRecord, password: &str) {
        let Ok(password) = Password::parse(password) else {
            return;
        };
        let salt = crate::clock::random_bytes(self.random());
        let Ok(hash) = self.hasher.hash(password, salt).await else {
            return;
        };
        let renewed = UserRecord {
            password_hash: Some(hash),
            ..user.next(self.now())
        };
        match self.store.replace(&renewed, user.version, &[]).await {
            Ok(()) | Err(StoreError::Stale) => {}
            Err(error) => tracing::warn!(cause = %error, "a password hash could not be renewed"),
        }
    }

    /// Counts one request from this source (requirement T13).
    ///
    /// # Errors
    /// [`Problem::TooManyRequests`] with how long to wait.
    pub(crate) fn admit(&self, origin: &Origin) -> Result<(), Error> {
        let Some(ip) = origin.ip else { return Ok(()) };
        self.throttle.admit(ip, self.now()).map_err(|wait: Duration| {
            self.metrics.throttled();
            Error::new(Problem::TooManyRequests, "Too many attempts came from this address.").retry_after(wait)
        })
    }

    /// Name and password as they may be; both faults at once.
    fn parse_credentials(&self, username: &str, password: &str) -> Result<(Username, Password), Error> {
        match (
            Username::parse(username, self.settings.username.max_length),
            Password::parse(password),
        ) {
            (Ok(username), Ok(password)) => Ok((username, password)),
            (Err(name), Ok(_)) => Err(Error::fault("/username", "invalid", name.to_string())),
            (Ok(_), Err(word)) => Err(Error::fault("/password", "invalid", word.to_string())),
            (Err(name), Err(word)) => {
                Err(Error::fault("/username", "invalid", name.to_string()).at("/password", "invalid", word.to_string()))
            }
        }
    }

    /// The hash of a new password, if the policy accepts it (requirement W5: the same rule everywhere).
    pub(crate) async fn accept_password(
        &self,
        username: &Username,
        password: Password,
        pointer: &'static str,
    ) -> Result<PasswordHash, Error> {
        let context = vec![
            username.as_str().to_owned(),
            self.issuer().to_owned(),
            "shild".to_owned(),
        ];
        let salt = crate::clock::random_bytes(self.random());
        match self
            .hasher
            .check_and_hash(self.settings.password.policy(), password, context, salt)
            .await
        {
            Ok(hash) => Ok(hash),
            Err(NewPasswordError::Weak(weak)) => {
                let code = match &weak {
                    WeakPassword::TooShort { .. } => "too_short",
                    WeakPassword::TooLong { .. } => "too_long",
                    WeakPassword::TooWeak { .. } => "too_weak",
                };
                Err(Error::fault(pointer, code, weak.to_string()))
            }
            Err(NewPasswordError::Hash(error)) => Err(error.into()),
        }
    }

    pub(crate) fn new_user(
        &self,
        username: Username,
        password_hash: Option<PasswordHash>,
        scopes: Scopes,
    ) -> UserRecord {
        let now = self.now();
        UserRecord {
            password_hash,
            scopes,
            ..UserRecord::new(UserId::generate(now, self.random()), username, now)
        }
    }

    /// Writes down what happened, where no change of the store goes with it.
    ///
    /// # Errors
    /// [`Problem::Unavailable`].
    pub(crate) async fn audit(
        &self,
        kind: AuditKind,
        actor: Actor,
        origin: &Origin,
        more: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), Error> {
        let event = self.event(kind, actor, origin, more);
        self.store.append_event(&event).await?;
        self.happened(&[event]);
        Ok(())
    }

    /// Counts what was written down.
    pub(crate) fn happened(&self, events: &[AuditEvent]) {
        for event in events {
            self.metrics.happened(event.kind);
        }
    }

    /// [`Shild::event`] about a user, and nothing more to say of it.
    pub(crate) fn event_about(&self, user: UserId, kind: AuditKind, actor: Actor, origin: &Origin) -> AuditEvent {
        self.event(kind, actor, origin, |event| event.user_id = Some(user))
    }

    /// What is to be written down, with the change that it is about.
    pub(crate) fn event(
        &self,
        kind: AuditKind,
        actor: Actor,
        origin: &Origin,
        more: impl FnOnce(&mut AuditEvent),
    ) -> AuditEvent {
        let at = self.now();
        let mut event = AuditEvent {
            id: EventId::generate(at, self.random()),
            at,
            kind,
            actor,
            user_id: None,
            session_id: None,
            ip: origin.ip,
            request_id: origin.request_id.clone(),
            detail: None,
        };
        more(&mut event);
        event
    }

    /// The same work for a name that exists and one that does not; the name itself is not kept, for it may be a password in
    /// the wrong field. That it cannot be written down does not change the answer.
    pub(crate) async fn audit_failed_sign_in(&self, actor: Actor, subject: Option<UserId>, origin: &Origin) {
        self.audit_guess(AuditKind::SignInFailed, actor, subject, origin).await;
    }

    /// As [`Shild::audit_failed_sign_in`], for any kind of guess.
    pub(crate) async fn audit_guess(&self, kind: AuditKind, actor: Actor, subject: Option<UserId>, origin: &Origin) {
        let failed = self.audit(kind, actor, origin, |event| event.user_id = subject);
        if let Err(error) = failed.await {
            tracing::warn!(cause = %error, kind = kind.as_str(), "a guess could not be written to the audit log");
        }
    }
}
