use serde_json::{Value, json};

use super::*;

const HASH: &str = "$2a$10$VTcGskYQJiYJkZBD0wAcZu/PaMWDnhnVcqNiUftOhyFpFcy8WusuW";

fn read(format: Format, record: &Value) -> Result<Item, String> {
    let reader = Reader {
        options: ImportOptions {
            format,
            dry_run: false,
            admins: true,
        },
        max_username: 64,
        now: Timestamp::from_millis(1_700_000_000_000),
    };
    reader.read(Content::Json(record.to_string().into_bytes()))
}

fn user(format: Format, record: &Value) -> Candidate {
    match read(format, record) {
        Ok(Item::User(user)) => *user,
        other => panic!("{record}: {other:?}"),
    }
}

fn refused(format: Format, record: &Value) -> String {
    match read(format, record) {
        Err(reason) => reason,
        Ok(item) => panic!("{record}: {item:?}"),
    }
}

#[test]
fn of_a_line_of_our_own_only_the_name_is_needed() {
    let user = user(Format::Shild, &json!({ "username": "Juliet" }));
    assert_eq!(user.username.as_str(), "juliet");
    assert_eq!(
        (user.id, user.password_hash.as_ref(), user.disabled),
        (None, None, false)
    );
    assert_eq!(user.scopes, Scopes::registered());
}

#[test]
fn a_line_of_our_own_is_read_strictly_and_each_fault_pointed_at() {
    for (line, reason) in [
        (json!({ "kind": "user" }), "/username: is required"),
        (
            json!({ "username": "juliet", "password": "secret" }),
            "/password: is not a member of this request",
        ),
        (json!({ "username": "foo bar" }), "/username: "),
        (
            json!({ "username": "juliet", "password_hash": "secret" }),
            "/password_hash: the password hash is malformed",
        ),
        (
            json!({ "username": "juliet", "scopes": ["a b"] }),
            "/scopes/0: a scope is",
        ),
        (
            json!({ "username": "juliet", "created_at": "yesterday" }),
            "/created_at: ",
        ),
        (
            json!({ "username": "juliet", "version": 0 }),
            "/version: must be 1 to 9007199254740991",
        ),
        (json!({ "username": "juliet", "id": "1" }), "/id: "),
        (
            json!({ "kind": "key" }),
            "/kind: must be one of header, user, session, event, end",
        ),
        (
            json!({ "kind": "header", "format": "shild", "version": 2 }),
            "must have the format shild and the version 1",
        ),
        (json!({ "kind": "session" }), "/user_id: is required"),
        (json!([]), "must be a JSON object"),
    ] {
        let given = refused(Format::Shild, &line);
        assert!(given.starts_with(reason), "{line}: {given}");
        assert!(!given.contains("secret"), "{given}");
    }
}

#[test]
fn counters_that_would_come_to_their_end_are_refused() {
    let id = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";
    let time = "2023-11-14T22:13:20Z";
    let user = |name: &str, value: Value| {
        let mut line = json!({ "username": "juliet" });
        line[name] = value;
        line
    };
    let session = |name: &str, count: u32| {
        let mut line = json!({
            "kind": "session", "user_id": id, "id": id, "revision": 1, "epoch": 0, "generation": 0, "client_id": null,
            "user_agent": null, "ip": null, "scopes": ["user"], "created_at": time, "auth_time": time,
            "last_used_at": time, "rotated_at": time, "expires_at": time,
        });
        line[name] = json!(count);
        line
    };
    let most = u32::MAX / 2;
    // Failed before: with such a client the session's tokens would be too long, and each refresh a 500.
    for (name, value) in [
        ("client_id", "x".repeat(129)),
        ("client_id", "\u{e9}".to_owned()),
        ("user_agent", "x".repeat(257)),
        ("user_agent", "a\nb".to_owned()),
    ] {
        let mut line = session("generation", 0);
        line[name] = json!(value);
        let given = refused(Format::Shild, &line);
        assert!(given.starts_with(&format!("/{name}: ")), "{given}");
    }
    for line in [
        user("version", json!((1_u64 << 53) - 1)),
        user("session_epoch", json!(most)),
        user("kept_session", json!({ "id": id, "epoch": most })),
        session("revision", most),
        session("epoch", most),
        session("generation", most),
    ] {
        read(Format::Shild, &line).unwrap_or_else(|reason| panic!("{line}: {reason}"));
    }
    for (line, reason) in [
        (
            user("version", json!(1_u64 << 53)),
            "/version: must be 1 to 9007199254740991",
        ),
        (
            user("version", json!(u64::MAX)),
            "/version: must be 1 to 9007199254740991",
        ),
        (
            user("session_epoch", json!(most + 1)),
            "/session_epoch: must be 0 to 2147483647",
        ),
        (
            user("kept_session", json!({ "id": id, "epoch": u32::MAX })),
            "/kept_session/epoch: must be 0 to 2147483647",
        ),
        (session("revision", 0), "/revision: must be 1 to 2147483647"),
        (session("revision", u32::MAX), "/revision: must be 1 to 2147483647"),
        (session("epoch", u32::MAX), "/epoch: must be 0 to 2147483647"),
        (session("generation", most + 1), "/generation: must be 0 to 2147483647"),
    ] {
        assert_eq!(refused(Format::Shild, &line), reason, "{line}");
    }
}

