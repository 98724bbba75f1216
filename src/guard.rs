//! The guards: one more parameter protects a route, answers the challenges of RFC 6750, and puts lock, 401 and 403
//! into the OpenAPI document. They work in any Rocket application that shild's stage is attached to.

use std::marker::PhantomData;
use std::ops::Deref;

use okapi::openapi3::{OAuthFlows, Responses, SecurityRequirement, SecurityScheme, SecuritySchemeData};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use rocket::{Ignite, Request, Rocket, Sentinel};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi;
use rocket_okapi::request::{OpenApiFromRequest, RequestHeaderInput};

use crate::audit::Actor;
use crate::bearer::{self, Challenge, Credentials};
use crate::clock::Timestamp;
use crate::error::{Error, Problem};
use crate::http::catch::refuse;
use crate::http::passing::given;
use crate::http::respond::document_problems;
use crate::sessions::SignedIn;
use crate::shild::Shild;
use crate::user::{Scope, Scopes, SessionId, User, UserId, Username};

/// The security scheme's name in the OpenAPI document.
pub(crate) const SCHEME: &str = "oauth2";

/// Whoever is signed in: any live token will do, whatever its scopes.
///
/// Never wrap it in an `Option`: Rocket would make a bad token look like none. For routes that also serve those who have not
/// signed in there is [`MaybeUser`].
#[derive(Clone, Debug)]
pub struct CurrentUser(SignedIn);

impl CurrentUser {
    /// The user's id: it never changes and is never used again.
    pub fn id(&self) -> UserId {
        self.0.user.id
    }

    /// The user's name; it may change.
    pub fn username(&self) -> &Username {
        &self.0.user.username
    }

    /// The user as it is now.
    pub fn user(&self) -> User {
        self.0.user.view()
    }

    /// The scopes that the token carries and the user still has.
    pub fn scopes(&self) -> &Scopes {
        &self.0.scopes
    }

    /// Which sign-in the token is of.
    pub fn session_id(&self) -> SessionId {
        self.0.session.id
    }

    /// When the password was last checked.
    pub fn auth_time(&self) -> Timestamp {
        self.0.session.auth_time
    }

    /// The client that the session was opened by, if it said so.
    pub fn client_id(&self) -> Option<&str> {
        self.0.session.client_id.as_deref()
    }

    /// All of it, as [`Shild::end_other_sessions`] wants it.
    pub const fn signed_in(&self) -> &SignedIn {
        &self.0
    }
}

/// A scope as a type, for [`Scoped`].
///
/// ```
/// struct Invoices;
/// impl shild::guard::ScopeName for Invoices {
///     const NAME: &'static str = "invoices";
/// }
/// ```
pub trait ScopeName: Send + Sync + 'static {
    /// The scope as it stands in tokens. With one that is none (RFC 6749 §3.3: printable ASCII without a space, `"` and `\`) on
    /// a route, the launch is refused.
    const NAME: &'static str;
}

/// The built-in scopes, for [`Scoped`].
pub mod scope {
    use super::{Scope, ScopeName};

    /// A user's own account.
    #[derive(Debug)]
    pub enum User {}

    impl ScopeName for User {
        const NAME: &'static str = Scope::USER;
    }

    /// All of administration.
    #[derive(Debug)]
    pub enum Admin {}

    impl ScopeName for Admin {
        const NAME: &'static str = Scope::ADMIN;
    }

    /// Questions about other people's tokens.
    #[derive(Debug)]
    pub enum Introspect {}

    impl ScopeName for Introspect {
        const NAME: &'static str = Scope::INTROSPECT;
    }
}

/// Whoever is signed in with a token that carries the scope `S`.
#[derive(Clone, Debug)]
pub struct Scoped<S>(CurrentUser, PhantomData<fn() -> S>);

impl<S> Deref for Scoped<S> {
    type Target = CurrentUser;

    fn deref(&self) -> &CurrentUser {
        &self.0
    }
}

/// Somebody signed in, or nobody; a bad token is refused as everywhere.
#[derive(Clone, Debug)]
pub enum MaybeUser {
    /// The request came with a live token.
    SignedIn(CurrentUser),
    /// The request came without credentials.
    Anonymous,
}

/// Whoever may administer: a token with the scope `admin`, or the command line on the host.
#[derive(Clone, Debug)]
pub(crate) struct Administrator {
    pub(crate) actor: Actor,
}

/// Whoever may ask about other people's tokens: a token with the scope `introspect` or `admin`.
#[derive(Clone, Debug)]
pub(crate) struct Introspector;

fn shild<'r>(request: &'r Request<'_>) -> Result<&'r Shild, Error> {
    let missing = || Error::new(Problem::Internal, "The server could not do this.");
    request.rocket().state::<Shild>().ok_or_else(missing)
}

fn bearer_token<'r>(request: &'r Request<'_>) -> Result<&'r str, Error> {
    match bearer::read(given(request, "Authorization")) {
        Credentials::Bearer(token) => Ok(token),
        Credentials::Absent => Err(Challenge::Missing.into()),
        Credentials::Malformed => Err(Challenge::InvalidRequest.into()),
    }
}

async fn current_user(request: &Request<'_>) -> Result<CurrentUser, Error> {
    let token = bearer_token(request)?;
    match shild(request)?.authenticate(token).await {
        Ok(signed_in) => Ok(CurrentUser(signed_in)),
        Err(error) if error.problem() == Problem::InvalidToken => Err(bearer::refusal(token).into()),
        Err(error) => Err(error),
    }
}

