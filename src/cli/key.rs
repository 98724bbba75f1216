//! `shild key …`

use clap::Subcommand;
use shild::config::{Settings, Sources};
use shild::reset_keys;

use super::door::{Door, encode};
use super::table::{Columns, show};
use super::{Failure, print, runtime};

const COLUMNS: Columns = &["kid", "status", "retires_at"];

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
    /// Throw all keys away and make new ones, when the master key is lost: everybody signs in again, no account is lost.
    Reset,
}

/// Does what `verb` says.
pub(super) fn run(sources: &Sources, verb: &Verb) -> Result<(), Failure> {
    if matches!(verb, Verb::Reset) {
        return reset(Settings::load(sources)?);
    }
    let door = Door::open(sources)?;
    let json = match verb {
        Verb::List { json } => *json,
        Verb::Rotate => {
            door.post("/keys/rotate", None)?;
            false
        }
        Verb::Retire { kid } => {
            door.delete(&format!("/keys/{}", encode(kid)))?;
            false
        }
        Verb::Reset => unreachable!("done above"),
    };
    let mut keys = door.get("/keys")?;
    door.close()?;
    show(
        keys["keys"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        COLUMNS,
        json,
    )
}

fn reset(settings: Settings) -> Result<(), Failure> {
    if Door::running(&settings)?.is_some() {
        return Err("the server is running: stop it first, then reset the keys".into());
    }
    let given = settings.master_key.is_some();
    runtime()?.block_on(reset_keys(settings))?;
    Ok(print(if given {
        "the keys are new, and access tokens are void; refresh tokens are good that were issued under the master key in the settings\n"
    } else {
        "the keys are new; everybody has to sign in again\n"
    })?)
}
