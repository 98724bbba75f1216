//! What becomes of a store that could not be written, and when one is looked through: by engines that fail when they are told to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::engine::{Engine, EngineError, Files, Frozen, Range, Visit, Write, sled::Sled};
use super::record::Tree;
use super::rest::Rest;
use super::{EmbeddedStore, OpenError, Options};
use crate::clock::Timestamp;
use crate::store::conformance::block_on;
use crate::store::{Sections, SnapshotStore, Store, StoreError, UserStore, VerifyStore};
use crate::user::{UserId, UserRecord, Username};

/// An engine that fails as files in its data directory say, and, as the real ones, from then on until it is opened again.
struct Faulty<E> {
    engine: E,
    dir: PathBuf,
    has_failed: AtomicBool,
}

/// A fault, which lasts as long as there is a file of its name.
#[derive(Clone, Copy)]
enum Fault {
    /// Commits fail, and nothing is made.
    Commit,
    /// Commits fail although they are made.
    Answer,
    /// It cannot be opened.
    Open,
    /// Opening it cuts off half of each of its files, as sled does after a read that fails.
    Cut,
    /// The same, and then no more.
    CutOnce,
    /// Records cannot be walked through.
    Walk,
    /// A record cannot be read.
    Get,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Commit => "fault-commit",
            Self::Answer => "fault-answer",
            Self::Open => "fault-open",
            Self::Cut => "fault-cut",
            Self::CutOnce => "fault-cut-once",
            Self::Walk => "fault-walk",
            Self::Get => "fault-get",
        }
    }

    fn begins(self, dir: &Path) {
        fs::write(dir.join(self.name()), "").unwrap();
    }

    fn ends(self, dir: &Path) {
        fs::remove_file(dir.join(self.name())).unwrap();
    }

    fn strikes(self, dir: &Path) -> Result<(), EngineError> {
        if dir.join(self.name()).exists() {
            Err(EngineError::Io(io::ErrorKind::StorageFull.into()))
        } else {
            Ok(())
        }
    }
}

impl<E: Engine> Faulty<E> {
    fn over(engine: E, home: &Path) -> Self {
        Self {
            engine,
            dir: home.parent().unwrap().to_owned(),
            has_failed: AtomicBool::new(false),
        }
    }

    fn try_commit(&self, changes: &[Write]) -> Result<(), EngineError> {
        Fault::Commit.strikes(&self.dir)?;
        self.engine.commit(changes)?;
        Fault::Answer.strikes(&self.dir)
    }
}

impl<E: Engine> Engine for Faulty<E> {
    const NAME: &'static str = E::NAME;

    const LOCKED: &'static str = E::LOCKED;

    const CUTS: bool = E::CUTS;

    type Value = E::Value;

    fn create(home: &Path, options: Options) -> Result<Self, EngineError> {
        Ok(Self::over(E::create(home, options)?, home))
    }

    fn open(home: &Path, options: Options, files: Files) -> Result<Self, EngineError> {
        let dir = home.parent().unwrap();
        Fault::Open.strikes(dir)?;
        let cut_once = Fault::CutOnce.strikes(dir);
        if cut_once.is_err() {
            Fault::CutOnce.ends(dir);
        }
        if Fault::Cut.strikes(dir).and(cut_once).is_err() {
            cut_in_half(home);
        }
        Ok(Self::over(E::open(home, options, files)?, home))
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Self::Value>, EngineError> {
        Fault::Get.strikes(&self.dir)?;
        self.engine.get(tree, key)
    }

    fn range<F: From<EngineError>>(
        &self,
        tree: Tree,
        range: Range<'_>,
        backwards: bool,
        visit: Visit<'_, F>,
    ) -> Result<(), F> {
        Fault::Walk.strikes(&self.dir)?;
        self.engine.range(tree, range, backwards, visit)
    }

    fn commit(&self, changes: &[Write]) -> Result<(), EngineError> {
        if self.has_failed.load(Ordering::Relaxed) {
            return Err(EngineError::Damaged("it was not opened again".to_owned()));
        }
        let made = self.try_commit(changes);
        self.has_failed.store(made.is_err(), Ordering::Relaxed);
        made
    }

    fn freeze(&self, trees: &[Tree], dir: &Path) -> Result<Vec<Box<dyn Frozen>>, StoreError> {
        self.engine.freeze(trees, dir)
    }

    fn close(self) -> Result<(), EngineError> {
        self.engine.close()
    }
}

fn cut_in_half(home: &Path) {
    for entry in fs::read_dir(home).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
    }
}

fn user(number: u8, name: &str) -> UserRecord {
    let name = Username::parse(name, 64).unwrap();
    UserRecord::new(id(number), name, Timestamp::from_millis(1_700_000_000_000))
}

