//! The log: one line an event on standard error, as text or as JSON.
//!
//! Nothing that a request brings may forge a line (requirement H13): every control character is escaped on the way out,
//! whoever put it into an event. In text form record what a request brought as a `&str` field, which is quoted; with
//! `%` it could still look like another field of its own line.
//!
//! Rocket's own records are left out. They show the whole URI with its query, and the debug form of whatever a guard
//! refused, which may be a body with a password in it (requirement H14); at their usual level they also cost a quarter
//! of the throughput.

mod aside;
mod fields;

use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::thread;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use self::aside::Aside;
use self::fields::TextFields;
use crate::clock::{Clock, SystemClock};

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is logged.
    Off,
    /// What failed for good.
    Error,
    /// What somebody should look at.
    Warn,
    /// One line a request, and what the server itself does.
    Info,
    /// What helps to find a defect.
    Debug,
    /// All there is.
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::OFF,
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// Keeps the log running; dropped, it writes what still waits (for one second at most) and ends it.
#[must_use = "the log ends when this is dropped"]
pub struct Guard(Aside);

impl Guard {
    /// How many lines were lost because standard error did not take them in time.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.0.dropped()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("dropped_lines", &self.dropped_lines())
            .finish_non_exhaustive()
    }
}

/// Why a log was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is one in this process.
    #[error("the log was already started")]
    AlreadyStarted,
    /// No thread could be had.
    #[error("the log's thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// Starts the log of the process: from here on `tracing` events at `level` and above, records of the crate `log` at
/// warn and above, and panics go to standard error. Call it before Rocket launches, which then leaves the log alone.
///
/// A thread of its own writes, all that has come within ten milliseconds at once. When standard error takes nothing,
/// 4 MiB of lines wait, besides those it was given, and later ones are dropped and counted: a stuck terminal or pipe must not hold up sign-ins, and
/// what must not be lost is in the audit log, not here.
///
/// # Errors
/// There already is a log in this process, or no thread for it.
pub fn init(format: Format, level: Level) -> Result<Guard, StartError> {
    let aside = Aside::start(io::stderr())?;
    let guard = Guard(aside.clone());
    let subscriber = subscriber(format, level, aside);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| StartError::AlreadyStarted)?;
    ::log::set_boxed_logger(Box::new(Bridge)).map_err(|_| StartError::AlreadyStarted)?;
    // The macros of `log` look at this first: below it a record costs one comparison.
    ::log::set_max_level(::log::LevelFilter::Warn);
    panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// What writes events to `writer`, each in one call and on one line.
