//! What readers see while a transaction is on its way to the disk: the records of before.
//!
//! sled shows a transaction as soon as it is in memory. Whoever acted on one that could then not be written, and that is gone
//! once the database has been opened again, would have acted on what never was.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use ::sled::{IVec, Iter};

use super::super::{EngineError, Range};
use crate::store::embedded::record::Tree;

/// The records that are being changed, as they were; `None` where there was none.
#[derive(Default)]
pub(super) struct Pending([BTreeMap<Vec<u8>, Option<IVec>>; Tree::ALL.len()]);

impl Pending {
    /// This record is going to change.
    pub(super) fn keep(&mut self, tree: Tree, key: &[u8], before: Option<IVec>) {
        self.0[tree.index()].insert(key.to_vec(), before);
    }

    /// The record as it was, if it is being changed.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Option<&Option<IVec>> {
        self.0[tree.index()].get(key)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Tree, &[u8], Option<&IVec>)> {
        Tree::ALL.into_iter().zip(&self.0).flat_map(|(tree, records)| {
            let records = records.iter();
            records.map(move |(key, before)| (tree, &key[..], before.as_ref()))
        })
    }

    /// The first of the records that were there, or the last if `backwards`.
    fn first_in(&self, tree: Tree, range: Range<'_>, backwards: bool) -> Option<(&[u8], &IVec)> {
        let records = &self.0[tree.index()];
        if records.is_empty() || is_empty(range) {
            return None;
        }
        let mut records = records
            .range::<[u8], _>(range)
            .filter_map(|(key, before)| Some((&key[..], before.as_ref()?)));
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
pub(super) struct Walk<'a> {
    tree: Tree,
    range: Range<'a>,
    backwards: bool,
    records: Iter,
    /// The next one of `records`.
    ahead: Option<(IVec, IVec)>,
    /// The key of the one before.
    last: Option<IVec>,
}

impl<'a> Walk<'a> {
    pub(super) fn over(records: Iter, tree: Tree, range: Range<'a>, backwards: bool) -> Self {
        Self {
            tree,
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
            let kept = pending.first_in(self.tree, self.rest(), self.backwards);
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
            if kept.is_some() || pending.get(self.tree, &key).is_none() {
                return Ok(Some((key, record)));
            }
        }
    }

    /// What has not been visited of the range.
    fn rest(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match (&self.last, self.backwards) {
            (None, _) => self.range,
            (Some(last), false) => (Bound::Excluded(last), self.range.1),
            (Some(last), true) => (self.range.0, Bound::Excluded(last)),
        }
    }

    /// Which of two keys comes first.
    fn order(&self, one: &[u8], other: &[u8]) -> Ordering {
        if self.backwards { other.cmp(one) } else { one.cmp(other) }
    }
}
