//! The embedded database sled. Nothing else in this crate knows it.

/// Keeps everything in a directory, by sled.
#[derive(Debug)]
pub struct SledStore {}
