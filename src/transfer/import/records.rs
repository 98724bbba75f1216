//! Cuts an input into records: lines of JSON, the elements of one JSON array, or the rows of a CSV table.
//!
//! Invariant: no more than [`MAX_RECORD`] bytes of the input are held at a time, whatever it is.

mod json;
mod table;

use std::io::BufRead;

use serde_json::{Map, Value};

use self::json::Pieces;
use self::table::Rows;
use super::report::Place;

/// The longest record, in bytes (own choice).
pub const MAX_RECORD: usize = 1 << 20;

/// One record.
pub(super) struct Record {
    pub(super) place: Place,
    /// How much of the input it takes, about.
    pub(super) bytes: usize,
    /// What is in it, or why that cannot be read.
    pub(super) content: Result<Content, String>,
}

/// What is in a record.
pub(super) enum Content {
    /// JSON, not yet looked at.
    Json(Vec<u8>),
    /// The columns of a row, all of them text.
    Row(Map<String, Value>),
}

/// The records of an input. After something that leaves no way to go on, the last one says so.
pub(super) enum Records<R: BufRead> {
    Unseen { input: Counted<R>, may_be_csv: bool },
    Json(Pieces<R>),
    Csv(Box<Rows<R>>),
    End,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(input: R, may_be_csv: bool) -> Self {
        let input = Counted {
            input,
            line: 1,
            element: None,
        };
        Self::Unseen { input, may_be_csv }
    }

    /// Looks at the first byte that says anything.
    fn begin(mut input: Counted<R>, may_be_csv: bool) -> Result<Self, Record> {
        let failed =
            |input: &Counted<R>, error: std::io::Error| input.broken(format!("the input cannot be read: {error}"));
        for byte in *b"\xEF\xBB\xBF" {
            match input.peek() {
                Ok(Some(next)) if next == byte => input.consume(),
                Ok(_) => break,
                Err(error) => return Err(failed(&input, error)),
            }
        }
        loop {
            match input.peek() {
                Ok(None) => {
                    return Err(Record {
                        content: Err("the input is empty: whatever was to write it has not".to_owned()),
                        ..input.broken("")
                    });
                }
                Ok(Some(b' ' | b'\t' | b'\r' | b'\n')) => input.consume(),
                Ok(Some(b'[')) => {
                    input.consume();
                    return Ok(Self::Json(Pieces::elements(input)));
                }
                Ok(Some(byte)) if byte == b'{' || !may_be_csv => return Ok(Self::Json(Pieces::lines(input))),
                Ok(Some(_)) => return Rows::new(input).map(|rows| Self::Csv(Box::new(rows))),
                Err(error) => return Err(failed(&input, error)),
            }
        }
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if let Self::Unseen { .. } = self
            && let Self::Unseen { input, may_be_csv } = std::mem::replace(self, Self::End)
        {
            match Self::begin(input, may_be_csv) {
                Ok(begun) => *self = begun,
                Err(broken) => return Some(broken),
            }
        }
        match self {
            Self::Json(pieces) => pieces.next(),
            Self::Csv(rows) => rows.next(),
            Self::Unseen { .. } | Self::End => None,
        }
    }
}

/// An input that counts its lines, and where it is one array, the elements.
pub(super) struct Counted<R> {
    input: R,
    line: u64,
    element: Option<u64>,
}

impl<R: BufRead> Counted<R> {
    /// The next byte; `None` at the end.
    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            match self.input.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().copied()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes past the byte that [`Self::peek`] has shown.
    fn consume(&mut self) {
        // The buffer is filled, so there is no error.
        if self.input.fill_buf().is_ok_and(|buffer| buffer.first() == Some(&b'\n')) {
            self.line += 1;
        }
        self.input.consume(1);
    }

    fn place(&self) -> Place {
        let Self { line, element, .. } = *self;
        Place { line, element }
    }

    /// The last record of an input that cannot be followed any further.
    fn broken(&self, reason: impl std::fmt::Display) -> Record {
        Record {
            place: self.place(),
            bytes: 0,
            content: Err(format!("{reason}; nothing from here on was read")),
        }
    }
}

fn too_long() -> String {
    format!("is longer than {MAX_RECORD} bytes")
}

#[cfg(test)]
mod tests;
