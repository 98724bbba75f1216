//! What is in a snapshot, and by what damage to it is noticed.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::transfer::line::End;

/// Its name in the snapshot.
pub(super) const MANIFEST: &str = "manifest.json";

/// The version of the layout of a snapshot.
const VERSION: u32 = 1;

/// What is in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the layout.
    version: u32,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How many changes the store had seen by then.
    pub changes: Option<u64>,
    /// How many records of each kind it has.
    pub counts: End,
    files: Vec<Part>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    name: String,
    bytes: u64,
    /// Of what is in it, as `sha256sum` prints it.
    sha256: String,
}

impl Manifest {
    pub(super) fn new(taken_at: Timestamp, changes: Option<u64>, counts: End, files: Vec<Part>) -> Self {
        Self {
            version: VERSION,
            taken_at,
            changes,
            counts,
            files,
        }
    }

    /// What is wrong with the snapshot in `dir`; nothing if it is as it was written.
    pub(super) fn check(&self, dir: &Path) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("it has version {}, and only {VERSION} is known", self.version));
        }
        for part in &self.files {
            match Part::of(dir, &part.name) {
                Ok(found) if found == *part => {}
                Ok(_) => return Err(format!("{} is not as it was written", part.name)),
                Err(error) => return Err(format!("{}: {error}", part.name)),
            }
        }
        Ok(())
    }
}

impl Part {
    pub(super) fn of(dir: &Path, name: &str) -> io::Result<Self> {
        let mut file = File::open(dir.join(name))?;
        let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 * 1024]);
        loop {
            let len = file.read(&mut buffer)?;
            if len == 0 {
                break;
            }
            digest.update(&buffer[..len]);
            bytes += len as u64;
        }
        let sha256 = digest.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Ok(Self {
            name: name.to_owned(),
            bytes,
            sha256,
        })
    }
}

/// All snapshots in `dir` whose manifests can be read, the newest first. Those of a time that is not yet there, by a clock that was
/// wrong, come last.
pub(super) fn all(dir: &Path, now: Timestamp) -> io::Result<Vec<(PathBuf, Manifest)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_draft = path.extension().is_some_and(|extension| extension == "new");
        if !is_draft
            && let Ok(text) = fs::read(path.join(MANIFEST))
            && let Ok(manifest) = serde_json::from_slice::<Manifest>(&text)
        {
            found.push((path, manifest));
        }
    }
    found.sort_by_key(|(_, manifest)| Reverse((manifest.taken_at <= now, manifest.taken_at)));
    Ok(found)
}
