//! Walks over a JSON text and keeps nothing of it: that it is JSON, not nested too deep, that no object
//! has a member twice, and that nothing comes after it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::escape;
use crate::error::{Error, Problem};

/// How deep arrays and objects may be nested (requirement H11).
const MAX_DEPTH: usize = 32;

/// # Errors
/// [`Problem::BadRequest`] if it is not JSON or nested too deep, [`Problem::Unprocessable`] for a repeated member
/// and for anything after the value.
pub(super) fn check(bytes: &[u8]) -> Result<(), Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut repeated = None;
    let walk = Walk {
        depth: 0,
        pointer: String::new(),
        repeated: &mut repeated,
    };
    if let Err(error) = walk.deserialize(&mut deserializer) {
        return Err(match repeated {
            Some(pointer) => Error::fault(pointer, "duplicate", "stands in the object more than once"),
            None => not_json(&error),
        });
    }
    deserializer
        .end()
        .map_err(|_| Error::fault("", "trailing", "there is something after the JSON value"))
}

fn not_json(error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let what = if error.is_data() {
        format!("it is nested deeper than {MAX_DEPTH} levels")
    } else {
        "it breaks the syntax or is not UTF-8".to_owned()
    };
    Error::new(
        Problem::BadRequest,
        format!("The body is not JSON that can be read: {what}, at line {line}, column {column}."),
    )
}

struct Walk<'a> {
    depth: usize,
    pointer: String,
    repeated: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    fn deeper(&mut self, member: &str) -> Walk<'_> {
        let pointer = format!("{}/{member}", self.pointer);
        Walk {
            depth: self.depth + 1,
            pointer,
            repeated: self.repeated,
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        if self.depth >= MAX_DEPTH {
            return Err(A::Error::custom("too deep"));
        }
        let mut index = 0_usize;
        while items.next_element_seed(self.deeper(&index.to_string()))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        if self.depth >= MAX_DEPTH {
            return Err(A::Error::custom("too deep"));
        }
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let member = escape(&name);
            if !seen.insert(name) {
                *self.repeated = Some(format!("{}/{member}", self.pointer));
                return Err(A::Error::custom("repeated"));
            }
            members.next_value_seed(self.deeper(&member))?;
        }
        Ok(())
    }
}
