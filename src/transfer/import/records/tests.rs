use std::io::{self, BufReader, Read};

use serde_json::json;

use super::*;

/// Each record as its line and its content or what is wrong with it, read through a buffer of this many bytes.
fn records_through(capacity: usize, input: impl Read) -> Vec<(u64, String)> {
    let records = Records::new(BufReader::with_capacity(capacity, input), true);
    let text = |content| match content {
        Ok(Content::Json(bytes)) => String::from_utf8(bytes).unwrap().trim().to_owned(),
        Ok(Content::Row(members)) => json!(members).to_string(),
        Err(reason) => format!("! {reason}"),
    };
    records
        .map(|record| (record.place.line, text(record.content)))
        .collect()
}

fn records(input: &str) -> Vec<(u64, String)> {
    let all = records_through(8192, input.as_bytes());
    // Where the buffer ends must not matter.
    assert_eq!(records_through(1, input.as_bytes()), all, "{input}");
    all
}

fn owned<const N: usize>(all: [(u64, &str); N]) -> Vec<(u64, String)> {
    all.map(|(line, text)| (line, text.to_owned())).into()
}

#[test]
fn lines_are_numbered_and_blank_ones_passed_over() {
    for empty in ["", " \n\n", "\u{feff}"] {
        let all = records(empty);
        assert!(all.len() == 1 && all[0].1.contains("the input is empty"), "{all:?}");
    }
    assert_eq!(
        records("\u{feff}{\"a\":1}\n\n  \r\nbroken\r\n{\"b\":2}"),
        owned([(1, "{\"a\":1}"), (4, "broken"), (5, "{\"b\":2}")])
    );
}

#[test]
fn an_array_is_cut_into_its_elements() {
    assert_eq!(records("[]"), []);
    assert_eq!(records("\n[ \n ]\n"), []);
    let array = "[{\"a\":\"]},\\\"{[\"},\n {\"b\":[1,{\"c\":\"\\\\\"}]}\n, 3 ]";
    assert_eq!(
        records(array),
        owned([
            (1, "{\"a\":\"]},\\\"{[\"}"),
            (2, "{\"b\":[1,{\"c\":\"\\\\\"}]}"),
            (3, "3")
        ])
    );
}

#[test]
fn an_element_is_found_by_its_number_where_all_are_on_one_line() {
    let records = Records::new(&b"[{},{\"a\":1} , x]"[..], true);
    let elements: Vec<_> = records.map(|record| record.place.element).collect();
    assert_eq!(elements, [Some(1), Some(2), Some(3)]);
    let records = Records::new(&b"[{}] {}"[..], true);
    assert_eq!(records.last().unwrap().place.element, None);
    let mut records = Records::new(&b"{}"[..], true);
    assert_eq!(records.next().unwrap().place.element, None);
}

#[test]
fn a_broken_element_costs_no_other() {
    assert_eq!(
        records("[{\"a\":},\n{}},\n{\"b\":1},]"),
        owned([(1, "{\"a\":}"), (2, "{}}"), (3, "{\"b\":1}"), (3, "")])
    );
}

#[test]
fn an_array_that_has_been_cut_off_says_so() {
    for cut in ["[", "[{\"a\":1", "[{\"a\":1},", "[{\"a\":\"]"] {
        let all = records(cut);
        assert!(all.last().unwrap().1.contains("cut off"), "{cut}: {all:?}");
    }
    let all = records("[1, 3] 2");
    // Failed before: the last element was not among them.
    let [one, three, broken] = &all[..] else {
        panic!("{all:?}")
    };
    assert!(one.1.ends_with('1') && three.1.ends_with('3'), "{all:?}");
    assert!(broken.1.contains("something after the array"), "{all:?}");
}

#[test]
fn a_table_has_its_columns_in_the_first_row() {
    assert_eq!(
        records("id,email\n1,\"a\"\"b,\nc\"\n2\n3,d\n"),
        owned([
            (2, r#"{"id":"1","email":"a\"b,\nc"}"#),
            (4, "! has 1 fields, and the table has 2 columns"),
            (5, r#"{"id":"3","email":"d"}"#),
        ])
    );
    assert_eq!(
        records("id,id\n1,2\n"),
        owned([(1, "! two columns have the name \"id\"; nothing from here on was read")])
    );
}

#[test]
fn a_row_that_is_not_utf8_costs_no_other() {
    let all = records_through(8192, &b"id,email\n1,\xff\n2,b\n"[..]);
    assert_eq!(all, owned([(2, "! is not UTF-8"), (3, r#"{"id":"2","email":"b"}"#)]));
}

/// A few bytes, and then the same one over and over.
fn endless(start: &'static str, byte: u8) -> impl Read {
    start.as_bytes().chain(io::repeat(byte).take(8 * MAX_RECORD as u64))
}

#[test]
fn no_more_than_one_record_is_held_whatever_the_input_is() {
    for (input, end) in [
        (endless("{\"a\":\"", b'x'), "\n{}\n"),
        (endless("[{\"a\":\"", b'x'), "\"},{}]"),
        (endless("id,email\n1,\"", b'x'), "\"\n2,b\n"),
    ] {
        let input = BufReader::new(input.chain(end.as_bytes()));
        let mut seen = Vec::new();
        for record in Records::new(input, true) {
            assert!(record.bytes <= MAX_RECORD);
            seen.push(record.content.err().unwrap_or_default());
        }
        assert!(seen[0].starts_with("is longer than 1048576 bytes"), "{seen:?}");
        // A table cannot be followed further, and says so.
        let goes_on = seen.len() == 2 && seen[1].is_empty();
        assert!(
            goes_on || seen[0].ends_with("nothing from here on was read"),
            "{seen:?}"
        );
    }
}

#[test]
fn an_input_that_fails_says_so_once() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is loose"))
        }
    }
    for start in ["", "{}\n", "[{},", "id,email\n1,a\n"] {
        let all = records_through(8192, start.as_bytes().chain(Failing));
        let last = &all.last().unwrap().1;
        assert!(
            last.contains("the cable is loose") && last.ends_with("nothing from here on was read"),
            "{all:?}"
        );
        assert_eq!(
            all.iter().filter(|(_, text)| text.starts_with('!')).count(),
            1,
            "{all:?}"
        );
    }
}
