//! Changes a file of JSON with comments as a person would: what is not changed stays as it was typed,
//! comments, blanks and order included.

use crate::jsonc::{self, SyntaxError};
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde_json::{Map, Value};

/// A text that is being changed.
#[derive(Debug)]
pub struct Document {
    root: CstRootNode,
    has_mark: bool,
}

impl Document {
    /// Takes a text apart.
    ///
    /// # Errors
    /// It is not JSON with comments.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        jsonc::parse(text.as_bytes())?;
        let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = CstRootNode::parse(plain, &ParseOptions::default()).map_err(|error| {
            SyntaxError::Grammar { position: jsonc::Position::START, reason: error.to_string() }
        })?;
        Ok(Self { root, has_mark: plain.len() < text.len() })
    }

    /// Sets the property at the end of `path` and makes the objects on the way; what stands in the way of an
    /// object is replaced by one.
    pub fn set(&mut self, path: &[&str], value: &Value) {
        let Some((name, folders)) = path.split_last() else { return };
        let object = folders
            .iter()
            .fold(self.root.object_value_or_set(), |object, folder| object.object_value_or_set(folder));
        match last_of(&object, name) {
            Some(property) => property.set_value(input(value)),
            None => {
                object.append(name, input(value));
            }
        }
    }

    /// Gives the property at the end of `path` another name; its value and its place stay. Says whether there
    /// was such a property.
    pub fn rename(&mut self, path: &[&str], name: &str) -> bool {
        let Some((old, folders)) = path.split_last() else { return false };
        let mut object = self.root.object_value();
        for folder in folders {
            object = object.and_then(|object| last_of(&object, folder)?.object_value());
        }
        let named = object.and_then(|object| last_of(&object, old)?.name()?.as_string_lit());
        if let Some(literal) = &named {
            literal.set_raw_value(Value::from(name).to_string());
        }
        named.is_some()
    }

    /// The text as it is now.
    pub fn to_text(&self) -> String {
        let mark = if self.has_mark { "\u{feff}" } else { "" };
        format!("{mark}{}", self.root)
    }
}

/// Adds features with their options to the text of a devcontainer.json; one that is there gets these options.
///
/// # Errors
/// The text is not JSON with comments.
pub fn add_features<'a>(
    text: &str,
    features: impl IntoIterator<Item = (&'a str, &'a Map<String, Value>)>,
) -> Result<String, SyntaxError> {
    let mut document = Document::parse(text)?;
    for (id, options) in features {
        document.set(&["features", id], &Value::Object(options.clone()));
    }
    Ok(document.to_text())
}

/// Of a name that is written twice the last one counts.
fn last_of(object: &CstObject, name: &str) -> Option<CstObjectProp> {
    object.properties().into_iter().rev().find(|property| property.decoded_name().as_deref() == Some(name))
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(flag) => CstInputValue::Bool(*flag),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(map) => {
            CstInputValue::Object(map.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn added(text: &str) -> String {
        let options = Map::from_iter([("version".to_owned(), Value::from("1 \"x\""))]);
        add_features(text, [("ghcr.io/a/b:1", &options), ("./c", &Map::new())]).unwrap()
    }

    #[test]
    fn adds_features_and_keeps_comments() {
        let text = "\u{feff}// top\n{\n\t\"image\": \"a\", // why\n\t\"features\": {\n\t\t// first\n\t\t\"./c\": {\"old\": 1}\n\t},\n}\n";
        insta::assert_snapshot!(added(text).trim_start_matches('\u{feff}'), @r#"
        // top
        {
        	"image": "a", // why
        	"features": {
        		// first
        		"./c": {},
        		"ghcr.io/a/b:1": {
        			"version": "1 \"x\""
        		}
        	},
        }
        "#);
        assert!(added(text).starts_with('\u{feff}'));
        insta::assert_snapshot!(added("{\n  \"image\": \"a\" // why\n}"), @r#"
        {
          "image": "a", // why
          "features": {
            "ghcr.io/a/b:1": {
              "version": "1 \"x\""
            },
            "./c": {}
          }
        }
        "#);
    }

    #[test]
    fn renames_a_property_in_its_place() {
        let mut document =
            Document::parse("{\"features\": {/* a */ \"x:1\" : {\"v\": 1}, \"y\": {}}}").unwrap();
        assert!(document.rename(&["features", "x:1"], "x:2"));
        assert!(!document.rename(&["features", "x:1"], "x:3"));
        assert_eq!(document.to_text(), "{\"features\": {/* a */ \"x:2\" : {\"v\": 1}, \"y\": {}}}");
    }

    proptest! {
        #[test]
        fn what_is_set_can_be_read_and_the_rest_stays(
            text in "[\\{\\}\\[\\]\",:/* \na1]{0,40}",
            name in "[a-z\"\\\\é]{1,5}",
        ) {
            if let Ok(mut document) = Document::parse(&text) {
                prop_assert_eq!(document.to_text(), text);
                document.set(&["features", &name], &json!({"a": [1, null, "x\n"]}));
                let node = jsonc::parse(document.to_text().as_bytes()).unwrap().to_value();
                prop_assert_eq!(&node["features"][&name], &json!({"a": [1, null, "x\n"]}));
            }
        }
    }
}
