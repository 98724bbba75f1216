//! What is wrong with the settings, in one line.

use std::fmt::Write as _;

use figment::error::Kind;
use figment::value::Value;
use figment::{Figment, Metadata};

use super::Settings;
use super::names::{self, Setting};

/// Why the settings were refused. Shown on one line; the value of a secret is never in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no such setting.
    #[error("{name}{} is not a setting of shild{}", in_parentheses(origin), question(meant.as_deref()))]
    Unknown {
        /// What was written: the name of a setting, or of an environment variable.
        name: String,
        /// Where; empty if `name` says it.
        origin: String,
        /// What may have been meant.
        meant: Option<String>,
    },
    /// A setting has a value that it may not have.
    #[error(
        "{setting}{}{}{}; allowed: {allowed}",
        after(" = ", value),
        in_parentheses(origin),
        after(": ", reason)
    )]
    Refused {
        /// The name of the setting.
        setting: String,
        /// What it was given; empty for a secret.
        value: String,
        /// Where it was set; empty if that is not known.
        origin: String,
        /// What is wrong with it; empty if what is allowed says enough.
        reason: String,
        /// What it may be.
        allowed: String,
    },
    /// A source of settings cannot be used at all.
    #[error("{origin}: {reason}")]
    Source {
        /// Which: a file, or an environment variable.
        origin: String,
        /// Why.
        reason: String,
    },
}

impl SettingsError {
    /// A source that cannot be used, with a reason that is put on one line.
    pub(super) fn source(origin: impl Into<String>, reason: &str) -> Self {
        Self::Source {
            origin: origin.into(),
            reason: one_line(reason),
        }
    }

    /// A setting whose value breaks a rule.
    pub(super) fn refused(settings: &Settings, setting: &str, reason: String) -> Self {
        let known = Setting::find(setting);
        let value = match known {
            Some(known) if known.is_secret() => String::new(),
            _ => as_json(settings)
                .pointer(&names::pointer(setting))
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        let allowed = known.map(Setting::allowed).unwrap_or_default();
        Self::Refused {
            setting: setting.to_owned(),
            value,
            origin: String::new(),
            reason,
            allowed,
        }
    }

    /// A setting outside of its range.
    pub(super) fn out_of_range(settings: &Settings, setting: &str) -> Self {
        Self::refused(settings, setting, String::new())
    }

    /// Adds where the setting at fault was set, as `table` (the figment of shild's own table) knows it.
    #[must_use]
    pub(super) fn with_origin(mut self, table: &Figment) -> Self {
        if let Self::Refused { setting, origin, .. } = &mut self {
            *origin = table.find_metadata(setting).map(origin_of).unwrap_or_default();
        }
        self
    }

    /// What figment found wrong while it read shild's own table.
    pub(super) fn from_figment(table: &Figment, error: figment::Error) -> Self {
        let name = error.path.join(".");
        let origin = error.metadata.as_ref().map(origin_of).unwrap_or_default();
        if matches!(error.kind, Kind::UnknownField(..)) {
            let meant = names::nearest(&name).map(str::to_owned);
            return Self::Unknown { name, origin, meant };
        }
        // An element of a list is named by its index, which is no part of the setting's name.
        let setting = name
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .trim_end_matches('.');
        let known = Setting::find(setting);
        let value = match known {
            Some(known) if known.is_secret() => String::new(),
            _ => table.find_value(setting).map(|value| shown(&value)).unwrap_or_default(),
        };
        let allowed = match known {
            Some(known) => known.allowed(),
            None => format!("a table of {}", names::members(setting).collect::<Vec<_>>().join(", ")),
        };
        let reason = match error.kind {
            Kind::Message(reason) => one_line(&reason),
            _ => String::new(),
        };
        Self::Refused {
            setting: setting.to_owned(),
            value,
            origin,
            reason,
            allowed,
        }
    }

    /// What figment found wrong while it read Rocket's own settings.
    pub(super) fn from_rocket(figment: &Figment, error: &figment::Error) -> Self {
        let setting = error.path.join(".");
        let (reason, allowed) = match &error.kind {
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => (String::new(), expected.clone()),
            other => (one_line(&other.to_string()), "what Rocket documents for it".to_owned()),
        };
        let value = figment
            .find_value(&setting)
            .map(|value| shown(&value))
            .unwrap_or_default();
        let origin = error.metadata.as_ref().map(origin_of).unwrap_or_default();
        Self::Refused {
            setting,
            value,
            origin,
            reason,
            allowed,
        }
    }
}

/// The settings as JSON, secrets hidden.
pub(super) fn as_json(settings: &Settings) -> serde_json::Value {
    serde_json::to_value(settings).unwrap_or_default()
}

/// Refuses a `shild` that is something other than a table: figment would pass over it in silence.
pub(super) fn check_is_table(figment: &Figment) -> Result<(), SettingsError> {
    match figment.find_value("shild") {
        Err(_) | Ok(Value::Dict(..)) => Ok(()),
        Ok(other) => Err(SettingsError::Refused {
            setting: "shild".to_owned(),
            value: shown(&other),
            origin: figment.find_metadata("shild").map(origin_of).unwrap_or_default(),
            reason: String::new(),
            allowed: "a table of settings, [default.shild]".to_owned(),
        }),
    }
}

/// Where a value came from, in words.
pub(super) fn origin_of(metadata: &Metadata) -> String {
    metadata
        .source
        .as_ref()
        .map_or_else(|| metadata.name.clone().into_owned(), ToString::to_string)
}

/// `text` on one line, every run of space and control characters made one space.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A value as it would stand in a file, cut where it gets long.
pub(super) fn shown(value: &Value) -> String {
    const MOST: usize = 100;
    let mut text = String::new();
    write_value(&mut text, value);
    if let Some((cut, _)) = text.char_indices().nth(MOST) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(_, text) => drop(write!(out, "{text:?}")),
        Value::Char(_, c) => drop(write!(out, "\"{}\"", c.escape_debug())),
        Value::Bool(_, yes) => drop(write!(out, "{yes}")),
        Value::Num(_, n) => match (n.to_u128(), n.to_i128(), n.to_f64()) {
            (Some(n), ..) => drop(write!(out, "{n}")),
            (_, Some(n), _) => drop(write!(out, "{n}")),
            (.., n) => drop(write!(out, "{}", n.unwrap_or(f64::NAN))),
        },
        Value::Empty(..) => out.push_str("nothing"),
        // Its members may be secrets.
        Value::Dict(..) => out.push_str("a table"),
        Value::Array(_, items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_value(out, item);
            }
            out.push(']');
        }
    }
}

fn after(mark: &str, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{mark}{text}")
    }
}

fn in_parentheses(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}

fn question(meant: Option<&str>) -> String {
    meant
        .map(|meant| format!("; did you mean {meant}?"))
        .unwrap_or_default()
}
