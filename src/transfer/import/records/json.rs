//! JSON, cut into pieces that are each one value, or are meant to be.

use std::io::BufRead;

use super::{Content, Counted, MAX_RECORD, Place, Record, too_long};

/// The lines of an input, or the elements of the array that it is.
pub(in super::super) struct Pieces<R> {
    input: Counted<R>,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Lines,
    /// Between `[` and `]`; whether an element has been read.
    Elements {
        begun: bool,
    },
    /// Past the `]`, where nothing may come any more.
    Closed,
    /// Past the end.
    Over,
}

/// How a piece ended.
enum End {
    Separator(u8),
    Input,
}

impl<R: BufRead> Pieces<R> {
    pub(super) fn lines(input: Counted<R>) -> Self {
        Self {
            input,
            shape: Shape::Lines,
        }
    }

    /// The `[` has been read.
    pub(super) fn elements(input: Counted<R>) -> Self {
        Self {
            input,
            shape: Shape::Elements { begun: false },
        }
    }

    pub(super) fn next(&mut self) -> Option<Record> {
        match self.shape {
            Shape::Lines => self.next_line(),
            Shape::Elements { begun } => self.next_element(begun),
            Shape::Closed => self.after_the_array(),
            Shape::Over => None,
        }
    }

    fn next_line(&mut self) -> Option<Record> {
        loop {
            let place = self.input.place();
            let mut piece = Piece::default();
            let end = match self.read(&mut piece, |byte| byte == b'\n') {
                Ok(end) => end,
                Err(broken) => return Some(broken),
            };
            if let End::Input = end {
                self.shape = Shape::Over;
            }
            if !piece.bytes.trim_ascii().is_empty() {
                return Some(piece.record(place));
            }
            if self.shape == Shape::Over {
                return None;
            }
        }
    }

    fn next_element(&mut self, begun: bool) -> Option<Record> {
        if let Err(broken) = self.skip_space() {
            return Some(broken);
        }
        self.input.element = self.input.element.map_or(Some(1), |before| Some(before + 1));
        let place = self.input.place();
        let mut piece = Piece::default();
        let mut nesting = Nesting::default();
        let end = match self.read(&mut piece, |byte| nesting.ends_at(byte)) {
            Ok(end) => end,
            Err(broken) => return Some(broken),
        };
        let is_empty = piece.bytes.trim_ascii().is_empty();
        match end {
            End::Separator(b',') => {
                self.shape = Shape::Elements { begun: true };
                Some(piece.record(place))
            }
            End::Separator(_) => {
                self.shape = Shape::Closed;
                if begun || !is_empty {
                    Some(piece.record(place))
                } else {
                    self.after_the_array()
                }
            }
            End::Input => {
                self.shape = Shape::Over;
                let reason = "the input ends before its array does: it has been cut off";
                Some(Record {
                    place,
                    ..self.input.broken(reason)
                })
            }
        }
    }

    fn skip_space(&mut self) -> Result<(), Record> {
        loop {
            match self.input.peek() {
                Ok(Some(byte)) if byte.is_ascii_whitespace() => self.input.consume(),
                Ok(_) => return Ok(()),
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
    }

    /// What is wrong after the array's end, if anything is.
    fn after_the_array(&mut self) -> Option<Record> {
        self.shape = Shape::Over;
        self.input.element = None;
        if let Err(broken) = self.skip_space() {
            return Some(broken);
        }
        match self.input.peek() {
            Ok(None) => None,
            Ok(Some(_)) => Some(self.input.broken("there is something after the array")),
            Err(error) => Some(self.unreadable(&error)),
        }
    }

    fn unreadable(&mut self, error: &std::io::Error) -> Record {
        self.shape = Shape::Over;
        self.input.broken(format!("the input cannot be read: {error}"))
    }

    /// Reads up to a byte that `is_end`, and past it.
    fn read(&mut self, piece: &mut Piece, mut is_end: impl FnMut(u8) -> bool) -> Result<End, Record> {
        loop {
            let buffer = match self.input.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(&error)),
            };
            if buffer.is_empty() {
                return Ok(End::Input);
            }
            let end = (0..buffer.len()).find(|&at| is_end(buffer[at]));
            let content = &buffer[..end.unwrap_or(buffer.len())];
            piece.extend(content);
            let separator = end.map(|at| buffer[at]);
            let used = content.len() + usize::from(separator.is_some());
            let lines = buffer[..used].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.input.input.consume(used);
            self.input.line += lines;
            if let Some(separator) = separator {
                return Ok(End::Separator(separator));
            }
        }
    }
}

/// A piece as it is being read; no more of it is kept than may be.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Piece {
    fn extend(&mut self, more: &[u8]) {
        if self.bytes.len() + more.len() > MAX_RECORD {
            self.too_long = true;
        } else {
            self.bytes.extend_from_slice(more);
        }
    }

    fn record(self, place: Place) -> Record {
        Record {
            place,
            bytes: self.bytes.len(),
            content: if self.too_long {
                Err(too_long())
            } else {
                Ok(Content::Json(self.bytes))
            },
        }
    }
}

/// Where in a value we are.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Nesting {
    /// Whether `byte` ends the element: a comma or a closing bracket that belongs to the array.
    fn ends_at(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b',' | b']' if self.depth == 0 => return true,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}