fn id(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

/// A store of two users that cannot be written, since the making of the second failed.
struct Broken<E: Engine> {
    dir: tempfile::TempDir,
    store: Arc<EmbeddedStore<Faulty<E>>>,
}

impl<E: Engine> Broken<E> {
    fn by(fault: Fault) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(open(dir.path()));
        block_on(store.create(&user(1, "juliet"), &[])).unwrap();
        fault.begins(dir.path());
        let answer = block_on(store.create(&user(2, "romeo"), &[]));
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        Self { dir, store }
    }

    /// Waits until it can be written.
    fn goes_on(&self) {
        let start = Instant::now();
        while let Err(error) = block_on(self.store.check()) {
            assert!(start.elapsed() < Duration::from_secs(20), "{error}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn has(&self, number: u8) -> bool {
        block_on(self.store.find(id(number))).unwrap().is_some()
    }

    /// It has all it should, and no contradiction, now and when it is opened by somebody else.
    fn stays_whole(self, users: u64) {
        let Self { dir, store } = self;
        let sound = |store: &EmbeddedStore<Faulty<E>>| {
            let found = block_on(store.verify(Arc::new(|_, _| {}))).unwrap();
            assert_eq!((found.is_sound(), found.counts.users), (true, users), "{found:?}");
        };
        sound(&store);
        block_on(store.close()).unwrap();
        drop(store);
        sound(&open(dir.path()));
    }
}

fn open<E: Engine>(dir: &Path) -> EmbeddedStore<Faulty<E>> {
    EmbeddedStore::open(dir, Options::default()).unwrap()
}

fn a_store_writes_again_by_itself_once_it_can<E: Engine>() {
    let broken = Broken::<E>::by(Fault::Commit);
    for _ in 0..20 {
        assert!(block_on(broken.store.check()).is_err());
        assert!(broken.has(1), "reads go on");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!broken.has(2));
    Fault::Commit.ends(broken.dir.path());
    broken.goes_on();
    assert!(broken.has(1));
    assert!(!broken.has(2), "what failed was not made");
    block_on(broken.store.create(&user(2, "romeo"), &[])).unwrap();
    block_on(broken.store.create(&user(3, "mercutio"), &[])).unwrap();
    broken.stays_whole(3);
}

fn a_change_that_could_not_be_looked_at_is_not_made<E: Engine>() {
    let broken = Broken::<E>::by(Fault::Get);
    Fault::Get.ends(broken.dir.path());
    broken.goes_on();
    assert!(broken.has(1));
    assert!(!broken.has(2));
    block_on(broken.store.create(&user(2, "romeo"), &[])).unwrap();
    broken.stays_whole(2);
}

fn a_store_that_failed_is_not_opened_again_to_be_closed<E: Engine>() {
    let broken = Broken::<E>::by(Fault::Commit);
    Fault::Commit.ends(broken.dir.path());
    thread::sleep(Duration::from_millis(50));
    let closed = block_on(broken.store.close());
    assert!(matches!(closed, Err(StoreError::Unavailable(_))), "{closed:?}");
}

fn a_change_that_was_made_although_it_failed_counts<E: Engine>() {
    let broken = Broken::<E>::by(Fault::Answer);
    Fault::Answer.ends(broken.dir.path());
    let before = broken.store.changes();
    broken.goes_on();
    assert!(broken.has(2));
    assert!(
        broken.store.changes() > before,
        "a snapshot without it would not be the last"
    );
    broken.stays_whole(2);
}

fn what_was_remembered_before_a_change_that_was_made_although_it_failed_is_not_found_after_it<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open::<E>(dir.path()));
    let before = user(1, "juliet");
    block_on(store.create(&before, &[])).unwrap();
    let found = |store: &EmbeddedStore<_>| block_on(store.find(id(1))).unwrap().unwrap();
    assert_eq!(*found(&store), before);
    Fault::Answer.begins(dir.path());
    let after = before.next(Timestamp::from_millis(1_700_000_000_001));
    assert!(block_on(store.replace(&after, 1, &[])).is_err());
    found(&store);
    Fault::Answer.ends(dir.path());
    let broken = Broken { dir, store };
    broken.goes_on();
    assert_eq!(*found(&broken.store), after);
    block_on(broken.store.close()).unwrap();
    let closed = block_on(broken.store.find(id(1)));
    assert!(matches!(closed, Err(StoreError::Unavailable(_))), "{closed:?}");
}

