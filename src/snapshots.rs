//! Snapshots of the whole store, taken by themselves: the way back when the store is damaged.
//!
//! Each is a directory in `data_dir/snapshots`, named by its time, with three files: `store.ndjson`, an export with sessions
//! and audit log, which `shild import` reads too; `keys.json`, the signing keys as they are sealed under the master key, which
//! is not in it; and `manifest.json`, by which damage is noticed. It is written under another name, synced, and then renamed:
//! what has its name is whole. The newest three are kept.

mod manifest;
pub(crate) mod restore;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;

pub use self::manifest::Manifest;
use self::manifest::{MANIFEST, Part};
use crate::clock::Timestamp;
use crate::shild::Shild;
use crate::store::{Sections, Store, StoreError, files};
use crate::transfer::line::End;
use crate::transfer::{Export, Line};

/// How many are kept.
const KEPT: usize = 3;

/// The export in a snapshot.
const STORE: &str = "store.ndjson";

/// The keys in a snapshot.
const KEYS: &str = "keys.json";

/// What the name of a snapshot that is not whole ends with.
const DRAFT: &str = ".new";

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Where snapshots of a store on disk go, and how often one is taken.
pub(crate) struct Snapshots {
    dir: PathBuf,
    interval: Duration,
    /// When the last one was taken, and how many changes the store had seen by then; `None` before the first look.
    last: Mutex<Option<Last>>,
}

#[derive(Clone, Copy)]
struct Last {
    /// `None` if there is none.
    taken_at: Option<Timestamp>,
    /// The number of changes that are in it, or that it was too early to say.
    changes: Option<u64>,
}

impl Snapshots {
    /// Those of the store in `data_dir`; none if the interval is 0.
    pub(crate) fn of(data_dir: &Path, interval: Duration) -> Option<Self> {
        (!interval.is_zero()).then(|| Self {
            dir: dir_in(data_dir),
            interval,
            last: Mutex::new(None),
        })
    }
}

/// Where the snapshots of a data directory are.
pub(crate) fn dir_in(data_dir: &Path) -> PathBuf {
    data_dir.join("snapshots")
}

impl Shild {
    /// Takes a snapshot if something has changed since the last one, and the time for one has come or this is the end.
    pub(crate) async fn tend_snapshots(&self, at_end: bool) -> Result<(), SnapshotError> {
        let Some(snapshots) = &self.snapshots else {
            return Ok(());
        };
        let mut last = snapshots.last.lock().await;
        let known = if let Some(known) = *last {
            known
        } else {
            let newest = manifest::all(&snapshots.dir)?.into_iter().next();
            Last {
                taken_at: newest.as_ref().map(|(_, manifest)| manifest.taken_at),
                changes: newest.and_then(|(_, manifest)| manifest.changes),
            }
        };
        *last = Some(known);
        let (now, changes) = (self.now(), self.store.changes());
        let changed = changes.is_none() || changes != known.changes;
        let due = at_end || known.taken_at.is_none_or(|at| now.since(at) >= snapshots.interval);
        if changed && due {
            take(&*self.store, &snapshots.dir, now).await?;
            *last = Some(Last {
                taken_at: Some(now),
                changes,
            });
        }
        Ok(())
    }
}

/// Takes a snapshot, and drops those that are too many.
async fn take(store: &dyn Store, dir: &Path, now: Timestamp) -> Result<(), SnapshotError> {
    files::make_private(dir)?;
    let name = now.to_string().replace(':', "-");
    let draft = dir.join(format!("{name}{DRAFT}"));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    files::make_private(&draft)?;
    let written = write(store, &draft, now).await;
    if written.is_err() {
        // What is left of it takes room, and perhaps there is none.
        drop(fs::remove_dir_all(&draft));
        written?;
    }
    let whole = dir.join(name);
    if whole.exists() {
        fs::remove_dir_all(&whole)?;
    }
    fs::rename(&draft, whole)?;
    files::sync_dir(dir)?;
    Ok(drop_old(dir)?)
}

async fn write(store: &dyn Store, draft: &Path, now: Timestamp) -> Result<(), SnapshotError> {
    // Before the export: a change in between is in it and not counted, which costs one more snapshot at worst.
    let changes = store.changes();
    let sections = Sections {
        sessions: true,
        events: true,
    };
    let mut export = Export::of(store, sections).await?;
    let mut out = new_file(&draft.join(STORE))?;
    let mut last = Vec::new();
    while let Some(lines) = export.next_lines().await? {
        (out, last) = blocking(move || {
            out.write_all(&lines)?;
            Ok((out, lines))
        })
        .await?;
    }
    let counts = match last.split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty()) {
        Some(line) => match serde_json::from_slice(line) {
            Ok(Line::End(end)) => end,
            _ => return Err(io::Error::other("the export has no end").into()),
        },
        None => End::default(),
    };
    let mut keys = new_file(&draft.join(KEYS))?;
    let record = store.load_keys().await?;
    let draft = draft.to_owned();
    blocking(move || {
        finish(out)?;
        serde_json::to_writer(&mut keys, &record)?;
        finish(keys)?;
        let parts = [STORE, KEYS].map(|name| Part::of(&draft, name));
        let [store, keys] = parts;
        let manifest = Manifest::new(now, changes, counts, vec![store?, keys?]);
        let mut out = new_file(&draft.join(MANIFEST))?;
        serde_json::to_writer_pretty(&mut out, &manifest)?;
        finish(out)?;
        files::sync_dir(&draft)
    })
    .await?;
    Ok(())
}

/// A new file that only its owner can read.
fn new_file(path: &Path) -> io::Result<BufWriter<File>> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(BufWriter::new(options.open(path)?))
}

fn finish(out: BufWriter<File>) -> io::Result<()> {
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Runs what waits for the disk where it holds up nobody.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> io::Result<R> + Send + 'static) -> io::Result<R> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Keeps the newest ones, and removes what a crash has left half written.
fn drop_old(dir: &Path) -> io::Result<()> {
    for (path, _) in manifest::all(dir)?.into_iter().skip(KEPT) {
        fs::remove_dir_all(path)?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(DRAFT) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
