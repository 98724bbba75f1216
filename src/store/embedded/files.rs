//! Directories and files that are to outlive a power cut.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes a directory, with those above it, that only its owner can look into.
pub(crate) fn make_private(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Puts every file below `dir`, and every directory, on disk.
pub(crate) fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

/// Puts the names in `dir` on disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // Only Unix lets a directory be opened and synced; elsewhere the file system does it.
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

/// Whether there is room in `dir` to begin with: bytes are put on disk, in a file without a name.
pub(crate) fn try_room(dir: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(dir)?;
    let piece = [0xA5; 64 * 1024];
    for _ in 0..16 {
        file.write_all(&piece)?;
    }
    file.sync_all()
}
