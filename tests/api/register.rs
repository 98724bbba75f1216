//! Registering: names and passwords.

use rocket::futures::future::join_all;
use serde_json::json;
use shild::testing::hashes;

use crate::helpers::*;

#[rocket::async_test]
async fn a_new_user_is_told_who_it_is() {
    let app = App::new().await;
    let answer = register(&app, "Alice", PASSWORD).await.expect(201);
    let json = answer.json();
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = [
        "id",
        "username",
        "scopes",
        "disabled",
        "created_at",
        "updated_at",
        "version",
    ];
    assert_eq!(names, wanted);
    assert_eq!(
        (&json["username"], &json["scopes"]),
        (&json!("alice"), &json!(["user"]))
    );
    assert_eq!((&json["disabled"], &json["version"]), (&json!(false), &json!(1)));
    assert_eq!(json["created_at"], app.now().to_string());
    assert_eq!(answer.header("ETag"), Some("\"1\""));
    assert_eq!(
        answer.header("Location"),
        Some(&*format!("/users/{}", json["id"].as_str().unwrap()))
    );
}

#[rocket::async_test]
async fn a_closed_registration_makes_nobody() {
    let app = App::with(|settings| settings.registration = shild::config::Registration::Closed).await;
    assert_eq!(
        register(&app, "alice", PASSWORD).await.expect(403).problem(),
        "registration-closed"
    );
    sign_in(&app, "alice", PASSWORD).await.expect(400);
}

// H11: a client that wants to be an admin is told so, and no user is made
#[rocket::async_test]
async fn scopes_cannot_be_asked_for() {
    let app = App::new().await;
    let body = json!({ "username": "alice", "password": PASSWORD, "scopes": ["admin"] });
    let answer = app.anonymous().post("/register").json(&body).send().await.expect(422);
    assert_eq!(answer.problem(), "invalid-body");
    assert_eq!(answer.fault(), ("/scopes".to_owned(), "unknown".to_owned()));
    register(&app, "alice", PASSWORD).await.expect(201);
}

#[rocket::async_test]
async fn both_members_at_fault_are_named() {
    let app = App::new().await;
    let answer = register(&app, "foo bar", "\u{7}").await.expect(422);
    let errors = answer.json()["errors"].clone();
    let pointers: Vec<_> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/username", "/password"]);
}

// W1
#[rocket::async_test]
async fn length_is_counted_in_code_points_and_nothing_is_cut() {
    let app = App::with(|settings| {
        settings.password.min_strength = 0;
        settings.password.max_length = 128;
    })
    .await;
    let long = "é😀".repeat(64);
    register(&app, "alice", &long).await.expect(201);
    sign_in(&app, "alice", &long).await.expect(200);
    let mut last = long.clone();
    last.pop();
    last.push('😁');
    sign_in(&app, "alice", &last).await.expect(400);

    for (password, code) in [(format!("{long}x"), "too_long"), ("😀".repeat(7), "too_short")] {
        let answer = register(&app, "bertha", &password).await.expect(422);
        assert_eq!(answer.fault(), ("/password".to_owned(), code.to_owned()));
    }
}

// W2
#[rocket::async_test]
async fn every_printable_character_may_be_in_a_password() {
    let app = App::with(|settings| settings.password.min_strength = 0).await;
    let ascii: String = (' '..='~').collect();
    for (n, password) in [
        ascii.as_str(),
        "  spaces around  ",
        "пароль-密码-🔑",
        "\u{a0}\u{3000}ﬁ①Ａ²½№",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{n}");
        register(&app, &name, password).await.expect(201);
        sign_in(&app, &name, password).await.expect(200);
    }
    sign_in(&app, "user1", "spaces around").await.expect(400);
}

// W3
#[rocket::async_test]
async fn a_composed_password_signs_in_decomposed() {
    let app = App::new().await;
    register(&app, "alice", "caf\u{e9} cr\u{e8}me brul\u{e9}e")
        .await
        .expect(201);
    sign_in(&app, "alice", "cafe\u{301} cre\u{300}me brule\u{301}e")
        .await
        .expect(200);
}

// W4
#[rocket::async_test]
async fn control_characters_are_refused() {
    let app = App::new().await;
    for control in ['\0', '\t', '\n', '\u{1f}', '\u{7f}'] {
        let answer = register(&app, "alice", &format!("{PASSWORD}{control}"))
            .await
            .expect(422);
        assert_eq!(
            answer.fault(),
            ("/password".to_owned(), "invalid".to_owned()),
            "{control:?}"
        );
    }
}

// W5
#[rocket::async_test]
async fn a_weak_password_is_refused_with_why_and_what_would_help() {
    let app = App::new().await;
    for (name, password) in [
        ("alice", "password1"),
        ("alice", "qwertyuiop"),
        ("alice", "aaaaaaaaaaaa"),
        ("wolfgang-amadeus", "wolfgang-amadeus"),
    ] {
        let answer = register(&app, name, password).await.expect(422);
        assert_eq!(
            answer.fault(),
            ("/password".to_owned(), "too_weak".to_owned()),
            "{password}"
        );
        let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.len() > 40 && !detail.contains(password), "{detail}");
    }
}

// W5: whoever guesses begins with what the service is called.
#[rocket::async_test]
async fn a_password_made_of_the_services_name_is_refused() {
    let elsewhere = App::new().await;
    register(&elsewhere, "alice", "bvnmrxkqzw").await.expect(201);
    let app =
        App::with(|settings| settings.issuer = Some("https://xkqzw.bvnmr.org".to_owned().try_into().unwrap())).await;
    for password in ["bvnmrxkqzw", "hvqzshild"] {
        let answer = register(&app, "alice", password).await.expect(422);
        assert_eq!(answer.fault(), ("/password".to_owned(), "too_weak".to_owned()));
        let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("the username or the name of this service"),
            "{password}: {detail}"
        );
    }
}

