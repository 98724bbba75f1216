//! Tokens whose signature has been verified before.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use super::keyring::Keyring;
use super::mac::tag128;
use super::paseto::MAX_TOKEN_LEN;
use super::{Expected, InvalidToken, Verified, verify};
use crate::clock::{Random, Timestamp, random_bytes};

/// Remembers verified tokens, so that the next request with one costs a hash and a look-up instead of a signature check.
///
/// What is remembered is what a token's bytes decide: signature and claims. All else (is its key still good, is it expired, is it
/// for us) is checked at each use.
pub struct VerifiedTokens {
    /// By a MAC of the whole token under a key that nobody outside this process knows: no token can be made that hits
    /// another's entry, and the cache holds no token that could be stolen from it.
    cache: Cache<u128, Arc<Verified>>,
    key: Zeroizing<[u8; 16]>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl VerifiedTokens {
    /// Room for `capacity` tokens, about 1 KiB each; the less used give way.
    #[must_use]
    pub fn new(capacity: usize, random: &dyn Random) -> Self {
        Self {
            cache: Cache::new(capacity),
            key: Zeroizing::new(random_bytes(random)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// As [`verify`], but at less cost for a token that it has seen before.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify(
        &self,
        keyring: &Keyring,
        token: &str,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Arc<Verified>, InvalidToken> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(InvalidToken::TooLong);
        }
        let entry = tag128(&self.key, token.as_bytes());
        if let Some(verified) = self.cache.get(&entry) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            verified.check(keyring, expected, now)?;
            return Ok(verified);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let verified = Arc::new(verify(keyring, token, expected, now)?);
        self.cache.insert(entry, Arc::clone(&verified));
        Ok(verified)
    }

    /// How often it was asked for a token that it remembered.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// How often it was asked for one that it did not.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// How many tokens it remembers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether it remembers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokens")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
