//! sled. Nothing else in this crate knows it.
//!
//! sled 0.34.7 alone loses acknowledged writes in a power cut, can be kept from opening by a crash at the wrong moment, and
//! panics on damaged files. What it lacks to be an [`Engine`] is added here.

mod copy;
mod pending;
mod place;
mod watch;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use ::sled::{Batch, IVec};

use self::copy::TreeCopy;
use self::pending::{Pending, Walk};
use self::place::{key_at, place, range_of};
use self::watch::Watch;
use super::{Before, Engine, EngineError, Files, Frozen, Range, Visit, Write, guarded};
use crate::store::StoreError;
use crate::store::embedded::Options;
use crate::store::embedded::files::sync_all;
use crate::store::embedded::record::Tree;
use crate::threads;

/// How often, and how far apart, opening is tried while sled's own lock is still held: its
/// background threads let go of a database a moment after it was dropped.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How long it may wait for the disk before it is asked whether there was an error.
const TICK: Duration = Duration::from_secs(1);

/// The threads that it does its work on. Where it is refused all of them, it waits for ever.
const THREADS: usize = 7;

/// The name of its log.
const FILE: &str = "db";

/// The embedded database sled.
pub struct Sled {
    /// What the transaction that is not on disk yet is about; after one that failed it stays. Locked while a transaction is
    /// made: so it is the writer alone that splits and merges pages, and readers write nothing.
    pending: RwLock<Pending>,
    /// Over the syncs.
    watch: Watch,
    /// All records are in its one default tree: sled changes several trees at once only by looking for every key once more.
    db: ::sled::Db,
    /// An own handle of sled's log file, for the sync that sled leaves out.
    log: File,
    /// Where sled puts a page that is too large for its log.
    blobs: PathBuf,
    /// The blobs that are known to be on disk.
    synced_blobs: Mutex<BTreeSet<OsString>>,
    /// Whether a transaction was begun and not carried through. sled leaves what it had done by then: an error in the midst of
    /// it, of reading a page for example, would make half of it last.
    half_done: AtomicBool,
}

impl Engine for Sled {
    const NAME: &'static str = "sled";

    const LOCKED: &'static str = FILE;

    const CUTS: bool = true;

    type Value = IVec;

    fn create(home: &Path, options: Options) -> Result<Self, EngineError> {
        Self::open(home, options, Files::Unknown)
    }

