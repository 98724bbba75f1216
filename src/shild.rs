//! The whole of shild without HTTP: what it is made of, and how it is put together.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use crate::clock::{Clock, Random, SystemClock, SystemRandom, Timestamp};
use crate::config::{Audience, Settings, StoreKind};
use crate::keys::Keys;
use crate::metrics::{Metered, Metrics};
use crate::operator::OperatorSecret;
use crate::password::{Hasher, TellOfMemory};
use crate::ready::Readiness;
use crate::request_ids::RequestIds;
use crate::secret::Secret;
use crate::snapshots::Snapshots;
#[cfg(feature = "redb")]
use crate::store::RedbStore;
use crate::store::sled::{OpenError as StoreOpenError, SledOptions};
use crate::store::{MemoryStore, Progress, SledStore, Store, StoreError, Verification};
use crate::throttle::Throttle;
use crate::token::keyring::OpenError;
use crate::token::master::{MasterKey, MasterKeyError};
use crate::token::refresh::RefreshKey;
use crate::token::verified::VerifiedTokens;

/// A running shild: cheap to clone, all clones are the same one.
#[derive(Clone)]
pub struct Shild(Arc<Parts>);

/// What it is made of; the modules that say what it does reach into this.
#[doc(hidden)]
pub struct Parts {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hasher: Hasher,
    pub(crate) keys: Keys,
    pub(crate) refresh_key: RefreshKey,
    pub(crate) verified: VerifiedTokens,
    pub(crate) throttle: Throttle,
    pub(crate) readiness: Readiness,
    pub(crate) request_ids: RequestIds,
    pub(crate) operator: OperatorSecret,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) snapshots: Option<Snapshots>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Once the address is known that is listened on.
    issuer: OnceLock<String>,
    /// Until then.
    issuer_before: String,
    /// Held during a step of the background; once it is true there are no more of them.
    pub(crate) background_ended: Mutex<bool>,
    /// Whether this process does the work of the background.
    pub(crate) tended: bool,
}

impl Deref for Shild {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Debug for Shild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shild")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Shild {
    /// Begins to put one together.
    pub fn builder(settings: Settings) -> Builder {
        Builder {
            settings,
            store: None,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            master: None,
            tended: true,
            hash_memory: |_| (),
        }
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What lets the command line in while it works on the store itself.
    #[doc(hidden)]
    #[must_use]
    pub fn operator_token(&self) -> &str {
        self.operator.expose()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// The issuer of the tokens: the setting, or the address that is listened on; until that is known,
    /// `http://127.0.0.1:8000`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.get().unwrap_or(&self.issuer_before)
    }

    /// The audience of the tokens: the setting, or the issuer.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.settings
            .audience
            .as_ref()
            .map_or_else(|| self.issuer(), Audience::as_str)
    }

    /// Makes the address that is listened on the issuer, unless the settings name one; the first time counts.
    pub(crate) fn listens_on(&self, address: SocketAddr, tls: bool) {
        let mut issuer = self.settings.issuer_at(address).as_str().to_owned();
        if tls && self.settings.issuer.is_none() {
            issuer = issuer.replacen("http:", "https:", 1);
        }
        let _ = self.issuer.set(issuer);
    }

    /// Whether errors at this path are those of RFC 6749 §5.2.
    pub(crate) fn is_oauth_path(&self, path: &str) -> bool {
        // Rocket's routes take a slash at the end.
        let path = path.strip_suffix('/').unwrap_or(path);
        [self.settings.token_path.as_str(), "/revoke", "/introspect"].contains(&path)
    }

    /// Ends what runs in the background of the store and writes out the rest.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.operator.withdraw();
        self.write_the_rest().await?;
        self.store.close().await
    }

    /// Ends what runs in the background, and writes what is only in memory so far.
    pub(crate) async fn write_the_rest(&self) -> Result<(), StoreError> {
        *self.background_ended.lock().await = true;
        self.flush_failures().await?;
        if let Err(error) = self.tend_snapshots(true).await {
            tracing::warn!(cause = %error, "no snapshot could be taken at the end");
        }
        Ok(())
    }
}

