//! Time and randomness, handed in.
//!
//! Nothing else in this crate asks the operating system for the time or for random bytes, so a
//! test can move the one and fix the other.

use std::fmt;
use std::time::Duration;

use jiff::tz::Offset;
use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::{InstanceType, Schema, SchemaObject};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Shown and read as RFC 3339 in UTC with `Z`; kept in binary records as the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `millis` milliseconds after 1970-01-01T00:00:00Z, clamped to what RFC 3339 can
    /// show (years 0 to 9999).
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        const FIRST: i64 = -62_167_219_200_000;
        const LAST: i64 = 253_402_207_200_000;
        if millis < FIRST {
            Self(FIRST)
        } else if millis > LAST {
            Self(LAST)
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This point with its fraction of a second cut off, as tokens carry it.
    #[must_use]
    pub const fn truncate_to_secs(self) -> Self {
        Self(self.as_secs() * 1000)
    }

    /// The point `span` later; the last one there is, if that would be past it.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The point `span` earlier; the first one there is, if that would be before it.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long it is from `earlier` to this point; zero if `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339 in UTC exactly as PASETO claims have it: uppercase `T` and `Z`, no other
    /// offset (requirement P3).
    #[must_use]
    pub fn parse_rfc3339_utc(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let plain = bytes.len() >= 20 && bytes[10] == b'T' && bytes.last() == Some(&b'Z');
        let digits_only = bytes
            .iter()
            .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'.' | b'T' | b'Z'));
        if !(plain && digits_only) {
            return None;
        }
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Self::from_millis(at.as_millisecond()))
    }
}

/// A time as it is shown.
struct Shown {
    text: [u8; 24],
    len: usize,
}

impl Shown {
    /// Whole seconds as tokens have them, else always milliseconds. Several of these are in each answer and each line of the
    /// log, and formatting them took a twentieth of what a request cost.
    fn of(at: Timestamp) -> Self {
        // The range of a timestamp is within that of the calendar.
        let when = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        let when = Offset::UTC.to_datetime(when);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (start, width, number) in [
            (0, 4, when.year().unsigned_abs()),
            (5, 2, when.month().unsigned_abs().into()),
            (8, 2, when.day().unsigned_abs().into()),
            (11, 2, when.hour().unsigned_abs().into()),
            (14, 2, when.minute().unsigned_abs().into()),
            (17, 2, when.second().unsigned_abs().into()),
            (20, 3, when.millisecond().unsigned_abs()),
        ] {
            let mut rest = number;
            for digit in text[start..start + width].iter_mut().rev() {
                *digit += (rest % 10) as u8;
                rest /= 10;
            }
        }
        let mut len = text.len();
        if when.millisecond() == 0 {
            text[19] = b'Z';
            len = 20;
        }
        Self { text, len }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Shown::of(*self).as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(Shown::of(*self).as_str())
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Self::parse_rfc3339_utc(&text)
                .ok_or_else(|| de::Error::custom("expected an RFC 3339 time in UTC, like 2026-01-31T12:00:00Z"))
        } else {
            i64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

impl JsonSchema for Timestamp {
    fn is_referenceable() -> bool {
        false
    }

    fn schema_name() -> String {
        "Timestamp".to_owned()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        SchemaObject {
            instance_type: Some(InstanceType::String.into()),
            format: Some("date-time".to_owned()),
            ..SchemaObject::default()
        }
        .into()
    }
}

/// Tells the time. The running program uses [`SystemClock`], a test one that it moves itself.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}

/// Gives random bytes. The running program uses [`SystemRandom`], a test may use a seeded one.
pub trait Random: Send + Sync + 'static {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    /// # Panics
    /// If the operating system has no random bytes to give: nothing safe can be done without.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for random bytes")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// `N` random bytes.
pub fn random_bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339_in_utc_with_z() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(at.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(at.truncate_to_secs().to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(
            Timestamp::from_millis(1_700_000_000_100).to_string(),
            "2023-11-14T22:13:20.100Z"
        );
        assert_eq!(Timestamp::parse_rfc3339_utc("2023-11-14T22:13:20.123Z"), Some(at));
    }

    #[test]
    fn every_time_is_shown_as_the_calendar_has_it() {
        let first = Timestamp::from_millis(i64::MIN).as_millis();
        let last = Timestamp::from_millis(i64::MAX).as_millis();
        // A number that has nothing to do with days or years.
        for millis in (first..=last).step_by(7_777_777_771_333).chain([first, -1, 0, 1, last]) {
            let at = Timestamp::from_millis(millis);
            let calendar = jiff::Timestamp::from_millisecond(millis).unwrap();
            assert_eq!(at.to_string(), format!("{calendar:.3}").replace(".000Z", "Z"));
            assert_eq!(Timestamp::parse_rfc3339_utc(&at.to_string()), Some(at));
            assert_eq!(serde_json::to_value(at).unwrap(), at.to_string());
        }
    }

    // P3
    #[test]
    fn other_forms_of_a_time_are_refused() {
        for text in [
            "2023-11-14t22:13:20Z",
            "2023-11-14T22:13:20z",
            "2023-11-14T22:13:20+00:00",
            "2023-11-14 22:13:20Z",
            "2023-11-14T22:13:20",
            "2023-11-14",
            "",
        ] {
            assert_eq!(Timestamp::parse_rfc3339_utc(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_stays_inside_what_can_be_shown() {
        let last = Timestamp::from_millis(i64::MAX);
        assert_eq!(last.after(Duration::from_secs(1)), last);
        assert!(last.to_string().starts_with("9999-12-3"));
        let first = Timestamp::from_millis(i64::MIN);
        assert_eq!(first.before(Duration::MAX), first);
        assert_eq!(first.since(last), Duration::ZERO);
    }
}
