//! The one thread that writes.
//!
//! It takes what has queued up into one transaction, puts that on disk, and only then answers: so
//! one sync serves many requests, and nothing is acknowledged that a power cut could take back.
//!
//! An error in writing stays with sled until it is opened again, and then fails some reads too,
//! since sled splits pages while reading. So after one, nothing is tried until a restart.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{io, mem};

use tokio::sync::{mpsc, oneshot, watch};

use super::change::Change;
use super::copy::TreeCopy;
use super::engine::{Engine, EngineError, panic_text};
use super::record::Tree;
use crate::store::StoreError;

/// The most requests that wait; the next one waits for room.
const QUEUE_LEN: usize = 1024;

/// The most requests in one transaction.
const MAX_BATCH: usize = 512;

/// Once a transaction is about this many records it takes no more requests: sled's memory grows
/// out of proportion with larger ones.
const MAX_WEIGHT: usize = 1000;

/// What an answer is: the number of records deleted, where that is asked for.
type Answer = Result<usize, StoreError>;

enum Message {
    Change(Change, oneshot::Sender<Answer>),
    Copy(Copying),
    Close,
}

/// A request for copies of trees as they are between two transactions.
struct Copying {
    trees: Vec<Tree>,
    dir: PathBuf,
    answer: oneshot::Sender<Result<Vec<TreeCopy>, StoreError>>,
}

/// The handle of the thread. Dropped, it waits until everything queued is done.
pub(super) struct Writer {
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Message>>,
    /// `None` only while being dropped.
    thread: Option<JoinHandle<()>>,
    /// How it ended; closed when it has.
    end: watch::Receiver<Result<(), StoreError>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(engine: Arc<Engine>) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_LEN);
        let (ended, end) = watch::channel(Ok(()));
        let thread = thread::Builder::new()
            .name("shild-sled-writer".to_owned())
            .spawn(move || {
                let outcome = Worker { engine, halted: None }.run(requests);
                ended.send_modify(|end| *end = outcome);
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            end,
        })
    }

    /// Makes the change and waits until it is on disk. If the future is dropped, the change is
    /// made or not, and nobody is told.
    pub(super) async fn submit(&self, change: Change) -> Answer {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue
            .send(Message::Change(change, answer))
            .await
            .map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Copies of these trees, all as they are at one moment, in files on the file system of `dir`.
    pub(super) async fn copy(&self, trees: Vec<Tree>, dir: &Path) -> Result<Vec<TreeCopy>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        let request = Copying {
            trees,
            dir: dir.to_owned(),
            answer,
        };
        queue.send(Message::Copy(request)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
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

struct Worker {
    engine: Arc<Engine>,
    /// Why nothing is written any more until a restart: what the database has in memory may
    /// differ from what is on disk.
    halted: Option<String>,
}

impl Worker {
    fn run(mut self, mut requests: mpsc::Receiver<Message>) -> Result<(), StoreError> {
        let (mut changes, mut answers, mut copies) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(first) = requests.blocking_recv() {
            let (mut next, mut weight) = (Some(first), 0);
            while let Some(message) = next {
                match message {
                    Message::Change(change, answer) => {
                        weight += change.weight();
                        changes.push(change);
                        answers.push(answer);
                    }
                    Message::Copy(request) => copies.push(request),
                    Message::Close => requests.close(),
                }
                let full = changes.len() >= MAX_BATCH || weight >= MAX_WEIGHT;
                next = if full { None } else { requests.try_recv().ok() };
            }
            if !changes.is_empty() {
                let results = self.perform(&changes);
                changes.clear();
                for (answer, result) in mem::take(&mut answers).into_iter().zip(results) {
                    // An error means that nobody waits for it any more.
                    let _ = answer.send(result);
                }
            }
            for Copying { trees, dir, answer } in copies.drain(..) {
                let _ = answer.send(self.copy(&trees, &dir));
            }
        }
        self.finish()
    }

    /// Makes these changes durable, each with a result of its own.
    fn perform(&mut self, changes: &[Change]) -> Vec<Answer> {
        let all_failed = |cause: String| vec![Err(StoreError::Unavailable(cause)); changes.len()];
        if let Some(cause) = &self.halted {
            return all_failed(cause.clone());
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| commit(&self.engine, changes)));
        let cause = match outcome {
            Ok(Ok(results)) => return results,
            Ok(Err(error)) if error.untouched => return all_failed(error.cause),
            Ok(Err(error)) => error.cause,
            Err(panic) => format!("sled panicked: {}", panic_text(&*panic)),
        };
        let cause = format!("{cause}: nothing more is written until shild is started again");
        log::error!("the store: {cause}");
        self.halted = Some(cause.clone());
        all_failed(cause)
    }

    /// Copies of these trees. That they cannot be made is no reason to write nothing more.
    fn copy(&self, trees: &[Tree], dir: &Path) -> Result<Vec<TreeCopy>, StoreError> {
        if let Some(cause) = &self.halted {
            return Err(StoreError::Unavailable(cause.clone()));
        }
        trees
            .iter()
            .map(|tree| TreeCopy::of(&self.engine, *tree, dir))
            .collect()
    }

    /// What is left to do at the end: nothing is waiting, so only what sled does by itself.
    fn finish(self) -> Result<(), StoreError> {
        if let Some(cause) = self.halted {
            return Err(StoreError::Unavailable(cause));
        }
        catch_unwind(AssertUnwindSafe(|| self.engine.sync()))
            .map_err(|panic| StoreError::Unavailable(format!("sled panicked: {}", panic_text(&*panic))))?
            .map_err(|error| StoreError::Unavailable(error.cause))
    }
}

/// All of these in one transaction, and on disk.
fn commit(engine: &Engine, changes: &[Change]) -> Result<Vec<Answer>, EngineError> {
    let (results, wrote) = engine.transact(|tx| {
        changes
            .iter()
            .map(|change| tx.attempt(|tx| change.apply(tx)))
            .collect::<Result<_, _>>()
    })?;
    if wrote {
        engine.sync()?;
    }
    Ok(results)
}
