//! The settings: typed, and all checked before anything starts.
//!
//! They come from `[default.shild]` in Rocket.toml (and the table of the selected Rocket profile), over that from
//! `SHILD_…` in the environment, over that from the command line: see [`Sources`]. A wrong name, type or value is a
//! [`SettingsError`] that names the setting, where it was set, and what is allowed.

mod error;
mod names;
mod sources;
mod url;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread;

use figment::Figment;
use serde::{Deserialize, Serialize};

pub use crate::secret::Secret;
pub use error::SettingsError;
pub use names::Setting;
pub use sources::{Overrides, Sources, listen_address, rocket_figment, workers};
pub use url::{InvalidUrl, Issuer, Origin, TokenPath};
pub use values::{Audience, ByteSize, InvalidValue, Period, TrustedProxy};

use crate::log;
pub use crate::password::Argon2Settings;
use crate::password::PasswordPolicy;

/// Every setting of shild. Ranges are checked by [`Settings::validate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The directory that holds the store, the master key and the lock, relative to the working directory; one
    /// process at a time. Default `data`.
    pub data_dir: PathBuf,
    /// Where users, sessions and keys are kept. Default `sled`, or `redb`; `memory` forgets everything at the end.
    pub store: StoreKind,
    /// The claim `iss` of every token, and the issuer in the metadata: an absolute http(s) URL without query or
    /// fragment (requirement T22). Default: the address listened on, see [`Settings::issuer_at`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Issuer>,
    /// The claim `aud` of every token, 1 to 128 bytes. Default: the issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// The path of the token endpoint. Default `/shild`; never one that shild uses otherwise.
    pub token_path: TokenPath,
    /// Whether anybody may register. Default `open` (requirement D5).
    pub registration: Registration,
    /// How long an access token lives. Default 15 minutes; 1 second to 30 days.
    pub access_token_ttl: Period,
    /// A session not refreshed for this long ends (requirement T18). Default 7 days; 1 second to 3650 days.
    pub refresh_idle_ttl: Period,
    /// A session ends this long after the sign-in, whatever happens (requirement T18). Default 30 days; 1 second to
    /// 3650 days.
    pub session_ttl: Period,
    /// For this long after a refresh the same refresh token gets the same successor (requirement T16). Default 10
    /// seconds; 0 to 5 minutes, and shorter than `refresh_idle_ttl`.
    pub refresh_retry_window: Period,
    /// What a password must be, and how it is hashed.
    pub password: PasswordSettings,
    /// What a username must be.
    pub username: UsernameSettings,
    /// How guessing is held back.
    pub throttle: ThrottleSettings,
    /// How long the server waits for the whole of a request's head, from its first byte, and for a body (requirement H9); for
    /// the next piece of one that may be long. Default 10 seconds; 1 second to 1 hour. In an application of your own, of bodies
    /// only: its connections are Rocket's.
    pub request_timeout: Period,
    /// A connection on which nothing was asked for this long is closed (requirement H9). Default 75 seconds, longer than
    /// proxies commonly keep theirs; 1 second to 1 hour. Of no effect in an application of your own.
    pub idle_timeout: Period,
    /// Proxies whose `Forwarded`, `X-Forwarded-For` and `X-Real-IP` count (requirement H8): addresses or CIDR blocks. Default none.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Which web origins may call.
    pub cors: CorsSettings,
    /// Bearer token that opens `/metrics` to callers not on loopback, of the characters of RFC 6750 §2.1. Default
    /// none: loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_token: Option<Secret>,
    /// Seals the signing keys (requirement P13), as PASERK `k4.local.…`. Default: a file in the data directory, made at
    /// the first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key: Option<Secret>,
    /// Signing keys are rotated when they are this old. Default: never by themselves; 1 hour to 3650 days, and no
    /// shorter than `access_token_ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_rotation: Option<Period>,
    /// How many passwords are hashed at once, see [`Settings::hash_threads`]. Default: one per core; 1 to 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_threads: Option<usize>,
    /// How many hashes may wait before callers get 503, see [`Settings::hash_queue`]. Default: 64 per thread; 1 to
    /// 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_queue: Option<usize>,
    /// Memory that the store on disk may use for what was read lately, in bytes: a quarter for users and sessions, the rest for
    /// pages. Default 8 MiB; 1 MiB to 64 GiB.
    pub cache_capacity: ByteSize,
    /// How often a snapshot of the store is taken, if anything has changed; one more at the end. Default 1 hour; 0 seconds
    /// (none) to 30 days.
    pub snapshot_interval: Period,
    /// How many verified access tokens are remembered, so that their signatures need no second check. Default
    /// 10,000; 0 (none) to 10,000,000.
    pub verified_tokens: usize,
    /// How much of the audit log is kept.
    pub audit: AuditSettings,
    /// Form of the log on standard error. Default `text`. Of no effect in an application of your own, which has the log.
    pub log: log::Format,
    /// The least important level that is logged. Default `info`. Of no effect in an application of your own.
    pub log_level: log::Level,
}