fn a_store_that_cannot_be_opened_again_is_unavailable_until_it_can<E: Engine>() {
    let broken = Broken::<E>::by(Fault::Commit);
    Fault::Commit.ends(broken.dir.path());
    Fault::Open.begins(broken.dir.path());
    let start = Instant::now();
    assert!(broken.has(1));
    // Until it is tried, what there is can be read.
    while block_on(broken.store.find(id(2))).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(block_on(broken.store.check()).is_err());
        thread::sleep(Duration::from_millis(5));
    }
    let unavailable = |answer| matches!(answer, Err(StoreError::Unavailable(_)));
    assert!(unavailable(block_on(broken.store.find(id(2))).map(drop)));
    assert!(broken.has(1), "who was found lately is still known");
    assert!(unavailable(block_on(broken.store.check())));
    assert!(unavailable(
        block_on(broken.store.snapshot(Sections::default())).map(drop)
    ));
    Fault::Open.ends(broken.dir.path());
    broken.goes_on();
    assert!(broken.has(1));
    broken.stays_whole(1);
}

fn a_snapshot_is_had_again_and_an_old_one_stops_nothing<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open::<E>(dir.path()));
    block_on(store.create(&user(1, "juliet"), &[])).unwrap();
    let held = block_on(store.snapshot(Sections::default())).unwrap();
    Fault::Commit.begins(dir.path());
    assert!(block_on(store.create(&user(2, "romeo"), &[])).is_err());
    assert!(block_on(store.snapshot(Sections::default())).is_err());
    Fault::Commit.ends(dir.path());
    let broken = Broken { dir, store };
    let start = Instant::now();
    // To ask for a snapshot is enough for it to be opened again.
    let mut snapshot = loop {
        match block_on(broken.store.snapshot(Sections::default())) {
            Ok(snapshot) => break snapshot,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(20), "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(block_on(snapshot.next_users()).unwrap(), [user(1, "juliet")]);
    drop((held, snapshot));
    broken.stays_whole(1);
}

fn a_store_that_is_closed_meanwhile_says_so_and_loses_nothing<E: Engine>() {
    let Broken { dir, store } = Broken::<E>::by(Fault::Commit);
    assert!(matches!(block_on(store.close()), Err(StoreError::Unavailable(_))));
    drop(store);
    Fault::Commit.ends(dir.path());
    let store = Arc::new(open::<E>(dir.path()));
    let reopened = Broken { dir, store };
    assert!(reopened.has(1));
    reopened.stays_whole(1);
}

/// A copy of the store in `dir`, as a crash would leave it if it is open.
fn copy(dir: &Path) -> tempfile::TempDir {
    fn copy_into(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                fs::create_dir(&target).unwrap();
                copy_into(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let copy = tempfile::tempdir().unwrap();
    copy_into(dir, copy.path());
    copy
}

/// Whether the store in `dir` is opened without a look at every record; how it stands afterwards is as before.
fn opens_at_once<E: Engine>(dir: &Path) -> bool {
    let copy = copy(dir);
    Fault::Walk.begins(copy.path());
    match EmbeddedStore::<Faulty<E>>::open(copy.path(), Options::default()) {
        Ok(_) => true,
        // Not damage: a restore would be of no use.
        Err(OpenError::Io { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn only_what_was_closed_and_left_alone_is_not_looked_through<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let store = open::<E>(dir.path());
    block_on(store.create(&user(1, "juliet"), &[])).unwrap();
    assert!(!opens_at_once::<E>(dir.path()), "after a crash");
    block_on(store.close()).unwrap();
    assert!(opens_at_once::<E>(dir.path()), "after close()");
    drop(store);
    for _ in 0..3 {
        assert!(opens_at_once::<E>(dir.path()));
        let store = open::<E>(dir.path());
        block_on(store.find(id(1))).unwrap().unwrap();
        drop(store);
    }
    assert!(opens_at_once::<E>(dir.path()), "after a life without a change");
    let store = open::<E>(dir.path());
    block_on(store.create(&user(2, "romeo"), &[])).unwrap();
    assert!(!opens_at_once::<E>(dir.path()), "after another crash");
    drop(store);
    assert!(opens_at_once::<E>(dir.path()), "after it was dropped");
}

fn whatever_happens_to_a_store_that_was_closed_leads_to_a_look<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let store = open::<E>(dir.path());
    block_on(store.create(&user(1, "juliet"), &[])).unwrap();
    drop(store);
    let mut files: Vec<_> = fs::read_dir(dir.path().join(E::NAME))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by((whole.len() / 5).max(1)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(!would_trust::<E>(dir.path()), "byte {at} of {} flipped", path.display());
            fs::write(&path, &whole[..at]).unwrap();
            assert!(!would_trust::<E>(dir.path()), "{} cut to {at}", path.display());
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(would_trust::<E>(dir.path()));
}

fn would_trust<E: Engine>(dir: &Path) -> bool {
    super::open::files_of(dir, &dir.join(E::NAME)) == Files::AtRest
}

fn a_stamp_of_the_files_is_good_for_one_start<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let stamped = || {
        let (_, marked) = super::mark::Mark::open(dir.path()).unwrap().unwrap();
        assert!(marked.rest.is_some(), "they are as they were left, stamp or not");
        marked.stamp.is_some()
    };
    let store = open::<E>(dir.path());
    block_on(store.create(&user(1, "juliet"), &[])).unwrap();
    drop(store);
    assert!(stamped());
    let store = open::<E>(dir.path());
    assert!(!stamped(), "crossed out before anything is written");
    drop(store);
    assert!(stamped());
    let looking = EmbeddedStore::<E>::open_to_look(dir.path(), Options::default()).unwrap();
    assert!(!stamped(), "crossed out for who only looks as well");
    drop(looking);
    assert!(opens_at_once::<E>(dir.path()));
}

fn who_only_looks_vouches_for_nothing<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let store = open::<E>(dir.path());
    block_on(store.create(&user(1, "juliet"), &[])).unwrap();
    let crashed = copy(dir.path());
    drop(store);
    for (dir, at_once) in [(dir, true), (crashed, false)] {
        drop(EmbeddedStore::<E>::open_to_look(dir.path(), Options::default()).unwrap());
        assert_eq!(opens_at_once::<E>(dir.path()), at_once);
    }
}

// Failed before: a read that failed once, while a store was being opened, cost what was acknowledged.
#[test]
fn what_opening_cuts_off_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open::<Sled>(dir.path());
    block_on(store.create(&user(1, "juliet"), &[])).unwrap();
    // It was not closed: a new store stands in a copy, after a crash.
    let crashed = copy(dir.path());
    let home = crashed.path().join(Sled::NAME);
    let before = Rest::of(&home).unwrap();
    Fault::Cut.begins(crashed.path());
    for _ in 0..2 {
        let refused = EmbeddedStore::<Faulty<Sled>>::open(crashed.path(), Options::default());
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
        assert_eq!(Rest::of(&home).unwrap(), before, "the files are as they were");
    }
    Fault::Cut.ends(crashed.path());
    // Once is not even noticed.
    Fault::CutOnce.begins(crashed.path());
    let store = Arc::new(open::<Sled>(crashed.path()));
    let reopened = Broken { dir: crashed, store };
    assert!(reopened.has(1));
    reopened.stays_whole(1);
}

#[test]
fn what_is_found_once_the_store_was_opened_again_is_what_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open::<Sled>(dir.path()));
    let before = user(1, "juliet");
    block_on(store.create(&before, &[])).unwrap();
    // A change is on disk by the time it fails.
    let blobs = dir.path().join(Sled::NAME).join("blobs");
    fs::remove_dir(&blobs).unwrap();
    let after = before.next(Timestamp::from_millis(1_700_000_000_001));
    assert!(block_on(store.replace(&after, 1, &[])).is_err());
    let found = || block_on(store.find(id(1))).unwrap().unwrap();
    assert_eq!(*found(), before, "until it is known, it is not shown");
    fs::create_dir(&blobs).unwrap();
    let broken = Broken {
        dir,
        store: Arc::clone(&store),
    };
    broken.goes_on();
    assert_eq!(*found(), after);
}

macro_rules! of_each_engine {
    ($($name:ident)*) => {
        mod sled {
            $(#[test] fn $name() { super::$name::<super::Sled>() })*
        }
        #[cfg(feature = "redb")]
        mod redb {
            use super::super::engine::redb::Redb;

            $(#[test] fn $name() { super::$name::<Redb>() })*
        }
    };
}

of_each_engine! {
    a_store_writes_again_by_itself_once_it_can
    a_change_that_could_not_be_looked_at_is_not_made
    a_store_that_failed_is_not_opened_again_to_be_closed
    a_change_that_was_made_although_it_failed_counts
    what_was_remembered_before_a_change_that_was_made_although_it_failed_is_not_found_after_it
    a_store_that_cannot_be_opened_again_is_unavailable_until_it_can
    a_snapshot_is_had_again_and_an_old_one_stops_nothing
    a_store_that_is_closed_meanwhile_says_so_and_loses_nothing
    only_what_was_closed_and_left_alone_is_not_looked_through
    whatever_happens_to_a_store_that_was_closed_leads_to_a_look
    who_only_looks_vouches_for_nothing
    a_stamp_of_the_files_is_good_for_one_start
}
