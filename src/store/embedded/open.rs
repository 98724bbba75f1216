//! From a directory to an open database.

mod error;

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;

pub use self::error::OpenError;
use super::database::Database;
use super::engine::{Before, Engine, EngineError, Files, Write, discard, guarded};
use super::files::{self, make_private, sync_all, sync_dir};
use super::mark::{self, Mark, Marked};
use super::recent::Recent;
use super::record::{Tree, meta, payload, seal, unseal};
use super::rest::{Rest, Stamp};
use super::slot::Slot;
use super::spare::{self, Spare};
use super::tally::Tally;

/// The version of the whole layout: trees, keys, and what is in the records.
const FORMAT: u64 = 3;

/// Settings of an [`EmbeddedStore`](super::EmbeddedStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of memory for what was read or written lately: a quarter for users and sessions, the rest for pages. sled
    /// counts a page as it lies on disk, which is half of what it takes in memory, and holds some ten thousand pages more; redb
    /// takes half of what there is for pages. Those that are not there are read from the operating system's own cache in
    /// microseconds.
    pub cache_capacity: u64,
}

impl Options {
    /// Bytes of memory for users and sessions.
    const fn for_records(self) -> u64 {
        self.cache_capacity / 4
    }

    /// Bytes of memory for pages.
    pub(super) const fn for_pages(self) -> u64 {
        self.cache_capacity - self.for_records()
    }
}

impl Default for Options {
    /// 8 MiB.
    fn default() -> Self {
        Self {
            cache_capacity: 8 * 1024 * 1024,
        }
    }
}

/// A database that was opened, and how far it has come.
pub(super) struct Opened<E> {
    pub(super) database: Database<E>,
    pub(super) standing: Standing,
    /// What is wrong with it, and would have refused one who wants to use it.
    pub(super) doubt: Option<String>,
}

/// How far a database has come.
pub(super) struct Standing {
    pub(super) tally: Tally,
    /// `None` if there is no sound one, which is no obstacle to one who only wants to look.
    pub(super) mark: Option<Mark>,
    /// Whether every record is known to be sound and there, so that the next start may trust what this one leaves.
    pub(super) whole: bool,
}

/// Who opens a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Who uses it: every record is looked at unless its files are at rest, and damage is an error.
    Use,
    /// Who wants to know what is wrong with it.
    Looking,
}

/// Opens the database in a directory that [`super::lock`] has locked. Where there never was one, it is made; where one is missing,
/// that is an error.
pub(super) fn open<E: Engine>(
    dir: &Path,
    options: Options,
    lock: Arc<File>,
    purpose: For,
) -> Result<Opened<E>, OpenError> {
    let refused = |error| OpenError::of_engine(dir, error);
    let home = dir.join(E::NAME);
    spare::tidy(&home).map_err(|error| refused(EngineError::Io(error)))?;
    if !home.exists() {
        refuse_to_replace::<E>(dir)?;
        guarded::<E, _, _>(|| create::<E>(dir, &home, options)).map_err(refused)?;
    }
    let files = files_of(dir, &home);
    let (engine, standing, doubt) = open_engine(dir, options, files, purpose)?;
    // The entry of the directory itself lies in its parent, which may be out of reach.
    let _ = dir.canonicalize().map(|dir| dir.parent().map(sync_dir));
    let database = Database {
        dir: dir.to_owned(),
        options,
        engine: Slot::with(engine),
        recent: Recent::within(options.for_records()),
        changing: RwLock::new(()),
        _lock: lock,
    };
    Ok(Opened {
        database,
        standing,
        doubt,
    })
}

/// What is known of the files in `home`. To be asked before anything writes to them.
pub(super) fn files_of(dir: &Path, home: &Path) -> Files {
    let Ok(Some((
        mut mark,
        Marked {
            tally,
            rest: Some(left),
            stamp,
            ..
        },
    ))) = Mark::open(dir)
    else {
        return Files::Unknown;
    };
    let untouched = stamp.is_some() && Stamp::of(home).is_ok_and(|found| found == stamp);
    let crossed_out = stamp.is_none() || mark.leave(&tally, left, None).is_ok();
    // Whatever keeps them from being read will be met again when they are opened.
    if untouched && crossed_out || Rest::of(home).is_ok_and(|found| found == left) {
        Files::AtRest
    } else {
        Files::Unknown
    }
}

