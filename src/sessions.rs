//! Sessions: opened by a sign-in, carried on by refresh tokens, ended when somebody says so.
//!
//! A refresh token is nothing but a name for (user, session, generation) with a MAC under a key that is kept outside the
//! store, so a copied store rebuilds none (requirement T17). The session holds the generation that is current; each refresh
//! moves it on by one compare-and-swap, and the one before it is good for a retry as long as the window lasts, because
//! its successor can be made again from the same three values (T16).

use std::slice;
use std::sync::Arc;

use crate::accounts::Token;
use crate::audit::{Actor, AuditKind};
use crate::bearer::Challenge;
use crate::clock::Timestamp;
use crate::error::{Error, Problem};
use crate::if_match::IfMatch;
use crate::oauth::OAuthError;
use crate::origin::Origin;
use crate::session::SessionRecord;
use crate::shild::Shild;
use crate::store::{MAX_PAGE, StoreError};
use crate::token::refresh::RefreshClaims;
use crate::token::{Claims, Expected, Verified};
use crate::user::{Scopes, SessionId, UserId, UserRecord};
use crate::users::mine;

/// Whoever an access token was accepted for, as [`Shild::authenticate`] and [`CurrentUser::signed_in`](crate::guard::CurrentUser::signed_in)
/// have it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedIn {
    /// The user as it is now.
    pub user: Arc<UserRecord>,
    /// The session as it is now.
    pub session: Arc<SessionRecord>,
    /// What the token carries and the user still has.
    pub scopes: Scopes,
    /// What the token says, and which key says so.
    pub token: Arc<Verified>,
}

impl SignedIn {
    /// Ends all sessions of the user in `changed` but this one, which must be alive under the record that is changed: one that
    /// was ended meanwhile ends no others, and does not come back by it.
    pub(crate) fn end_others(&self, changed: &mut UserRecord) -> Result<(), Challenge> {
        if !changed.keeps_session(self.session.id, self.session.epoch) {
            return Err(Challenge::InvalidToken);
        }
        changed.end_sessions(Some(self.session.id));
        Ok(())
    }
}

/// What is wanted of a refresh.
pub(crate) struct Refresh<'a> {
    pub(crate) refresh_token: &'a str,
    pub(crate) scope: Option<Scopes>,
    pub(crate) client_id: Option<&'a str>,
}

/// What a refresh token is good for.
enum Standing {
    /// It is the current one, or, in a store that was brought back from a snapshot, one that was issued after it.
    Current,
    /// It was the current one until just now: the answer may have been lost (requirement T16).
    Retry,
    /// It has been used before.
    Used,
}

/// A token that introspection finds active (RFC 7662 §2.2).
pub(crate) enum Active {
    Access(SignedIn),
    Refresh {
        user: Arc<UserRecord>,
        session: Arc<SessionRecord>,
        scopes: Scopes,
        expires_at: Timestamp,
    },
}

impl Shild {
    /// Opens a session for a user who has just shown who it is, and issues its first tokens.
    pub(crate) async fn open_session(
        &self,
        user: &UserRecord,
        scopes: Scopes,
        client_id: Option<String>,
        origin: &Origin,
    ) -> Result<Token, OAuthError> {
        let now = self.now();
        let session = SessionRecord {
            user_id: user.id,
            id: SessionId::generate(now, self.random()),
            revision: 1,
            epoch: user.session_epoch,
            generation: 0,
            client_id,
            user_agent: origin.user_agent.clone(),
            ip: origin.ip,
            scopes: scopes.clone(),
            created_at: now,
            auth_time: now,
            last_used_at: now,
            rotated_at: now,
            expires_at: now.after(self.settings.session_ttl.duration()),
        };
        let signed_in = self.event(AuditKind::SignedIn, Actor::User(user.id), origin, |event| {
            event.user_id = Some(user.id);
            event.session_id = Some(session.id);
        });
        // First of all, so that no session is opened that nobody gets tokens for.
        let token = self.sign(&session, &scopes)?;
        self.store.open_session(&session, slice::from_ref(&signed_in)).await?;
        self.happened(&[signed_in]);
        self.metrics.issued();
        Ok(token)
    }

