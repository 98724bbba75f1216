//! `shild session …`

use clap::Subcommand;
use shild::config::Sources;
use shild::user::SessionId;

use super::Failure;
use super::door::Door;
use super::table::{Columns, show};
use super::user::{find, path_of};

const COLUMNS: Columns = &[
    "id",
    "created_at",
    "last_used_at",
    "expires_at",
    "ip",
    "client_id",
    "scopes",
    "user_agent",
];

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List a user's sessions.
    List {
        /// The user's name.
        name: String,
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// End all of a user's sessions, or one.
    End {
        /// The user's name.
        name: String,
        /// Only this one.
        session_id: Option<SessionId>,
    },
}

/// Does what `verb` says.
pub(super) fn run(sources: &Sources, verb: &Verb) -> Result<(), Failure> {
    let door = Door::open(sources)?;
    match verb {
        Verb::List { name, json } => {
            let path = format!("{}/sessions", path_of(&find(&door, name)?));
            let mut sessions = Vec::new();
            door.each(&path, usize::MAX, |session| {
                sessions.push(session);
                Ok(())
            })?;
            door.close()?;
            show(sessions, COLUMNS, *json)
        }
        Verb::End { name, session_id } => {
            let all = format!("{}/sessions", path_of(&find(&door, name)?));
            let path = session_id
                .as_ref()
                .map_or_else(|| all.clone(), |id| format!("{all}/{id}"));
            door.delete(&path)?;
            door.close()
        }
    }
}
