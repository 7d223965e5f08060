//! The README.md of a feature or template, written from its metadata. The text is the reference's, to the byte:
//! collections have these files under version control, and a different line would be a change in each of them.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::kind::Kind;

/// What a README is written from.
pub(super) struct Page<'a> {
    /// What it is about.
    pub(super) kind: Kind,
    /// The content of its metadata file; has an `id`.
    pub(super) metadata: &'a Map<String, Value>,
    /// The content of its `NOTES.md`.
    pub(super) notes: &'a str,
    /// Where its metadata file can be read.
    pub(super) link: &'a str,
    /// The registry and namespace that features are published in.
    pub(super) published: Option<(&'a str, &'a str)>,
}

impl Page<'_> {
    /// The whole text.
    pub(super) fn render(&self) -> String {
        let mut page = self.notice();
        let id = self.text("id").unwrap_or_default();
        let title = match self.text("name") {
            Some(name) => format!("{name} ({id})"),
            None => id.to_owned(),
        };
        let description = self.text("description").unwrap_or_default();
        let _ = write!(page, "\n# {title}\n\n{description}\n\n");
        if let Some((registry, namespace)) = self.published {
            let version =
                self.text("version").and_then(|version| version.split('.').next()).unwrap_or("latest");
            let example = format!("    \"{registry}/{namespace}/{id}:{version}\": {{}}\n");
            let _ = write!(page, "## Example Usage\n\n```json\n\"features\": {{\n{example}}}\n```\n\n");
        }
        page += &self.options();
        page += "\n";
        if self.kind == Kind::Feature {
            page += &self.extensions();
        }
        let _ = write!(page, "\n{}\n\n---\n\n", self.notes);
        let file = self.kind.metadata_file();
        let _ = writeln!(
            page,
            "_Note: This file was auto-generated from the [{file}]({}).  Add additional notes to a `NOTES.md`._",
            self.link
        );
        page
    }

    /// What a reader has to know first: the feature is no longer cared for, or has had other names.
    fn notice(&self) -> String {
        let deprecated = self.metadata.get("deprecated").is_some_and(is_truthy);
        let former: Vec<String> =
            self.list("legacyIds").iter().map(|former| format!("'{}'", shown(Some(former)))).collect();
        if !deprecated && former.is_empty() {
            return String::new();
        }
        let mut notice = "### **IMPORTANT NOTE**\n".to_owned();
        if deprecated {
            notice +=
                "- **This Feature is deprecated, and will no longer receive any further updates/support.**\n";
        }
        if !former.is_empty() {
            let former = former.join(", ");
            let _ = writeln!(notice, "- **Ids used to publish this Feature in the past - {former}**");
        }
        notice
    }

    /// The table of options, without the end of its last line.
    fn options(&self) -> String {
        let Some(Value::Object(options)) = self.metadata.get("options") else { return String::new() };
        let rows = options.iter().map(|(name, option)| {
            let cell = |key: &str| option.get(key).filter(|value| is_truthy(value));
            let or_dash = |key: &str| cell(key).map_or_else(|| "-".to_owned(), |value| shown(Some(value)));
            let default = match option.get("default") {
                Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
                default => shown(default),
            };
            format!("| {name} | {} | {} | {default} |", or_dash("description"), or_dash("type"))
        });
        let head =
            "## Options\n\n| Options Id | Description | Type | Default Value |\n|-----|-----|-----|-----|\n";
        head.to_owned() + &rows.collect::<Vec<_>>().join("\n")
    }

    fn extensions(&self) -> String {
        let listed =
            self.metadata.get("customizations").and_then(|tools| tools.pointer("/vscode/extensions"));
        let Some(Value::Array(extensions)) = listed else { return String::new() };
        if extensions.is_empty() {
            return String::new();
        }
        let lines: Vec<String> = extensions.iter().map(|id| format!("- `{}`", shown(Some(id)))).collect();
        format!("\n## Customizations\n\n### VS Code Extensions\n\n{}\n", lines.join("\n"))
    }

    /// A property that is a string and says something.
    fn text(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn list(&self, name: &str) -> &[Value] {
        self.metadata.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// Whether a value counts as set where only its presence is asked for.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
    }
}

/// A value as it stands in a sentence.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => "undefined".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(","),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z#{}$|]{0,6}".prop_map(Value::from)
        ];
        let keys =
            "id|name|version|description|options|default|type|legacyIds|customizations|vscode|extensions";
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((keys, inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn every_metadata_has_a_page(metadata in values(), notes in "[a-z$`&]{0,8}") {
            let Value::Object(metadata) = metadata else { return Ok(()) };
            for (kind, published) in [(Kind::Feature, Some(("r.io", "o/r"))), (Kind::Template, None)] {
                let page = Page { kind, metadata: &metadata, notes: &notes, link: "x", published }.render();
                prop_assert!(page.contains(&notes) && page.ends_with("`NOTES.md`._\n"));
            }
        }
    }
}
