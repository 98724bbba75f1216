//! Refresh tokens: what they are good for, how often, and for whom.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use shild::audit::{Actor, AuditFilter, AuditKind};
use shild::clock::SystemRandom;
use shild::config::{Period, Secret, StoreKind};
use shild::store::SledStore;
use shild::store::sled::SledOptions;
use shild::testing::{self, ManualClock};
use shild::token::master::MasterKey;
use shild::{Origin, Shild, StartError, reset_keys};

use crate::app::{App, PASSWORD, refused};

// T14
#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let app = App::new().await;
    app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    let missing = app.token(&[("grant_type", "refresh_token")]).await;
    assert_eq!(missing, refused("invalid_request"));
    let empty = app.refresh("").await;
    assert_eq!(empty, refused("invalid_request"));
    let altered = format!("{}A", &tokens.refresh[..tokens.refresh.len() - 1]);
    for token in ["shr_", "nonsense", &tokens.access, &altered] {
        assert_eq!(app.refresh(token).await, refused("invalid_grant"), "{token}");
    }
    assert!(app.refresh(&tokens.refresh).await.is_ok());
}

// T14
#[tokio::test]
async fn a_refresh_token_is_good_for_its_own_client_only() {
    let app = App::new().await;
    app.register("juliet").await;
    let tokens = app.sign_in_by("juliet", "balcony").await;
    let refresh = |client| {
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh.as_str()),
            ("client_id", client),
        ]
    };
    assert_eq!(app.token(&refresh("garden")).await, refused("invalid_grant"));
    assert!(app.token(&refresh("balcony")).await.is_ok());
}

// T14, T10. RFC 6749 §6 has the server hold the client that authenticated to the token's own; there are none that authenticate
// here, and a name that anybody may give shows nothing that the token does not. So whoever names no client is not refused, and the
// session stays that of the client that opened it; a wrong name is a mistake of somebody's.
#[tokio::test]
async fn a_refresh_asks_for_no_clients_name_and_takes_no_wrong_one() {
    let app = App::new().await;
    app.register("juliet").await;
    let tokens = app.sign_in_by("juliet", "balcony").await;
    let next = app.refresh(&tokens.refresh).await.unwrap();
    let signed_in = app.shild.authenticate(&next.access).await.unwrap();
    assert_eq!(signed_in.session.client_id.as_deref(), Some("balcony"));

    let of_none = app.sign_in("juliet").await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", of_none.refresh.as_str()),
        ("client_id", "balcony"),
    ];
    assert_eq!(app.token(&form).await, refused("invalid_grant"));
    assert!(app.refresh(&of_none.refresh).await.is_ok());
}

// RFC 9068 §2.2.1: an application that asks for a recent sign-in must not be told that a refresh was one.
#[tokio::test]
async fn a_refresh_issues_another_token_of_the_same_sign_in_and_client() {
    let app = App::new().await;
    app.register("juliet").await;
    let signed_in_at = app.now().truncate_to_secs();
    let first = app.sign_in_by("juliet", "balcony").await;
    let claims = async |token: &str| app.shild.authenticate(token).await.unwrap().token.claims().clone();
    let before = claims(&first.access).await;
    assert_eq!((before.auth_time, before.iat), (signed_in_at, signed_in_at));
    assert_eq!(before.client_id.as_deref(), Some("balcony"));

    app.advance(Period::minutes(5).duration());
    let second = app.refresh(&first.refresh).await.unwrap();
    let after = claims(&second.access).await;
    assert_eq!(
        (after.auth_time, &after.client_id),
        (before.auth_time, &before.client_id)
    );
    assert_eq!((after.sub, after.sid), (before.sub, before.sid));
    assert_ne!(after.jti, before.jti);
    let now = app.now().truncate_to_secs();
    assert_eq!((after.iat, after.nbf), (now, now));
    assert_eq!(after.exp, now.after(Period::minutes(15).duration()));
}

