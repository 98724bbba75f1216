//! Moving accounts out and in: one JSON object a line (NDJSON, UTF-8), each with its `kind` first.
//!
//! The first line is a header and the last one says how many of each kind there were; a text that does not end with
//! it is not whole. Between them stand users, then sessions, then the audit log, each in order of ids, so that the same
//! records always make the same bytes, whatever store they are in. The master key and the signing keys are never among them.

mod export;
pub mod import;
pub mod line;

pub use self::export::Export;
pub use self::line::{Line, schema};
