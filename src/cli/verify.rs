//! `shild verify [--json]`

use std::fmt::Write as _;
use std::sync::Arc;

use shild::config::{Settings, Sources};
use shild::store::{Counts, Verification};
use shild::verify_store;

use super::door::Door;
use super::progress;
use super::{Failure, print, runtime};

/// Walks over the whole store, in the running server if there is one. Without one the store is all that is needed: no
/// keys, which may be what is damaged.
pub(super) fn run(sources: &Sources, json: bool) -> Result<(), Failure> {
    let settings = Settings::load(sources)?;
    let bar = progress::bar("records");
    let found: Verification = if let Some(server) = Door::running(&settings)? {
        let mut answer = Vec::new();
        server.stream("/verify", |bytes| {
            answer.extend_from_slice(bytes);
            Ok(())
        })?;
        serde_json::from_slice(&answer)?
    } else {
        let bar = bar.clone();
        let told = Arc::new(move |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        runtime()?.block_on(verify_store(&settings, told))?
    };
    bar.finish_and_clear();
    print(&if json {
        format!("{}\n", serde_json::to_string(&found)?)
    } else {
        in_words(&found)
    })?;
    match found.findings.len() as u64 + found.more {
        0 => Ok(()),
        1 => Err("1 record disagrees".into()),
        many => Err(format!("{many} records disagree").into()),
    }
}

fn in_words(found: &Verification) -> String {
    let Counts {
        users,
        enabled_admins,
        sessions,
        sessions_of_nobody,
        failures,
        failures_of_nobody,
        events,
    } = found.counts;
    let mut text = format!(
        "{users} users ({enabled_admins} enabled admins), {sessions} sessions ({sessions_of_nobody} of nobody), \
         {failures} failure counts ({failures_of_nobody} of nobody), {events} events\n"
    );
    for finding in &found.findings {
        // Names come from the store, where damage may have put anything.
        let line = finding.to_string().replace(char::is_control, "\u{fffd}");
        let _ = writeln!(text, "{line}");
    }
    if found.more > 0 {
        let _ = writeln!(text, "and {} more", found.more);
    }
    if found.is_sound() {
        text += "everything agrees\n";
    }
    text
}
