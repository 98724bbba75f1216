//! Sees to it that nobody waits for ever.
//!
//! After some errors sled forgets to wake up who waits for a write to end. Who asks it for the same then is told of the error,
//! and wakes up the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A thread that calls a function whenever somebody waits for longer than one or two ticks.
pub(super) struct Watch {
    shared: Arc<Shared>,
    /// `None` only while being dropped.
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// How often somebody has begun, or ended, to wait: odd while somebody does.
    turns: AtomicU64,
    ends: AtomicBool,
}

impl Watch {
    /// Starts the thread. What `help` does may wait as well.
    pub(super) fn start(tick: Duration, help: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new().name("shild-watch".to_owned()).spawn(move || {
            let mut before = 0;
            while !watched.ends.load(Ordering::Relaxed) {
                thread::park_timeout(tick);
                let turns = watched.turns.load(Ordering::Relaxed);
                if turns % 2 == 1 && turns == before {
                    help();
                }
                before = turns;
            }
        })?;
        let thread = Some(thread);
        Ok(Self { shared, thread })
    }

    /// Waits for something. Not to be called by two threads at once.
    pub(super) fn over<R>(&self, wait: impl FnOnce() -> R) -> R {
        let turn = || self.shared.turns.fetch_add(1, Ordering::Relaxed);
        turn();
        let outcome = wait();
        turn();
        outcome
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // There is nobody to tell that it panicked.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_waits_for_too_long_is_helped_and_nobody_else() {
        let (help, helped) = mpsc::channel();
        let watch = Watch::start(Duration::from_millis(5), move || help.send(()).unwrap()).unwrap();
        for _ in 0..3 {
            watch.over(|| helped.recv_timeout(Duration::from_secs(20)).unwrap());
        }
        while helped.try_recv().is_ok() {}
        for _ in 0..1000 {
            watch.over(|| {});
        }
        assert!(helped.recv_timeout(Duration::from_millis(50)).is_err());
        drop(watch);
        assert_eq!(helped.recv(), Err(mpsc::RecvError), "the thread has ended");
    }
}
