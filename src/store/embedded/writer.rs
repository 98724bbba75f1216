//! The one thread that writes.
//!
//! It takes what has queued up into one transaction, puts that on disk, and only then answers: so
//! one sync serves many requests, and nothing is acknowledged that a power cut could take back.
//!
//! An error in writing stays with the databases until they are opened again. So after one, nothing is written until that has
//! been done, which whatever comes next tries, now and then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::batch::{Answer, Batch, Failed, Freezing, Message, Work};
use super::change::{Change, Request};
use super::database::Database;
use super::engine::{Before, Engine, EngineError, Frozen, Write, discard, guarded};
use super::open::{self, Standing};
use super::record::Tree;
use super::tally::Tally;
use super::transaction::{Touched, Transaction};
use crate::audit::AuditEvent;
use crate::store::StoreError;

/// The most requests that wait; the next one waits for room.
const QUEUE_LEN: usize = 1024;

/// After a failure it is tried no sooner than this to open the database again.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });

/// So many times as long as the last try took there is a pause before the next, if that is longer: a large store is looked
/// through each time.
const PAUSES: u32 = 5;

/// The handle of the thread. Dropped, it waits until everything queued is done.
pub(super) struct Writer {
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Message>>,
    /// `None` only while being dropped.
    thread: Option<JoinHandle<()>>,
    /// [`Tally::changes`] of the last transaction.
    changes: Arc<AtomicU64>,
    /// How it ended; closed when it has.
    end: watch::Receiver<Result<(), StoreError>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start<E: Engine>(database: Arc<Database<E>>, standing: Standing) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_LEN);
        let (ended, end) = watch::channel(Ok(()));
        let changes = Arc::new(AtomicU64::new(standing.tally.changes));
        let told = Arc::clone(&changes);
        let thread = thread::Builder::new()
            .name(format!("shild-{}", E::NAME))
            .spawn(move || {
                let outcome = Worker {
                    database,
                    standing,
                    changes: told,
                    halted: None,
                }
                .run(requests);
                ended.send_modify(|end| *end = outcome);
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            changes,
            end,
        })
    }

    /// Makes the change, writes the events with it, and waits until both are on disk. If the future is dropped, the change
    /// is made or not, and nobody is told.
    pub(super) async fn submit(&self, change: Change, events: &[AuditEvent]) -> Answer {
        let request = Request {
            change,
            events: events.to_vec(),
        };
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue
            .send(Message::Change(request, answer))
            .await
            .map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// These trees, all as they are at one moment.
    pub(super) async fn freeze(&self, trees: Vec<Tree>) -> Result<Vec<Box<dyn Frozen>>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        let request = Freezing { trees, answer };
        queue.send(Message::Freeze(request)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// How many changes there were since the store was made.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Takes no more changes, and waits until those in the queue are done.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        if let Some(queue) = &self.queue {
            // An error means that it is closed already.
            let _ = queue.send(Message::Close).await;
        }
        let mut end = self.end.clone();
        while end.changed().await.is_ok() {}
        end.borrow().clone()
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It catches its panics, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

struct Worker<E> {
    database: Arc<Database<E>>,
    /// As of the last transaction.
    standing: Standing,
    changes: Arc<AtomicU64>,
    /// `Some` until the database could be opened again: what it has in memory may differ from what is on disk.
    halted: Option<Halt>,
}

/// Nothing is written.
struct Halt {
    cause: String,
    /// What the last try to go on came to.
    obstacle: Option<String>,
    next_try: Instant,
}

impl Halt {
    fn because(cause: &EngineError) -> Self {
        Self {
            cause: cause.to_string(),
            obstacle: None,
            next_try: Instant::now() + PAUSE,
        }
    }

    fn error(&self) -> StoreError {
        StoreError::Unavailable(match &self.obstacle {
            None => format!(
                "{}: nothing is written until the store has been opened again",
                self.cause
            ),
            Some(obstacle) => format!("{}: the store cannot be opened again yet: {obstacle}", self.cause),
        })
    }
}

impl<E: Engine> Worker<E> {
    fn run(mut self, mut requests: mpsc::Receiver<Message>) -> Result<(), StoreError> {
        let mut last = 0;
        while let Some(first) = requests.blocking_recv() {
            let ready = match (&first, &self.halted) {
                // It would be opened for nothing.
                (Message::Close, Some(halt)) => Err(halt.error()),
                _ => self.go_on(),
            };
            let database = Arc::clone(&self.database);
            let work = Work::over(&*database, self.standing.tally, ready);
            let Batch {
                work, answers, freezes, ..
            } = Batch::gather(work, first, &mut requests, last);
            last = answers.len();
            match self.perform(work) {
                Ok(results) => {
                    for (answer, result) in answers.into_iter().zip(results) {
                        // An error means that nobody waits for it any more.
                        let _ = answer.send(result);
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
            for Freezing { trees, answer } in freezes {
                let _ = answer.send(self.freeze(&trees));
            }
        }
        self.finish()
    }

    /// Makes these changes durable, each with a result of its own.
    fn perform(&mut self, work: Work<'_>) -> Result<Vec<Answer>, StoreError> {
        let Work {
            tx,
            tally,
            results,
            failed,
        } = work;
        let failed = failed.and_then(|()| self.commit(tx, tally).map_err(Failed::Now));
        match failed {
            Ok(()) => Ok(results),
            Err(Failed::Halted(error)) => Err(error),
            Err(Failed::Now(error)) => {
                let halt = Halt::because(&error);
                let error = halt.error();
                tracing::error!("{error}");
                self.halted = Some(halt);
                Err(error)
            }
        }
    }

    /// Makes sure that it can be written; where it could not, by opening the database again, if it is time to try that.
    fn go_on(&mut self) -> Result<(), StoreError> {
        let Some(halt) = &mut self.halted else {
            return Ok(());
        };
        let start = Instant::now();
        // One without a mark is only looked at.
        if start < halt.next_try || self.standing.mark.is_none() {
            return Err(halt.error());
        }
        match open::again(&self.database) {
            Ok(standing) => {
                tracing::warn!("the store was opened again and is written again");
                self.changes.store(standing.tally.changes, Ordering::Relaxed);
                self.standing = standing;
                self.halted = None;
                Ok(())
            }
            Err(obstacle) => {
                let obstacle = Some(obstacle.to_string());
                let news = halt.obstacle != obstacle;
                halt.obstacle = obstacle;
                halt.next_try = Instant::now() + PAUSE.max(start.elapsed() * PAUSES);
                if news {
                    tracing::error!("{}", halt.error());
                }
                Err(halt.error())
            }
        }
    }

    /// All of this in one transaction, and on disk, and marked.
    fn commit(&mut self, tx: Transaction<'_>, mut tally: Tally) -> Result<(), EngineError> {
        let mut writes = Vec::new();
        for (tree, key, Touched { before, after }) in tx.into_touched() {
            if before == after {
                continue;
            }
            if let Some(before) = &before {
                tally.take(tree, &key, before);
            }
            if let Some(after) = &after {
                tally.add(tree, &key, after);
            }
            writes.push(Write {
                tree,
                key,
                before: Before::Known(before),
                record: after,
            });
        }
        if !writes.is_empty() {
            tally.transactions += 1;
            writes.push(tally.write());
            self.database.commit(&writes)?;
            if let Some(mark) = &mut self.standing.mark {
                mark.set(&tally)?;
            }
            self.standing.tally = tally;
            self.changes.store(tally.changes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// These trees. That they cannot be had is no reason to write nothing more.
    fn freeze(&mut self, trees: &[Tree]) -> Result<Vec<Box<dyn Frozen>>, StoreError> {
        self.go_on()?;
        self.database.freeze(trees)
    }

    /// How it ended: nothing is waiting, and what was acknowledged is on disk.
    fn finish(self) -> Result<(), StoreError> {
        let engine = self.database.engine.close();
        self.database.recent.forget();
        if let Some(halt) = self.halted {
            if let Ok(Some(failed)) = engine {
                discard(failed);
            }
            return Err(halt.error());
        }
        // Or somebody still reads: it is closed when the store is dropped, and looked through at the next start.
        let Ok(Some(engine)) = engine else { return Ok(()) };
        guarded::<E, _, EngineError>(|| engine.close())?;
        let Standing { tally, mark, whole } = self.standing;
        if let Some(mut mark) = mark.filter(|_| whole)
            && let Err(error) = open::leave::<E>(&self.database.dir, &tally, &mut mark)
        {
            tracing::warn!(
                "the next start looks at every record of the store, since this one cannot vouch for them: {error}"
            );
        }
        Ok(())
    }
}
