use super::*;
use proptest::prelude::*;
use serde_json::json;

fn metadata(options: &Value) -> FeatureMetadata {
    let text = json!({"id": "x", "version": "1.0.0", "name": "X", "options": options}).to_string();
    FeatureMetadata::parse(text.as_bytes(), "x").unwrap()
}

#[test]
fn names_of_variables() {
    for (option, name) in [
        ("option-name", "OPTION_NAME"),
        ("a-b-c", "A_B_C"),
        ("plain", "PLAIN"),
        ("1name", "_NAME"),
        ("12345_option-name", "_OPTION_NAME"),
        ("__x", "_X"),
        ("grün", "GR_N"),
        ("a\u{1f600}b", "A__B"),
        ("42", "_"),
        ("", ""),
    ] {
        assert_eq!(environment_name(option), name, "{option}");
    }
}

#[test]
fn values_of_every_form() {
    let metadata = metadata(&json!({
        "version": {"type": "string", "default": "latest"},
        "pip": {"type": "boolean", "default": true},
        "silent": {"type": "string"},
    }));
    let cases = [
        (json!({}), json!({"version": "latest", "pip": "true"})),
        (json!(null), json!({"version": "latest", "pip": "true"})),
        (json!("3.10"), json!({"version": "3.10", "pip": "true"})),
        (json!(true), json!({"version": "true", "pip": "true"})),
        (json!({"pip": false, "version": null}), json!({"version": "latest", "pip": "false"})),
        (json!({"version": 18, "silent": 1.5}), json!({"version": "18", "pip": "true", "silent": "1.5"})),
        (
            json!({"silent": 3.0, "list": ["a", "b"]}),
            json!({"version": "latest", "pip": "true", "silent": "3", "list": "a,b"}),
        ),
    ];
    for (value, expected) in cases {
        let options = effective(&given(&value).unwrap(), &value, &metadata);
        assert_eq!(json!(options), expected, "{value}");
    }
    // A version beside a feature that has no such option is for nobody.
    let none = self::metadata(&json!({}));
    assert!(effective(&given(&json!("latest")).unwrap(), &json!("latest"), &none).is_empty());
    assert!(given(&json!([])).is_err());
    let wrong = given(&json!({"a": {}, "b": [[]], "c": "x"})).unwrap_err();
    assert_eq!(wrong.iter().map(|(name, _)| name.as_deref()).collect::<Vec<_>>(), [Some("a"), Some("b")]);
}

#[test]
fn doubts_come_with_a_suggestion() {
    let metadata = metadata(&json!({
        "version": {"type": "string", "enum": ["latest", "3.10"], "default": "latest"},
        "tool": {"type": "string", "proposals": ["a"]},
        "pip": {"type": "boolean"},
    }));
    let value = json!({"verison": "1", "version": "lates", "tool": ["z", 1], "pip": "True", "extra": "1"});
    let said: Vec<String> = doubts(&given(&value).unwrap(), &value, &metadata)
        .into_iter()
        .map(|(option, kind)| format!("{option}: {kind}"))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    extra: the feature has no option `extra` (version, tool, pip)
    pip: `True` is not among the values the feature lists; did you mean `true`?
    tool: an option takes a string or a boolean; this list is handed on as `z,1`
    verison: the feature has no option `verison`; did you mean `version`?
    version: `lates` is not among the values the feature lists; did you mean `latest`?
    ");
    assert!(
        doubts(&given(&json!("latest")).unwrap(), &json!("latest"), &self::metadata(&json!({}))).is_empty()
    );
}

#[test]
fn the_file_survives_the_shell() {
    let options = [("a b", r#"say "hi""#), ("c", r#"\"done\""#), ("d", r"end\"), ("e", "$HOME")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    insta::assert_snapshot!(environment_file(&options), @r#"
    A_B="say \"hi\""
    C="\"done\""
    D="end\\"
    E="$HOME"
    "#);
}

proptest! {
    #[test]
    fn quoting_always_closes(value in "[a-z\"\\\\$ ]{0,12}") {
        let quoted = double_quoted(&value);
        let inner = &quoted[1..quoted.len() - 1];
        let mut escaped = false;
        for character in inner.chars() {
            prop_assert!(escaped || character != '"');
            escaped = character == '\\' && !escaped;
        }
        prop_assert!(!escaped);
    }
}
