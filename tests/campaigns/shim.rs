//! The library `shim.c`: made by the C compiler there is, and told what to do.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::load::Notes;
use crate::process::Site;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/campaigns/shim.c");

/// Whether it can be made here: on Linux, with a C compiler.
pub(crate) fn can_be_made() -> bool {
    cfg!(target_os = "linux")
        && Command::new("cc")
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
}

/// Makes it in this directory.
fn make(home: &Path) -> PathBuf {
    let library = home.join("shim.so");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
        .args([&library, Path::new(SOURCE)])
        .arg("-ldl")
        .status();
    assert!(
        made.expect("cc can be started").success(),
        "{SOURCE} cannot be compiled"
    );
    library
}

/// The site with the library between its programs and its data.
fn watched(site: Site) -> Site {
    let library = make(&site.home);
    let data = site.data();
    site.with("LD_PRELOAD", library.to_str().expect("a path of UTF-8"))
        .with("SHIM_DIR", data.to_str().expect("a path of UTF-8"))
}

/// What a site's programs do to its files, with notes of what was asked of them and answered.
pub(crate) struct Recorder {
    pub(crate) trace: PathBuf,
    /// The next note's number.
    notes: Mutex<(u64, File)>,
}

/// What a note is in the trace: see `enum kind` in `shim.c`.
pub(crate) const NOTE: u32 = 10;

impl Recorder {
    /// The site, recorded from here on.
    pub(crate) fn of(site: Site) -> (Site, Self) {
        let trace = site.home.join("trace");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&trace)
            .expect("the trace can be made");
        let site = watched(site).with("SHIM_TRACE", trace.to_str().expect("a path of UTF-8"));
        let notes = Mutex::new((0, file));
        (site, Self { trace, notes })
    }
}

impl Notes for Recorder {
    fn note(&self) -> u64 {
        let mut notes = self.notes.lock().expect("nobody panics with it");
        let (number, file) = &mut *notes;
        let mut record = Vec::with_capacity(32);
        record.extend(NOTE.to_le_bytes());
        record.extend([0; 4 + 8 + 8]);
        record.extend(number.to_le_bytes());
        // One call, so that it lies in the trace as a whole and in its place.
        file.write_all(&record).expect("the trace can be written");
        *number += 1;
        *number - 1
    }
}

/// Kinds of operations, as `enum op` in `shim.c` has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ops(pub(crate) u32);

impl Ops {
    pub(crate) const WRITE: Self = Self(1);
    pub(crate) const SYNC: Self = Self(2);
    pub(crate) const NAME: Self = Self(4);
    pub(crate) const READ: Self = Self(8);
    pub(crate) const OPEN: Self = Self(16);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What fails, told to a running program through a file that it has in memory.
pub(crate) struct Faults(File);

impl Faults {
    /// The site, in which nothing fails yet.
    pub(crate) fn of(site: Site) -> (Site, Self) {
        let path = site.home.join("control");
        fs::write(&path, [0; 32]).expect("the control file can be made");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .expect("it has just been made");
        let site = watched(site).with("SHIM_CONTROL", path.to_str().expect("a path of UTF-8"));
        (site, Self(file))
    }

    /// Of these operations, from the next one on, the one after `after` others fails with this error, and `more` after it.
    pub(crate) fn fail(&self, ops: Ops, after: u64, more: u64, error: u32) {
        self.put(28, &0_u32.to_le_bytes());
        self.put(0, &0_u64.to_le_bytes());
        self.put(8, &after.to_le_bytes());
        self.put(16, &after.saturating_add(more).saturating_add(1).to_le_bytes());
        self.put(24, &error.to_le_bytes());
        self.put(28, &ops.0.to_le_bytes());
    }

    /// Nothing fails any more.
    pub(crate) fn lift(&self) {
        self.put(28, &0_u32.to_le_bytes());
    }

    /// How many operations were counted since [`Faults::fail`].
    pub(crate) fn counted(&self) -> u64 {
        let mut count = [0; 8];
        self.0
            .read_exact_at(&mut count, 0)
            .expect("the control file can be read");
        u64::from_le_bytes(count)
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.0.write_all_at(bytes, at).expect("the control file can be written");
    }
}
