//! Hashing and verifying without keeping an async thread waiting.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::WeakPassword;
use super::hash::{self, SALT_LEN, Stored};
use super::memory::{Memory, OutOfMemory, TellOfMemory};
use super::pool::{Busy, Pool};
use super::{Argon2Settings, InvalidArgon2Settings, InvalidPasswordHash, Password, PasswordHash, PasswordPolicy};

/// Makes and verifies password hashes on threads of its own, one hash at a time on each (requirement W6). Share it in an
/// `Arc`; dropping it ends the threads.
#[derive(Debug)]
pub struct Hasher {
    settings: Argon2Settings,
    pool: Pool,
    hashes: Arc<AtomicU64>,
}

/// What came of comparing a password with a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another password, or there is no hash to compare with.
    Wrong,
    /// It is the password.
    Right,
    /// It is the password, and its hash is of another kind or cost than a new one would be: hash it anew and store
    /// that (requirement W6).
    RightOutdated,
}

/// Why there is no hash, or no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// As many passwords as may are being hashed or waiting. Worth a try in a second or two.
    #[error("too many passwords are being checked at the moment; try again in a few seconds")]
    Busy,
    /// The operating system gave no memory to hash in.
    #[error("there is no memory left to hash a password in")]
    OutOfMemory,
    /// The stored hash cannot be used.
    #[error(transparent)]
    Stored(#[from] InvalidPasswordHash),
    /// The work was not finished, because of a defect: it panicked.
    #[error("hashing a password broke off")]
    BrokenOff,
}

impl From<Busy> for HashError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl From<OutOfMemory> for HashError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Why a new password was not hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NewPasswordError {
    /// The policy does not allow it.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// What a [`Hasher`] is doing and has done; for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasherStats {
    /// Jobs that are waiting or running.
    pub pending: usize,
    /// Hashes computed since the start, whether made or verified.
    pub hashes: u64,
    /// Times that memory for hashing was allocated: once a thread, once more after ten seconds without a hash, and once more for
    /// each foreign hash that needs more.
    pub allocations: u64,
    /// What Argon2's hashes have cost since the start: the memory of each in KiB, times its iterations.
    pub work_kib: u64,
}

/// How busy a [`Hasher`] is; for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasherLoad {
    /// Jobs that wait for a thread.
    pub waiting: usize,
    /// Jobs that a thread is at.
    pub running: usize,
    /// How long threads were at jobs that have ended, all threads together.
    pub busy: Duration,
}

impl Hasher {
    /// Starts the threads: `threads`, or as many as there are cores. Beyond one job on each, `queue_len` may wait;
    /// the next is [`HashError::Busy`] at once. Memory for `threads` hashes is allocated as they are
    /// needed, and kept until a thread has had nothing to do for ten seconds.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with [`InvalidArgon2Settings`] if the settings cannot be used; else what the
    /// operating system says against starting threads.
    pub fn new(settings: Argon2Settings, threads: Option<NonZeroUsize>, queue_len: usize) -> io::Result<Self> {
        Self::told_of_memory(settings, threads, queue_len, |_| ())
    }

