//! Comparing JSON, with places.

use serde_json::Value;

/// Where `found` does not have what `wanted` says. Objects may have more members, a `null` may be absent, and a text
/// that begins with `~` is looked for inside of the one found.
pub(crate) fn lacks(wanted: &Value, found: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    subset(wanted, found, "", &mut faults);
    faults
}

fn subset(wanted: &Value, found: &Value, place: &str, faults: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                subset(value, found.get(key).unwrap_or(&Value::Null), &format!("{place}/{key}"), faults);
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (at, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                subset(wanted, found, &format!("{place}/{at}"), faults);
            }
        }
        (Value::String(wanted), Value::String(found))
            if wanted.strip_prefix('~').is_some_and(|part| found.contains(part)) => {}
        _ if wanted == found => {}
        _ => faults.push(format!("{place} is {}, not {}", short(found), short(wanted))),
    }
}

/// Where two values differ.
pub(crate) fn differences(reference: &Value, ours: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    differ(reference, ours, "", &mut faults);
    faults
}

fn differ(reference: &Value, ours: &Value, place: &str, faults: &mut Vec<String>) {
    match (reference, ours) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differ(&of(left), &of(right), &format!("{place}/{key}"), faults);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                differ(left, right, &format!("{place}/{at}"), faults);
            }
        }
        _ if reference == ours => {}
        _ => faults.push(format!("{place}: the reference has {}, Cove {}", short(reference), short(ours))),
    }
}

fn short(value: &Value) -> String {
    const LONGEST: usize = 300;
    let text = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[test]
fn what_is_missing_and_what_differs_is_named() {
    use serde_json::json;
    let found = json!({ "a": [1, { "b": "path/to/x", "c": 3 }], "d": null });
    assert!(lacks(&json!({ "a": [1, { "b": "~to" }], "e": null }), &found).is_empty());
    assert_eq!(lacks(&json!({ "a": [2, {}] }), &found), ["/a/0 is 1, not 2"]);
    assert_eq!(lacks(&json!({ "a": [] }), &found).len(), 1);
    assert!(differences(&json!({ "a": 1 }), &json!({ "a": 1, "b": null })).is_empty());
    assert_eq!(differences(&json!({ "a": 1 }), &json!({})), ["/a: the reference has 1, Cove nothing"]);
}