/// Where users, sessions and keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StoreKind {
    /// On disk, in `data_dir`, by sled.
    Sled,
    /// On disk, in `data_dir`, by redb.
    #[cfg(feature = "redb")]
    Redb,
    /// In memory, gone at the end of the process.
    Memory,
}

/// Whether anybody may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// `POST /register` makes an account.
    Open,
    /// `POST /register` answers 403; only an admin and the command line make accounts.
    Closed,
}

/// `[default.shild.password]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordSettings {
    /// Shortest password, in code points (requirements D2, W1). Default 8; 1 to 512, below 8 with a warning.
    pub min_length: usize,
    /// Longest password, in code points (requirement W1). Default 128; 1 to 512 (more would not fit into a request
    /// body of 8 KiB once form-encoded), below 64 with a warning.
    pub max_length: usize,
    /// The least score of zxcvbn that is accepted (requirement W5). Default 3; 0 to 4.
    pub min_strength: u8,
    /// The cost of new hashes (requirement W6).
    pub argon2: Argon2Settings,
}

/// `[default.shild.username]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsernameSettings {
    /// Longest username, in code points after mapping (requirement W11). Default 64; 1 to 256.
    pub max_length: usize,
}

/// `[default.shild.throttle]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleSettings {
    /// For each source address: sign-in, register, password change and reset together.
    pub per_source: PerSourceSettings,
    /// After this many consecutive failures an account is locked (requirements D4, W9). Default 100; 1 to 1,000,000,
    /// above 100 with a warning.
    pub max_failures: u32,
}

/// `[default.shild.throttle.per_source]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerSourceSettings {
    /// Attempts a minute in the long run. Default 30; 1 to 1,000,000.
    pub per_minute: u32,
    /// Attempts at once after a quiet time. Default 30; 1 to 1,000,000.
    pub burst: u32,
}

/// `[default.shild.cors]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins whose scripts may read answers, exactly as a browser sends them (requirement H4). Default none.
    pub allow_origins: Vec<Origin>,
}

/// `[default.shild.audit]`: the older of both limits cuts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditSettings {
    /// Events older than this are dropped. Default 365 days; 1 hour to 36500 days.
    pub max_age: Period,
    /// At most this many events are kept, the newest. Default 1,000,000; 1 to 1,000,000,000.
    pub max_events: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            store: StoreKind::Sled,
            issuer: None,
            audience: None,
            token_path: TokenPath::default(),
            registration: Registration::Open,
            access_token_ttl: Period::minutes(15),
            refresh_idle_ttl: Period::days(7),
            session_ttl: Period::days(30),
            refresh_retry_window: Period::seconds(10),
            password: PasswordSettings::default(),
            username: UsernameSettings::default(),
            throttle: ThrottleSettings::default(),
            request_timeout: Period::seconds(10),
            idle_timeout: Period::seconds(75),
            trusted_proxies: Vec::new(),
            cors: CorsSettings::default(),
            metrics_token: None,
            master_key: None,
            key_rotation: None,
            hash_threads: None,
            hash_queue: None,
            cache_capacity: ByteSize::mib(8),
            snapshot_interval: Period::hours(1),
            verified_tokens: 10_000,
            audit: AuditSettings::default(),
            log: log::Format::Text,
            log_level: log::Level::Info,
        }
    }
}

impl Default for PasswordSettings {
    fn default() -> Self {
        Self {
            min_length: 8,
            max_length: 128,
            min_strength: 3,
            argon2: Argon2Settings::default(),
        }
    }
}

impl PasswordSettings {
    /// What new passwords are held to.
    pub(crate) const fn policy(&self) -> PasswordPolicy {
        PasswordPolicy {
            min_length: self.min_length,
            max_length: self.max_length,
            min_strength: self.min_strength,
        }
    }
}

impl Default for UsernameSettings {
    fn default() -> Self {
        Self { max_length: 64 }
    }
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            per_source: PerSourceSettings::default(),
            max_failures: 100,
        }
    }
}

