//! What must hold of files that are taken in; see [`crate::fuzzing`].
#![expect(clippy::missing_panics_doc, reason = "a panic is how they say no")]

use std::io::BufReader;

use super::ImportOptions;
use super::formats::{Format, Item, Reader};
use super::records::{Content, MAX_RECORD, Record, Records};
use crate::clock::{Random, Timestamp};
use crate::fuzzing::assert_printable;
use crate::transfer::line::{Line, UserLine};
use crate::user::{UserRecord, Username};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[derive(Debug)]
struct Sevens;

impl Random for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// The first byte says which format it is, the rest is the file. However it comes in, in pieces or at once, it has the same
/// records, in the order of their lines; a user that is taken in can be exported and is then the same user; a
/// reason for a refusal can be shown on a terminal.
pub fn import(input: &[u8]) {
    let Some((first, file)) = input.split_first() else {
        return;
    };
    let format = Format::ALL[usize::from(*first) % Format::ALL.len()];
    let reader = |format| Reader {
        options: ImportOptions {
            format,
            dry_run: false,
            admins: first & 0x80 != 0,
        },
        max_username: Username::DEFAULT_MAX_LENGTH,
        now: NOW,
    };
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut last = 1;
    let mut in_pieces = Records::new(BufReader::with_capacity(3, file), format.may_be_csv());
    for record in Records::new(file, format.may_be_csv()) {
        let same = in_pieces.next().expect("as many records in pieces as at once");
        assert_eq!(shown(&same), shown(&record));
        assert!(record.bytes <= MAX_RECORD);
        assert!(
            (last..=lines).contains(&record.place.line),
            "line {} of {lines}, after {last}",
            record.place.line
        );
        last = record.place.line;
        match record.content.and_then(|content| reader(format).read(content)) {
            Ok(Item::User(user)) => {
                let user = user.record(NOW, &Sevens);
                let exported = serde_json::to_vec(&Line::User(UserLine::from(user.clone()))).expect("JSON");
                assert_eq!(read_again(&reader(Format::Shild), exported), user);
            }
            Ok(_) => {}
            Err(reason) => assert_printable(&reason),
        }
    }
    assert!(in_pieces.next().is_none());
}

/// What a record is, for comparison.
fn shown(record: &Record) -> (u64, usize, Result<String, &String>) {
    let content = record.content.as_ref().map(|content| match content {
        Content::Json(bytes) => format!("{bytes:?}"),
        Content::Row(members) => format!("{members:?}"),
    });
    (record.place.line, record.bytes, content)
}

fn read_again(reader: &Reader, line: Vec<u8>) -> UserRecord {
    match reader.read(Content::Json(line)) {
        Ok(Item::User(user)) => user.record(NOW, &Sevens),
        Ok(other) => panic!("a user became {other:?}"),
        Err(reason) => panic!("what was exported is refused: {reason}"),
    }
}
