//! Threads that hash, each with [`Memory`] of its own that it keeps until it has had nothing to do for a while.
//!
//! Invariants: at most one job runs on a thread, at most `threads + queue_len` are admitted, and a thread keeps no more
//! memory than one hash at the current settings needs. No lock is held while a job runs.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::memory::{Memory, TellOfMemory};

/// Does the work and leaves how to send the answer, so that its place is free by the time that
/// the answer arrives.
type Job = Box<dyn FnOnce(&mut Memory) -> Answer + Send>;
type Answer = Box<dyn FnOnce()>;

/// How long a thread keeps its memory while it has nothing to do. On a small host that is a good part of all memory; the next
/// hash takes a third longer for it.
const KEPT: Duration = Duration::from_secs(10);

/// No more jobs are taken at the moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// The threads. They end when this is dropped, each after the job that it is at.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads. Each keeps `blocks` blocks from its first hash on, until there has been none for [`KEPT`].
    pub(super) fn start(
        threads: NonZeroUsize,
        queue_len: usize,
        blocks: usize,
        tell: TellOfMemory,
    ) -> io::Result<Self> {
        Self::keeping(threads, queue_len, KEPT, || Memory::told_of(blocks, tell))
    }

    fn keeping(
        threads: NonZeroUsize,
        queue_len: usize,
        kept: Duration,
        memory: impl Fn() -> Memory,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            kept,
            limit: threads.get().saturating_add(queue_len),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                admitted: 0,
                open: true,
            }),
            wake: Condvar::new(),
            allocations: AtomicU64::new(0),
            work_kib: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
        });
        // Made first: if a thread cannot be started, dropping it ends those that were.
        let mut pool = Self {
            shared,
            threads: Vec::with_capacity(threads.get()),
        };
        for n in 0..threads.get() {
            let (shared, memory) = (Arc::clone(&pool.shared), memory());
            let thread = thread::Builder::new().name(format!("shild-hash-{n}")).spawn(move || {
                give_way();
                shared.work(memory);
            })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Hands a job to the next free thread. The receiver learns that the sender is gone if the job panics. A job whose
    /// receiver is dropped before its turn is not run.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Busy> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            if sender.is_closed() {
                return Box::new(|| ());
            }
            let answer = job(memory);
            Box::new(move || drop(sender.send(answer)))
        });
        let mut state = self.shared.lock();
        if state.admitted >= self.shared.limit {
            return Err(Busy);
        }
        state.admitted += 1;
        state.queue.push_back(job);
        drop(state);
        self.shared.wake.notify_one();
        Ok(receiver)
    }

    /// Jobs waiting or running.
    pub(super) fn admitted(&self) -> usize {
        self.shared.lock().admitted
    }

    /// Jobs waiting, and jobs running.
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        let waiting = state.queue.len();
        (waiting, state.admitted - waiting)
    }

    /// How long jobs ran that have ended.
    pub(super) fn busy(&self) -> Duration {
        Duration::from_nanos(self.shared.busy_nanos.load(Ordering::Relaxed))
    }

    /// Times that memory for hashing was allocated.
    pub(super) fn allocations(&self) -> u64 {
        self.shared.allocations.load(Ordering::Relaxed)
    }

    /// KiB times iterations of all hashes.
    pub(super) fn work_kib(&self) -> u64 {
        self.shared.work_kib.load(Ordering::Relaxed)
    }
}

impl Drop for Pool {
    /// Does not wait for the threads: it may run on an async thread.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.open = false;
        let abandoned = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.wake.notify_all();
        drop(abandoned);
    }
}

#[derive(Debug)]
struct Shared {
    /// How long memory is kept that is not needed.
    kept: Duration,
    /// The most jobs that are admitted.
    limit: usize,
    state: Mutex<State>,
    /// Signalled when a job is queued and when the pool is closed.
    wake: Condvar,
    allocations: AtomicU64,
    work_kib: AtomicU64,
    busy_nanos: AtomicU64,
}

struct State {
    queue: VecDeque<Job>,
    /// Jobs waiting or running.
    admitted: usize,
    open: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("admitted", &self.admitted)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// Puts this thread behind those that answer requests, for whom a flood of sign-ins would leave no processor. Where nothing else
/// runs, hashes take no longer for it.
#[cfg(target_os = "linux")]
fn give_way() {
    const NICE: i32 = 5;
    // On Linux the "process" is the thread that calls. That it is refused is no reason not to hash.
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// Elsewhere it would be the whole process.
#[cfg(not(target_os = "linux"))]
const fn give_way() {}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing that can panic runs under the lock")
    }

    /// What each thread does.
    fn work(&self, mut memory: Memory) {
        while let Some(job) = self.next(&mut memory) {
            // A job that panics has dropped its sender, and memory is in order between any two
            // statements of `Memory`.
            let began = Instant::now();
            let answer = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
            let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.busy_nanos.fetch_add(took, Ordering::Relaxed);
            self.lock().admitted -= 1;
            self.allocations
                .fetch_add(std::mem::take(&mut memory.allocations), Ordering::Relaxed);
            self.work_kib
                .fetch_add(std::mem::take(&mut memory.work_kib), Ordering::Relaxed);
            if let Ok(answer) = answer {
                answer();
            }
        }
    }

