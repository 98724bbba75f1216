//! The second store on disk: by the embedded database redb.

use super::embedded::EmbeddedStore;
use super::embedded::engine::redb::Redb;

pub use super::embedded::{OpenError, Options as RedbOptions};

/// Keeps everything in a directory, by redb.
pub type RedbStore = EmbeddedStore<Redb>;
