//! The table of all settings: their names, and what each may be.

use serde_json::Value;

use super::{ByteSize, Period, Settings, SettingsError};
use crate::user::Username;

/// The stores that this build has.
const STORES: &[&str] = if cfg!(feature = "redb") {
    &["sled", "redb", "memory"]
} else {
    &["sled", "memory"]
};

/// One setting: its name, and what it may be.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name below `[default.shild]`, `password.min_length` for instance.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A whole number in this range, both ends in it.
    Number(u64, u64),
    /// A period in this range, both ends in it.
    Period(Period, Period),
    /// A size in this range, both ends in it.
    Size(ByteSize, ByteSize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text, described.
    Text(&'static str),
    /// A list of texts, described.
    List(&'static str),
    /// A text that is never shown, described, and whether it has the right form.
    Secret(&'static str, fn(&str) -> bool),
}

/// How the text of an environment variable is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Text,
    /// As a number.
    Number,
    /// As a list, in brackets or not.
    List,
    /// As a table in braces.
    Table,
}

const fn setting(name: &'static str, kind: Kind) -> Setting {
    Setting { name, kind }
}

const MILLION: u64 = 1_000_000;

impl Setting {
    /// Every setting, in the order of `Rocket.toml`.
    pub const ALL: &[Self] = &[
        setting("data_dir", Kind::Text("the path of a directory")),
        setting("store", Kind::Word(STORES)),
        setting(
            "issuer",
            Kind::Text("an absolute http or https URL without query and fragment"),
        ),
        setting(
            "audience",
            Kind::Text("1 to 128 bytes, no control character, quotation mark or backslash among them"),
        ),
        setting(
            "token_path",
            Kind::Text("a path like \"/shild\", of letters, digits, \"-\", \".\", \"_\", \"~\""),
        ),
        setting("registration", Kind::Word(&["open", "closed"])),
        setting("access_token_ttl", Kind::Period(Period::seconds(1), Period::days(30))),
        setting("refresh_idle_ttl", Kind::Period(Period::seconds(1), Period::days(3650))),
        setting("session_ttl", Kind::Period(Period::seconds(1), Period::days(3650))),
        setting(
            "refresh_retry_window",
            Kind::Period(Period::seconds(0), Period::minutes(5)),
        ),
        setting("request_timeout", Kind::Period(Period::seconds(1), Period::minutes(60))),
        setting("idle_timeout", Kind::Period(Period::seconds(1), Period::minutes(60))),
        setting(
            "trusted_proxies",
            Kind::List("a list of addresses or CIDR blocks, like [\"10.0.0.0/8\"]"),
        ),
        setting(
            "metrics_token",
            Kind::Secret("a text of A-Z a-z 0-9 - . _ ~ + / and = at its end", is_token68),
        ),
        setting(
            "master_key",
            Kind::Secret("a PASERK key, k4.local. and 43 characters of base64url", is_k4_local),
        ),
        setting("key_rotation", Kind::Period(Period::hours(1), Period::days(3650))),
        setting("hash_threads", Kind::Number(1, 1024)),
        setting("hash_queue", Kind::Number(1, MILLION)),
        setting("cache_capacity", Kind::Size(ByteSize::mib(1), ByteSize::mib(64 << 10))),
        setting("snapshot_interval", Kind::Period(Period::seconds(0), Period::days(30))),
        setting("verified_tokens", Kind::Number(0, 10 * MILLION)),
        setting("log", Kind::Word(&["text", "json"])),
        setting(
            "log_level",
            Kind::Word(&["off", "error", "warn", "info", "debug", "trace"]),
        ),
        setting("password.min_length", Kind::Number(1, 512)),
        setting("password.max_length", Kind::Number(1, 512)),
        setting("password.min_strength", Kind::Number(0, 4)),
        setting("password.argon2.memory_kib", Kind::Number(8, 1 << 20)),
        setting("password.argon2.iterations", Kind::Number(1, 64)),
        setting("password.argon2.lanes", Kind::Number(1, 64)),
        setting("username.max_length", Kind::Number(1, Username::MOST_LENGTH as u64)),
        setting("throttle.per_source.per_minute", Kind::Number(1, MILLION)),
        setting("throttle.per_source.burst", Kind::Number(1, MILLION)),
        setting("throttle.max_failures", Kind::Number(1, MILLION)),
        setting(
            "cors.allow_origins",
            Kind::List("a list of origins, like [\"https://app.example\"]"),
        ),
        setting("audit.max_age", Kind::Period(Period::hours(1), Period::days(36500))),
        setting("audit.max_events", Kind::Number(1, 1000 * MILLION)),
    ];

    /// The setting called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|setting| setting.name == name).copied()
    }

    /// What it may be, in words.
    #[must_use]
    pub fn allowed(self) -> String {
        match self.kind {
            Kind::Number(least, most) => format!("a whole number from {least} to {most}"),
            Kind::Period(least, most) => format!("a text like \"15m\", from {least} to {most}"),
            Kind::Size(least, most) => format!("a size like \"32MiB\", from {least} to {most}"),
            Kind::Word(words) => words
                .iter()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(" or "),
            Kind::Text(what) | Kind::List(what) | Kind::Secret(what, _) => what.to_owned(),
        }
    }

    /// Whether its value must never be shown.
    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(self.kind, Kind::Secret(..))
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(self) -> String {
        variable(self.name)
    }

    fn admits(self, value: &Value) -> bool {
        match (self.kind, value) {
            (Kind::Number(least, most), value) => value.as_u64().is_some_and(|n| (least..=most).contains(&n)),
            (Kind::Period(least, most), Value::String(text)) => {
                text.parse().is_ok_and(|period| (least..=most).contains(&period))
            }
            (Kind::Size(least, most), Value::String(text)) => {
                text.parse().is_ok_and(|size| (least..=most).contains(&size))
            }
            (Kind::Text(_), Value::String(text)) => !text.is_empty(),
            // Every other kind was checked when it was read, and secrets are not to be seen here.
            _ => true,
        }
    }
}

/// The variable that sets the setting, or the table of settings, called `name`.
pub(super) fn variable(name: &str) -> String {
    format!("SHILD_{}", name.to_ascii_uppercase().replace('.', "__"))
}

/// How a variable for `name` is read; `None` if there is neither a setting nor a table of that name.
pub(super) fn form(name: &str) -> Option<Form> {
    match Setting::find(name).map(|setting| setting.kind) {
        Some(Kind::Number(..)) => Some(Form::Number),
        Some(Kind::List(_)) => Some(Form::List),
        Some(_) => Some(Form::Text),
        None => members(name).next().map(|_| Form::Table),
    }
}

/// The settings in the table called `name`, by their names in it.
pub(super) fn members(name: &str) -> impl Iterator<Item = &'static str> {
    Setting::ALL
        .iter()
        .filter_map(move |setting| setting.name.strip_prefix(name)?.strip_prefix('.'))
}

