//! JSON, read strictly: no unknown, repeated or trailing anything (requirement H11).

mod strict;

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Problem};

/// Reads a body into `T`.
///
/// # Errors
/// [`Problem::BadRequest`] if it is not JSON; [`Problem::Unprocessable`] with a pointer to the member if it is JSON
/// but not what is wanted.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    strict::check(bytes)?;
    // serde would read an array as a struct.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::fault("", "type", "must be a JSON object"));
    }
    typed(&mut serde_json::Deserializer::from_slice(bytes))
}

/// Reads an object, whatever its members are.
///
/// # Errors
/// As [`parse`].
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    parse(bytes)
}

/// Reads the members of an object into `T`.
///
/// # Errors
/// As [`parse`].
pub(crate) fn from_object<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, Error> {
    typed(Value::Object(members))
}

fn typed<'de, T: DeserializeOwned>(json: impl Deserializer<'de, Error = serde_json::Error>) -> Result<T, Error> {
    let mut track = serde_path_to_error::Track::new();
    let mut unknown = Vec::new();
    let tracked = serde_path_to_error::Deserializer::new(json, &mut track);
    let result: Result<T, _> = serde_ignored::deserialize(tracked, |path| unknown.push(pointer_of_ignored(&path)));
    let value = result.map_err(|error| type_error(&pointer_of(&track.path()), &error))?;
    if unknown.is_empty() {
        return Ok(value);
    }
    let refused = Error::new(
        Problem::Unprocessable,
        "The body has members that this operation does not know; see errors.",
    );
    Err(unknown.into_iter().fold(refused, |error, at| {
        error.at(at, "unknown", "is not a member of this request")
    }))
}

fn type_error(pointer: &str, error: &serde_json::Error) -> Error {
    let message = error.to_string();
    // serde puts the place at the end; the pointer says it better.
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(what, _)| what);
    if let Some(name) = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        return Error::fault(format!("{pointer}/{name}"), "missing", "is required");
    }
    // Some types refuse unknown members themselves.
    if let Some((name, _)) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
    {
        let parent = pointer.strip_suffix(&format!("/{}", escape(name))).unwrap_or(pointer);
        return Error::fault(
            format!("{parent}/{}", escape(name)),
            "unknown",
            "is not a member of this request",
        );
    }
    // serde quotes the value that was given; it may be a password in the wrong place.
    let wanted = message
        .rsplit_once("expected ")
        .map(|(_, wanted)| format!("must be {wanted}"));
    Error::fault(pointer, "type", wanted.unwrap_or_else(|| message.to_owned()))
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escape(key)),
        Segment::Enum { variant } => format!("{pointer}/{}", escape(variant)),
        Segment::Unknown => pointer,
    })
}

fn pointer_of_ignored(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}/{index}", pointer_of_ignored(parent)),
        Path::Map { parent, key } => format!("{}/{}", pointer_of_ignored(parent), escape(key)),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            pointer_of_ignored(parent)
        }
    }
}

/// RFC 6901 §3; a name from the client is cut so that it cannot fill the answer, and has no control characters left, so that
/// it can be shown on a terminal, where a refused line of an import is.
fn escape(name: &str) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let short: String = name.chars().take(64).map(visible).collect();
    short.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read from JSON")]
    struct Input {
        name: String,
        count: Option<u8>,
    }

    fn refused(body: &str) -> Error {
        parse::<Input>(body.as_bytes()).unwrap_err()
    }

    fn pointer(body: &str) -> (Problem, String, &'static str) {
        let error = refused(body);
        let fault = error
            .faults()
            .first()
            .unwrap_or_else(|| panic!("{body}: {error}"))
            .clone();
        (error.problem(), fault.pointer, fault.code)
    }

    // H11
    #[test]
    fn each_fault_is_pointed_at() {
        use Problem::Unprocessable;
        assert!(parse::<Input>(br#" {"name":"a"} "#).is_ok());
        assert_eq!(
            pointer(r#"{"name":"a","scopes":[]}"#),
            (Unprocessable, "/scopes".into(), "unknown")
        );
        assert_eq!(
            pointer(r#"{"name":"a","a/b~":1}"#),
            (Unprocessable, "/a~1b~0".into(), "unknown")
        );
        assert_eq!(
            pointer(r#"{"name":"a","name":"a"}"#),
            (Unprocessable, "/name".into(), "duplicate")
        );
        assert_eq!(
            pointer(r#"{"name":"a","na\u006de":"a"}"#),
            (Unprocessable, "/name".into(), "duplicate")
        );
        assert_eq!(
            pointer(r#"{"name":"a","x":{"y":1,"y":2}}"#),
            (Unprocessable, "/x/y".into(), "duplicate")
        );
        assert_eq!(pointer(r#"{"name":"a"}{}"#), (Unprocessable, String::new(), "trailing"));
        assert_eq!(pointer(r#"{"name":"a"} x"#), (Unprocessable, String::new(), "trailing"));
        assert_eq!(pointer("{}"), (Unprocessable, "/name".into(), "missing"));
        assert_eq!(pointer(r#"{"name":1}"#), (Unprocessable, "/name".into(), "type"));
        assert_eq!(
            pointer(r#"{"name":"a","count":999}"#),
            (Unprocessable, "/count".into(), "type")
        );
        assert_eq!(pointer(r#"["a",1]"#), (Unprocessable, String::new(), "type"));
        assert_eq!(pointer("null"), (Unprocessable, String::new(), "type"));
    }

    // H11
    #[test]
    fn what_is_not_json_is_a_bad_request() {
        let deep = format!(r#"{{"name":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
        for body in ["", "{", r#"{"name":"\ud800"}"#, "{'name':1}", &deep, "\u{feff}{}"] {
            assert_eq!(refused(body).problem(), Problem::BadRequest, "{body}");
        }
        assert_eq!(
            parse::<Input>(b"{\"name\":\"\xff\"}").unwrap_err().problem(),
            Problem::BadRequest
        );
    }

    // H13
    #[test]
    fn a_pointer_moves_no_cursor() {
        for body in [
            r#"{"name":"a","\u001b[2J":1}"#,
            r#"{"\u001b[2J":1,"\u001b[2J":1}"#,
            "{\"name\":\"a\",\"\u{9b}[2J\":1}",
        ] {
            assert_eq!(pointer(body).1, "/\u{FFFD}[2J", "{body}");
        }
    }

    // H14
    #[test]
    fn an_error_does_not_repeat_the_value() {
        for value in ["hunter2", "hunter2 at line 1", "hunter2, expected x at line 1"] {
            let error = refused(&format!(r#"{{"name":"a","count":"{value}"}}"#));
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
