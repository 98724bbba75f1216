//! `shild audit`

use clap::Args;
use serde_json::json;
use shild::audit::AuditKind;
use shild::config::Sources;

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
    /// Only what was done to this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only events of this kind.
    #[arg(long, value_name = "K", value_parser = AuditKind::ALL.map(AuditKind::as_str))]
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
        path += &format!("user_id={}&", find(&door, name)?["id"].as_str().unwrap_or_default());
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
