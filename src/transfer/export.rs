//! The bytes of an export.

use std::fmt;

use serde::Serialize;

use super::line::{End, Header, Line};
use crate::audit::{Actor, AuditKind};
use crate::error::Error;
use crate::origin::Origin;
use crate::shild::Shild;
use crate::store::{Sections, Snapshot, Store, StoreError};

/// An export of a store as it was at one moment, made piece by piece in bounded memory.
pub struct Export {
    snapshot: Box<dyn Snapshot>,
    next: Part,
    counts: End,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Part {
    Header,
    Users,
    Sessions,
    Events,
    Nothing,
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("next", &self.next)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Export {
    /// An export of what is in the store now: the users, and what else is asked for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn of(store: &dyn Store, sections: Sections) -> Result<Self, StoreError> {
        Ok(Self {
            snapshot: store.snapshot(sections).await?,
            next: Part::Header,
            counts: End::default(),
        })
    }

    /// The next lines, whole; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Unavailable`]. The export ends there without its last line, by which its reader
    /// knows that it is not whole.
    pub async fn next_lines(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let lines = self.make_lines().await;
        if lines.is_err() {
            self.next = Part::Nothing;
        }
        lines
    }

    async fn make_lines(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut lines = Vec::new();
        while lines.is_empty() {
            self.next = match self.next {
                Part::Header => {
                    write(&mut lines, &Line::Header(Header::default()));
                    Part::Users
                }
                Part::Users => {
                    let users = self.snapshot.next_users().await?;
                    self.counts.users += write_page(&mut lines, users, |user| Line::User(user.into()));
                    unless_empty(&lines, Part::Users, Part::Sessions)
                }
                Part::Sessions => {
                    let sessions = self.snapshot.next_sessions().await?;
                    self.counts.sessions += write_page(&mut lines, sessions, |session| Line::Session(session.into()));
                    unless_empty(&lines, Part::Sessions, Part::Events)
                }
                Part::Events => {
                    let events = self.snapshot.next_events().await?;
                    self.counts.events += write_page(&mut lines, events, |event| Line::Event(event.into()));
                    if lines.is_empty() {
                        write(&mut lines, &Line::End(self.counts));
                        Part::Nothing
                    } else {
                        Part::Events
                    }
                }
                Part::Nothing => return Ok(None),
            };
        }
        Ok(Some(lines))
    }
}

const fn unless_empty(lines: &[u8], same: Part, next: Part) -> Part {
    if lines.is_empty() { next } else { same }
}

fn write_page<T>(lines: &mut Vec<u8>, page: Vec<T>, line: impl Fn(T) -> Line) -> u64 {
    let count = page.len() as u64;
    for item in page {
        write(lines, &line(item));
    }
    count
}

fn write(lines: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *lines, line).expect("plain data can be written to memory");
    lines.push(b'\n');
}

impl Shild {
    /// Begins an export, and writes down who wanted it before any of it is given out.
    ///
    /// # Errors
    /// [`Problem::Unavailable`](crate::error::Problem::Unavailable).
    pub(crate) async fn export(&self, sections: Sections, actor: Actor, origin: &Origin) -> Result<Export, Error> {
        let export = Export::of(&*self.store, sections).await?;
        self.audit(AuditKind::Exported, actor, origin, |_| {}).await?;
        Ok(export)
    }
}
