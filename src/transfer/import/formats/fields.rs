//! The members of a record of another program's: what is empty counts as absent, and values may be written in several ways.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::user::UserId;

/// The members of one object, and where it stands in the record.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    at: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(members: &'a Map<String, Value>) -> Self {
        Self { members, at: "" }
    }

    /// The object in the member `name`, if there is one; `at` is the pointer to it.
    pub(super) fn inner(&self, name: &str, at: &'static str) -> Option<Self> {
        let members = self.members.get(name)?.as_object()?;
        Some(Self { members, at })
    }

    /// Where the member is, for people.
    pub(super) fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    /// Whether there is such a member, empty or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("{}: must be a string", self.pointer(name))),
        }
    }

    /// `true`, 1, and the words that databases write for them.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        let allowed = || format!("{}: must be true or false", self.pointer(name));
        match self.members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(0) => Ok(Some(false)),
                Some(1) => Ok(Some(true)),
                _ => Err(allowed()),
            },
            Some(Value::String(text)) => match text.as_str() {
                "" => Ok(None),
                "true" | "True" | "TRUE" | "t" | "1" => Ok(Some(true)),
                "false" | "False" | "FALSE" | "f" | "0" => Ok(Some(false)),
                _ => Err(allowed()),
            },
            Some(_) => Err(allowed()),
        }
    }

    /// A time as RFC 3339 has it, also with a space in the middle and a short offset, as databases write it; without an
    /// offset it is UTC.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let with_offset = || text.parse::<jiff::Timestamp>().ok();
        let without = || {
            let time = text.parse::<jiff::civil::DateTime>().ok()?;
            jiff::tz::Offset::UTC.to_timestamp(time).ok()
        };
        with_offset()
            .or_else(without)
            .map(|time| Some(Timestamp::from_millis(time.as_millisecond())))
            .ok_or_else(|| format!("{}: must be a time like 2026-01-31T12:00:00Z", self.pointer(name)))
    }

    /// The id to be kept: a UUID. Any other id is none.
    pub(super) fn id(&self, name: &str) -> Option<UserId> {
        let text = self.members.get(name)?.as_str()?;
        let id = Uuid::try_parse(text).ok().filter(|id| !id.is_nil() && !id.is_max())?;
        Some(UserId::from_bytes(id.into_bytes()))
    }
}
