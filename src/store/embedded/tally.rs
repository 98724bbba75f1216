//! What the store holds, in a few numbers that every transaction carries on: by them a record that is missing, or that is not
//! the latest, is noticed, although all that are there are sound.

use serde::{Deserialize, Serialize};

use super::engine::{Before, Write};
use super::record::{HEADER_LEN, Tree, meta, seal};

/// How many records there are, and a digest of all of them; kept in the same transactions as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// How many transactions there were since the store was made.
    pub(super) transactions: u64,
    /// How many changes there were in them; to try whether it can be written is none.
    pub(super) changes: u64,
    /// How many records each tree has, in the order of [`Tree::ALL`].
    pub(super) records: [u64; Tree::ALL.len()],
    /// The sum of the digests of all records, whatever their order.
    pub(super) digest: u64,
}

impl Tally {
    /// A record is there.
    pub(super) fn add(&mut self, tree: Tree, key: &[u8], record: &[u8]) {
        if counts(tree, key) {
            self.records[tree.index()] = self.records[tree.index()].wrapping_add(1);
            self.digest = self.digest.wrapping_add(digest(record));
        }
    }

    /// A record is there no more.
    pub(super) fn take(&mut self, tree: Tree, key: &[u8], record: &[u8]) {
        if counts(tree, key) {
            self.records[tree.index()] = self.records[tree.index()].wrapping_sub(1);
            self.digest = self.digest.wrapping_sub(digest(record));
        }
    }

    /// All these records are there too.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (here, there) in self.records.iter_mut().zip(other.records) {
            *here = here.wrapping_add(there);
        }
        self.digest = self.digest.wrapping_add(other.digest);
    }

    /// The write that keeps it.
    pub(super) fn write(&self) -> Write {
        Write {
            tree: Tree::Meta,
            key: meta::TALLY.to_vec(),
            before: Before::Unknown,
            record: Some(seal(Tree::Meta, meta::TALLY, self)),
        }
    }

    /// Whether both are of the same records.
    pub(super) fn same_records(&self, other: &Self) -> bool {
        (self.records, self.digest) == (other.records, other.digest)
    }

    /// What is not as `counted`, in words; `None` if all is.
    pub(super) fn disagreement(&self, counted: &Self) -> Option<String> {
        if let Some(tree) = Tree::ALL
            .into_iter()
            .find(|tree| self.records[tree.index()] != counted.records[tree.index()])
        {
            let [said, found] = [self, counted].map(|tally| tally.records[tree.index()]);
            return Some(format!("it says {said} {}, and there are {found}", tree.name()));
        }
        (!self.same_records(counted)).then(|| "not every record is the latest of its key".to_owned())
    }
}

/// The tally cannot tell its own record.
fn counts(tree: Tree, key: &[u8]) -> bool {
    tree != Tree::Meta || key != meta::TALLY
}

/// A digest of a record, of its length and the checksum that it begins with: that covers its place and its content, and holds
/// in every record that was read or made.
fn digest(record: &[u8]) -> u64 {
    let begins = record.first_chunk().map_or(0, |first: &[u8; HEADER_LEN]| {
        first.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
    });
    // The finaliser of SplitMix64: sums of what is next to each other must not be alike.
    let mut mixed = begins << 24 ^ record.len() as u64;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_missing_extra_or_older_is_noticed_and_order_is_not() {
        let of = |records: &[(&[u8], &[u8])]| {
            let mut tally = Tally::default();
            for (key, record) in records {
                tally.add(Tree::Users, key, record);
            }
            tally
        };
        let kept = of(&[(b"a", b"1 record"), (b"b", b"2 record")]);
        assert_eq!(
            kept.disagreement(&of(&[(b"b", b"2 record"), (b"a", b"1 record")])),
            None
        );
        for (found, words) in [
            (of(&[(b"a", b"1 record")]), "it says 2 users, and there are 1"),
            (
                of(&[(b"a", b"1 record"), (b"b", b"1 record")]),
                "not every record is the latest of its key",
            ),
        ] {
            assert_eq!(kept.disagreement(&found).as_deref(), Some(words));
        }
        let mut carried_on = of(&[(b"a", b"0 record"), (b"b", b"2 record"), (b"c", b"3 record")]);
        carried_on.take(Tree::Users, b"a", b"0 record");
        carried_on.add(Tree::Users, b"a", b"1 record");
        carried_on.take(Tree::Users, b"c", b"3 record");
        assert!(carried_on.same_records(&kept));
    }
}
