//! Copies of whole trees as they were at one moment, each in a file without a name.
//!
//! The writer makes them between two transactions, so nothing in them is torn; records are copied as they lie there, which
//! takes a fraction of a microsecond each, and are read and checked later, where that holds up nobody.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::ops::Bound;
use std::path::Path;

use super::super::{Engine as _, Frozen, Raw};
use super::Sled;
use crate::store::StoreError;
use crate::store::embedded::record::Tree;

/// Bytes that are read or written at once.
const BUFFER: usize = 64 * 1024;

/// A copy of a tree. The file system frees its file when it is dropped, or when the process ends in whatever way.
pub(super) struct TreeCopy {
    tree: Tree,
    records: u64,
    /// How many of them have not been read yet.
    left: u64,
    reader: BufReader<File>,
}

impl TreeCopy {
    /// Copies a tree to a file on the file system of `dir`. Nothing may be written to the tree meanwhile.
    pub(super) fn of(sled: &Sled, tree: Tree, dir: &Path) -> Result<Self, StoreError> {
        let file = tempfile::tempfile_in(dir).map_err(|error| failed(&error))?;
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        let mut records = 0;
        sled.range::<StoreError>(tree, (Bound::Unbounded, Bound::Unbounded), false, &mut |key, value| {
            records += 1;
            [key, value]
                .into_iter()
                .try_for_each(|part| {
                    // sled holds no part of 4 GiB or more.
                    writer.write_all(&u32::try_from(part.len()).map_err(io::Error::other)?.to_le_bytes())?;
                    writer.write_all(part)
                })
                .map_err(|error| failed(&error))?;
            Ok(true)
        })?;
        let file = writer.into_inner().map_err(|error| failed(error.error()))?;
        let mut copy = Self {
            tree,
            records,
            left: 0,
            reader: BufReader::with_capacity(BUFFER, file),
        };
        copy.rewind()?;
        Ok(copy)
    }
}

impl Frozen for TreeCopy {
    fn tree(&self) -> Tree {
        self.tree
    }

    fn records(&self) -> u64 {
        self.records
    }

    fn rewind(&mut self) -> Result<(), StoreError> {
        self.reader.rewind().map_err(|error| failed(&error))?;
        self.left = self.records;
        Ok(())
    }

    fn next_raw(&mut self) -> Result<Option<Raw>, StoreError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let mut part = || {
            let mut len = [0; 4];
            self.reader.read_exact(&mut len)?;
            let mut part = vec![0; u32::from_le_bytes(len) as usize];
            self.reader.read_exact(&mut part)?;
            Ok(part)
        };
        let read: io::Result<Raw> = part().and_then(|key| Ok(Raw { key, value: part()? }));
        read.map(Some).map_err(|error| failed(&error))
    }
}

fn failed(error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("the copy for a snapshot, in the data directory: {error}"))
}