    /// Signs the tokens for the current generation of a session. An access token lives no longer than the session does if nothing
    /// more is done with it.
    fn sign(&self, session: &SessionRecord, scopes: &Scopes) -> Result<Token, OAuthError> {
        let now = self.now().truncate_to_secs();
        let life = self
            .settings
            .access_token_ttl
            .duration()
            .min(self.end_of(session).since(now));
        let claims = Claims {
            iss: self.issuer().to_owned(),
            sub: session.user_id,
            aud: self.audience().to_owned(),
            exp: now.after(life),
            nbf: now,
            iat: now,
            jti: SessionId::generate(now, self.random()).to_string(),
            sid: session.id,
            scope: scopes.clone(),
            auth_time: session.auth_time,
            client_id: session.client_id.clone(),
        };
        let access_token = crate::token::issue(&self.keys.current(), &claims).map_err(|error| {
            tracing::error!(cause = %error, "an access token could not be signed");
            Error::new(Problem::Internal, "The server could not do this.")
        })?;
        let refresh_token = self.refresh_key.mint(&RefreshClaims {
            user_id: session.user_id,
            session_id: session.id,
            generation: session.generation,
        });
        Ok(Token {
            access_token: access_token.as_str().to_owned(),
            token_type: "Bearer",
            expires_in: life.as_secs(),
            refresh_token: refresh_token.as_str().to_owned(),
            scope: scopes.to_string(),
        })
    }

