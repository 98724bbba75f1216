//! What a trace of file operations leaves on a disk whose power is cut at some point of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::rng::Rng;
use crate::shim;

/// The unit in which a disk keeps what was not synced, and the one in which that may be torn.
const PAGE: u64 = 4096;
const SECTOR: u64 = 512;

/// One record of `shim.c`. Data is where it lies in the trace.
#[derive(Debug)]
enum Event {
    Create { path: String, inode: u64 },
    Write { inode: u64, at: u64, data: Range<usize> },
    Truncate { inode: u64, len: u64 },
    Rename { from: String, to: String },
    Unlink { path: String },
    Mkdir { path: String, inode: u64 },
    SyncBegin { inode: u64, number: u64 },
    SyncEnd { number: u64 },
    Link { from: String, to: String },
    Note,
}

pub(crate) struct Trace {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// What of the writes that were not synced is kept.
pub(crate) enum Loss<'a> {
    /// Nothing.
    Strict,
    /// Each page of each write with a probability of one half, now and then torn; of the changes of names some first ones.
    Random(&'a mut Rng),
    /// Everything: the disk as the program saw it.
    None,
}

impl Trace {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let mut events = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let long = |from: usize| u64::from_le_bytes(bytes[from..from + 8].try_into().expect("eight bytes"));
            let short = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().expect("four bytes"));
            let size = |len: u64| usize::try_from(len).expect("it is in memory");
            let (kind, path_len, data_len) = (short(at), size(u64::from(short(at + 4))), size(long(at + 8)));
            let (inode, position) = (long(at + 16), long(at + 24));
            let path_at = at + 32;
            let data = path_at + path_len..path_at + path_len + data_len;
            let text = |range: Range<usize>| String::from_utf8_lossy(&bytes[range]).into_owned();
            let path = text(path_at..path_at + path_len);
            at = data.end;
            events.push(match kind {
                1 => Event::Create { path, inode },
                2 => Event::Write {
                    inode,
                    at: position,
                    data,
                },
                3 => Event::Truncate { inode, len: position },
                4 => Event::Rename {
                    from: path,
                    to: text(data),
                },
                5 => Event::Unlink { path },
                6 => Event::Mkdir { path, inode },
                7 => Event::SyncBegin {
                    inode,
                    number: position,
                },
                8 => Event::SyncEnd { number: position },
                9 => Event::Link {
                    from: path,
                    to: text(data),
                },
                shim::NOTE => Event::Note,
                kind => {
                    let text = format!("the program did what this trace has no words for: {kind} on {path}");
                    return Err(io::Error::other(text));
                }
            });
        }
        Ok(Self { bytes, events })
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// How many notes lie before the cut, so that those with lower numbers had been taken.
    pub(crate) fn notes_before(&self, cut: usize) -> u64 {
        self.events[..cut]
            .iter()
            .filter(|event| matches!(event, Event::Note))
            .count() as u64
    }

    /// A place to cut: anywhere, in the first start, or next to where something was promised.
    pub(crate) fn cut(&self, rng: &mut Rng) -> usize {
        let is_note = |event: &Event| matches!(event, Event::Note);
        if rng.once_in(12) {
            let first = self.events.iter().position(is_note).unwrap_or(self.len());
            return rng.index(first + 1);
        }
        let cut = rng.index(self.len() + 1);
        let promised = |event: &Event| is_note(event) || matches!(event, Event::SyncEnd { .. });
        match self.events[cut..].iter().position(promised) {
            Some(further) if rng.once_in(2) => cut + further + rng.index(2),
            _ => cut,
        }
    }

    /// What is on disk after a cut before the event of this number.
    pub(crate) fn image(&self, cut: usize, mut loss: Loss<'_>) -> Image {
        let mut disk = Disk::default();
        for event in &self.events[..cut] {
            disk.apply(event, &self.bytes);
        }
        disk.image(&self.bytes, &mut loss)
    }
}

/// A change of a file's content that was not synced yet.
enum Unsynced {
    Write { at: u64, data: Range<usize> },
    Truncate { len: u64 },
}

