//! What the classes of this computer can be told: how much of it one environment may have.

use std::collections::BTreeMap;

use api::control::{ClassSchema, Field, FieldType};
use serde_json::Value;

/// Processors of an environment.
const PROCESSORS: &str = "cpus";
/// Memory of an environment, in GiB.
const MEMORY: &str = "memory_gib";

/// Most that can be asked for, in GiB: a computer is told of, and not measured, so that the schema stays the same.
const MOST_MEMORY: i64 = 1024;

/// A class's settings as arguments of `docker create`, in a machine with so many processors: the engine refuses more. What
/// this version does not know is passed over.
pub(crate) fn arguments(size: &Value, processors: u32) -> Vec<String> {
    let number = |key: &str| size.get(key).and_then(Value::as_u64);
    let processors = number(PROCESSORS).map(|count| format!("--cpus={}", count.min(processors.into())));
    let memory = number(MEMORY).map(|gib| format!("--memory={gib}g"));
    processors.into_iter().chain(memory).collect()
}

/// The settings that a class can have.
pub(super) fn schema() -> ClassSchema {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let number = |title: &str, most: i64| Field {
        title: title.to_owned(),
        required: false,
        of: FieldType::Integer { least: Some(1), most: Some(most) },
    };
    let fields = BTreeMap::from([
        (PROCESSORS.to_owned(), number("Processors", i64::try_from(processors).unwrap_or(i64::MAX))),
        (MEMORY.to_owned(), number("Memory in GiB", MOST_MEMORY)),
    ]);
    ClassSchema { fields }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_limits_the_container() {
        let size = json!({ "cpus": 8, "memory_gib": 16, "later": true });
        assert_eq!(arguments(&size, 10), ["--cpus=8", "--memory=16g"]);
        assert_eq!(arguments(&json!({ "cpus": 8 }), 4), ["--cpus=4"], "as many as there are");
        assert!(arguments(&json!({}), 4).is_empty());
        assert!(schema().fields.contains_key(PROCESSORS) && schema().fields.contains_key(MEMORY));
    }
}
