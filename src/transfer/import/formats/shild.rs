//! shild's own lines.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Candidate, Item, Reader, password_hash, words};
use crate::json;
use crate::oauth::{CLIENT_ID_RULE, is_client_id};
use crate::origin::MAX_USER_AGENT;
use crate::password::PasswordHash;
use crate::session::SessionRecord;
use crate::transfer::line::{End, EventLine, FORMAT, Header, MAX_COUNT, MAX_VERSION, SessionLine, UserLine, VERSION};
use crate::user::Scopes;

/// The kind is looked at first, for an error of [`Line`](crate::transfer::Line) cannot be pointed at. It may be left out of a
/// user.
pub(super) fn read(reader: &Reader, mut members: Map<String, Value>) -> Result<Item, String> {
    let kind = match members.remove("kind") {
        None => "user".to_owned(),
        Some(Value::String(kind)) => kind,
        Some(_) => return Err("/kind: must be a string".to_owned()),
    };
    match kind.as_str() {
        "user" => read_user(reader, typed(members)?).map(|user| Item::User(Box::new(user))),
        "session" => typed(members)
            .and_then(read_session)
            .map(|session| Item::Session(Box::new(session))),
        "event" => typed::<EventLine>(members).map(|event| Item::Event(Box::new(event.into()))),
        "header" => {
            let header: Header = typed(members)?;
            if header.format == FORMAT && header.version == VERSION {
                Ok(Item::Header)
            } else {
                Err(format!("must have the format {FORMAT} and the version {VERSION}"))
            }
        }
        "end" => typed::<End>(members).map(Item::End),
        _ => Err("/kind: must be one of header, user, session, event, end".to_owned()),
    }
}

fn typed<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, String> {
    json::from_object(members).map_err(|error| words(&error))
}

/// Counters that the program goes on counting: below these bounds it never comes to their end.
fn counter<T: PartialOrd + Display>(pointer: &str, count: T, least: T, most: T) -> Result<(), String> {
    if (&least..=&most).contains(&&count) {
        Ok(())
    } else {
        Err(format!("{pointer}: must be {least} to {most}"))
    }
}

fn read_session(line: SessionLine) -> Result<SessionRecord, String> {
    counter("/revision", line.revision, 1, MAX_COUNT)?;
    counter("/epoch", line.epoch, 0, MAX_COUNT)?;
    counter("/generation", line.generation, 0, MAX_COUNT)?;
    if line.client_id.as_ref().is_some_and(|id| !is_client_id(id)) {
        return Err(format!("/client_id: {CLIENT_ID_RULE}"));
    }
    let is_user_agent = |text: &String| text.chars().count() <= MAX_USER_AGENT && !text.contains(char::is_control);
    if line.user_agent.as_ref().is_some_and(|text| !is_user_agent(text)) {
        return Err(format!(
            "/user_agent: at most {MAX_USER_AGENT} characters, none of them a control character"
        ));
    }
    Ok(line.into())
}

fn read_user(reader: &Reader, line: UserLine) -> Result<Candidate, String> {
    counter("/version", line.version.unwrap_or(1), 1, MAX_VERSION)?;
    counter("/session_epoch", line.session_epoch.unwrap_or(0), 0, MAX_COUNT)?;
    let kept_epoch = line.kept_session.map_or(0, |kept| kept.epoch);
    counter("/kept_session/epoch", kept_epoch, 0, MAX_COUNT)?;
    let hash = line.password_hash.as_ref().map(PasswordHash::expose);
    Ok(Candidate {
        id: line.id,
        username: reader.username("/username", &line.username)?,
        password_hash: password_hash("/password_hash", hash)?,
        scopes: line.scopes.unwrap_or_else(Scopes::registered),
        disabled: line.disabled.unwrap_or(false),
        created_at: line.created_at,
        updated_at: line.updated_at,
        version: line.version.unwrap_or(1),
        session_epoch: line.session_epoch.unwrap_or(0),
        kept_session: line.kept_session,
        reset: line.reset.map(Into::into),
    })
}
