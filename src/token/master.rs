//! The master key: what all other secret keys hang on, kept in a file beside the store and never in it (requirement P13).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::mac::keyed32;
use super::paserk::{SealingKey, decode};
use super::refresh::RefreshKey;
use crate::clock::{Random, random_bytes};

const HEADER: &str = "k4.local.";

/// More than a key file ever has; whatever is longer is another file.
const MAX_FILE_LEN: usize = 256;

/// 32 random bytes, written down as `k4.local.…`. It is used for nothing but to derive one sub-key for each purpose, so that none
/// of them tells anything about another.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// A new key.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        Self(Zeroizing::new(random_bytes(random)))
    }

    /// Reads `k4.local.…`, as [`to_text`](Self::to_text) writes it; white space around it is ignored.
    ///
    /// # Errors
    /// If it is anything else. The error does not show what was given, which may be nearly a key.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        decode(HEADER, text.trim_ascii())
            .map(Self)
            .map_err(|_| InvalidMasterKey)
    }

    /// `k4.local.` and the base64url of the 32 bytes (paserk, types/local).
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let data = Zeroizing::new(Base64UrlUnpadded::encode_string(&*self.0));
        Zeroizing::new(format!("{HEADER}{}", *data))
    }

    /// Reads the key from the file at `path`.
    ///
    /// # Errors
    /// If there is none, if it is not a key, or if anybody but its owner may read it.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::Io {
            path: path.to_owned(),
            doing: "read",
            source,
        };
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MasterKeyError::Missing { path: path.to_owned() },
            _ => failed(error),
        })?;
        refuse_exposed(&file.metadata().map_err(failed)?, path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_LEN));
        file.take(MAX_FILE_LEN as u64).read_to_end(&mut bytes).map_err(failed)?;
        std::str::from_utf8(&bytes)
            .map_err(|_| InvalidMasterKey)
            .and_then(Self::parse)
            .map_err(|_| MasterKeyError::Malformed { path: path.to_owned() })
    }

    /// Reads the key from the file at `path`; if there is none and `may_create`, makes one and writes it there, readable by its owner
    /// only. When this returns, the file is on the disk.
    ///
    /// `may_create` is to be false once something is sealed: a new key could not open it, and would hide that the right one is lost.
    ///
    /// # Errors
    /// As [`load`](Self::load), or if the file cannot be written.
    pub fn load_or_create(path: &Path, random: &dyn Random, may_create: bool) -> Result<Self, MasterKeyError> {
        match Self::load(path) {
            Err(MasterKeyError::Missing { .. }) if may_create => {}
            loaded => return loaded,
        }
        let key = Self::generate(random);
        match key.write_new(path, random) {
            Ok(()) => Ok(key),
            // Another process was quicker: there is one key, its.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(MasterKeyError::Io {
                path: path.to_owned(),
                doing: "create",
                source,
            }),
        }
    }

    /// The key that seals the signing keys.
    #[must_use]
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey::from_bytes(self.derive("shild sealing key v1"))
    }

    /// The key that refresh tokens are made with.
    #[must_use]
    pub fn refresh_key(&self) -> RefreshKey {
        RefreshKey::from_bytes(self.derive("shild refresh key v1"))
    }

    /// The sub-key for `purpose`. Two purposes never share a string.
    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(keyed32(&self.0, &[purpose.as_bytes()]))
    }

    /// Makes a key and writes it to the file at `path`, in place of whatever is there: a key that is lost, damaged, or that others
    /// have seen. When this returns, the file is on the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn replace(path: &Path, random: &dyn Random) -> Result<Self, MasterKeyError> {
        let key = Self::generate(random);
        let written = key.write_by(path, random, |draft, path| fs::rename(draft, path));
        written.map(|()| key).map_err(|source| MasterKeyError::Io {
            path: path.to_owned(),
            doing: "replace",
            source,
        })
    }

    /// Writes a file that is not there yet.
    fn write_new(&self, path: &Path, random: &dyn Random) -> io::Result<()> {
        // Unlike a rename, a link never replaces what is there.
        self.write_by(path, random, |draft, path| {
            let linked = fs::hard_link(draft, path);
            linked.and(fs::remove_file(draft))
        })
    }

    /// Writes a draft and makes `place` give it its name: the file is whole or not there, for a half-written key would stop the
    /// next start.
    fn write_by(
        &self,
        path: &Path,
        random: &dyn Random,
        place: impl FnOnce(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let draft = directory.join(format!(".master-key-{:016x}", u64::from_ne_bytes(random_bytes(random))));
        let placed =
            write_private(&draft, format!("{}\n", *self.to_text()).as_bytes()).and_then(|()| place(&draft, path));
        if placed.is_err() {
            // It may not be there; what counts is why.
            let _ = fs::remove_file(&draft);
        }
        placed?;
        File::open(directory)?.sync_all()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// Makes the file `path`, which only its owner can read, and brings `content` to the disk.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(unix)]
fn refuse_exposed(metadata: &fs::Metadata, path: &Path) -> Result<(), MasterKeyError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    let others = mode & 0o077;
    if others == 0 {
        Ok(())
    } else {
        Err(MasterKeyError::Exposed {
            path: path.to_owned(),
            mode,
        })
    }
}

#[cfg(not(unix))]
fn refuse_exposed(_: &fs::Metadata, _: &Path) -> Result<(), MasterKeyError> {
    Ok(())
}

/// What a master key looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is k4.local. followed by 43 characters of unpadded base64url")]
pub struct InvalidMasterKey;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// There is no file.
    #[error(
        "there is no master key at {}: if it is a setting (SHILD_MASTER_KEY_FILE), give it here too; else restore it from your backup, or run `shild key reset`: everyone must sign in again, accounts stay",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others than its owner have a right on the file.
    #[error(
        "the master key {} has mode {mode:o}, so others may get at it: allowed is 600 or 400; run `chmod 600` on it, and if others may have read it, `shild key reset`",
        path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error(
        "{} holds no master key ({InvalidMasterKey}): restore it from your backup, or run `shild key reset`: everyone must sign in again, accounts stay",
        path.display()
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} the master key {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;
    use crate::token::refresh::RefreshClaims;
    use crate::user::{SessionId, UserId};

    fn temporary() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory can be made")
    }

    // P13
    #[test]
    fn the_file_is_made_once_and_read_from_then_on() {
        let directory = temporary();
        let path = directory.path().join("master.key");
        let made = MasterKey::load_or_create(&path, &SystemRandom, true).unwrap();
        let read = MasterKey::load_or_create(&path, &SystemRandom, false).unwrap();
        assert_eq!(made.to_text(), read.to_text());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    }

    // P13
    #[test]
    fn a_file_that_is_there_is_never_replaced() {
        let directory = temporary();
        let path = directory.path().join("master.key");
        let first = MasterKey::load_or_create(&path, &SystemRandom, true).unwrap();
        let error = MasterKey::generate(&SystemRandom)
            .write_new(&path, &SystemRandom)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(MasterKey::load(&path).unwrap().to_text(), first.to_text());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    }

    // P13
    #[cfg(unix)]
    #[test]
    fn whatever_is_there_can_be_replaced_by_a_new_key() {
        use std::os::unix::fs::PermissionsExt;

        let directory = temporary();
        let path = directory.path().join("master.key");
        for there in [None, Some("k4.local.half")] {
            if let Some(text) = there {
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            }
            let key = MasterKey::replace(&path, &SystemRandom).unwrap();
            assert_eq!(MasterKey::load(&path).unwrap().to_text(), key.to_text());
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
        }
    }

    // P13
    #[test]
    fn a_missing_file_is_an_error_that_says_what_to_do() {
        let directory = temporary();
        let path = directory.path().join("master.key");
        let error = MasterKey::load_or_create(&path, &SystemRandom, false).unwrap_err();
        assert!(matches!(error, MasterKeyError::Missing { .. }));
        assert!(error.to_string().contains("restore it from your backup"), "{error}");
        assert!(!path.exists());
    }

    // P13
    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let directory = temporary();
        let path = directory.path().join("master.key");
        MasterKey::load_or_create(&path, &SystemRandom, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = MasterKey::load_or_create(&path, &SystemRandom, true).unwrap_err();
            assert!(
                matches!(error, MasterKeyError::Exposed { mode: shown, .. } if shown == mode),
                "{error}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        MasterKey::load(&path).unwrap();
    }

    // P13, H14
    #[test]
    fn a_malformed_key_is_refused_and_not_shown() {
        let directory = temporary();
        let path = directory.path().join("master.key");
        let good = MasterKey::generate(&SystemRandom).to_text();
        let cut = good[..good.len() - 1].to_owned();
        for text in [
            String::new(),
            cut,
            format!("{}=", *good),
            format!("{}{}", *good, *good),
            "x".repeat(10_000),
        ] {
            fs::remove_file(&path).ok();
            write_private(&path, text.as_bytes()).unwrap();
            let error = MasterKey::load_or_create(&path, &SystemRandom, true).unwrap_err();
            assert!(matches!(error, MasterKeyError::Malformed { .. }), "{error}");
            assert!(!error.to_string().contains(&good[10..20]));
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
        }
    }

    // P13, T17
    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let master = MasterKey(Zeroizing::new([1; 32]));
        let sealing = master.derive("shild sealing key v1");
        let refresh = master.derive("shild refresh key v1");
        assert_ne!(sealing, refresh);
        assert_ne!(sealing, master.0);
        assert_ne!(refresh, master.0);
        let sealed = master.sealing_key().wrap(&[9; 64], &SystemRandom);
        assert!(SealingKey::from_bytes(refresh.clone()).unwrap(&sealed).is_err());
        assert!(SealingKey::from_bytes(sealing.clone()).unwrap(&sealed).is_ok());
        let claims = RefreshClaims {
            user_id: UserId::from_bytes([1; 16]),
            session_id: SessionId::from_bytes([2; 16]),
            generation: 1,
        };
        let token = master.refresh_key().mint(&claims);
        assert_eq!(RefreshKey::from_bytes(sealing).read(token.as_str()), None);
        assert_eq!(RefreshKey::from_bytes(refresh).read(token.as_str()), Some(claims));
        assert_eq!(format!("{master:?}"), "MasterKey(***)");
    }
}