    /// Exchanges a refresh token for new tokens (requirements T14–T18). Not counted against the source: nobody guesses a MAC
    /// of 256 bits, and whoever guesses passwords from a shared address must not keep others there from going on.
    pub(crate) async fn refresh(&self, asked: Refresh<'_>, origin: &Origin) -> Result<Token, OAuthError> {
        let invalid = OAuthError::invalid_refresh_token;
        let claims = self.refresh_key.read(asked.refresh_token).ok_or_else(invalid)?;
        loop {
            let (user, session) = self
                .live_session(claims.user_id, claims.session_id)
                .await?
                .ok_or_else(invalid)?;
            if asked.client_id.is_some_and(|id| !session.is_of(id)) {
                return Err(invalid());
            }
            let standing = self.standing(&session, claims.generation);
            if matches!(standing, Standing::Used) {
                self.end_reused(&session, origin).await?;
                return Err(invalid());
            }
            let granted = narrowed(asked.scope.as_ref(), &session.scopes.clone().intersection(&user.scopes))?;
            if matches!(standing, Standing::Retry) {
                let token = self.sign(&session, &granted)?;
                self.metrics.issued();
                return Ok(token);
            }
            let now = self.now();
            let rotated = SessionRecord {
                revision: session.revision + 1,
                generation: claims.generation.saturating_add(1),
                last_used_at: now,
                rotated_at: now,
                ..SessionRecord::clone(&session)
            };
            let token = self.sign(&rotated, &granted)?;
            match self.store.replace_session(&rotated, session.revision).await {
                Ok(()) => {
                    self.metrics.issued();
                    return Ok(token);
                }
                // Somebody else was faster, with this token or by ending the session: look again.
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn standing(&self, session: &SessionRecord, generation: u32) -> Standing {
        let window = self.settings.refresh_retry_window.duration();
        // A clock that was ahead makes it no longer.
        let in_window = self.now() < session.rotated_at.after(window) && session.rotated_at < self.now().after(window);
        if generation >= session.generation {
            Standing::Current
        } else if generation.checked_add(1) == Some(session.generation) && in_window {
            Standing::Retry
        } else {
            Standing::Used
        }
    }

    async fn end_reused(&self, session: &SessionRecord, origin: &Origin) -> Result<(), Error> {
        let (user, id) = (session.user_id, session.id);
        // Or another replay at the same time was faster, and is audited.
        if self
            .end_session_as(AuditKind::RefreshReused, user, id, Actor::Anonymous, origin)
            .await?
        {
            tracing::warn!(session = %id, "a used refresh token came again; the session is ended");
        }
        Ok(())
    }

    /// The session and its user, if both are alive.
    async fn live_session(
        &self,
        user_id: UserId,
        session_id: SessionId,
    ) -> Result<Option<(Arc<UserRecord>, Arc<SessionRecord>)>, StoreError> {
        let Some(session) = self.store.find_session(user_id, session_id).await? else {
            return Ok(None);
        };
        let Some(user) = self.store.find(user_id).await? else {
            return Ok(None);
        };
        let alive = self.is_live(&session, &user);
        Ok(alive.then_some((user, session)))
    }

    /// When it ends if nothing more is done with it.
    fn end_of(&self, session: &SessionRecord) -> Timestamp {
        let idle = session.last_used_at.after(self.settings.refresh_idle_ttl.duration());
        session.expires_at.min(idle)
    }

    fn is_live(&self, session: &SessionRecord, user: &UserRecord) -> bool {
        session.is_live(user, self.now(), self.settings.refresh_idle_ttl.duration())
    }

    /// Whoever this access token is of. Signature, issuer, audience, times, key, session and user are checked on every
    /// call (requirements T19, B8); only the signature's outcome may be remembered.
    ///
    /// # Errors
    /// [`Problem::InvalidToken`] whatever is wrong with it (requirement B2); [`Problem::Unavailable`].
    pub async fn authenticate(&self, access_token: &str) -> Result<SignedIn, Error> {
        let expected = Expected {
            issuer: self.issuer(),
            audience: self.audience(),
        };
        let token = self
            .verified
            .verify(&self.keys.current(), access_token, &expected, self.now())
            .map_err(|reason| {
                tracing::debug!(%reason, "an access token was refused");
                Challenge::InvalidToken
            })?;
        let claims = token.claims();
        let Some((user, session)) = self.live_session(claims.sub, claims.sid).await? else {
            return Err(Challenge::InvalidToken.into());
        };
        let scopes = claims
            .scope
            .clone()
            .intersection(&user.scopes)
            .intersection(&session.scopes);
        Ok(SignedIn {
            user,
            session,
            scopes,
            token,
        })
    }

    /// Ends the session of this token, be it an access or a refresh token; does nothing if it is neither (RFC 7009 §2.2).
    ///
    /// # Errors
    /// `invalid_grant` if a client is named that the token was not issued to (§2.1); `temporarily_unavailable` (requirement T20).
    pub(crate) async fn revoke(&self, token: &str, client: Option<&str>, origin: &Origin) -> Result<(), OAuthError> {
        let named = match self.refresh_key.read(token) {
            Some(claims) => Some((claims.user_id, claims.session_id)),
            None => match self.authenticate(token).await {
                Ok(signed_in) => Some((signed_in.user.id, signed_in.session.id)),
                Err(error) if error.problem() == Problem::InvalidToken => None,
                Err(error) => return Err(error.into()),
            },
        };
        if let Some((user, id)) = named {
            let session = self.store.find_session(user, id).await?;
            if let (Some(client), Some(session)) = (client, session)
                && !session.is_of(client)
            {
                return Err(OAuthError::anothers_token());
            }
            self.end_session(user, id, Actor::User(user), origin).await?;
        }
        Ok(())
    }

    /// What is known of a token, if it is active (RFC 7662 §2).
    ///
    /// # Errors
    /// [`Problem::Unavailable`].
    pub(crate) async fn introspect(&self, token: &str) -> Result<Option<Active>, Error> {
        if let Some(claims) = self.refresh_key.read(token) {
            let Some((user, session)) = self.live_session(claims.user_id, claims.session_id).await? else {
                return Ok(None);
            };
            if !matches!(self.standing(&session, claims.generation), Standing::Current) {
                return Ok(None);
            }
            let scopes = session.scopes.clone().intersection(&user.scopes);
            let expires_at = self.end_of(&session);
            return Ok(Some(Active::Refresh {
                user,
                session,
                scopes,
                expires_at,
            }));
        }
        match self.authenticate(token).await {
            Ok(signed_in) => Ok(Some(Active::Access(signed_in))),
            Err(error) if error.problem() == Problem::InvalidToken => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends one session; `false` if there was none that is alive.
    ///
    /// # Errors
    /// [`Problem::Unavailable`].
    pub async fn end_session(&self, user: UserId, id: SessionId, actor: Actor, origin: &Origin) -> Result<bool, Error> {
        if self.live_session(user, id).await?.is_none() {
            return Ok(false);
        }
        self.end_session_as(AuditKind::SessionEnded, user, id, actor, origin)
            .await
    }

    async fn end_session_as(
        &self,
        kind: AuditKind,
        user: UserId,
        id: SessionId,
        actor: Actor,
        origin: &Origin,
    ) -> Result<bool, Error> {
        let event = self.event(kind, actor, origin, |event| {
            event.user_id = Some(user);
            event.session_id = Some(id);
        });
        let ended = self.store.end_session(user, id, slice::from_ref(&event)).await?;
        if ended {
            self.happened(&[event]);
        }
        Ok(ended)
    }

    /// Ends all sessions of a user but the one that asks, in one change of one record.
    ///
    /// # Errors
    /// [`Problem::InvalidToken`] if the one that asks was ended, or its user deleted, meanwhile; [`Problem::Unavailable`].
    pub async fn end_other_sessions(&self, signed_in: &SignedIn, origin: &Origin) -> Result<(), Error> {
        let id = signed_in.user.id;
        let event = self.event_about(id, AuditKind::SessionsEnded, Actor::User(id), origin);
        let end_others = |user: &UserRecord, now| {
            let mut changed = user.next(now);
            signed_in.end_others(&mut changed)?;
            Ok(changed)
        };
        self.change_user(id, &IfMatch::Any, end_others, |_, _| vec![event.clone()])
            .await
            .map_err(mine)?;
        Ok(())
    }

    /// At most `limit` live sessions of a user past `after`, in order of id, and whether there may be more.
    ///
    /// # Errors
    /// [`Problem::Unavailable`].
    pub async fn list_sessions(
        &self,
        user: &UserRecord,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionRecord>, Error> {
        let mut live = Vec::new();
        let mut after = after;
        loop {
            let page = self.store.list_sessions(user.id, after, MAX_PAGE).await?;
            after = page.last().map(|session| session.id);
            let more = page.len() == MAX_PAGE;
            live.extend(page.into_iter().filter(|session| self.is_live(session, user)));
            if live.len() >= limit || !more {
                live.truncate(limit);
                return Ok(live);
            }
        }
    }

    /// Deletes the dead among the next `limit` sessions past `after`; where to go on, `None` at the end. A step is short, and
    /// nothing waits for it.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn sweep_sessions(
        &self,
        after: Option<(UserId, SessionId)>,
        limit: usize,
    ) -> Result<Option<(UserId, SessionId)>, StoreError> {
        let page = self.store.scan_sessions(after, limit).await?;
        let mut dead = Vec::new();
        for session in &page {
            let user = match self.store.find(session.user_id).await {
                // Whoever reads it says so; here it would keep all others from being swept.
                Err(StoreError::Corrupt { .. }) => continue,
                found => found?,
            };
            if !user.is_some_and(|user| self.is_live(session, &user)) {
                dead.push((session.user_id, session.id, session.revision));
            }
        }
        if !dead.is_empty() {
            self.store.sweep_sessions(&dead).await?;
        }
        let next = page.last().filter(|_| page.len() == limit);
        self.metrics.swept(page.len() - dead.len(), next.is_none());
        Ok(next.map(|session| (session.user_id, session.id)))
    }
}

/// What was asked for, if it is within what there is; all there is, if nothing was asked for.
fn narrowed(asked: Option<&Scopes>, available: &Scopes) -> Result<Scopes, OAuthError> {
    match asked {
        None => Ok(available.clone()),
        Some(scope) if scope.is_subset(available) => Ok(scope.clone()),
        Some(_) => Err(OAuthError::invalid_scope(
            "A scope that was asked for is wider than the session's",
        )),
    }
}
