//! What readers see while a transaction is on its way to the disk: the records of before.
//!
//! sled shows a transaction as soon as it is in memory. Whoever acted on one that could then not be written, and that is gone
//! once the database has been opened again, would have acted on what never was.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use ::sled::{IVec, Iter};

use super::super::{EngineError, Range};

/// The records that are being changed, by their places, as they were; `None` where there was none.
#[derive(Default)]
pub(super) struct Pending(BTreeMap<Vec<u8>, Kept>);

struct Kept {
    before: Option<IVec>,
    /// Whether there is one afterwards.
    stays: bool,
}

impl Pending {
    /// The record at this place is going to change.
    pub(super) fn keep(&mut self, place: Vec<u8>, before: Option<IVec>, stays: bool) {
        self.0.insert(place, Kept { before, stays });
    }

    /// The record as it was, if it is being changed.
    pub(super) fn get(&self, place: &[u8]) -> Option<&Option<IVec>> {
        self.0.get(place).map(|kept| &kept.before)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&IVec>)> {
        self.0.iter().map(|(place, kept)| (&place[..], kept.before.as_ref()))
    }

    /// Where there was no record, or is none afterwards.
    pub(super) fn added_or_removed(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(|(_, kept)| kept.before.is_some() != kept.stays)
            .map(|(place, _)| &place[..])
    }

    /// The first of the records that were there, or the last if `backwards`.
    fn first_in(&self, range: Range<'_>, backwards: bool) -> Option<(&[u8], &IVec)> {
        if self.0.is_empty() || is_empty(range) {
            return None;
        }
        let mut records = self
            .0
            .range::<[u8], _>(range)
            .filter_map(|(place, kept)| Some((&place[..], kept.before.as_ref()?)));
        if backwards { records.next_back() } else { records.next() }
    }
}

/// A map panics at such a range.
fn is_empty(range: Range<'_>) -> bool {
    match range {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start >= end,
    }
}

/// A walk over a range, in which what is being changed is as it was.
pub(super) struct Walk {
    range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    backwards: bool,
    records: Iter,
    /// The next one of `records`.
    ahead: Option<(IVec, IVec)>,
    /// The place of the one before.
    last: Option<IVec>,
}

impl Walk {
    /// `records` are those of the same range.
    pub(super) fn over(records: Iter, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), backwards: bool) -> Self {
        Self {
            range,
            backwards,
            records,
            ahead: None,
            last: None,
        }
    }

    /// The next record. `pending` may be another each time.
    pub(super) fn next(&mut self, pending: &Pending) -> Result<Option<(IVec, IVec)>, EngineError> {
        loop {
            if self.ahead.is_none() {
                let next = if self.backwards {
                    self.records.next_back()
                } else {
                    self.records.next()
                };
                self.ahead = next.transpose()?;
            }
            let kept = pending.first_in(self.rest(), self.backwards);
            let kept = match (kept, &self.ahead) {
                (Some((key, record)), Some((ahead, _))) => match self.order(key, ahead) {
                    Ordering::Less => Some((key, record)),
                    // What is there now is what it is being changed to.
                    Ordering::Equal => {
                        self.ahead = None;
                        Some((key, record))
                    }
                    Ordering::Greater => None,
                },
                (kept, _) => kept,
            };
            let next = match kept {
                Some((key, record)) => Some((IVec::from(key), record.clone())),
                None => self.ahead.take(),
            };
            let Some((key, record)) = next else {
                return Ok(None);
            };
            self.last = Some(key.clone());
            if kept.is_some() || pending.get(&key).is_none() {
                return Ok(Some((key, record)));
            }
        }
    }

    /// What has not been visited of the range.
    fn rest(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let [start, end] = [&self.range.0, &self.range.1].map(|bound| bound.as_ref().map(|place| &place[..]));
        match (&self.last, self.backwards) {
            (None, _) => (start, end),
            (Some(last), false) => (Bound::Excluded(last), end),
            (Some(last), true) => (start, Bound::Excluded(last)),
        }
    }

    /// Which of two places comes first.
    fn order(&self, one: &[u8], other: &[u8]) -> Ordering {
        if self.backwards { other.cmp(one) } else { one.cmp(other) }
    }
}
