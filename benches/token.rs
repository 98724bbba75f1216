//! What does a token cost: issued, verified, verified again, refreshed?

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use shild::clock::{SystemRandom, Timestamp};
use shild::token::keyring::Keyring;
use shild::token::master::MasterKey;
use shild::token::refresh::RefreshClaims;
use shild::token::verified::VerifiedTokens;
use shild::token::{Claims, Expected, issue, verify};
use shild::user::{Scopes, SessionId, UserId};

fn tokens(criterion: &mut Criterion) {
    let random = SystemRandom;
    let now = Timestamp::from_millis(1_700_000_000_000);
    let master = MasterKey::generate(&random);
    let keyring = Keyring::generate(now, &random, &master.sealing_key());
    let expected = Expected {
        issuer: "http://127.0.0.1:8000",
        audience: "http://127.0.0.1:8000",
    };
    let claims = Claims {
        iss: expected.issuer.to_owned(),
        sub: UserId::generate(now, &random),
        aud: expected.audience.to_owned(),
        exp: now.after(Duration::from_secs(900)),
        nbf: now,
        iat: now,
        jti: SessionId::generate(now, &random).to_string(),
        sid: SessionId::generate(now, &random),
        scope: Scopes::registered(),
        auth_time: now,
        client_id: None,
    };
    let token = issue(&keyring, &claims).expect("the claims are short");

    let mut group = criterion.benchmark_group("token");
    group.bench_function("issue", |b| b.iter(|| issue(&keyring, black_box(&claims))));
    group.bench_function("verify", |b| {
        b.iter(|| verify(&keyring, black_box(token.as_str()), &expected, now));
    });
    let verified = VerifiedTokens::new(1024, &random);
    group.bench_function("verify again", |b| {
        b.iter(|| verified.verify(&keyring, black_box(token.as_str()), &expected, now));
    });

    let refresh_key = master.refresh_key();
    let refresh = RefreshClaims {
        user_id: claims.sub,
        session_id: claims.sid,
        generation: 7,
    };
    let refresh_token = refresh_key.mint(&refresh);
    group.bench_function("refresh token minted", |b| {
        b.iter(|| refresh_key.mint(black_box(&refresh)));
    });
    group.bench_function("refresh token read", |b| {
        b.iter(|| refresh_key.read(black_box(refresh_token.as_str())));
    });
    group.finish();
}

criterion_group!(benches, tokens);
criterion_main!(benches);
