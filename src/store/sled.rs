//! The store on disk that is used unless another is named: by the embedded database sled.

use super::embedded::EmbeddedStore;
use super::embedded::engine::sled::Sled;

pub use super::embedded::{OpenError, Options as SledOptions};

/// Keeps everything in a directory, by sled.
pub type SledStore = EmbeddedStore<Sled>;