/// Puts a [`Shild`] together.
#[must_use = "call build()"]
pub struct Builder {
    settings: Settings,
    store: Option<Arc<dyn Store>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    master: Option<MasterKey>,
    tended: bool,
    hash_memory: TellOfMemory,
}

impl Builder {
    /// Uses this store instead of the one that the settings name. If neither the settings nor [`Builder::master_key`] give a
    /// master key, one is made that lives as long as the process, which will do for a store that does, too: one that outlives it
    /// does not start a second time without the key of the first.
    ///
    /// One [`Shild`] at a time uses a store: the signing keys and the counts of failures are kept in memory as well.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Uses this clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Uses this source of random bytes.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// Uses this master key instead of the one of the settings or of the data directory.
    pub fn master_key(mut self, master: MasterKey) -> Self {
        self.master = Some(master);
        self
    }

    /// Leaves sweeping, trimming and the rotation of keys to the server: for a process that is done in a moment.
    #[doc(hidden)]
    pub fn untended(mut self) -> Self {
        self.tended = false;
        self
    }

    /// Tells this at which addresses the memory of a hash lies before anybody touches it.
    #[doc(hidden)]
    pub fn hash_memory(mut self, tell: TellOfMemory) -> Self {
        self.hash_memory = tell;
        self
    }

    /// Opens the store and the keys.
    ///
    /// # Errors
    /// What stops the start, and what to do about it.
    pub async fn build(self) -> Result<Shild, StartError> {
        let Self {
            settings,
            store,
            clock,
            random,
            master,
            tended,
            hash_memory,
        } = self;
        settings
            .validate()
            .map_err(|error| StartError::Setting(error.to_string()))?;
        let may_keep = store.is_none() && settings.store != StoreKind::Memory;
        // Of a store that somebody else keeps, and by a process that is done in a moment, none is taken.
        let snapshots = (tended && may_keep)
            .then(|| Snapshots::of(&settings.data_dir, settings.snapshot_interval.duration()))
            .flatten();
        let store = match store {
            Some(store) => Ok(store),
            None => open_store(&settings).await,
        }?;
        let metrics = Arc::new(Metrics::new());
        let store: Arc<dyn Store> = Arc::new(Metered::over(store, Arc::clone(&metrics)));
        let stored = store.load_keys().await?;
        let master = match master {
            Some(master) => master,
            None => match given_master_key(&settings)? {
                Some(key) => key,
                None if may_keep => MasterKey::load_or_create(&master_key_path(&settings), &*random, stored.is_none())?,
                None if stored.is_some() => {
                    let reason = "the store that was handed in has signing keys, and there is no master key to open them with: \
                                  set master_key, or give it by Builder::master_key";
                    return Err(StartError::Setting(reason.to_owned()));
                }
                None => MasterKey::generate(&*random),
            },
        };
        let now = clock.now();
        let keys = Keys::open(&*store, stored, master.sealing_key(), now, &*random).await?;
        let threads = NonZeroUsize::new(settings.hash_threads());
        Ok(Shild(Arc::new(Parts {
            hasher: Hasher::told_of_memory(settings.password.argon2, threads, settings.hash_queue(), hash_memory)?,
            keys,
            refresh_key: master.refresh_key(),
            verified: VerifiedTokens::new(settings.verified_tokens, &*random),
            throttle: Throttle::new(&settings.throttle),
            readiness: Readiness::default(),
            request_ids: RequestIds::new(&*random),
            operator: OperatorSecret::generate(&*random),
            metrics,
            issuer: OnceLock::new(),
            issuer_before: settings
                .issuer_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)))
                .as_str()
                .to_owned(),
            background_ended: Mutex::new(false),
            tended,
            snapshots,
            settings,
            store,
            clock,
            random,
        })))
    }
}

pub(crate) async fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    match settings.store {
        StoreKind::Memory => Ok(Arc::new(MemoryStore::new())),
        StoreKind::Sled => open_on_disk(settings, SledStore::open).await,
        #[cfg(feature = "redb")]
        StoreKind::Redb => open_on_disk(settings, RedbStore::open).await,
    }
}

