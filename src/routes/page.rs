//! Pages of lists: `?limit=` and `?after=`.

use std::str::FromStr;

use rocket::form::FromForm;
use rocket_okapi::JsonSchema;

use super::answer::Page;
use super::query::{once, refused};
use crate::error::Error;

/// How many items a page has if nobody says, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// Which page is wanted.
#[derive(FromForm, JsonSchema)]
pub(crate) struct PageQuery {
    /// How many items at most: 1 to 200; 50 if it is left out.
    #[schemars(with = "Option<String>")]
    limit: Vec<String>,
    /// The `next` of the page before.
    #[schemars(with = "Option<String>")]
    after: Vec<String>,
}

impl PageQuery {
    pub(crate) const fn new(limit: Vec<String>, after: Vec<String>) -> Self {
        Self { limit, after }
    }

    /// The limit and the cursor.
    ///
    /// # Errors
    /// [`Problem::BadRequest`](crate::error::Problem::BadRequest) if one of them is not what it may be.
    pub(crate) fn read<T: FromStr>(&self) -> Result<(usize, Option<T>), Error> {
        let limit = once("limit", &self.limit)?.map_or(Ok(DEFAULT_LIMIT), |text| {
            let number = text
                .parse()
                .ok()
                .filter(|n| (1..=MAX_LIMIT).contains(n) && text.bytes().all(|b| b.is_ascii_digit()));
            number.ok_or_else(|| refused("limit", "a number from 1 to 200"))
        })?;
        let after = once("after", &self.after)?;
        let after = after.map(|text| text.parse().map_err(|_| refused("after", "the next of a page")));
        Ok((limit, after.transpose()?))
    }
}

/// A page of at most `limit` of what was found when one more than that was asked for.
pub(crate) fn page_of<T>(mut found: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(cursor);
    Page { items: found, next }
}

impl<T> Page<T> {
    pub(crate) fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(each).collect(),
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(limit: Option<&str>, after: Option<&str>) -> Option<(usize, Option<u8>)> {
        PageQuery {
            limit: limit.map(str::to_owned).into_iter().collect(),
            after: after.map(str::to_owned).into_iter().collect(),
        }
        .read()
        .ok()
    }

    #[test]
    fn limits_are_from_1_to_200() {
        assert_eq!(read(None, None), Some((50, None)));
        assert_eq!(read(Some("200"), Some("7")), Some((200, Some(7))));
        for bad in ["0", "201", "-1", "+1", "x", ""] {
            assert_eq!(read(Some(bad), None), None, "{bad}");
        }
        assert_eq!(read(None, Some("x")), None);
    }

    #[test]
    fn a_page_has_a_next_only_if_there_is_more() {
        let page = page_of(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((page.items, page.next), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(page_of(vec![1, 2], 2, ToString::to_string).next, None);
    }
}
