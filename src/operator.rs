//! The credentials of the command line on the host, while the server runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::clock::{Random, random_bytes};
use crate::config::Secret;
use crate::store;

/// What such a credential begins with.
const PREFIX: &str = "sho_";

/// A secret that is made at each start and is good for administration.
pub(crate) struct OperatorSecret {
    secret: Secret,
    /// Where it has been written.
    file: Mutex<Option<PathBuf>>,
}

impl OperatorSecret {
    /// 256 random bits.
    pub(crate) fn generate(random: &dyn Random) -> Self {
        let bits = random_bytes::<32>(random);
        let secret = Secret::new(format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(&bits)));
        Self {
            secret,
            file: Mutex::default(),
        }
    }

    /// Whether `token` is this secret, in constant time.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.secret.expose().as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The secret itself.
    pub(crate) fn expose(&self) -> &str {
        self.secret.expose()
    }

    /// Writes the file that lets the command line in: only its owner can read it.
    pub(crate) fn write(&self, data_dir: &Path, address: SocketAddr) -> io::Result<()> {
        let address = format!("http://{}", reachable(address));
        let text = serde_json::json!({ "address": address, "token": self.secret.expose() });
        let draft = data_dir.join("operator.json.new");
        drop(fs::remove_file(&draft));
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&draft)?;
        file.write_all(text.to_string().as_bytes())?;
        let path = Credentials::path(data_dir);
        fs::rename(draft, &path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
        Ok(())
    }

    /// Removes what a killed server has left behind. Only for whoever has this data directory locked.
    pub(crate) fn remove_stale(data_dir: &Path) {
        drop(fs::remove_file(Credentials::path(data_dir)));
    }

    /// Takes the file away again.
    pub(crate) fn withdraw(&self) {
        if let Some(path) = self.file.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(fs::remove_file(path));
        }
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Where a server that listens on `address` can be reached from this machine.
#[must_use]
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// How the command line reaches the running server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Its address, `http://host:port`.
    pub address: String,
    /// The bearer token that lets in.
    pub token: Secret,
}

impl Credentials {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("operator.json")
    }

    /// Those that the server on this data directory has written; `None` if none runs. What a killed one has left behind is
    /// never used: whoever listens on its address now would be handed whatever the command line sends.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(data_dir);
        match fs::read_to_string(&path) {
            Ok(_) if !store::is_open(data_dir) => Ok(None),
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|_| {
                let text = format!("{} is damaged; remove it, or restart the server", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("{} cannot be read: {error}", path.display()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;
    use crate::store::SledStore;
    use crate::store::sled::SledOptions;

    #[test]
    fn what_a_killed_server_has_left_behind_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
        let secret = OperatorSecret::generate(&SystemRandom);
        // Nor is what it had begun to write in the way.
        fs::write(dir.path().join("operator.json.new"), "{").unwrap();
        secret.write(dir.path(), ([127, 0, 0, 1], 8000).into()).unwrap();
        let found = Credentials::read(dir.path()).unwrap().unwrap();
        assert!(secret.is(found.token.expose()));
        drop(store);
        assert!(Credentials::read(dir.path()).unwrap().is_none());
    }
}
