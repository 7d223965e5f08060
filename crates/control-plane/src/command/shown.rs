//! What people see.

use std::fmt::Write as _;

use api::Problem;
use api::control::{AppliedDraft, DifferenceKind, Document, Kind};
use jiff::Timestamp;
use serde_json::Value;

/// A problem, in lines.
pub(super) fn problem(problem: &Problem) -> String {
    let mut lines = vec![format!("error[{}]: {}", problem.code, harmless(&problem.title))];
    lines.extend(problem.place.as_ref().map(|place| format!("  at {}", harmless(&place.to_string()))));
    lines.extend(problem.causes.iter().map(|cause| format!("  caused by: {}", harmless(cause))));
    for hint in &problem.hints {
        lines.push(format!("hint: {}", harmless(&hint.text)));
        lines.extend(hint.command.as_ref().map(|command| format!("      {}", harmless(command))));
    }
    lines.join("\n")
}

/// Resources, a line each.
pub(super) fn table(kind: Kind, documents: &[Document], now: Timestamp) -> String {
    rows_of(std::iter::once(head(kind)).chain(documents.iter().map(|document| row(document, now))))
}

/// What the columns of a kind are called.
pub(super) fn head(kind: Kind) -> [String; 4] {
    ["NAME", columns(kind)[0], columns(kind)[1], "AGE"].map(ToOwned::to_owned)
}

/// A resource, in its columns.
pub(super) fn row(document: &Document, now: Timestamp) -> [String; 4] {
    let [first, second] = columns(document.kind).map(|column| cell(document, column));
    let age = now.duration_since(document.metadata.created_at);
    [document.metadata.name.to_string(), first, second, short(age.as_secs())]
}

/// Rows of cells, one below the other.
pub(super) fn rows_of<const COLUMNS: usize>(rows: impl IntoIterator<Item = [String; COLUMNS]>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        widen(&mut widths, row);
    }
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// Makes columns as wide as a row needs them.
pub(super) fn widen<const COLUMNS: usize>(widths: &mut [usize; COLUMNS], row: &[String; COLUMNS]) {
    for (width, cell) in widths.iter_mut().zip(row) {
        *width = (*width).max(cell.chars().count());
    }
}

/// One row, in columns of these widths.
pub(super) fn line<const COLUMNS: usize>(row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:width$}", harmless(cell)));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
}

/// What is worth a column.
fn columns(kind: Kind) -> [&'static str; 2] {
    match kind {
        Kind::Organization => ["TITLE", "USERS"],
        Kind::User => ["EMAIL", "SUSPENDED"],
        Kind::Group => ["MEMBERS", "TITLE"],
        Kind::Role => ["SUBJECTS", "TITLE"],
        Kind::Policy => ["PROJECTS", "STOP_AFTER"],
        Kind::Project => ["REPOSITORY", "TITLE"],
        Kind::Runner => ["PHASE", "PLATFORM"],
        Kind::EnvironmentClass => ["RUNNER", "TITLE"],
        Kind::Environment => ["PHASE", "RUNNER"],
        Kind::Execution => ["ENVIRONMENT", "PHASE"],
        Kind::Secret => ["SCOPE", "USED_AS"],
    }
}

fn cell(document: &Document, column: &str) -> String {
    let key = column.to_ascii_lowercase();
    let value = document.status.get(&key).or_else(|| document.spec.get(&key));
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Some(other) => plain(other),
    };
    harmless(&text)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // `{ "url": "…" }`, `{ "user": "ann" }`: the value says enough.
        Value::Object(object) => object.values().next().map(plain).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// What became of each draft.
pub(super) fn outcomes(applied: &[AppliedDraft]) -> String {
    let mut text = String::new();
    for AppliedDraft { difference, resource } in applied {
        let word = match difference.kind {
            DifferenceKind::Create => "created",
            DifferenceKind::Update => "changed",
            DifferenceKind::Same => "unchanged",
        };
        writeln!(text, "{} {}: {word}", resource.kind, resource.metadata.name)
            .expect("writing to a string cannot fail");
    }
    text
}

/// What would change, field by field.
pub(super) fn differences(applied: &[AppliedDraft]) -> String {
    let mut text = String::new();
    for AppliedDraft { difference, resource } in applied {
        let mark = match difference.kind {
            DifferenceKind::Create => '+',
            DifferenceKind::Update => '~',
            DifferenceKind::Same => continue,
        };
        let mut line = |line: String| {
            text.push_str(&harmless(&line));
            text.push('\n');
        };
        line(format!("{mark} {} {}", resource.kind, resource.metadata.name));
        for (field, [before, after]) in &difference.fields {
            match (before, after) {
                (None, Some(after)) => line(format!("    + {field}: {after}")),
                (Some(before), None) => line(format!("    - {field}: {before}")),
                (before, after) => {
                    let shown = |value: &Option<Value>| value.clone().unwrap_or_default().to_string();
                    line(format!("    ~ {field}: {} -> {}", shown(before), shown(after)));
                }
            }
        }
    }
    if text.is_empty() { "Nothing would change.\n".to_owned() } else { text }
}

/// Says something beside the result, to people.
pub(super) fn aside(text: &str) {
    use std::io::Write as _;
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{}", harmless(text));
}

/// A time as people say it.
pub(super) fn short(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{}s", seconds.max(0)),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Text of others that no terminal takes for more than text.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