/// The setting that somebody who wrote `name` most likely meant: one whose name, or the last part of it, differs in at
/// most a third of its characters.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |setting: &Setting| {
        let whole = strsim::damerau_levenshtein(name, setting.name);
        let part = strsim::damerau_levenshtein(&last(name), &last(setting.name));
        // The whole name counts first: two tables may have members of one name.
        let close = whole * 3 <= setting.name.len() || part * 3 <= last(setting.name).len();
        close.then_some((part.min(whole), whole))
    };
    Setting::ALL
        .iter()
        .filter_map(|setting| Some((distance(setting)?, setting.name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Checks the range of every setting in `settings`.
///
/// # Errors
/// The first that is outside of its range.
pub(super) fn check_ranges(settings: &Settings) -> Result<(), SettingsError> {
    let values = super::error::as_json(settings);
    for setting in Setting::ALL {
        let value = values.pointer(&pointer(setting.name)).unwrap_or(&Value::Null);
        if !value.is_null() && !setting.admits(value) {
            return Err(SettingsError::out_of_range(settings, setting.name));
        }
    }
    for (name, secret) in [
        ("metrics_token", &settings.metrics_token),
        ("master_key", &settings.master_key),
    ] {
        let Some(Kind::Secret(_, is_right)) = Setting::find(name).map(|setting| setting.kind) else {
            continue;
        };
        if secret.as_ref().is_some_and(|secret| !is_right(secret.expose())) {
            return Err(SettingsError::out_of_range(settings, name));
        }
    }
    Ok(())
}

/// The JSON pointer (RFC 6901) of the setting called `name`.
pub(super) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('.', "/"))
}

/// `b64token` of RFC 6750 §2.1: what can stand after `Bearer`.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

/// Whether `text` looks like a PASERK `k4.local`; what it holds is checked where it is used.
fn is_k4_local(text: &str) -> bool {
    text.strip_prefix("k4.local.").is_some_and(|key| {
        key.len() == 43
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_setting_and_no_other() {
        fn walk(prefix: &str, value: &Value, names: &mut Vec<String>) {
            for (key, value) in value.as_object().into_iter().flatten() {
                let name = format!("{prefix}{key}");
                if value.is_object() {
                    walk(&format!("{name}."), value, names);
                } else {
                    names.push(name);
                }
            }
        }
        let all_set = Settings {
            issuer: Some("https://id.example".to_owned().try_into().unwrap()),
            audience: Some("a".to_owned().try_into().unwrap()),
            metrics_token: Some(crate::config::Secret::new("a".to_owned())),
            master_key: Some(crate::config::Secret::new("a".to_owned())),
            key_rotation: Some(Period::days(90)),
            hash_threads: Some(1),
            hash_queue: Some(1),
            ..Settings::default()
        };
        let mut names = Vec::new();
        walk("", &serde_json::to_value(&all_set).unwrap(), &mut names);
        names.sort_unstable();
        let mut table: Vec<_> = Setting::ALL.iter().map(|setting| setting.name).collect();
        table.sort_unstable();
        assert_eq!(names, table);
    }

    #[test]
    fn near_misses_find_what_was_meant_and_others_find_nothing() {
        for (wrong, meant) in [
            ("min_length", Some("password.min_length")),
            ("password.minlength", Some("password.min_length")),
            ("username.max_lenght", Some("username.max_length")),
            ("pasword.max_length", Some("password.max_length")),
            ("acces_token_ttl", Some("access_token_ttl")),
            ("something_else", None),
            ("x", None),
        ] {
            assert_eq!(nearest(wrong), meant, "{wrong}");
        }
    }
}
