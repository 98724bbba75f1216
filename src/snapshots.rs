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

/// After one that could not be taken the next is tried so much later, or after the interval if that is shorter.
const RETRY: Duration = Duration::from_secs(600);

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
    /// `None` before the first look.
    last: Mutex<Option<Last>>,
}

/// When the last one was taken, and how many changes the store had seen by then.
#[derive(Clone, Copy)]
struct Last {
    /// `None` if there is none.
    taken_at: Option<Timestamp>,
    /// The number of changes that are in it, or that it was too early to say.
    changes: Option<u64>,
    /// When one was tried that could not be taken, since then.
    failed_at: Option<Timestamp>,
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
            let newest = manifest::all(&snapshots.dir, self.now())?.into_iter().next();
            Last {
                taken_at: newest.as_ref().map(|(_, manifest)| manifest.taken_at),
                changes: newest.and_then(|(_, manifest)| manifest.changes),
                failed_at: None,
            }
        };
        *last = Some(known);
        let (now, changes) = (self.now(), self.store.changes());
        let changed = changes.is_none() || changes != known.changes;
        // One of a time to come was taken by a clock that was wrong.
        let past = |at: Option<Timestamp>, span| at.is_none_or(|at| at > now || now.since(at) >= span);
        let due = past(known.taken_at, snapshots.interval) && past(known.failed_at, RETRY.min(snapshots.interval));
        if !changed || !(at_end || due) {
            return Ok(());
        }
        if let Err(error) = take(&*self.store, &snapshots.dir, now).await {
            *last = Some(Last {
                failed_at: Some(now),
                ..known
            });
            return Err(error);
        }
        *last = Some(Last {
            taken_at: Some(now),
            changes,
            failed_at: None,
        });
        let dir = snapshots.dir.clone();
        if let Err(error) = blocking(move || drop_old(&dir, now)).await {
            tracing::warn!(cause = %error, "old snapshots could not be removed");
        }
        Ok(())
    }
}

/// Takes a snapshot.
async fn take(store: &dyn Store, dir: &Path, now: Timestamp) -> Result<(), SnapshotError> {
    let name = now.to_string().replace(':', "-");
    let (dir, whole, draft) = (dir.to_owned(), dir.join(&name), dir.join(format!("{name}{DRAFT}")));
    let (parent, new) = (dir.clone(), draft.clone());
    blocking(move || {
        files::make_private(&parent)?;
        remove(&new)?;
        files::make_private(&new)
    })
    .await?;
    let written = write(store, &draft, now).await;
    blocking(move || {
        if written.is_err() {
            // What is left of it takes room, and perhaps there is none.
            drop(remove(&draft));
            return Ok(written);
        }
        remove(&whole)?;
        fs::rename(&draft, whole)?;
        files::sync_dir(&dir)?;
        Ok(written)
    })
    .await?
}

