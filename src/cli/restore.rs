//! `shild restore`

use shild::config::{Settings, Sources};
use shild::restore;

use super::door::Door;
use super::{Failure, complain, print, runtime};

/// Brings the newest sound snapshot back in place of a store that is damaged or missing.
pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let settings = Settings::load(sources)?;
    if Door::running(&settings)?.is_some() {
        return Err("the server is running: stop it first, then restore".into());
    }
    let restored = runtime()?.block_on(restore(&settings))?;
    for reason in &restored.passed_over {
        complain(&format!("passed over {reason}"));
    }
    let counts = restored.manifest.counts;
    let mut text = format!(
        "the store is as of {}: {} users, {} sessions, {} events\nwhat was changed after that is as it was then: passwords, ended sessions, disabled and deleted users, signing keys; no account is locked\nif a key was retired since because others have it, retire it again; password resets that were started have to be started again\n",
        restored.manifest.taken_at, counts.users, counts.sessions, counts.events
    );
    if let Some(aside) = &restored.aside {
        text += &format!("what was there is kept in {}\n", aside.display());
    }
    Ok(print(&text)?)
}
