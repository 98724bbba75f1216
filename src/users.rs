//! Changes to accounts: by whom they are of, and by administrators.

use std::slice;
use std::sync::Arc;

use crate::audit::{Actor, AuditEvent, AuditKind};
use crate::bearer::Challenge;
use crate::clock::{Timestamp, random_bytes};
use crate::error::{Error, Problem};
use crate::if_match::IfMatch;
use crate::origin::Origin;
use crate::password::{Password, Verdict};
use crate::reset::{RESET_TTL, ResetToken};
use crate::sessions::SignedIn;
use crate::shild::Shild;
use crate::store::StoreError;
use crate::user::{PendingReset, Scopes, User, UserId, UserRecord, Username};

/// How recent the sign-in of whoever deletes its account must be (RFC 9470).
pub(crate) const RECENT_SIGN_IN: std::time::Duration = std::time::Duration::from_secs(10 * 60);

/// What is to be changed of a user; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) username: Option<String>,
    pub(crate) scopes: Option<Scopes>,
    pub(crate) disabled: Option<bool>,
}

/// A user to be made by an administrator. Without `Debug`, which would show the password.
#[derive(Clone, Default)]
pub struct NewAccount<'a> {
    /// The name, as whoever it is for writes it.
    pub username: &'a str,
    /// Without one, the account can be entered only by a password reset.
    pub password: Option<&'a str>,
    /// What its tokens may carry; the scope `user` if it is not said.
    pub scopes: Option<Scopes>,
}

fn gone() -> Error {
    Error::new(Problem::NotFound, "There is no such user.")
}

impl Shild {
    /// The user with this id.
    ///
    /// # Errors
    /// [`Problem::NotFound`], [`Problem::Unavailable`].
    pub(crate) async fn read_user(&self, id: UserId) -> Result<Arc<UserRecord>, Error> {
        self.store.find(id).await?.ok_or_else(gone)
    }

