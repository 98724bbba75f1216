//! What the files of a database are while nobody has it open: so one that was closed as it should be, and that nothing has
//! happened to, need not be looked through at the next start.
//!
//! A [`Stamp`] tells without reading them that nobody has written to them since; what they hold, if somebody has, [`Rest`].

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::token::mac::tag128;

/// The longest step of the clock that Linux takes the time of a change from.
const TICK: Duration = Duration::from_millis(12);

/// Files are read in pieces of this size, each by whichever thread is free. It has part in the checksum.
const PIECE: u64 = 4 << 20;

/// Bytes that are read at once: they stay in the processor's own memory.
const BUFFER: usize = 64 << 10;

/// More threads than that are not faster than the memory.
const MAX_THREADS: usize = 4;

/// The files of a directory, in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rest {
    files: u64,
    bytes: u64,
    /// CRC-32 of all names, lengths and CRC-32s of contents: it tells for certain if one piece has changed within 32 bits, and
    /// misses one in four thousand millions of all other damages.
    sum: u32,
}

impl Rest {
    /// Reads all that is in `home`.
    pub(super) fn of(home: &Path) -> io::Result<Self> {
        let files: Vec<_> = all_files(home)?
            .into_iter()
            .map(|(path, metadata)| (path, metadata.len()))
            .collect();
        let pieces: Vec<(&Path, u64)> = files
            .iter()
            .flat_map(|(path, len)| (0..len.div_ceil(PIECE)).map(|piece| (&**path, piece * PIECE)))
            .collect();
        let mut sums = checksums(&pieces)?.into_iter();
        let mut sum = crc32fast::Hasher::new();
        for (path, len) in &files {
            let name = name_in(home, path);
            sum.update(&(name.len() as u64).to_le_bytes());
            sum.update(name);
            sum.update(&len.to_le_bytes());
            for _ in 0..len.div_ceil(PIECE) {
                sum.update(&sums.next().unwrap_or_default().to_le_bytes());
            }
        }
        Ok(Self {
            files: files.len() as u64,
            bytes: files.iter().map(|(_, len)| len).sum(),
            sum: sum.finalize(),
        })
    }
}

/// Which files there are, and when the system last saw somebody change one. Nobody can set that time, so whoever writes to one, or
/// puts another in its place, changes the stamp. It says nothing of what a disk does by itself.
///
/// It is good for one start, and to be crossed out before anything writes to the files: what is written just before the power fails
/// may be on the disk, and the time of it not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp(u128);

impl Stamp {
    /// Of the files in `home`. `None` where the system knows no such time, or only whole seconds.
    #[cfg(unix)]
    pub(super) fn of(home: &Path) -> io::Result<Option<Self>> {
        use std::os::unix::fs::MetadataExt as _;

        let files = all_files(home)?;
        if files.iter().all(|(_, metadata)| metadata.ctime_nsec() == 0) {
            return Ok(None);
        }
        let mut all = Vec::new();
        for (path, metadata) in &files {
            let name = name_in(home, path);
            let numbers = [name.len() as u64, metadata.len(), metadata.ino()];
            all.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
            all.extend(
                [metadata.ctime(), metadata.ctime_nsec()]
                    .into_iter()
                    .flat_map(i64::to_le_bytes),
            );
            all.extend(name);
        }
        // Whoever can choose what is in it can write to the mark, too: it needs no secret key.
        Ok(Some(Self(tag128(&[0; 16], &all))))
    }

    /// Of the files in `home`.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Of files that were written to a moment ago, once the next write would have another time.
    pub(super) fn settled(home: &Path) -> io::Result<Option<Self>> {
        thread::sleep(TICK);
        Self::of(home)
    }
}

/// All files below a directory, in order.
fn all_files(home: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    fn collect(dir: &Path, files: &mut Vec<(PathBuf, Metadata)>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                collect(&entry.path(), files)?;
            } else {
                files.push((entry.path(), entry.metadata()?));
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    collect(home, &mut files)?;
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

fn name_in<'a>(home: &Path, path: &'a Path) -> &'a [u8] {
    path.strip_prefix(home).unwrap_or(path).as_os_str().as_encoded_bytes()
}