    /// Waits for the next job; `None` when the pool is closed. A thread that would have to wait
    /// wipes its memory first, and gives it back after a while.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if !state.open {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if memory.is_dirty() {
                drop(state);
                memory.wipe();
                state = self.lock();
            } else if memory.is_there() {
                let (waited, timeout) = self
                    .wake
                    .wait_timeout(state, self.kept)
                    .expect("nothing that can panic runs under the lock");
                state = waited;
                if timeout.timed_out() && state.queue.is_empty() {
                    drop(state);
                    memory.give_back();
                    state = self.lock();
                }
            } else {
                state = self
                    .wake
                    .wait(state)
                    .expect("nothing that can panic runs under the lock");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn pool(threads: usize, queue_len: usize) -> Pool {
        Pool::start(NonZeroUsize::new(threads).unwrap(), queue_len, 8, |_| ()).unwrap()
    }

    // W6
    #[tokio::test]
    async fn no_more_jobs_run_at_once_than_there_are_threads_and_the_rest_waits_or_is_refused() {
        let pool = pool(2, 1);
        let (started, starts) = mpsc::channel();
        let job = |name: u32| {
            let (go, gate) = mpsc::channel::<()>();
            let started = started.clone();
            let answer = pool.submit(move |_| {
                started.send(name).unwrap();
                gate.recv().unwrap();
                name
            });
            (go, answer)
        };
        let (first_go, first) = job(1);
        let (second_go, second) = job(2);
        let mut running = [starts.recv().unwrap(), starts.recv().unwrap()];
        running.sort_unstable();
        assert_eq!(running, [1, 2]);

        let (third_go, third) = job(3);
        let (_, fourth) = job(4);
        assert_eq!(fourth.err(), Some(Busy));
        assert_eq!(pool.admitted(), 3);
        assert_eq!(
            starts.try_recv(),
            Err(mpsc::TryRecvError::Empty),
            "a third job ran beside two"
        );

        first_go.send(()).unwrap();
        assert_eq!(first.unwrap().await, Ok(1));
        assert_eq!(starts.recv(), Ok(3));
        // The answer was there, so the place is free.
        let (fifth_go, fifth) = job(5);
        for go in [second_go, third_go, fifth_go] {
            go.send(()).unwrap();
        }
        assert_eq!(second.unwrap().await, Ok(2));
        assert_eq!(third.unwrap().await, Ok(3));
        assert_eq!(fifth.unwrap().await, Ok(5));
        assert_eq!(pool.admitted(), 0);
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_job_only() {
        let pool = pool(1, 0);
        for _ in 0..3 {
            let lost = pool
                .submit(|memory| memory.lend(8, |_| -> u32 { panic!("of this test") }))
                .unwrap();
            assert!(lost.await.is_err());
            // Unlike an answer, a panic is known before the place is free.
            while pool.admitted() > 0 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(
            pool.submit(|memory| memory.lend(8, |blocks| blocks.len()))
                .unwrap()
                .await,
            Ok(Ok(8))
        );
        assert_eq!(pool.allocations(), 1);
    }

    #[test]
    fn a_job_that_nobody_waits_for_is_not_run() {
        let pool = pool(1, 2);
        let (go, gate) = mpsc::channel::<()>();
        let (ran, runs) = mpsc::channel();
        let held = pool.submit(move |_| gate.recv().unwrap()).unwrap();
        let first_ran = ran.clone();
        drop(pool.submit(move |_| first_ran.send("abandoned")).unwrap());
        let last = pool.submit(move |_| ran.send("awaited")).unwrap();
        go.send(()).unwrap();
        held.blocking_recv().unwrap();
        last.blocking_recv().unwrap().unwrap();
        assert_eq!(runs.iter().collect::<Vec<_>>(), ["awaited"]);
    }

    #[test]
    fn the_threads_end_with_the_pool() {
        let mut pool = pool(3, 8);
        let threads = std::mem::take(&mut pool.threads);
        let (go, gate) = mpsc::channel::<()>();
        // Whether it has begun by the time that the pool is dropped is up to the scheduler.
        drop(pool.submit(move |_| gate.recv()));
        drop(pool);
        drop(go);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn memory_is_given_back_once_there_is_nothing_to_do_for_a_while() {
        let start = |kept| Pool::keeping(NonZeroUsize::MIN, 1, kept, || Memory::new(8)).unwrap();
        let hash = |pool: &Pool| {
            let hash = pool.submit(|memory| {
                let was_there = memory.is_there();
                memory.lend(8, |_| was_there).unwrap()
            });
            hash.unwrap().blocking_recv().unwrap()
        };
        let pool = start(Duration::from_millis(1));
        assert!(!hash(&pool));
        let begin = Instant::now();
        let mut pause = Duration::from_millis(5);
        while hash(&pool) {
            assert!(begin.elapsed() < Duration::from_secs(20), "it is kept");
            thread::sleep(pause);
            pause *= 2;
        }
        assert!(pool.allocations() > 1);

        let pool = start(KEPT);
        hash(&pool);
        assert!(hash(&pool), "there is more to do");
        assert_eq!(pool.allocations(), 1);
    }
}