fn with_scope(user: CurrentUser, scope: &'static str) -> Result<CurrentUser, Error> {
    if user.scopes().contains(scope) {
        Ok(user)
    } else {
        Err(Challenge::InsufficientScope(scope.into()).into())
    }
}

fn outcome<T>(request: &Request<'_>, result: Result<T, Error>) -> Outcome<T, Status> {
    match result {
        Ok(guard) => Outcome::Success(guard),
        Err(error) => {
            let status = refuse(request, error);
            Outcome::Error((status, status))
        }
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for CurrentUser {
    type Error = Status;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Status> {
        outcome(request, current_user(request).await)
    }
}

#[rocket::async_trait]
impl<'r, S: ScopeName> FromRequest<'r> for Scoped<S> {
    type Error = Status;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Status> {
        let scoped = current_user(request).await.and_then(|user| with_scope(user, S::NAME));
        outcome(request, scoped.map(|user| Self(user, PhantomData)))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for MaybeUser {
    type Error = Status;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Status> {
        let result = match current_user(request).await {
            Err(error) if error.problem() == Problem::Unauthenticated => Ok(Self::Anonymous),
            result => result.map(Self::SignedIn),
        };
        outcome(request, result)
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Administrator {
    type Error = Status;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Status> {
        let result = async {
            if shild(request)?.operator.is(bearer_token(request)?) {
                return Ok(Self { actor: Actor::Operator });
            }
            let user = with_scope(current_user(request).await?, Scope::ADMIN)?;
            Ok(Self {
                actor: Actor::User(user.id()),
            })
        };
        outcome(request, result.await)
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Introspector {
    type Error = Status;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Status> {
        let result = async {
            let user = current_user(request).await?;
            if !user.scopes().contains(Scope::ADMIN) {
                with_scope(user, Scope::INTROSPECT)?;
            }
            Ok(Self)
        };
        outcome(request, result.await)
    }
}

/// What a guard says of itself in the document; with no set of scopes, that nobody need be signed in.
fn security(scopes: Option<&[&str]>) -> RequestHeaderInput {
    let described = [
        (Scope::USER, "Your own account"),
        (Scope::ADMIN, "All of administration"),
        (Scope::INTROSPECT, "Ask about other people's tokens"),
    ];
    let flow = OAuthFlows::Password {
        token_url: "/shild".to_owned(),
        refresh_url: Some("/shild".to_owned()),
        scopes: described
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into_iter()
            .collect(),
        extensions: okapi::Map::default(),
    };
    let scheme = SecurityScheme {
        description: Some(
            "The password grant of RFC 6749 §4.3; the access token is a bearer token (RFC 6750).".to_owned(),
        ),
        data: SecuritySchemeData::OAuth2 { flows: flow },
        extensions: okapi::Map::default(),
    };
    let mut requirement = SecurityRequirement::new();
    // None at all: it is served without as well (OpenAPI 3.0.3, Security Requirement Object).
    requirement.extend(scopes.map(|scopes| {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned());
        (SCHEME.to_owned(), scopes.collect())
    }));
    RequestHeaderInput::Security(SCHEME.to_owned(), scheme, requirement)
}

fn refusals(generator: &mut OpenApiGenerator, scopes: Option<&[&str]>) -> Responses {
    // Each guard looks into the store, which may be unavailable.
    let mut problems = vec![Problem::InvalidRequest, Problem::InvalidToken, Problem::Unavailable];
    if scopes.is_some() {
        problems.push(Problem::Unauthenticated);
    }
    if scopes.is_some_and(|scopes| !scopes.is_empty()) {
        problems.push(Problem::InsufficientScope);
    }
    let mut responses = Responses::default();
    document_problems(generator, &problems, &mut responses);
    responses
}

macro_rules! guard {
    ($guard:ty $(, $param:ident: $bound:ident)?; $scopes:expr $(, $name:expr)?) => {
        impl<'r $(, $param: $bound)?> OpenApiFromRequest<'r> for $guard {
            fn from_request_input(
                _: &mut OpenApiGenerator,
                _: String,
                _: bool,
            ) -> rocket_okapi::Result<RequestHeaderInput> {
                Ok(security($scopes))
            }

            fn get_responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
                Ok(refusals(generator, $scopes))
            }
        }

        /// A launch is refused if the guard is on a route and shild is not attached, or its scope is none.
        impl $(<$param: $bound>)? Sentinel for $guard {
            fn abort(rocket: &Rocket<Ignite>) -> bool {
                rocket.state::<Shild>().is_none() $(|| !is_scope($name))?
            }
        }
    };
}

guard!(CurrentUser; Some(&[]));
guard!(Scoped<S>, S: ScopeName; Some(&[S::NAME]), S::NAME);
guard!(MaybeUser; None);
guard!(Administrator; Some(&[Scope::ADMIN]));
guard!(Introspector; Some(&[Scope::INTROSPECT]));

/// Whether this can be a scope; of what cannot, nobody would ever be let in.
fn is_scope(name: &str) -> bool {
    let refused = Scope::parse(name).err();
    if let Some(error) = &refused {
        tracing::error!("a route asks for the scope {name:?}: {error}");
    }
    refused.is_none()
}