// T20, RFC 7009 §2.1
#[tokio::test]
async fn a_client_revokes_no_token_of_another_client() {
    let app = App::new().await;
    app.register("juliet").await;
    let tokens = app.sign_in_by("juliet", "balcony").await;
    let revoke = async |token: &str, client| {
        let form = [("token", token), ("client_id", client)];
        app.form("/revoke", None, &form).await.0
    };
    for token in [&tokens.access, &tokens.refresh] {
        assert_eq!(revoke(token, "garden").await, 400);
    }
    assert_eq!(app.me(&tokens.access).await, 200);
    assert_eq!(revoke(&tokens.access, "balcony").await, 200);
    assert_eq!(app.me(&tokens.access).await, 401);
    assert_eq!(revoke(&tokens.refresh, "garden").await, 200, "it is nobody's any more");
}

// T7, T14
#[tokio::test]
async fn a_refresh_may_narrow_the_access_token_and_never_widens_it() {
    let app = App::new().await;
    let juliet = app.register("juliet").await;
    app.add_user(&juliet, "romeo", "user notes photos").await;
    let first = app.try_sign_in("romeo", Some("user notes")).await.unwrap();
    for scope in ["user photos", "admin", "user notes admin"] {
        let answer = app.refresh_for(&first.refresh, Some(scope)).await;
        assert_eq!(answer, refused("invalid_scope"), "{scope}");
    }
    let narrow = app.refresh_for(&first.refresh, Some("notes")).await.unwrap();
    assert_eq!(narrow.scope, "notes");
    assert_eq!(app.me(&narrow.access).await, 403);
    let whole = app.refresh(&narrow.refresh).await.unwrap();
    assert_eq!(whole.scope, "notes user", "the session keeps its own");
}

// T15
#[tokio::test]
async fn a_replay_ends_the_session_with_its_access_tokens_and_is_audited() {
    let app = App::new().await;
    app.register("juliet").await;
    let first = app.sign_in("juliet").await;
    let other = app.sign_in("juliet").await;
    let (user, session) = app.session_of(&first.access).await;
    let second = app.refresh(&first.refresh).await.unwrap();
    app.advance(Period::seconds(11).duration());
    assert_eq!(app.refresh(&first.refresh).await, refused("invalid_grant"));
    for token in [&first.access, &second.access] {
        assert_eq!(app.me(token).await, 401);
    }
    assert_eq!(app.refresh(&second.refresh).await, refused("invalid_grant"));
    assert_eq!(app.me(&other.access).await, 200, "another session goes on");

    let filter = AuditFilter {
        kind: Some(AuditKind::RefreshReused),
        ..AuditFilter::default()
    };
    let events = app.shild.store().list_events(&filter, None, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].user_id, events[0].session_id), (Some(user), Some(session)));
}

// T15
#[tokio::test]
async fn a_token_two_rotations_old_is_a_replay_even_inside_the_window() {
    let app = App::new().await;
    app.register("juliet").await;
    let first = app.sign_in("juliet").await;
    let second = app.refresh(&first.refresh).await.unwrap();
    let third = app.refresh(&second.refresh).await.unwrap();
    assert_eq!(app.refresh(&first.refresh).await, refused("invalid_grant"));
    assert_eq!(app.me(&third.access).await, 401);
}