/// Removes whatever it is, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
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
fn drop_old(dir: &Path, now: Timestamp) -> io::Result<()> {
    for (path, _) in manifest::all(dir, now)?.into_iter().skip(KEPT) {
        remove(&path)?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(DRAFT) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock as _;
    use crate::config::{Period, Settings, StoreKind};
    use crate::origin::Origin;
    use crate::testing::{ManualClock, settings};

    const HOUR: Duration = Duration::from_secs(3600);

    struct App {
        home: tempfile::TempDir,
        clock: Arc<ManualClock>,
        shild: Shild,
        users: u64,
    }

    impl App {
        async fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let clock = Arc::<ManualClock>::default();
            let settings = Settings {
                data_dir: home.path().to_owned(),
                store: StoreKind::Redb,
                snapshot_interval: Period::hours(1),
                ..settings()
            };
            let shild = Shild::builder(settings).clock(clock.clone()).build().await.unwrap();
            let users = 0;
            Self {
                home,
                clock,
                shild,
                users,
            }
        }

        async fn change(&mut self) {
            let name = format!("user{}", self.users);
            let password = "wherefore art thou 7";
            self.shild.register(&name, password, &Origin::default()).await.unwrap();
            self.users += 1;
        }

        /// The numbers of users in the snapshots, the newest first.
        fn taken(&self) -> Vec<u64> {
            let all = manifest::all(&dir_in(self.home.path()), self.clock.now()).unwrap();
            all.iter().map(|(_, manifest)| manifest.counts.users).collect()
        }
    }

    // Failed before: those of a time to come counted as the newest, so that none was due and each new one was dropped.
    #[rocket::async_test]
    async fn a_clock_that_was_ahead_costs_no_later_snapshot() {
        let mut app = App::new().await;
        let start = app.clock.now();
        app.clock.advance(24 * HOUR);
        for _ in 0..3 {
            app.change().await;
            app.shild.tend_snapshots(false).await.unwrap();
            app.clock.advance(HOUR);
        }
        assert_eq!(app.taken(), [3, 2, 1]);
        app.clock.set(start);
        app.change().await;
        app.shild.tend_snapshots(false).await.unwrap();
        assert_eq!(app.taken(), [4, 3, 2]);
        app.change().await;
        app.shild.tend_snapshots(false).await.unwrap();
        assert_eq!(app.taken(), [4, 3, 2], "it is not time yet");
        app.clock.advance(HOUR);
        app.shild.tend_snapshots(false).await.unwrap();
        assert_eq!(app.taken(), [5, 4, 3]);
    }

    // P13: hashes and sealed keys are in it.
    #[cfg(unix)]
    #[rocket::async_test]
    async fn a_snapshot_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let mut app = App::new().await;
        app.change().await;
        app.shild.tend_snapshots(false).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = dir_in(app.home.path());
        let (snapshot, _) = manifest::all(&dir, app.clock.now()).unwrap().remove(0);
        assert_eq!((mode(&dir), mode(&snapshot)), (0o700, 0o700));
        for file in [STORE, KEYS, MANIFEST] {
            assert_eq!(mode(&snapshot.join(file)), 0o600, "{file}");
        }
    }

    // One that a later version wrote may hold what this one would lose.
    #[rocket::async_test]
    async fn a_snapshot_of_another_layout_or_with_other_files_is_not_used() {
        let mut app = App::new().await;
        app.change().await;
        app.shild.tend_snapshots(false).await.unwrap();
        let newest = || {
            manifest::all(&dir_in(app.home.path()), app.clock.now())
                .unwrap()
                .remove(0)
        };
        let (dir, manifest) = newest();
        assert_eq!(manifest.check(&dir), Ok(()));
        let text = fs::read_to_string(dir.join(MANIFEST)).unwrap();
        fs::write(dir.join(MANIFEST), text.replacen("\"version\": 1", "\"version\": 2", 1)).unwrap();
        let refused = newest().1.check(&dir).unwrap_err();
        assert!(refused.contains("version 2"), "{refused}");
        fs::write(dir.join(MANIFEST), text).unwrap();
        for file in [STORE, KEYS] {
            let whole = fs::read(dir.join(file)).unwrap();
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            for other in [&flipped, &whole[1..].to_vec(), &Vec::new()] {
                fs::write(dir.join(file), other).unwrap();
                let refused = newest().1.check(&dir).unwrap_err();
                assert!(refused.contains(file), "{refused}");
            }
            fs::remove_file(dir.join(file)).unwrap();
            assert!(newest().1.check(&dir).is_err(), "{file}");
            fs::write(dir.join(file), whole).unwrap();
        }
        assert_eq!(newest().1.check(&dir), Ok(()));
    }

    #[rocket::async_test]
    async fn a_snapshot_that_holds_less_than_it_says_is_not_put_in_the_place_of_a_store() {
        let mut app = App::new().await;
        app.change().await;
        app.shild.tend_snapshots(false).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::rename(dir_in(app.home.path()), dir_in(home.path())).unwrap();
        let (dir, _) = manifest::all(&dir_in(home.path()), app.clock.now()).unwrap().remove(0);
        let settings = Settings {
            data_dir: home.path().to_owned(),
            store: StoreKind::Redb,
            ..settings()
        };
        let text = fs::read_to_string(dir.join(MANIFEST)).unwrap();
        let more = text.replacen("\"users\": 1", "\"users\": 2", 1);
        fs::write(dir.join(MANIFEST), more).unwrap();
        let refused = restore::restore(&settings).await.unwrap_err();
        assert!(matches!(refused, restore::RestoreError::Unsound { .. }), "{refused}");
        assert!(!home.path().join("redb").exists() && !home.path().join("mark").exists());
        fs::write(dir.join(MANIFEST), text).unwrap();
        restore::restore(&settings).await.unwrap();
        assert!(home.path().join("redb").exists());
    }

    // What is left of each would fill the disk.
    #[rocket::async_test]
    async fn of_a_snapshot_that_fails_nothing_is_left() {
        let mut app = App::new().await;
        app.change().await;
        app.shild.store.close().await.unwrap();
        app.shild.tend_snapshots(false).await.unwrap_err();
        assert_eq!(fs::read_dir(dir_in(app.home.path())).unwrap().count(), 0);
    }

    #[rocket::async_test]
    async fn what_a_crash_left_of_a_snapshot_is_not_in_the_way_of_the_next() {
        let mut app = App::new().await;
        app.change().await;
        let name = app.clock.now().to_string().replace(':', "-");
        let draft = dir_in(app.home.path()).join(format!("{name}{DRAFT}"));
        fs::create_dir_all(&draft).unwrap();
        fs::write(draft.join(STORE), "half of").unwrap();
        app.shild.tend_snapshots(false).await.unwrap();
        assert_eq!(app.taken(), [1]);
        assert!(!draft.exists());
    }

    // Failed before: one was taken each second, in the place of all those before.
    #[rocket::async_test]
    async fn what_cannot_be_removed_or_is_no_snapshot_costs_none() {
        let mut app = App::new().await;
        app.change().await;
        let dir = dir_in(app.home.path());
        files::make_private(&dir).unwrap();
        fs::write(dir.join("x.new"), "").unwrap();
        fs::write(dir.join("y"), "").unwrap();
        app.shild.tend_snapshots(false).await.unwrap();
        assert!(!dir.join("x.new").exists() && dir.join("y").exists());
        app.clock.advance(HOUR / 2);
        app.change().await;
        app.shild.tend_snapshots(false).await.unwrap();
        assert_eq!(app.taken(), [1]);
    }

    // Failed before: each second it was tried again, on a disk that was full.
    #[rocket::async_test]
    async fn one_that_fails_is_tried_again_after_a_while() {
        let mut app = App::new().await;
        app.change().await;
        let dir = dir_in(app.home.path());
        fs::write(&dir, "in the way").unwrap();
        // What is there is looked at first, once.
        app.shild.tend_snapshots(false).await.unwrap_err();
        fs::remove_file(&dir).unwrap();
        app.shild.tend_snapshots(false).await.unwrap();
        assert_eq!(app.taken(), [1]);
        fs::rename(&dir, app.home.path().join("elsewhere")).unwrap();
        fs::write(&dir, "in the way").unwrap();
        app.clock.advance(HOUR);
        app.change().await;
        app.shild.tend_snapshots(false).await.unwrap_err();
        for _ in 0..3 {
            app.shild.tend_snapshots(false).await.unwrap();
        }
        app.clock.advance(RETRY - Duration::from_secs(1));
        app.shild.tend_snapshots(false).await.unwrap();
        app.clock.advance(Duration::from_secs(1));
        app.shild.tend_snapshots(false).await.unwrap_err();
        app.shild.tend_snapshots(true).await.unwrap_err();
    }
}
