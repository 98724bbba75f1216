//! What answers look like. The requests have their examples where they are read.

use serde_json::{Value, json};

const ID: &str = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";
const SESSION: &str = "019ab3c4-9c2a-7d14-8e52-6b0f1a7c3d95";
const AT: &str = "2026-11-24T08:00:00.123Z";

/// The example of the schema of this name.
pub(super) fn of(schema: &str) -> Option<Value> {
    let example = match schema {
        "Token" => json!({
            "access_token": "v4.public.…", "token_type": "Bearer", "expires_in": 900, "refresh_token": "shr_…",
            "scope": "user",
        }),
        "OAuthError" => json!({
            "error": "invalid_grant", "error_description": "The username or the password is wrong",
        }),
        "User" => json!({
            "id": ID, "username": "juliet", "scopes": ["user"], "disabled": false, "created_at": AT, "updated_at": AT,
            "version": 1,
        }),
        "Session" => json!({
            "id": SESSION, "client_id": null, "user_agent": "curl/8.5.0", "ip": "192.0.2.7", "scopes": ["user"],
            "created_at": AT, "last_used_at": AT, "expires_at": "2026-12-24T08:00:00.123Z", "current": true,
        }),
        "Introspection" => json!({
            "active": true, "scope": "user", "username": "juliet", "token_type": "Bearer", "exp": 1_795_508_100,
            "iat": 1_795_507_200, "nbf": 1_795_507_200, "sub": ID, "aud": "https://id.example",
            "iss": "https://id.example", "jti": SESSION, "sid": SESSION,
        }),
        "AuditEvent" => json!({
            "id": SESSION, "at": AT, "kind": "signed_in", "actor": { "user": ID }, "user_id": ID, "session_id": SESSION,
            "ip": "192.0.2.7", "request_id": "b2f1c6d09e3a4757", "detail": null,
        }),
        "Key" => json!({
            "kid": "k4.pid.…", "paserk": "k4.public.…", "status": "active", "retires_at": null,
        }),
        "StartedReset" => json!({ "reset_token": "shp_…", "expires_at": AT }),
        "ImportReport" => json!({
            "dry_run": false, "added": { "users": 2, "sessions": 0, "events": 0 }, "skipped": 1, "refused": 1,
            "refusals": [{ "line": 4, "reason": "/username: the username is empty; at least 1 character is needed" }],
        }),
        "Problem" => json!({
            "type": "/problems/username-taken", "title": "The username is taken", "status": 409,
            "detail": "The username is taken.",
            "errors": [{ "pointer": "/username", "code": "taken", "detail": "is taken; choose another" }],
        }),
        _ => return None,
    };
    Some(example)
}
