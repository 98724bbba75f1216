//! Values that settings are made of: periods, sizes, networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a value was refused: what is wrong with it. What is allowed stands in [`Setting::allowed`](super::Setting).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub(super) String);

impl InvalidValue {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A length of time, written like `15m`, `7d` or `1h30m`; a day has 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Period(Duration);

/// The units of a period, the longest first, in milliseconds.
const PERIOD_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl Period {
    /// `n` seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// `n` minutes.
    #[must_use]
    pub const fn minutes(n: u64) -> Self {
        Self::seconds(n * 60)
    }

    /// `n` hours.
    #[must_use]
    pub const fn hours(n: u64) -> Self {
        Self::minutes(n * 60)
    }

    /// `n` days of 24 hours.
    #[must_use]
    pub const fn days(n: u64) -> Self {
        Self::hours(n * 24)
    }

    /// The same as a [`Duration`].
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Period {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut millis = 0_u64;
        let mut rest = text;
        let mut units = PERIOD_UNITS.iter();
        while !rest.is_empty() {
            let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
            let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
            if number.is_empty() {
                return Err(InvalidValue::new("it is not numbers with units"));
            }
            if unit.is_empty() {
                return Err(InvalidValue::new(format!("{number} has no unit: d, h, m, s or ms")));
            }
            // Searching on from the last unit found refuses repeated and unordered ones.
            let Some((_, factor)) = units.find(|(name, _)| *name == unit) else {
                return Err(InvalidValue::new(format!(
                    "the units are d, h, m, s and ms, in this order, not {unit}"
                )));
            };
            millis = number
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(*factor)?.checked_add(millis))
                .ok_or_else(|| InvalidValue::new("it is too long"))?;
            rest = after;
        }
        if text.is_empty() {
            return Err(InvalidValue::new("it is empty"));
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let (unit, factor) = PERIOD_UNITS
            .into_iter()
            .find(|(_, factor)| millis.is_multiple_of(*factor))
            .unwrap_or(("ms", 1));
        write!(f, "{}{unit}", millis / factor)
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

/// A number of bytes, written like `32MiB`, or as the number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// The units of a size, the largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = if unit.is_empty() { "B" } else { unit.trim_start() };
        let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(InvalidValue::new(format!(
                "the units are B, KiB, MiB and GiB, not {unit}"
            )));
        };
        let number: u64 = number
            .parse()
            .map_err(|_| InvalidValue::new("it does not begin with a whole number"))?;
        number
            .checked_mul(*factor)
            .map(Self)
            .ok_or_else(|| InvalidValue::new("it is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS
            .into_iter()
            .find(|(_, factor)| self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;

        impl Visitor<'_> for Size {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::custom("it is negative"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Size)
    }
}

/// A proxy, or a network of proxies: an address, or a CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TrustedProxy(IpNet);

impl TrustedProxy {
    /// Whether `address` is one of them. An IPv4 address mapped into IPv6 counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for TrustedProxy {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address.to_canonical()),
            Err(_) => text
                .parse()
                .map_err(|_| InvalidValue::new(format!("{text:?} is neither")))?,
        };
        Ok(Self(network.trunc()))
    }
}

impl From<TrustedProxy> for String {
    fn from(proxy: TrustedProxy) -> Self {
        if proxy.0.prefix_len() == proxy.0.max_prefix_len() {
            proxy.0.addr().to_string()
        } else {
            proxy.0.to_string()
        }
    }
}

impl TryFrom<String> for TrustedProxy {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

/// The longest issuer and the longest audience, in bytes [own]: a token that carries all that one may stays within the 4 KiB of
/// requirement P11.
pub(super) const MAX_CLAIM_LEN: usize = 128;

/// The claim `aud`: 1 to 128 bytes, no control character, quotation mark or backslash among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Audience(String);

impl Audience {
    /// The claim's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Audience> for String {
    fn from(audience: Audience) -> Self {
        audience.0
    }
}

impl TryFrom<String> for Audience {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        if text.is_empty() {
            return Err(InvalidValue::new("it is empty"));
        }
        if text.len() > MAX_CLAIM_LEN {
            return Err(InvalidValue::new("it is longer than 128 bytes"));
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')) {
            return Err(InvalidValue::new(
                "it has a control character, a quotation mark or a backslash",
            ));
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_shown_in_its_longest_whole_unit_and_reads_back() {
        for (text, shown, millis) in [
            ("15m", "15m", 900_000),
            ("900s", "15m", 900_000),
            ("7d", "7d", 604_800_000),
            ("24h", "1d", 86_400_000),
            ("1h30m", "90m", 5_400_000),
            ("1d2h3m4s5ms", "93784005ms", 93_784_005),
            ("0s", "0s", 0),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.millis(), millis, "{text}");
            assert_eq!(period.to_string(), shown);
            assert_eq!(shown.parse(), Ok(period));
        }
    }

    #[test]
    fn what_is_no_period_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is empty"),
            ("15", "15 has no unit: d, h, m, s or ms"),
            ("m", "it is not numbers with units"),
            ("-1s", "it is not numbers with units"),
            ("1.5h", "1 has no unit: d, h, m, s or ms"),
            ("1w", "the units are d, h, m, s and ms, in this order, not w"),
            ("1m1h", "the units are d, h, m, s and ms, in this order, not h"),
            ("1s1s", "the units are d, h, m, s and ms, in this order, not s"),
            ("99999999999999999999d", "it is too long"),
            ("9999999999999999d", "it is too long"),
        ] {
            assert_eq!(text.parse::<Period>(), Err(InvalidValue::new(reason)), "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_in_its_largest_whole_unit_and_reads_back() {
        for (text, shown, bytes) in [
            ("32MiB", "32MiB", 33_554_432),
            ("1024", "1KiB", 1024),
            ("5 B", "5B", 5),
            ("1025B", "1025B", 1025),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown));
            assert_eq!(shown.parse(), Ok(size));
        }
        for text in ["", "MiB", "32MB", "-1", "99999999999GiB", "1.5GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    // H8
    #[test]
    fn a_proxy_is_an_address_or_a_block_whatever_form_the_peer_comes_in() {
        let proxy = |text: &str| text.parse::<TrustedProxy>().unwrap();
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(proxy("10.1.2.3").contains(peer("10.1.2.3")));
        assert!(!proxy("10.1.2.3").contains(peer("10.1.2.4")));
        assert!(proxy("10.1.2.3/8").contains(peer("10.9.9.9")));
        assert!(proxy("10.0.0.0/8").contains(peer("::ffff:10.9.9.9")));
        assert!(proxy("::1").contains(peer("::1")));
        assert!(!proxy("fd00::/8").contains(peer("10.0.0.1")));
        assert_eq!(String::from(proxy("10.1.2.3/8")), "10.0.0.0/8");
        assert_eq!(String::from(proxy("::1/128")), "::1");
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1:80"] {
            assert!(text.parse::<TrustedProxy>().is_err(), "{text}");
        }
    }
}
