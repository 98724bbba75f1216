//! What the files of a database are while nobody has it open: so one that was closed as it should be, and that nothing has
//! happened to, need not be looked through at the next start.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};

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
        let mut files = Vec::new();
        collect(home, &mut files)?;
        files.sort();
        let pieces: Vec<(&Path, u64)> = files
            .iter()
            .flat_map(|(path, len)| (0..len.div_ceil(PIECE)).map(|piece| (&**path, piece * PIECE)))
            .collect();
        let mut sums = checksums(&pieces)?.into_iter();
        let mut sum = crc32fast::Hasher::new();
        for (path, len) in &files {
            let name = path.strip_prefix(home).unwrap_or(path).as_os_str().as_encoded_bytes();
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

/// The files below a directory, with their lengths.
fn collect(dir: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(())
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
