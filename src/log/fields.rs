//! The fields of an event in the text form: `message name="text" name=5`.
//!
//! As `tracing-subscriber` has them by itself, but for the way there: what is plain is copied as it is, where that takes the
//! debug form of everything. There is a line for each request, and its fields took two thirds of what it cost.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes fields.
pub(super) struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            first: true,
            outcome: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.outcome
    }
}

struct Visitor<'w> {
    writer: Writer<'w>,
    first: bool,
    outcome: fmt::Result,
}

impl<'w> Visitor<'w> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'w>) -> fmt::Result) {
        if self.outcome.is_ok() {
            self.outcome = self.try_put(field, value);
        }
    }

    fn try_put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'w>) -> fmt::Result) -> fmt::Result {
        if !self.first {
            self.writer.write_char(' ')?;
        }
        self.first = false;
        if field.name() != MESSAGE {
            self.writer.write_str(field.name())?;
            self.writer.write_char('=')?;
        }
        value(&mut self.writer)
    }
}

/// The field that is shown without its name, and without quotes.
const MESSAGE: &str = "message";

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |writer| write!(writer, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // Without a way out the compiler takes many letters at once.
        let plain = value.bytes().fold(true, |all, b| {
            all & matches!(b, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')
        });
        if field.name() == MESSAGE {
            self.put(field, |writer| writer.write_str(value));
        } else if plain {
            self.put(field, |writer| {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            });
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |writer| write!(writer, "{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::Subscriber;

    use super::*;

    fn written<S: Subscriber + Send + Sync>(by: impl FnOnce(Sink) -> S) -> String {
        let sink = Sink::default();
        tracing::subscriber::with_default(by(sink.clone()), || {
            let error = io::Error::other("it failed");
            tracing::info!(
                id = "0a-Z",
                method = "GET",
                status = 200_u16,
                micros = 17_u64,
                "answered"
            );
            tracing::info!(quoted = "a \"b\" \\ c", control = "a\nb", letters = "é", empty = "");
            tracing::warn!(shown = %error, debug = ?error, minus = -5, truth = true, "{} and {}", 1, 2);
            tracing::warn!(message = "only a message");
            tracing::warn!(
                some = Some(3),
                none = None::<u64>,
                cause = &error as &dyn std::error::Error
            );
        });
        let lines = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(lines.clone()).unwrap()
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn fields_look_as_they_do_without_this() {
        let builder = |sink: Sink| {
            tracing_subscriber::fmt()
                .without_time()
                .with_ansi(false)
                .with_writer(Mutex::new(sink))
        };
        let plain = written(|sink| builder(sink).finish());
        assert!(plain.lines().count() == 5 && plain.contains("answered"), "{plain}");
        assert_eq!(written(|sink| builder(sink).fmt_fields(TextFields).finish()), plain);
    }
}