// T17
#[tokio::test]
async fn neither_token_is_taken_for_the_other() {
    let app = App::new().await;
    app.register("juliet").await;
    let tokens = app.sign_in("juliet").await;
    assert_eq!(app.me(&tokens.refresh).await, 401);
    assert_eq!(app.refresh(&tokens.access).await, refused("invalid_grant"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if path.file_name().unwrap() != "master.key" {
            fs::copy(&path, target).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Whether `needle` is anywhere in the files of `dir`.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    files(dir).iter().any(|file| {
        let bytes = fs::read(file).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

// T17, P13
#[tokio::test]
async fn a_copied_store_rebuilds_no_token_without_the_master_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = testing::settings();
    settings.store = StoreKind::Sled;
    settings.data_dir = dir.path().join("data");
    let shild = Shild::builder(settings.clone()).build().await.unwrap();
    let master = MasterKey::load(&settings.data_dir.join("master.key")).unwrap();
    let store = Arc::clone(shild.store());
    drop(shild);
    let app = App::on(settings.clone(), store, &master, Arc::new(ManualClock::default())).await;
    app.register("juliet").await;
    let first = app.sign_in("juliet").await;
    let tokens = app.refresh(&first.refresh).await.unwrap();
    app.stop().await;

    let stolen = dir.path().join("stolen");
    copy(&settings.data_dir, &stolen);
    let token = Base64UrlUnpadded::decode_vec(tokens.refresh.strip_prefix("shr_").unwrap()).unwrap();
    let mac = &token[token.len() - 32..];
    assert!(holds(&stolen, b"juliet"), "it is the store that was copied");
    for secret in [mac, &token[..], tokens.refresh.as_bytes(), tokens.access.as_bytes()] {
        assert!(!holds(&stolen, secret), "a copy of the store tells a token");
    }

    // With another master key it does not start, and after a reset no token of before is good.
    let mut thief = settings.clone();
    thief.data_dir = stolen;
    thief.master_key = Some(Secret::new(MasterKey::generate(&SystemRandom).to_text().to_string()));
    let error = Shild::builder(thief.clone()).build().await.unwrap_err();
    assert!(matches!(error, StartError::Keys(_)), "{error}");
    reset_keys(thief.clone()).await.unwrap();
    let other = MasterKey::parse(thief.master_key.as_ref().unwrap().expose()).unwrap();
    let store = Arc::new(SledStore::open(&thief.data_dir, SledOptions::default()).unwrap());
    let app = App::on(thief, store, &other, Arc::new(ManualClock::default())).await;
    assert_eq!(app.refresh(&tokens.refresh).await, refused("invalid_grant"));
    assert_eq!(app.me(&tokens.access).await, 401);
    assert!(
        app.try_sign_in("juliet", None).await.is_ok(),
        "the account is still there"
    );
}

/// What `bytes` look like in base64url that they begin in anywhere: what shows of them alone.
fn in_base64url(bytes: &[u8]) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let mut padded = [&[0; 2][..before], bytes].concat();
        padded.truncate(padded.len() / 3 * 3);
        Base64UrlUnpadded::encode_string(&padded).split_off((before * 4).div_ceil(3))
    })
}

// P13
#[tokio::test]
async fn neither_the_store_nor_its_snapshots_hold_the_master_key_or_an_unsealed_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = testing::settings();
    settings.store = StoreKind::Sled;
    settings.data_dir = dir.path().join("data");
    let shild = Shild::builder(settings.clone()).build().await.unwrap();
    shild.register("juliet", PASSWORD, &Origin::default()).await.unwrap();
    let master = MasterKey::load(&settings.data_dir.join("master.key")).unwrap();
    let active = async || {
        let record = shild.store().load_keys().await.unwrap().unwrap();
        let sealed = record.keys.last().unwrap().sealed.clone().unwrap();
        let secret = master.sealing_key().unwrap(&sealed).unwrap();
        (sealed, secret)
    };
    let (_, first) = active().await;
    shild.rotate_keys(Actor::System, &Origin::default()).await.unwrap();
    let (sealed, second) = active().await;
    assert_ne!(first, second);
    shild.close().await.unwrap();

    let text = master.to_text();
    let text = text.strip_prefix("k4.local.").unwrap();
    let key = Base64UrlUnpadded::decode_vec(text).unwrap();
    let mut secrets = Vec::new();
    for secret in [&key[..], &first[..32], &second[..32]] {
        secrets.push(secret.to_vec());
        secrets.extend(in_base64url(secret).map(String::into_bytes));
    }
    assert!(
        holds(&settings.data_dir, &secrets[1]),
        "the master key is beside the store, where it belongs"
    );
    for place in ["sled", "snapshots"] {
        let place = settings.data_dir.join(place);
        for there in ["juliet", &sealed] {
            assert!(holds(&place, there.as_bytes()), "{there} in {}", place.display());
        }
        for secret in &secrets {
            assert!(
                !holds(&place, secret),
                "a secret of {} bytes in {}",
                secret.len(),
                place.display()
            );
        }
    }
}

// T15. Failed before: a used token was good until the clock had caught up.
#[tokio::test]
async fn a_clock_that_was_ahead_makes_no_used_token_good() {
    let app = App::new().await;
    app.register("juliet").await;
    let now = shild::clock::Clock::now(&*app.clock);
    app.clock.advance(Period::hours(1).duration());
    let first = app.sign_in("juliet").await;
    let second = app.refresh(&first.refresh).await.unwrap();
    app.clock.set(now);
    assert_eq!(app.refresh(&first.refresh).await, refused("invalid_grant"));
    assert_eq!(app.me(&second.access).await, 401, "the session has ended");
}
