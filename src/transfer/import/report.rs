//! What came of an import.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many refusals a report lists; more are only counted.
pub const MAX_REFUSALS: usize = 1000;

/// What came of an import, or would come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ImportReport {
    /// Whether nothing was written and this is what would happen.
    pub dry_run: bool,
    /// How many were added.
    pub added: Added,
    /// How many were passed over: they are here already, or the other program counts them as deleted.
    pub skipped: u64,
    /// How many were refused.
    pub refused: u64,
    /// The first 1,000 of those that were refused, and why.
    pub refusals: Vec<Refusal>,
}

/// How many of each kind were added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Added {
    /// Users.
    pub users: u64,
    /// Sessions.
    pub sessions: u64,
    /// Entries of the audit log.
    pub events: u64,
}

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Refusal {
    /// The line of the input that it begins on, from 1.
    pub line: u64,
    /// Where the input is one JSON array, which of its elements it is, from 1: all may be on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub element: Option<u64>,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Refusal {
    /// `line 4: …`, or `line 1, element 3: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(element) = self.element {
            write!(f, ", element {element}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Where something begins in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: u64,
    /// Of one array; from 1.
    pub(super) element: Option<u64>,
}

/// What became of an item.
pub(super) enum Outcome {
    Added,
    Skipped,
    Refused(String),
}

impl ImportReport {
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            added: Added::default(),
            skipped: 0,
            refused: 0,
            refusals: Vec::new(),
        }
    }

    /// Counts what became of the item at this place; whether it was added is left to be counted.
    pub(super) fn note(&mut self, place: Place, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Added => return true,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Refused(reason) => self.refuse(place, reason),
        }
        false
    }

    pub(super) fn refuse(&mut self, place: Place, reason: String) {
        self.refused += 1;
        if self.refusals.len() < MAX_REFUSALS {
            let Place { line, element } = place;
            self.refusals.push(Refusal { line, element, reason });
        }
    }
}

impl fmt::Display for ImportReport {
    /// `3 added, 1 skipped, 2 refused`, with sessions and events where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} added", self.added.users)?;
        if self.added.sessions + self.added.events > 0 {
            write!(
                f,
                " with {} sessions and {} audit events",
                self.added.sessions, self.added.events
            )?;
        }
        write!(f, ", {} skipped, {} refused", self.skipped, self.refused)
    }
}
