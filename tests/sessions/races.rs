//! What happens at the same time: requests of many clients of one user on many threads, in memory and on sled.

use std::sync::Arc;

use crate::app::{App, Tokens, at_once, on_every_store, refused};

/// How often a race is run: each time it may come out another way.
const ROUNDS: usize = 8;

on_every_store! {
    sixty_four_refreshes_of_one_token_rotate_once
    a_replay_that_comes_many_times_at_once_is_audited_once
    a_user_disabled_while_it_refreshes_is_out
    whoever_ends_the_other_sessions_keeps_its_own_while_all_refresh
    ending_the_others_twice_at_once_keeps_the_session
    of_sessions_that_end_each_other_one_stays
    a_sign_out_while_the_session_refreshes_holds
}

async fn sign_in_often(app: &App, times: usize) -> Vec<Tokens> {
    let mut sessions = Vec::new();
    for _ in 0..times {
        sessions.push(app.sign_in("juliet").await);
    }
    sessions
}

/// Refreshes until it is refused, or `times` times; all tokens that it got.
async fn keep_refreshing(app: Arc<App>, first: Tokens, times: usize) -> Vec<Tokens> {
    let mut all = vec![first];
    for _ in 0..times {
        match app.refresh(&all.last().expect("there is the first").refresh).await {
            Ok(next) => all.push(next),
            Err(refusal) => {
                assert_eq!(Err(refusal), refused("invalid_grant"));
                break;
            }
        }
    }
    all
}

async fn end_others(app: Arc<App>, access: String) -> u16 {
    app.delete_at("/user/me/sessions", &access).await.0
}

async fn assert_all_dead(app: &App, tokens: &[Tokens]) {
    for tokens in tokens {
        assert_eq!(app.me(&tokens.access).await, 401);
        assert_eq!(app.refresh(&tokens.refresh).await, refused("invalid_grant"));
    }
}

// T16
async fn sixty_four_refreshes_of_one_token_rotate_once(app: Arc<App>) {
    app.register("juliet").await;
    let first = app.sign_in("juliet").await;
    let (user, id) = app.session_of(&first.access).await;
    let session = async || app.shild.store().find_session(user, id).await.unwrap().unwrap();
    let before = session().await.generation;
    let refreshes = (0..64).map(|_| {
        let (app, first) = (Arc::clone(&app), first.clone());
        async move { app.refresh(&first.refresh).await.expect("each gets an answer") }
    });
    let answers = at_once(refreshes).await;
    assert_eq!(session().await.generation, before + 1, "one rotation");
    for tokens in &answers {
        assert_eq!(tokens.refresh, answers[0].refresh, "one successor");
        assert_eq!(app.me(&tokens.access).await, 200);
    }
    assert!(app.refresh(&answers[0].refresh).await.is_ok());
    // T15
    app.advance(crate::app::SECOND * 11);
    assert_eq!(app.refresh(&first.refresh).await, refused("invalid_grant"));
    assert_all_dead(&app, &answers).await;
}

// T15
async fn a_replay_that_comes_many_times_at_once_is_audited_once(app: Arc<App>) {
    app.register("juliet").await;
    for round in 1..=ROUNDS {
        let first = app.sign_in("juliet").await;
        app.refresh(&first.refresh).await.unwrap();
        app.advance(crate::app::SECOND * 11);
        let replays = (0..8).map(|_| {
            let (app, first) = (Arc::clone(&app), first.clone());
            async move { app.refresh(&first.refresh).await }
        });
        for answer in at_once(replays).await {
            assert_eq!(answer, refused("invalid_grant"));
        }
        assert_eq!(app.count_of(shild::audit::AuditKind::RefreshReused).await, round);
    }
}

// T19
async fn a_user_disabled_while_it_refreshes_is_out(app: Arc<App>) {
    let juliet = app.register("juliet").await;
    for _ in 0..ROUNDS {
        let sessions = sign_in_often(&app, 8).await;
        let refreshing = sessions
            .into_iter()
            .map(|first| keep_refreshing(Arc::clone(&app), first, 8));
        let (got, ()) = tokio::join!(at_once(refreshing), app.disable(juliet.id));
        assert_all_dead(&app, &got.concat()).await;
        app.enable(juliet.id).await;
        assert_all_dead(&app, &got.concat()).await;
    }
}

// T19
async fn whoever_ends_the_other_sessions_keeps_its_own_while_all_refresh(app: Arc<App>) {
    app.register("juliet").await;
    for _ in 0..ROUNDS {
        let sessions = sign_in_often(&app, 4).await;
        let own = sessions[0].access.clone();
        let refreshing = sessions
            .into_iter()
            .map(|first| keep_refreshing(Arc::clone(&app), first, 6));
        let (mut got, ended) = tokio::join!(at_once(refreshing), at_once([end_others(Arc::clone(&app), own)]));
        assert_eq!(ended, [204]);
        let mine = got.remove(0);
        assert_eq!(mine.len(), 7, "no refresh of the session that stays is refused");
        for tokens in &mine {
            assert_eq!(app.me(&tokens.access).await, 200);
        }
        assert_all_dead(&app, &got.concat()).await;
    }
}

// T19
async fn ending_the_others_twice_at_once_keeps_the_session(app: Arc<App>) {
    app.register("juliet").await;
    for _ in 0..ROUNDS {
        let own = app.sign_in("juliet").await;
        let ended = at_once((0..4).map(|_| end_others(Arc::clone(&app), own.access.clone()))).await;
        assert_eq!(ended, [204; 4]);
        assert_eq!(app.me(&own.access).await, 200);
    }
}

// T19
async fn of_sessions_that_end_each_other_one_stays(app: Arc<App>) {
    app.register("juliet").await;
    for _ in 0..ROUNDS {
        let sessions = sign_in_often(&app, 6).await;
        let ends = sessions
            .iter()
            .map(|tokens| end_others(Arc::clone(&app), tokens.access.clone()));
        let ended = at_once(ends).await;
        let mut stayed = Vec::new();
        for (tokens, status) in sessions.iter().zip(&ended) {
            if app.me(&tokens.access).await == 200 {
                stayed.push(*status);
            }
        }
        // The first that is done has ended the rest, who are told that they are out.
        assert_eq!(stayed, [204], "{ended:?}");
        assert_eq!(ended.iter().filter(|status| **status == 401).count(), 5, "{ended:?}");
    }
}

// T19
async fn a_sign_out_while_the_session_refreshes_holds(app: Arc<App>) {
    app.register("juliet").await;
    for _ in 0..ROUNDS {
        let own = app.sign_in("juliet").await;
        let access = own.access.clone();
        let refreshing = keep_refreshing(Arc::clone(&app), own, 8);
        let (got, (status, _)) = tokio::join!(at_once([refreshing]), app.post("/logout", &access));
        assert_eq!(status, 204);
        assert_all_dead(&app, &got.concat()).await;
    }
}
