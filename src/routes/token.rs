//! The token endpoint (RFC 6749 §3.2, §4.3, §6), revocation (RFC 7009) and introspection (RFC 7662).

use rocket::{Route, State, post};
use rocket_okapi::r#gen::OpenApiGenerator;
use rocket_okapi::okapi::openapi3::{OpenApi, Responses};
use rocket_okapi::response::OpenApiResponderInner;
use rocket_okapi::settings::OpenApiSettings;
use rocket_okapi::{openapi, openapi_get_routes_spec};
use schemars::JsonSchema;
use serde::Serialize;

use super::client::{BasicClient, client_id};
use crate::accounts::{SignIn, Token};
use crate::guard::Introspector;
use crate::http::form::{Form, OAuthForm, Parameters};
use crate::http::respond::{NoStore, OAuthErrorBody, document, empty};
use crate::oauth::{Code, OAuthError};
use crate::origin::Origin;
use crate::secret::Secret;
use crate::sessions::{Active, Refresh};
use crate::shild::Shild;
use crate::user::{Scopes, SessionId, UserId, Username};

/// The token endpoint alone: it is mounted where the setting `token_path` says.
pub(super) fn token_routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: issue_token]
}

pub(super) fn routes(settings: &OpenApiSettings) -> (Vec<Route>, OpenApi) {
    openapi_get_routes_spec![settings: revoke_token, introspect_token]
}

/// What a token is asked for with.
#[derive(Debug, JsonSchema)]
#[schemars(example = "Self::example")]
#[expect(dead_code, reason = "read through the enum below; the schema documents the form")]
pub(crate) struct TokenForm {
    /// `password` (RFC 6749 §4.3) or `refresh_token` (§6).
    #[schemars(schema_with = "grant_types")]
    grant_type: String,
    /// With `grant_type=password`: who.
    username: Option<String>,
    /// With `grant_type=password`: the password.
    password: Option<Secret>,
    /// With `grant_type=refresh_token`: the token to exchange.
    refresh_token: Option<Secret>,
    /// The scopes wanted, with one space between two; all there are if it is left out.
    scope: Option<String>,
    /// Which public client this is; optional.
    #[schemars(length(max = 128), regex(pattern = r"^[\x20-\x7E]*$"))]
    client_id: Option<String>,
    /// Not used: there are no confidential clients.
    client_secret: Option<Secret>,
}

impl TokenForm {
    fn example() -> serde_json::Value {
        serde_json::json!({ "grant_type": "password", "username": "juliet", "password": "wherefore art thou 7" })
    }
}

fn grant_types(_: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
    schemars::schema::SchemaObject {
        instance_type: Some(schemars::schema::InstanceType::String.into()),
        enum_values: Some(vec!["password".into(), "refresh_token".into()]),
        ..Default::default()
    }
    .into()
}

/// The form, understood.
pub(crate) struct TokenRequest {
    grant: Grant,
    scope: Option<Scopes>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
}

enum Grant {
    Password { username: String, password: Secret },
    RefreshToken(Secret),
}

impl JsonSchema for TokenRequest {
    fn schema_name() -> String {
        "TokenRequest".to_owned()
    }

    fn json_schema(generator: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
        TokenForm::json_schema(generator)
    }
}

fn secret(parameters: &Parameters, name: &str) -> Option<Secret> {
    parameters.get(name).map(|text| Secret::new(text.to_owned()))
}

impl OAuthForm for TokenRequest {
    fn from_parameters(parameters: &Parameters) -> Result<Self, OAuthError> {
        let missing = |name: &str| OAuthError::invalid_request(format!("The parameter {name} is missing"));
        let grant = match parameters.get("grant_type") {
            None => return Err(missing("grant_type")),
            Some("password") => Grant::Password {
                username: parameters
                    .get("username")
                    .ok_or_else(|| missing("username"))?
                    .to_owned(),
                password: secret(parameters, "password").ok_or_else(|| missing("password"))?,
            },
            Some("refresh_token") => {
                Grant::RefreshToken(secret(parameters, "refresh_token").ok_or_else(|| missing("refresh_token"))?)
            }
            Some(_) => {
                let text = "The grant type must be password or refresh_token";
                return Err(OAuthError::new(Code::UnsupportedGrantType, 400, text.into()));
            }
        };
        let scope = parameters.get("scope").map(Scopes::parse).transpose();
        Ok(Self {
            grant,
            scope: scope.map_err(|error| OAuthError::invalid_scope(error.to_string()))?,
            client_id: parameters.get("client_id").map(str::to_owned),
            client_secret: secret(parameters, "client_secret"),
        })
    }
}

