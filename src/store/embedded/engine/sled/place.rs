//! Where the records of all trees lie in sled's one tree: behind a byte that says whose they are.

use std::ops::Bound;

use super::super::Range;
use crate::store::embedded::record::Tree;

/// Where the record under `key` lies.
pub(super) fn place(tree: Tree, key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(1 + key.len());
    place.push(tag(tree));
    place.extend_from_slice(key);
    place
}

/// The key of the record that lies at a [`place`].
pub(super) fn key_at(place: &[u8]) -> &[u8] {
    place.get(1..).unwrap_or_default()
}

/// Where the records of a range of keys lie.
pub(super) fn range_of(tree: Tree, (start, end): Range<'_>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let start = match start {
        Bound::Unbounded => Bound::Included(vec![tag(tree)]),
        given => given.map(|key| place(tree, key)),
    };
    let end = match end {
        Bound::Unbounded => Bound::Excluded(vec![tag(tree) + 1]),
        given => given.map(|key| place(tree, key)),
    };
    (start, end)
}

/// The byte. It is in the files: [`Tree::ALL`] is in the order that the tally has too.
fn tag(tree: Tree) -> u8 {
    u8::try_from(tree.index()).expect("there are nine trees")
}