/// The checksums of these pieces, in their order.
fn checksums(pieces: &[(&Path, u64)]) -> io::Result<Vec<u32>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MAX_THREADS).min(pieces.len());
    let next = AtomicUsize::new(0);
    let mut sums = vec![0; pieces.len()];
    thread::scope(|scope| {
        let work = || -> io::Result<Vec<(usize, u32)>> {
            let mut done = Vec::new();
            let mut buffer = vec![0; BUFFER];
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((path, from)) = pieces.get(at) else {
                    return Ok(done);
                };
                done.push((at, checksum(path, *from, &mut buffer)?));
            }
        };
        // Where no more threads can be had, fewer do it all.
        let helpers: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work()?;
        for helper in helpers {
            done.extend(helper.join().map_err(|_| io::Error::other("a thread panicked"))??);
        }
        for (at, sum) in done {
            sums[at] = sum;
        }
        Ok(sums)
    })
}

fn checksum(path: &Path, from: u64, buffer: &mut [u8]) -> io::Result<u32> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut piece = file.take(PIECE);
    let mut sum = crc32fast::Hasher::new();
    loop {
        match piece.read(buffer) {
            Ok(0) => return Ok(sum.finalize()),
            Ok(read) => sum.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn whoever_touches_a_file_changes_the_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        fs::create_dir_all(home.join("blobs")).unwrap();
        let (db, blob) = (home.join("db"), home.join("blobs/7"));
        fs::write(&db, b"as it was").unwrap();
        fs::write(&blob, b"").unwrap();
        let mut last = Stamp::settled(&home)
            .unwrap()
            .expect("the system knows the time of a change");
        assert_eq!(Stamp::of(&home).unwrap(), Some(last));
        fs::rename(&home, dir.path().join("moved")).unwrap();
        assert_eq!(
            Stamp::of(&dir.path().join("moved")).unwrap(),
            Some(last),
            "moved as a whole"
        );
        fs::rename(dir.path().join("moved"), &home).unwrap();
        fs::read(&db).unwrap();
        assert_eq!(Stamp::of(&home).unwrap(), Some(last), "read");
        let mut differs = |what: &str| {
            let now = Stamp::settled(&home).unwrap().unwrap();
            assert_ne!(now, last, "{what}");
            last = now;
        };
        fs::write(&db, b"as it was").unwrap();
        differs("the same written once more");
        let before = fs::metadata(&db).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&db).unwrap();
        io::Write::write_all(&mut &file, b"or is it?").unwrap();
        file.set_modified(before).unwrap();
        differs("written to, and the time of that set back");
        fs::copy(&db, home.join("new")).unwrap();
        fs::rename(home.join("new"), &db).unwrap();
        differs("a copy in its place");
        fs::rename(&blob, home.join("blobs/8")).unwrap();
        differs("another name");
        fs::remove_file(home.join("blobs/8")).unwrap();
        differs("one that is missing");
    }

    #[test]
    fn whatever_happens_to_a_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        fs::create_dir(home.join("blobs")).unwrap();
        let large: Vec<u8> = (0..PIECE + 1000).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for (name, bytes) in [
            ("db", &large[..]),
            ("conf", b"short"),
            ("blobs/7", b""),
            ("blobs/8", &[0; 100]),
        ] {
            fs::write(home.join(name), bytes).unwrap();
        }
        let before = Rest::of(home).unwrap();
        assert_eq!(Rest::of(home).unwrap(), before);
        let differs = |what: &str| assert_ne!(Rest::of(home).unwrap(), before, "{what}");
        for (name, at) in [
            ("db", 0),
            ("db", PIECE),
            ("db", PIECE + 999),
            ("conf", 3),
            ("blobs/8", 99),
        ] {
            let path = home.join(name);
            let whole = fs::read(&path).unwrap();
            let mut flipped = whole.clone();
            flipped[usize::try_from(at).unwrap()] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            differs(&format!("byte {at} of {name} flipped"));
            fs::write(&path, &whole[..whole.len() - 1]).unwrap();
            differs(&format!("{name} cut"));
            fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
            differs(&format!("{name} longer"));
            fs::write(&path, &whole).unwrap();
        }
        fs::rename(home.join("conf"), home.join("blobs/conf")).unwrap();
        differs("conf moved");
        fs::rename(home.join("blobs/conf"), home.join("conf")).unwrap();
        fs::remove_file(home.join("blobs/7")).unwrap();
        differs("an empty file removed");
        fs::write(home.join("blobs/7"), b"").unwrap();
        assert_eq!(Rest::of(home).unwrap(), before);
    }
}
