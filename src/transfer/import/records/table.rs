//! CSV (RFC 4180) with the columns' names in its first row.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::{Content, Counted, MAX_RECORD, Place, Record, too_long};

/// The rows of a table.
pub(in super::super) struct Rows<R> {
    table: csv::Reader<Metered<R>>,
    columns: Vec<String>,
    row: StringRecord,
    /// How much may be read for the next row.
    allowance: Rc<Cell<usize>>,
    /// The lines before the table.
    offset: u64,
    over: bool,
}

/// Reads no more than is allowed: a quotation mark that is never closed makes one row of all the rest.
struct Metered<R> {
    input: R,
    allowance: Rc<Cell<usize>>,
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowance.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, too_long()));
        }
        let n = self.input.read(buffer)?;
        self.allowance.set(self.allowance.get().saturating_sub(n));
        Ok(n)
    }
}

const fn row_at(line: u64) -> Place {
    Place { line, element: None }
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(input: Counted<R>) -> Result<Self, Record> {
        let allowance = Rc::new(Cell::new(MAX_RECORD));
        let offset = input.line - 1;
        let metered = Metered {
            input: input.input,
            allowance: Rc::clone(&allowance),
        };
        let mut table = ReaderBuilder::new().flexible(true).from_reader(metered);
        let broken = |reason: String| Record {
            place: row_at(offset + 1),
            bytes: 0,
            content: Err(format!("{reason}; nothing from here on was read")),
        };
        let columns = match table.headers() {
            Ok(names) => names.iter().map(|name| name.trim().to_owned()).collect::<Vec<_>>(),
            Err(error) => {
                return Err(broken(format!(
                    "the names of the columns cannot be read: {}",
                    text(&error)
                )));
            }
        };
        let mut seen = HashSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            let name: String = twice.chars().take(64).collect();
            return Err(broken(format!("two columns have the name {name:?}")));
        }
        Ok(Self {
            table,
            columns,
            row: StringRecord::new(),
            allowance,
            offset,
            over: false,
        })
    }

    pub(super) fn next(&mut self) -> Option<Record> {
        if self.over {
            return None;
        }
        self.allowance.set(MAX_RECORD);
        let before = self.table.position().line();
        let (line, content) = match self.table.read_record(&mut self.row) {
            Ok(false) => return None,
            Ok(true) => (self.row.position().map_or(before, csv::Position::line), self.content()),
            // The reader stands at the next row.
            Err(error) if matches!(error.kind(), ErrorKind::Utf8 { .. }) => {
                let line = error.position().map_or(before, csv::Position::line);
                (line, Err("is not UTF-8".to_owned()))
            }
            Err(error) => {
                self.over = true;
                (before, Err(format!("{}; nothing from here on was read", text(&error))))
            }
        };
        Some(Record {
            place: row_at(self.offset + line),
            bytes: self.row.as_slice().len(),
            content,
        })
    }

    fn content(&self) -> Result<Content, String> {
        let (fields, columns) = (self.row.len(), self.columns.len());
        if fields != columns {
            return Err(format!("has {fields} fields, and the table has {columns} columns"));
        }
        let members = self.columns.iter().cloned().zip(self.row.iter().map(Value::from));
        Ok(Content::Row(members.collect::<Map<_, _>>()))
    }
}

fn text(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
        ErrorKind::Io(error) => format!("the input cannot be read: {error}"),
        ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => "it is not CSV".to_owned(),
    }
}