/// An engine that was opened, how far it has come, and what is wrong with it.
type Checked<E> = (E, Standing, Option<String>);

/// Opens the engine, and makes sure that it is what it was when somebody last wrote to it. One that is not is tried once more
/// with the files as they were before: a read that failed may have passed for damage, and have done some.
fn open_engine<E: Engine>(dir: &Path, options: Options, files: Files, purpose: For) -> Result<Checked<E>, OpenError> {
    let attempt = || try_engine::<E>(dir, options, files, purpose);
    if !E::CUTS || files == Files::AtRest {
        return attempt();
    }
    match with_spare(dir, E::NAME, || attempt().and_then(|checked| undoubted(dir, checked))) {
        Err(error @ OpenError::Damaged { .. }) => {
            tracing::warn!("{error} (it is tried once more as it was)");
            with_spare(dir, E::NAME, attempt)
        }
        outcome => outcome,
    }
}

/// Leaves the files of a database as they were if it cannot be opened.
fn with_spare<R>(dir: &Path, name: &str, open: impl FnOnce() -> Result<R, OpenError>) -> Result<R, OpenError> {
    let refused = |error| OpenError::of_engine(dir, EngineError::Io(error));
    let spare = Spare::of(&dir.join(name)).map_err(refused)?;
    let outcome = open();
    match (&outcome, spare) {
        (Ok(_), Some(spare)) => spare.discard(),
        (Err(_), Some(spare)) => spare.put_back().map_err(refused)?,
        (_, None) => {}
    }
    outcome
}

fn undoubted<E: Engine>(dir: &Path, (engine, standing, doubt): Checked<E>) -> Result<Checked<E>, OpenError> {
    match doubt {
        None => Ok((engine, standing, None)),
        Some(detail) => {
            discard(engine);
            let dir = dir.to_owned();
            Err(OpenError::Damaged { dir, detail })
        }
    }
}

/// Opens the engine once.
fn try_engine<E: Engine>(dir: &Path, options: Options, files: Files, purpose: For) -> Result<Checked<E>, OpenError> {
    let home = dir.join(E::NAME);
    // Who looks wants to hear what the engine has to say too.
    let trusted = if purpose == For::Use { files } else { Files::Unknown };
    let engine =
        guarded::<E, _, _>(|| E::open(&home, options, trusted)).map_err(|error| OpenError::of_engine(dir, error))?;
    match check(&engine, dir, files, purpose) {
        Ok((standing, doubt)) => Ok((engine, standing, doubt)),
        Err(error) => {
            discard(engine);
            Err(error)
        }
    }
}

fn check<E: Engine>(
    engine: &E,
    dir: &Path,
    files: Files,
    purpose: For,
) -> Result<(Standing, Option<String>), OpenError> {
    check_format(engine, dir)?;
    let looks = purpose == For::Use && files == Files::Unknown;
    let checked = match hold_against_mark(engine, dir, looks) {
        Ok((tally, mark)) => {
            let standing = Standing {
                tally,
                mark: Some(mark),
                whole: looks || files == Files::AtRest,
            };
            (standing, None)
        }
        Err(OpenError::Damaged { detail, .. }) if purpose == For::Looking => {
            let standing = Standing {
                tally: kept_tally(engine, dir).unwrap_or_default(),
                mark: None,
                whole: false,
            };
            (standing, Some(detail))
        }
        Err(error) => return Err(error),
    };
    sync_dir(dir).map_err(|error| OpenError::of_engine(dir, error.into()))?;
    Ok(checked)
}

/// Opens a database again after something could not be written: the engine that failed is let go of, and what is on disk is
/// held to all that it is held to at a start. Until it is certain that there is room, the old one is kept, for those who read.
pub(super) fn again<E: Engine>(database: &Database<E>) -> Result<Standing, OpenError> {
    let Database { dir, options, .. } = database;
    let refused = |error| OpenError::of_engine(dir, error);
    files::try_room(dir).map_err(|error| refused(EngineError::Io(error)))?;
    if let Some(failed) = database.engine.take().map_err(refused)? {
        discard(failed);
    }
    let home = dir.join(E::NAME);
    if !home.exists() {
        return Err(OpenError::Missing {
            dir: dir.clone(),
            wanted: E::NAME,
            beside: dir.join(mark::FILE),
        });
    }
    let_go::<E>(&home)
        .and_then(|()| files::write_again(&home))
        .map_err(|error| refused(EngineError::Io(error)))?;
    let (engine, standing, _) = open_engine(dir, *options, Files::Unknown, For::Use)?;
    database.recent.forget();
    database.engine.put(engine);
    Ok(standing)
}

