//! Guessing held back: per source, and per account (requirements T13, D4, W9).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::{Actor, AuditKind};
use crate::clock::Timestamp;
use crate::config::ThrottleSettings;
use crate::error::Error;
use crate::origin::Origin;
use crate::shild::Shild;
use crate::store::StoreError;
use crate::user::UserId;

/// Consecutive failed sign-ins of one account (requirements D4, W9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many since the last success.
    pub count: u32,
    /// When the last one was.
    pub last_at: Timestamp,
}

/// So many failures cost no delay: everybody mistypes.
const FREE_FAILURES: u32 = 5;

/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// The most sources that are remembered. Past it those that have been quiet the longest are
/// forgotten; memory stays bounded whatever comes.
const MAX_SOURCES: usize = 65_536;

/// The most counts that are kept in memory once they are in the store too.
const MAX_CLEAN_COUNTS: usize = 4_096;

impl Failures {
    /// How long after the last failure the right password is refused too: one second after the sixth failure, doubling
    /// with each, up to a quarter of an hour.
    fn delay(self) -> Duration {
        let doublings = self.count.saturating_sub(FREE_FAILURES + 1).min(20);
        if self.count <= FREE_FAILURES {
            Duration::ZERO
        } else {
            MAX_DELAY.min(Duration::from_secs(1 << doublings))
        }
    }

    /// A failure of a time to come was counted by a clock that was ahead; it holds back no longer than one of now.
    fn as_of(self, now: Timestamp) -> Self {
        Self {
            last_at: self.last_at.min(now),
            ..self
        }
    }

    fn holds(self, now: Timestamp, max_failures: u32) -> bool {
        self.count >= max_failures || now < self.last_at.after(self.delay())
    }
}

/// What holds guessing back.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// One request more per so long.
    interval: Micros,
    /// So many at once.
    burst: u32,
    max_failures: u32,
    /// For each source, when its bucket will be empty again.
    sources: Mutex<HashMap<IpAddr, Micros>>,
    counts: Mutex<HashMap<UserId, Count>>,
}

/// Microseconds since 1970: at the highest rate there is, one request more comes every 60 of them.
type Micros = i64;

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: Option<Failures>,
    /// Not yet in the store.
    dirty: bool,
}

