//! The signing keys in use: opened at the start, rotated, retired.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::audit::{Actor, AuditEvent, AuditKind};
use crate::clock::{Clock, Random, SystemClock, SystemRandom, Timestamp};
use crate::config::Settings;
use crate::error::{Error, Problem};
use crate::origin::Origin;
use crate::shild::{Shild, StartError, find_store, new_master_key, open_store};
use crate::store::{Store, StoreError};
use crate::token::MAX_SKEW;
use crate::token::keyring::{KeyView, Keyring, KeyringRecord};
use crate::token::paserk::SealingKey;
use crate::user::EventId;

/// The keyring, what it is sealed with, and the lock under which it is changed.
pub(crate) struct Keys {
    current: RwLock<Arc<Keyring>>,
    sealing: SealingKey,
    changing: tokio::sync::Mutex<()>,
}

impl Keys {
    /// Opens what the store has, or makes the first key and keeps it.
    pub(crate) async fn open(
        store: &dyn Store,
        stored: Option<KeyringRecord>,
        sealing: SealingKey,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, StartError> {
        let keyring = if let Some(record) = stored {
            Keyring::open(&record, &sealing)?
        } else {
            let keyring = Keyring::generate(now, random, &sealing);
            store.replace_keys(&keyring.record(), None, &[]).await?;
            keyring
        };
        Ok(Self {
            current: RwLock::new(Arc::new(keyring)),
            sealing,
            changing: tokio::sync::Mutex::new(()),
        })
    }

    /// The keys as they are now.
    pub(crate) fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, keyring: Arc<Keyring>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = keyring;
    }
}

/// Makes new signing keys in place of those there are, and, unless the settings hold one, a new master key in place of the
/// one that is lost, damaged, or that others have seen. Everybody has to sign in again; no account is lost. Where the settings
/// hold the master key, refresh tokens are good as long as that stays.
///
/// # Errors
/// What stops it, and what to do about it.
pub async fn reset_keys(settings: Settings) -> Result<(), StartError> {
    find_store(&settings)?;
    let store = open_store(&settings).await?;
    let random = SystemRandom;
    // First the master key: if the second step is not reached, the next start says that the two do not fit.
    let master = new_master_key(&settings, &random)?;
    let old = store.load_keys().await?.map(|record| record.revision);
    let now = SystemClock.now();
    let mut record = Keyring::generate(now, &random, &master.sealing_key()).record();
    record.revision = old.map_or(1, |revision| revision + 1);
    let reset = AuditEvent {
        id: EventId::generate(now, &random),
        at: now,
        kind: AuditKind::KeysRotated,
        actor: Actor::Operator,
        user_id: None,
        session_id: None,
        ip: None,
        request_id: None,
        detail: Some("reset".to_owned()),
    };
    store.replace_keys(&record, old, &[reset]).await?;
    store.close().await?;
    Ok(())
}

impl Shild {
    /// The public keys that verify something now, the active one among them.
    #[must_use]
    pub fn public_keys(&self) -> Vec<KeyView> {
        self.keys.current().public_keys(self.now()).collect()
    }

    /// How long a key must stay listed after its last signature: until the last token it signed has expired.
    fn retirement(&self) -> Duration {
        self.settings.access_token_ttl.duration() + MAX_SKEW
    }

    /// Makes a new signing key. Tokens of the old one stay good until they expire (requirement P12).
    ///
    /// # Errors
    /// [`Problem::Unavailable`].
    pub async fn rotate_keys(&self, actor: Actor, origin: &Origin) -> Result<(), Error> {
        let retirement = self.retirement();
        let rotated = self.event(AuditKind::KeysRotated, actor, origin, |_| {});
        self.change_keys(&[rotated], |keys, now, random, sealing| {
            Some(keys.rotate(now, now.after(retirement), random, sealing))
        })
        .await
    }

    /// Takes a key out of use at once: what it signed is refused from the next request on.
    ///
    /// # Errors
    /// [`Problem::NotFound`] if there is no such key; [`Problem::Unavailable`].
    pub async fn retire_key(&self, kid: &str, actor: Actor, origin: &Origin) -> Result<(), Error> {
        let unknown = || Error::new(Problem::NotFound, "There is no signing key with this id.");
        let id = kid.parse().map_err(|_| unknown())?;
        let mut found = false;
        let retired = self.event(AuditKind::KeyRetired, actor, origin, |event| {
            event.detail = Some(kid.to_owned());
        });
        self.change_keys(&[retired], |keys, now, random, sealing| {
            let without = keys.retire(id, now, random, sealing);
            // Or it was done by the first of two tries.
            found |= without.is_some();
            without
        })
        .await?;
        if !found {
            return Err(unknown());
        }
        Ok(())
    }

    /// Drops the keys whose last token has expired, and rotates if it is time to.
    pub(crate) async fn tend_keys(&self) -> Result<(), Error> {
        if let Some(period) = self.settings.key_rotation
            && self.keys.current().needs_rotation(self.now(), period.duration())
        {
            self.rotate_keys(Actor::System, &Origin::default()).await?;
        }
        if self.keys.current().prune(self.now()).is_some() {
            self.change_keys(&[], |keys, now, _, _| keys.prune(now)).await?;
        }
        Ok(())
    }

    /// Stores what `change` makes of the keys, with these events, then uses it; `None` leaves them as they are. In use
    /// only after it is stored, so that no token is signed by a key that a crash could lose.
    async fn change_keys(
        &self,
        events: &[AuditEvent],
        mut change: impl FnMut(&Keyring, Timestamp, &dyn Random, &SealingKey) -> Option<Keyring>,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.keys.changing.lock().await;
        let mut may_be_behind = true;
        loop {
            let old = self.keys.current();
            let Some(new) = change(&old, self.now(), self.random(), &self.keys.sealing) else {
                return Ok(());
            };
            match self
                .store
                .replace_keys(&new.record(), Some(old.revision()), events)
                .await
            {
                Ok(()) => {
                    self.happened(events);
                    self.keys.put(Arc::new(new));
                    return Ok(());
                }
                // Only this process writes the keys, under the lock above: an earlier change failed, and was made all the same.
                Err(StoreError::Stale) if may_be_behind => self.take_over_stored_keys().await?,
                Err(StoreError::Stale) => {
                    let detail = "The signing keys were changed by somebody else.";
                    return Err(Error::new(Problem::Internal, detail));
                }
                Err(error) => return Err(error.into()),
            }
            may_be_behind = false;
        }
    }

    async fn take_over_stored_keys(&self) -> Result<(), Error> {
        let unreadable = || Error::new(Problem::Internal, "The stored signing keys cannot be opened.");
        let record = self.store.load_keys().await?.ok_or_else(unreadable)?;
        let keyring = Keyring::open(&record, &self.keys.sealing).map_err(|_| unreadable())?;
        self.keys.put(Arc::new(keyring));
        Ok(())
    }
}