/// That nothing of the engine writes to its files any more.
fn let_go<E: Engine>(home: &Path) -> io::Result<()> {
    if files::is_locked(&home.join(E::LOCKED)) {
        Err(io::Error::other("the database has not let go of its files yet"))
    } else {
        Ok(())
    }
}

/// Says for the next start what a database that has been closed is left with.
pub(super) fn leave<E: Engine>(dir: &Path, tally: &Tally, mark: &mut Mark) -> io::Result<()> {
    let home = dir.join(E::NAME);
    let_go::<E>(&home)?;
    sync_all(&home)?;
    mark.leave(tally, Rest::of(&home)?, Stamp::settled(&home)?)
}

/// An empty store in place of one that is missing would be the silent loss of everything.
fn refuse_to_replace<E: Engine>(dir: &Path) -> Result<(), OpenError> {
    if let Some(other) = ["sled", "redb"]
        .into_iter()
        .find(|name| *name != E::NAME && dir.join(name).exists())
    {
        return Err(OpenError::Other {
            dir: dir.to_owned(),
            wanted: E::NAME,
            found: other,
        });
    }
    if let Some(beside) = [mark::FILE, "master.key"]
        .map(|name| dir.join(name))
        .into_iter()
        .find(|path| path.exists())
    {
        return Err(OpenError::Missing {
            dir: dir.to_owned(),
            wanted: E::NAME,
            beside,
        });
    }
    Ok(())
}

/// Makes an empty database aside, and puts it in its place when it is whole and on disk: so what is there can be opened,
/// whenever the first start was interrupted.
fn create<E: Engine>(dir: &Path, home: &Path, options: Options) -> Result<(), EngineError> {
    let draft = dir.join(format!("{}.new", E::NAME));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    make_private(&draft)?;
    let engine = E::create(&draft, options)?;
    let mut tally = Tally::default();
    let mut writes = Vec::new();
    for (key, number) in [
        (meta::FORMAT, FORMAT),
        (meta::ENABLED_ADMINS, 0),
        (meta::EVENTS, 0),
        (meta::GUESSES, 0),
    ] {
        let record = seal(Tree::Meta, key, &number);
        tally.add(Tree::Meta, key, &record);
        writes.push(Write {
            tree: Tree::Meta,
            key: key.to_vec(),
            before: Before::Known(None),
            record: Some(record),
        });
    }
    writes.push(tally.write());
    engine.commit(&writes)?;
    engine.close()?;
    sync_all(&draft)?;
    fs::rename(&draft, home)?;
    Ok(sync_dir(dir)?)
}

/// Looks at every record if it is to, and makes sure that none is missing; and in any case that the store has not gone back
/// behind what was acknowledged.
fn hold_against_mark<E: Engine>(engine: &E, dir: &Path, looks: bool) -> Result<(Tally, Mark), OpenError> {
    let damaged = |detail: String| OpenError::Damaged {
        dir: dir.to_owned(),
        detail,
    };
    let kept = kept_tally(engine, dir)?;
    if looks {
        let counted = count(engine).map_err(|error| OpenError::of_engine(dir, error))?;
        if let Some(disagreement) = kept.disagreement(&counted) {
            return Err(damaged(disagreement));
        }
    }
    let marked = match Mark::open(dir) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged(format!("its mark {}: {error}", dir.join(mark::FILE).display())));
        }
        Err(error) => return Err(OpenError::of_engine(dir, error.into())),
    };
    let Some((mut mark, Marked { tally: marked, .. })) = marked else {
        // The store is made before its mark; nothing is acknowledged before both are there.
        if kept.transactions > 0 {
            let detail = format!("its mark {} is missing", dir.join(mark::FILE).display());
            return Err(damaged(detail));
        }
        let mark = Mark::create(dir, &kept).map_err(|error| OpenError::of_engine(dir, EngineError::Io(error)))?;
        return Ok((kept, mark));
    };
    if kept.transactions < marked.transactions {
        return Err(damaged(format!(
            "it has gone back to transaction {}, and {} were acknowledged",
            kept.transactions, marked.transactions
        )));
    }
    if kept.transactions == marked.transactions && !kept.same_records(&marked) {
        return Err(damaged("it is not the store that its mark is of".to_owned()));
    }
    if kept.transactions > marked.transactions {
        mark.set(&kept)
            .map_err(|error| OpenError::of_engine(dir, EngineError::Io(error)))?;
    }
    Ok((kept, mark))
}