impl Throttle {
    pub(crate) fn new(settings: &ThrottleSettings) -> Self {
        let per_source = &settings.per_source;
        Self {
            interval: 60_000_000 / i64::from(per_source.per_minute.clamp(1, 60_000_000)),
            burst: per_source.burst.max(1),
            max_failures: settings.max_failures,
            sources: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Counts a request of this source; `Err` with how long to wait if it has had its share. IPv6 sources count by
    /// their /64, of which one host has all.
    pub(crate) fn admit(&self, source: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1000);
        let mut sources = lock(&self.sources);
        if sources.len() >= MAX_SOURCES {
            forget_quiet(&mut sources, now);
        }
        // The generic cell rate algorithm: a bucket of `burst` that leaks one per `interval`.
        let empty_at = sources.entry(network_of(source)).or_insert(now);
        // Full at most: the clock may have been ahead.
        let begin = (*empty_at).clamp(now, now + self.interval * i64::from(self.burst));
        *empty_at = begin;
        let full = now + self.interval * i64::from(self.burst - 1);
        if begin > full {
            return Err(Duration::from_micros((begin - full).unsigned_abs()));
        }
        *empty_at = begin + self.interval;
        Ok(())
    }

    /// Drops the count of a user who is gone.
    pub(crate) fn forget(&self, user: UserId) {
        lock(&self.counts).remove(&user);
    }

    /// The count that is in memory, if there is one.
    fn known(&self, user: UserId) -> Option<Option<Failures>> {
        lock(&self.counts).get(&user).map(|count| count.failures)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Drops the sources whose buckets are empty; if that is not enough, the quieter half of the rest.
fn forget_quiet(sources: &mut HashMap<IpAddr, Micros>, now: Micros) {
    sources.retain(|_, empty_at| *empty_at > now);
    if sources.len() > MAX_SOURCES / 2 {
        let mut times: Vec<_> = sources.values().copied().collect();
        let (_, middle, _) = times.select_nth_unstable(sources.len() / 2);
        let middle = *middle;
        sources.retain(|_, empty_at| *empty_at > middle);
    }
}

impl Shild {
    /// Counts a tried password of this account: `true` if the account is not held back. A right one clears the count,
    /// unless the account is held back: then it is refused like a wrong one (requirement W9).
    ///
    /// The count is in memory, and follows into the store with [`Shild::flush_failures`]; so that a failure costs a name that
    /// exists no more time than one that does not.
    ///
    /// # Errors
    /// [`Problem::Unavailable`](crate::error::Problem::Unavailable).
    pub(crate) async fn count_attempt(&self, user: UserId, right: bool, origin: &Origin) -> Result<bool, Error> {
        // It may be gone from memory again below; what was seen of it counts then, so that no lock is forgotten.
        let seen = match self.throttle.known(user) {
            Some(failures) => failures,
            None => self.store.failures(user).await?,
        };
        let now = self.now();
        let max = self.throttle.max_failures;
        let (held, locked_now) = {
            let mut counts = lock(&self.throttle.counts);
            let count = counts.entry(user).or_insert(Count {
                failures: seen,
                dirty: false,
            });
            let failures = count.failures.map(|failures| failures.as_of(now));
            let held = failures.is_some_and(|failures| failures.holds(now, max));
            let before = failures.map_or(0, |failures| failures.count);
            let after = match (right, held) {
                (true, false) => None,
                (true, true) => failures,
                (false, _) => Some(Failures {
                    count: before.saturating_add(1),
                    last_at: now,
                }),
            };
            if after != count.failures {
                *count = Count {
                    failures: after,
                    dirty: true,
                };
            }
            (
                held,
                before < max && after.is_some_and(|failures| failures.count >= max),
            )
        };
        if locked_now {
            let locked = self.audit(AuditKind::Locked, Actor::System, origin, |event| {
                event.user_id = Some(user);
            });
            // As for a failed sign-in, it does not change the answer: it would tell that there is such a user.
            // One transaction, and no longer for it: whatever becomes of the process, the lock holds.
            let (locked, kept) = tokio::join!(locked, self.flush_failures_of(user));
            if let Err(error) = locked {
                tracing::warn!(cause = %error, "a lock could not be written to the audit log");
            }
            if let Err(error) = kept {
                tracing::warn!(cause = %error, "a lock could not be stored yet");
            }
        }
        Ok(!held)
    }

    /// Lifts the delay and the lock of an account (requirement D4).
    pub(crate) async fn lift(&self, user: UserId) {
        lock(&self.throttle.counts).insert(
            user,
            Count {
                failures: None,
                dirty: true,
            },
        );
        if let Err(error) = self.flush_failures_of(user).await {
            tracing::warn!(cause = %error, "that a lock was lifted could not be stored yet");
        }
    }

    async fn flush_failures_of(&self, user: UserId) -> Result<(), StoreError> {
        let failures = self.throttle.known(user).flatten();
        self.put_failures(&[(user, failures)]).await
    }

    async fn put_failures(&self, batch: &[(UserId, Option<Failures>)]) -> Result<(), StoreError> {
        self.store.put_failures(batch).await?;
        let mut counts = lock(&self.throttle.counts);
        for (user, written) in batch {
            if let Some(count) = counts.get_mut(user) {
                count.dirty = count.failures != *written;
            }
        }
        Ok(())
    }

    /// Writes the counts that changed to the store, and forgets those that are there if there are many.
    ///
    /// # Errors
    /// As the store says; the counts stay in memory and are written the next time.
    pub(crate) async fn flush_failures(&self) -> Result<(), StoreError> {
        let changed: Vec<_> = {
            let counts = lock(&self.throttle.counts);
            let dirty = counts.iter().filter(|(_, count)| count.dirty);
            dirty.map(|(user, count)| (*user, count.failures)).collect()
        };
        for batch in changed.chunks(1000) {
            self.put_failures(batch).await?;
        }
        let mut counts = lock(&self.throttle.counts);
        if counts.len() > MAX_CLEAN_COUNTS {
            counts.retain(|_, count| count.dirty);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PerSourceSettings;

    fn throttle(per_minute: u32, burst: u32) -> Throttle {
        Throttle::new(&ThrottleSettings {
            per_source: PerSourceSettings { per_minute, burst },
            max_failures: 100,
        })
    }

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    // T13
    #[test]
    fn a_source_has_its_burst_and_then_its_rate() {
        let throttle = throttle(60, 3);
        let ip = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..3 {
            assert_eq!(throttle.admit(ip, START), Ok(()));
        }
        assert_eq!(throttle.admit(ip, START), Err(Duration::from_secs(1)));
        assert_eq!(throttle.admit(IpAddr::from([192, 0, 2, 2]), START), Ok(()));
        assert!(throttle.admit(ip, START.after(Duration::from_millis(999))).is_err());
        assert_eq!(throttle.admit(ip, START.after(Duration::from_secs(1))), Ok(()));
        assert!(throttle.admit(ip, START.after(Duration::from_secs(1))).is_err());
    }

    // Failed before: it waited until the clock had caught up.
    #[test]
    fn a_clock_that_was_ahead_holds_no_source_back() {
        let throttle = throttle(60, 3);
        let ip = IpAddr::from([192, 0, 2, 1]);
        let ahead = START.after(Duration::from_secs(3600));
        assert_eq!(throttle.admit(ip, ahead), Ok(()));
        assert_eq!(throttle.admit(ip, START), Err(Duration::from_secs(1)));
        assert_eq!(throttle.admit(ip, START.after(Duration::from_secs(1))), Ok(()));
    }

    #[test]
    fn the_highest_rate_is_a_limit_too() {
        let throttle = throttle(1_000_000, 1);
        let ip = IpAddr::from([192, 0, 2, 1]);
        let mut admitted = 0;
        for millis in 0..60 {
            let now = START.after(Duration::from_millis(millis));
            admitted += (0..1000).filter(|_| throttle.admit(ip, now).is_ok()).count();
        }
        assert_eq!(admitted, 60, "a burst of one each millisecond, and not without end");
        let throttle = self::throttle(1_000_000, 1000);
        assert_eq!((0..5000).filter(|_| throttle.admit(ip, START).is_ok()).count(), 1000);
        let later = START.after(Duration::from_millis(6));
        assert_eq!((0..5000).filter(|_| throttle.admit(ip, later).is_ok()).count(), 100);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let throttle = throttle(60, 1);
        assert_eq!(throttle.admit("2001:db8::1".parse().unwrap(), START), Ok(()));
        assert!(throttle.admit("2001:db8::ffff:1".parse().unwrap(), START).is_err());
        assert_eq!(throttle.admit("2001:db8:0:1::1".parse().unwrap(), START), Ok(()));
        assert_eq!(throttle.admit("::ffff:192.0.2.1".parse().unwrap(), START), Ok(()));
        assert!(throttle.admit("192.0.2.1".parse().unwrap(), START).is_err());
    }

    #[test]
    fn memory_for_sources_is_bounded() {
        let throttle = throttle(1, 10);
        for i in 0..200_000_u32 {
            let _ = throttle.admit(IpAddr::V4(i.into()), START);
        }
        assert!(lock(&throttle.sources).len() <= MAX_SOURCES);
    }

    // T13: or a guesser with many addresses would wash off what the first of them has used up.
    #[test]
    fn a_source_that_has_had_its_share_is_not_forgotten_for_quiet_ones() {
        let throttle = throttle(60, 3);
        let ip = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..3 {
            assert_eq!(throttle.admit(ip, START), Ok(()));
        }
        for i in 0..70_000_u32 {
            assert_eq!(throttle.admit(IpAddr::V4(i.into()), START), Ok(()));
        }
        assert!(lock(&throttle.sources).len() < 70_000, "some were forgotten");
        assert_eq!(throttle.admit(ip, START), Err(Duration::from_secs(1)));
    }

    // D4
    #[test]
    fn the_delay_doubles_and_ends_in_a_lock() {
        let delay = |count| Failures { count, last_at: START }.delay().as_secs();
        assert_eq!([0, 5, 6, 7, 8, 15, 16, 99].map(delay), [0, 0, 1, 2, 4, 512, 900, 900]);
        let year = START.after(Duration::from_secs(365 * 86400));
        assert!(
            !Failures {
                count: 99,
                last_at: START
            }
            .holds(year, 100)
        );
        assert!(
            Failures {
                count: 100,
                last_at: START
            }
            .holds(year, 100)
        );
    }
}
