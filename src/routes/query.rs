//! Query parameters. Each is taken as all the texts that it came with and read here: Rocket would pass over a bad one, and
//! over one that comes twice, without a word.

use crate::error::{Error, Problem};

/// The value of a parameter, if it came.
///
/// # Errors
/// [`Problem::BadRequest`] if it came more than once.
pub(super) fn once<'a>(name: &str, values: &'a [String]) -> Result<Option<&'a str>, Error> {
    match values {
        [] => Ok(None),
        [value] => Ok(Some(value)),
        _ => Err(refused(name, "given only once")),
    }
}

/// A parameter that is `true` or `false`; `false` if it did not come.
///
/// # Errors
/// [`Problem::BadRequest`] if it is anything else, or came more than once.
pub(super) fn flag(name: &str, values: &[String]) -> Result<bool, Error> {
    match once(name, values)? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(refused(name, "true or false")),
    }
}

/// The parameter is not what it may be.
pub(super) fn refused(name: &str, allowed: &str) -> Error {
    Error::new(
        Problem::BadRequest,
        format!("The query parameter {name} must be {allowed}."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_comes_twice_is_refused() {
        let values = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(once("a", &values(&[])).unwrap(), None);
        assert_eq!(once("a", &values(&["x"])).unwrap(), Some("x"));
        assert!(once("a", &values(&["x", "x"])).is_err());
        assert!(flag("a", &values(&["true"])).unwrap() && !flag("a", &values(&["false"])).unwrap());
        for bad in [&["true", "true"][..], &["1"], &[""]] {
            assert!(flag("a", &values(bad)).is_err(), "{bad:?}");
        }
    }
}