// W6
#[rocket::async_test]
async fn raised_parameters_rehash_at_the_next_sign_in() {
    let app = App::new().await;
    register(&app, "alice", PASSWORD).await.expect(201);
    let hash = async |app: &App| app.record("alice").await.password_hash.unwrap().expose().to_owned();
    let old = hash(&app).await;
    assert!(old.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{old}");
    sign_in(&app, "alice", PASSWORD).await.expect(200);
    assert_eq!(hash(&app).await, old);

    let app = app.restart(|settings| settings.password.argon2.memory_kib = 64).await;
    sign_in(&app, "alice", "wrong").await.expect(400);
    assert_eq!(hash(&app).await, old);
    sign_in(&app, "alice", PASSWORD).await.expect(200);
    let new = hash(&app).await;
    assert!(new.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{new}");
    sign_in(&app, "alice", PASSWORD).await.expect(200);
    assert_eq!(hash(&app).await, new);
}

// W6: a salt of its own, or whoever has a copy of the store sees who has the same password.
#[rocket::async_test]
async fn one_password_of_two_users_has_two_hashes_when_they_are_renewed_too() {
    let app = App::new().await;
    for name in ["alice", "bertha"] {
        register(&app, name, PASSWORD).await.expect(201);
    }
    let app = app.restart(|settings| settings.password.argon2.memory_kib = 64).await;
    let renewed = async |name| {
        sign_in(&app, name, PASSWORD).await.expect(200);
        let hash = app.record(name).await.password_hash.unwrap().expose().to_owned();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        hash
    };
    assert_ne!(renewed("alice").await, renewed("bertha").await);
}

// W6: the one test with real hashes
#[rocket::async_test]
async fn real_parameters_are_at_least_those_of_owasp() {
    let app = App::with(|settings| settings.password = shild::config::PasswordSettings::default()).await;
    register(&app, "alice", PASSWORD).await.expect(201);
    let hash = app.record("alice").await.password_hash.unwrap();
    assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    sign_in(&app, "alice", PASSWORD).await.expect(200);
}

// W6
#[rocket::async_test]
async fn one_password_of_two_users_has_two_hashes() {
    let app = App::new().await;
    register(&app, "alice", PASSWORD).await.expect(201);
    register(&app, "bertha", PASSWORD).await.expect(201);
    assert_ne!(
        app.record("alice").await.password_hash,
        app.record("bertha").await.password_hash
    );
}

// W8: who asks for a taken name waits for a hash too, and so a bad password is told first
#[rocket::async_test]
async fn a_taken_name_is_told_only_after_the_password_was_looked_at() {
    let app = App::new().await;
    register(&app, "alice", PASSWORD).await.expect(201);
    register(&app, "alice", "password1").await.expect(422);
    let before = hashes(&app.shild);
    let answer = register(&app, "alice", PASSWORD).await.expect(409);
    assert_eq!(hashes(&app.shild) - before, 1);
    assert_eq!(answer.problem(), "username-taken");
    assert_eq!(answer.fault(), ("/username".to_owned(), "taken".to_owned()));
}

// W11
#[rocket::async_test]
async fn names_are_mapped_as_rfc_8265_has_it() {
    let app = App::new().await;
    for (raw, mapped) in [
        ("juliet@example.com", "juliet@example.com"),
        ("fußball", "fußball"),
        ("π", "π"),
        ("Σ", "σ"),
        ("ＢＥＲＴＨＡ", "bertha"),
    ] {
        assert_eq!(
            register(&app, raw, PASSWORD).await.expect(201).text_at("username"),
            mapped
        );
        sign_in(&app, raw, PASSWORD).await.expect(200);
    }
    for raw in [
        "foo bar",
        "",
        "henryⅣ",
        "∞",
        "a\u{0}",
        &"x".repeat(65),
        &"x".repeat(5000),
    ] {
        let answer = register(&app, raw, PASSWORD).await.expect(422);
        assert_eq!(
            answer.fault(),
            ("/username".to_owned(), "invalid".to_owned()),
            "{raw:?}"
        );
    }
}

// W12
#[rocket::async_test]
async fn of_64_variants_of_one_name_at_once_one_is_made() {
    let app = App::new().await;
    // Each of six letters in upper or lower case.
    let variants: Vec<String> = (0..64_u32)
        .map(|bits| {
            let letter = |(n, c): (usize, char)| if bits >> n & 1 == 1 { c.to_ascii_uppercase() } else { c };
            "juliet".chars().enumerate().map(letter).collect()
        })
        .collect();
    let answers = join_all(variants.iter().map(|name| register(&app, name, PASSWORD))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (1, 63));
}

// W12
#[rocket::async_test]
async fn names_that_look_alike_and_mixed_scripts_are_refused() {
    let app = App::new().await;
    register(&app, "paypal", PASSWORD).await.expect(201);
    // All Cyrillic but for what it looks like.
    for name in ["рaypal", "pаypаl"] {
        let answer = register(&app, name, PASSWORD).await.expect(422);
        assert_eq!(answer.fault().0, "/username", "{name}");
    }
    for name in ["paypa1", "раураӏ"] {
        let answer = register(&app, name, PASSWORD).await.expect(409);
        assert_eq!(
            answer.fault(),
            ("/username".to_owned(), "confusable".to_owned()),
            "{name}"
        );
    }
}
