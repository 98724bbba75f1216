//! What is done while nobody asks: in small steps, each of which a request could not feel.

use std::pin::pin;
use std::time::Duration;

use crate::shild::Shild;
use crate::user::{SessionId, UserId};

/// How often a step is made.
const STEP: Duration = Duration::from_secs(1);

/// How many sessions a step looks at: microseconds each.
const SESSIONS_A_STEP: usize = 200;

/// How many events a step trims from the audit log.
const EVENTS_A_STEP: usize = 500;

/// How far the background work has come.
#[derive(Debug, Default)]
pub struct Rounds {
    swept: Option<(UserId, SessionId)>,
}

impl Shild {
    /// Makes a step each second until there is an end. A step that has begun is carried through.
    pub(crate) async fn background(&self, end: impl Future + Clone) {
        if !self.tended {
            return;
        }
        let snapshots = async {
            tokio::select! {
                () = self.snapshots_for_ever() => {}
                _ = end.clone() => {}
            }
        };
        tokio::join!(self.steps(end.clone()), snapshots);
    }

    /// Long ones must not hold up the steps.
    async fn snapshots_for_ever(&self) {
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.tend_snapshots(false).await {
                tracing::warn!(cause = %error, "no snapshot could be taken");
            }
        }
    }

    async fn steps(&self, end: impl Future) {
        let mut end = pin!(end);
        let mut rounds = Rounds::default();
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut end => return,
            }
            let ended = self.background_ended.lock().await;
            if *ended {
                return;
            }
            self.step(&mut rounds).await;
        }
    }

    /// One step: failure counts into the store, a few dead sessions and old events out of it, keys rotated and dropped when it
    /// is time. A step that fails is logged and tried again with the next. For tests; a running server makes its own.
    pub async fn step(&self, rounds: &mut Rounds) {
        if let Err(error) = self.flush_failures().await {
            tracing::warn!(cause = %error, "counts of failed sign-ins could not be stored");
        }
        match self.sweep_sessions(rounds.swept, SESSIONS_A_STEP).await {
            Ok(next) => rounds.swept = next,
            Err(error) => tracing::warn!(cause = %error, "sessions could not be swept"),
        }
        let audit = &self.settings.audit;
        let oldest = self.now().before(audit.max_age.duration());
        let keep = usize::try_from(audit.max_events).unwrap_or(usize::MAX);
        if let Err(error) = self.store.trim_events(oldest, keep, EVENTS_A_STEP).await {
            tracing::warn!(cause = %error, "the audit log could not be trimmed");
        }
        if let Err(error) = self.tend_keys().await {
            tracing::warn!(cause = %error, "the signing keys could not be tended");
        }
    }
}
