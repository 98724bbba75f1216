//! Everything in memory: for tests and for trying things out.

/// Keeps everything in memory, for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryStore {}