    /// Makes an account for somebody else, whether registration is open or not. So an application makes the first administrator of a
    /// store of its own, which the command line does not reach:
    ///
    /// ```
    /// use shild::audit::Actor;
    /// use shild::user::Scopes;
    /// use shild::{NewAccount, Origin, Shild};
    ///
    /// # async fn make(shild: Shild) -> Result<(), Box<dyn std::error::Error>> {
    /// let nurse = NewAccount {
    ///     username: "nurse",
    ///     password: Some("come hither nurse 7"),
    ///     scopes: Some(Scopes::parse("admin user")?),
    /// };
    /// shild.create_user(nurse, Actor::Operator, &Origin::default()).await?;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// #     let settings = shild::config::Settings { store: shild::config::StoreKind::Memory, ..Default::default() };
    /// #     make(Shild::builder(settings).build().await.unwrap()).await.unwrap();
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`Problem::Unprocessable`] with what is wrong with the name or the password, [`Problem::UsernameTaken`],
    /// [`Problem::Unavailable`].
    pub async fn create_user(&self, wanted: NewAccount<'_>, actor: Actor, origin: &Origin) -> Result<User, Error> {
        let username = self.parse_username(wanted.username)?;
        let hash = match wanted.password {
            None => None,
            Some(word) => {
                let word = Password::parse(word).map_err(|e| Error::fault("/password", "invalid", e.to_string()))?;
                Some(self.accept_password(&username, word, "/password").await?)
            }
        };
        let user = self.new_user(username, hash, wanted.scopes.unwrap_or_else(Scopes::registered));
        let created = self.event(AuditKind::UserCreated, actor, origin, |event| {
            event.user_id = Some(user.id);
            event.detail = Some(format!("scopes: {}", user.scopes));
        });
        self.store.create(&user, slice::from_ref(&created)).await?;
        self.happened(&[created]);
        Ok(user.view())
    }

    /// Changes a user. Disabling ends all its sessions with the same stroke.
    ///
    /// # Errors
    /// [`Problem::NotFound`], [`Problem::Stale`] if `if_match` names another version, [`Problem::Unprocessable`],
    /// [`Problem::UsernameTaken`], [`Problem::LastAdmin`], [`Problem::Unavailable`].
    pub(crate) async fn update_user(
        &self,
        id: UserId,
        change: &Change,
        if_match: &IfMatch,
        actor: Actor,
        origin: &Origin,
    ) -> Result<User, Error> {
        let username = change
            .username
            .as_deref()
            .map(|name| self.parse_username(name))
            .transpose()?;
        let update = |user: &UserRecord, now| {
            let disabled = change.disabled.unwrap_or(user.disabled);
            let mut changed = UserRecord {
                username: username.clone().unwrap_or_else(|| user.username.clone()),
                scopes: change.scopes.clone().unwrap_or_else(|| user.scopes.clone()),
                disabled,
                ..user.next(now)
            };
            if disabled && !user.disabled {
                changed.end_sessions(None);
            }
            Ok(changed)
        };
        let new = self
            .change_user(id, if_match, update, |old, new| {
                self.differences(old, new, &actor, origin)
            })
            .await?;
        Ok(new.view())
    }

    /// Deletes an account: its tokens are refused from the next request on.
    ///
    /// # Errors
    /// [`Problem::NotFound`], [`Problem::Stale`] if `if_match` names another version, [`Problem::LastAdmin`],
    /// [`Problem::Unavailable`].
    pub(crate) async fn delete_user(
        &self,
        id: UserId,
        if_match: &IfMatch,
        actor: Actor,
        origin: &Origin,
    ) -> Result<(), Error> {
        let deleted = self.event_about(id, AuditKind::Deleted, actor, origin);
        loop {
            let user = self.read_user(id).await?;
            check(if_match, &user)?;
            match self.store.delete(id, user.version, slice::from_ref(&deleted)).await {
                Ok(()) => break,
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.throttle.forget(id);
        self.happened(&[deleted]);
        Ok(())
    }

    /// Deletes the account of whoever asks, if its sign-in is recent enough.
    ///
    /// # Errors
    /// [`Problem::ReauthenticationRequired`], and as [`Shild::delete_user`].
    pub(crate) async fn delete_own_account(
        &self,
        me: &SignedIn,
        if_match: &IfMatch,
        origin: &Origin,
    ) -> Result<(), Error> {
        if self.now() > me.session.auth_time.after(RECENT_SIGN_IN) {
            return Err(Challenge::ReauthenticationRequired {
                max_age: RECENT_SIGN_IN.as_secs(),
            }
            .into());
        }
        self.delete_user(me.user.id, if_match, Actor::User(me.user.id), origin)
            .await
            .map_err(mine)
    }

    /// Changes the name of whoever asks. It counts for the source like a registration, for it too tells whether a name is
    /// taken (decision D5).
    ///
    /// # Errors
    /// [`Problem::TooManyRequests`], and as [`Shild::update_user`].
    pub(crate) async fn update_own_account(
        &self,
        me: &SignedIn,
        change: &Change,
        if_match: &IfMatch,
        origin: &Origin,
    ) -> Result<User, Error> {
        if change.username.is_some() {
            self.admit(origin)?;
        }
        self.update_user(me.user.id, change, if_match, Actor::User(me.user.id), origin)
            .await
            .map_err(mine)
    }

    /// Changes the password of whoever asks and knows the current one (requirement W10). Ends its other sessions with the same
    /// stroke.
    ///
    /// # Errors
    /// [`Problem::TooManyRequests`], [`Problem::WrongPassword`], [`Problem::Unprocessable`] with what is wrong with the new
    /// one, [`Problem::Unavailable`].
    pub(crate) async fn change_password(
        &self,
        me: &SignedIn,
        current: &str,
        new: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        self.admit(origin)?;
        let id = me.user.id;
        let new = Password::parse(new).map_err(|e| Error::fault("/new_password", "invalid", e.to_string()))?;
        let verdict = self.check_password(Some(&me.user), current).await?;
        let right = verdict != Verdict::Wrong;
        if !(self.count_attempt(id, right, origin).await? && right) {
            self.audit_failed_sign_in(Actor::User(id), Some(id), origin).await;
            return Err(Error::new(Problem::WrongPassword, "The current password is wrong.").at(
                "/current_password",
                "wrong",
                "is not the current password",
            ));
        }
        let hash = self.accept_password(&me.user.username, new, "/new_password").await?;
        // Made for the very password that was checked: a reset that was faster wins.
        let checked = me.user.password_hash.clone();
        let change = |user: &UserRecord, now| {
            if user.password_hash != checked {
                return Err(Error::new(
                    Problem::WrongPassword,
                    "The password was changed in the meantime.",
                ));
            }
            let mut changed = UserRecord {
                password_hash: Some(hash.clone()),
                reset: None,
                ..user.next(now)
            };
            me.end_others(&mut changed)?;
            Ok(changed)
        };
        let event = self.event_about(id, AuditKind::PasswordChanged, Actor::User(id), origin);
        self.change_user(id, &IfMatch::Any, change, |_, _| vec![event.clone()])
            .await
            .map_err(mine)?;
        Ok(())
    }

    /// Starts a password reset: whoever has the token may set a password, once. A reset started before is void.
    ///
    /// # Errors
    /// [`Problem::NotFound`], [`Problem::Unavailable`].
    pub(crate) async fn start_password_reset(
        &self,
        id: UserId,
        actor: Actor,
        origin: &Origin,
    ) -> Result<(ResetToken, Timestamp), Error> {
        let token = ResetToken::new(id, random_bytes(self.random()));
        let expires_at = self.now().after(RESET_TTL);
        let pending = PendingReset {
            digest: token.digest(),
            expires_at,
        };
        let start = |user: &UserRecord, now| {
            Ok(UserRecord {
                reset: Some(pending.clone()),
                ..user.next(now)
            })
        };
        let event = self.event_about(id, AuditKind::ResetStarted, actor, origin);
        self.change_user(id, &IfMatch::Any, start, |_, _| vec![event.clone()])
            .await?;
        Ok((token, expires_at))
    }

    /// Sets a password with a reset token. The token is good once; all sessions end, and so does a lock (decision D4).
    ///
    /// # Errors
    /// [`Problem::TooManyRequests`]; [`Problem::Unprocessable`] if the token is not good, whatever is wrong with it, or the
    /// password is refused; [`Problem::Unavailable`].
    pub(crate) async fn reset_password(&self, token: &str, new: &str, origin: &Origin) -> Result<(), Error> {
        self.admit(origin)?;
        let void = || {
            Error::fault(
                "/reset_token",
                "invalid",
                "is not valid, has been used, or has expired; ask for a new one",
            )
        };
        let Some(token) = ResetToken::parse(token) else {
            self.audit_failed_reset(None, origin).await;
            return Err(void());
        };
        let new = Password::parse(new).map_err(|e| Error::fault("/new_password", "invalid", e.to_string()))?;
        let good = |user: &UserRecord| {
            user.reset
                .as_ref()
                .is_some_and(|reset| token.matches(&reset.digest) && self.now() < reset.expires_at)
        };
        let found = self.store.find(token.user_id()).await?;
        let subject = found.as_ref().map(|user| user.id);
        let Some(user) = found.filter(|user| good(user)) else {
            self.audit_failed_reset(subject, origin).await;
            return Err(void());
        };
        let hash = self.accept_password(&user.username, new, "/new_password").await?;
        let set = |user: &UserRecord, now| {
            if !good(user) {
                return Err(void());
            }
            let mut changed = UserRecord {
                password_hash: Some(hash.clone()),
                reset: None,
                ..user.next(now)
            };
            changed.end_sessions(None);
            Ok(changed)
        };
        let event = self.event_about(user.id, AuditKind::PasswordReset, Actor::Anonymous, origin);
        let changed = self.change_user(user.id, &IfMatch::Any, set, |_, _| vec![event.clone()]);
        changed.await.map_err(|error| {
            if error.problem() == Problem::NotFound {
                void()
            } else {
                error
            }
        })?;
        self.lift(user.id).await;
        Ok(())
    }

    async fn audit_failed_reset(&self, subject: Option<UserId>, origin: &Origin) {
        self.audit_guess(AuditKind::ResetFailed, Actor::Anonymous, subject, origin)
            .await;
    }

    /// Ends all sessions of a user.
    ///
    /// # Errors
    /// [`Problem::NotFound`], [`Problem::Unavailable`].
    pub(crate) async fn end_user_sessions(&self, id: UserId, actor: Actor, origin: &Origin) -> Result<(), Error> {
        let end_all = |user: &UserRecord, now| {
            let mut changed = user.next(now);
            changed.end_sessions(None);
            Ok(changed)
        };
        let event = self.event_about(id, AuditKind::SessionsEnded, actor, origin);
        self.change_user(id, &IfMatch::Any, end_all, |_, _| vec![event.clone()])
            .await?;
        Ok(())
    }

    /// Replaces a user by what `change` makes of it, again and again until nobody was faster, and writes with it the `events`
    /// that it makes of the user before and after. A change that changes nothing is not written. The user after.
    ///
    /// # Errors
    /// [`Problem::NotFound`], [`Problem::Stale`] if `if_match` names another version, what `change` says, and what the store says.
    pub(crate) async fn change_user(
        &self,
        id: UserId,
        if_match: &IfMatch,
        change: impl Fn(&UserRecord, Timestamp) -> Result<UserRecord, Error>,
        events: impl Fn(&UserRecord, &UserRecord) -> Vec<AuditEvent>,
    ) -> Result<UserRecord, Error> {
        loop {
            let old = self.read_user(id).await?;
            check(if_match, &old)?;
            let new = change(&old, self.now())?;
            let same = UserRecord {
                version: old.version,
                updated_at: old.updated_at,
                ..new.clone()
            } == *old;
            if same {
                return Ok(Arc::unwrap_or_clone(old));
            }
            let events = events(&old, &new);
            match self.store.replace(&new, old.version, &events).await {
                Ok(()) => {
                    self.happened(&events);
                    return Ok(new);
                }
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// An event for each thing that an update made different.
    fn differences(&self, old: &UserRecord, new: &UserRecord, actor: &Actor, origin: &Origin) -> Vec<AuditEvent> {
        let mut changes = Vec::new();
        if old.username != new.username {
            changes.push((
                AuditKind::UsernameChanged,
                Some(format!("{} to {}", old.username, new.username)),
            ));
        }
        if old.scopes != new.scopes {
            changes.push((
                AuditKind::ScopesChanged,
                Some(format!("{} to {}", old.scopes, new.scopes)),
            ));
        }
        match (old.disabled, new.disabled) {
            (false, true) => changes.push((AuditKind::Disabled, None)),
            (true, false) => changes.push((AuditKind::Enabled, None)),
            _ => {}
        }
        let event = |(kind, detail)| {
            self.event(kind, actor.clone(), origin, |event| {
                event.user_id = Some(new.id);
                event.detail = detail;
            })
        };
        let mut events: Vec<AuditEvent> = changes.into_iter().map(event).collect();
        // Made within a millisecond, they would be listed in any order.
        let mut ids: Vec<_> = events.iter().map(|event| event.id).collect();
        ids.sort_unstable();
        for (event, id) in events.iter_mut().zip(ids) {
            event.id = id;
        }
        events
    }

    fn parse_username(&self, name: &str) -> Result<Username, Error> {
        Username::parse(name, self.settings.username.max_length)
            .map_err(|error| Error::fault("/username", "invalid", error.to_string()))
    }
}

fn check(if_match: &IfMatch, user: &UserRecord) -> Result<(), Error> {
    if if_match.admits(user.version) {
        return Ok(());
    }
    Err(Error::new(
        Problem::Stale,
        format!("The current version is {}.", user.version),
    ))
}

/// Whoever is gone while it changes itself has no valid token any more.
pub(crate) fn mine(error: Error) -> Error {
    if error.problem() == Problem::NotFound {
        Challenge::InvalidToken.into()
    } else {
        error
    }
}
