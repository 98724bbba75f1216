//! From a snapshot to a store: `shild restore`.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;

use super::manifest::{self, Manifest};
use super::{KEYS, STORE, dir_in};
use crate::audit::{Actor, AuditEvent, AuditKind};
use crate::clock::{Clock as _, SystemClock, SystemRandom};
use crate::config::Settings;
use crate::shild::{StartError, open_store, store_dir_name};
use crate::store::{Store, StoreError, files, lock};
use crate::token::keyring::KeyringRecord;
use crate::transfer::Line;
use crate::transfer::line::UserLine;
use crate::user::{EventId, Scopes, UserRecord, Username};

/// How many records are put into the store at once: as many as its writer takes into one transaction.
const BATCH: usize = 512;

/// What was brought back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where what was there is now; `None` if there was nothing.
    pub aside: Option<PathBuf>,
    /// Newer snapshots that could not be used, and why.
    pub passed_over: Vec<String>,
}

/// Why nothing was brought back. What was there is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is no snapshot that can be used.
    #[error("there is no sound snapshot in {dir}{}; bring back a backup of the data directory", reasons(passed_over), dir = dir.display())]
    None {
        /// Where they should be.
        dir: PathBuf,
        /// Those that there are, and what is wrong with them.
        passed_over: Vec<String>,
    },
    /// The store in memory has nothing to restore.
    #[error("store = \"memory\": there is nothing on disk to restore")]
    Memory,
    /// A server has the directory, or it cannot be used.
    #[error("{0}")]
    Directory(String),
    /// The new store could not be made.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refused something.
    #[error("the snapshot cannot be brought back: {0}")]
    Io(#[from] io::Error),
    /// What was brought back is not what is in the snapshot.
    #[error("what was read from {path} does not hold together: {detail}", path = path.display())]
    Unsound {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

fn reasons(passed_over: &[String]) -> String {
    passed_over
        .iter()
        .fold(String::new(), |all, reason| all + "; " + reason)
}

/// Makes a new store from the newest sound snapshot, and puts it in the place of what is there, which is moved aside.
///
/// # Errors
/// [`RestoreError`]; what was there is as it was, unless the process was killed between the moves, after which a start says
/// that the store is missing, and another restore goes on.
pub async fn restore(settings: &Settings) -> Result<Restored, RestoreError> {
    let Some(name) = store_dir_name(settings.store) else {
        return Err(RestoreError::Memory);
    };
    let dir = &settings.data_dir;
    if !dir.exists() {
        // To lock it would make it.
        newest_sound(dir)?;
    }
    let _lock = lock(dir).map_err(|error| RestoreError::Directory(error.to_string()))?;
    let is_there = |name: &str| dir.join(name).exists();
    if let Some(other) = ["sled", "redb"].into_iter().find(|other| is_there(other))
        && !is_there(name)
    {
        let reason = format!(
            "{} holds a store of the kind {other}, and the setting store is {name}: restore with store = \"{other}\"",
            dir.display()
        );
        return Err(RestoreError::Directory(reason));
    }
    let (path, manifest, passed_over) = newest_sound(dir)?;

    let draft = dir.join("restored.new");
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    let aside_settings = Settings {
        data_dir: draft.clone(),
        ..settings.clone()
    };
    let store = open_store(&aside_settings).await?;
    fill(&*store, &path).await?;
    let found = store.verify(Arc::new(|_, _| {})).await?;
    let unsound = |detail: String| RestoreError::Unsound {
        path: path.clone(),
        detail,
    };
    if let Some(finding) = found.findings.first() {
        return Err(unsound(finding.to_string()));
    }
    let (counts, there) = (manifest.counts, found.counts);
    if (counts.users, counts.sessions, counts.events) != (there.users, there.sessions, there.events) {
        return Err(unsound("not everything that is in it could be taken over".to_owned()));
    }
    store.append_event(&event(&manifest)).await?;
    store.close().await?;
    drop(store);

    files::sync_all(&draft)?;
    let aside = move_aside(dir)?;
    for part in [name, "mark"] {
        fs::rename(draft.join(part), dir.join(part))?;
    }
    files::sync_dir(dir)?;
    fs::remove_dir_all(&draft)?;
    Ok(Restored {
        manifest,
        aside,
        passed_over,
    })
}

fn event(manifest: &Manifest) -> AuditEvent {
    let now = SystemClock.now();
    AuditEvent {
        id: EventId::generate(now, &SystemRandom),
        at: now,
        kind: AuditKind::Restored,
        actor: Actor::Operator,
        user_id: None,
        session_id: None,
        ip: None,
        request_id: None,
        detail: Some(format!("as of {}", manifest.taken_at)),
    }
}

/// The newest snapshot that is as it was written, and what is wrong with newer ones.
fn newest_sound(dir: &Path) -> Result<(PathBuf, Manifest, Vec<String>), RestoreError> {
    let dir = dir_in(dir);
    let mut passed_over = Vec::new();
    for (path, manifest) in manifest::all(&dir, SystemClock.now())? {
        match manifest.check(&path) {
            Ok(()) => return Ok((path, manifest, passed_over)),
            Err(reason) => passed_over.push(format!("{}: {reason}", path.display())),
        }
    }
    Err(RestoreError::None { dir, passed_over })
}

/// Puts what is in the snapshot into an empty store.
async fn fill(store: &dyn Store, path: &Path) -> Result<(), RestoreError> {
    let mut lines = BufReader::new(File::open(path.join(STORE))?).lines();
    loop {
        let batch: Vec<String> = lines.by_ref().take(BATCH).collect::<io::Result<_>>()?;
        if batch.is_empty() {
            break;
        }
        for added in join_all(batch.iter().map(|line| add(store, path, line))).await {
            added?;
        }
    }
    let keys: Option<KeyringRecord> = serde_json::from_slice(&fs::read(path.join(KEYS))?).map_err(io::Error::other)?;
    if let Some(keys) = keys {
        store.replace_keys(&keys, None, &[]).await?;
    }
    Ok(())
}

async fn add(store: &dyn Store, path: &Path, line: &str) -> Result<(), RestoreError> {
    let unsound = |detail: String| RestoreError::Unsound {
        path: path.to_owned(),
        detail,
    };
    match serde_json::from_str(line).map_err(|error| unsound(error.to_string()))? {
        Line::User(line) => {
            let user = user(line).ok_or_else(|| unsound("a user in it is not whole".to_owned()))?;
            Ok(store.create(&user, &[]).await?)
        }
        Line::Session(session) => Ok(store.open_session(&session.into(), &[]).await?),
        Line::Event(event) => Ok(store.append_event(&event.into()).await?),
        Line::Header(_) | Line::End(_) => Ok(()),
    }
}

/// A user as an export of shild's own has it: with everything.
fn user(line: UserLine) -> Option<UserRecord> {
    Some(UserRecord {
        id: line.id?,
        username: Username::parse(&line.username, usize::MAX).ok()?,
        password_hash: line.password_hash,
        scopes: line.scopes.unwrap_or_else(Scopes::registered),
        disabled: line.disabled?,
        created_at: line.created_at?,
        updated_at: line.updated_at?,
        version: line.version?,
        session_epoch: line.session_epoch?,
        // It may have been used since, and is good once.
        reset: None,
        kept_session: line.kept_session,
    })
}

/// Moves whatever store is there, with its mark, to a directory of its own. Nothing is ever deleted.
fn move_aside(dir: &Path) -> io::Result<Option<PathBuf>> {
    let aside = dir.join(format!("damaged-{}", SystemClock.now().to_string().replace(':', "-")));
    let mut moved = false;
    for part in ["sled", "redb", "mark"] {
        if dir.join(part).exists() {
            files::make_private(&aside)?;
            fs::rename(dir.join(part), aside.join(part))?;
            moved = true;
        }
    }
    if moved {
        files::sync_dir(&aside)?;
        files::sync_dir(dir)?;
    }
    Ok(moved.then_some(aside))
}