#[derive(Default)]
struct Content {
    synced: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// How many changes have been synced, so that a sync which ends knows which are its own.
    before: usize,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
enum Node {
    Directory,
    File(usize),
}

/// A change of names.
struct Naming {
    number: usize,
    /// The directory whose sync keeps it.
    within: String,
    path: String,
    node: Option<Node>,
    /// The name that it had before, of a renamed one.
    was: Option<String>,
}

type Names = BTreeMap<String, Node>;

#[derive(Default)]
struct Disk {
    files: Vec<Content>,
    /// As the program sees them.
    inodes: HashMap<u64, usize>,
    directories: HashMap<u64, String>,
    names: Names,
    /// As they are on disk.
    synced_names: Names,
    unsynced_names: Vec<Naming>,
    namings: usize,
    syncs: HashMap<u64, Sync>,
}

/// What a sync that has begun will have kept when it ends.
enum Sync {
    File { file: usize, changes: usize },
    Directory { path: String, before: usize },
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned()
}

/// The path once `from`, be it a directory, has become `to`.
fn moved(path: &str, from: &str, to: &str) -> String {
    match path.strip_prefix(from) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
        _ => path.to_owned(),
    }
}

impl Disk {
    fn apply(&mut self, event: &Event, bytes: &[u8]) {
        match event {
            Event::Create { path, inode } => {
                self.files.push(Content::default());
                let file = self.files.len() - 1;
                self.inodes.insert(*inode, file);
                // A directory that was removed may have had the same number.
                self.directories.remove(inode);
                self.name(path, Some(Node::File(file)), None);
            }
            Event::Mkdir { path, inode } => {
                self.directories.insert(*inode, path.clone());
                self.inodes.remove(inode);
                // The root is there, whoever made it.
                if !path.is_empty() {
                    self.name(path, Some(Node::Directory), None);
                }
            }
            Event::Write { inode, at, data } => {
                let change = Unsynced::Write {
                    at: *at,
                    data: data.clone(),
                };
                self.change(*inode, change);
            }
            Event::Truncate { inode, len } => self.change(*inode, Unsynced::Truncate { len: *len }),
            Event::Unlink { path } => self.name(path, None, None),
            Event::Rename { from, to } => {
                let node = self.names[from];
                if matches!(node, Node::Directory) {
                    for path in self.directories.values_mut() {
                        *path = moved(path, from, to);
                    }
                }
                self.name(to, Some(node), Some(from.clone()));
            }
            Event::Link { from, to } => {
                let node = self.names[from];
                self.name(to, Some(node), None);
            }
            Event::SyncBegin { inode, number } => {
                let sync = if let Some(path) = self.directories.get(inode) {
                    Some(Sync::Directory {
                        path: path.clone(),
                        before: self.namings + 1,
                    })
                } else {
                    self.inodes.get(inode).map(|&file| Sync::File {
                        file,
                        changes: self.files[file].before + self.files[file].unsynced.len(),
                    })
                };
                self.syncs.extend(sync.map(|sync| (*number, sync)));
            }
            Event::SyncEnd { number } => match self.syncs.remove(number) {
                Some(Sync::File { file, changes }) => {
                    let content = &mut self.files[file];
                    let own = changes.saturating_sub(content.before).min(content.unsynced.len());
                    for change in content.unsynced.drain(..own) {
                        change.apply(&mut content.synced, bytes);
                    }
                    content.before += own;
                }
                Some(Sync::Directory { path, before }) => self.sync_names(&path, before),
                None => {}
            },
            Event::Note => {}
        }
    }

    fn change(&mut self, inode: u64, change: Unsynced) {
        // A file that had its name before the trace began, or none: nothing of it is looked at.
        if let Some(&file) = self.inodes.get(&inode) {
            self.files[file].unsynced.push(change);
        }
    }

    fn name(&mut self, path: &str, node: Option<Node>, was: Option<String>) {
        self.namings += 1;
        let naming = Naming {
            number: self.namings,
            within: parent(path),
            path: path.to_owned(),
            node,
            was,
        };
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
    }

    /// Keeps the changes of names in this directory that are older than number `before`.
    fn sync_names(&mut self, directory: &str, before: usize) {
        for naming in std::mem::take(&mut self.unsynced_names) {
            if naming.number < before && naming.within == directory {
                naming.apply(&mut self.synced_names);
            } else {
                self.unsynced_names.push(naming);
            }
        }
    }