    /// As [`new`](Self::new); `tell` is told at which addresses the memory of a hash lies before anybody touches it.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    #[doc(hidden)]
    pub fn told_of_memory(
        settings: Argon2Settings,
        threads: Option<NonZeroUsize>,
        queue_len: usize,
        tell: TellOfMemory,
    ) -> io::Result<Self> {
        settings
            .validate()
            .map_err(|error: InvalidArgon2Settings| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let threads = match threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let pool = Pool::start(threads, queue_len, hash::block_count(&settings), tell)?;
        Ok(Self {
            settings,
            pool,
            hashes: Arc::default(),
        })
    }

    /// Hashes a password at the current settings. The salt must be fresh and random.
    ///
    /// # Errors
    /// [`HashError`], but never [`HashError::Stored`].
    pub async fn hash(&self, password: Password, salt: [u8; SALT_LEN]) -> Result<PasswordHash, HashError> {
        let settings = self.settings;
        let hashes = Arc::clone(&self.hashes);
        self.run(move |memory| {
            hashes.fetch_add(1, Ordering::Relaxed);
            hash::hash(&settings, password.expose(), &salt, memory)
        })
        .await?
        .map_err(Into::into)
    }

    /// Hashes a new password if the policy allows it (requirement W5), both in one turn. `context` as for
    /// [`PasswordPolicy::check`]; the salt must be fresh and random.
    ///
    /// # Errors
    /// [`NewPasswordError::Weak`] if the policy refuses it, [`NewPasswordError::Hash`] if it cannot be hashed.
    pub async fn check_and_hash(
        &self,
        policy: PasswordPolicy,
        password: Password,
        context: Vec<String>,
        salt: [u8; SALT_LEN],
    ) -> Result<PasswordHash, NewPasswordError> {
        let settings = self.settings;
        let hashes = Arc::clone(&self.hashes);
        self.run(move |memory| {
            let context: Vec<_> = context.iter().map(String::as_str).collect();
            policy.check(&password, &context)?;
            hashes.fetch_add(1, Ordering::Relaxed);
            hash::hash(&settings, password.expose(), &salt, memory).map_err(|error| HashError::from(error).into())
        })
        .await?
    }

    /// Compares a password with a hash, in constant time as to the hash. With `None`, for a user who is unknown, locked or
    /// disabled, it costs one hash at the current settings as well, and is [`Verdict::Wrong`] (requirement W8).
    ///
    /// # Errors
    /// [`HashError`]; [`HashError::Stored`] if the hash is damaged or would cost more than is bearable, which is found out
    /// at the cost of one hash too.
    pub async fn verify(&self, password: Password, stored: Option<PasswordHash>) -> Result<Verdict, HashError> {
        let stored = stored.map(|hash| Stored::parse(hash.expose()));
        let settings = self.settings;
        let hashes = Arc::clone(&self.hashes);
        self.run(move |memory| {
            hashes.fetch_add(1, Ordering::Relaxed);
            let Some(Ok(stored)) = stored else {
                hash::hash(&settings, password.expose(), &[0; SALT_LEN], memory)?;
                return stored.transpose().map(|_| Verdict::Wrong).map_err(HashError::Stored);
            };
            Ok(match stored.matches(password.expose(), memory)? {
                false => Verdict::Wrong,
                true if stored.is_outdated(&settings) => Verdict::RightOutdated,
                true => Verdict::Right,
            })
        })
        .await?
    }

    /// What it is doing and has done.
    #[must_use]
    pub fn stats(&self) -> HasherStats {
        HasherStats {
            pending: self.pool.admitted(),
            hashes: self.hashes.load(Ordering::Relaxed),
            allocations: self.pool.allocations(),
            work_kib: self.pool.work_kib(),
        }
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> HasherLoad {
        let (waiting, running) = self.pool.load();
        HasherLoad {
            waiting,
            running,
            busy: self.pool.busy(),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        self.pool.submit(job)?.await.map_err(|_| HashError::BrokenOff)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const CHEAP: Argon2Settings = Argon2Settings {
        memory_kib: 64,
        iterations: 1,
        lanes: 1,
    };

    fn hasher(settings: Argon2Settings, threads: usize) -> Hasher {
        Hasher::new(settings, NonZeroUsize::new(threads), 64).unwrap()
    }

    fn password(raw: &str) -> Password {
        Password::parse(raw).unwrap()
    }

    // W1, W3
    #[tokio::test]
    async fn the_password_verifies_and_no_other_does() {
        let hasher = hasher(CHEAP, 2);
        let raw = format!("caf\u{e9}{}", "x".repeat(124));
        let hash = hasher.hash(password(&raw), [1; 16]).await.unwrap();
        for (given, verdict) in [
            (raw.clone(), Verdict::Right),
            (raw.replace('\u{e9}', "e\u{301}"), Verdict::Right),
            (format!("{}y", &raw[..raw.len() - 1]), Verdict::Wrong),
            (raw[..raw.len() - 1].to_owned(), Verdict::Wrong),
            (format!("{raw} "), Verdict::Wrong),
            (raw.to_uppercase(), Verdict::Wrong),
            (String::new(), Verdict::Wrong),
        ] {
            assert_eq!(
                hasher.verify(password(&given), Some(hash.clone())).await,
                Ok(verdict),
                "{given}"
            );
        }
    }

    // W6
    #[tokio::test]
    async fn the_default_settings_hash_verify_and_have_their_parameters_in_the_string() {
        let hasher = hasher(Argon2Settings::default(), 1);
        let hash = hasher
            .hash(password("correct horse"), *b"sixteen byte s.t")
            .await
            .unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(
            hasher.verify(password("correct horse"), Some(hash)).await,
            Ok(Verdict::Right)
        );
        assert_eq!(
            hasher.stats(),
            HasherStats {
                pending: 0,
                hashes: 2,
                allocations: 1,
                work_kib: 2 * 19456 * 2
            }
        );
    }

    // W6
    #[tokio::test]
    async fn a_hash_of_weaker_settings_is_right_but_outdated() {
        let stronger = hasher(
            Argon2Settings {
                memory_kib: 128,
                iterations: 2,
                lanes: 2,
            },
            1,
        );
        let weaker = hasher(CHEAP, 1);
        let old = weaker.hash(password("correct horse"), [1; 16]).await.unwrap();
        assert_eq!(
            stronger.verify(password("correct horse"), Some(old.clone())).await,
            Ok(Verdict::RightOutdated)
        );
        assert_eq!(
            stronger.verify(password("correct house"), Some(old)).await,
            Ok(Verdict::Wrong)
        );
        let new = stronger.hash(password("correct horse"), [1; 16]).await.unwrap();
        assert_eq!(
            weaker.verify(password("correct horse"), Some(new.clone())).await,
            Ok(Verdict::Right)
        );
        assert_eq!(
            stronger.verify(password("correct horse"), Some(new)).await,
            Ok(Verdict::Right)
        );
    }

    // W8
    #[tokio::test]
    async fn without_a_hash_to_compare_with_one_is_computed_all_the_same() {
        let hasher = hasher(CHEAP, 1);
        assert_eq!(hasher.verify(password("correct horse"), None).await, Ok(Verdict::Wrong));
        assert_eq!(
            hasher.stats(),
            HasherStats {
                pending: 0,
                hashes: 1,
                allocations: 1,
                work_kib: 64
            }
        );
        // Not even the password whose hash it is.
        assert_eq!(hasher.verify(password(""), None).await, Ok(Verdict::Wrong));
        assert_eq!(hasher.stats().hashes, 2);
    }

    // W6
    #[tokio::test]
    async fn each_thread_allocates_its_memory_once() {
        let hasher = Arc::new(hasher(CHEAP, 2));
        let hashing: Vec<_> = (0..50)
            .map(|n| {
                let hasher = Arc::clone(&hasher);
                tokio::spawn(async move { hasher.hash(password("correct horse"), [n; 16]).await.unwrap() })
            })
            .collect();
        for task in hashing {
            task.await.unwrap();
        }
        let stats = hasher.stats();
        assert_eq!(stats.hashes, 50);
        assert!((1..=2).contains(&stats.allocations), "{stats:?}");
    }

    // W6
    #[tokio::test]
    async fn past_the_queue_it_is_busy_at_once() {
        let hasher = Hasher::new(CHEAP, NonZeroUsize::new(1), 0).unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let held = hasher.pool.submit(move |_| gate.recv().unwrap()).unwrap();
        // No time at all is given: a call that waited would be `Err` here.
        let hash = timeout(Duration::ZERO, hasher.hash(password("correct horse"), [1; 16])).await;
        assert_eq!(hash.map(Result::err), Ok(Some(HashError::Busy)));
        let verdict = timeout(Duration::ZERO, hasher.verify(password("correct horse"), None)).await;
        assert_eq!(verdict, Ok(Err(HashError::Busy)));
        go.send(()).unwrap();
        held.await.unwrap();
        assert!(hasher.hash(password("correct horse"), [1; 16]).await.is_ok());
        assert_eq!(hasher.stats().hashes, 1);
    }

    // W5
    #[tokio::test]
    async fn a_weak_password_is_refused_before_it_is_hashed() {
        let hasher = hasher(CHEAP, 1);
        let try_it = |raw| {
            let context = vec!["juliet".to_owned(), "shild".to_owned()];
            hasher.check_and_hash(PasswordPolicy::default(), password(raw), context, [1; 16])
        };
        let Err(NewPasswordError::Weak(WeakPassword::TooWeak { .. })) = try_it("juliet2024").await else {
            panic!("juliet2024 passed")
        };
        assert_eq!(hasher.stats().hashes, 0);
        let hash = try_it("violet gravel monsoon").await.unwrap();
        assert_eq!(
            hasher.verify(password("violet gravel monsoon"), Some(hash)).await,
            Ok(Verdict::Right)
        );
    }

    // W8
    #[tokio::test]
    async fn a_damaged_or_absurd_hash_is_an_error_and_costs_one_hash() {
        let hasher = hasher(CHEAP, 1);
        let absurd = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for text in ["", "damaged", absurd] {
            let stored = PasswordHash(text.to_owned());
            let result = hasher.verify(password("correct horse"), Some(stored)).await;
            assert!(matches!(result, Err(HashError::Stored(_))), "{text}: {result:?}");
        }
        assert_eq!(
            hasher.stats(),
            HasherStats {
                pending: 0,
                hashes: 3,
                allocations: 1,
                work_kib: 3 * 64
            }
        );
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused() {
        let error = Hasher::new(Argon2Settings { memory_kib: 7, ..CHEAP }, None, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "argon2 memory_kib is 7; 8 (8 a lane) to 1048576 is allowed"
        );
    }
}
