//! Snapshots, read page by page from trees as they were.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::engine::Frozen;
use super::record::{Tree, unseal};
use crate::audit::AuditEvent;
use crate::session::SessionRecord;
use crate::store::{MAX_PAGE, Sections, Snapshot, StoreError};
use crate::user::UserRecord;

/// Which trees a snapshot with these sections is made of.
pub(super) fn trees(sections: Sections) -> Vec<Tree> {
    let wanted = [
        (Tree::Users, true),
        (Tree::Sessions, sections.sessions),
        (Tree::Audit, sections.events),
    ];
    wanted
        .into_iter()
        .filter_map(|(tree, wanted)| wanted.then_some(tree))
        .collect()
}

/// A copy that tasks take turns at.
type Copy = Arc<Mutex<Box<dyn Frozen>>>;

pub(super) struct FrozenSnapshot {
    copies: Vec<(Tree, Copy)>,
}

impl FrozenSnapshot {
    pub(super) fn new(copies: Vec<Box<dyn Frozen>>) -> Self {
        Self {
            copies: copies
                .into_iter()
                .map(|copy| (copy.tree(), Arc::new(Mutex::new(copy))))
                .collect(),
        }
    }

    async fn next<T: DeserializeOwned + Send + 'static>(&self, tree: Tree) -> Result<Vec<T>, StoreError> {
        let Some((_, copy)) = self.copies.iter().find(|(of, _)| *of == tree) else {
            return Ok(Vec::new());
        };
        let copy = Arc::clone(copy);
        let read = move || page(&mut **copy.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| StoreError::Unavailable(format!("the snapshot was not read: {error}")))?
    }
}

/// The next records, at most [`MAX_PAGE`].
fn page<T: DeserializeOwned>(frozen: &mut dyn Frozen) -> Result<Vec<T>, StoreError> {
    let mut items = Vec::new();
    while items.len() < MAX_PAGE
        && let Some(raw) = frozen.next_raw()?
    {
        items.push(unseal(frozen.tree(), &raw.key, &raw.value)?);
    }
    Ok(items)
}

#[async_trait]
impl Snapshot for FrozenSnapshot {
    async fn next_users(&mut self) -> Result<Vec<UserRecord>, StoreError> {
        self.next(Tree::Users).await
    }

    async fn next_sessions(&mut self) -> Result<Vec<SessionRecord>, StoreError> {
        self.next(Tree::Sessions).await
    }

    async fn next_events(&mut self) -> Result<Vec<AuditEvent>, StoreError> {
        self.next(Tree::Audit).await
    }
}
