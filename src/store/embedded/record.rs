//! How a record lies in its tree: `version ‖ checksum ‖ payload`.
//!
//! The checksum covers the tree's name and the key too, so a whole record that turns up in the
//! wrong place is as damaged as one with a flipped bit.

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::store::StoreError;

/// The version of the layout below; the first byte of each record.
const VERSION: u8 = 1;

/// Version byte and CRC-32, before the payload.
pub(super) const HEADER_LEN: usize = 5;

/// The trees, one for each kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    /// User id → user.
    Users,
    /// Username → user id.
    Usernames,
    /// Skeleton of a username → user id.
    Skeletons,
    /// User id ‖ session id → session.
    Sessions,
    /// User id → failure count. None without a user.
    Failures,
    /// The one key [`KEYRING`] → all signing keys.
    Keys,
    /// Event id → event.
    Audit,
    /// Event id of a guess ([`AuditKind::is_guess`](crate::audit::AuditKind::is_guess)) → nothing.
    Guesses,
    /// The keys of [`meta`].
    Meta,
}

/// The key of the one record in [`Tree::Keys`].
pub(super) const KEYRING: &[u8] = b"keyring";

/// The keys of [`Tree::Meta`]; each but one leads to a `u64`.
pub(super) mod meta {
    /// The version of the whole layout.
    pub(in crate::store::embedded) const FORMAT: &[u8] = b"format";
    /// How many users are enabled admins; kept in the same transactions as the users.
    pub(in crate::store::embedded) const ENABLED_ADMINS: &[u8] = b"enabled_admins";
    /// How many events the audit log has; kept in the same transactions as they are.
    pub(in crate::store::embedded) const EVENTS: &[u8] = b"events";
    /// How many records [`Tree::Guesses`](super::Tree::Guesses) has; kept in the same transactions as they are.
    pub(in crate::store::embedded) const GUESSES: &[u8] = b"guesses";
    /// The one that is no `u64`: the [`Tally`](super::super::tally::Tally) of all other records.
    pub(in crate::store::embedded) const TALLY: &[u8] = b"tally";
    /// Written by [`crate::store::Store::check`].
    pub(in crate::store::embedded) const PROBE: &[u8] = b"probe";
}

impl Tree {
    /// All of them, each at the place that [`Tree::index`] says.
    pub(super) const ALL: [Self; 9] = [
        Self::Users,
        Self::Usernames,
        Self::Skeletons,
        Self::Sessions,
        Self::Failures,
        Self::Keys,
        Self::Audit,
        Self::Guesses,
        Self::Meta,
    ];

    /// Its place in [`Tree::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Its name in the database.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Usernames => "usernames",
            Self::Skeletons => "skeletons",
            Self::Sessions => "sessions",
            Self::Failures => "failures",
            Self::Keys => "keys",
            Self::Audit => "audit",
            Self::Guesses => "guesses",
            Self::Meta => "meta",
        }
    }

    /// The error for a damaged record of this tree.
    pub(super) fn corrupt(self, key: &[u8], detail: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            record: self.record_name(key),
            detail: detail.into(),
        }
    }

    /// How a record of this tree is called where people read it.
    pub(super) fn record_name(self, key: &[u8]) -> String {
        format!("{}/{}", self.name(), self.show(key))
    }

    /// A key as a person can read it: text, ids, or else hexadecimal.
    fn show(self, key: &[u8]) -> String {
        let text = match self {
            Self::Users | Self::Failures | Self::Audit | Self::Guesses => {
                Uuid::from_slice(key).ok().map(|id| id.to_string())
            }
            Self::Sessions => key.split_at_checked(16).and_then(|(user, session)| {
                let (user, session) = (Uuid::from_slice(user).ok()?, Uuid::from_slice(session).ok()?);
                Some(format!("{user}/{session}"))
            }),
            Self::Usernames | Self::Skeletons | Self::Keys | Self::Meta => std::str::from_utf8(key)
                .ok()
                .map(|text| text.escape_debug().to_string()),
        };
        text.unwrap_or_else(|| {
            key.iter().fold("0x".to_owned(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        })
    }
}

/// The record of `value` under `key`.
///
/// # Panics
/// If the value cannot be encoded, which plain data always can.
pub(super) fn seal<T: Serialize>(tree: Tree, key: &[u8], value: &T) -> Vec<u8> {
    // Nearly every record fits in: it is made byte by byte, and would be copied each time that there is no more room.
    let mut header = Vec::with_capacity(256);
    header.resize(HEADER_LEN, 0);
    let mut record = postcard::to_extend(value, header).expect("plain data can be encoded");
    record[0] = VERSION;
    let sum = checksum(tree, key, &record[HEADER_LEN..]);
    record[1..HEADER_LEN].copy_from_slice(&sum.to_le_bytes());
    record
}

/// The value of the record that lies under `key`.
///
/// # Errors
/// [`StoreError::Corrupt`] if it is not exactly what [`seal`] made for this tree and key.
pub(super) fn unseal<T: DeserializeOwned>(tree: Tree, key: &[u8], record: &[u8]) -> Result<T, StoreError> {
    let payload = payload(tree, key, record)?;
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(tree.corrupt(key, "there is more than one value in it")),
        Err(error) => Err(tree.corrupt(key, format!("it cannot be decoded: {error}"))),
    }
}

