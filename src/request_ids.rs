//! Names for requests: in an answer's `X-Request-Id`, in its line of the log, and in the audit log (requirement H13).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Random, random_bytes};
use crate::token::mac::tag128;

/// Makes ids that do not repeat and tell nothing, not even how many there were. That takes no secrecy, so the operating system
/// need not be asked for random bytes for each.
pub(crate) struct RequestIds {
    key: [u8; 16],
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(random: &dyn Random) -> Self {
        Self {
            key: random_bytes(random),
            count: AtomicU64::new(0),
        }
    }

    /// The id that a request came with, if that is one; else a new one.
    pub(crate) fn of(&self, given: Option<&str>) -> String {
        given.filter(|id| is_request_id(id)).map_or_else(
            || {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                hex(tag128(&self.key, &number.to_le_bytes()))
            },
            str::to_owned,
        )
    }
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIds").finish_non_exhaustive()
    }
}

/// The 32 digits of a number: one is made for nearly every request, and formatting it took most of that.
fn hex(number: u128) -> String {
    let digit = |half| b"0123456789abcdef"[usize::from(half)];
    let digits = number.to_be_bytes().map(|byte| [digit(byte >> 4), digit(byte & 0xF)]);
    str::from_utf8(digits.as_flattened()).unwrap_or_default().to_owned()
}

fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    // H13
    #[test]
    fn only_harmless_ids_are_echoed() {
        let ids = RequestIds::new(&SystemRandom);
        for id in ["A.b_c-9", &"a".repeat(64)] {
            assert_eq!(ids.of(Some(id)), id);
        }
        for id in ["", "a b", "a\nb", "é", &"a".repeat(65)] {
            assert_ne!(ids.of(Some(id)), id, "{id:?}");
        }
    }

    #[test]
    fn a_made_id_is_a_number_in_hexadecimal() {
        for number in [0, 1, u128::MAX, 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210] {
            assert_eq!(hex(number), format!("{number:032x}"));
        }
    }

    #[test]
    fn made_ids_do_not_repeat_and_are_such_as_are_echoed() {
        let ids = RequestIds::new(&SystemRandom);
        let (one, other) = (ids.of(None), ids.of(None));
        assert_ne!(one, other);
        assert_eq!(ids.of(Some(&one)), one);
        assert_ne!(RequestIds::new(&SystemRandom).of(None), one);
    }
}