    fn open(home: &Path, options: Options, _: Files) -> Result<Self, EngineError> {
        remove_unfinished_snapshots(home)?;
        has_threads()?;
        let db = open_database(home, options)?;
        let same = db.clone();
        let sled = Self {
            pending: RwLock::default(),
            // What it says is said to the one that waits, too.
            watch: Watch::start(TICK, move || drop(same.flush()))?,
            db,
            log: File::options().read(true).write(true).open(home.join(FILE))?,
            blobs: home.join("blobs"),
            synced_blobs: Mutex::new(BTreeSet::new()),
            half_done: AtomicBool::new(false),
        };
        sled.sync()?;
        // sled makes files that it never syncs; one of them lost in a power cut keeps it from opening.
        sync_all(home)?;
        Ok(sled)
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Self::Value>, EngineError> {
        let place = place(tree, key);
        let pending = self.pending();
        match pending.get(&place) {
            Some(before) => Ok(before.clone()),
            None => Ok(self.db.get(&place)?),
        }
    }

    fn range<F: From<EngineError>>(
        &self,
        tree: Tree,
        range: Range<'_>,
        backwards: bool,
        visit: Visit<'_, F>,
    ) -> Result<(), F> {
        let range = range_of(tree, range);
        let mut walk = Walk::over(self.db.range(range.clone()), range, backwards);
        // Locked for one step at a time, so that no walk holds up the writer.
        while let Some((place, record)) = {
            let pending = self.pending();
            walk.next(&pending)?
        } {
            if !visit(key_at(&place), &record)? {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, changes: &[Write]) -> Result<(), EngineError> {
        let (mut pending, mut batch) = (Pending::default(), Batch::default());
        for Write {
            tree,
            key,
            before,
            record,
        } in changes
        {
            let place = place(*tree, key);
            let before = match before {
                Before::Known(before) => before.as_deref().map(IVec::from),
                Before::Unknown => self.db.get(&place)?,
            };
            match record {
                Some(record) => batch.insert(&place[..], &record[..]),
                None => batch.remove(&place[..]),
            }
            pending.keep(place, before, record.is_some());
        }
        let mut shown = self.pending_mut();
        *shown = pending;
        let made = self.make(batch).and_then(|()| self.settle(&shown));
        drop(shown);
        if let Err(error) = made {
            self.undo();
            return Err(error);
        }
        self.sync()?;
        *self.pending_mut() = Pending::default();
        Ok(())
    }

    fn freeze(&self, trees: &[Tree], dir: &Path) -> Result<Vec<Box<dyn Frozen>>, StoreError> {
        trees
            .iter()
            .map(|tree| Ok(Box::new(TreeCopy::of(self, *tree, dir)?) as Box<dyn Frozen>))
            .collect()
    }

    fn close(self) -> Result<(), EngineError> {
        self.undo();
        let synced = self.sync();
        let Self { watch, db, log, .. } = self;
        drop((watch, db));
        // sled's threads let go a moment later: until then the files are not at rest.
        for _ in 0..LOCK_TRIES {
            match log.try_lock() {
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                _ => break,
            }
        }
        synced
    }
}

impl Sled {
    fn pending(&self) -> RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending_mut(&self) -> RwLockWriteGuard<'_, Pending> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the changes in memory.
    fn make(&self, changes: Batch) -> Result<(), EngineError> {
        self.half_done.store(true, Ordering::Relaxed);
        self.db.apply_batch(changes)?;
        self.half_done.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Splits and merges the pages that these changes have made too large or too small. sled leaves that to whoever comes by
    /// next, be it a reader, who would have to write then, and be refused if this transaction cannot be put on disk. A page's
    /// size is the number of its records, which one in place of another does not change. What it does not come by is the first page
    /// below one that was merged into its neighbour, which takes the removal of thousands: should that one be too small, it is
    /// left to a reader.
    fn settle(&self, changes: &Pending) -> Result<(), EngineError> {
        for place in changes.added_or_removed() {
            self.db.get(place)?;
        }
        Ok(())
    }

    /// Puts the records of a transaction that broke off back to what they were before. Where that fails too, it is tried once
    /// more before the database is let go of. Nothing is synced here: after some errors sled waits for ever.
    fn undo(&self) {
        if self.half_done.load(Ordering::Relaxed) && self.restore().is_ok() {
            self.half_done.store(false, Ordering::Relaxed);
        }
    }

    fn restore(&self) -> Result<(), EngineError> {
        let mut outcome = Ok(());
        for (place, before) in self.pending().iter() {
            // What cannot be read was not changed, and is no reason to leave what was.
            let put = guarded::<Self, _, EngineError>(|| {
                match before {
                    Some(record) => self.db.insert(place, record)?,
                    None => self.db.remove(place)?,
                };
                Ok(())
            });
            outcome = outcome.and(put);
        }
        outcome
    }

    /// Puts on disk all that was written so far. `Db::flush` alone does not: on Linux it ends in
    /// `sync_file_range`, which leaves the file's size and the disk's own cache out.
    fn sync(&self) -> Result<(), EngineError> {
        self.watch.over(|| self.db.flush())?;
        self.log.sync_data()?;
        Ok(self.sync_blobs()?)
    }

    /// Puts on disk those of sled's blob files that are not yet; nearly always there are none.
    fn sync_blobs(&self) -> io::Result<()> {
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = BTreeSet::new();
        let mut new = false;
        for entry in fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let name = entry.file_name();
            if !synced.contains(&name) {
                match File::open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    // sled removes blobs that are no longer needed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                new = true;
            }
            there.insert(name);
        }
        if new {
            File::open(&self.blobs)?.sync_all()?;
        }
        *synced = there;
        Ok(())
    }
}

impl From<::sled::Error> for EngineError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) => Self::of_io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// sled takes a snapshot that a crash left half written for the newest one, and then refuses to
/// open. Without it, it reads the log again.
fn remove_unfinished_snapshots(home: &Path) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes sure that it gets its threads, which it keeps as long as the process lasts.
fn has_threads() -> io::Result<()> {
    static HAS: Mutex<bool> = Mutex::new(false);
    let mut has = HAS.lock().unwrap_or_else(PoisonError::into_inner);
    if !*has {
        // One more watches over it.
        threads::can_have(THREADS + 1)?;
        *has = true;
    }
    Ok(())
}

fn open_database(home: &Path, options: Options) -> Result<::sled::Db, EngineError> {
    // No flushing in the background: each commit is flushed. `mode` is left alone, since sled 0.34.7 reads it nowhere.
    let config = ::sled::Config::new()
        .path(home)
        .cache_capacity(options.for_pages())
        .use_compression(false)
        .flush_every_ms(None);
    let mut tries = 1;
    loop {
        match config.open() {
            Err(::sled::Error::Io(error)) if tries < LOCK_TRIES && is_lock_error(&error) => {
                tries += 1;
                thread::sleep(LOCK_PAUSE);
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// sled names this error only by its words.
fn is_lock_error(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use super::*;

    fn write(key: u8, record: Option<&[u8]>) -> Write {
        Write {
            tree: Tree::Users,
            key: vec![key],
            before: Before::Unknown,
            record: record.map(<[u8]>::to_vec),
        }
    }

    // Failed before: while a disk was full nobody could read what lay beyond a page that a reader was to split.
    #[test]
    fn who_reads_after_a_commit_writes_nothing() {
        // Names, which lie all over.
        readers_write_nothing(|number| number.wrapping_mul(0x9E37_79B1).to_be_bytes().to_vec());
        // Ids, which lie one after the other.
        readers_write_nothing(|number| [[0; 4], number.to_be_bytes()].concat());
        // Ids of several hosts, or that waited: among those that are there.
        readers_write_nothing(|number| [[0; 4], (number * 7 % 1600).to_be_bytes()].concat());
        // Both, in parts of a few.
        readers_write_nothing(|number| {
            [
                [0; 4],
                (number % 3 + number / 3 % 5 * 1000 + number / 16 * 3).to_be_bytes(),
                number.to_be_bytes(),
            ]
            .concat()
        });
    }

    /// Makes more and more records, and then fewer and fewer, until there is none, of many lengths.
    fn readers_write_nothing(key: fn(u32) -> Vec<u8>) {
        const AT_ONCE: u32 = 16;
        let dir = tempfile::tempdir().unwrap();
        let sled = Sled::create(dir.path(), Options::default()).unwrap();
        let mut written = 0;
        for round in 0..200_u32 {
            let there = round < 100;
            let changes: Vec<_> = (0..AT_ONCE)
                .map(|part| Write {
                    tree: Tree::Users,
                    key: key(round % 100 * AT_ONCE + part),
                    before: Before::Unknown,
                    record: there.then(|| vec![7; (round as usize * 37) % 700]),
                })
                .collect();
            sled.commit(&changes).unwrap();
            if round % 5 > 0 {
                continue;
            }
            let mut read = 0_usize;
            sled.range::<EngineError>(
                Tree::Users,
                (Bound::Unbounded, Bound::Unbounded),
                false,
                &mut |key, _| {
                    assert!(sled.get(Tree::Users, key)?.is_some());
                    read += 1;
                    Ok(true)
                },
            )
            .unwrap();
            assert!(read > 0 || !there);
            written += sled.db.flush().unwrap();
        }
        assert_eq!(written, 0, "bytes that readers wrote");
    }

    // Failed before: a page that could not be read in the midst of a transaction left a store that did not open again.
    #[test]
    fn a_transaction_that_breaks_off_leaves_nothing_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let there: Vec<_> = (0..40).map(|key| write(key, Some(b"first"))).collect();
        let sled = Sled::create(dir.path(), Options::default()).unwrap();
        sled.commit(&there).unwrap();
        let before = all(&sled, (Bound::Unbounded, Bound::Unbounded), false);

        // As far as one came that was to change four records.
        let user = |key: u8| place(Tree::Users, &[key]);
        for key in [1, 2, 60, 61] {
            let record = sled.db.get(user(key)).unwrap();
            sled.pending_mut().keep(user(key), record, key != 2);
        }
        sled.db.insert(user(1), b"second").unwrap();
        sled.db.remove(user(2)).unwrap();
        sled.db.insert(user(60), b"second").unwrap();
        sled.half_done.store(true, Ordering::Relaxed);
        sled.close().unwrap();

        let sled = Sled::open(dir.path(), Options::default(), Files::Unknown).unwrap();
        let after = all(&sled, (Bound::Unbounded, Bound::Unbounded), false);
        assert_eq!(after, before);
    }

    fn all(sled: &Sled, range: Range<'_>, backwards: bool) -> Vec<(u8, Vec<u8>)> {
        let mut all = Vec::new();
        sled.range::<EngineError>(Tree::Users, range, backwards, &mut |key, record| {
            all.push((key[0], record.to_vec()));
            Ok(true)
        })
        .unwrap();
        all
    }

    // Failed before: a session was swept because its user's sessions had ended, in a transaction that was then undone.
    #[test]
    fn what_could_not_be_put_on_disk_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let sled = Sled::create(dir.path(), Options::default()).unwrap();
        let there = (0..40).filter(|key| key % 3 > 0).collect::<Vec<_>>();
        let first: Vec<_> = there.iter().map(|key| write(*key, Some(b"first"))).collect();
        sled.commit(&first).unwrap();
        let before: BTreeMap<u8, Vec<u8>> = there.iter().map(|key| (*key, b"first".to_vec())).collect();

        // So that the second half of a commit fails.
        fs::remove_dir(dir.path().join("blobs")).unwrap();
        let changes: Vec<_> = (0..50)
            .filter(|key| key % 7 < 3)
            .map(|key| write(key, (key % 2 == 0).then_some(b"second".as_slice())))
            .collect();
        assert!(sled.commit(&changes).is_err());

        for key in 0..50 {
            let record = sled.get(Tree::Users, &[key]).unwrap();
            assert_eq!(record.as_deref(), before.get(&key).map(Vec::as_slice), "{key}");
        }
        let bounds = |key: u8| [Bound::Included(key), Bound::Excluded(key), Bound::Unbounded];
        for (start, end) in [(0, 49), (1, 1), (7, 8), (7, 22), (21, 35), (14, 50), (30, 3)] {
            for start in bounds(start) {
                for end in bounds(end) {
                    let within = |key: &u8| {
                        (match start {
                            Bound::Included(start) => *key >= start,
                            Bound::Excluded(start) => *key > start,
                            Bound::Unbounded => true,
                        }) && (match end {
                            Bound::Included(end) => *key <= end,
                            Bound::Excluded(end) => *key < end,
                            Bound::Unbounded => true,
                        })
                    };
                    let expected: Vec<_> = before.clone().into_iter().filter(|(key, _)| within(key)).collect();
                    let (start, end) = (start.map(|key| [key]), end.map(|key| [key]));
                    let range = (start.as_ref().map(|key| &key[..]), end.as_ref().map(|key| &key[..]));
                    assert_eq!(all(&sled, range, false), expected, "{range:?}");
                    let backwards: Vec<_> = expected.into_iter().rev().collect();
                    assert_eq!(all(&sled, range, true), backwards, "{range:?} backwards");
                }
            }
        }
    }
}
