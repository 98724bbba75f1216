//! What a database has to do to be a store's: keep bytes in trees, change them whole or not at all, and put them on disk.
//!
//! Everything else, from what a record looks like to what may follow what, is the same for all of them and lies above.

#[cfg(feature = "redb")]
pub(in crate::store) mod redb;
pub(in crate::store) mod sled;

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::ops::Bound;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use super::Options;
use super::record::Tree;
use crate::store::StoreError;

/// Keys from one bound to another.
pub(in crate::store) type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// What is called with each key and record of a range until it says `false`.
pub(in crate::store) type Visit<'a, F> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<bool, F>;

/// A database that keeps the trees of [`Tree`], each in order of its keys.
///
/// One thread writes; any number read meanwhile. It may panic on damaged files: whoever calls it catches that.
pub trait Engine: Send + Sync + Sized + 'static {
    /// Its name: of its directory in the data directory, and where people read it.
    const NAME: &'static str;

    /// The file in its directory that it has locked as long as anything of it writes there.
    const LOCKED: &'static str;

    /// Whether opening it may cut off what could not be read.
    const CUTS: bool;

    /// A record as it hands it out.
    type Value: AsRef<[u8]>;

    /// Makes an empty database in the directory `home`, which is empty too.
    fn create(home: &Path, options: Options) -> Result<Self, EngineError>;

    /// Opens the database that is in the directory `home`.
    fn open(home: &Path, options: Options, files: Files) -> Result<Self, EngineError>;

    /// The record under `key`.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Self::Value>, EngineError>;

    /// Visits each record of `range`, from the first on, or from the last on if `backwards`.
    fn range<F: From<EngineError>>(
        &self,
        tree: Tree,
        range: Range<'_>,
        backwards: bool,
        visit: Visit<'_, F>,
    ) -> Result<(), F>;

    /// Makes these changes, all of them or none, and puts them on disk. After an error they may have been made or not, and
    /// nothing may be written until it has been opened again.
    fn commit(&self, changes: &[Write]) -> Result<(), EngineError>;

    /// These trees as they are now. Called between two commits.
    fn freeze(&self, trees: &[Tree], dir: &Path) -> Result<Vec<Box<dyn Frozen>>, StoreError>;

    /// Puts on disk what is not yet, and lets go of the files, of these also if it fails. What is frozen may become unreadable.
    fn close(self) -> Result<(), EngineError>;
}

/// What is known of the files of a database that is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// They are byte for byte as the database left them when it was closed.
    AtRest,
    /// They may have been left in the midst of a write, or be damaged.
    Unknown,
}

/// One record put in place of whatever was there, or removed.
#[derive(Debug)]
pub struct Write {
    pub(super) tree: Tree,
    pub(super) key: Vec<u8>,
    /// What was there.
    pub(super) before: Before,
    /// `None` removes.
    pub(super) record: Option<Vec<u8>>,
}

/// The record that a [`Write`] takes the place of.
#[derive(Debug)]
pub(super) enum Before {
    /// It is, or `None` if there is none.
    Known(Option<Vec<u8>>),
    /// Nobody has looked.
    Unknown,
}

/// A tree as it was at one moment.
pub trait Frozen: Send {
    /// Which tree it is.
    fn tree(&self) -> Tree;

    /// How many records it has.
    fn records(&self) -> u64;

    /// Goes back to the first record.
    fn rewind(&mut self) -> Result<(), StoreError>;

    /// The next record as it lies there, in order of keys.
    fn next_raw(&mut self) -> Result<Option<Raw>, StoreError>;
}

/// A record as it lies in its tree.
pub struct Raw {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// What a database could not do.
#[derive(Debug)]
pub enum EngineError {
    /// The operating system refused it.
    Io(io::Error),
    /// The files are not as they were left, or the database fails for a reason of its own.
    Damaged(String),
}

impl EngineError {
    /// An error of the operating system; those that come from reading nonsense are damage.
    pub(super) fn of_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged(detail) => f.write_str(detail),
        }
    }
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        Self::of_io(error)
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Calls a database; a panic in it, which damage can cause, becomes an error. The one place where that is done.
pub(super) fn guarded<E: Engine, R, F: From<EngineError>>(call: impl FnOnce() -> Result<R, F>) -> Result<R, F> {
    static HOOK: Once = Once::new();
    thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });

    // What the panic said goes into the error, so the hook has nothing to add.
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !INSIDE.get() {
                hook(info);
            }
        }));
    });
    let outside = INSIDE.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outside);
    outcome.unwrap_or_else(|panic| {
        let detail = format!("{} panicked: {}", E::NAME, panic_text(&*panic));
        Err(EngineError::Damaged(detail).into())
    })
}

/// Lets go of a database that has failed, or that is of no use.
pub(super) fn discard<E: Engine>(engine: E) {
    // Whatever it has to say, it says of what nobody counts on.
    let _ = guarded::<E, _, EngineError>(|| engine.close());
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
