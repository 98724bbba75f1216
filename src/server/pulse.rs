//! Who is waiting for whom on a connection, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Patience;

/// The pulse of one connection.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests that are being answered; as long as there are any, nobody is late.
    answering: usize,
    /// Whether a part of a head is there.
    begun: bool,
    /// Since when the client is waited for.
    since: Instant,
    /// Whether it has kept an answer waiting for too long.
    cut: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            answering: 0,
            begun: false,
            since: Instant::now(),
            cut: false,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first bytes of a head came; more of them later are no reason to wait longer.
    pub(super) fn began(&self) {
        let mut state = self.state();
        if !state.begun {
            state.begun = true;
            state.since = Instant::now();
        }
    }

    /// The head is whole.
    pub(super) fn ended(&self) {
        let mut state = self.state();
        state.begun = false;
        state.since = Instant::now();
    }

    /// A request is being answered until what this gives is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.state().answering += 1;
        Busy(Arc::clone(self))
    }

    /// Done when the client has kept the server waiting for too long.
    pub(super) async fn outlasts(&self, patience: Patience) {
        loop {
            let deadline = self.deadline(patience);
            if deadline <= Instant::now() {
                return;
            }
            // A head may begin meanwhile: so this looks again as soon as one may have taken too long.
            let look_again = Instant::now() + patience.request;
            tokio::time::sleep_until(deadline.min(look_again).into()).await;
        }
    }

    /// When the connection is to be cut if nothing happens until then.
    pub(super) fn deadline(&self, patience: Patience) -> Instant {
        let state = self.state();
        if state.cut {
            return state.since;
        }
        if state.answering > 0 {
            return Instant::now() + patience.request.min(patience.idle);
        }
        state.since + if state.begun { patience.request } else { patience.idle }
    }
}

/// That a request is being answered.
pub(super) struct Busy(Arc<Pulse>);

impl Busy {
    /// The client does not take the answer.
    pub(super) fn cut(self) {
        self.0.state().cut = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.answering -= 1;
        state.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Patience = Patience {
        request: Duration::from_secs(10),
        idle: Duration::from_secs(60),
    };

    // H9
    #[test]
    fn a_client_is_waited_for_from_the_first_byte_of_a_head_and_never_while_it_is_answered() {
        let pulse = Arc::new(Pulse::new());
        let left = || {
            pulse
                .deadline(PATIENCE)
                .saturating_duration_since(Instant::now())
                .as_secs()
                + 1
        };
        assert_eq!(left(), 60);
        pulse.began();
        let first = pulse.deadline(PATIENCE);
        assert_eq!(left(), 10);
        pulse.began();
        assert_eq!(pulse.deadline(PATIENCE), first, "more bytes of it win no time");
        pulse.ended();
        let busy = pulse.busy();
        pulse.began();
        assert!(pulse.deadline(PATIENCE) > first);
        // However long that takes.
        pulse.state().since -= PATIENCE.idle;
        drop(busy);
        assert_eq!(left(), 10, "the next head has begun");
        pulse.ended();
        pulse.busy().cut();
        assert!(pulse.deadline(PATIENCE) <= Instant::now(), "it did not take its answer");
    }
}
