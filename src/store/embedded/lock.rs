//! The lock of the data directory: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::files::{self, make_private};
use super::open::OpenError;
use crate::operator::OperatorSecret;

/// How long a lock is waited for.
const ASKING: Duration = Duration::from_millis(if cfg!(test) { 2000 } else { 100 });

/// How often it is tried meanwhile.
const STEP: Duration = Duration::from_millis(10);

/// Makes the data directory if it is missing, for its owner's eyes only, and locks it.
pub(crate) fn lock(dir: &Path) -> Result<Arc<File>, OpenError> {
    let refused = |cause| OpenError::Io {
        dir: dir.to_owned(),
        cause,
    };
    make_private(dir).map_err(refused)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(dir.join("lock")).map_err(refused)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // Who only asks whether it is locked has it locked for a moment.
            Err(TryLockError::WouldBlock) if start.elapsed() < ASKING => thread::sleep(STEP),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(cause)) => return Err(refused(cause)),
        }
    }
    // From here on, whoever finds credentials beside a lock takes them for those of the process that has it.
    OperatorSecret::remove_stale(dir);
    Ok(Arc::new(file))
}

/// Whether a process has locked the directory.
pub(super) fn is_locked(dir: &Path) -> bool {
    files::is_locked(&dir.join("lock"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    // Failed before: whoever asked at that moment whether a server runs kept one from starting.
    #[test]
    fn who_only_asks_whether_it_is_locked_keeps_nobody_from_locking() {
        let dir = tempfile::tempdir().unwrap();
        drop(lock(dir.path()).unwrap());
        let asking = File::open(dir.path().join("lock")).unwrap();
        asking.lock_shared().unwrap();
        thread::scope(|scope| {
            let locked = scope.spawn(|| lock(dir.path()).map(drop));
            thread::sleep(STEP * 2);
            drop(asking);
            locked.join().unwrap().unwrap();
        });
    }

    // H14. Failed before: until the store was open, and in a restore to its end, the command line spoke to whoever listened where
    // a killed server had.
    #[test]
    fn who_locks_the_directory_removes_the_credentials_that_a_killed_server_left_there() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("operator.json");
        fs::write(&left, "{}").unwrap();
        let _lock = lock(dir.path()).unwrap();
        assert!(!left.exists());
    }
}
