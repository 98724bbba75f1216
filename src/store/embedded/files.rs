//! Directories and files that are to outlive a power cut.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
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

/// Whether there is room in `dir` to begin with, and it can be used: bytes are put on disk, in a file without a name.
pub(crate) fn try_room(dir: &Path) -> io::Result<()> {
    take_room(dir)?.sync_all()
}

/// Takes room in `dir`, until what this gives is dropped.
pub(crate) fn take_room(dir: &Path) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(dir)?;
    let piece = [0xA5; 4096];
    for _ in 0..256 {
        file.write_all(&piece)?;
    }
    Ok(file)
}

/// Whether somebody has the file locked.
pub(crate) fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Writes every file below `dir` once more as it is, and puts it on disk: after a sync that failed, the operating system may
/// take for written what is in its memory only. Nobody else may be writing there.
pub(crate) fn write_again(dir: &Path) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            write_again(&path)?;
            continue;
        }
        let mut file = File::options().read(true).write(true).open(path)?;
        let mut at = 0;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&buffer[..read])?;
            at += read as u64;
        }
        file.sync_all()?;
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_again_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("blobs")).unwrap();
        let bytes: Vec<u8> = (0..700_000_u32).map(|at| (at % 251) as u8).collect();
        for name in ["db", "blobs/7"] {
            fs::write(dir.path().join(name), &bytes).unwrap();
        }
        write_again(dir.path()).unwrap();
        for name in ["db", "blobs/7"] {
            assert!(fs::read(dir.path().join(name)).unwrap() == bytes, "{name}");
        }
    }
}
