//! The place of the engine, which can be taken away and put back while others read.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use super::engine::EngineError;

/// How long a read waits for an engine that is away, counted from when it went: a small store is back by then, and for a large
/// one nobody's thread is held up.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far apart it is looked for meanwhile, and how often it is tried to take it from those who still read.
const PAUSE: Duration = Duration::from_millis(5);
const TRIES: u32 = 400;

/// Where an engine is, or was.
pub(super) struct Slot<E>(RwLock<Place<E>>);

enum Place<E> {
    Here(Arc<E>),
    /// Since then; somebody is about to put it back.
    Away(Instant),
    /// It does not come back.
    Closed,
}

impl<E> Slot<E> {
    pub(super) fn with(engine: E) -> Self {
        Self(RwLock::new(Place::Here(Arc::new(engine))))
    }

    /// The engine. Whoever has it gives it back soon, for it cannot be taken away before.
    pub(super) fn get(&self) -> Result<Arc<E>, EngineError> {
        loop {
            match &*self.read() {
                Place::Here(engine) => return Ok(Arc::clone(engine)),
                Place::Away(since) if since.elapsed() < PATIENCE => {}
                Place::Away(_) => return Err(unavailable("the store is being opened again")),
                Place::Closed => return Err(unavailable("the store is closed")),
            }
            thread::sleep(PAUSE);
        }
    }

    /// Takes the engine away, for a while, as soon as nobody reads any more. `None` if it is away already.
    ///
    /// # Errors
    /// If somebody reads for too long: it stays where it is.
    pub(super) fn take(&self) -> Result<Option<E>, EngineError> {
        self.replace(Place::Away(Instant::now()))
    }

    /// As [`Slot::take`], for ever.
    pub(super) fn close(&self) -> Result<Option<E>, EngineError> {
        self.replace(Place::Closed)
    }

    /// Puts an engine here.
    pub(super) fn put(&self, engine: E) {
        *self.write() = Place::Here(Arc::new(engine));
    }

    fn replace(&self, place: Place<E>) -> Result<Option<E>, EngineError> {
        let before = {
            let mut here = self.write();
            match (&*here, &place) {
                (Place::Here(_), _) | (Place::Away(_), Place::Closed) => mem::replace(&mut *here, place),
                // What is closed stays so, and what is away has been since then.
                _ => return Ok(None),
            }
        };
        let Place::Here(mut engine) = before else {
            return Ok(None);
        };
        for _ in 0..TRIES {
            match Arc::try_unwrap(engine) {
                Ok(engine) => return Ok(Some(engine)),
                Err(read) => engine = read,
            }
            thread::sleep(PAUSE);
        }
        *self.write() = Place::Here(engine);
        Err(unavailable("somebody has been reading from the store for too long"))
    }

    fn read(&self) -> RwLockReadGuard<'_, Place<E>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Place<E>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(why: &'static str) -> EngineError {
    EngineError::Io(io::Error::other(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_taken_once_nobody_has_it_and_found_when_it_is_back() {
        let slot = Slot::with("first");
        let read = slot.get().unwrap();
        thread::scope(|scope| {
            let taken = scope.spawn(|| slot.take().unwrap());
            thread::sleep(2 * PAUSE);
            assert!(!taken.is_finished());
            let waiting = scope.spawn(|| slot.get().map(|engine| *engine).unwrap());
            drop(read);
            assert_eq!(taken.join().unwrap(), Some("first"));
            assert_eq!(slot.take().unwrap(), None);
            slot.put("second");
            assert_eq!(waiting.join().unwrap(), "second");
        });
        assert_eq!(slot.close().unwrap(), Some("second"));
        assert!(slot.get().is_err());
        assert_eq!(slot.close().unwrap(), None);
    }
}