fn kept_tally<E: Engine>(engine: &E, dir: &Path) -> Result<Tally, OpenError> {
    let damaged = |detail: String| OpenError::Damaged {
        dir: dir.to_owned(),
        detail,
    };
    let record = guarded::<E, _, _>(|| engine.get(Tree::Meta, meta::TALLY))
        .map_err(|error| OpenError::of_engine(dir, error))?
        .ok_or_else(|| damaged(format!("{} is missing", Tree::Meta.record_name(meta::TALLY))))?;
    unseal(Tree::Meta, meta::TALLY, record.as_ref()).map_err(|error| damaged(error.to_string()))
}

/// Counts the records, each of which must be sound, two trees at a time.
fn count<E: Engine>(engine: &E) -> Result<Tally, EngineError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Tally, EngineError> {
        let mut tally = Tally::default();
        while let Some(&tree) = Tree::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            guarded::<E, _, EngineError>(|| {
                engine.range(tree, (Bound::Unbounded, Bound::Unbounded), false, &mut |key, record| {
                    payload(tree, key, record).map_err(|flaw| EngineError::Damaged(flaw.to_string()))?;
                    tally.add(tree, key, record);
                    Ok(true)
                })
            })?;
        }
        Ok(tally)
    };
    thread::scope(|scope| {
        // Where no thread can be had, one does it all.
        let helper = thread::Builder::new().spawn_scoped(scope, work);
        let mut tally = work()?;
        if let Ok(helper) = helper {
            let panicked = |_| EngineError::Damaged("a thread panicked".to_owned());
            tally.add_all(&helper.join().map_err(panicked)??);
        }
        Ok(tally)
    })
}

/// Refuses another format.
fn check_format<E: Engine>(engine: &E, dir: &Path) -> Result<(), OpenError> {
    let damaged = |detail: String| OpenError::Damaged {
        dir: dir.to_owned(),
        detail,
    };
    let record = guarded::<E, _, _>(|| engine.get(Tree::Meta, meta::FORMAT))
        .map_err(|error| OpenError::of_engine(dir, error))?
        .ok_or_else(|| damaged("it says no format version".to_owned()))?;
    match unseal::<u64>(Tree::Meta, meta::FORMAT, record.as_ref()) {
        Ok(FORMAT) => Ok(()),
        Ok(found) => Err(OpenError::Format {
            dir: dir.to_owned(),
            found,
        }),
        Err(error) => Err(damaged(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lock::lock;
    use super::*;
    use crate::store::embedded::engine::sled::Sled;

    fn open_in(dir: &Path) -> Result<Opened<Sled>, OpenError> {
        open(dir, Options::default(), lock(dir)?, For::Use)
    }

    /// Opens, puts `record` where the format version is, and opens again.
    fn reopen_with_format(record: Option<Vec<u8>>) -> OpenError {
        let dir = tempfile::tempdir().unwrap();
        let format = Write {
            tree: Tree::Meta,
            key: meta::FORMAT.to_vec(),
            before: Before::Unknown,
            record,
        };
        open_in(dir.path()).unwrap().database.commit(&[format]).unwrap();
        open_in(dir.path()).err().unwrap()
    }

    #[test]
    fn another_format_is_refused() {
        let other = seal(Tree::Meta, meta::FORMAT, &4_u64);
        let error = reopen_with_format(Some(other));
        assert!(matches!(error, OpenError::Format { found: 4, .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("has format 4, and this shild reads format 3 only"),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_or_missing_format_is_damage() {
        for record in [Some(b"1".to_vec()), None] {
            let error = reopen_with_format(record);
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        }
    }
}
