//! The signing keys: one that signs, and those it took over from, which still verify.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::footer;
use super::paserk::{KeyId, PublicKey, SealingKey};
use super::paseto::SigningKey;
use crate::clock::{Random, Timestamp};

/// The signing keys as the store keeps them: secrets sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringRecord {
    /// Goes up by one with each change, from 1.
    pub revision: u64,
    /// Each key that can still verify something; exactly one is active, the last one made.
    pub keys: Vec<KeyRecord>,
}

/// One signing key as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its PASERK id, `k4.pid.…`.
    pub kid: String,
    /// Its public half, `k4.public.…`.
    pub public: String,
    /// Its secret half sealed under the master key, `k4.secret-wrap.pie.…`; `None` once it signs no more.
    pub sealed: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// `None` while it is active; then when its last token will have expired (requirement P12).
    pub retires_at: Option<Timestamp>,
}

/// The signing keys, unsealed. It does not change: what changes the keys makes a new ring, whose [`record`](Self::record) replaces
/// the old one's in the store.
#[derive(Clone)]
pub struct Keyring {
    revision: u64,
    /// In the order they were made. The last one is active, and it alone.
    keys: Vec<Key>,
    /// The secret half of the last key; those of the others are gone.
    signing: SigningKey,
}

#[derive(Clone)]
struct Key {
    kid: KeyId,
    public: PublicKey,
    record: KeyRecord,
}

impl Key {
    fn verifies_at(&self, now: Timestamp) -> bool {
        self.record.retires_at.is_none_or(|end| now < end)
    }
}

impl Keyring {
    /// A ring with one new key.
    #[must_use]
    pub fn generate(now: Timestamp, random: &dyn Random, sealing: &SealingKey) -> Self {
        Self::with_new_key(1, Vec::new(), now, random, sealing)
    }

    /// The ring that a store keeps as `record`.
    ///
    /// # Errors
    /// If the master key is not the one that sealed it, or the record does not hold together.
    pub fn open(record: &KeyringRecord, sealing: &SealingKey) -> Result<Self, OpenError> {
        let mut keys: Vec<Key> = Vec::with_capacity(record.keys.len());
        for key in &record.keys {
            let damaged = |what| OpenError::Damaged {
                kid: key.kid.clone(),
                what,
            };
            let public: PublicKey = key
                .public
                .parse()
                .map_err(|_| damaged("its public half is no k4.public"))?;
            let kid = public.id();
            if kid.to_string() != key.kid {
                return Err(damaged("its id is not the id of its public half"));
            }
            if keys.iter().any(|other| other.kid == kid) {
                return Err(damaged("it is there twice"));
            }
            keys.push(Key {
                kid,
                public,
                record: key.clone(),
            });
        }

        let active = keys.last().ok_or(OpenError::NoActiveKey)?;
        if keys.iter().filter(|key| key.record.retires_at.is_none()).count() != 1 || active.record.retires_at.is_some()
        {
            return Err(OpenError::NoActiveKey);
        }
        let kid = || active.record.kid.clone();
        let damaged = |what| OpenError::Damaged { kid: kid(), what };
        let sealed = active
            .record
            .sealed
            .as_ref()
            .ok_or_else(|| damaged("its secret half is missing"))?;
        let secret = sealing
            .unwrap(sealed)
            .map_err(|_| OpenError::CannotUnseal { kid: kid() })?;
        let signing = SigningKey::from_bytes(&secret).ok_or_else(|| damaged("its secret half is no key"))?;
        if signing.public() != active.public {
            return Err(damaged("its secret half is another key's"));
        }
        Ok(Self {
            revision: record.revision,
            keys,
            signing,
        })
    }

