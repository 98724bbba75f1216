//! How lists are shown: a line for each item, or one JSON array.

use serde_json::Value;

use super::{Failure, print};

/// The members that are shown of each item, in this order.
pub(super) type Columns = &'static [&'static str];

/// Shows a list.
pub(super) fn show(items: Vec<Value>, columns: Columns, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(print(&format!("{}\n", Value::Array(items)))?);
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| columns.iter().map(|name| cell(&item[*name])).collect())
        .collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    Ok(print(&text)?)
}

/// Shows one thing: a line for each member, or one JSON object.
pub(super) fn show_one(item: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(print(&format!("{item}\n"))?);
    }
    let members = item.as_object().into_iter().flatten();
    let mut lines = String::new();
    for (name, value) in members {
        lines += &format!("{name:11} {}\n", cell(value));
    }
    Ok(print(&lines)?)
}

/// Control characters from a store must not drive the terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{name} {}", cell(value)))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    };
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
