//! `shild audit`

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use shild::audit::AuditKind;
use shild::config::Sources;
use shild::user::UserId;

use super::Failure;
use super::door::{Door, encode};
use super::table::{Columns, show};
use super::user::find;

const COLUMNS: Columns = &[
    "at",
    "kind",
    "actor",
    "user_id",
    "session_id",
    "ip",
    "request_id",
    "detail",
];

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Only what was done to this user; one that was deleted is found by its id.
    #[arg(long, value_name = "NAME|ID")]
    user: Option<String>,
    /// Only events of this kind.
    #[arg(long, value_name = "K", value_parser = PossibleValuesParser::new(AuditKind::ALL.iter().map(|kind| kind.as_str())))]
    kind: Option<String>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// As one JSON array.
    #[arg(long)]
    json: bool,
}

/// Shows the audit log, newest first.
pub(super) fn run(sources: &Sources, args: &AuditArgs) -> Result<(), Failure> {
    let door = Door::open(sources)?;
    let mut path = "/audit?".to_owned();
    if let Some(name) = &args.user {
        path += &format!("user_id={}&", id_of(&door, name)?);
    }
    if let Some(kind) = &args.kind {
        path += &format!("kind={}&", encode(kind));
    }
    let mut events = Vec::new();
    door.each(path.trim_end_matches(['&', '?']), args.limit, |mut event| {
        if !args.json {
            // One word for whoever it was.
            let who = event["actor"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| event["actor"]["user"].as_str().map(str::to_owned));
            event["actor"] = json!(who);
        }
        events.push(event);
        Ok(())
    })?;
    door.close()?;
    show(events, COLUMNS, args.json)
}

/// The id of the user of this name; where there is none, what was given if it is an id: whoever was deleted has no name any more.
fn id_of(door: &Door, given: &str) -> Result<String, Failure> {
    match (find(door, given), given.parse::<UserId>()) {
        (Ok(user), _) => Ok(user["id"].as_str().unwrap_or_default().to_owned()),
        (Err(_), Ok(id)) => Ok(id.to_string()),
        (Err(error), Err(_)) => Err(format!(
            "{error}; somebody who was deleted is found by its id, as `shild audit --kind deleted` shows it"
        )
        .into()),
    }
}
