//! The options with which a feature is installed the second time: other values than its defaults, where it says what
//! else there is.

use serde_json::{Map, Value};

/// What a feature that is installed twice is given, and what it would have by itself.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Choice {
    /// A value other than the default for each option that has one.
    pub(crate) chosen: Map<String, Value>,
    /// The defaults.
    pub(crate) defaults: Map<String, Value>,
}

/// Chooses for the options of a feature's metadata. `pick` gives a number below the one it is given: the first try
/// among so many values.
pub(crate) fn choose(options: Option<&Value>, pick: &mut dyn FnMut(usize) -> usize) -> Choice {
    let mut choice = Choice::default();
    let Some(Value::Object(options)) = options else { return choice };
    for (name, option) in options {
        let default = option.get("default");
        if let Some(default) = default {
            choice.defaults.insert(name.clone(), default.clone());
        }
        if let Some(value) = other_value(option, default, pick) {
            choice.chosen.insert(name.clone(), value);
        }
    }
    choice
}

fn other_value(
    option: &Value,
    default: Option<&Value>,
    pick: &mut dyn FnMut(usize) -> usize,
) -> Option<Value> {
    if option.get("type").and_then(Value::as_str) == Some("boolean") {
        return Some(Value::Bool(default.and_then(Value::as_bool) != Some(true)));
    }
    let values = ["enum", "proposals"].iter().find_map(|key| option.get(key)?.as_array());
    let values = values.filter(|values| !values.is_empty())?;
    // The first value counts as the default of an option that names none.
    let usual = default.map_or(Some(0), |default| values.iter().position(|value| value == default));
    let mut index = pick(values.len());
    if Some(index) == usual {
        index = (index + 1) % values.len();
    }
    values.get(index).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn other_values_than_the_defaults_are_chosen() {
        let options = json!({
            "flag": {"type": "boolean", "default": true},
            "off": {"type": "boolean"},
            "colour": {"type": "string", "enum": ["red", "gold", "green"], "default": "red"},
            "greeting": {"type": "string", "proposals": ["hey", "hi"]},
            "single": {"type": "string", "enum": ["only"], "default": "only"},
            "free": {"type": "string", "default": "x"}
        });
        let choice = choose(Some(&options), &mut |_| 0);
        let expected =
            json!({"flag": false, "off": true, "colour": "gold", "greeting": "hi", "single": "only"});
        assert_eq!(Value::Object(choice.chosen), expected);
        let defaults = json!({"flag": true, "colour": "red", "single": "only", "free": "x"});
        assert_eq!(Value::Object(choice.defaults), defaults);
        let last = choose(Some(&options), &mut |count| count - 1);
        assert_eq!(last.chosen["colour"], "green");
        assert_eq!(choose(None, &mut |_| 0), Choice::default());
    }
}