async fn open_on_disk<S: Store>(
    settings: &Settings,
    open: fn(&Path, SledOptions) -> Result<S, StoreOpenError>,
) -> Result<Arc<dyn Store>, StartError> {
    let dir = settings.data_dir.clone();
    let options = SledOptions {
        cache_capacity: settings.cache_capacity.bytes(),
    };
    match tokio::task::spawn_blocking(move || open(&dir, options)).await {
        Ok(Ok(store)) => Ok(Arc::new(store)),
        Ok(Err(error)) => Err(StartError::Store(error.to_string())),
        Err(_) => Err(StartError::Store("the store's opening was interrupted".to_owned())),
    }
}

/// Opens the store of these settings, and looks at everything in it. Needs no keys; fails while another process has the store.
///
/// # Errors
/// If the store cannot be opened or walked.
pub async fn verify_store(settings: &Settings, progress: Progress) -> Result<Verification, StartError> {
    find_store(settings)?;
    let store = match settings.store {
        StoreKind::Memory => open_store(settings).await,
        StoreKind::Sled => open_on_disk(settings, SledStore::open_to_look).await,
        #[cfg(feature = "redb")]
        StoreKind::Redb => open_on_disk(settings, RedbStore::open_to_look).await,
    }?;
    let found = store.verify(progress).await;
    store.close().await?;
    Ok(found?)
}

/// Makes sure that there is a store for these settings, or what is left of one: to open one where none is makes it.
///
/// # Errors
/// If there is none.
pub fn find_store(settings: &Settings) -> Result<(), StartError> {
    on_disk(settings)?;
    let dir = &settings.data_dir;
    let left = ["sled", "redb", "mark", "master.key"];
    if left.iter().any(|name| dir.join(name).exists()) {
        return Ok(());
    }
    Err(StartError::Store(format!(
        "there is no store in {}; `shild serve`, `shild user add` and `shild import` make one",
        dir.display()
    )))
}

/// # Errors
/// If the store is in memory, and so nowhere but in the server.
fn on_disk(settings: &Settings) -> Result<(), StartError> {
    if settings.store == StoreKind::Memory {
        let reason = "store = \"memory\": there is nothing on disk, and no server is running";
        return Err(StartError::Setting(reason.to_owned()));
    }
    Ok(())
}

/// The name of the directory in the data directory that such a store is in, if it is on disk.
pub(crate) const fn store_dir_name(store: StoreKind) -> Option<&'static str> {
    match store {
        StoreKind::Memory => None,
        StoreKind::Sled => Some("sled"),
        #[cfg(feature = "redb")]
        StoreKind::Redb => Some("redb"),
    }
}

/// A master key that opens nothing yet, unless the settings hold one: that can only be changed there.
pub(crate) fn new_master_key(settings: &Settings, random: &dyn Random) -> Result<MasterKey, StartError> {
    match given_master_key(settings)? {
        Some(key) => Ok(key),
        None => Ok(MasterKey::replace(&master_key_path(settings), random)?),
    }
}

/// The master key of the settings.
fn given_master_key(settings: &Settings) -> Result<Option<MasterKey>, StartError> {
    let parse = |text: &Secret| {
        MasterKey::parse(text.expose()).map_err(|error| StartError::Setting(format!("the setting master_key: {error}")))
    };
    settings.master_key.as_ref().map(parse).transpose()
}

/// Where the master key is kept when the settings hold none.
fn master_key_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("master.key")
}

/// What stops the start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store cannot be opened.
    #[error("{0}")]
    Store(String),
    /// The store cannot be read or written.
    #[error(transparent)]
    StoreUse(#[from] StoreError),
    /// The master key is missing or malformed.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The threads that hash passwords cannot be started.
    #[error("the threads that hash passwords cannot be started: {0}")]
    Hasher(#[from] std::io::Error),
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The signing keys cannot be opened with this master key.
    #[error(transparent)]
    Keys(#[from] OpenError),
}
