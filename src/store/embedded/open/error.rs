//! Why a store was not opened, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::FORMAT;
use crate::store::embedded::engine::EngineError;

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it, or this one already.
    #[error(
        "the data directory {dir} is in use by another shild: stop that one, or choose another directory",
        dir = dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The operating system refused something.
    #[error(
        "the data directory {dir} cannot be used: {cause}: check that it exists or can be made, that it can be written, and that the disk is not full",
        dir = dir.display()
    )]
    Io {
        /// The data directory.
        dir: PathBuf,
        /// What was refused.
        cause: io::Error,
    },
    /// The operating system refused it a thread.
    #[error(
        "the store in {dir} was not opened: the system allows this process no more threads ({cause}): allow it more of them, and more memory",
        dir = dir.display()
    )]
    Threads {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It was written by another version of shild.
    #[error(
        "the data directory {dir} has format {found}, and this shild reads format {FORMAT} only: use the shild that wrote it",
        dir = dir.display()
    )]
    Format {
        /// The data directory.
        dir: PathBuf,
        /// The format found.
        found: u64,
    },
    /// The store is not where it was.
    #[error(
        "the store {wanted} in {dir} is missing, although {beside} beside it is there: put it back, or `shild restore` the newest snapshot, or bring back a backup; \
         only if nothing in it is wanted any more, remove {beside} to begin anew",
        dir = dir.display(), beside = beside.display()
    )]
    Missing {
        /// The data directory.
        dir: PathBuf,
        /// What was to be opened.
        wanted: &'static str,
        /// What shows that there was one.
        beside: PathBuf,
    },
    /// There is a store of another kind.
    #[error(
        "{dir} holds a store of the kind {found}: set store = \"{found}\"; or move, by `shild export` with that, \
         and `shild import` with store = \"{wanted}\" into another data directory",
        dir = dir.display()
    )]
    Other {
        /// The data directory.
        dir: PathBuf,
        /// What was to be opened.
        wanted: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// What is in it is damaged. Nothing was changed by shild.
    #[error(
        "the store in {dir} is damaged: {detail}: `shild restore` brings the newest snapshot back and keeps what is there; or bring back a backup",
        dir = dir.display()
    )]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What was found.
        detail: String,
    },
}

impl OpenError {
    pub(in super::super) fn of_engine(dir: &Path, error: EngineError) -> Self {
        let dir = dir.to_owned();
        match error {
            // Nothing that is done with files is refused so.
            EngineError::Io(cause) if cause.kind() == io::ErrorKind::WouldBlock => Self::Threads { dir, cause },
            EngineError::Io(cause) => Self::Io { dir, cause },
            EngineError::Damaged(detail) => Self::Damaged { dir, detail },
        }
    }
}