/// An error of an OAuth endpoint, with the statuses that it can have; 429 among them where attempts are `COUNTED`.
pub(crate) struct OAuthFailure<const COUNTED: bool = false>(OAuthError);

impl<E: Into<OAuthError>, const COUNTED: bool> From<E> for OAuthFailure<COUNTED> {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl<'r, const COUNTED: bool> rocket::response::Responder<'r, 'static> for OAuthFailure<COUNTED> {
    fn respond_to(self, request: &'r rocket::Request<'_>) -> rocket::response::Result<'static> {
        self.0.respond_to(request)
    }
}

/// A header's name and what it says.
type HeaderDoc = (&'static str, &'static str);

impl<const COUNTED: bool> OpenApiResponderInner for OAuthFailure<COUNTED> {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        let retry = ("Retry-After", "After how many seconds to try again.");
        let statuses: [(&str, &str, &[HeaderDoc]); 6] = [
            ("400", "The request is refused; `error` says why (RFC 6749 §5.2).", &[]),
            (
                "401",
                "The client or the caller is not accepted.",
                &[("WWW-Authenticate", "The challenge.")],
            ),
            ("408", "The body came too slowly.", &[]),
            ("413", "The body is too large.", &[]),
            ("429", "Too many attempts came from this address.", &[retry]),
            ("503", "Not possible at this moment.", &[retry]),
        ];
        for (status, description, headers) in statuses {
            if status == "429" && !COUNTED {
                continue;
            }
            let response = document::<OAuthErrorBody>(generator, description, "application/json", headers);
            responses.responses.insert(status.to_owned(), response);
        }
        Ok(responses)
    }
}

impl<T: JsonSchema> OpenApiResponderInner for NoStore<T> {
    fn responses(generator: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        let headers = [("Cache-Control", "Always `no-store`.")];
        responses.responses.insert(
            "200".to_owned(),
            document::<T>(generator, "Granted.", "application/json", &headers),
        );
        Ok(responses)
    }
}

/// # Get a token
///
/// With `grant_type=password` signs in and opens a session; with `grant_type=refresh_token` exchanges a refresh token for new
/// ones. Each refresh token is good for one use; a client that lost the answer may repeat the same request within the
/// retry window and gets the same successor. Using one again later ends the session.
#[openapi(tag = "Sign up, sign in", operation_id = "issue_token")]
#[post("/", data = "<form>")]
async fn issue_token(
    shild: &State<Shild>,
    origin: Origin,
    client: BasicClient,
    form: Form<TokenRequest>,
) -> Result<NoStore<Token>, OAuthFailure<true>> {
    let asked = form.0?;
    let client_id = client.or_in_body(
        asked.client_id.as_deref(),
        asked.client_secret.as_ref().map(Secret::expose),
    )?;
    let scope = asked.scope;
    let token = match &asked.grant {
        Grant::Password { username, password } => {
            let sign_in = SignIn {
                username,
                password: password.expose(),
                scope,
                client_id,
            };
            shild.sign_in(sign_in, &origin).await?
        }
        Grant::RefreshToken(token) => {
            let refresh = Refresh {
                refresh_token: token.expose(),
                scope,
                client_id: client_id.as_deref(),
            };
            shild.refresh(refresh, &origin).await?
        }
    };
    Ok(NoStore(token))
}

/// A token to be revoked or asked about.
#[derive(JsonSchema)]
#[schemars(example = "Self::example")]
pub(crate) struct NamedToken {
    /// An access token or a refresh token.
    #[schemars(length(min = 1))]
    token: Secret,
    /// Which of the two it is likely to be; both are tried all the same.
    #[schemars(rename = "token_type_hint")]
    #[expect(
        dead_code,
        reason = "a wrong hint is ignored (RFC 7009 §2.1); the schema documents it"
    )]
    hint: Option<String>,
    /// Which public client this is; optional.
    #[schemars(length(max = 128), regex(pattern = r"^[\x20-\x7E]*$"))]
    client_id: Option<String>,
    /// Not used: there are no confidential clients.
    client_secret: Option<Secret>,
}

impl NamedToken {
    fn example() -> serde_json::Value {
        serde_json::json!({ "token": "shr_…", "token_type_hint": "refresh_token" })
    }
}

