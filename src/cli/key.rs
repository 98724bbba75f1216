//! `shild key …`

use clap::Subcommand;
use shild::config::{Settings, Sources};

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the keys that still verify tokens.
    List {
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Sign with a new key from now on; tokens under the old one stay good until they expire.
    Rotate,
    /// The emergency brake: tokens under this key die at once.
    Retire {
        /// The key's id, k4.pid.…
        #[arg(value_name = "KID")]
        kid: String,
    },
    /// Throw all keys away and make new ones, when the master key is lost: everybody signs in again.
    Reset,
}

/// Does what `verb` says.
pub(super) fn run(sources: &Sources, verb: Verb) -> Result<(), Failure> {
    Settings::load(sources)?;
    let name = match verb {
        Verb::List { .. } => "list",
        Verb::Rotate => "rotate",
        Verb::Retire { .. } => "retire",
        Verb::Reset => "reset",
    };
    Err(format!("internal error: key {name} is not connected").into())
}
