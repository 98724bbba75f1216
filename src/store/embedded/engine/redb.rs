//! redb. Nothing else in this crate knows it.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use ::redb::{
    AccessGuard, Builder, CommitError, Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _,
    ReadableTableMetadata as _, StorageError, TableDefinition, TableError, TransactionError,
};

use super::{Engine, EngineError, Files, Frozen, Range, Raw, Visit, Write};
use crate::store::StoreError;
use crate::store::embedded::Options;
use crate::store::embedded::record::Tree;

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The name of the one file.
const FILE: &str = "db";

/// The embedded database redb.
pub struct Redb {
    /// What readers see: everything as of the last commit. Opened once for each commit, not once for each read.
    view: RwLock<Arc<View>>,
    db: Database,
}

/// All trees as of one commit, in the order of [`Tree::ALL`].
struct View {
    tables: Vec<Table>,
}

impl Engine for Redb {
    const NAME: &'static str = "redb";

    const LOCKED: &'static str = FILE;

    const CUTS: bool = false;

    type Value = Record;

    fn create(home: &Path, options: Options) -> Result<Self, EngineError> {
        let mut file = OpenOptions::new();
        file.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        file.open(home.join(FILE))?;
        let db = builder(options).create(home.join(FILE))?;
        let tx = db.begin_write()?;
        for tree in Tree::ALL {
            tx.open_table(definition(tree))?;
        }
        tx.commit()?;
        Self::over(db)
    }

    fn open(home: &Path, options: Options, files: Files) -> Result<Self, EngineError> {
        // Every page's checksum: redb itself trusts a file that says that it was closed.
        let db = builder(options)
            .set_check_integrity_on_open(files == Files::Unknown)
            .open(home.join(FILE))?;
        Self::over(db)
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Self::Value>, EngineError> {
        let view = self.view();
        let found = view.tables[tree.index()].get(key)?;
        Ok(found.map(|page| Record { page, _view: view }))
    }

    fn range<F: From<EngineError>>(
        &self,
        tree: Tree,
        range: Range<'_>,
        backwards: bool,
        visit: Visit<'_, F>,
    ) -> Result<(), F> {
        let view = self.view();
        let mut records = view.tables[tree.index()]
            .range::<&[u8]>(range)
            .map_err(EngineError::from)?;
        while let Some(found) = if backwards { records.next_back() } else { records.next() } {
            let (key, record) = found.map_err(EngineError::from)?;
            if !visit(key.value(), record.value())? {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, changes: &[Write]) -> Result<(), EngineError> {
        // Durable when committed: that is the default.
        let tx = self.db.begin_write()?;
        for of_one_tree in changes.chunk_by(|one, next| one.tree == next.tree) {
            let mut table = tx.open_table(definition(of_one_tree[0].tree))?;
            for Write { key, record, .. } in of_one_tree {
                match record {
                    Some(record) => table.insert(&key[..], &record[..])?,
                    None => table.remove(&key[..])?,
                };
            }
        }
        tx.commit()?;
        let view = View::of(&self.db)?;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        Ok(())
    }

    fn freeze(&self, trees: &[Tree], _: &Path) -> Result<Vec<Box<dyn Frozen>>, StoreError> {
        trees
            .iter()
            .map(|tree| Ok(Box::new(FrozenTable::of(self.view(), *tree)?) as Box<dyn Frozen>))
            .collect()
    }

    fn close(self) -> Result<(), EngineError> {
        let Self { view, db } = self;
        drop(view);
        Ok(db.close()?)
    }
}

impl Redb {
    fn over(db: Database) -> Result<Self, EngineError> {
        Ok(Self {
            view: RwLock::new(Arc::new(View::of(&db)?)),
            db,
        })
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl View {
    fn of(db: &Database) -> Result<Self, EngineError> {
        let tx = db.begin_read()?;
        let tables = Tree::ALL
            .into_iter()
            .map(|tree| tx.open_table(definition(tree)))
            .collect::<Result<_, _>>()?;
        Ok(Self { tables })
    }
}

fn builder(options: Options) -> Builder {
    let mut builder = Database::builder();
    // Pages lie in memory as they do in the file, which the operating system has in memory as well: with all that there is for them
    // it is no faster, with half of it it grows less.
    builder.set_cache_size(usize::try_from(options.for_pages() / 2).unwrap_or(usize::MAX));
    builder
}

const fn definition(tree: Tree) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(tree.name())
}

/// A record, where redb has it in memory. What it was read from is let go of after it: until then redb frees none of its pages,
/// and redb takes it for a fault of its own to find one in use that it frees.
pub struct Record {
    page: AccessGuard<'static, &'static [u8]>,
    _view: Arc<View>,
}

impl AsRef<[u8]> for Record {
    fn as_ref(&self) -> &[u8] {
        self.page.value()
    }
}

/// A table as of one commit: redb keeps what it is made of until it is dropped.
struct FrozenTable {
    tree: Tree,
    rest: ::redb::Range<'static, &'static [u8], &'static [u8]>,
    records: u64,
    /// Dropped after what was read of it.
    view: Arc<View>,
}

impl FrozenTable {
    fn of(view: Arc<View>, tree: Tree) -> Result<Self, EngineError> {
        let table = &view.tables[tree.index()];
        Ok(Self {
            tree,
            rest: table.range::<&[u8]>(..)?,
            records: table.len()?,
            view,
        })
    }
}

impl Frozen for FrozenTable {
    fn tree(&self) -> Tree {
        self.tree
    }

    fn records(&self) -> u64 {
        self.records
    }

    fn rewind(&mut self) -> Result<(), StoreError> {
        let table = &self.view.tables[self.tree.index()];
        self.rest = table.range::<&[u8]>(..).map_err(EngineError::from)?;
        Ok(())
    }

    fn next_raw(&mut self) -> Result<Option<Raw>, StoreError> {
        let Some(found) = self.rest.next() else {
            return Ok(None);
        };
        let (key, value) = found.map_err(EngineError::from)?;
        Ok(Some(Raw {
            key: key.value().to_vec(),
            value: value.value().to_vec(),
        }))
    }
}

impl From<StorageError> for EngineError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io(error) => Self::of_io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// redb has an error type for each of its steps, most of which can only be about storage here.
macro_rules! storage_or_damaged {
    ($($error:ident),*) => {$(
        impl From<$error> for EngineError {
            fn from(error: $error) -> Self {
                match error {
                    $error::Storage(error) => error.into(),
                    error => Self::Damaged(error.to_string()),
                }
            }
        }
    )*};
}

storage_or_damaged!(DatabaseError, TransactionError, TableError, CommitError);

#[cfg(test)]
mod tests {
    use super::super::Before;
    use super::*;

    // Failed before: redb stopped writing when it freed the page of a record that a reader still had.
    #[test]
    fn a_record_that_somebody_still_reads_does_not_stop_the_writer() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Redb::create(dir.path(), Options::default()).unwrap();
        let put = |value: &[u8]| {
            let write = Write {
                tree: Tree::Users,
                key: b"key".to_vec(),
                before: Before::Unknown,
                record: Some(value.to_vec()),
            };
            engine.commit(&[write])
        };
        put(b"first").unwrap();
        let held = engine.get(Tree::Users, b"key").unwrap().unwrap();
        for _ in 0..4 {
            put(b"later").unwrap();
        }
        assert_eq!(held.as_ref(), b"first");
    }
}