    /// This ring with a new active key. The one that was active verifies until `retires_at`, which is to be past the end of
    /// its last token: now, the longest life of an access token, and [`MAX_SKEW`](super::MAX_SKEW). So nobody is logged out
    /// (requirement P12). Its secret half is dropped.
    #[must_use]
    pub fn rotate(&self, now: Timestamp, retires_at: Timestamp, random: &dyn Random, sealing: &SealingKey) -> Self {
        let mut keys = self.keys.clone();
        for key in &mut keys {
            key.record.sealed = None;
            key.record.retires_at.get_or_insert(retires_at);
        }
        keys.retain(|key| key.verifies_at(now));
        Self::with_new_key(self.revision + 1, keys, now, random, sealing)
    }

    /// This ring without the key `kid`, whose tokens are refused at once: for a key that has leaked. If it was the active one, a
    /// new key takes its place. `None` if there is no such key.
    #[must_use]
    pub fn retire(&self, kid: KeyId, now: Timestamp, random: &dyn Random, sealing: &SealingKey) -> Option<Self> {
        let keys = self.without(|key| key.kid == kid)?;
        if kid == self.active() {
            Some(Self::with_new_key(self.revision + 1, keys, now, random, sealing))
        } else {
            Some(Self {
                revision: self.revision + 1,
                keys,
                signing: self.signing.clone(),
            })
        }
    }

    /// This ring without the keys that have retired. `None` if there are none of those.
    #[must_use]
    pub fn prune(&self, now: Timestamp) -> Option<Self> {
        let keys = self.without(|key| !key.verifies_at(now))?;
        Some(Self {
            revision: self.revision + 1,
            keys,
            signing: self.signing.clone(),
        })
    }

    /// What the store is to keep of it.
    #[must_use]
    pub fn record(&self) -> KeyringRecord {
        KeyringRecord {
            revision: self.revision,
            keys: self.keys.iter().map(|key| key.record.clone()).collect(),
        }
    }

    /// The revision of [`record`](Self::record): one more than that of the ring it was made from, 1 for the first.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The key that signs.
    #[must_use]
    pub fn active(&self) -> KeyId {
        self.active_key().kid
    }

    /// The key `kid`, unless it has retired by `now`, whether or not it was pruned since (requirement P12).
    #[must_use]
    pub fn find(&self, kid: KeyId, now: Timestamp) -> Option<&PublicKey> {
        self.keys
            .iter()
            .find(|key| key.kid == kid && key.verifies_at(now))
            .map(|key| &key.public)
    }

    /// Each key that verifies at `now`, oldest first, for `GET /keys`.
    pub fn public_keys(&self, now: Timestamp) -> impl Iterator<Item = KeyView> {
        self.keys
            .iter()
            .filter(move |key| key.verifies_at(now))
            .map(|key| KeyView {
                kid: key.record.kid.clone(),
                paserk: key.record.public.clone(),
                status: if key.record.retires_at.is_none() {
                    KeyStatus::Active
                } else {
                    KeyStatus::Retiring
                },
                retires_at: key.record.retires_at,
            })
    }

    /// Whether the active key has been in use for `period` or longer.
    #[must_use]
    pub fn needs_rotation(&self, now: Timestamp, period: Duration) -> bool {
        self.active_key().record.created_at.after(period) <= now
    }

    /// The token of `payload`, which is not empty, signed with the active key and naming it.
    pub(super) fn sign(&self, payload: &[u8]) -> String {
        self.signing.sign(payload, footer::of(self.active()).as_bytes())
    }

    fn active_key(&self) -> &Key {
        self.keys.last().expect("a ring always has an active key")
    }

    fn without(&self, gone: impl Fn(&Key) -> bool) -> Option<Vec<Key>> {
        let keys: Vec<Key> = self.keys.iter().filter(|key| !gone(key)).cloned().collect();
        (keys.len() < self.keys.len()).then_some(keys)
    }

    fn with_new_key(
        revision: u64,
        mut keys: Vec<Key>,
        now: Timestamp,
        random: &dyn Random,
        sealing: &SealingKey,
    ) -> Self {
        let signing = SigningKey::generate(random);
        let public = signing.public();
        let kid = public.id();
        let record = KeyRecord {
            kid: kid.to_string(),
            public: public.to_string(),
            sealed: Some(sealing.wrap(signing.as_bytes(), random)),
            created_at: now,
            retires_at: None,
        };
        keys.push(Key { kid, public, record });
        Self {
            revision,
            keys,
            signing,
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.kid)).finish()
    }
}