    fn image(mut self, bytes: &[u8], loss: &mut Loss<'_>) -> Image {
        let kept = match loss {
            Loss::Strict => 0,
            Loss::None => self.unsynced_names.len(),
            Loss::Random(rng) => rng.index(self.unsynced_names.len() + 1),
        };
        for naming in self.unsynced_names.drain(..kept) {
            naming.apply(&mut self.synced_names);
        }
        let mut image = Image::default();
        for (path, node) in &self.synced_names {
            let ancestors = std::iter::successors(Some(parent(path)), |path| (!path.is_empty()).then(|| parent(path)));
            let reachable = ancestors
                .filter(|path| !path.is_empty())
                .all(|path| matches!(self.synced_names.get(&path), Some(Node::Directory)));
            if !reachable {
                continue;
            }
            match node {
                Node::Directory => image.directories.push(path.clone()),
                Node::File(file) => {
                    let content = self.files[*file].image(bytes, loss);
                    image.files.insert(path.clone(), content);
                }
            }
        }
        image
    }
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        if let Some(was) = &self.was {
            // With all that is in it, if it is a directory.
            *names = std::mem::take(names)
                .into_iter()
                .map(|(path, node)| (moved(&path, was, &self.path), node))
                .collect();
        }
        match self.node {
            Some(node) => {
                names.insert(self.path.clone(), node);
            }
            None => {
                names.remove(&self.path);
            }
        }
    }
}

impl Unsynced {
    fn apply(&self, content: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Write { at, data } => put(content, *at, &bytes[data.clone()]),
            Self::Truncate { len } => content.resize(usize::try_from(*len).expect("it is in memory"), 0),
        }
    }
}

fn put(content: &mut Vec<u8>, at: u64, data: &[u8]) {
    let at = usize::try_from(at).expect("it is in memory");
    if content.len() < at + data.len() {
        content.resize(at + data.len(), 0);
    }
    content[at..at + data.len()].copy_from_slice(data);
}

impl Content {
    fn image(&self, bytes: &[u8], loss: &mut Loss<'_>) -> Vec<u8> {
        let mut content = self.synced.clone();
        for change in &self.unsynced {
            match loss {
                Loss::Strict => {}
                Loss::None => change.apply(&mut content, bytes),
                Loss::Random(rng) => match change {
                    Unsynced::Write { at, data } => keep_some(&mut content, *at, &bytes[data.clone()], rng),
                    Unsynced::Truncate { .. } if rng.once_in(2) => change.apply(&mut content, bytes),
                    Unsynced::Truncate { .. } => {}
                },
            }
        }
        content
    }
}

/// Writes some of the pages, a few of them only in part.
fn keep_some(content: &mut Vec<u8>, at: u64, data: &[u8], rng: &mut Rng) {
    let mut done = 0;
    while done < data.len() {
        let position = at + done as u64;
        let room = usize::try_from(PAGE - position % PAGE).expect("a page is small");
        let mut len = room.min(data.len() - done);
        let next = done + len;
        if rng.once_in(2) {
            if rng.once_in(8) {
                let sectors = rng.below(PAGE / SECTOR) * SECTOR;
                len = len.min(usize::try_from(sectors).expect("a page is small"));
            }
            put(content, position, &data[done..done + len]);
        }
        done = next;
    }
}

/// The files of a directory.
#[derive(Default)]
pub(crate) struct Image {
    directories: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Puts it into a directory, which is made.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        for directory in &self.directories {
            fs::create_dir_all(dir.join(directory))?;
        }
        for (path, content) in &self.files {
            let path = dir.join(path);
            fs::write(&path, content)?;
            // As its owner has made it; shild refuses a key that others may read.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, mode)?;
        }
        Ok(())
    }

    /// Which file is not as in this directory.
    pub(crate) fn differs(&self, dir: &Path) -> io::Result<Option<PathBuf>> {
        let mut found = BTreeMap::new();
        collect(dir, dir, &mut found)?;
        for (path, content) in &self.files {
            if found.remove(path).as_ref() != Some(content) {
                return Ok(Some(dir.join(path)));
            }
        }
        Ok(found.into_keys().next().map(|path| dir.join(path)))
    }
}

fn collect(root: &Path, dir: &Path, into: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, into)?;
        } else {
            let name = path
                .strip_prefix(root)
                .expect("it is below the root")
                .to_string_lossy()
                .into_owned();
            into.insert(name, fs::read(&path)?);
        }
    }
    Ok(())
}