/// What is in the record that lies under `key`, once its checksum has been found to be right.
pub(super) fn payload<'a>(tree: Tree, key: &[u8], record: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some((&[version, ref sum @ ..], payload)) = record.split_first_chunk::<HEADER_LEN>() else {
        return Err(tree.corrupt(key, format!("{} bytes are too few for a record", record.len())));
    };
    if version != VERSION {
        return Err(tree.corrupt(key, format!("record version {version}, where only {VERSION} is known")));
    }
    if u32::from_le_bytes(*sum) != checksum(tree, key, payload) {
        return Err(tree.corrupt(key, "the checksum does not match"));
    }
    Ok(payload)
}

/// CRC-32 over version, tree, key and payload; the lengths keep their borders apart.
fn checksum(tree: Tree, key: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [&[VERSION], tree.name().as_bytes(), key] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let record = seal(Tree::Usernames, b"juliet", &7_u64);
        assert_eq!(unseal::<u64>(Tree::Usernames, b"juliet", &record), Ok(7));
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let answer = unseal::<u64>(Tree::Usernames, b"juliet", &damaged);
            assert!(
                matches!(answer, Err(StoreError::Corrupt { .. })),
                "bit {bit}: {answer:?}"
            );
        }
        for len in 0..record.len() {
            assert!(
                unseal::<u64>(Tree::Usernames, b"juliet", &record[..len]).is_err(),
                "cut to {len}"
            );
        }
    }

    #[test]
    fn a_record_is_good_only_in_its_own_place() {
        let record = seal(Tree::Usernames, b"juliet", &7_u64);
        assert!(unseal::<u64>(Tree::Usernames, b"romeo", &record).is_err());
        assert!(unseal::<u64>(Tree::Skeletons, b"juliet", &record).is_err());
    }

    #[test]
    fn a_damaged_record_is_named_by_tree_and_key() {
        let record = |tree: Tree, key: &[u8]| match tree.corrupt(key, "") {
            StoreError::Corrupt { record, .. } => record,
            other => panic!("{other}"),
        };
        assert_eq!(record(Tree::Usernames, b"juliet"), "usernames/juliet");
        assert_eq!(
            record(Tree::Users, &[7; 16]),
            "users/07070707-0707-0707-0707-070707070707"
        );
        assert_eq!(record(Tree::Users, &[7; 3]), "users/0x070707");
        assert_eq!(
            record(Tree::Sessions, &[7; 32]),
            "sessions/07070707-0707-0707-0707-070707070707/07070707-0707-0707-0707-070707070707"
        );
    }

    #[test]
    fn each_tree_is_where_its_index_says() {
        for (index, tree) in Tree::ALL.into_iter().enumerate() {
            assert_eq!(tree.index(), index);
        }
    }
}