/// A signing key as the outside sees it: its public half.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Key", deny_unknown_fields)]
pub struct KeyView {
    /// Its PASERK id, `k4.pid.…`, as in the footer of its tokens.
    pub kid: String,
    /// The key, `k4.public.…`.
    pub paserk: String,
    /// Whether it signs, or verifies only.
    pub status: KeyStatus,
    /// When its last token will have expired; `null` while it is active.
    pub retires_at: Option<Timestamp>,
}

/// What a signing key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// It signs and verifies.
    Active,
    /// It verifies what it has signed.
    Retiring,
}

/// Why stored signing keys could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another master key, or an altered record: the two cannot be told apart.
    #[error(
        "the signing key {kid} cannot be unsealed: the master key is not the one that sealed it, or the stored key was altered; restore the master key from your backup, or run `shild key reset`: everyone must sign in again, accounts stay"
    )]
    CannotUnseal {
        /// Which key.
        kid: String,
    },
    /// A key whose parts contradict each other.
    #[error(
        "the stored signing key {kid} is damaged: {what}; restore the store from a snapshot, or run `shild key reset`: everyone must sign in again, accounts stay"
    )]
    Damaged {
        /// Which key.
        kid: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No key signs, or more than one does, or not the last one.
    #[error(
        "the stored signing keys are damaged: exactly the last one must be active; restore the store from a snapshot, or run `shild key reset`: everyone must sign in again, accounts stay"
    )]
    NoActiveKey,
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::clock::SystemRandom;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn sealing(byte: u8) -> SealingKey {
        SealingKey::from_bytes(Zeroizing::new([byte; 32]))
    }

    fn ring() -> Keyring {
        Keyring::generate(NOW, &SystemRandom, &sealing(1))
    }

    // P13
    #[test]
    fn a_ring_opens_with_the_key_that_sealed_it_only() {
        let ring = ring().rotate(NOW, NOW.after(HOUR), &SystemRandom, &sealing(1));
        let opened = Keyring::open(&ring.record(), &sealing(1)).unwrap();
        assert_eq!(opened.record(), ring.record());
        assert_eq!(opened.signing.as_bytes(), ring.signing.as_bytes());
        assert!(matches!(
            Keyring::open(&ring.record(), &sealing(2)),
            Err(OpenError::CannotUnseal { .. })
        ));
    }

    // P13
    #[test]
    fn a_damaged_record_is_an_error_that_names_the_key() {
        let ring = ring().rotate(NOW, NOW.after(HOUR), &SystemRandom, &sealing(1));
        let other = Keyring::generate(NOW, &SystemRandom, &sealing(1))
            .record()
            .keys
            .remove(0);
        let damage = |change: &dyn Fn(&mut Vec<KeyRecord>)| {
            let mut record = ring.record();
            change(&mut record.keys);
            Keyring::open(&record, &sealing(1)).unwrap_err()
        };
        let is_damaged = |error: OpenError| matches!(error, OpenError::Damaged { .. });
        assert!(is_damaged(damage(&|keys| keys[0].public.clone_from(&other.public))));
        assert!(is_damaged(damage(&|keys| keys[0].kid.clone_from(&other.kid))));
        assert!(is_damaged(damage(&|keys| keys[1].public.push('A'))));
        assert!(is_damaged(damage(&|keys| keys[1].sealed.clone_from(&other.sealed))));
        assert!(is_damaged(damage(&|keys| keys[1].sealed = None)));
        assert!(is_damaged(damage(&|keys| keys.insert(0, keys[0].clone()))));
        assert!(matches!(
            damage(&|keys| keys[1].sealed.as_mut().unwrap().push('A')),
            OpenError::CannotUnseal { .. }
        ));
        assert_eq!(damage(&Vec::clear), OpenError::NoActiveKey);
        assert_eq!(damage(&|keys| keys.reverse()), OpenError::NoActiveKey);
        assert_eq!(damage(&|keys| keys[0].retires_at = None), OpenError::NoActiveKey);
        assert_eq!(damage(&|keys| keys[1].retires_at = Some(NOW)), OpenError::NoActiveKey);
    }

    // P12
    #[test]
    fn a_rotated_key_verifies_until_it_retires_even_unpruned() {
        let first = ring();
        let old = first.active();
        let ring = first.rotate(NOW, NOW.after(HOUR), &SystemRandom, &sealing(1));
        assert_ne!(ring.active(), old);
        assert_eq!(ring.revision(), first.revision() + 1);
        assert!(ring.find(old, NOW.after(HOUR).before(MILLISECOND)).is_some());
        assert!(ring.find(old, NOW.after(HOUR)).is_none());
        assert!(ring.find(ring.active(), NOW.after(HOUR)).is_some());

        let listed: Vec<_> = ring
            .public_keys(NOW)
            .map(|key| (key.kid, key.status, key.retires_at))
            .collect();
        assert_eq!(
            listed,
            [
                (old.to_string(), KeyStatus::Retiring, Some(NOW.after(HOUR))),
                (ring.active().to_string(), KeyStatus::Active, None)
            ]
        );
        assert_eq!(ring.public_keys(NOW.after(HOUR)).count(), 1);
        assert_eq!(ring.record().keys[0].sealed, None, "the secret half is dropped");

        assert!(ring.prune(NOW.after(HOUR).before(MILLISECOND)).is_none());
        let pruned = ring.prune(NOW.after(HOUR)).unwrap();
        assert_eq!(pruned.record().keys.len(), 1);
        assert_eq!(pruned.active(), ring.active());
        assert_eq!(pruned.revision(), ring.revision() + 1);
    }

    // P12
    #[test]
    fn a_second_rotation_does_not_lengthen_the_first_ones_retirement() {
        let first = ring();
        let ring = first.rotate(NOW, NOW.after(HOUR), &SystemRandom, &sealing(1));
        let ring = ring.rotate(NOW.after(HOUR / 2), NOW.after(HOUR * 2), &SystemRandom, &sealing(1));
        assert_eq!(ring.record().keys.len(), 3);
        assert!(ring.find(first.active(), NOW.after(HOUR)).is_none());
        let ring = ring.rotate(NOW.after(HOUR), NOW.after(HOUR * 3), &SystemRandom, &sealing(1));
        assert_eq!(ring.record().keys.len(), 3, "a rotation drops what has retired");
        Keyring::open(&ring.record(), &sealing(1)).unwrap();
    }

    // P12
    #[test]
    fn an_emergency_retirement_takes_the_key_out_at_once() {
        let first = ring();
        let ring = first.rotate(NOW, NOW.after(HOUR), &SystemRandom, &sealing(1));
        let without_old = ring.retire(first.active(), NOW, &SystemRandom, &sealing(1)).unwrap();
        assert!(without_old.find(first.active(), NOW).is_none());
        assert_eq!(without_old.active(), ring.active());

        let without_active = ring.retire(ring.active(), NOW, &SystemRandom, &sealing(1)).unwrap();
        assert!(without_active.find(ring.active(), NOW).is_none());
        assert!(without_active.find(first.active(), NOW).is_some());
        assert!(without_active.find(without_active.active(), NOW).is_some());
        Keyring::open(&without_active.record(), &sealing(1)).unwrap();

        assert!(
            without_old
                .retire(first.active(), NOW, &SystemRandom, &sealing(1))
                .is_none()
        );
    }

    #[test]
    fn rotation_is_due_after_its_period() {
        let ring = ring();
        assert!(!ring.needs_rotation(NOW.after(HOUR).before(MILLISECOND), HOUR));
        assert!(ring.needs_rotation(NOW.after(HOUR), HOUR));
    }

    // P12, H14
    #[test]
    fn debug_shows_ids_only() {
        let ring = ring();
        assert_eq!(format!("{ring:?}"), format!("[{}]", ring.active()));
    }
}
