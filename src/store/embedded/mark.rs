//! How far the store has come, written down outside of it: so a store that has gone back, because a file was cut short or an
//! old copy put in its place, is noticed.
//!
//! A transaction is first made in the store and then marked, each synced, and only then acknowledged. So after a crash the store
//! may be ahead of its mark, but the mark is never ahead of a store that lost nothing.
//!
//! The last mark before a store is left also says what its files are like. That holds until anything is written to them, which
//! a database also does without a transaction and without a mark: so it is held against the files, and believed if it is right.
//! A stamp of them, by which they need not be read for that, is crossed out before they are opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::sync_dir;
use super::rest::{Rest, Stamp};
use super::tally::Tally;

/// Its name in the data directory.
pub(crate) const FILE: &str = "mark";

/// Marks are written in turns to two places, so that one half written leaves the other. Each has a page of its own: what a disk
/// writes at once.
const SLOT: usize = 4096;

/// What a mark begins with.
const MAGIC: &[u8; 8] = b"shildmk3";

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marked {
    /// Goes up by one with each mark.
    number: u64,
    pub(super) tally: Tally,
    /// The files that the store was left with, if it was left as it should be.
    pub(super) rest: Option<Rest>,
    /// Of these files, until they are opened.
    pub(super) stamp: Option<Stamp>,
}

/// The file of the mark.
pub(super) struct Mark {
    file: File,
    /// Where the next one goes.
    next: usize,
    /// Of the last one.
    number: u64,
}

impl Mark {
    /// Makes the file, with this for the first mark. It is made aside and put in its place when it is whole and on disk: a file
    /// without a mark is damage, also after a first start that was cut short.
    pub(super) fn create(dir: &Path, tally: &Tally) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let draft = dir.join(format!("{FILE}.new"));
        let mut file = options.open(&draft)?;
        // Of full length from the beginning: no later mark needs room on the disk.
        file.write_all(&[0; 2 * SLOT])?;
        let mut mark = Self {
            file,
            next: 0,
            number: 0,
        };
        mark.set(tally)?;
        mark.set(tally)?;
        mark.file.sync_all()?;
        fs::rename(&draft, dir.join(FILE))?;
        sync_dir(dir)?;
        Ok(mark)
    }

    /// The newest mark in the file; `None` if there is no file.
    pub(super) fn open(dir: &Path) -> io::Result<Option<(Self, Marked)>> {
        let mut file = match File::options().read(true).write(true).open(dir.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let newest = bytes
            .chunks_exact(SLOT)
            .take(2)
            .enumerate()
            .filter_map(|(at, slot)| Some((at, read(slot)?)))
            .max_by_key(|(_, marked)| marked.number);
        match newest {
            Some((at, marked)) => {
                let mark = Self {
                    file,
                    next: 1 - at,
                    number: marked.number,
                };
                Ok(Some((mark, marked)))
            }
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "there is no mark in it")),
        }
    }

    /// Puts a mark on disk.
    pub(super) fn set(&mut self, tally: &Tally) -> io::Result<()> {
        self.write(tally, None, None)
    }

    /// Puts a mark on disk that says that the store is left with these files.
    pub(super) fn leave(&mut self, tally: &Tally, rest: Rest, stamp: Option<Stamp>) -> io::Result<()> {
        self.write(tally, Some(rest), stamp)
    }

    fn write(&mut self, tally: &Tally, rest: Option<Rest>, stamp: Option<Stamp>) -> io::Result<()> {
        let marked = Marked {
            number: self.number + 1,
            tally: *tally,
            rest,
            stamp,
        };
        let payload = postcard::to_stdvec(&marked).expect("numbers can be encoded");
        let mut slot = MAGIC.to_vec();
        let len = u16::try_from(payload.len()).expect("two dozen numbers are short");
        slot.extend_from_slice(&len.to_le_bytes());
        slot.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        slot.extend_from_slice(&payload);
        self.file.seek(SeekFrom::Start((self.next * SLOT) as u64))?;
        self.file.write_all(&slot)?;
        self.file.sync_data()?;
        self.next = 1 - self.next;
        self.number = marked.number;
        Ok(())
    }
}

/// The mark in a slot, if it is whole.
fn read(slot: &[u8]) -> Option<Marked> {
    let rest = slot.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let payload = rest.get(..usize::from(u16::from_le_bytes(*len)))?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*sum)).then_some(())?;
    postcard::from_bytes(payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(transactions: u64) -> Tally {
        Tally {
            transactions,
            ..Tally::default()
        }
    }

    fn newest(dir: &Path) -> io::Result<Option<u64>> {
        Mark::open(dir).map(|found| found.map(|(_, marked)| marked.tally.transactions))
    }

    #[test]
    fn the_newest_whole_mark_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path()).unwrap(), None);
        let mut mark = Mark::create(dir.path(), &tally(1)).unwrap();
        for transactions in 2..10 {
            mark.set(&tally(transactions)).unwrap();
            assert_eq!(newest(dir.path()).unwrap(), Some(transactions));
            let (reopened, _) = Mark::open(dir.path()).unwrap().unwrap();
            mark = reopened;
        }
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for damaged in 0..16 {
            for slot in [0, SLOT] {
                let mut bytes = whole.clone();
                bytes[slot + damaged] ^= 1;
                fs::write(&path, bytes).unwrap();
                let expected = if slot == mark.next * SLOT { 9 } else { 8 };
                assert_eq!(newest(dir.path()).unwrap(), Some(expected), "byte {damaged} of {slot}");
            }
        }
        fs::write(&path, &whole[..100]).unwrap();
        assert!(newest(dir.path()).is_err());
    }
}