impl OAuthForm for NamedToken {
    fn from_parameters(parameters: &Parameters) -> Result<Self, OAuthError> {
        let missing = || OAuthError::invalid_request("The parameter token is missing");
        Ok(Self {
            token: secret(parameters, "token").ok_or_else(missing)?,
            hint: parameters.get("token_type_hint").map(str::to_owned),
            client_id: parameters.get("client_id").map(client_id).transpose()?,
            client_secret: secret(parameters, "client_secret"),
        })
    }
}

/// 200 and nothing to say (RFC 7009 §2.2).
pub(crate) struct Revoked;

impl<'r> rocket::response::Responder<'r, 'static> for Revoked {
    fn respond_to(self, _: &'r rocket::Request<'_>) -> rocket::response::Result<'static> {
        rocket::Response::build().sized_body(0, std::io::Cursor::new("")).ok()
    }
}

impl OpenApiResponderInner for Revoked {
    fn responses(_: &mut OpenApiGenerator) -> rocket_okapi::Result<Responses> {
        let mut responses = Responses::default();
        responses
            .responses
            .insert("200".to_owned(), empty("Revoked, or it was no token.", &[]).into());
        Ok(responses)
    }
}

/// # Revoke a token
///
/// Ends the session of an access or a refresh token (RFC 7009). Unknown and repeated tokens are answered alike.
#[openapi(tag = "OAuth 2", operation_id = "revoke_token")]
#[post("/revoke", data = "<form>")]
async fn revoke_token(
    shild: &State<Shild>,
    origin: Origin,
    client: BasicClient,
    form: Form<NamedToken>,
) -> Result<Revoked, OAuthFailure> {
    let named = form.0?;
    let client = client.or_in_body(
        named.client_id.as_deref(),
        named.client_secret.as_ref().map(Secret::expose),
    )?;
    shild.revoke(named.token.expose(), client.as_deref(), &origin).await?;
    Ok(Revoked)
}

/// What is known of a token (RFC 7662 §2.2).
#[derive(Default, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Introspection {
    /// Whether it is live. If not, nothing else is told.
    active: bool,
    /// The scopes, with one space between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The client that the session was opened by, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<Username>,
    /// `Bearer` for an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// When it expires, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was issued, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// From when on it is good, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// The user's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<UserId>,
    /// Whom it is meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// Its own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// The session's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
}

impl Introspection {
    fn of(active: Option<Active>, issuer: &str) -> Self {
        match active {
            None => Self::default(),
            Some(Active::Access(signed_in)) => Self {
                active: true,
                scope: Some(signed_in.scopes.to_string()),
                client_id: signed_in.token.claims().client_id.clone(),
                username: Some(signed_in.user.username.clone()),
                token_type: Some("Bearer"),
                exp: Some(signed_in.token.claims().exp.as_secs()),
                iat: Some(signed_in.token.claims().iat.as_secs()),
                nbf: Some(signed_in.token.claims().nbf.as_secs()),
                sub: Some(signed_in.token.claims().sub),
                aud: Some(signed_in.token.claims().aud.clone()),
                iss: Some(signed_in.token.claims().iss.clone()),
                jti: Some(signed_in.token.claims().jti.clone()),
                sid: Some(signed_in.token.claims().sid),
            },
            Some(Active::Refresh {
                user,
                session,
                scopes,
                expires_at,
            }) => Self {
                active: true,
                scope: Some(scopes.to_string()),
                client_id: session.client_id.clone(),
                username: Some(user.username.clone()),
                exp: Some(expires_at.as_secs()),
                iat: Some(session.rotated_at.as_secs()),
                sub: Some(user.id),
                iss: Some(issuer.to_owned()),
                sid: Some(session.id),
                ..Self::default()
            },
        }
    }
}

/// # Ask about a token
///
/// Whether an access or a refresh token is live, and what it carries (RFC 7662). For callers with the scope `introspect` or `admin`.
#[openapi(tag = "OAuth 2", operation_id = "introspect_token")]
#[post("/introspect", data = "<form>")]
async fn introspect_token(
    shild: &State<Shild>,
    _caller: Introspector,
    form: Form<NamedToken>,
) -> Result<NoStore<Introspection>, OAuthFailure> {
    let named = form.0?;
    let active = shild.introspect(named.token.expose()).await?;
    Ok(NoStore(Introspection::of(active, shild.issuer())))
}