#[test]
fn ids_are_kept_where_they_are_uuids() {
    let id = "3f2b0c1e-8d4a-4b6f-9c1d-2e3f4a5b6c7d";
    let with = |id: Value| user(Format::FastapiUsers, &json!({ "id": id, "email": "a@b.example" })).id;
    assert_eq!(with(json!(id)).unwrap().to_string(), id);
    assert_eq!(with(json!(id.replace('-', ""))).unwrap().to_string(), id);
    for other in [
        json!("1"),
        json!(1),
        json!(null),
        json!("00000000-0000-0000-0000-000000000000"),
    ] {
        assert_eq!(with(other.clone()), None, "{other}");
    }
}

#[test]
fn times_are_read_as_databases_write_them() {
    let with = |time: &str| user(Format::PocketBase, &json!({ "email": "a@b.example", "created": time })).created_at;
    let expected = Some(Timestamp::from_millis(1_709_285_340_500));
    for time in [
        "2024-03-01T09:29:00.5Z",
        "2024-03-01 09:29:00.500Z",
        "2024-03-01 09:29:00.5+00",
        "2024-03-01 10:29:00.500000+01:00",
        "2024-03-01 09:29:00.500",
    ] {
        assert_eq!(with(time), expected, "{time}");
    }
    let reason = refused(
        Format::PocketBase,
        &json!({ "email": "a@b.example", "created": "yesterday" }),
    );
    assert_eq!(reason, "/created: must be a time like 2026-01-31T12:00:00Z");
}

#[test]
fn who_may_not_sign_in_there_is_disabled_here() {
    let supabase = |more: Value| {
        let mut record = json!({ "email": "a@b.example", "encrypted_password": HASH });
        record
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        user(Format::Supabase, &record).disabled
    };
    assert!(!supabase(json!({})));
    assert!(!supabase(json!({ "email_confirmed_at": "2024-03-01 09:29:00+00" })));
    assert!(!supabase(
        json!({ "email_confirmed_at": null, "phone_confirmed_at": "2024-03-01 09:29:00+00" })
    ));
    assert!(supabase(json!({ "email_confirmed_at": null })));
    assert!(supabase(json!({ "banned_until": "2999-01-01 00:00:00+00" })));
    assert!(!supabase(json!({ "banned_until": "2020-01-01 00:00:00+00" })));
    let django = |active: Value| {
        let fields = json!({ "username": "juliet", "password": "!x", "is_active": active });
        user(
            Format::Django,
            &json!({ "model": "auth.user", "pk": 1, "fields": fields }),
        )
        .disabled
    };
    assert!(django(json!(false)) && !django(json!(true)) && !django(json!(null)));
    for (active, disabled) in [("0", true), ("f", true), ("1", false), ("True", false), ("", false)] {
        let record = json!({ "email": "a@b.example", "is_active": active });
        assert_eq!(user(Format::FastapiUsers, &record).disabled, disabled, "{active}");
    }
}

#[test]
fn nobody_becomes_an_admin_unless_it_is_asked_for() {
    let record = json!({ "email": "a@b.example", "is_superuser": true });
    assert!(user(Format::FastapiUsers, &record).scopes.contains(Scope::ADMIN));
    let reader = Reader {
        options: ImportOptions {
            format: Format::FastapiUsers,
            ..ImportOptions::default()
        },
        max_username: 64,
        now: Timestamp::from_millis(0),
    };
    let Ok(Item::User(user)) = reader.read(Content::Json(record.to_string().into_bytes())) else {
        panic!("refused");
    };
    assert_eq!(user.scopes, Scopes::registered());
}

#[test]
fn what_is_missing_or_mistyped_in_a_foreign_record_is_pointed_at() {
    let fields = json!({ "username": "juliet", "password": "md5$salt$hash" });
    for (format, record, reason) in [
        (
            Format::Supabase,
            json!({ "email": "" }),
            "/email: is missing, and there is no phone either",
        ),
        (Format::Supabase, json!({ "email": 1 }), "/email: must be a string"),
        (Format::Supabase, json!({ "email": "a b" }), "/email: "),
        (
            Format::Django,
            json!({ "fields": { "password": "" } }),
            "/fields/username: is missing",
        ),
        (
            Format::Django,
            json!({ "fields": fields }),
            "/fields/password: the password hash is",
        ),
        (Format::PocketBase, json!({}), "/email: is missing"),
        (
            Format::FastapiUsers,
            json!({ "email": "a@b.example", "is_active": "maybe" }),
            "/is_active: must be true or false",
        ),
    ] {
        let given = refused(format, &record);
        assert!(given.starts_with(reason), "{record}: {given}");
    }
}

#[test]
fn formats_go_by_their_names() {
    for format in Format::ALL.iter().copied() {
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    assert_eq!("Django".parse::<Format>(), Err(UnknownFormat));
}