impl Default for PerSourceSettings {
    fn default() -> Self {
        Self {
            per_minute: 30,
            burst: 30,
        }
    }
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            max_age: Period::days(365),
            max_events: 1_000_000,
        }
    }
}

impl Settings {
    /// The settings that `sources` give.
    ///
    /// # Errors
    /// The first wrong name, type or value; a file that cannot be read.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        Self::from_figment(&rocket_figment(sources)?)
    }

    /// The settings in the table `shild` of `figment`, for instance of the figment of any Rocket application; the
    /// defaults for all that it does not set.
    ///
    /// # Errors
    /// The first wrong name, type or value.
    pub fn from_figment(figment: &Figment) -> Result<Self, SettingsError> {
        error::check_is_table(figment)?;
        let table = figment.focus("shild");
        let settings: Self = table.extract().map_err(|e| SettingsError::from_figment(&table, e))?;
        settings.validate().map_err(|e| e.with_origin(&table))?;
        Ok(settings)
    }

    /// Checks every range, and the rules between settings.
    ///
    /// # Errors
    /// The first setting outside of what is allowed.
    pub fn validate(&self) -> Result<(), SettingsError> {
        names::check_ranges(self)?;
        let refuse = |setting, reason: String| Err(SettingsError::refused(self, setting, reason));
        if self.password.min_length > self.password.max_length {
            let max = self.password.max_length;
            return refuse(
                "password.min_length",
                format!("it is more than password.max_length = {max}"),
            );
        }
        if self.refresh_retry_window >= self.refresh_idle_ttl {
            let idle = self.refresh_idle_ttl;
            return refuse(
                "refresh_retry_window",
                format!("it is not shorter than refresh_idle_ttl = \"{idle}\""),
            );
        }
        if self.key_rotation.is_some_and(|every| every < self.access_token_ttl) {
            let ttl = self.access_token_ttl;
            return refuse(
                "key_rotation",
                format!("it is shorter than access_token_ttl = \"{ttl}\""),
            );
        }
        let Argon2Settings { memory_kib, lanes, .. } = self.password.argon2;
        if memory_kib < 8 * lanes {
            let reason = format!("Argon2 needs at least 8 KiB for each of the {lanes} lanes");
            return refuse("password.argon2.memory_kib", reason);
        }
        Ok(())
    }

    /// What is allowed but weaker than recommended, one sentence each, for the log.
    #[must_use]
    pub fn warnings(&self, address: SocketAddr) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |when: bool, what: &str| when.then(|| warnings.push(what.to_owned()));
        warn(
            self.password.argon2.is_weaker_than_default(),
            "password.argon2 is weaker than memory_kib=19456, iterations=2: for tests only",
        );
        warn(
            self.password.min_length < 8,
            "password.min_length is below 8, the least that ASVS 5.0 6.2.1 allows",
        );
        warn(
            self.password.max_length < 64,
            "password.max_length is below 64: long passphrases are refused",
        );
        warn(
            self.throttle.max_failures > 100,
            "throttle.max_failures is above 100, the most that NIST SP 800-63B allows",
        );
        warn(
            self.metrics_token
                .as_ref()
                .is_some_and(|token| token.expose().len() < 16),
            "metrics_token is shorter than 16 characters: it can be guessed",
        );
        warn(
            self.issuer.is_none() && address.ip().is_unspecified(),
            "issuer is not set and the server listens on every address: set issuer to the URL that clients use",
        );
        warnings
    }

    /// The issuer in force when the server listens on `address`.
    #[must_use]
    pub fn issuer_at(&self, address: SocketAddr) -> Issuer {
        self.issuer.clone().unwrap_or_else(|| Issuer::at(address))
    }

    /// The audience in force when the server listens on `address`.
    #[must_use]
    pub fn audience_at(&self, address: SocketAddr) -> String {
        match &self.audience {
            Some(audience) => audience.as_str().to_owned(),
            None => self.issuer_at(address).as_str().to_owned(),
        }
    }

    /// How many passwords are hashed at once: as set, or one per core.
    #[must_use]
    pub fn hash_threads(&self) -> usize {
        self.hash_threads
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
    }

    /// How many hashes may wait: as set, or 64 for each of [`Settings::hash_threads`].
    #[must_use]
    pub fn hash_queue(&self) -> usize {
        self.hash_queue
            .unwrap_or_else(|| self.hash_threads().saturating_mul(64))
    }

    /// Whether what `peer` says about whom it forwards for is believed (requirement H8).
    #[must_use]
    pub fn trusts_proxy(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.contains(peer))
    }
}