pub fn subscriber<W>(format: Format, level: Level, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(level))
        .with_ansi(false)
        .with_timer(Now)
        .with_writer(OneLine(writer))
        // Its reports would go to standard error past the escaping.
        .log_internal_errors(false);
    match format {
        Format::Text => Box::new(builder.fmt_fields(TextFields).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// Times as everywhere else in shild.
struct Now;

impl FormatTime for Now {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", SystemClock.now())
    }
}

/// Escapes every control character of a line but the line break at its end.
///
/// The escapes are those of JSON strings, which is where control characters can be in the JSON form; so they leave it
/// valid, and the text form needs no others.
struct OneLine<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: Write> Write for OneLine<W> {
    /// Takes one whole event, as `tracing-subscriber` writes them.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        // Nearly every line is plain, and there is one for each request: without a way out the compiler takes many bytes at once.
        let plain = line.iter().fold(true, |all, byte| all & (b' '..=b'~').contains(byte));
        let text = if plain {
            "".into()
        } else {
            String::from_utf8_lossy(line)
        };
        if text.chars().any(breaks_lines) {
            self.0.write_all(format!("{}\n", escaped(&text)).as_bytes())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Controls of all kinds, and the two separators that some viewers break lines at.
fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn escaped(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if breaks_lines(c) => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out
}

/// Hands on what other crates report through the crate `log`.
struct Bridge;

impl ::log::Log for Bridge {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.level() <= ::log::Level::Warn && !is_rockets(metadata.target())
    }

    fn log(&self, record: &::log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let from = record.target();
        if record.level() == ::log::Level::Error {
            tracing::error!(from, "{}", record.args());
        } else {
            tracing::warn!(from, "{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Whether Rocket reports this: itself, or from the code that its macros put around a handler of ours.
fn is_rockets(target: &str) -> bool {
    ["rocket", "shild"].contains(&target.split("::").next().unwrap_or(target)) || target.ends_with("::_")
}

/// Tells where a panic was, never what it said: the message may hold a value from a request (requirement H14).
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let thread = thread::current();
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(thread = thread.name().unwrap_or("unnamed"), location, "panic");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Sink {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(format: Format, level: Level, events: impl FnOnce()) -> String {
        let sink = Sink::default();
        tracing::subscriber::with_default(subscriber(format, level, sink.clone()), events);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    const HOSTILE: &str = "a\r\n2026-01-01T00:00:00Z ERROR forged\u{85}\u{2028}\u{1b}[2J\0\u{7f}";

    // H13
    #[test]
    fn no_field_and_no_message_can_break_a_line() {
        for format in [Format::Text, Format::Json] {
            let log = logged(format, Level::Info, || {
                tracing::info!(shown = %HOSTILE, debug = ?HOSTILE, text = HOSTILE, "{HOSTILE}");
                let _span = tracing::info_span!("span", field = %HOSTILE).entered();
                tracing::info!("in a span");
            });
            assert_eq!(log.matches('\n').count(), 2, "{log:?}");
            assert!(!log.chars().any(|c| c != '\n' && breaks_lines(c)), "{log:?}");
        }
    }

    // H13
    #[test]
    fn json_lines_stay_json_and_keep_every_character() {
        let log = logged(
            Format::Json,
            Level::Info,
            || tracing::info!(shown = %HOSTILE, text = HOSTILE, "{HOSTILE}"),
        );
        let event: serde_json::Value = serde_json::from_str(&log).unwrap();
        for field in ["shown", "text", "message"] {
            assert_eq!(event[field], HOSTILE, "{field}");
        }
        assert_eq!(event["level"], "INFO");
    }

    #[test]
    fn only_the_level_asked_for_and_above_is_logged() {
        let events = || {
            tracing::error!("one");
            tracing::info!("two");
            tracing::debug!("three");
        };
        assert_eq!(logged(Format::Text, Level::Info, events).lines().count(), 2);
        assert_eq!(logged(Format::Text, Level::Error, events).lines().count(), 1);
        assert_eq!(logged(Format::Text, Level::Off, events), "");
    }

    // H14
    #[test]
    fn records_of_rocket_and_of_its_macros_are_left_out() {
        use ::log::Log as _;
        let record = |target, level| {
            Bridge.log(
                &::log::Record::builder()
                    .target(target)
                    .level(level)
                    .args(format_args!("/?q=secret"))
                    .build(),
            );
        };
        let log = logged(Format::Text, Level::Trace, || {
            record("rocket::server::_", ::log::Level::Error);
            record("rocket::launch", ::log::Level::Warn);
            record("shild::routes::register::_", ::log::Level::Warn);
            record("sled::pagecache", ::log::Level::Info);
        });
        assert_eq!(log, "");
        let log = logged(Format::Text, Level::Trace, || {
            record("sled::pagecache", ::log::Level::Warn);
        });
        assert!(log.contains("sled::pagecache") && log.contains("WARN"), "{log}");
    }

    // H14
    #[test]
    fn a_panic_is_logged_with_its_place_and_without_its_message() {
        let log = logged(Format::Text, Level::Error, || {
            let before = panic::take_hook();
            panic::set_hook(Box::new(log_panic));
            let result = panic::catch_unwind(|| panic!("password hunter2"));
            panic::set_hook(before);
            assert!(result.is_err());
        });
        assert!(log.contains("log.rs:") && log.contains("a_panic_is_logged"), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}
