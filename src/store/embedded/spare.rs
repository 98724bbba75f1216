//! A copy of a database's files that is kept while it is being opened.
//!
//! sled takes what it cannot read for the end of its log, and overwrites what lies behind: a read that fails once, at the wrong
//! moment, would cost changes that were acknowledged. With a copy, a database that could not be opened is as it was before.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::files::{make_private, sync_all, sync_dir, take_room};

/// The copy of the files of one database.
pub(super) struct Spare {
    /// Where the files are.
    home: PathBuf,
    copy: PathBuf,
    /// Where they are moved when the copy takes their place.
    failed: PathBuf,
}

impl Spare {
    fn beside(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            copy: home.with_extension("spare"),
            failed: home.with_extension("failed"),
        }
    }

    /// Copies the files in `home`; `None` where there is no room for that. Either way each of them could be read to its end.
    ///
    /// # Errors
    /// One of them cannot be read. Nothing has been changed.
    pub(super) fn of(home: &Path) -> io::Result<Option<Self>> {
        let spare = Self::beside(home);
        let there = copy_all(home, Some(&spare.copy)).and_then(|()| take_room(home));
        match there {
            Ok(_) => Ok(Some(spare)),
            Err(error) => {
                spare.discard();
                let full = matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
                );
                if full {
                    copy_all(home, None).map(|()| None)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// Puts the copy in the place of the files, of which nobody may have any open.
    pub(super) fn put_back(self) -> io::Result<()> {
        sync_all(&self.copy)?;
        remove(&self.failed)?;
        // That the first of these is there says of the second that it is whole.
        fs::rename(&self.home, &self.failed)?;
        fs::rename(&self.copy, &self.home)?;
        self.home.parent().map_or(Ok(()), sync_dir)?;
        remove(&self.failed)
    }

    /// It is not needed.
    pub(super) fn discard(self) {
        // The next start removes what is left of it.
        let _ = remove(&self.copy);
    }
}

/// Ends what was broken off, if anything was, before the database in `home` is looked for.
pub(super) fn tidy(home: &Path) -> io::Result<()> {
    let Spare { copy, failed, .. } = Spare::beside(home);
    if !home.exists() && failed.exists() && copy.exists() {
        fs::rename(&copy, home)?;
        home.parent().map_or(Ok(()), sync_dir)?;
    }
    if home.exists() {
        remove(&copy)?;
        remove(&failed)?;
    }
    Ok(())
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads every file below `from`, and makes the same in `to`.
fn copy_all(from: &Path, to: Option<&Path>) -> io::Result<()> {
    if let Some(to) = to {
        make_private(to)?;
    }
    let mut buffer = vec![0; 256 << 10];
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.map(|to| to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), to.as_deref())?;
            continue;
        }
        let mut file = File::open(entry.path())?;
        let mut copy = to.map(File::create).transpose()?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            if let Some(copy) = &mut copy {
                copy.write_all(&buffer[..read])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of two files in a directory of its own.
    fn home() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("sled");
        fs::create_dir_all(home.join("blobs")).unwrap();
        fs::write(home.join("db"), vec![3; 300 << 10]).unwrap();
        fs::write(home.join("blobs/7"), b"seven").unwrap();
        (dir, home)
    }

    fn is_as_it_was(home: &Path) {
        assert!(fs::read(home.join("db")).unwrap() == vec![3; 300 << 10]);
        assert_eq!(fs::read(home.join("blobs/7")).unwrap(), b"seven");
        let mut names: Vec<_> = fs::read_dir(home.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["sled"]);
    }

    #[test]
    fn whatever_happened_to_the_files_is_undone() {
        let (_dir, home) = home();
        let spare = Spare::of(&home).unwrap().unwrap();
        fs::write(home.join("db"), b"cut").unwrap();
        fs::remove_file(home.join("blobs/7")).unwrap();
        fs::write(home.join("more"), b"more").unwrap();
        spare.put_back().unwrap();
        is_as_it_was(&home);
        Spare::of(&home).unwrap().unwrap().discard();
        is_as_it_was(&home);
    }

    #[test]
    fn what_was_broken_off_is_ended() {
        // While it was being copied, or before the copy was put back.
        let (_dir, there) = home();
        let spare = Spare::of(&there).unwrap().unwrap();
        fs::remove_file(spare.copy.join("db")).unwrap();
        tidy(&there).unwrap();
        is_as_it_was(&there);

        // Between the two renames.
        let spare = Spare::of(&there).unwrap().unwrap();
        fs::rename(&there, &spare.failed).unwrap();
        tidy(&there).unwrap();
        is_as_it_was(&there);

        // After both.
        fs::create_dir(&spare.failed).unwrap();
        tidy(&there).unwrap();
        is_as_it_was(&there);

        // A copy alone, of which nobody knows whether it is whole, takes nobody's place.
        let spare = Spare::of(&there).unwrap().unwrap();
        fs::remove_dir_all(&there).unwrap();
        tidy(&there).unwrap();
        assert!(!there.exists());
        assert!(spare.copy.exists());
    }
}
